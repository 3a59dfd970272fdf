"""Video files: every frame, its number, its time and its colours, and what is left of damaged ones.

The videos are written by `videos.py`; each frame shows its number.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from openpose_ext.errors import SourceError
from openpose_ext.io.resize import at_size, glance, part_at_size
from openpose_ext.sources.source import View
from openpose_ext.sources.video import Video
from openpose_ext.types.frame import Frame
from videos import RATE, SIZE, barred, numbered, shown, write


def read(path: Path, **options: object) -> tuple[list[Frame], list[str]]:
    """All frames, and what was reported."""
    with Video(path, **options) as video:
        frames = list(video)
    return frames, [str(error) for error in video.errors]


def indices(frames: Sequence[Frame]) -> list[int]:
    return [frame.index for frame in frames]


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [shown(frame.image) for frame in frames]


def swap_bytes(path: Path, start: int, end: int) -> None:
    """Damage a part of a file."""
    data = bytearray(path.read_bytes())
    data[start:end] = bytes(255 - byte for byte in data[start:end])
    path.write_bytes(data)


def packets(path: Path) -> list[tuple[int, int, int, bool]]:
    """Position, size, timestamp and key frame of each packet of the video."""
    with av.open(os.fspath(path)) as file:
        demuxed = file.demux(video=0)
        return [(p.pos, p.size, p.pts, p.is_keyframe) for p in demuxed if p.size]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames of H.264, a key frame every 12, frames that refer to later ones, and sound."""
    file = tmp_path_factory.mktemp("video") / "plain.mp4"
    return write(file, numbered(100), sound=True, g="12", bf="2")


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {"bf": "3", "g": "12"}),
        ("open_gop.mkv", "libx264", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
        ("h264.ts", "libx264", {"bf": "2", "g": "12"}),
        ("h264.avi", "libx264", {"bf": "2", "g": "12"}),
        ("mpeg4.avi", "mpeg4", {"g": "12"}),
        ("mpeg4_b.mp4", "mpeg4", {"bf": "2"}),
        ("mpeg2.mpg", "mpeg2video", {"bf": "2"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none:keyint=12"}),
        ("vp8.webm", "libvpx", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("vp9.webm", "libvpx-vp9", {"g": "12", "lag-in-frames": "16", "cpu-used": "8"}),
        ("mjpeg.avi", "mjpeg", {}),
        ("lossless.mkv", "ffv1", {}),
    ],
)
def test_every_format_gives_every_frame_in_order(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    file = write(tmp_path / name, numbered(40), codec=codec, pix_fmt=pix_fmt, **options)
    frames, errors = read(file)
    assert errors == []
    assert indices(frames) == numbers(frames) == list(range(40))
    assert [frame.time for frame in frames] == pytest.approx(
        [k / RATE for k in range(40)], abs=2e-3
    )
    for first in (1, 17, 24, 39):
        frames, errors = read(file, view=View(first=first, last=first + 2))
        assert errors == []
        assert indices(frames) == numbers(frames) == list(range(first, min(first + 3, 40)))
        assert frames[0].time == pytest.approx(first / RATE, abs=2e-3)


def test_a_video_tells_its_size_rate_and_length(plain: Path) -> None:
    with Video(plain) as video:
        assert (video.size, video.rate, video.count) == (SIZE, RATE, 100)
        assert not video.live
        assert video.name == os.fspath(plain)
        frame = next(iter(video))
    assert (frame.source, frame.index, frame.time, frame.size) == (os.fspath(plain), 0, 0.0, SIZE)
    assert frame.image.shape == (SIZE[1], SIZE[0], 3)
    assert frame.poses is None


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_threads_gives_the_same_frames(plain: Path, threads: int) -> None:
    frames, errors = read(plain, threads=threads)
    assert errors == []
    assert numbers(frames) == list(range(100))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(first=5, last=9), [5, 6, 7, 8, 9]),
        (View(step=30), [0, 30, 60, 90]),
        (View(first=7, last=50, step=20), [7, 27, 47]),
        (View(first=98, last=-1), [98, 99]),
        (View(first=98, last=500), [98, 99]),
        (View(first=99), [99]),
    ],
)
def test_chosen_frames_keep_their_numbers(plain: Path, view: View, expected: list[int]) -> None:
    with Video(plain, view=view) as video:
        assert video.count == len(expected)
        assert video.rate == RATE / view.step
        frames = list(video)
    assert indices(frames) == numbers(frames) == expected
    assert [frame.time for frame in frames] == pytest.approx([k / RATE for k in expected])
    assert video.errors == []


def test_a_first_frame_behind_the_end_is_refused(plain: Path) -> None:
    with pytest.raises(SourceError, match=r"asked for is 100, and the last of the file is 99"):
        Video(plain, view=View(first=100))


def test_skipped_frames_are_not_decoded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    decoded = Video._decoded

    def counted(self: Video) -> Iterator[av.VideoFrame]:
        for picture in decoded(self):
            fed.append(1)
            yield picture

    monkeypatch.setattr(Video, "_decoded", counted)
    frames, _ = read(plain, view=View(first=90, last=90))
    assert indices(frames) == [90]
    assert len(fed) <= 2 * 12


def test_frame_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0, 1, 40, 41, 1000, 1033, 5000, 100_000]
    file = write(tmp_path / "a.mkv", numbered(8), times=times, time_base=Fraction(1, 1000), bf="2")
    frames, errors = read(file)
    assert [frame.time for frame in frames] == [time / 1000 for time in times]
    assert numbers(frames) == list(range(8))
    assert errors == []
    frames, _ = read(file, view=View(first=5))
    assert [frame.time for frame in frames] == [1.033, 5.0, 100.0]


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path) -> None:
    file = write(tmp_path / "cut.mp4", numbered(40), times=range(-5, 35), g="12", bf="0")
    reader = cv2.VideoCapture(os.fspath(file))
    first = shown(reader.read()[1])
    for start in (0, 20):
        frames, errors = read(file, view=View(first=start))
        assert errors == []
        assert indices(frames) == list(range(start, 40 - first))
        assert numbers(frames) == list(range(start + first, 40))


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_are_upright(tmp_path: Path, rotation: int) -> None:
    picture = barred(0b00000111)
    picture[: SIZE[1] // 2] //= 2
    file = write(tmp_path / "turned.mp4", [picture] * 3, rotation=rotation)
    frames, _ = read(file)
    expected = np.rot90(picture, rotation // 90)
    assert frames[0].size == (expected.shape[1], expected.shape[0])
    assert difference(frames[0].image, expected) < 8
    reader = cv2.VideoCapture(os.fspath(file))
    assert difference(frames[0].image, reader.read()[1]) == 0


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def orientation(a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 track's matrix: x' = a x + c y, y' = b x + d y."""
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda p: p[::-1, ::-1].swapaxes(0, 1)),
    ],
    ids=["mirrored", "upside down", "transposed", "transposed the other way"],
)
def test_mirrored_videos_are_mirrored_back(
    tmp_path: Path, matrix: tuple[int, int, int, int], upright: object
) -> None:
    picture = barred(0b00010111)
    picture[: SIZE[1] // 2] //= 2
    file = write(tmp_path / "mirrored.mp4", [picture] * 3)
    data = file.read_bytes()
    assert data.count(orientation(1, 0, 0, 1)) == 2  # the file's and the track's
    before, _, after = data.rpartition(orientation(1, 0, 0, 1))
    file.write_bytes(before + orientation(*matrix) + after)
    (frame, *_), _ = read(file)
    expected = upright(picture)
    assert frame.size == (expected.shape[1], expected.shape[0])
    assert difference(frame.image, expected) < 8
    half = frame.size[0] // 2, frame.size[1] // 2
    assert difference(at_size(frame, half), cv2.resize(np.ascontiguousarray(expected), half)) < 12


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_frames_are_flipped_and_rotated_as_openpose_does(
    tmp_path: Path, rotate: int, flip: bool
) -> None:
    """OpenPose's own steps: of 90 degrees, a transposition and a vertical flip, and so on."""
    picture = barred(0b00010111)
    picture[: SIZE[1] // 2] //= 2
    (frame, *_), _ = read(write(tmp_path / "a.mp4", [picture]), view=View(rotate=rotate, flip=flip))
    transposed = picture.swapaxes(0, 1)
    expected = {
        (0, False): picture,
        (0, True): picture[:, ::-1],
        (90, False): transposed[::-1],
        (90, True): transposed,
        (180, False): picture[::-1, ::-1],
        (180, True): picture[::-1],
        (270, False): transposed[:, ::-1],
        (270, True): transposed[::-1, ::-1],
    }[rotate, flip]
    assert frame.size == (expected.shape[1], expected.shape[0])
    assert difference(frame.image, expected) < 8
    small = at_size(frame, (frame.size[0] // 2, frame.size[1] // 2))
    assert difference(small, frame.image[::2, ::2]) < 16


# BT.601 and BT.709: the weights of red and blue in the luma.
WEIGHTS = {5: (0.299, 0.114), 1: (0.2126, 0.0722)}


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("colorspace", [5, 1, None], ids=["601", "709", "unknown"])
def test_colours_are_those_of_the_matrix_and_range(
    tmp_path: Path, colorspace: int | None, full_range: bool
) -> None:
    """Y, Cb and Cr are written as they are; the picture is what the standard's formula says."""
    colours = [(81, 90, 240), (145, 54, 34), (41, 240, 110), (200, 128, 128), (100, 160, 100)]
    kr, kb = WEIGHTS[colorspace or 5]  # FFmpeg takes the unknown for BT.601
    file = tmp_path / "colours.mkv"
    with av.open(os.fspath(file), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.codec_context.color_range = 2 if full_range else 1
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        for y, cb, cr in colours:
            planes = [np.full((16, 32), y), np.full((8, 16), cb), np.full((8, 16), cr)]
            stacked = np.concatenate([plane.ravel() for plane in planes]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(stacked.reshape(24, 32), "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, _ = read(file)
    for frame, (y, cb, cr) in zip(frames, colours, strict=True):
        luma = y / 255 if full_range else (y - 16) / 219
        blue, red = ((c - 128) / (255 if full_range else 224) for c in (cb, cr))
        r = luma + 2 * (1 - kr) * red
        b = luma + 2 * (1 - kb) * blue
        g = (luma - kr * r - kb * b) / (1 - kr - kb)
        expected = np.clip(np.array([b, g, r]) * 255, 0, 255)
        assert np.abs(frame.image.reshape(-1, 3) - expected).max() <= 2.5
        assert np.abs(at_size(frame, (16, 8)).reshape(-1, 3) - expected).max() <= 2.5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "gray"),
    [
        ("libx264", "yuv422p", False),
        ("libx264", "yuv444p", False),
        ("libx264", "yuv420p10le", False),
        ("ffv1", "gray", True),
        ("ffv1", "bgr0", False),
        ("ffv1", "gray16le", True),
    ],
)
def test_pixel_formats_give_the_picture(
    tmp_path: Path, codec: str, pix_fmt: str, gray: bool
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    picture = cv2.resize(noise, (96, 64), interpolation=cv2.INTER_CUBIC)
    if gray:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    quality = {"qp": "4"} if codec == "libx264" else {}
    file = write(tmp_path / "a.mkv", [picture], codec=codec, pix_fmt=pix_fmt, **quality)
    (frame,), errors = read(file)
    assert errors == []
    assert difference(frame.image, picture) < 6
    assert difference(at_size(frame, (48, 32)), cv2.resize(picture, (48, 32))) < 8


@pytest.mark.parametrize("size", [(127, 47), (129, 33), (2, 2), (1, 1)])
def test_odd_sizes_are_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), (200, 100, 50), np.uint8)
    (frame,), _ = read(write(tmp_path / "odd.mkv", [picture], codec="ffv1"))
    assert frame.size == size
    assert np.abs(frame.image.astype(int) - (200, 100, 50)).max() <= 4
    for width, height in ((3, 5), (31, 17), size, (200, 100)):
        resized = at_size(frame, (width, height))
        assert resized.shape == (height, width, 3)
        assert np.abs(resized.astype(int) - (200, 100, 50)).max() <= 4


def test_frames_shrink_to_the_mean_of_their_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 1), np.uint8)
    picture = np.broadcast_to(noise, (48, 64, 3)).copy()
    (frame,), _ = read(write(tmp_path / "a.mkv", [picture], codec="ffv1", pix_fmt="gray"))
    means = picture.reshape(12, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(at_size(frame, (16, 12)) - means).max() <= 2.5


def test_frames_outlive_their_video_and_are_made_in_any_thread(plain: Path) -> None:
    frames, _ = read(plain, threads=2)
    expected = numbers(frames[:20])
    found: list[list[int]] = []

    def look() -> None:
        seen = [shown(at_size(frame, (64, 24))) for frame in frames[:20]]
        found.append([*seen, *(shown(frame.image) for frame in frames[:20])])

    workers = [threading.Thread(target=look) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected * 2] * 4


def erase(path: Path, number: int) -> None:
    """Overwrite the inside of a packet with zeros."""
    position, size, *_ = packets(path)[number]
    data = bytearray(path.read_bytes())
    data[position + 8 : position + size] = bytes(size - 8)
    path.write_bytes(data)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_frame_is_reported_and_the_others_keep_their_numbers(
    tmp_path: Path, threads: int
) -> None:
    file = write(tmp_path / "a.mkv", numbered(20), codec="mjpeg", pix_fmt="yuvj420p")
    for number in (7, 11, 12):
        erase(file, number)
    frames, errors = read(file, threads=threads)
    assert errors == [
        f"{file}: frame 7 cannot be decoded",
        f"{file}: 2 frames, 11 to 12, cannot be decoded",
    ]
    kept = [number for number in range(20) if number not in (7, 11, 12)]
    assert indices(frames) == numbers(frames) == kept
    assert [frame.time for frame in frames] == pytest.approx([k / RATE for k in kept], abs=1e-3)
    frames, errors = read(file, view=View(first=8, last=13, step=4))
    assert indices(frames) == [8]
    assert errors == [f"{file}: frame 12 cannot be decoded"]


def test_damage_inside_a_group_of_frames_is_reported(plain: Path, tmp_path: Path) -> None:
    """Frames that refer to a damaged one are what the decoder makes of them."""
    file = tmp_path / "damaged.mp4"
    file.write_bytes(plain.read_bytes())
    found = packets(file)
    damaged = next(k for k, packet in enumerate(found) if packet[2] == found[48][2])
    position, size, *_ = found[damaged]
    swap_bytes(file, position + 12, position + size)
    frames, errors = read(file)
    assert errors
    assert all("damaged" in error or "cannot be decoded" in error for error in errors)
    whole = [frame for frame in frames if frame.index < 44 or frame.index >= 60]
    assert numbers(whole) == indices(whole) == [*range(44), *range(60, 100)]


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "ts"])
def test_a_video_cut_off_keeps_what_is_there(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    file = write(tmp_path / f"a.{suffix}", numbered(100), g="12", container=options)
    position, size, *_ = packets(file)[60]
    file.write_bytes(file.read_bytes()[: position + size // 2])
    frames, errors = read(file)
    assert 55 <= len(frames) <= 61
    assert numbers(frames[:-1]) == indices(frames[:-1]) == list(range(len(frames) - 1))
    if suffix != "ts":  # which says nowhere how long it is
        assert any("early" in error or "to its end" in error for error in errors), errors


def test_packets_that_show_nothing_are_no_frames(tmp_path: Path) -> None:
    """VP8 knows pictures that are only referred to; here one is told to be such."""
    file = write(tmp_path / "a.webm", numbered(20), codec="libvpx", g="100")
    position, *_ = packets(file)[7]
    data = bytearray(file.read_bytes())
    start = data.index(av_packet(file, 7), position)
    data[start] &= ~0x10  # the frame tag's show_frame
    file.write_bytes(data)
    frames, errors = read(file)
    assert errors == []
    assert indices(frames) == list(range(19))
    assert numbers(frames) == [number for number in range(20) if number != 7]
    frames, _ = read(file, view=View(first=7, last=7))
    assert numbers(frames) == [8]


def av_packet(path: Path, number: int) -> bytes:
    with av.open(os.fspath(path)) as file:
        return bytes([p for p in file.demux(video=0) if p.size][number])


def test_what_is_wrong_is_reported_while_it_goes_on(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", numbered(20), codec="mjpeg", pix_fmt="yuvj420p")
    erase(file, 7)
    heard: list[SourceError] = []
    with Video(file, report=heard.append) as video:
        for frame in video:
            assert len(heard) == (frame.index > 7)
    assert heard == video.errors


def test_a_frame_rate_that_is_not_known_leaves_no_hole(tmp_path: Path) -> None:
    """Raw H.264 has no container, and so no timestamps."""
    file = write(tmp_path / "a.h264", numbered(30), bf="0")
    frames, errors = read(file)
    assert numbers(frames) == indices(frames) == list(range(30))
    assert errors == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_whatever_is_damaged_something_sensible_comes(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"whole.{suffix}", numbered(30), g="12").read_bytes()
    random = np.random.default_rng(0)
    for trial in range(30):
        data = np.frombuffer(whole, np.uint8).copy()
        for start in random.integers(0, len(data), random.integers(1, 10)):
            data[start : start + 20] = random.integers(0, 256, len(data[start : start + 20]))
        file = tmp_path / f"damaged.{suffix}"
        file.write_bytes(data[: random.integers(len(data) // 2, len(data) + 1)].tobytes())
        try:
            frames, _ = read(file, view=View(first=10 * (trial % 2)), threads=1 + trial % 3)
        except SourceError:
            continue
        assert indices(frames) == sorted(set(indices(frames)))
        for frame in frames:
            assert frame.image.shape == (frame.size[1], frame.size[0], 3)


def make_nothing(path: Path) -> None:
    path.touch()


def make_text(path: Path) -> None:
    path.write_text("frames\n" * 1000)


def make_noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(100_000))


def make_headless(path: Path) -> None:
    """An MP4 file whose index, at the end, is cut off."""
    write(path, numbered(30))
    path.write_bytes(path.read_bytes()[:-2000])


def make_sound(path: Path) -> None:
    with av.open(os.fspath(path), "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))


def make_empty_track(path: Path) -> None:
    with av.open(os.fspath(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        file.start_encoding()


def make_all_damaged(path: Path) -> None:
    write(path, numbered(3), codec="mjpeg", pix_fmt="yuvj420p", container={})
    for number in range(3):
        erase(path, number)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_nothing, "cannot be read"),
        (make_text, "cannot be read"),
        (make_noise, "cannot be read"),
        (make_headless, "cannot be read"),
        (make_sound, "only sound"),
        (make_empty_track, "no frame|no video|cannot be read"),
        (make_all_damaged, "no frame"),
        (Path.mkdir, "[Dd]irectory"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_video_is_named_with_the_reason(
    tmp_path: Path, make: object, reason: str
) -> None:
    file = tmp_path / "bad.mkv"
    make(file)
    with pytest.raises(SourceError, match=reason) as caught:
        Video(file)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("kind", ["playlist", "concatenation", "session"])
def test_a_file_cannot_have_others_read(plain: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "innocent.mp4"
    file.write_text(
        {
            "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{plain}\n",
            "concatenation": f"ffconcat version 1.0\nfile {plain}\n",
            "session": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 26\n",
        }[kind]
    )
    with pytest.raises(SourceError, match="cannot be read"):
        Video(file)


@pytest.mark.parametrize("name", ["snow ☃ .mp4", "concat:a|b", "pipe:0", "http:a.mp4", "%03d.mp4"])
def test_any_path_is_read(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(plain.read_bytes())
    monkeypatch.chdir(tmp_path)
    frames, _ = read(Path(name), view=View(last=1))
    assert numbers(frames) == [0, 1]
    assert frames[0].source == name


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    return [os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()]


def threads_alive() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux' /proc")
@pytest.mark.parametrize("end", ["early", "error", "whole", "unused", "refused"])
def test_files_and_threads_are_given_back(plain: Path, end: str) -> None:
    before = threads_alive()

    def use() -> None:
        view = View(first=1000) if end == "refused" else View()
        with Video(plain, threads=3, view=view) as video:
            for frame in () if end == "unused" else video:
                if end == "error":
                    raise RuntimeError("the consumer fails")
                if end == "early" and frame.index == 5:
                    break

    if end == "error":
        with pytest.raises(RuntimeError, match="consumer fails"):
            use()
    elif end == "refused":
        with pytest.raises(SourceError):
            use()
    else:
        use()
    assert os.fspath(plain) not in open_files()
    assert threads_alive() == before


def test_a_closed_video_has_no_more_frames(plain: Path) -> None:
    video = Video(plain)
    assert next(video).index == 0
    assert next(video).index == 1  # iteration goes on where it stopped
    video.close()
    video.close()
    assert list(video) == []


def test_real_videos_are_read_as_opencv_reads_them(shared: Path) -> None:
    for name in ("openpose_street.avi", "sports2d_walk.mp4"):
        file = shared / "data" / "videos" / name
        reader = cv2.VideoCapture(os.fspath(file))
        with Video(file, threads=2, view=View(last=80, step=20)) as video:
            assert video.count == 5
            position = -1
            for frame in video:
                while position < frame.index:
                    _, expected = reader.read()
                    position += 1
                assert np.array_equal(frame.image, expected)
        assert frame.index == 80
        assert video.errors == []


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("rotation", [None, 90])
@pytest.mark.parametrize("box", [(0, 0, 64, 48), (3, 5, 21, 17), (10, 6, 1, 1), (43, 31, 5, 17)])
def test_a_part_of_a_frame_is_that_part_of_its_picture(
    tmp_path: Path, pix_fmt: str, rotation: int | None, box: tuple[int, int, int, int]
) -> None:
    rng = np.random.default_rng(1)
    noise = cv2.resize(rng.integers(0, 256, (9, 11, 3), np.uint8), (64, 48))
    file = write(tmp_path / "noise.mp4", [noise], pix_fmt=pix_fmt, rotation=rotation)
    with Video(file) as video:
        (frame,) = video
    x, y, width, height = box
    whole = frame.image[y : y + height, x : x + width]
    height, width = whole.shape[:2]
    part = part_at_size(frame, (x, y, width, height), (width, height))
    assert difference(part, whole) <= 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("rotation", [None, 90])
@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 95, 63), (48, 32)),
        ((40, 22, 55, 41), (24, 18)),
        ((3, 5, 60, 50), (40, 25)),
        ((11, 0, 51, 33), (17, 11)),
        ((7, 9, 24, 20), (60, 50)),
    ],
)
def test_a_part_at_another_size_is_that_part_of_the_picture_resized(
    tmp_path: Path,
    pix_fmt: str,
    rotation: int | None,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
) -> None:
    """Its brightness exactly, its colours within a pixel."""
    rng = np.random.default_rng(1)
    grey, colour = rng.integers(20, 236, (5, 7, 1)), rng.integers(-20, 20, (5, 7, 3))
    noise = cv2.resize((grey + colour).astype(np.uint8), (96, 96))
    file = write(tmp_path / "noise.mp4", [noise], pix_fmt=pix_fmt, rotation=rotation, qp="1")
    with Video(file) as video:
        (frame,) = video
    x, y, width, height = box
    expected = cv2.resize(
        frame.image[y : y + height, x : x + width],
        size,
        interpolation=cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC,
    )
    part = part_at_size(frame, box, size)
    assert difference(part, expected) < 2


def test_a_glance_at_a_frame_tells_its_brightness(tmp_path: Path) -> None:
    pictures = [np.full((100, 200, 3), shade, np.uint8) for shade in (40, 200)]
    with Video(write(tmp_path / "two.mp4", pictures)) as video:
        dark, light = (glance(frame) for frame in video)
    assert dark.shape == light.shape
    assert max(dark.shape) <= 64
    assert light.mean() - dark.mean() > 100
    assert glance(Frame(pictures[1])).mean() == 200
