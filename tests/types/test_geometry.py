"""Points go between the frames and come back; the half-cell convention is pinned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.geometry import Geometry

sizes = st.integers(1, 5000)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    stride = draw(st.sampled_from((1, 4, 8, 16)))
    content = draw(sizes), draw(sizes)
    offset = draw(st.integers(0, 64)), draw(st.integers(0, 64))
    network = tuple(c + o + draw(st.integers(0, 64)) for c, o in zip(content, offset, strict=True))
    picture = draw(sizes), draw(sizes)
    factor = content[0] / picture[0], content[1] / picture[1]
    return Geometry(picture, network, content, factor, offset, stride)  # type: ignore[arg-type]


@given(geometries(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_picture_to_network_and_back_is_exact_to_a_ten_thousandth_of_a_pixel(
    geometry: Geometry, shares: list[tuple[float, float]]
) -> None:
    points = np.array(shares) * (np.array(geometry.picture) - 1)
    there = geometry.to_network(points)
    assert np.abs(geometry.to_picture(there) - points).max() < 1e-4
    assert np.abs(geometry.to_network(geometry.to_picture(there)) - there).max() < 1e-4


@given(geometries())
def test_the_corners_of_the_picture_are_the_corners_of_the_content(geometry: Geometry) -> None:
    # Outer edges, half a pixel beyond the centres of the first and the last pixel.
    corners = np.array([(-0.5, -0.5), np.array(geometry.picture) - 0.5])
    start = np.array(geometry.offset) - 0.5
    expected = np.array([start, start + np.array(geometry.content)])
    assert np.allclose(geometry.to_network(corners), expected, atol=1e-6)


@given(geometries(), st.integers(0, 200), st.integers(0, 200))
def test_a_cell_is_centred_in_its_square_of_network_pixels(
    geometry: Geometry, column: int, row: int
) -> None:
    first = np.array([column, row]) * geometry.stride
    pixels = first[None] + np.arange(geometry.stride)[:, None]
    centre = geometry.to_picture(pixels.mean(axis=0)[None])
    cell = np.array([[column, row]], np.float64)
    assert np.allclose(geometry.from_maps(cell), centre, atol=1e-6)


def test_a_region_lies_where_it_was_cut_out() -> None:
    # 40 x 20 pixels from (100, 50) on, seen twice as large.
    geometry = Geometry((640, 480), (96, 64), (80, 40), (2.0, 2.0), region=(100, 50, 40, 20))
    corners = np.array([(99.5, 49.5), (139.5, 69.5)])
    np.testing.assert_allclose(geometry.to_network(corners), [(-0.5, -0.5), (79.5, 39.5)])
    np.testing.assert_allclose(geometry.to_picture(geometry.to_network(corners)), corners)
    np.testing.assert_allclose(geometry.from_maps(np.zeros((1, 2))), [(101.5, 51.5)])


def test_people_who_are_found_too_high_come_back_lower() -> None:
    geometry = Geometry((640, 480), (320, 240), (320, 240), (0.5, 0.5))
    cells = np.array([(3.0, 4.0), (0.0, 0.0)])
    lower = replace(geometry, lift=1.5)
    np.testing.assert_allclose(
        lower.from_maps(cells), geometry.from_maps(cells) + np.array([0, 1.5])
    )
    np.testing.assert_allclose(lower.to_network(cells), geometry.to_network(cells))


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 0, 5), (639, 0, 2, 5), (0, 476, 5, 5)])
def test_regions_outside_the_picture_are_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="region"):
        Geometry((640, 480), (8, 8), (8, 8), (1.0, 1.0), region=region)


def test_of_maps_puts_the_first_cell_at_three_and_a_half() -> None:
    geometry = Geometry.of_maps(46, 23)
    assert geometry.picture == (368, 184)
    cells = np.array([[0.0, 0.0], [45.0, 22.0]])
    assert geometry.from_maps(cells).tolist() == [[3.5, 3.5], [363.5, 179.5]]


def lit_cells(image: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) of what a network that keeps positions would answer, in cells.

    Each cell looks 8 pixels to either side of the middle of its own 8 x 8 pixels, less the
    further: between two middles the answers share a pixel by its distance.
    """
    centre = []
    for axis in (1, 0):
        light = image[:, :, 0].astype(np.float64).sum(axis=1 - axis)
        pixels = np.arange(len(light))
        middles = pixels.reshape(-1, 8).mean(axis=1)
        answers = np.maximum(0, 1 - np.abs(pixels - middles[:, None]) / 8) @ light
        centre.append((answers * np.arange(len(answers))).sum() / answers.sum())
    return np.array(centre)


@pytest.mark.parametrize("size", [(64, 48), (61, 43), (65, 41)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["left edge", "centre", "right edge"])
def test_one_lit_pixel_comes_back_to_itself(size: tuple[int, int], share: float) -> None:
    lit = np.rint((np.array(size) - 1) * share).astype(int)
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[lit[1], lit[0]] = 255
    image, geometry = Preprocessing(height=size[1])(picture)
    assert geometry.factor == (1.0, 1.0)
    image[size[1] :] = image[:, size[0] :] = 0  # the padding

    # Only one cell sees what lies outside the outermost middles, 3.5 pixels from the edge.
    expected = np.clip(lit, 3.5, np.array(geometry.network) - 4.5)
    assert np.allclose(geometry.from_maps(lit_cells(image)), expected, atol=1e-4)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8], ids=["left", "centre", "right"])
def test_two_by_two_lit_pixels_come_back_from_half_the_size(share: float) -> None:
    lit = np.array([int(100 * share) * 2, int(75 * share) * 2])
    picture = np.zeros((150, 202, 3), np.uint8)
    picture[lit[1] : lit[1] + 2, lit[0] : lit[0] + 2] = 255
    image, geometry = Preprocessing(height=75)(picture)
    assert geometry.content == (101, 75)
    image[75:] = image[:, 101:] = 0
    assert np.allclose(geometry.from_maps(lit_cells(image)), lit + 0.5, atol=1e-4)


@pytest.mark.parametrize(
    ("column", "expected"), [(0, 3.5), (7, 59.5), (15, 123.5)], ids=["left", "middle", "right"]
)
def test_one_lit_cell_of_unscaled_maps(column: int, expected: float) -> None:
    geometry = Geometry((128, 8), (128, 8), (128, 8), (1.0, 1.0))
    assert geometry.from_maps(np.array([[column, 0.0]])).tolist() == [[expected, 3.5]]


def test_one_lit_cell_of_an_odd_picture_half_the_size() -> None:
    # 101 x 75 pixels become 51 x 38, padded to 56 x 40. Cell (2, 1) is centred on network pixel
    # (19.5, 11.5), that is 20 / 51 and 12 / 38 of the content, so of the picture.
    geometry = Geometry((101, 75), (56, 40), (51, 38), (51 / 101, 38 / 75))
    x, y = geometry.from_maps(np.array([2.0, 1.0]))
    assert x == pytest.approx(20 / 51 * 101 - 0.5)
    assert y == pytest.approx(12 / 38 * 75 - 0.5)


def test_further_columns_are_copied_and_the_source_stays() -> None:
    points = np.array([[1, 2, 0.25]], np.float32)
    moved = Geometry((10, 10), (20, 20), (20, 20), (2.0, 2.0)).to_network(points)
    assert moved.dtype == np.float32
    assert moved.tolist() == [[2.5, 4.5, 0.25]]
    assert points.tolist() == [[1, 2, 0.25]]


@pytest.mark.parametrize(
    "change",
    [
        {"picture": (0, 5)},
        {"factor": (float("nan"), 1.0)},
        {"factor": (-1.0, 1.0)},
        {"stride": 0},
        {"offset": (-1, 0)},
        {"offset": (1, 0)},
        {"content": (9, 8)},
    ],
)
def test_geometries_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    fitting: dict[str, object] = {
        "picture": (8, 8), "network": (8, 8), "content": (8, 8), "factor": (1.0, 1.0)
    }  # fmt: skip
    Geometry(**fitting)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be positive|does not lie inside"):
        Geometry(**{**fitting, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [np.zeros(()), np.zeros((3, 1))])
def test_points_need_two_columns(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="x, y first"):
        Geometry.of_maps(1, 1).to_picture(points)
