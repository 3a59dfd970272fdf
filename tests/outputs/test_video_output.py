"""Rendered video as PyAV reads it: times, colours, sizes, sound."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from openpose_ext.errors import SourceWarning
from openpose_ext.outputs import video
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.types.frame import Frame
from random_people import frames

RATE = 44100  # of sound, samples a second


def grey(level: int, size: tuple[int, int] = (64, 48)) -> npt.NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), level, np.uint8)


def times_of(file: Path) -> list[float]:
    with av.open(file) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def write(file: Path, times: Iterable[float | None], **options: object) -> VideoWriter:
    with VideoWriter(file, **options) as writer:  # type: ignore[arg-type]
        for level, time in enumerate(times):
            writer.add(grey(level % 250), time)
    return writer


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mkv"])
def test_a_video_that_every_player_plays(tmp_path: Path, suffix: str) -> None:
    """H.264, 4:2:0, and in MP4 the index before the pictures."""
    file = tmp_path / f"a.{suffix}"
    with VideoWriter(file, rate=25) as writer:
        assert writer.codec is None
        for frame, poses in frames(5, hands=True):
            writer.write(frame, poses)
        assert writer.codec == "libx264"
    with av.open(file) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height, stream.pix_fmt) == (640, 480, "yuv420p")
        assert stream.average_rate == 25
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(stream)]
    assert [np.ptp(picture) > 100 for picture in pictures] == [False, True, True, True, False]
    if suffix != "mkv":
        assert boxes(file)[:2] == ["ftyp", "moov"]


def boxes(file: Path) -> list[str]:
    """The kinds of the boxes of an MP4, in order."""
    data, at, kinds = file.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind.decode())
        at += size
    return kinds


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), 25, 60, 12.5, 1])
def test_a_steady_rate_comes_back_exactly(tmp_path: Path, rate: Fraction | float) -> None:
    write(tmp_path / "a.mp4", [k / float(rate) for k in range(40)], rate=float(rate))
    write(tmp_path / "b.mp4", [None] * 40, rate=float(rate))
    for name in ("a.mp4", "b.mp4"):
        with av.open(tmp_path / name) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == Fraction(rate)
            assert stream.duration is not None
            assert stream.duration * stream.time_base == 40 / Fraction(rate)
        exact = [k / Fraction(rate) for k in range(40)]
        assert times_of(tmp_path / name) == [float(time) for time in exact]


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.004, 0.7, 60))
    write(tmp_path / "a.mp4", times.tolist(), rate=29.97)
    np.testing.assert_allclose(times_of(tmp_path / "a.mp4"), times - times[0], atol=1e-4)


@pytest.mark.parametrize("rate", [1e-9, 90000.0, 1e12])
def test_a_rate_that_is_none_does_not_matter(tmp_path: Path, rate: float) -> None:
    write(tmp_path / "a.mp4", [0, 0.04, 0.5], rate=rate)
    assert times_of(tmp_path / "a.mp4") == pytest.approx([0, 0.04, 0.5], abs=1e-4)


def test_clocks_that_stand_still_or_go_back_lose_no_frame(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [5.0, 5.0, 4.0, None, 5.5], rate=10)
    found = times_of(tmp_path / "a.mp4")
    np.testing.assert_allclose(found, [0, 0, 0, 0.1, 0.5], atol=1e-3)
    assert sorted(set(found)) == found


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48), (1, 1), (2, 3)])
def test_odd_sizes_get_another_row_or_column(tmp_path: Path, size: tuple[int, int]) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.add(grey(200, size)[:, ::-1])
    with av.open(tmp_path / "a.mp4") as container:
        (frame,) = container.decode(video=0)
    assert (frame.width, frame.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert np.abs(frame.to_ndarray(format="bgr24").astype(int) - 200).max() <= 3


@pytest.mark.parametrize("bgr", [(30, 60, 200), (220, 30, 10), (20, 200, 40), (255, 255, 255)])
def test_colours_are_those_of_the_standard_that_is_named(
    tmp_path: Path, bgr: tuple[int, int, int]
) -> None:
    """BT.709 of limited range, by its own formula; players go by the tags."""
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.add(np.full((48, 64, 3), bgr, np.uint8))
    with av.open(tmp_path / "a.mp4") as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        (frame,) = container.decode(video=0)
    assert tags == (1, 1, 1, 1)
    b, g, r = (value / 255 for value in bgr)
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    expected = (
        16 + 219 * luma,
        128 + 224 * (b - luma) / (2 * (1 - 0.0722)),
        128 + 224 * (r - luma) / (2 * (1 - 0.2126)),
    )
    for plane, value in zip(frame.planes, expected, strict=True):
        found = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        np.testing.assert_allclose(found[:, : plane.width], value, atol=2)


def test_without_libx264_the_other_encoder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"no such": {}, **{k: v for k, v in video._ENCODERS.items() if k != "libx264"}}
    monkeypatch.setattr(video, "_ENCODERS", others)
    assert write(tmp_path / "a.mp4", [0, 0.04, 0.5]).codec == "mpeg4"
    assert times_of(tmp_path / "a.mp4") == pytest.approx([0, 0.04, 0.5], abs=1e-4)


def test_no_picture_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    for name in ("a.mp4", "b.mp4"):
        VideoWriter(tmp_path / name).close()
    assert os.listdir(tmp_path) == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    for name in ("a.webm", "a", "a.mp4.txt"):
        with pytest.raises(ValueError, match=r"written as \.mp4, \.m4v, \.mov, \.mkv, \.avi"):
            VideoWriter(tmp_path / name)
    writer = VideoWriter(tmp_path / "a.mp4")
    writer.add(grey(0))
    writer.close()
    assert len(times_of(tmp_path / "a.mp4")) == 1


def test_pictures_of_another_size_are_fitted_into_the_first_ones(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.add(grey(200))
        with pytest.warns(SourceWarning, match="such as 48 x 64, are fitted"):
            writer.add(grey(200, (48, 64)))
        writer.add(grey(200, (32, 24)))  # it is said once
    with av.open(str(tmp_path / "a.mp4")) as container:
        _, tall, small = (f.to_ndarray(format="gray") for f in container.decode(video=0))
    assert tall.shape == small.shape == (48, 64)
    assert small.min() > 150
    assert tall[:, 16:48].min() > 150
    assert tall[:, :12].max() < 60


def test_pictures_are_drawn_by_what_is_given(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", render=lambda picture, _: picture + 100) as writer:
        for frame, poses in frames(2):
            writer.write(Frame(frame.image[:48, :64], "", frame.index, frame.time), poses)
    with av.open(tmp_path / "a.mp4") as container:
        means = [frame.to_ndarray(format="bgr24").mean() for frame in container.decode(video=0)]
    np.testing.assert_allclose(means, [100, 101], atol=4)


# Sound ---------------------------------------------------------------------------------------


def with_sound(
    file: Path, codec: str, *, video_codec: str = "libx264", rate: int = RATE, seconds: int = 4
) -> Path:
    """A video whose tone is louder every second: 0.1, 0.2, ..., at 25 frames a second."""
    with av.open(file, "w") as container:
        pictures = container.add_stream(video_codec, rate=25)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(sound, av.AudioStream)
        for index in range(25 * seconds):
            picture = av.VideoFrame.from_ndarray(grey(index), format="bgr24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(pictures.encode(picture))
            at = index * rate // 25 + np.arange(rate // 25)
            tone = np.sin(2 * np.pi * 440 * at / rate) * 0.1 * (1 + at // rate) * 32767
            samples = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
            samples.sample_rate, samples.pts, samples.time_base = (
                rate,
                int(at[0]),
                Fraction(1, rate),
            )
            container.mux(sound.encode(samples))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return file


def loudness(file: Path) -> tuple[str, npt.NDArray[np.float64]]:
    """The codec, and the largest amplitude in each tenth of a second."""
    with av.open(file) as container:
        stream = container.streams.audio[0]
        found: dict[int, float] = {}
        for frame in container.decode(stream):
            assert frame.time is not None
            samples = np.abs(frame.to_ndarray().astype(np.float64).ravel())
            for k, value in enumerate(samples / (1 if frame.format.name[:3] == "flt" else 32768)):
                tenth = int((frame.time + k / frame.sample_rate) * 10)
                found[tenth] = max(found.get(tenth, 0), float(value))
        name = stream.codec_context.codec.canonical_name
    return name, np.array([found.get(k, 0.0) for k in range(max(found) + 1)])


@pytest.mark.parametrize("target", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("s.mp4", "aac", "aac"),
        ("s.ts", "aac", "aac"),
        ("s.avi", "mp3", "mp3"),
        ("s.mkv", "libopus", "opus"),
        ("s.avi", "pcm_s16le", "aac"),
        ("s.mkv", "flac", "aac"),
    ],
)
@pytest.mark.parametrize("first", [0, 30])
def test_the_sound_of_the_frames_comes_along(
    tmp_path: Path, name: str, codec: str, kept: str, first: int, target: str
) -> None:
    source = with_sound(tmp_path / name, codec, rate=48000 if codec == "libopus" else RATE)
    file = tmp_path / f"out.{target}"
    writer = write(file, [k / 25 for k in range(first, 75)], rate=25, sound=source)
    assert writer.sound_lost is None
    found, tenths = loudness(file)
    assert found == kept
    assert len(times_of(file)) == 75 - first
    length = (75 - first) / 2.5
    assert length - 1 < len(tenths) <= length + 2, "as long as the pictures"
    for second in (1, 2, 3):  # the middle half of each second that is there
        begin = 10 * (second - 1) - first / 2.5
        if begin >= 0:
            middle = tenths[round(begin) + 3 : round(begin) + 8]
            np.testing.assert_allclose(middle, 0.1 * second, atol=0.03)


def test_sound_that_is_copied_is_bit_equal(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "s.mp4", "aac")
    write(tmp_path / "a.mp4", [k / 25 for k in range(100)], rate=25, sound=source)

    def packets(file: Path) -> list[bytes]:
        with av.open(file) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    before, after = packets(source), packets(tmp_path / "a.mp4")
    assert len(after) > 100
    assert after == before[: len(after)]


def test_a_source_without_sound_gives_none(tmp_path: Path) -> None:
    write(tmp_path / "silent.mp4", [0, 0.1])
    writer = write(tmp_path / "a.mp4", [0, 0.1], sound=tmp_path / "silent.mp4")
    assert writer.sound_lost is None
    with av.open(tmp_path / "a.mp4") as container:
        assert not container.streams.audio


def test_sound_that_cannot_be_read_costs_only_the_sound(tmp_path: Path) -> None:
    (tmp_path / "s.mp4").write_bytes(b"no video" * 100)
    for name in ("s.mp4", "gone.mp4"):
        writer = write(tmp_path / "a.mp4", [0, 0.1], sound=tmp_path / name)
        assert writer.sound_lost is not None
        assert name in writer.sound_lost
        assert len(times_of(tmp_path / "a.mp4")) == 2


def test_sound_that_ends_early_is_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "s.ts", "aac")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    write(tmp_path / "a.mp4", [k / 25 for k in range(100)], rate=25, sound=source)
    _, tenths = loudness(tmp_path / "a.mp4")
    assert 10 < len(tenths) < 35
    assert len(times_of(tmp_path / "a.mp4")) == 100


def test_an_avi_shows_each_frame_at_its_time(tmp_path: Path) -> None:
    """At one rate: a late frame leaves the one before it where it is."""
    file = tmp_path / "a.avi"
    times = [0, 0.04, 0.08, 0.24, 0.28, 0.281]
    assert write(file, times, rate=25).codec == "mpeg4"
    assert times_of(file) == pytest.approx([0, 0.04, 0.08, 0.24, 0.28, 0.32])
    capture = cv2.VideoCapture(os.fspath(file))  # a reader of OpenPose's users
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    assert capture.read()[1].shape == (48, 64, 3)
    capture.release()


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [("s.mkv", "flac", "ac3"), ("s.mp4", "aac", "ac3"), ("s.avi", "mp3", "mp3")],
)
def test_an_avi_gets_sound_that_it_can_hold(
    tmp_path: Path, name: str, codec: str, kept: str
) -> None:
    source = with_sound(tmp_path / name, codec)
    file = tmp_path / "out.avi"
    writer = write(file, [k / 25 for k in range(75)], rate=25, sound=source)
    assert writer.sound_lost is None
    found, tenths = loudness(file)
    assert found == kept
    for second in (1, 2, 3):
        begin = 10 * (second - 1)
        np.testing.assert_allclose(tenths[begin + 3 : begin + 8], 0.1 * second, atol=0.03)
