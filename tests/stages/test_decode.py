"""The decoder through Python: what it takes, what it gives, and how well it finds people."""

from __future__ import annotations

import pickle
import re
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import openpose_ext as op
from drawn_maps import HEIGHT, WIDTH, Maps, crowd, draw, empty_maps, standing
from openpose_ext import _core
from openpose_ext.stages.decode import connect, decode_bodies, find_peaks
from openpose_ext.types.scores import FILLED_SCORE

Floats = npt.NDArray[np.float32]

FAST = op.DecodeOptions()

examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def chain(parts: int) -> op.Topology:
    """Return a skeleton of parts in a row, each joined to the next."""
    return op.Topology(
        name=f"chain_{parts}",
        parts=tuple(f"part{k}" for k in range(parts)),
        limbs=tuple((k, k + 1) for k in range(parts - 1)),
        paf_channels=tuple((2 * k, 2 * k + 1) for k in range(parts - 1)),
        redundant=(),
        mirror=tuple(range(parts)),
        colours=((0, 0, 0),) * parts,
    )


def assert_sound(poses: op.Poses) -> None:
    """Check what holds for every result."""
    people, parts = len(poses), len(poses.topology.parts)
    assert poses.keypoints.shape == (people, parts, 3)
    assert poses.scores.shape == (people,)
    assert poses.filled.shape == (people, parts)
    assert poses.keypoints.dtype == poses.scores.dtype == np.float32
    assert np.isfinite(poses.keypoints).all()
    assert np.isfinite(poses.scores).all()
    assert (np.diff(poses.scores) <= 0).all()
    x, y, score = np.moveaxis(poses.keypoints, 2, 0)
    assert ((x >= 0) & (x <= poses.size[0] - 1) & (y >= 0) & (y <= poses.size[1] - 1)).all()
    missing = score == 0
    assert (poses.keypoints[missing] == 0).all()
    seen = ~missing & ~poses.filled
    assert ((score[poses.filled] > 0) & (score[poses.filled] <= FILLED_SCORE)).all()
    assert ((score[seen] > FILLED_SCORE) & (score[seen] <= 1)).all()


def assert_equal(one: op.Poses, other: op.Poses) -> None:
    """Check that two results are the same to the last bit."""
    np.testing.assert_array_equal(one.keypoints, other.keypoints)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.filled, other.filled)
    assert one.size == other.size


# Who is found


def test_nobody_is_found_in_empty_maps() -> None:
    poses = op.decode_body(*empty_maps())
    assert_sound(poses)
    assert len(poses) == 0
    assert poses.size == (8 * WIDTH, 8 * HEIGHT)


@pytest.mark.parametrize("assignment", ["greedy", "hungarian"])
def test_everybody_is_found_where_drawn(assignment: Any) -> None:
    poses = op.decode_body(*crowd(), options=op.DecodeOptions(assignment=assignment))
    assert_sound(poses)
    assert len(poses) == 3
    for person, (x, size) in zip(poses, ((27.0, 34.0), (47.6, 26.0), (9.3, 20.0)), strict=True):
        expected = (np.array(standing(x, 9.0, size)) + 0.5) * 8 - 0.5
        np.testing.assert_allclose(person.keypoints[0, :, :2], expected, atol=0.1)
        assert (person.keypoints[0, :, 2] > 0.5).all()
        assert not person.filled.any()


def test_the_background_may_be_left_out() -> None:
    heat, paf = crowd()
    assert_equal(op.decode_body(heat[:18], paf), op.decode_body(heat, paf))


def test_somebody_cut_by_the_edge_keeps_the_parts_inside() -> None:
    maps = empty_maps()
    draw(maps, standing(0.2, 9, 30))
    poses = op.decode_body(*maps)
    assert_sound(poses)
    assert len(poses) == 1
    assert (poses.keypoints[0, [5, 6, 7, 11, 12, 13], 2] > 0.5).all()
    assert (poses.keypoints[0, [2, 3, 4, 8, 9, 10], 2] <= FILLED_SCORE).all()


def test_max_people_keeps_the_best() -> None:
    maps = crowd()
    everybody = op.decode_body(*maps)
    for most in (1, 2, 3, 50):
        best = op.decode_body(*maps, options=op.DecodeOptions(max_people=most))
        assert_equal(best, everybody[:most])


def test_min_parts_drops_people_of_fewer_seen_parts() -> None:
    heat, paf = crowd()
    heat[5:, :, 40:] = 0  # the one on the right keeps head, neck and an arm: parts 0 to 4
    found = {
        least: len(op.decode_body(heat, paf, options=op.DecodeOptions(min_parts=least, fill=False)))
        for least in (3, 5, 6, 18)
    }
    assert found == {3: 3, 5: 3, 6: 2, 18: 2}


def test_min_score_drops_people_of_less_evidence() -> None:
    heat, paf = crowd()
    heat[:, :, 40:] *= 0.3
    paf[:, :, 40:] *= 0.3
    found = [
        len(op.decode_body(heat, paf, options=op.DecodeOptions(min_score=least)))
        for least in (0.0, 0.4, 0.8, 2.0)
    ]
    assert found == [3, 3, 2, 0]


def test_a_weak_part_is_filled_and_marked() -> None:
    heat, paf = empty_maps()
    points = standing(30, 9, 28)
    draw((heat, paf), points)
    heat[4] *= 0.06
    poses = op.decode_body(heat, paf)
    assert_sound(poses)
    assert poses.filled.nonzero() == (np.array([0]), np.array([4]))
    np.testing.assert_allclose(
        poses.keypoints[0, 4, :2], (np.array(points[4]) + 0.5) * 8 - 0.5, atol=0.1
    )
    seen = op.decode_body(heat, paf, options=op.DecodeOptions(fill=False))
    assert not seen.filled.any()
    assert (seen.keypoints[0, 4] == 0).all()
    others = np.arange(18) != 4
    np.testing.assert_array_equal(seen.keypoints[:, others], poses.keypoints[:, others])
    np.testing.assert_array_equal(seen.scores, poses.scores)


def test_seen_parts_score_above_the_filled_ones_whatever_the_threshold() -> None:
    heat, paf = crowd()
    heat *= 0.04
    poses = op.decode_body(
        heat, paf, options=op.DecodeOptions(peak_threshold=0.02, min_score=0.0, fill=False)
    )
    assert_sound(poses)
    assert len(poses) == 3
    assert (poses.keypoints[..., 2] > FILLED_SCORE).all()


# What comes in


def test_a_limb_across_the_picture_is_no_limb() -> None:
    points = standing(10.0, 9.0, 20.0)
    knee = op.COCO_18.parts.index("RKnee")
    points[knee] = (55.0, points[knee][1])
    maps = empty_maps()
    draw(maps, points)
    (found,) = op.decode_body(*maps).keypoints
    (joined,) = op.decode_body(*maps, topology=replace(op.COCO_18, lengths=())).keypoints
    assert joined[knee, 0] == pytest.approx(8 * 55 + 3.5, abs=2)
    assert found[knee, 0] < 8 * 20
    ankle = op.COCO_18.parts.index("RAnkle")
    np.testing.assert_array_equal(
        np.delete(found, (knee, ankle), axis=0), np.delete(joined, (knee, ankle), axis=0)
    )


def test_people_of_any_size_keep_all_their_limbs() -> None:
    for size in (6.0, 12.0, 34.0):
        maps = empty_maps()
        draw(maps, standing(30.0, 9.0, size))
        (found,) = op.decode_body(*maps).keypoints
        (free,) = op.decode_body(*maps, topology=replace(op.COCO_18, lengths=())).keypoints
        np.testing.assert_array_equal(found, free)


def test_float16_is_decoded_as_its_float32() -> None:
    heat, paf = (maps.astype(np.float16) for maps in crowd())
    expected = op.decode_body(heat.astype(np.float32), paf.astype(np.float32))
    assert len(expected) == 3
    assert_equal(op.decode_body(heat, paf), expected)
    assert_equal(op.decode_body(heat, paf.astype(np.float32)), expected)


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "bool", "complex64", "object"])
@pytest.mark.parametrize("name", ["heat", "paf"])
def test_other_types_are_refused_with_what_to_do(name: str, dtype: str) -> None:
    maps: dict[str, Any] = dict(zip(("heat", "paf"), empty_maps(4, 5), strict=True))
    maps[name] = maps[name].astype(dtype)
    with pytest.raises(TypeError, match=rf"{name} .*float32.*{dtype}.*astype\(numpy\.float32\)"):
        op.decode_body(**maps)


def padded_rows(maps: Floats) -> Floats:
    """Return the maps as the left part of wider ones full of NaN."""
    wide = np.full((*maps.shape[:2], maps.shape[2] + 5), np.nan, maps.dtype)
    wide[..., : maps.shape[2]] = maps
    return wide[..., : maps.shape[2]]


def unaligned(maps: Floats) -> Floats:
    """Return the maps a byte beside where their numbers belong."""
    store = np.zeros(maps.nbytes + 1, np.uint8)
    view = store[1:].view(maps.dtype).reshape(maps.shape)
    view[...] = maps
    return view


def read_only(maps: Floats) -> Floats:
    """Return a copy that refuses to be written to."""
    copy = maps.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "channels backwards": lambda maps: maps[::-1].copy()[::-1],
    "rows backwards": lambda maps: maps[:, ::-1].copy()[:, ::-1],
    "columns backwards": lambda maps: maps[:, :, ::-1].copy()[:, :, ::-1],
    "everything backwards": lambda maps: maps[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "channels last": lambda maps: np.moveaxis(np.moveaxis(maps, 0, 2).copy(), 2, 0),
    "Fortran": np.asfortranarray,
    "every other channel": lambda maps: np.repeat(maps, 2, axis=0)[::2],
    "every other row": lambda maps: np.repeat(maps, 2, axis=1)[:, ::2],
    "every other column": lambda maps: np.repeat(maps, 2, axis=2)[:, :, ::2],
    "padded rows": padded_rows,
    "unaligned": unaligned,
    "byte-swapped": lambda maps: maps.astype(maps.dtype.newbyteorder()),
    "read-only": read_only,
    "subclass": lambda maps: maps.view(np.recarray),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_does_not_matter(layout: str) -> None:
    heat, paf = crowd()
    change = LAYOUTS[layout]
    expected = op.decode_body(heat, paf)
    assert len(expected) == 3
    assert_equal(op.decode_body(change(heat), change(paf)), expected)
    assert_equal(op.decode_body(change(heat), paf), expected)
    half = (maps.astype(np.float16) for maps in (heat, paf))
    assert_equal(
        op.decode_body(*(change(maps) for maps in half)),
        op.decode_body(heat.astype(np.float16), paf.astype(np.float16)),
    )


class Tensor:
    """Maps of another library, which NumPy takes as they are."""

    def __init__(self, maps: Floats | None) -> None:
        self._maps = maps

    def __array__(self, dtype: Any = None, copy: Any = None) -> Floats:
        if self._maps is None:
            raise RuntimeError("they are on a GPU. Use cpu() first.\nAnd much more")
        return self._maps


def test_maps_of_other_libraries_are_taken() -> None:
    heat, paf = crowd()
    expected = op.decode_body(heat, paf)
    assert len(expected)
    assert_equal(op.decode_body(Tensor(heat), Tensor(paf)), expected)
    assert_equal(op.decode_bodies([(Tensor(heat), Tensor(paf))])[0], expected)


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_what_numpy_cannot_take_is_refused_in_a_line(mode: Any) -> None:
    heat, paf = empty_maps(6, 7)
    for maps, message in (
        (Tensor(None), r"heat must be a NumPy array, not .*Tensor: they are on a GPU. Use cpu\(\)"),
        (heat.tolist(), "heat must be a NumPy array, not list"),
    ):
        with pytest.raises(TypeError, match=message) as caught:
            op.decode_body(maps, paf, mode=mode)
        assert "\n" not in str(caught.value)


def test_maps_are_never_written_to() -> None:
    heat, paf = crowd()
    rng = np.random.default_rng(1)
    for maps in (heat, paf):
        maps[rng.random(maps.shape) < 0.05] = np.nan
    before = heat.tobytes(), paf.tobytes()
    for mode in ("fast", "reference"):
        op.decode_body(heat, paf, mode=mode)
    assert (heat.tobytes(), paf.tobytes()) == before


def most_memory(call: Callable[[], object]) -> int:
    """Return the bytes that NumPy and Python held at most beyond what they held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_float32_with_adjacent_cells_is_not_copied() -> None:
    heat, paf = empty_maps(92, 164)
    assert most_memory(lambda: op.decode_body(heat, paf)) < heat.nbytes / 10
    flipped = paf[:, ::-1]
    assert most_memory(lambda: op.decode_body(heat, flipped)) < heat.nbytes / 10
    # Were the measure blind, this copy would not show either.
    packed = paf.astype(">f4")
    assert most_memory(lambda: op.decode_body(heat, packed)) > paf.nbytes / 2


HEAT, PAF = empty_maps(6, 7)
WRONG = {
    "too few parts": (HEAT[:17], PAF, r"heat has 17 channels.*18 parts.*19"),
    "both together": (np.zeros((57, 6, 7), np.float32), PAF, r"heat has 57 channels"),
    "half a limb": (HEAT, PAF[:37], r"paf has 37 channels.*19 limbs need 38"),
    "no fields": (HEAT, PAF[:0], r"paf has 0 channels"),
    "exchanged": (PAF, HEAT, r"heat has 38 channels"),
    "another height": (HEAT, PAF[:, :5], r"heat is 6 x 7 .*paf is 5 x 7"),
    "another width": (HEAT[..., :3], PAF, r"heat is 6 x 3 .*paf is 6 x 7"),
    "a batch of heat": (HEAT[None], PAF, r"heat must be .*channels, height, width"),
    "a batch of fields": (HEAT, PAF[None], r"paf must be .*4-dimensional"),
    "one map": (HEAT[0], PAF, r"heat must be"),
    "no rows": (HEAT[:, :0], PAF[:, :0], r"positive|cells"),
    "no columns": (HEAT[..., :0], PAF[..., :0], r"positive|cells"),
    "no fields' cells": (HEAT, PAF[..., :0], r"paf"),
}


@pytest.mark.parametrize(("heat", "paf", "message"), WRONG.values(), ids=WRONG)
def test_maps_that_do_not_fit_are_named(heat: Floats, paf: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        op.decode_body(heat, paf)


@pytest.mark.parametrize("name", ["half a limb", "exchanged", "another height", "another width"])
def test_maps_that_do_not_fit_are_refused_in_reference_mode_too(name: str) -> None:
    heat, paf, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        op.decode_body(heat, paf, mode="reference")


def test_another_skeletons_maps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heat has 19 channels.*25"):
        op.decode_body(*empty_maps(6, 7), topology=op.BODY_25)


# Hostile values

HOSTILE = [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, 1.0, 0.5, 0.0, -0.0, -1.0]
FLOATS = st.one_of(
    st.sampled_from(HOSTILE),
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.floats(0, 1, width=32),
)


@st.composite
def any_maps(draw_from: st.DrawFn) -> tuple[op.Topology, Floats, Floats]:
    """Draw a skeleton with limbs between any parts, and maps of any values."""
    parts = draw_from(st.integers(1, 6))
    ends = st.tuples(st.integers(0, parts - 1), st.integers(0, parts - 1))
    limbs = tuple(draw_from(st.lists(ends.filter(lambda pair: pair[0] != pair[1]), max_size=7)))
    topology = replace(
        chain(parts),
        limbs=limbs,
        paf_channels=tuple((2 * k, 2 * k + 1) for k in range(len(limbs))),
        redundant=tuple(k for k in range(len(limbs)) if draw_from(st.booleans())),
    )
    height, width = draw_from(st.integers(1, 9)), draw_from(st.integers(1, 40))
    background = draw_from(st.booleans())
    fill = draw_from(FLOATS)
    heat = draw_from(
        hnp.arrays(
            np.float32, (parts + background, height, width), elements=FLOATS, fill=st.just(fill)
        )
    )
    paf = draw_from(
        hnp.arrays(np.float32, (2 * len(limbs), height, width), elements=FLOATS, fill=st.just(fill))
    )
    return topology, heat, paf


@examples
@given(any_maps(), st.sampled_from(["greedy", "hungarian"]), st.booleans())
def test_any_maps_of_any_skeleton_give_sound_people(
    maps: tuple[op.Topology, Floats, Floats], assignment: Any, lenient: bool
) -> None:
    topology, heat, paf = maps
    options = op.DecodeOptions(assignment=assignment)
    if lenient:
        options = replace(options, min_parts=1, min_score=0.0, min_paf_share=0.0, paf_threshold=0.0)
    assert_sound(op.decode_body(heat, paf, topology=topology, options=options))


@examples
@given(any_maps())
def test_any_maps_of_any_skeleton_give_sound_people_in_reference_mode(
    maps: tuple[op.Topology, Floats, Floats],
) -> None:
    topology, heat, paf = maps
    assert_sound(op.decode_body(heat, paf, topology=topology, mode="reference", stride=2))


@pytest.mark.parametrize("value", HOSTILE)
def test_flat_maps_give_nobody(value: float) -> None:
    heat, paf = empty_maps()
    heat[:] = value
    paf[:] = value
    assert len(op.decode_body(heat, paf)) == 0


@pytest.mark.parametrize("assignment", ["greedy", "hungarian"])
@pytest.mark.parametrize("name", ["noise", "ones", "nan"])
def test_hostile_workloads_end_and_give_sound_people(
    workload: ModuleType, name: str, assignment: Any
) -> None:
    heat, paf, _ = workload.workload(name)
    assert_sound(op.decode_body(heat, paf, options=op.DecodeOptions(assignment=assignment)))


@pytest.mark.parametrize("hostile", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_as_zero(hostile: float) -> None:
    clean, spoilt = crowd(), crowd()
    rng = np.random.default_rng(2)
    lost = rng.random(clean[0].shape) < 0.05
    clean[0][lost], spoilt[0][lost] = 0, hostile
    # Both components of a limb's field together: their sum is what is not finite.
    lost = np.repeat(rng.random((19, HEIGHT, WIDTH)) < 0.05, 2, axis=0)
    clean[1][lost], spoilt[1][lost] = 0, hostile
    expected = op.decode_body(*clean)
    assert len(expected) == 3
    assert_equal(op.decode_body(*spoilt), expected)


# Frames


def lit_pair(row: int, column: int, height: int, width: int) -> tuple[op.Topology, Maps]:
    """Return a limb of two parts, one cell each: at (row, column) and four cells beside it."""
    topology = chain(2)
    heat, paf = empty_maps(height, width, topology)
    side = 4 if column + 4 < width else -4
    heat[0, row, column] = 1
    heat[1, row, column + side] = 1
    paf[0] = np.sign(side)
    return topology, (heat, paf)


PAIR: dict[str, Any] = {"min_parts": 1, "min_score": 0.0}


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 6), (8, 12), (0, 12), (8, 0)])
def test_a_lit_cell_comes_out_at_its_centre(row: int, column: int) -> None:
    # Nine by thirteen cells of eight pixels: the centre of cell 0 is at 3.5, between two pixels.
    topology, maps = lit_pair(row, column, 9, 13)
    poses = op.decode_body(*maps, topology=topology, options=op.DecodeOptions(**PAIR))
    assert poses.size == (104, 72)
    assert poses.keypoints[0, 0].tolist() == [8 * column + 3.5, 8 * row + 3.5, 1]
    options = replace(op.DecodeOptions.reference(), **PAIR)
    poses = op.decode_body(*maps, topology=topology, mode="reference", options=options)
    assert poses.size == (104, 72)
    # Whole pixels; at the edge, which the smoothing continues by reflection, the outermost one.
    x = {0: 0, 6: 51.5, 12: 103}[column]
    y = {0: 0, 4: 35.5, 8: 71}[row]
    np.testing.assert_allclose(poses.keypoints[0, 0, :2], [x, y], atol=0.5)


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize(("row", "column"), [(4, 6), (3, 5)])
def test_a_lit_cell_comes_out_at_its_pixel_of_the_picture(mode: Any, row: int, column: int) -> None:
    # A picture of 157 x 101 was resized to 88 x 57 and padded to 104 x 72.
    factor = (88 / 157, 57 / 101)
    geometry = op.Geometry(picture=(157, 101), network=(104, 72), content=(88, 57), factor=factor)
    topology, maps = lit_pair(row, column, 9, 13)
    options = op.DecodeOptions() if mode == "fast" else op.DecodeOptions.reference()
    poses = op.decode_body(
        *maps, topology=topology, geometry=geometry, mode=mode, options=replace(options, **PAIR)
    )
    assert poses.size == (157, 101)
    network = np.array([column + 0.5, row + 0.5]) * 8 - 0.5
    expected = (network + 0.5) / factor - 0.5
    # The reference rules give whole pixels of a map that was smoothed twice.
    tolerance = 1e-4 if mode == "fast" else 1.0
    np.testing.assert_allclose(poses.keypoints[0, 0, :2], expected, atol=tolerance)


def test_an_offset_of_the_content_is_taken_off() -> None:
    topology, maps = lit_pair(4, 6, 9, 13)
    geometry = op.Geometry(
        picture=(60, 40), network=(104, 72), content=(60, 40), factor=(1.0, 1.0), offset=(20, 10)
    )
    poses = op.decode_body(
        *maps, topology=topology, geometry=geometry, options=op.DecodeOptions(**PAIR)
    )
    assert poses.keypoints[0, 0, :2].tolist() == [51.5 - 20, 35.5 - 10]


def test_points_in_the_padding_are_clipped_to_the_picture() -> None:
    maps = empty_maps()
    draw(maps, standing(30, 9, 28))
    geometry = op.Geometry(
        picture=(240, 200), network=(8 * WIDTH, 8 * HEIGHT), content=(240, 200), factor=(1.0, 1.0)
    )
    poses = op.decode_body(*maps, geometry=geometry)
    assert_sound(poses)
    assert len(poses) == 1
    whole = op.decode_body(*maps)
    np.testing.assert_array_equal(poses.keypoints[..., 0], np.minimum(whole.keypoints[..., 0], 239))
    np.testing.assert_array_equal(poses.keypoints[..., 1], np.minimum(whole.keypoints[..., 1], 199))


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_the_stride_scales_points_and_size(stride: int) -> None:
    heat, paf = crowd()
    poses = op.decode_body(heat, paf, stride=stride)
    assert poses.size == (WIDTH * stride, HEIGHT * stride)
    unit = op.decode_body(heat, paf, stride=1)
    np.testing.assert_allclose(
        poses.keypoints[..., :2], (unit.keypoints[..., :2] + 0.5) * stride - 0.5, atol=1e-3
    )


# Skeletons


def test_a_skeleton_without_fields_has_parts_but_nobody() -> None:
    heat = np.zeros((21, 20, 20), np.float32)
    heat[3, 5, 6] = 1
    poses = op.decode_body(heat, heat[:0], topology=op.HAND_21)
    assert_sound(poses)
    assert len(poses) == 0
    peaks = find_peaks(heat, topology=op.HAND_21)
    assert [len(part) for part in peaks] == [0, 0, 0, 1] + [0] * 17


def test_a_single_part_is_nobody() -> None:
    heat = np.ones((1, 5, 5), np.float32)
    assert len(op.decode_body(heat, heat[:0], topology=chain(1))) == 0


def test_a_chain_of_seventy_parts_is_one_person() -> None:
    topology = chain(70)
    maps = empty_maps(50, 50, topology)
    turn = 0.25 * np.arange(70)
    radius = 4 + turn
    points = list(zip(25 + radius * np.cos(turn), 25 + radius * np.sin(turn), strict=True))
    draw(maps, points, topology)
    poses = op.decode_body(*maps, topology=topology)
    assert_sound(poses)
    assert len(poses) == 1
    np.testing.assert_allclose(
        poses.keypoints[0, :, :2], (np.array(points) + 0.5) * 8 - 0.5, atol=0.5
    )


# Options and modes


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("peak_threshold", [0.0, 1.0, -1.0, float("nan")]),
        ("paf_threshold", [-0.1, 1.0, float("nan")]),
        ("min_paf_share", [-0.1, 1.0, float("inf")]),
        ("min_parts", [0, -3]),
        ("min_score", [-0.1, 2.1, float("nan")]),
        ("assignment", ["best", "", "Greedy"]),
        ("max_peaks", [0, -1, 1 << 20, 1 << 40]),
        ("max_people", [0, -1, 1 << 31]),
    ],
)
def test_options_out_of_range_are_named_where_they_are_given(
    name: str, values: list[object]
) -> None:
    for value in values:
        changed: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=name):
            op.DecodeOptions(**changed)
        with pytest.raises(ValueError, match=name):
            replace(FAST, **changed)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("peak_threshold", "0.1", "a number"),
        ("min_parts", 2.5, "a whole number"),
        ("max_peaks", None, "a whole number"),
        ("max_people", "2", "a whole number"),
        ("fill", "no", "True or False"),
    ],
)
def test_options_of_another_type_are_refused_where_they_are_given(
    name: str, value: object, expected: str
) -> None:
    changed: dict[str, Any] = {name: value}
    with pytest.raises(TypeError, match=f"{name} must be {expected}, not {value!r}"):
        op.DecodeOptions(**changed)


def test_options_are_no_dict() -> None:
    for use in (op.decode_body, lambda *maps, options: decode_bodies([maps], options=options)):
        with pytest.raises(TypeError, match="options must be DecodeOptions or None, not dict"):
            use(*empty_maps(4, 5), options={"fill": True})


def test_options_may_be_numpy_s_numbers() -> None:
    options = op.DecodeOptions(
        peak_threshold=np.float32(0.5), min_parts=np.int64(2), fill=np.bool_(False)
    )
    assert len(op.decode_body(*empty_maps(4, 5), options=options)) == 0


def test_options_have_the_names_and_defaults_of_the_core() -> None:
    header = Path(__file__).parents[2] / "cpp" / "include" / "openpose_ext" / "options.hpp"
    struct = header.read_text().split("struct DecodeOptions {")[1].split("static")[0]
    core = dict(re.findall(r"^ {4}\w+ (\w+) = ([^;]+);", struct, re.MULTILINE))
    spelt = {True: "true", "greedy": "Assignment::greedy", None: "0"}
    ours = {f.name: getattr(FAST, f.name) for f in fields(FAST)}
    assert {name: spelt.get(value, repr(value)) for name, value in ours.items()} == core


def test_options_travel_to_other_processes_even_after_use() -> None:
    options = op.DecodeOptions(max_people=2)
    op.decode_body(*empty_maps(4, 5), options=options)
    assert pickle.loads(pickle.dumps(options)) == options


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast' or 'reference', not 'slow'"):
        op.decode_body(*empty_maps(4, 5), mode="slow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"assignment": "hungarian"}, {"fill": True}, {"max_people": 3}]
)
def test_reference_mode_refuses_what_the_seed_does_not_know(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        op.decode_body(
            *empty_maps(4, 5),
            mode="reference",
            options=replace(op.DecodeOptions.reference(), **options),
        )


# Stages


def test_peaks_are_found_part_by_part() -> None:
    heat, _ = crowd()
    peaks = find_peaks(heat)
    assert [part.shape for part in peaks] == [(3, 3)] * 18
    assert all(part.dtype == np.float32 for part in peaks)
    expected = sorted(standing(x, 9.0, size)[4] for x, size in ((9.3, 20), (27, 34), (47.6, 26)))
    np.testing.assert_allclose(sorted(map(tuple, peaks[4][:, :2])), expected, atol=0.01)


def test_a_cap_keeps_the_strongest_peaks() -> None:
    heat = np.zeros((19, 30, 60), np.float32)
    strengths = np.linspace(0.2, 0.9, 15, dtype=np.float32)
    heat[0, 4, 2::4] = strengths
    heat[1, 4, 2::4] = strengths[::-1]
    for part in find_peaks(heat, options=op.DecodeOptions(max_peaks=5))[:2]:
        assert sorted(part[:, 2]) == sorted(strengths[-5:])


def test_peaks_lie_in_the_maps_and_exceed_the_threshold() -> None:
    rng = np.random.default_rng(3)
    heat = rng.uniform(-1, 1.5, (19, 33, 47)).astype(np.float32)
    for part in find_peaks(heat, options=op.DecodeOptions(peak_threshold=0.4)):
        assert len(part) > 20
        assert ((part[:, 0] >= -0.5) & (part[:, 0] <= 46.5)).all()
        assert ((part[:, 1] >= -0.5) & (part[:, 1] <= 32.5)).all()
        assert ((part[:, 2] > 0.4) & (part[:, 2] <= 1)).all()


def test_connections_join_the_parts_of_each_person() -> None:
    heat, paf = crowd()
    peaks = find_peaks(heat)
    connections = connect(peaks, paf)
    assert [rows.shape for rows in connections] == [(3, 3)] * 19
    for (a, b), rows in zip(op.COCO_18.limbs, connections, strict=True):
        order_a = peaks[a][rows[:, 0].astype(int), 0].argsort()
        order_b = peaks[b][rows[:, 1].astype(int), 0].argsort()
        np.testing.assert_array_equal(order_a, order_b)
        assert (np.diff(rows[:, 2]) <= 0).all()
        assert ((rows[:, 2] > 0.5) & (rows[:, 2] <= 1.0001)).all()


def test_connect_refuses_peaks_that_do_not_fit() -> None:
    heat, paf = crowd()
    peaks = find_peaks(heat)
    with pytest.raises(ValueError, match=r"17 parts.*18"):
        connect(peaks[:17], paf)
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        connect([part[:, :2] for part in peaks], paf)
    with pytest.raises(ValueError, match=r"paf has 36 channels.*38"):
        connect(peaks, paf[:36])
    for outside in (-0.6, WIDTH, np.nan, np.inf):
        wrong = [part.copy() for part in peaks]
        wrong[2][0, 0] = outside
        with pytest.raises(ValueError, match="outside"):
            connect(wrong, paf)


COSTS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 7), st.integers(0, 5)).map(lambda n: (n[0], sum(n))),
    elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)),
)


@examples
@given(COSTS)
def test_the_assignment_is_scipys_optimum(cost: npt.NDArray[np.float64]) -> None:
    columns = _core.solve_assignment(cost)
    rows = np.arange(len(cost))
    assert len(set(columns.tolist())) == len(rows) == len(columns)
    best = cost[linear_sum_assignment(cost)].sum()
    assert cost[rows, columns].sum() == pytest.approx(best, rel=1e-12, abs=1e-6)


@pytest.mark.parametrize("shape", [(60, 60), (40, 90), (1, 300), (127, 128)])
def test_the_assignment_of_many_is_scipys_optimum(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    for cost in (rng.uniform(-1, 1, shape), rng.integers(0, 4, shape).astype(float)):
        columns = _core.solve_assignment(cost)
        assert len(set(columns.tolist())) == shape[0]
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[np.arange(shape[0]), columns].sum() == pytest.approx(best, abs=1e-9)


def test_the_assignment_refuses_what_has_no_optimum() -> None:
    with pytest.raises(ValueError, match="rows"):
        _core.solve_assignment(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="finite"):
        _core.solve_assignment(np.array([[1.0, np.nan]]))


# Many threads


def three_pictures() -> list[Maps]:
    """Return a crowd, nobody, and the crowd without legs."""
    heat, paf = crowd()
    return [(heat, paf), empty_maps(20, 30), (heat[:, :30].copy(), paf[:, :30].copy())]


def test_threads_do_not_disturb_each_other() -> None:
    several = three_pictures()
    expected = [op.decode_body(*maps) for maps in several]
    assert [len(poses) for poses in expected][:2] == [3, 0]
    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(op.decode_body, *several[i % 3]) for i in range(240)]
        for i, task in enumerate(tasks):
            assert_equal(task.result(), expected[i % 3])


def half_size(heat: np.ndarray) -> op.Geometry:
    """Return the geometry of maps of a picture half as large as the network input."""
    network = (heat.shape[2] * 8, heat.shape[1] * 8)
    picture = (network[0] // 2, network[1] // 2)
    return op.Geometry(picture=picture, network=network, content=network, factor=(2.0, 2.0))


def test_the_geometry_of_another_picture_is_refused() -> None:
    small, large = empty_maps(20, 30), empty_maps(20, 31)
    geometry = half_size(small[0])
    for mode in ("fast", "reference"):
        with pytest.raises(ValueError, match="31 x 20 cells are not those of a network input"):
            op.decode_body(*large, geometry=geometry, mode=mode)
    with pytest.raises(ValueError, match="31 x 20 cells are not those of a network input"):
        decode_bodies([small, large], geometries=[geometry, geometry])
    with pytest.raises(ValueError, match="2 pairs of maps, but 1 geometries"):
        decode_bodies([small, large], geometries=[geometry])


@pytest.mark.parametrize("threads", [None, 1, 3, 16])
def test_many_at_once_are_those_of_one_by_one(threads: int | None) -> None:
    several = three_pictures() * 5
    geometries = [half_size(heat) for heat, _ in several]
    options = op.DecodeOptions(max_people=2)
    found = decode_bodies(several, geometries=geometries, options=options, threads=threads)
    for maps, poses, geometry in zip(several, found, geometries, strict=True):
        assert_equal(poses, op.decode_body(*maps, geometry=geometry, options=options))
    for maps, poses in zip(several, decode_bodies(several, threads=threads), strict=True):
        assert_equal(poses, op.decode_body(*maps))


def test_many_at_once_take_the_cpus_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[int] = []
    decode_many = _core.decode_many

    def spy(jobs: Any, topology: Any, options: Any, threads: int) -> Any:
        taken.append(threads)
        return decode_many(jobs, topology, options, threads)

    monkeypatch.setattr(_core, "decode_many", spy)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {1, 4, 5}, raising=False)
    decode_bodies(three_pictures())
    assert taken == [3]
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        decode_bodies(three_pictures(), threads=0)


def test_many_at_once_may_be_none() -> None:
    assert decode_bodies([]) == []


def test_one_bad_picture_among_many_fails_the_call() -> None:
    good, (heat, paf) = crowd(), empty_maps(5, 6)
    with pytest.raises(ValueError, match="paf has 7 channels"):
        decode_bodies([good, (heat, paf[:7]), good])
    with pytest.raises(TypeError, match="float64"):
        decode_bodies([good, (heat.astype(np.float64), paf)])
    with pytest.raises(ValueError, match="threads"):
        decode_bodies([good], threads=-1)


# How well. The bounds are those that the decoder was built for: means of four seeds.

Figures = dict[str, float]
SEEDS = range(4)


def mean_figures(
    workload: ModuleType, name: str, topology: op.Topology = op.COCO_18, **arguments: Any
) -> Figures:
    """Decode a workload for each seed and return the mean of what `evaluate` says."""
    key = {"coco_18": "coco18", "body_25": "body25"}[topology.name]
    figures: list[Figures] = []
    for seed in SEEDS:
        heat, paf, truth = workload.workload(name, key, seed)
        poses = op.decode_body(heat, paf, topology=topology, **arguments)
        if arguments.get("mode") != "reference":
            assert_sound(poses)
        figures.append(workload.evaluate(poses.keypoints, truth))
    return {key: float(np.mean([one[key] for one in figures])) for key in figures[0]}


@pytest.mark.parametrize("assignment", ["greedy", "hungarian"])
@pytest.mark.parametrize("name", ["crowd5", "crowd20", "crowd20_hd", "crowd100"])
def test_crowds_are_found_rightly_and_to_a_fraction_of_a_cell(
    workload: ModuleType, name: str, assignment: Any
) -> None:
    options = op.DecodeOptions(assignment=assignment)
    found = mean_figures(workload, name, options=options)
    assert found["recall"] >= 0.865
    assert found["precision"] >= 0.95
    assert found["error"] <= 0.035
    seen = mean_figures(workload, name, options=replace(options, fill=False))
    assert seen["precision"] >= 0.98


@pytest.mark.parametrize("name", ["crowd5", "crowd20"])
@pytest.mark.parametrize("topology", [op.COCO_18, op.BODY_25], ids=lambda one: one.name)
def test_crowds_are_found_no_worse_than_by_the_reference_rules(
    workload: ModuleType, name: str, topology: op.Topology
) -> None:
    fast = mean_figures(workload, name, topology)
    reference = mean_figures(workload, name, topology, mode="reference")
    assert fast["recall"] >= reference["recall"] - 0.003
    assert fast["precision"] >= reference["precision"] - 0.01
    assert fast["error"] < reference["error"]
