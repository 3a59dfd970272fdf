"""The reference mode against the oracle: the same peaks, connections and people.

A decision that hangs on a difference of 1e-6 or less may fall either way. The comparison demands
equality first; only where that fails it asks of each difference whether such a tie explains it,
and then prints the tie and records it as the property "tie" of the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import openpose_ext as op
import oracle
from conftest import SHARED
from openpose_ext import _core

Doubles = npt.NDArray[np.float64]
Maps = npt.NDArray[np.floating[Any]]
Found = tuple[Doubles, list[Doubles], Doubles]  # candidate, connections, subset
Agree = Callable[..., oracle.Result]
Record = Callable[[str, object], None]

TIE = 1e-6  # decisions closer than this may fall either way
CLOSE = 1e-4  # of scores

SPECS = {op.COCO_18.name: oracle.COCO_18, op.BODY_25.name: oracle.BODY_25}
NAMES = {"coco18": op.COCO_18, "body25": op.BODY_25}


# Comparison


def same_rows(found: Doubles, expected: Doubles, score: int) -> bool:
    """Whether all columns are equal but `score`, which may differ by CLOSE."""
    if found.shape != expected.shape:
        return False
    exact = np.delete(found, score, axis=1) == np.delete(expected, score, axis=1)
    near = np.abs(found[:, score] - expected[:, score]) <= CLOSE
    return bool(exact.all() and near.all())


def same(found: Found, expected: oracle.Result) -> bool:
    """Whether candidates, connections and people are the oracle's, scores within CLOSE."""
    candidate, connections, subset = found
    return (
        same_rows(candidate, expected.candidate.reshape(-1, 4), 2)
        and len(connections) == len(expected.connections)
        and all(same_rows(*pair, 2) for pair in zip(connections, expected.connections, strict=True))
        and same_rows(subset, expected.subset, -2)
    )


def explain_peaks(
    candidate: Doubles, heat: Maps, spec: oracle.Topology
) -> tuple[list[Doubles], list[str]]:
    """Peaks by part as they were found, and the ties that make them differ from the oracle's.

    A pixel is undecided if it passes or fails its comparisons by no more than TIE.
    """
    assert np.array_equal(candidate[:, 3], np.arange(len(candidate))), "ids are not 0, 1, 2..."
    peaks, ties, place = [], [], 0
    for part, values in enumerate(heat[: spec.parts]):
        smoothed = oracle.smooth(values)
        over = smoothed - oracle.PEAK_THRESHOLD
        margin = np.minimum.reduce([over, *(smoothed - n for n in oracle.neighbours(smoothed))])
        first = place
        for y, x in np.argwhere(margin >= -TIE):
            taken = place < len(candidate) and tuple(candidate[place, :2]) == (x, y)
            taken = taken and abs(candidate[place, 2] - values[y, x]) <= CLOSE
            if taken != (margin[y, x] >= 0 and over[y, x] > 0):
                where = f"part {part} at ({x}, {y}), margin {margin[y, x]:.1e}"
                assert abs(margin[y, x]) <= TIE, f"lost a peak: {where}"
                ties.append(f"peak {'added' if taken else 'left out'}: {where}")
            place += taken
        peaks.append(candidate[first:place])
    assert place == len(candidate), f"no peak of the oracle's: {candidate[place]}"
    return peaks, ties


def explain_limb(found: Doubles, a: Doubles, b: Doubles, field: Maps, limb: int) -> list[str]:
    """Ties that make the connections of one limb differ from the oracle's, of the same peaks.

    The choice is explained if scores and samples within TIE of the oracle's lead to it: those of
    the chosen pairs as they were reported, all others as low as they may be.
    """
    chosen = [(int(i), int(j)) for i, j in found[:, 3:]]
    if not (len(a) and len(b)):
        assert not chosen, f"limb {limb}: connections without peaks"
        return []
    score, samples = oracle.score_limb(a, b, field)
    rows = [[a[i, 3], b[j, 3], score[i, j], i, j] for i, j in chosen]
    assert same_rows(found, np.reshape(rows, (-1, 5)), 2), f"limb {limb}: wrong ids or scores"
    expected = oracle.choose(score, oracle.accept(score, samples))
    if chosen == expected:
        return []

    lowered = score - TIE
    accepted = oracle.accept(lowered, samples - TIE)
    perhaps = oracle.accept(score + TIE, samples + TIE)
    for (i, j), reported in zip(chosen, found[:, 2], strict=True):
        difference = f"limb {limb}: pair {i}, {j} scores {reported}, not {score[i, j]}"
        assert perhaps[i, j], difference
        assert abs(reported - score[i, j]) <= TIE, difference
        lowered[i, j], accepted[i, j] = reported, True
    message = f"limb {limb}: chose {chosen}, not {expected}"
    assert oracle.choose(lowered, accepted) == chosen, message
    return [message]


def explain_people(
    subset: Doubles, candidate: Doubles, connections: Sequence[Doubles], spec: oracle.Topology
) -> list[str]:
    """Ties that make the people differ from the oracle's, of the same connections."""
    ties, place = [], 0
    for row in oracle.assemble(candidate, connections, spec)[0]:
        mean = row[-2] / row[-1]
        taken = place < len(subset) and same_rows(subset[place : place + 1], row[None], -2)
        if taken != (len(oracle.prune(row[None])) > 0):
            undecided = row[-1] >= oracle.MIN_PARTS and abs(mean - oracle.MIN_SCORE) <= TIE
            assert undecided, f"{'kept' if taken else 'lost'} a person: {row}"
            ties.append(f"person {'kept' if taken else 'dropped'}: mean score {mean}")
        place += taken
    assert place == len(subset), f"no person of the oracle's: {subset[place]}"
    return ties


def explain(found: Found, heat: Maps, paf: Maps, spec: oracle.Topology) -> list[str]:
    """All ties behind a difference, stage by stage, each stage on what the one before found."""
    candidate, connections, subset = found
    peaks, ties = explain_peaks(candidate, heat, spec)
    assert len(connections) == len(spec.limbs)
    for limb, (a, b) in enumerate(spec.limbs):
        field = paf[list(spec.paf_channels[limb])]
        ties += explain_limb(connections[limb], peaks[a], peaks[b], field, limb)
    return ties + explain_people(subset, candidate, connections, spec)


def compare(
    heat: Maps, paf: Maps, topology: op.Topology, spec: oracle.Topology
) -> tuple[oracle.Result, list[str]]:
    """Decode with both; fail unless they agree but for ties. Returns (the oracle's, the ties)."""
    found = _core.decode_reference(heat, paf, topology.core)
    expected = oracle.decode(heat, paf, spec)
    if same(found, expected):
        return expected, []
    ties = explain(found, heat, paf, spec)
    assert ties, "differs from the oracle, though every stage agrees with it"
    return expected, ties


def report(ties: Sequence[str], record_property: Record) -> None:
    """Say in the test's output and in its record that decisions fell the other way."""
    for tie in ties:
        print("tie:", tie)
        record_property("tie", tie)


@pytest.fixture
def agree(record_property: Record) -> Agree:
    """Return a function that demands the oracle's result for the maps, and gives that result."""

    def agree(
        heat: Maps, paf: Maps, topology: op.Topology = op.COCO_18, *, exactly: bool = False
    ) -> oracle.Result:
        expected, ties = compare(heat, paf, topology, SPECS[topology.name])
        assert not (ties and exactly), ties
        report(ties, record_property)
        return expected

    return agree


def assert_people(poses: op.Poses, result: oracle.Result) -> None:
    """Demand the oracle's people of `decode_body`: best total first, parts as `Poses` has them."""
    best_first = np.argsort(-result.subset[:, -2], kind="stable")
    keypoints = oracle.people(result.candidate, result.subset)[best_first]
    seen = result.subset[best_first, :-2] >= 0
    assert len(poses) == len(keypoints)
    assert np.array_equal(poses.keypoints[..., :2], keypoints[..., :2])
    # The map at a peak may have any value, a part that was seen scores in (0.05, 1].
    scores = np.where(seen, np.clip(keypoints[..., 2], 0.05, 1), 0)
    np.testing.assert_allclose(poses.keypoints[..., 2], scores, rtol=0, atol=CLOSE)
    assert np.array_equal(poses.keypoints[..., 2] > np.float32(0.05), seen)
    np.testing.assert_allclose(poses.scores, result.subset[best_first, -2], rtol=0, atol=CLOSE)
    assert not poses.filled.any()


# Maps at the size of the picture


def geometry_of(
    picture: Sequence[int], network: Sequence[int], padding: Sequence[int]
) -> op.Geometry:
    """Sizes as (width, height); padding to the right and below."""
    content = (network[0] - padding[0], network[1] - padding[1])
    return op.Geometry(
        picture=(picture[0], picture[1]),
        network=(network[0], network[1]),
        content=content,
        factor=(content[0] / picture[0], content[1] / picture[1]),
    )


def full_size(
    heat: npt.NDArray[np.float32], paf: npt.NDArray[np.float32], geometry: op.Geometry
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Both maps as the seed enlarges them."""
    content, picture = geometry.content, geometry.picture
    return oracle.full_size(heat, content, picture), oracle.full_size(paf, content, picture)


# Maps of a few strokes

Spots = dict[int, list[tuple[int, int]]]  # part -> x, y of its peaks
Links = dict[int, list[tuple[int, int, float]]]  # limb -> places of A and B, strength


def draw(
    size: tuple[int, int], spots: Spots, links: Links, spec: oracle.Topology = oracle.COCO_18
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Full-size maps of (width, height): a blob a spot, and a band of field a link.

    Where bands of a limb cross, the field is their mean.
    """
    width, height = size
    y, x = np.mgrid[:height, :width].astype(float)
    heat = np.zeros((spec.parts + 1, height, width))
    for part, places in spots.items():
        for at_x, at_y in places:
            blob = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 18)
            heat[part] = np.maximum(heat[part], blob)
    heat[-1] = 1 - heat[:-1].max(axis=0)

    paf = np.zeros((2 * len(spec.limbs), height, width))
    for limb, pairs in links.items():
        part_a, part_b = spec.limbs[limb]
        field, bands = np.zeros((2, height, width)), np.zeros((height, width))
        for i, j, strength in pairs:
            start, end = np.array(spots[part_a][i]), np.array(spots[part_b][j])
            length = max(float(np.hypot(*(end - start))), 1e-3)
            along = (end - start) / length
            ahead = (x - start[0]) * along[0] + (y - start[1]) * along[1]
            aside = np.abs((x - start[0]) * along[1] - (y - start[1]) * along[0])
            band = (aside <= 2) & (ahead >= -2) & (ahead <= length + 2)
            field += strength * band * along[:, None, None]
            bands += band
        paf[list(spec.paf_channels[limb])] = field / np.maximum(bands, 1)
    return heat.astype(np.float32), paf.astype(np.float32)


def draw_at_random(
    rng: np.random.Generator, spec: oracle.Topology, most: int = 4, *, symmetric: bool = False
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Up to `most` peaks a part and random links: people that share, contradict and clash.

    symmetric: keep to a grid and to equal strengths, so that many scores are equal to the bit.
    """
    columns, rows, spacing = 6, 5, 16
    spots: Spots = {}
    for part in range(spec.parts):
        cells = rng.choice(columns * rows, rng.integers(0, most + 1), replace=False)
        jitter = np.zeros(2, int) if symmetric else rng.integers(-2, 3, (len(cells), 2))
        corners = np.stack([cells % columns, cells // columns], axis=1) * spacing
        spots[part] = [(int(x), int(y)) for x, y in corners + jitter + spacing // 2]
    links: Links = {}
    for limb, (a, b) in enumerate(spec.limbs):
        if spots[a] and spots[b]:
            pairs = rng.integers(0, (len(spots[a]), len(spots[b])), (most, 2))
            strengths = np.ones(most) if symmetric else rng.uniform(0.5, 1, most)
            links[limb] = [
                (int(i), int(j), float(strength))
                for (i, j), strength in zip(pairs, strengths, strict=True)
            ]
    heat, paf = draw((columns * spacing, rows * spacing), spots, links, spec)
    if not symmetric:
        heat += rng.normal(0, 1e-3, heat.shape).astype(np.float32)
        paf += rng.normal(0, 1e-3, paf.shape).astype(np.float32)
    return heat, paf


# The oracle itself, where its facts are numbers


@pytest.mark.parametrize(
    ("height", "width", "shape", "padding"),
    [
        pytest.param(368, 3, (184, 8), (0, 6), id="half of 3 is 2: half-even rounding"),
        pytest.param(368, 5, (184, 8), (0, 6), id="half of 5 is 2"),
        pytest.param(368, 16, (184, 8), (0, 0), id="a multiple of 8 is not padded"),
        pytest.param(480, 640, (184, 248), (0, 3), id="height becomes 184 at scale 0.5"),
    ],
)
def test_oracle_pads_below_and_right_with_what_becomes_zero(
    height: int, width: int, shape: tuple[int, int], padding: tuple[int, int]
) -> None:
    """Sizes are rounded half-even; padding of 128 is 0 after normalisation."""
    image = np.full((height, width, 3), 200, np.uint8)
    network, down, right = oracle.preprocess(image)
    assert network.shape == (1, 3, *shape)
    assert network.dtype == np.float32
    assert (down, right) == padding
    assert (network[..., : shape[1] - right] == 200 / 256 - 0.5).all()
    assert (network[..., shape[1] - right :] == 0).all()


def test_oracle_doubles_the_heat_of_earlier_scales() -> None:
    """Four scales weigh 2, 1, 0.5, 0.25 in the heat and a quarter each in the field."""
    scales = [np.full((1, 1, 1), 10.0**m, np.float32) for m in range(4)]
    heat, paf = oracle.average(scales, scales)
    assert heat.item() == 2 + 10 + 50 + 250
    assert paf.item() == 1111 / 4


def test_oracle_smooths_an_impulse_to_the_known_peak() -> None:
    """The Gaussian of sigma 3 over 25 taps answers a unit impulse with 0.0176849."""
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    smoothed = oracle.smooth(impulse)
    assert smoothed[20, 20] == pytest.approx(0.0176849, abs=5e-8)
    assert smoothed[20, 8] > 0
    assert smoothed[20, 7] == 0


@pytest.mark.parametrize("topology", NAMES.values(), ids=NAMES)
def test_topologies_are_the_oracles(topology: op.Topology) -> None:
    """Parts, limbs, channels and redundant limbs were written down twice, alike."""
    spec = SPECS[topology.name]
    assert len(topology.parts) == spec.parts
    assert topology.limbs == spec.limbs
    assert topology.paf_channels == spec.paf_channels
    assert topology.redundant == spec.redundant


# The comparison itself


def test_the_comparison_tells_ties_from_faults() -> None:
    """Two necks and two shoulders on a row, where all four pairs score the same, or nearly."""
    spots = {1: [(10, 30), (30, 30)], 2: [(50, 30), (70, 30)]}
    heat, paf = draw((80, 160), spots, {})
    paf[12] = 1
    result = oracle.decode(heat, paf)
    straight, crossed = [(0, 0), (1, 1)], [(0, 1), (1, 0)]

    def found(pairs: Sequence[tuple[int, int]], error: float = 0.0) -> Found:
        necks, shoulders = oracle.find_peaks(heat)[1:3]
        score, _ = oracle.score_limb(necks, shoulders, paf[12:14])
        rows = [[i, 2 + j, score[i, j] + error, i, j] for i, j in pairs]
        limbs = [np.reshape(np.array(rows, float), (-1, 5)), *result.connections[1:]]
        return result.candidate, limbs, result.subset

    def ties(found: Found) -> int:
        return len(explain(found, heat, paf, oracle.COCO_18))

    assert same(found(straight), result)
    assert ties(found(straight)) == 0
    assert not same(found(crossed), result)
    assert ties(found(crossed)) == 1

    candidate, connections, subset = found(straight)
    moved = candidate.copy()
    moved[0, 1] += 1
    faults: dict[str, Found] = {
        "a score that is not the field's": found(crossed, -0.001),
        "a pair too few": found(crossed[:1]),
        "a peak lost": (candidate[:3], connections, subset),
        "a peak moved": (moved, connections, subset),
        "a person too many": (candidate, connections, np.full((1, 20), 4.0)),
    }
    for fault, faulty in faults.items():
        assert not same(faulty, result), fault
        with pytest.raises(AssertionError):
            ties(faulty)

    paf[12, 30, 10] = 1 + 1e-5  # lifts both pairs of the first neck, and leaves them equal
    assert ties(found(crossed)) == 1
    paf[12, 30, 28] = 1 + 1e-4  # a sample of the first straight pair alone
    with pytest.raises(AssertionError, match="chose"):
        ties(found(crossed))


# Synthetic people


@pytest.mark.parametrize(
    ("name", "topology", "seed", "picture", "padding"),
    [
        pytest.param("crowd5", "coco18", 0, (656, 368), (0, 0), id="five in the network's size"),
        pytest.param("crowd5", "coco18", 1, (321, 181), (3, 5), id="odd sizes, shrunk, padded"),
        pytest.param("crowd5", "coco18", 2, (97, 419), (7, 1), id="stretched into a tall picture"),
        pytest.param("crowd5", "body25", 0, (656, 368), (0, 0), id="five with feet"),
        pytest.param("crowd5", "body25", 3, (811, 455), (0, 7), id="feet, odd sizes, enlarged"),
        pytest.param("crowd20", "coco18", 0, (656, 368), (0, 0), id="twenty"),
        pytest.param("crowd20", "coco18", 1, (1001, 563), (1, 0), id="twenty, enlarged, padded"),
        pytest.param("crowd20", "body25", 2, (639, 359), (2, 2), id="twenty with feet, odd sizes"),
    ],
)
def test_synthetic_crowds_are_decoded_as_by_the_oracle(
    agree: Agree,
    workload: ModuleType,
    name: str,
    topology: str,
    seed: int,
    picture: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    """Maps of known people, at the picture's size."""
    heat, paf, truth = workload.workload(name, topology, seed)
    geometry = geometry_of(picture, (heat.shape[2] * 8, heat.shape[1] * 8), padding)
    result = agree(*full_size(heat, paf, geometry), NAMES[topology])
    assert len(result.subset) >= len(truth) // 2  # the maps do hold people


def test_maps_averaged_over_scales_in_double_are_decoded_as_by_the_oracle(
    agree: Agree, workload: ModuleType
) -> None:
    """Two scales, with the seed's doubled heat: maps of float64 that no float32 can hold."""
    truth = workload.make_people(6, 184, 320)
    scales = [
        [oracle.full_size(maps, (320 * n, 184 * n), (500, 287)) for maps in pair]
        for n, pair in enumerate(
            (workload.draw_maps(truth * [n, n, 1], 184 * n, 320 * n, seed=n) for n in (1, 2)), 1
        )
    ]
    heats, pafs = zip(*scales, strict=True)
    heat, paf = oracle.average(heats, pafs)
    assert (heat != heat.astype(np.float32)).any()
    assert len(agree(heat, paf).subset) >= 3


# Random fields


@pytest.mark.parametrize("topology", NAMES.values(), ids=NAMES)
def test_random_fields_reach_every_quirk_and_agree(agree: Agree, topology: op.Topology) -> None:
    """People that share parts and contradict each other: every branch of the assembly is taken."""
    spec = SPECS[topology.name]
    actions: Counter[str] = Counter()
    miscounted = shared_parts = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, spec.parts])
        result = agree(*draw_at_random(rng, spec, most=2 + seed % 4), topology)
        actions += result.actions
        ids = result.subset[:, :-2]
        miscounted += int(((ids >= 0).sum(axis=1) != result.subset[:, -1]).sum())
        shared_parts += len(ids[ids >= 0]) - len(np.unique(ids[ids >= 0]))
    reached = {
        "start",
        "no start by a redundant limb",
        "extend",
        "overwrite",
        "confirm",
        "B alone matches",
        "merge",
        "clash, B shared",
        "clash, B counted twice",
    }
    assert reached <= set(actions), f"the fields reach only {dict(actions)}"
    assert miscounted
    assert shared_parts
    assert "more than two rows" not in actions  # impossible with these limbs


@pytest.mark.parametrize("seed", range(10))
def test_dense_noise_agrees(agree: Agree, seed: int) -> None:
    """Dozens of peaks a part in a field that turns smoothly: long sorts and contested pairs."""
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(50, 90)), int(rng.integers(50, 90))
    heat = rng.random((19, height, width), np.float32)
    paf = np.stack([oracle.smooth(rng.normal(0, 10, (height, width))) for _ in range(38)])
    result = agree(heat, paf.astype(np.float32))
    assert len(result.candidate) > 200
    assert sum(map(len, result.connections)) > 50


@pytest.mark.parametrize("symmetric", [False, True], ids=["generic", "equal scores"])
def test_any_skeleton_agrees(symmetric: bool, record_property: Record) -> None:
    """With loops anywhere, three rows may hold a connection: the first two are taken."""
    actions: Counter[str] = Counter()
    people = 0
    for seed in range(250):
        rng = np.random.default_rng([seed, symmetric])
        parts = int(rng.integers(4, 7))
        pairs = [(a, b) for a in range(parts) for b in range(parts) if a != b]
        limbs = [pairs[n] for n in rng.choice(len(pairs), int(rng.integers(4, 11)), replace=False)]
        redundant = [limb for limb in range(len(limbs)) if rng.random() < 0.3]
        spec = oracle.Topology(
            parts=parts,
            limbs=tuple(limbs),
            paf_channels=tuple((2 * int(c), 2 * int(c) + 1) for c in rng.permutation(len(limbs))),
            redundant=tuple(redundant),
        )
        topology = op.Topology(
            name="toy",
            parts=tuple(f"part {k}" for k in range(parts)),
            limbs=spec.limbs,
            paf_channels=spec.paf_channels,
            redundant=spec.redundant,
            mirror=tuple(range(parts)),
            colours=((0, 0, 0),) * parts,
        )
        heat, paf = draw_at_random(rng, spec, symmetric=symmetric)
        result, ties = compare(heat, paf, topology, spec)
        report(ties, record_property)
        actions += result.actions
        people += len(result.subset)
    assert people > 100
    assert {"merge", "clash, B shared", "more than two rows"} <= set(actions)


# Real pictures

PICTURES = [path.name for path in sorted((SHARED / "data" / "media").glob("*.jpg"))]
SmallMaps = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], op.Geometry]


@pytest.fixture(scope="module")
def real_maps(shared: Path) -> Callable[[str], SmallMaps]:
    """Return a function from a picture's name to (heat, paf, geometry) of a real network."""
    openvino = pytest.importorskip("openvino", reason="real maps need openvino")
    network = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    if not network.is_file():
        pytest.skip("../shared/weights has no human-pose-estimation-0001-int8-qdq.onnx")
    model = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def maps(name: str) -> SmallMaps:
        image = cv2.imread(str(shared / "data" / "media" / name))
        assert image is not None
        normalised, down, right = oracle.preprocess(image.astype(np.uint8), scale=1.0)
        # This network normalises by itself and wants 0..255.
        outputs = model((normalised + np.float32(0.5)) * np.float32(256))
        geometry = geometry_of(
            (image.shape[1], image.shape[0]), normalised.shape[:1:-1], (right, down)
        )
        return outputs["heatmaps"][0], outputs["pafs"][0], geometry

    return maps


@pytest.mark.parametrize("name", PICTURES)
def test_real_pictures_are_decoded_as_by_the_oracle(
    agree: Agree, real_maps: Callable[[str], SmallMaps], name: str
) -> None:
    """Maps of a real network, height 368, at the picture's size and as they come."""
    heat, paf, geometry = real_maps(name)
    result = agree(*full_size(heat, paf, geometry))
    assert_people(op.decode_body(heat, paf, geometry=geometry, mode="reference"), result)


# Rules, one by one

# A head on the left (neck, nose, right eye) and an arm on the right (neck, right shoulder, elbow,
# wrist), with one right ear between them.
HEAD_AND_ARM: Spots = {
    0: [(24, 24)],
    1: [(24, 44), (92, 44)],
    2: [(72, 44)],
    3: [(72, 62)],
    4: [(72, 80)],
    14: [(36, 20)],
    16: [(50, 20)],
}
HEAD: Links = {12: [(0, 0, 1.0)], 13: [(0, 0, 1.0)], 14: [(0, 0, 1.0)]}
ARM: Links = {0: [(1, 0, 1.0)], 2: [(0, 0, 1.0)], 3: [(0, 0, 1.0)]}
TO_EAR: Links = {17: [(0, 0, 1.0)]}


@pytest.mark.parametrize(
    ("spots", "links", "action", "counts"),
    [
        pytest.param(
            HEAD_AND_ARM,
            HEAD | ARM,
            "start",
            [4, 4],
            id="without a field to the ear both stay as they are",
        ),
        pytest.param(
            HEAD_AND_ARM,
            HEAD | ARM | TO_EAR,
            "clash, B shared",
            [5, 4],
            id="two people sharing an ear: the shoulder's takes it too",
        ),
        pytest.param(
            HEAD_AND_ARM | {2: [(72, 44), (24, 64)]},
            HEAD | ARM | {0: [(0, 1, 1.0), (1, 0, 0.8)]} | TO_EAR,
            "clash, B counted twice",
            [6, 4],
            id="two people sharing an ear: the ear's, if it came first, counts it again",
        ),
        pytest.param(
            HEAD_AND_ARM,
            HEAD | {2: [(0, 0, 1.0)], 3: [(0, 0, 1.0)]} | TO_EAR,
            "merge",
            [7],
            id="an arm without a neck joins the head through the ear",
        ),
        pytest.param(
            HEAD_AND_ARM,
            HEAD | TO_EAR,
            "B alone matches",
            [4],
            id="a lone shoulder is not attached to the ear's person",
        ),
        pytest.param(
            HEAD_AND_ARM | {2: [(24, 64)]},
            HEAD | {0: [(0, 0, 1.0)]} | TO_EAR,
            "confirm",
            [5],
            id="a redundant limb inside of one person adds nothing",
        ),
        pytest.param(
            HEAD_AND_ARM | {2: [(24, 64)], 16: [(50, 20), (60, 64)]},
            HEAD | {0: [(0, 0, 1.0)], 17: [(0, 1, 1.0)]},
            "overwrite",
            [6],
            id="the shoulder's ear replaces the eye's, whose score and count stay",
        ),
        pytest.param(
            {2: [(20, 50)], 16: [(20, 20)]},
            TO_EAR,
            "no start by a redundant limb",
            [],
            id="shoulder and ear alone are nobody",
        ),
    ],
)
def test_ear_limbs_keep_the_quirks(
    agree: Agree, spots: Spots, links: Links, action: str, counts: list[int]
) -> None:
    """The table of facts about shoulder-ear limbs, a drawing a row."""
    result = agree(*draw((112, 96), spots, links), exactly=True)
    assert result.actions[action]
    assert result.subset[:, -1].tolist() == counts


def one_limb(
    samples: Sequence[float], height: int = 80, length: int = 36
) -> tuple[Doubles, Doubles]:
    """Neck and right shoulder on a row, and a field with the given ten samples between them."""
    heat, paf = draw((length + 20, height), {1: [(10, 30)], 2: [(10 + length, 30)]}, {})
    field = paf.astype(np.float64)
    field[12, 30, 10 : 11 + length : length // 9] = samples
    return heat.astype(np.float64), field


@pytest.mark.parametrize(
    ("samples", "connected"),
    [
        pytest.param([1.0] * 10, True, id="all samples along the field"),
        pytest.param([-1.0] * 10, False, id="a field from B to A"),
        pytest.param([1.0] * 9 + [0.0], True, id="nine of ten over the threshold are enough"),
        pytest.param([1.0] * 8 + [0.0] * 2, False, id="eight are not"),
        pytest.param([1.0] * 8 + [0.05, 0.0], False, id="equal to the threshold is not over it"),
        pytest.param(
            [1.0] * 8 + [float(np.float32(0.05)), 0.0], True, id="0.05 as float32 is over it"
        ),
        pytest.param([0.0] + [1.0] * 8 + [0.05 + 1e-9], True, id="the ends count like the others"),
        pytest.param([1.0] * 9 + [-8.5], True, id="the mean takes the sample below, too"),
        pytest.param([1.0] * 9 + [-9.0], False, id="a mean of zero is not enough"),
    ],
)
def test_a_limb_needs_nine_samples_and_a_positive_mean(
    agree: Agree, samples: list[float], connected: bool
) -> None:
    """Ten samples, both ends included, against 0.05; the mean is over all of them."""
    result = agree(*one_limb(samples), exactly=True)
    assert len(result.connections[0]) == connected


@pytest.mark.parametrize(
    ("height", "strength", "connected"),
    [
        pytest.param(144, 0.06, True, id="a limb of half the height is free"),
        pytest.param(60, 0.6, True, id="a longer one pays"),
        pytest.param(60, 0.58, False, id="and is lost if the field is too weak for it"),
        pytest.param(40, 1.0, True, id="wider than the height, along a perfect field"),
    ],
)
def test_a_limb_longer_than_half_the_height_pays(
    agree: Agree, height: int, strength: float, connected: bool
) -> None:
    """A limb of 72 pixels: the height of the picture decides, whatever the limb's direction."""
    result = agree(*one_limb([strength] * 10, height, 72), exactly=True)
    assert len(result.connections[0]) == connected


@pytest.mark.parametrize(
    ("heat_scale", "paf_scale", "parts", "kept"),
    [
        pytest.param(1.0, 1.0, 4, True, id="four parts"),
        pytest.param(1.0, 1.0, 3, False, id="three parts are nobody"),
        pytest.param(0.25, 0.3, 4, True, id="weak parts and fields"),
        pytest.param(0.25, 0.1, 4, False, id="a score below 0.4 a part is nobody"),
    ],
)
def test_people_need_four_parts_and_their_score(
    agree: Agree, heat_scale: float, paf_scale: float, parts: int, kept: bool
) -> None:
    """An arm hanging from the neck, with peaks and fields of varied strength."""
    spots = {1: [(20, 20)], 2: [(40, 20)], 3: [(40, 40)], 4: [(40, 60)]}
    links = {limb: [(0, 0, 1.0)] for limb in (0, 2, 3)[: parts - 1]}
    heat, paf = draw((64, 80), spots, links)
    result = agree(heat * np.float32(heat_scale), paf * np.float32(paf_scale), exactly=True)
    assert len(result.subset) == kept


def test_equal_scores_keep_the_order_of_enumeration(agree: Agree) -> None:
    """Necks and shoulders on one row of a constant field: all pairs to the right score 1."""
    spots = {1: [(10 + 20 * n, 30) for n in range(4)], 2: [(20 + 20 * n, 30) for n in range(4)]}
    heat, paf = draw((100, 300), spots, {})
    paf[12] = 1
    result = agree(heat, paf, exactly=True)
    assert result.connections[0][:, 3:].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert (result.connections[0][:, 2] == 1).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [(0, 20), (49, 20), (25, 0), (25, 39), (0, 0), (49, 0), (0, 39), (49, 39)],
    ids=["left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right"],
)
def test_peaks_on_the_border_are_found_there(agree: Agree, x: int, y: int) -> None:
    """Outside counts as zero, and the smoothing mirrors: border and corner pixels can be peaks."""
    result = agree(*draw((50, 40), {5: [(x, y)]}, {}), exactly=True)
    assert result.candidate[:, :2].tolist() == [[x, y]]


def test_a_peak_has_the_score_of_the_map_before_smoothing(agree: Agree) -> None:
    """Which may exceed 1, or lie under the threshold that the smoothed map passed."""
    heat, paf = draw((90, 40), {3: [(20, 20), (65, 20)]}, {})
    heat[3, :, :45] *= 1.5
    heat[3, 20, 65] = 0.02
    result = agree(heat, paf, exactly=True)
    assert result.candidate[:, 2].tolist() == [1.5, np.float32(0.02)]


def test_coincident_parts_are_not_joined(agree: Agree) -> None:
    """A limb of no length has no direction: every sample is zero."""
    heat, paf = draw((60, 60), {1: [(30, 30)], 2: [(30, 30)]}, {})
    result = agree(heat, paf + np.float32(1), exactly=True)
    assert len(result.candidate) == 2
    assert not len(result.connections[0])


def test_the_background_is_no_part(agree: Agree) -> None:
    """Maps with and without the channel behind the parts give the same."""
    heat, paf = draw((112, 96), HEAD_AND_ARM, HEAD | ARM)
    result = agree(heat, paf, exactly=True)
    assert np.array_equal(agree(heat[:-1], paf, exactly=True).subset, result.subset)


def test_more_peaks_than_openpose_allows_are_all_kept(agree: Agree) -> None:
    """The seed has no limit of 127, nor of anything else: hundreds of necks, noses and eyes."""
    rng = np.random.default_rng(5)
    heat = np.zeros((19, 150, 260), np.float32)
    heat[[0, 1, 14]] = rng.random((3, 150, 260), np.float32)
    paf = np.stack([oracle.smooth(rng.normal(0, 10, heat.shape[1:])) for _ in range(38)])
    result = agree(heat, paf.astype(np.float32))
    assert len(result.candidate) > 3 * 260
    assert sum(map(len, result.connections)) > 2 * 127


# Pictures at the edge of what is one


@pytest.mark.parametrize("topology", NAMES.values(), ids=NAMES)
def test_nobody_has_the_seeds_shapes(topology: op.Topology) -> None:
    """Without any peak the candidates are (0,), and the people (0, K + 2)."""
    spec = SPECS[topology.name]
    heat, paf = draw((40, 30), {}, {}, spec)
    candidate, subset = op.decode_reference(heat, paf, topology=topology)
    assert (candidate.shape, subset.shape) == ((0,), (0, spec.parts + 2))
    assert candidate.dtype == subset.dtype == np.float64
    expected = oracle.decode(heat, paf, spec)
    assert (expected.candidate.shape, expected.subset.shape) == (candidate.shape, subset.shape)


def test_one_part_alone_is_a_candidate_but_nobody(agree: Agree) -> None:
    """Peaks that no person uses stay among the candidates."""
    result = agree(*draw((64, 48), {7: [(15, 20), (45, 30)]}, {}), exactly=True)
    assert result.candidate[:, :2].tolist() == [[15, 20], [45, 30]]
    assert result.subset.shape == (0, 20)


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (1, 2), (2, 1), (1, 90), (90, 1), (3, 5), (7, 40), (25, 24), (31, 77)],
    ids=lambda side: str(side),
)
def test_tiny_and_odd_pictures_agree(agree: Agree, width: int, height: int) -> None:
    """The smoothing mirrors as often as a picture smaller than its reach needs it."""
    rng = np.random.default_rng([width, height])
    for scale in (0.15, 1.0):
        heat = rng.random((19, height, width), np.float32) * np.float32(scale)
        paf = rng.uniform(-1, 1, (38, height, width)).astype(np.float32)
        agree(heat, paf)
        agree(heat, np.abs(paf))


def test_an_arm_in_a_picture_one_pixel_wide_is_found(agree: Agree) -> None:
    """All of a person in one column."""
    spots = {1: [(0, 10)], 2: [(0, 30)], 3: [(0, 50)], 4: [(0, 70)]}
    links = {limb: [(0, 0, 1.0)] for limb in (0, 2, 3)}
    result = agree(*draw((1, 90), spots, links), exactly=True)
    assert result.subset[:, -1].tolist() == [4]


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        pytest.param(slice(None), 1.0, id="a map of ones"),
        pytest.param(slice(8, 28), 1.0, id="a wide bar"),
        pytest.param(slice(15, 17), 0.9, id="a bar of two pixels"),
    ],
)
def test_plateaus_agree_but_for_what_rounding_decides(
    agree: Agree, columns: slice, value: float
) -> None:
    """Of a flat top every pixel is a peak, thinned by the last bit of the smoothing.

    Which ones remain is no property of the map, so they count as ties; that no peak lies off
    the flat top, and none is missing where it is decided, is checked.
    """
    heat = np.zeros((19, 25, 40), np.float32)
    heat[4, :, columns] = value
    result = agree(heat, np.zeros((38, 25, 40), np.float32))
    assert len(result.candidate)


def test_the_one_departure_is_a_cap_that_only_hostile_maps_reach() -> None:
    """Of more than 1024 peaks of a part the strongest are kept, in the order of the scan."""
    rng = np.random.default_rng(0)
    heat = np.zeros((19, 400, 430), np.float32)
    heat[4] = rng.random((400, 430), np.float32)
    candidate, _ = op.decode_reference(heat, np.zeros((38, 400, 430), np.float32))
    expected = oracle.as_candidate(oracle.find_peaks(heat))
    assert len(expected) > len(candidate) == 1024
    weakest_kept = np.sort(expected[:, 2])[-1024]
    strongest = expected[expected[:, 2] >= weakest_kept]
    assert np.array_equal(candidate[:, :3], strongest[:, :3])
    assert np.array_equal(candidate[:, 3], np.arange(1024))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize(
    "share",
    [
        pytest.param(0.001, id="a few cells"),
        pytest.param(0.2, id="every fifth cell"),
        pytest.param(1.0, id="all cells"),
    ],
)
def test_values_that_are_not_finite_count_as_zero(
    workload: ModuleType, bad: float, share: float
) -> None:
    """A broken network gives fewer people, and never a coordinate or score that is not finite."""
    heat, paf, _ = workload.make_maps(5, 184, 320)
    heat, paf = (oracle.full_size(maps, (320, 184), (320, 184)) for maps in (heat, paf))
    rng = np.random.default_rng(7)
    spoiled = [
        np.where(rng.random(maps.shape) < share, np.float32(bad), maps) for maps in (heat, paf)
    ]
    candidate, subset = op.decode_reference(spoiled[0], spoiled[1])
    assert np.isfinite(candidate).all()
    assert np.isfinite(subset).all()
    heat, paf = (np.where(np.isfinite(maps), maps, 0) for maps in spoiled)
    expected = oracle.decode(heat, paf)
    assert np.array_equal(candidate, expected.candidate)
    assert np.array_equal(subset, expected.subset)


# The Python functions


def test_decode_reference_takes_any_float_array(workload: ModuleType) -> None:
    """float32, float64, strided and read-only maps give the same, and are not written to."""
    heat, paf, _ = workload.make_maps(5, 184, 320)
    heat, paf = (oracle.full_size(maps, (320, 184), (320, 184)) for maps in (heat, paf))
    expected = oracle.decode(heat, paf)
    layouts: dict[str, Callable[[Maps], Maps]] = {
        "float32": lambda maps: maps,
        "float64": lambda maps: maps.astype(np.float64),
        "channels last": lambda maps: np.ascontiguousarray(maps.transpose(1, 2, 0)).transpose(
            2, 0, 1
        ),
        "a window": lambda maps: np.pad(maps, ((0, 0), (2, 3), (4, 5)))[:, 2:-3, 4:-5],
        "every second": lambda maps: np.repeat(maps, 2, axis=2)[:, :, ::2],
    }
    for name, layout in layouts.items():
        arrays = [layout(maps) for maps in (heat, paf)]
        for array in arrays:
            array.setflags(write=False)
        candidate, subset = op.decode_reference(*arrays)
        assert np.array_equal(candidate, expected.candidate), name
        assert np.array_equal(subset, expected.subset), name


@pytest.mark.parametrize(
    ("heat", "paf", "error", "message"),
    [
        pytest.param(
            np.zeros((17, 4, 5)), np.zeros((38, 4, 5)), ValueError, "17 channels", id="a part short"
        ),
        pytest.param(
            np.zeros((19, 4, 5)), np.zeros((37, 4, 5)), ValueError, "37 channels", id="half a limb"
        ),
        pytest.param(
            np.zeros((19, 4, 5)), np.zeros((38, 5, 4)), ValueError, "4 x 5", id="different sizes"
        ),
        pytest.param(
            np.zeros((4, 5)), np.zeros((38, 4, 5)), ValueError, "2-dimensional", id="one map"
        ),
        pytest.param(
            np.zeros((19, 0, 5)), np.zeros((38, 0, 5)), ValueError, "0 x 5", id="no pixels"
        ),
        pytest.param(
            np.zeros((19, 4, 5), int), np.zeros((38, 4, 5)), TypeError, "int64", id="integers"
        ),
    ],
)
def test_decode_reference_names_what_does_not_fit(
    heat: Maps, paf: Maps, error: type[Exception], message: str
) -> None:
    """The message has what was found."""
    with pytest.raises(error, match=message):
        op.decode_reference(heat, paf)


@pytest.mark.parametrize(
    ("name", "topology", "picture", "padding"),
    [
        pytest.param("crowd5", "coco18", (656, 368), (0, 0), id="the network's own size"),
        pytest.param("crowd5", "coco18", (333, 187), (5, 3), id="odd sizes, padded"),
        pytest.param("crowd20", "coco18", (1281, 719), (0, 6), id="enlarged"),
        pytest.param("crowd5", "body25", (501, 283), (7, 0), id="feet"),
    ],
)
def test_decode_body_in_reference_mode_is_the_two_resizes_and_the_seeds_rules(
    workload: ModuleType,
    name: str,
    topology: str,
    picture: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    """Small maps in, people in the picture out, best total score first."""
    heat, paf, _ = workload.workload(name, topology, seed=4)
    geometry = geometry_of(picture, (heat.shape[2] * 8, heat.shape[1] * 8), padding)
    poses = op.decode_body(heat, paf, topology=NAMES[topology], geometry=geometry, mode="reference")
    assert len(poses) >= 3
    assert poses.size == picture
    assert poses.topology == NAMES[topology]
    full = full_size(heat, paf, geometry)
    assert_people(poses, oracle.decode(*full, SPECS[NAMES[topology].name]))


def test_decode_body_in_reference_mode_finds_nobody_in_empty_maps() -> None:
    """Without a geometry the picture is the network's input."""
    poses = op.decode_body(
        np.zeros((19, 5, 7), np.float32), np.zeros((38, 5, 7), np.float32), mode="reference"
    )
    assert len(poses) == 0
    assert poses.size == (56, 40)
