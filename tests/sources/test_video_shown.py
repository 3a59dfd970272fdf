"""Videos as they are shown: square pixels, one moment a frame, ordinary colours, one size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from openpose_ext.errors import SourceWarning
from openpose_ext.io.container import told
from openpose_ext.io.resize import at_size, fitted, part_at_size
from openpose_ext.sources.camera import Camera, Shot
from openpose_ext.sources.hdr import tone_mapped
from openpose_ext.sources.source import View
from openpose_ext.sources.video import Video
from openpose_ext.types.frame import Frame
from videos import RATE, barred, numbered, shown, write

PQ, HLG = 16, 18


def read(path: Path, **options: object) -> tuple[list[Frame], list[str]]:
    with Video(path, **options) as video:
        frames = list(video)
        assert {frame.size for frame in frames} == {video.size}
    return frames, [str(error) for error in video.errors]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def smooth_picture(size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(3).integers(0, 256, (4, 5, 3), np.uint8)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def encode(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    aspect: Fraction | None = None,
    curve: int | None = None,
    rotation: int | None = None,
    **options: str,
) -> Path:
    """Encode pictures whose pixels have an aspect ratio, or whose codes lie on a curve."""
    with av.open(os.fspath(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if curve is not None:
            context = stream.codec_context
            context.color_trc, context.color_primaries, context.colorspace = curve, 9, 9
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(
                picture, "bgr24" if picture.dtype == np.uint8 else "rgb48le"
            )
            if curve is not None:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=9)
                frame.color_trc, frame.color_primaries = curve, 9
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("stored", "aspect", "size"),
    [
        ((72, 64), Fraction(4, 3), (96, 64)),
        ((64, 64), Fraction(2), (128, 64)),
        ((64, 64), Fraction(16, 11), (93, 64)),
        ((96, 48), Fraction(1, 2), (96, 96)),
        ((64, 64), Fraction(50), (64, 64)),  # no such pixels
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pixels_become_square(
    tmp_path: Path, suffix: str, stored: tuple[int, int], aspect: Fraction, size: tuple[int, int]
) -> None:
    picture = smooth_picture(size)
    file = encode(
        tmp_path / f"a.{suffix}", [cv2.resize(picture, stored)] * 2, aspect=aspect, qp="6"
    )
    (frame, _), errors = read(file)
    assert errors == []
    assert frame.size == size
    assert difference(frame.image, picture) < 6
    half = size[0] // 2, size[1] // 2
    assert difference(at_size(frame, half), cv2.resize(picture, half)) < 8
    box = (size[0] // 5, 11, size[0] // 3, 31)
    x, y, width, height = box
    (again, _), _ = read(file)  # whose whole picture was not asked for before
    part = part_at_size(again, box, (width, height))
    assert difference(part, frame.image[y : y + height, x : x + width]) <= 2


def test_pixels_become_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    picture = smooth_picture((128, 64))
    stored = cv2.resize(picture, (64, 64))
    file = encode(tmp_path / "a.mp4", [stored], aspect=Fraction(2), rotation=90, qp="6")
    ((frame,), _) = read(file, view=View(flip=True))
    expected = np.rot90(picture)[:, ::-1]
    assert frame.size == (64, 128)
    assert difference(frame.image, expected) < 6
    small = at_size(frame, (32, 64))
    assert difference(small, cv2.resize(np.ascontiguousarray(expected), (32, 64))) < 8


def moving(count: int) -> list[np.ndarray]:
    """A white block that runs to the right over grey stripes, with soft edges."""
    pictures = []
    for number in range(count):
        picture = np.full((96, 160, 3), 70, np.uint8)
        cv2.rectangle(picture, (6 * number, 30), (6 * number + 40, 66), (230, 230, 230), -1)
        pictures.append(cv2.GaussianBlur(picture, (5, 5), 0))
    return pictures


def woven(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each second picture's odd rows with the next one's even rows: the bottom field first, as
    PyAV's frames are encoded."""
    frames = []
    for first, second in zip(pictures[::2], pictures[1::2], strict=True):
        frame = second.copy()
        frame[1::2] = first[1::2]
        frames.append(frame)
    return frames


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rotation", [None, 90])
def test_interlaced_frames_show_one_moment(
    tmp_path: Path, threads: int, rotation: int | None
) -> None:
    fields = moving(20)
    file = encode(
        tmp_path / "a.mp4", woven(fields), rotation=rotation, flags="+ildct+ilme", qp="12",
    )  # fmt: skip
    frames, errors = read(file, threads=threads)
    assert errors == []
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.time for frame in frames] == pytest.approx([k / RATE for k in range(10)])
    moments, _ = read(encode(tmp_path / "b.mp4", fields[::2], rotation=rotation, qp="12"))
    combs, _ = read(encode(tmp_path / "c.mp4", woven(fields), rotation=rotation, qp="12"))
    for frame, moment, comb in zip(frames, moments, combs, strict=True):
        worse = difference(comb.image, moment.image)
        assert difference(frame.image, moment.image) < 0.35 * worse
    for first in (1, 9):
        (one, *_), errors = read(file, view=View(first=first))
        assert errors == []
        assert one.index == first
        assert difference(one.image, frames[first].image) < 1


def test_frames_that_are_not_interlaced_are_left_alone(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", moving(6))
    frames, _ = read(file)
    reader = cv2.VideoCapture(os.fspath(file))
    for frame in frames:
        assert np.array_equal(frame.image, reader.read()[1])


def pq_code(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: what code says so much light."""
    y = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg_code(nits: np.ndarray) -> np.ndarray:
    """BT.2100's HLG on a display of 1,000 cd/m2, for greys."""
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-3)) + c
    )


def rolled_off(nits: float) -> float:
    """BT.2390's EETF from 1,000 to 203 cd/m2, one number at a time, as a share of 203 cd/m2."""
    peak, white = (float(pq_code(np.array(light))) for light in (1000.0, 203.0))
    e1, most = float(pq_code(np.array(nits))) / peak, white / peak
    ks = 1.5 * most - 0.5
    if e1 >= ks:
        t = (e1 - ks) / (1 - ks)
        e1 = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks)
        e1 += (-2 * t**3 + 3 * t**2) * most
    root = (e1 * peak) ** (1 / 78.84375)
    light = max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return 10_000 * light ** (1 / 0.1593017578125) / 203


@pytest.mark.parametrize(("curve", "code"), [(PQ, pq_code), (HLG, hlg_code)])
def test_bright_light_is_brought_into_the_range(curve: int, code: object) -> None:
    last = -1.0
    for nits in (0.0, 1.0, 10.0, 80.0, 203.0, 500.0, 1000.0):
        value = round(65535 * float(code(np.array(nits))))
        mapped = tone_mapped(np.full((2, 2, 3), value, np.uint16), curve)
        assert mapped.dtype == np.uint8
        assert np.ptp(mapped.astype(int)) <= 1  # grey stays grey
        assert abs(255 * rolled_off(nits) ** (1 / 2.4) - mapped.mean()) <= 1.5, nits
        assert mapped.mean() > last
        last = mapped.mean()
    paper = tone_mapped(
        np.full((1, 1, 3), round(65535 * float(code(np.array(203.0)))), np.uint16), curve
    )
    assert paper.min() > 220  # white stays all but white


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_videos_of_high_dynamic_range_are_ordinary_pictures(tmp_path: Path, curve: int) -> None:
    light = cv2.resize(
        np.random.default_rng(5).uniform(0.5, 400, (6, 8, 1)).astype(np.float32), (96, 64)
    )
    code = (pq_code if curve == PQ else hlg_code)(light.astype(np.float64))
    picture = np.repeat(np.round(65535 * code).astype(np.uint16)[..., None], 3, axis=2)
    file = encode(tmp_path / "a.mkv", [picture], codec="ffv1", pix_fmt="yuv420p10le", curve=curve)
    ((frame,), errors) = read(file)
    assert errors == []
    expected = tone_mapped(picture, curve)
    assert difference(frame.image, expected) < 3
    for size in ((48, 32), (47, 32), (47, 31)):
        small = cv2.resize(expected, size, interpolation=cv2.INTER_AREA)
        assert difference(at_size(frame, size), small) < 5
    part = part_at_size(frame, (13, 9, 40, 30), (40, 30))
    assert difference(part, frame.image[9:39, 13:53]) <= 2
    assert abs(float(frame.pixels.glance().mean()) - 255 * code.mean()) < 16


@pytest.mark.parametrize("sizes", [((128, 48), (64, 64)), ((64, 64), (128, 48))])
def test_a_frame_of_another_size_is_fitted_into_the_first_ones(
    tmp_path: Path, sizes: Sequence[tuple[int, int]]
) -> None:
    """Calls change their size in the middle of a stream; joined streams do the same here."""
    parts = [
        write(tmp_path / f"{k}.ts", numbered(10, size), bf="0") for k, size in enumerate(sizes)
    ]
    file = tmp_path / "all.ts"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.warns(SourceWarning, match="another size are fitted") as said:
        frames, errors = read(file)
    assert len(said) == 1
    assert errors == []
    assert [frame.index for frame in frames] == list(range(20))
    assert {frame.image.shape for frame in frames} == {(sizes[0][1], sizes[0][0], 3)}
    assert [shown(frame.image) for frame in frames[:10]] == list(range(10))
    for number, frame in enumerate(frames[10:]):
        assert difference(frame.image, fitted(barred(number, sizes[1]), sizes[0])) < 12


def test_a_picture_is_fitted_as_a_whole_in_the_middle() -> None:
    picture = np.full((10, 20, 3), 200, np.uint8)
    canvas = fitted(picture, (40, 40))
    assert (canvas[:10] == 0).all()
    assert (canvas[10:30] == 200).all()
    assert (canvas[30:] == 0).all()
    assert fitted(picture, (5, 40))[:, :, 0].any(axis=1).sum() == 2


class Jumping:
    """A camera whose clock is set back, and whose frames change their size."""

    rate = 25.0

    def __init__(self) -> None:
        self.shots: Iterator[Shot] = iter(
            [
                Shot(np.zeros((4, 6, 3), np.uint8), 100.0),
                Shot(np.zeros((4, 6, 3), np.uint8), 100.04),
                Shot(np.zeros((6, 4, 3), np.uint8), 3.0),
                Shot(np.zeros((4, 6, 3), np.uint8), 3.04),
            ]
        )

    def read(self) -> Shot:
        return next(self.shots)

    def close(self) -> None:
        pass


def test_a_cameras_times_never_fall_and_its_frames_keep_their_size() -> None:
    class Kept(Camera):
        def _frame(self, shot: Shot, number: int, taken: float) -> Frame:
            frame = super()._frame(shot, number, taken)
            if taken or number:
                frames.append(frame)
            return frame

    frames: list[Frame] = []
    with (
        pytest.warns(SourceWarning, match="another size"),
        Kept("the camera", Jumping, view=View(last=3)) as camera,
    ):
        list(camera)
    times = [frame.time for frame in frames]
    assert len(times) == 3
    assert times == sorted(times)
    assert times[-1] < 5
    assert {frame.size for frame in frames} == {(6, 4)}


@pytest.mark.parametrize(
    ("address", "may_be_told"),
    [
        ("http://admin:S3cret@host/cam?pw=T", "http://host/cam"),
        ("rtsp://host:554/cam", "rtsp://host:554/cam"),
        ("rtsp://admin:S3cret/?@host:80/cam?pw=T", "rtsp://host:80/cam"),
        ("rtsp://admin@host/a@b", "rtsp://host/a@b"),
        ("rtsp://host/a@b#T", "rtsp://host/a@b"),
        ("http://[::1]:80/cam?pw=T", "http://[::1]:80/cam"),
        ("http://host?pw=T", "http://host"),
        ("a.mp4", "a.mp4"),
    ],
)
def test_what_is_told_of_an_address(address: str, may_be_told: str) -> None:
    assert told(address) == may_be_told
