"""Where videos end, and how their clocks run: whole files are whole, cut ones are noticed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from openpose_ext import infer
from openpose_ext.errors import SourceWarning
from openpose_ext.sources.clock import Clock
from openpose_ext.sources.source import View
from openpose_ext.sources.video import Video, key_frames
from openpose_ext.types.frame import Frame
from standin import Standin
from videos import RATE, barred, numbered, shown, write

ExitCode = Callable[[Path], int]


@pytest.fixture
def exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExitCode:
    """What `infer` says of a video, by a network that is none."""
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    return lambda file: infer.main([str(file), "-o", str(tmp_path / "out"), "--write_csv"])


def read(path: Path, **options: object) -> tuple[list[Frame], list[str]]:
    """All frames, and what was reported."""
    with Video(path, **options) as video:
        frames = list(video)
    return frames, [str(error).removeprefix(f"{path}: ") for error in video.errors]


def decoder_count(path: Path) -> int:
    """How many frames FFmpeg's decoder gives, left alone; ffprobe must agree where it is there."""
    with av.open(os.fspath(path)) as file:
        count = sum(1 for _ in file.decode(video=0))
    if shutil.which("ffprobe"):
        words = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
        words += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", os.fspath(path)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        assert int(said.split()[0].strip(",")) == count
    return count


def add_silence(path: Path, target: Path, seconds: float, **options: str) -> Path:
    """The same video beside so much sound."""
    with av.open(os.fspath(path)) as source, av.open(str(target), "w", options=options) as file:
        copy = file.add_stream_from_template(source.streams.video[0])
        voice = file.add_stream("mp2" if target.suffix == ".avi" else "aac", rate=16000)
        voice.layout = "mono"
        for number in range(round(seconds * 10)):
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), "s16", "mono")
            heard.rate, heard.pts, heard.time_base = 16000, 1600 * number, Fraction(1, 16000)
            file.mux(voice.encode(heard))
        file.mux(voice.encode())
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                file.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b_frames.avi", "mpeg4", {"bf": "2"}),
        ("h264.avi", "libx264", {"bf": "3", "g": "12"}),
        ("plain.avi", "mpeg4", {"bf": "0"}),
        ("h264.flv", "libx264", {"bf": "2"}),
        ("h264.mov", "libx264", {"bf": "2"}),
        ("fragments.mp4", "libx264", {"bf": "2", "g": "12"}),
        ("h264.mkv", "libx264", {"bf": "2"}),
    ],
)
@pytest.mark.parametrize("sound", [False, True])
def test_a_whole_file_is_not_accused(
    tmp_path: Path,
    name: str,
    codec: str,
    options: dict[str, str],
    sound: bool,
    exit_code: ExitCode,
) -> None:
    how = {"movflags": "frag_keyframe+empty_moov"} if "fragments" in name else {}
    if sound:
        silent = tmp_path / f"silent{'.mp4' if '.mkv' in name else Path(name).suffix}"
        write(silent, numbered(40), codec=codec, **options)
        file = add_silence(silent, tmp_path / name, 3.5, **how)
    else:
        file = write(tmp_path / name, numbered(40), codec=codec, container=how, **options)
    frames, errors = read(file)
    assert errors == []
    assert len(frames) == decoder_count(file) == 40
    assert [shown(frame.image) for frame in frames] == list(range(40))
    assert exit_code(file) == 0


def test_frames_that_an_avi_file_leaves_out_are_not_missing(tmp_path: Path) -> None:
    """Its clock counts them, and so does its header."""
    times = [*range(10), *range(25, 40)]
    file = write(tmp_path / "a.avi", numbered(25), codec="mpeg4", times=times, bf="0")
    frames, errors = read(file)
    assert errors == []
    assert len(frames) == decoder_count(file) == 25
    assert frames[-1].time == pytest.approx(39 / RATE)


@pytest.mark.parametrize("shown_share", [0.5, 0.9])
def test_an_end_that_an_edit_list_cuts_off_is_not_missed(
    tmp_path: Path, shown_share: float, exit_code: ExitCode
) -> None:
    file = write(tmp_path / "a.mp4", numbered(50), g="12", bf="2")
    data = bytearray(file.read_bytes())
    at = data.index(b"elst") + 4
    _, _, duration, begin, _ = struct.unpack_from(">IIIiI", data, at)
    struct.pack_into(">Ii", data, at + 8, int(shown_share * duration), begin)
    file.write_bytes(data)
    frames, errors = read(file)
    assert errors == []
    assert len(frames) == decoder_count(file)
    assert len(frames) == pytest.approx(shown_share * 50, abs=3)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert exit_code(file) == 0


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "flv"])
def test_a_first_frame_that_comes_late_is_the_beginning(
    tmp_path: Path, suffix: str, exit_code: ExitCode
) -> None:
    late = write(tmp_path / f"late.{suffix}", numbered(40), times=range(50, 90), bf="0")
    file = add_silence(late, tmp_path / f"a.{suffix}", 4.5)
    frames, errors = read(file)
    assert errors == []
    assert [shown(frame.image) for frame in frames] == list(range(40))
    assert [frame.time for frame in frames] == pytest.approx(
        [k / RATE for k in range(40)], abs=2e-3
    )
    assert exit_code(file) == 0


def packets(path: Path) -> list[tuple[int, int]]:
    """Position and size of each packet of the video."""
    with av.open(os.fspath(path)) as file:
        return [(p.pos, p.size) for p in file.demux(video=0) if p.size]


@pytest.mark.parametrize("lacking", [4, 14, 40])
@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4", "avi", "fmp4"])
@pytest.mark.parametrize("sound", [False, True])
def test_a_cut_file_is_noticed(
    tmp_path: Path, suffix: str, lacking: int, sound: bool, exit_code: ExitCode
) -> None:
    codec = "libvpx" if suffix == "webm" else "mpeg4" if suffix == "avi" else "libx264"
    how = {"mp4": {"movflags": "faststart"}, "fmp4": {"movflags": "frag_keyframe"}}.get(suffix, {})
    name = f"a.{suffix.removeprefix('f')}"
    options = {"g": "12", "bf": "0"}
    if sound and suffix == "webm":
        pytest.skip("the tests' sound is not WebM's")
    file = write(tmp_path / name, numbered(75), codec=codec, container=how, sound=sound, **options)
    position, size = packets(file)[-lacking]
    file.write_bytes(file.read_bytes()[: position + size // 2])
    frames, errors = read(file)
    assert 75 - lacking - 12 <= len(frames) <= 75 - lacking + 1
    assert any("it ends early, after" in error or "to its end" in error for error in errors), errors
    assert exit_code(file) == 1
    frames, errors = read(file, view=View(last=20))
    assert errors == []  # what was asked for is there


def joined(target: Path, *parts: Path) -> Path:
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video"), ("ts", "libx265")]
)
def test_joined_files_go_on_from_the_last_frame(
    tmp_path: Path, suffix: str, codec: str, bf: str, exit_code: ExitCode
) -> None:
    options = {"x265-params": f"log-level=none:bframes={bf}"} if codec == "libx265" else {"bf": bf}
    pictures = numbered(90)
    parts = [
        write(tmp_path / f"{k}.{suffix}", pictures[k : k + 30], codec=codec, g="12", **options)
        for k in (0, 30, 60)
    ]
    file = joined(tmp_path / f"all.{suffix}", *parts)
    frames, errors = read(file)
    assert errors == []
    assert len(frames) == decoder_count(file) == 90
    assert [frame.index for frame in frames] == list(range(90))
    assert [shown(frame.image) for frame in frames] == list(range(90))
    steps = [b.time - a.time for a, b in pairwise(frames)]
    assert exit_code(file) == 0
    assert steps == pytest.approx([1 / RATE] * 89, abs=2e-3)
    for first in (7, 30, 59, 75):
        (frame,), _ = read(file, view=View(first=first, last=first))
        assert (frame.index, shown(frame.image)) == (first, first)
    assert key_frames(os.fspath(file), 1) == []  # its clock does not tell where they are


def test_a_clock_that_jumps_ahead_goes_on_from_the_last_frame(tmp_path: Path) -> None:
    """Recorders restart with another clock; in a file that has one clock a gap is a gap."""
    late = [RATE * 3600 * 9 + k for k in range(30, 60)]
    parts = [
        write(tmp_path / "0.ts", numbered(30), bf="0"),
        write(tmp_path / "1.ts", numbered(60)[30:], times=late, bf="0"),
    ]
    frames, errors = read(joined(tmp_path / "all.ts", *parts))
    assert errors == []
    assert [shown(frame.image) for frame in frames] == list(range(60))
    assert frames[-1].time == pytest.approx(59 / RATE, abs=2e-3)

    times = [*range(30), *(RATE * 60 + k for k in range(30, 60))]
    frames, errors = read(write(tmp_path / "a.mkv", numbered(60), times=times, bf="0"))
    assert errors == []
    assert frames[-1].time == pytest.approx(60 + 59 / RATE, abs=2e-3)


def test_frames_that_change_their_size_are_no_failure(tmp_path: Path, exit_code: ExitCode) -> None:
    sizes = ((128, 48), (64, 64))
    parts = [
        write(tmp_path / f"{k}.ts", numbered(10, size), bf="0") for k, size in enumerate(sizes)
    ]
    file = joined(tmp_path / "all.ts", *parts)
    assert decoder_count(file) == 20
    with pytest.warns(SourceWarning, match="another size are fitted") as said:
        assert exit_code(file) == 0
    assert len(said) == 1
    rows = (tmp_path / "out" / "all.csv").read_text().splitlines()
    assert {row.split(",")[1] for row in rows[1:]} == {str(k) for k in range(20)}


def run_clock(times: Sequence[int], may_jump: bool = False) -> list[int]:
    clock = Clock(1 / RATE, may_jump=may_jump)
    mended = []
    for time in times:
        packet = av.Packet(1)
        packet.dts = packet.pts = time
        packet.time_base = Fraction(1, 1000)
        clock.mend(packet)
        assert packet.pts == packet.dts
        mended.append(packet.pts)
    return mended


def test_a_clock_set_back_and_one_that_shakes() -> None:
    back = [0, 40, 80, 120, 20, 60, 100]
    assert run_clock(back) == [0, 40, 80, 120, 160, 200, 240]
    shaking = [0, 40, 80, 79, 120, 160, 160, 200]  # no frame is moved for the next ones' sake
    assert run_clock(shaking) == [0, 40, 80, 81, 120, 160, 161, 200]
    ahead = [0, 40, 20_000, 20_040]
    assert run_clock(ahead) == ahead
    assert run_clock(ahead, may_jump=True) == [0, 40, 80, 120]


def test_the_default_video_of_several_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "two.mkv"
    with av.open(os.fspath(file), "w") as container:
        streams = [container.add_stream("libx264", rate=RATE) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 128, 48, "yuv420p"
            stream.disposition = 1 if number else 0
        for number, stream in enumerate(streams):
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(barred(5 + number), "bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    frames, errors = read(file)
    assert errors == []
    assert [shown(frame.image) for frame in frames] == [6] * 3
