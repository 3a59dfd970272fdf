"""A hand's maps -> its points: the fast decoder, and the seed's rules against their oracle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import hand_oracle
import openpose_ext as op
from openpose_ext.stages.decode import decode_hand_reference
from openpose_ext.types.geometry import Geometry

MISSING = [0.0, 0.0, 0.0]


def blobs(
    rng: np.random.Generator, height: int, width: int, sigma: float, channels: int = 22
) -> np.ndarray:
    """Maps of noise and a few gaussians each, some of equal height."""
    y, x = np.mgrid[:height, :width]
    maps = rng.normal(0, 0.02, (channels, height, width))
    for values in maps:
        for _ in range(rng.integers(0, 4)):
            cx, cy = rng.uniform(-2, width + 2), rng.uniform(-2, height + 2)
            strength = rng.choice([0.08, 0.3, 0.6, 0.9])
            values += strength * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return maps


def undecided(values: np.ndarray) -> bool:
    """Whether a pixel lies so close to the threshold that rounding may decide."""
    return bool((np.abs(gaussian_filter(values, 3.0) - hand_oracle.THRESHOLD) < 1e-12).any())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_reference_gives_the_seeds_points(dtype: type) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        height, width = rng.integers(1, 90, 2)
        maps = blobs(rng, height, width, rng.uniform(1, 12)).astype(dtype)
        found, expected = decode_hand_reference(maps), hand_oracle.points(maps)
        for part in range(21):
            if not undecided(maps[part].astype(np.float64)):
                np.testing.assert_array_equal(found[part, :2], expected[part, :2])
                np.testing.assert_allclose(found[part, 2], expected[part, 2], atol=1e-12)


def test_the_reference_agrees_on_hostile_noise() -> None:
    rng = np.random.default_rng(1)
    for spread in (0.1, 1.0, 10.0):
        maps = rng.normal(0.03, spread, (22, 41, 57))
        np.testing.assert_allclose(decode_hand_reference(maps), hand_oracle.points(maps))


def test_a_component_without_heat_of_its_own_loses_to_the_first_pixel_outside() -> None:
    """Halfway between two lit pixels the smoothed map is higher than on them."""
    maps = np.zeros((21, 60, 60))
    maps[:, 30, [27, 33]] = 2.413
    maps[1, 28:33, 28:33] = -1e-6
    smoothed = gaussian_filter(maps[1], 3.0)
    assert smoothed[30, 30] > hand_oracle.THRESHOLD > smoothed[30, 27]
    assert (decode_hand_reference(maps) == 0).all()
    assert (hand_oracle.points(maps) == 0).all()
    rng = np.random.default_rng(2)
    for _ in range(300):
        # Small maps are reflected many times: smoothed, they are nearly flat.
        maps = rng.normal(0, 0.3, (21, 3, 4))
        np.testing.assert_allclose(decode_hand_reference(maps), hand_oracle.points(maps))


@pytest.mark.parametrize(("cells", "side"), [(23, 97), (46, 368), (46, 40), (12, 300)])
def test_reference_mode_enlarges_the_maps_as_the_seed_does(cells: int, side: int) -> None:
    rng = np.random.default_rng(cells)
    maps = blobs(rng, cells, cells, 1.5).astype(np.float32)
    size = 8 * cells
    geometry = Geometry((side, side), (size, size), (size, size), (size / side, size / side))
    found = op.decode_hand(maps, geometry=geometry, mode="reference")
    expected = hand_oracle.points(hand_oracle.full_size(maps, side))
    seen = expected[:, 2] > 0
    np.testing.assert_array_equal(found[seen, :2], expected[seen, :2])
    assert (found[~seen] == MISSING).all()
    assert found.dtype == np.float32
    assert (found[seen, 2] > 0.05).all()
    np.testing.assert_allclose(found[seen, 2], np.clip(expected[seen, 2], 0.05, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_fast_decoder_takes_each_maps_highest_cell(dtype: type) -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        maps = blobs(rng, *rng.integers(1, 50, 2), rng.uniform(0.6, 3)).astype(dtype)
        found, expected = op.decode_hand(maps), hand_oracle.highest(maps)
        seen = expected[:, 2] > 0.1
        size = 8 * np.array(maps.shape[:0:-1])
        in_network = np.clip((expected[:, :2] + 0.5) * 8 - 0.5, 0, size - 1)
        np.testing.assert_allclose(found[seen, :2], in_network[seen], atol=1e-3)
        np.testing.assert_allclose(found[seen, 2], np.minimum(expected[seen, 2], 1), atol=1e-6)
        assert (found[~seen] == MISSING).all()


def test_a_lit_cell_comes_out_where_it_lies_in_the_picture() -> None:
    geometry = Geometry((100, 60), (200, 120), (200, 120), (2.0, 2.0))
    for column, row in ((0, 0), (12, 7), (24, 14)):
        maps = np.zeros((21, 15, 25), np.float32)
        maps[:, row, column] = 0.5
        expected = ((8 * column + 4) / 2 - 0.5, (8 * row + 4) / 2 - 0.5, 0.5)
        np.testing.assert_allclose(op.decode_hand(maps, geometry=geometry), [expected] * 21)


def test_what_is_no_hand_is_refused() -> None:
    for channels in (19, 20, 23):
        for mode in ("fast", "reference"):
            with pytest.raises(ValueError, match=f"heat has {channels} channels; a hand's 21"):
                op.decode_hand(np.zeros((channels, 4, 4), np.float32), mode=mode)  # type: ignore
    with pytest.raises(TypeError, match="float32 or float16"):
        op.decode_hand(np.zeros((22, 4, 4), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float32 or float64"):
        decode_hand_reference(np.zeros((22, 4, 4), np.float16))
    with pytest.raises(ValueError, match="mode must be"):
        op.decode_hand(np.zeros((22, 4, 4), np.float32), mode="slow")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels, height, width"):
        op.decode_hand(np.zeros((4, 4), np.float32))


def test_the_geometry_of_other_maps_is_refused() -> None:
    geometry = Geometry((100, 60), (200, 120), (200, 120), (2.0, 2.0))
    with pytest.raises(ValueError, match="maps of 9 x 9 cells are not those of"):
        op.decode_hand(np.zeros((22, 9, 9), np.float32), geometry=geometry)
