"""Pictures become network inputs: sizes, padding, resizing, and what counts as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openpose_ext.errors import SourceError
from openpose_ext.sources.pictures import as_picture
from openpose_ext.stages.preprocess import Preprocessing


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "height", "content", "network"),
    [
        ((640, 480), 368, (491, 368), (496, 368)),  # 490.67 columns
        ((480, 640), 368, (276, 368), (280, 368)),
        ((1920, 1080), 368, (654, 368), (656, 368)),
        ((368, 368), 368, (368, 368), (368, 368)),  # nothing to do
        ((100, 50), 368, (736, 368), (736, 368)),  # enlarged
        ((640, 480), 180, (240, 180), (240, 184)),  # a height that is no multiple of the stride
        ((100, 10000), 368, (4, 368), (8, 368)),
        ((1, 10000), 368, (1, 368), (8, 368)),  # less than half a column stays one
        ((1, 1), 368, (368, 368), (368, 368)),
        ((3000, 500), 368, (2208, 368), None),  # longer than 1312: a smaller factor
    ],
)
def test_sizes(
    size: tuple[int, int],
    height: int,
    content: tuple[int, int],
    network: tuple[int, int] | None,
) -> None:
    image, geometry = Preprocessing(height=height, max_pixels=368 * 1312)(noise(*size))
    if network is None:
        assert geometry.network[0] * geometry.network[1] <= 368 * 1312
        assert geometry.content[1] < height
        return
    assert (geometry.content, geometry.network) == (content, network)
    assert image.shape == (network[1], network[0], 3)
    assert image.dtype == np.uint8
    assert geometry.picture == size
    assert geometry.factor == (content[0] / size[0], content[1] / size[1])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.integers(1, 500),
    st.sampled_from((4, 8, 16)),
    st.integers(256, 60_000),
)
@example(width=100_000, height=1, rows=368, stride=8, max_pixels=10_000)
@example(width=1, height=100_000, rows=368, stride=8, max_pixels=10_000)
def test_the_largest_input_within_bounds_is_chosen(
    width: int, height: int, rows: int, stride: int, max_pixels: int
) -> None:
    picture = np.broadcast_to(np.uint8(7), (height, width, 3))
    _, geometry = Preprocessing(height=rows, stride=stride, max_pixels=max_pixels)(picture)
    columns, used = geometry.content

    def network(columns: int, rows: int) -> tuple[int, int]:
        return -(-columns // stride) * stride, -(-rows // stride) * stride

    assert geometry.network == network(columns, used)
    assert geometry.network[0] * geometry.network[1] <= max_pixels
    assert 1 <= used <= rows
    if used < rows:  # one row more, and its columns, would not have fitted
        wider, higher = network(max(1, round(width * (used + 1) / height)), used + 1)
        assert wider * higher > max_pixels
    if used > 1:
        assert abs(columns - max(1, width * used / height)) <= 0.5


def test_no_bound_on_the_pixels_when_none_is_asked_for() -> None:
    _, geometry = Preprocessing(max_pixels=None)(noise(3000, 500))
    assert geometry.content == (2208, 368)


def test_the_image_lies_top_left_and_the_rest_is_grey() -> None:
    picture = noise(50, 30)
    image, geometry = Preprocessing(height=30)(picture)
    assert geometry.network == (56, 32)
    assert np.array_equal(image[:30, :50], picture)
    assert np.all(image[30:] == 128)
    assert np.all(image[:, 50:] == 128)


def test_the_input_has_its_own_memory_and_the_picture_stays() -> None:
    picture = noise(64, 64)
    before = picture.copy()
    image, _ = Preprocessing(height=64)(picture)
    assert not np.shares_memory(image, picture)
    image[:] = 0
    assert np.array_equal(picture, before)


def test_shrinking_averages_areas() -> None:
    picture = noise(64, 64)
    image, _ = Preprocessing(height=16)(picture)
    means = picture.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(image - means).max() <= 0.5


def test_enlarging_keeps_a_ramp_a_ramp() -> None:
    ramp = np.repeat(np.arange(0, 200, 5, np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
    image, geometry = Preprocessing(height=80)(ramp)
    columns = geometry.to_picture(np.array([[x, 0.0] for x in range(80)]))[:, 0]
    inside = slice(4, -4)
    assert np.abs(image[40, inside, 0] - columns[inside] * 5).max() <= 1


def test_read_only_and_reversed_pictures_are_fine() -> None:
    picture = noise(97, 61)
    picture.setflags(write=False)
    for view in (picture, picture[:, ::-1], picture[::2, ::3], np.asfortranarray(picture)):
        image, _ = Preprocessing(height=32)(view)
        assert np.array_equal(image, Preprocessing(height=32)(view.copy())[0])


@pytest.mark.parametrize(
    ("size", "content"),
    [
        ((640, 480), (368, 276)),
        ((480, 640), (276, 368)),
        ((10, 1000), (4, 368)),
        ((1, 1), (368,) * 2),
    ],
)
def test_a_fixed_size_gets_the_largest_image_that_fits(
    size: tuple[int, int], content: tuple[int, int]
) -> None:
    image, geometry = Preprocessing(fixed_size=(368, 368), height=9, max_pixels=64)(noise(*size))
    assert image.shape == (368, 368, 3)
    assert (geometry.network, geometry.content) == ((368, 368), content)


def test_stretching_fills_the_input() -> None:
    _image, geometry = Preprocessing(height=180, fit="stretch")(noise(640, 480))
    assert geometry.content == geometry.network == (240, 184)
    assert geometry.factor == (240 / 640, 184 / 480)
    _, geometry = Preprocessing(fit="stretch", fixed_size=(100, 50))(noise(640, 480))
    assert geometry.content == geometry.network == (100, 50)


@pytest.mark.parametrize(
    ("width", "columns"), [(3, 2), (5, 2), (7, 4), (9, 4), (133, 66), (135, 68)]
)
def test_the_seed_rounds_sizes_half_to_even(width: int, columns: int) -> None:
    _, geometry = Preprocessing(height=50, resize="seed")(noise(width, 100))
    assert geometry.content == (columns, 50)
    assert geometry.factor == (0.5, 0.5)


def cubic_rows(rows: np.ndarray, step: float, count: int) -> np.ndarray:
    """Resampled along the first axis by the cubic kernel with a = -0.75, edges repeated."""
    a = -0.75
    source = (np.arange(count) + 0.5) * step - 0.5
    first = np.floor(source).astype(int)
    t = source - first
    weights = [
        ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((a + 2) * (1 - t) - (a + 3)) * (1 - t) ** 2 + 1,
    ]
    weights.append(1 - sum(weights))
    taps = [np.clip(first + k, 0, len(rows) - 1) for k in (-1, 0, 1, 2)]
    return sum(w[:, None, None] * rows[tap] for w, tap in zip(weights, taps, strict=True))


@pytest.mark.parametrize("size", [(133, 101), (101, 133), (64, 64), (57, 211)])
def test_the_seed_samples_by_the_factor_and_not_by_the_sizes(size: tuple[int, int]) -> None:
    picture = noise(*size)
    image, geometry = Preprocessing(height=184, resize="seed", max_pixels=None)(picture)
    step = size[1] / 184
    columns = round(size[0] / step)
    expected = cubic_rows(picture.astype(np.float64), step, 184)
    expected = cubic_rows(expected.transpose(1, 0, 2), step, columns).transpose(1, 0, 2)
    assert geometry.content == (columns, 184)
    assert np.abs(image[:, :columns] - np.clip(np.rint(expected), 0, 255)).max() <= 1


def test_a_picture_on_which_the_seed_fails_is_a_column_wide() -> None:
    image, geometry = Preprocessing(height=184, resize="seed")(noise(1, 1000))
    assert image.shape == (184, 8, 3)
    assert geometry.content == (1, 184)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fit": "crop"}, '"pad" or "stretch"'),
        ({"resize": "linear"}, '"area", "seed" or "cubic"'),
        ({"height": 0}, "height must be at least 1"),
        ({"stride": -8}, "stride must be at least 1"),
        ({"max_pixels": 63}, "one map cell of 8 x 8"),
        ({"resize": "seed", "fit": "stretch"}, "one factor for both axes"),
        ({"resize": "seed", "fixed_size": (8, 8)}, "one factor for both axes"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**wrong)  # type: ignore[arg-type]


def test_a_height_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="height must be a whole number"):
        Preprocessing(height=36.5)  # type: ignore[arg-type]


def test_an_array_is_taken_as_it_is() -> None:
    picture = noise(5, 4)
    assert as_picture(picture) is picture


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), TypeError, "uint8 with values 0 to 255, not float32"),
        (np.zeros((4, 5, 3), np.uint16), TypeError, "not uint16"),
        (np.zeros((4, 5), np.uint8), ValueError, r"\(height, width, 3\).*not \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, "alpha"),
        (np.zeros((1, 4, 5, 3), np.uint8), ValueError, r"\(1, 4, 5, 3\).*batch"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "empty"),
        (None, TypeError, "there is no picture"),
        (b"a.jpg", TypeError, "not builtins.bytes"),
        ([[[1, 2, 3]]], TypeError, "not a list"),
    ],
)
def test_what_is_no_picture_is_refused(wrong: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_picture(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_a_path_is_read(tmp_path: Path, kind: type) -> None:
    picture = noise(20, 10)
    cv2.imwrite(os.fspath(tmp_path / "a.png"), picture)
    assert np.array_equal(as_picture(kind(tmp_path / "a.png")), picture)


def test_a_path_that_cannot_be_read_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"b\.png"):
        as_picture(tmp_path / "b.png")


@pytest.fixture
def pil() -> ModuleType:
    """The images of Pillow, where it is installed."""
    return pytest.importorskip("PIL.Image")


def test_pil_rgb_becomes_bgr(pil: ModuleType) -> None:
    picture = noise(7, 5)
    image = pil.fromarray(picture[:, :, ::-1])
    assert np.array_equal(as_picture(image), picture)
    assert as_picture(image).flags.c_contiguous


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_pil_modes_are_converted(pil: ModuleType, mode: str) -> None:
    image = pil.new("RGB", (6, 4), "white").convert(mode)
    assert np.array_equal(as_picture(image), np.full((4, 6, 3), 255, np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_in_pil_is_white(pil: ModuleType, mode: str) -> None:
    image = pil.new("RGBA", (6, 4), (0, 0, 0, 0)).convert(mode)
    assert np.all(as_picture(image) == 255)


def test_the_orientation_of_a_pil_image_is_applied(pil: ModuleType) -> None:
    picture = noise(7, 5)
    image = pil.fromarray(picture[:, :, ::-1])
    image.getexif()[0x0112] = 6  # to be turned clockwise
    assert np.array_equal(as_picture(image), np.rot90(picture, -1))


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_pil_images_of_more_than_eight_bits_are_refused(pil: ModuleType, mode: str) -> None:
    with pytest.raises(TypeError, match="more than 8 bits"):
        as_picture(pil.new(mode, (2, 2)))
