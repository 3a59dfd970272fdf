"""Several passes into one: equal weights, one frame, the mirror image undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import openpose_ext as op
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.types.geometry import Geometry

RNG_SEED = 7


def geometry(height: int, width: int, stride: int = 8, picture: int = 4) -> op.Geometry:
    """Maps of height x width cells on a picture of `picture` pixels a cell of the 10 x 12 grid."""
    network = (width * stride, height * stride)
    size = (12 * picture, 10 * picture)
    return op.Geometry(
        picture=size,
        network=network,
        content=network,
        factor=(network[0] / size[0], network[1] / size[1]),
        stride=stride,
    )


def constant(value: float, height: int, width: int, *, mirrored: bool = False) -> Pass:
    return Pass(
        np.full((19, height, width), value, np.float32),
        np.full((38, height, width), value, np.float32),
        geometry(height, width),
        mirrored,
    )


def test_all_passes_weigh_the_same_whatever_their_order() -> None:
    passes = [constant(value, 5 * k, 6 * k) for k, value in ((1, 0.1), (2, 0.5), (4, 0.9))]
    for order in (passes, passes[::-1]):
        heat, paf, finest = merge(order)
        assert finest == geometry(20, 24)
        np.testing.assert_allclose(heat, 0.5, atol=1e-6)
        np.testing.assert_allclose(paf, 0.5, atol=1e-6)


def test_passes_weigh_as_asked() -> None:
    heat, paf = np.zeros((19, 4, 5), np.float32), np.zeros((38, 4, 5), np.float32)
    geometry = Geometry.of_maps(5, 4)
    light = Pass(heat, paf, geometry)
    heavy = Pass(heat + 1, paf + 1, geometry, weight=3.0)
    for mean in merge([light, heavy])[:2]:
        np.testing.assert_allclose(mean, 0.75)


def test_a_grid_may_be_a_part_of_the_picture() -> None:
    rng = np.random.default_rng(1)
    heat = rng.normal(size=(19, 8, 10)).astype(np.float32)
    paf = rng.normal(size=(38, 8, 10)).astype(np.float32)
    # Cells 2 to 5 across and 1 to 3 down.
    grid = Geometry((80, 64), (32, 24), (32, 24), (1.0, 1.0), region=(16, 8, 32, 24))
    part_heat, part_paf, geometry = merge([Pass(heat, paf, Geometry.of_maps(10, 8))], grid=grid)
    assert geometry is grid
    np.testing.assert_allclose(part_heat, heat[:, 1:4, 2:6], atol=1e-6)
    np.testing.assert_allclose(part_paf, paf[:, 1:4, 2:6], atol=1e-6)


def test_a_single_pass_is_returned_as_it_is() -> None:
    one = constant(0.5, 10, 12)
    heat, paf, _ = merge([one])
    assert heat is one.heat
    assert paf is one.paf


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_coarse_pass_is_enlarged_as_opencv_enlarges_it(factor: int) -> None:
    rng = np.random.default_rng(RNG_SEED)
    coarse = Pass(
        rng.random((19, 5, 6), np.float32),
        rng.random((38, 5, 6), np.float32),
        geometry(5, 6),
    )
    fine = constant(0.0, 5 * factor, 6 * factor)
    heat, _, _ = merge([coarse, fine])
    for channel in range(19):
        expected = cv2.resize(
            coarse.heat[channel], (6 * factor, 5 * factor), interpolation=cv2.INTER_CUBIC
        )
        np.testing.assert_allclose(2 * heat[channel], expected, atol=2e-6)


def test_padding_of_one_pass_is_not_taken_for_picture() -> None:
    # The same scene in two inputs, one with half of its columns padding that holds nonsense.
    rng = np.random.default_rng(RNG_SEED)
    heat, paf = rng.random((19, 10, 12), np.float32), rng.random((38, 10, 12), np.float32)
    tight = Pass(heat, paf, geometry(10, 12))
    padding = ((0, 0), (0, 0), (0, 12))
    wide = Pass(
        np.pad(heat, padding, mode="edge"),
        np.pad(paf, padding, mode="edge"),
        op.Geometry(
            picture=(48, 40), network=(192, 80), content=(96, 80), factor=(2.0, 2.0), stride=8
        ),
    )
    merged, _, where = merge([tight, wide])
    assert where == tight.geometry
    np.testing.assert_allclose(merged, heat, atol=1e-6)


@pytest.mark.parametrize("topology", [op.COCO_18, op.BODY_25], ids=lambda one: one.name)
def test_a_person_and_its_mirror_image_are_the_same_person(topology: op.Topology) -> None:
    """Maps drawn from a skeleton, and from the mirrored skeleton with left and right exchanged."""
    rng = np.random.default_rng(RNG_SEED)
    parts, height, width = len(topology.parts), 30, 40
    size = np.array([width * 8, height * 8])
    points = rng.uniform(0.15, 0.85, (parts, 2)) * size
    reflected = points[list(topology.mirror)] * [-1, 1] + [size[0] - 1, 0]
    straight = draw(points, topology, height, width)
    mirrored = draw(reflected, topology, height, width)
    where = op.Geometry.of_maps(width, height)
    heat, paf, _ = merge([Pass(*straight, where), Pass(*mirrored, where, mirrored=True)], topology)
    np.testing.assert_allclose(heat, straight[0], atol=1e-5)
    np.testing.assert_allclose(paf, straight[1], atol=1e-5)


def draw(
    points: np.ndarray, topology: op.Topology, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians at the points and the limbs' unit vectors around their middles."""
    xs, ys = np.arange(width) * 8 + 3.5, np.arange(height) * 8 + 3.5

    def blob(at: np.ndarray) -> np.ndarray:
        across = np.exp(-((xs - at[0]) ** 2) / 200)
        return np.exp(-((ys[:, None] - at[1]) ** 2) / 200) * across

    heat = np.array([blob(point) for point in points], np.float32)
    paf = np.zeros((topology.paf_count, height, width), np.float32)
    for (a, b), channels in zip(topology.limbs, topology.paf_channels, strict=True):
        along = points[b] - points[a]
        for channel, part in zip(channels, along / np.hypot(*along), strict=True):
            paf[channel] = blob((points[a] + points[b]) / 2) * part
    return heat, paf


def test_values_that_are_not_finite_count_as_zero() -> None:
    broken = constant(0.5, 10, 12)
    broken.heat[:, 3, 4] = np.nan
    broken.paf[:, 0, 0] = -np.inf
    heat, paf, _ = merge([broken, constant(0.5, 10, 12)])
    assert np.isfinite(heat).all()
    assert np.isfinite(paf).all()
    assert heat[0, 3, 4] == pytest.approx(0.25)


def test_passes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="not be mirrored"):
        merge([])
    with pytest.raises(ValueError, match="not be mirrored"):
        merge([constant(1, 10, 12, mirrored=True)])
    other = Pass(*merge([constant(1, 10, 12)])[:2], geometry(10, 12, picture=5))
    with pytest.raises(ValueError, match="different sizes"):
        merge([constant(1, 10, 12), other])


def test_a_topology_without_a_mirror_image_is_refused() -> None:
    lopsided = op.Topology(
        name="lopsided",
        parts=("a", "b", "c"),
        limbs=((0, 1),),
        paf_channels=((0, 1),),
        redundant=(),
        mirror=(0, 2, 1),
        colours=((0, 0, 0),) * 3,
    )
    where = op.Geometry.of_maps(4, 4)
    heat, paf = np.zeros((3, 4, 4), np.float32), np.zeros((2, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"limb \(0, 1\) of lopsided has no mirror image"):
        merge([Pass(heat, paf, where), Pass(heat, paf, where, mirrored=True)], lopsided)
