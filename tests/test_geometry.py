"""Points go between the frames and come back; the half-cell convention is pinned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpose_ext.geometry import Geometry
from openpose_ext.preprocess import Preprocessing

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


def test_of_maps_puts_the_first_cell_at_three_and_a_half() -> None:
    geometry = Geometry.of_maps(46, 23)
    assert geometry.picture == (368, 184)
    cells = np.array([[0.0, 0.0], [45.0, 22.0]])
    assert geometry.from_maps(cells).tolist() == [[3.5, 3.5], [363.5, 179.5]]


@pytest.mark.parametrize("size", [(64, 48), (61, 43), (65, 49), (120, 90), (121, 91)])
@pytest.mark.parametrize("where", ["left edge", "centre", "right edge"])
def test_one_lit_block_comes_back_to_where_it_was(size: tuple[int, int], where: str) -> None:
    # A network that averages each 8 x 8 square sees one lit block of picture pixels; the block's
    # centre of mass in the maps must be its centre in the picture: 8 pixels of the picture, or 16
    # for the larger ones, are shrunk or kept, padded, averaged, and found again.
    width, height = size
    rows = 48 if height <= 50 else 45
    block = 8 if height <= 50 else 16
    left = {"left edge": 0, "centre": (width - block) // 2, "right edge": width - block}[where]
    top = {"left edge": 0, "centre": (height - block) // 2, "right edge": height - block}[where]
    picture = np.zeros((height, width, 3), np.uint8)
    picture[top : top + block, left : left + block] = 255

    image, geometry = Preprocessing(height=rows)(picture)
    content = np.zeros(image.shape[:2])
    content[: geometry.content[1], : geometry.content[0]] = image[
        : geometry.content[1], : geometry.content[0], 0
    ]
    cells = content.reshape(image.shape[0] // 8, 8, image.shape[1] // 8, 8).mean(axis=(1, 3))
    y, x = np.indices(cells.shape)
    centre = np.array([[(cells * x).sum(), (cells * y).sum()]]) / cells.sum()

    expected = np.array([left, top]) + (block - 1) / 2
    # The centre of mass over cells is quantised by the averaging: half a cell when the block lies
    # inside one cell, nothing when it fills whole cells. Half a cell is what a wrong convention
    # (a cell at 8 j, or at 8 j + 4) would be off by in the exact cases.
    exact = (geometry.to_network(np.array([[left, top]]) - 0.5) + 0.5) % 8
    tolerance = np.where(np.minimum(exact, 8 - exact) < 1e-6, 0.51, 4.0 / np.array(geometry.factor))
    assert np.all(np.abs(geometry.from_maps(centre) - expected) <= tolerance)


@pytest.mark.parametrize(
    "column, expected", [(0, 3.5), (7, 59.5), (15, 123.5)], ids=["left", "middle", "right"]
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
    with pytest.raises(ValueError, match="must be positive|does not lie inside"):
        Geometry(**{**fitting, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [np.zeros(()), np.zeros((3, 1))])
def test_points_need_two_columns(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="x, y first"):
        Geometry.of_maps(1, 1).to_picture(points)
