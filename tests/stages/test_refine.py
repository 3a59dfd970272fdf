"""A second look: where it looks, what it makes of both looks, and that it fits everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from openpose_ext import _core
from openpose_ext.models.network import BodyMaps
from openpose_ext.stages.decode import decode_body
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import merge
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.stages.refine import REFINE_PIXELS, Refiner, stature_at
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

# A person who stands upright, one unit tall, as fractions of the stature: x to the right, y down.
STANDING = {
    "Nose": (0, 0.08), "Neck": (0, 0.18), "RShoulder": (-0.1, 0.18), "RElbow": (-0.13, 0.34),
    "RWrist": (-0.14, 0.48), "LShoulder": (0.1, 0.18), "LElbow": (0.13, 0.34),
    "LWrist": (0.14, 0.48), "MidHip": (0, 0.48), "RHip": (-0.06, 0.48), "RKnee": (-0.06, 0.72),
    "RAnkle": (-0.06, 0.94), "LHip": (0.06, 0.48), "LKnee": (0.06, 0.72), "LAnkle": (0.06, 0.94),
    "REye": (-0.02, 0.06), "LEye": (0.02, 0.06), "REar": (-0.04, 0.07), "LEar": (0.04, 0.07),
    "LBigToe": (0.09, 0.98), "LSmallToe": (0.11, 0.97), "LHeel": (0.05, 0.97),
    "RBigToe": (-0.09, 0.98), "RSmallToe": (-0.11, 0.97), "RHeel": (-0.05, 0.97),
}  # fmt: skip


def standing(x: float, y: float, stature: float, topology: Topology = COCO_18) -> np.ndarray:
    """(K, 3) float32: somebody whose crown is at x, y."""
    parts = np.array([STANDING[name] for name in topology.parts], np.float32)
    person = np.full((len(parts), 3), 0.8, np.float32)
    person[:, :2] = parts * stature + (x, y)
    return person


def poses(
    people: list[np.ndarray], scores: list[float] | None = None, topology: Topology = COCO_18
) -> Poses:
    count = len(people)
    keypoints = np.array(people, np.float32).reshape(count, len(topology.parts), 3)
    order = np.linspace(0.9, 0.5, count) if scores is None else np.array(scores)
    filled = np.zeros(keypoints.shape[:2], np.bool_)
    return Poses(keypoints, order.astype(np.float32), filled, topology, (640, 480))


# What shows where it is: blue grows to the right, green downwards, and red is anything.
SIZE = 640, 480


def telling_picture() -> np.ndarray:
    width, height = SIZE
    columns, rows = np.meshgrid(np.arange(width) * 255 / width, np.arange(height) * 255 / height)
    return np.dstack([columns, rows, np.full_like(rows, 60)]).round().astype(np.uint8)


@dataclass
class TellingNetwork:
    """Draws maps of people whom it knows, where they are in the picture by its colours.

    People below `least` network pixels it does not see, and it sees no feet of anybody. It sees
    everybody `lift` picture pixels too high, and says so.
    """

    people: list[np.ndarray]
    topology: Topology = COCO_18
    least: float = 0
    lift: float = 0.0
    stride: int = 8
    fixed_size: tuple[int, int] | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def run(self, batch: npt.NDArray[np.uint8]) -> BodyMaps:
        assert self.fixed_size in (None, batch.shape[2:0:-1])
        self.sizes += [batch.shape[2:0:-1]] * len(batch)
        heats, pafs = zip(*(self._maps(image.astype(np.float64)) for image in batch), strict=True)
        return BodyMaps(np.stack(heats), np.stack(pafs))

    def _maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all parts of the picture that lie side by side in an input."""
        height, width = image.shape[0] // self.stride, image.shape[1] // self.stride
        heat = np.zeros((len(self.topology.parts) + 1, height, width), np.float32)
        paf = np.zeros((self.topology.paf_count, height, width), np.float32)
        shown = (image[..., 2] == 60).astype(np.uint8)  # the padding is not
        _, _, places, _ = cv2.connectedComponentsWithStats(shown)
        for left, top, columns, rows, _ in places[1:]:
            cells = [side // self.stride for side in (left, top)]
            right, bottom = (
                -(-side // self.stride) * self.stride for side in (left + columns, top + rows)
            )
            of_part = self._maps_of_part(image[top:bottom, left:right])
            for maps, some in zip((heat, paf), of_part, strict=True):
                place = maps[:, cells[1] :, cells[0] :][:, : some.shape[1], : some.shape[2]]
                place[:] = some[:, : place.shape[1], : place.shape[2]]
        return heat, paf

    def _maps_of_part(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = image[..., 2] == 60
        columns = np.flatnonzero(inside[0])
        rows = np.flatnonzero(inside[:, 0])
        # Colours at the edges are repeated by the resize; those inside are exact.
        across = np.polyfit(columns[4:-4], image[:, columns[4:-4], 0][rows].mean(0), 1)
        down = np.polyfit(rows[4:-4], image[rows[4:-4]][:, columns, 1].mean(1), 1)
        to_x = np.array(SIZE) / 255
        factor = 1 / abs(across[0] * to_x[0])
        height, width = image.shape[0] // self.stride, image.shape[1] // self.stride
        heat = np.zeros((len(self.topology.parts) + 1, height, width), np.float32)
        paf = np.zeros((self.topology.paf_count, height, width), np.float32)
        mirrored = across[0] < 0
        mirror = self.topology.mirror if mirrored else range(len(self.topology.parts))
        y, x = np.mgrid[:height, :width]
        for person in self.people:
            stature = float(np.ptp(person[:, 1])) / 0.9
            if stature * factor < self.least:
                continue
            # Picture -> network -> cells.
            pixels = (person[:, :2] - (0, self.lift)) / to_x
            network = (pixels - (across[1], down[1])) / (across[0], down[0])
            cells = ((network + 0.5) / self.stride - 0.5)[list(mirror)]
            sigma = max(0.7, 0.02 * stature * factor / self.stride)
            for part, (cx, cy) in enumerate(cells):
                blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) * 0.9
                heat[part] = np.maximum(heat[part], blob)
            for (a, b), (cx, cy) in zip(
                self.topology.limbs, self.topology.paf_channels, strict=True
            ):
                way = cells[b] - cells[a]
                length = max(float(np.hypot(*way)), 1e-6)
                unit = way / length
                along = (x - cells[a][0]) * unit[0] + (y - cells[a][1]) * unit[1]
                beside = np.abs((x - cells[a][0]) * unit[1] - (y - cells[a][1]) * unit[0])
                near = (along > -1) & (along < length + 1) & (beside < 1)
                paf[cx][near], paf[cy][near] = unit
        return heat, paf


def looked(
    network: TellingNetwork, refiner: Refiner, height: int = 368
) -> tuple[Poses, Poses, int]:
    """The people of one look, those of two, and the network pixels of the first."""
    frame = Frame(telling_picture())
    preprocess = Preprocessing(height=height, fixed_size=network.fixed_size)
    inputs = [NetworkInput(*preprocess(frame))]
    if refiner.mirror:
        inputs.append(inputs[0].mirror_image())
    (first, *more) = passes(inputs, network)  # type: ignore[arg-type]
    heat, paf, geometry = merge([first, *more], network.topology)
    people = decode_body(heat, paf, topology=network.topology, geometry=geometry)
    pixels = sum(one.image.shape[0] * one.image.shape[1] for one in inputs)
    whole = replace(first, heat=heat, paf=paf)
    refined = refiner(frame, people, whole, pixels, network)  # type: ignore[arg-type]
    return people, refined, pixels


def errors(found: Poses, truth: list[np.ndarray]) -> np.ndarray:
    """Pixels between each person's parts and the nearest found person's."""
    apart = [
        np.hypot(*(found.keypoints[:, :, :2] - person[:, :2]).transpose(2, 0, 1)).mean(axis=1).min()
        for person in truth
    ]
    return np.array(apart)


CROWD = [standing(120, 100, 110), standing(180, 110, 100), standing(500, 40, 300)]


@pytest.mark.parametrize(
    ("options", "fixed_size"),
    [
        ({}, None),
        ({"mirror": True}, None),
        ({"scales": (1.0, 0.75)}, None),
        ({"scales": (0.5, 1.0), "mirror": True}, None),
        ({"stature": 200}, (456, 256)),
        ({"mirror": True}, (456, 256)),
    ],
)
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda topology: topology.name)
@pytest.mark.parametrize("lift", [0, 8])
def test_people_of_the_second_look_are_where_they_are_in_the_picture(
    options: dict[str, object], fixed_size: tuple[int, int] | None, topology: Topology, lift: float
) -> None:
    truth = [standing(120, 100, 110, topology), standing(500, 40, 300, topology)]
    network = TellingNetwork(truth, topology, lift=lift, fixed_size=fixed_size)
    first, refined, _ = looked(network, Refiner(**options), height=256)  # type: ignore[arg-type]
    assert len(first) == len(refined) == 2
    assert errors(refined, truth).max() < 2.5
    # The first look has cells of 15 picture pixels, the second of a third of that.
    assert errors(refined, truth)[0] < errors(first, truth)[0] + 0.3


@pytest.mark.parametrize("fixed_size", [None, (456, 256)])
@pytest.mark.parametrize("lift", [0, 8])
def test_expected_people_are_found_where_they_are(
    fixed_size: tuple[int, int] | None, lift: float
) -> None:
    truth = [standing(120, 100, 110), standing(400, 40, 250)]
    network = TellingNetwork(truth, lift=lift, fixed_size=fixed_size)
    frame = Frame(telling_picture())
    found = Refiner().alone(frame, poses(truth), 1e6, 250, network)  # type: ignore[arg-type]
    assert found is not None
    assert len(found) == 2
    assert errors(found, truth).max() < 2.5


@pytest.mark.parametrize("fixed_size", [None, (456, 256)])
def test_where_nobody_is_expected_nobody_is_found(fixed_size: tuple[int, int] | None) -> None:
    network = TellingNetwork([standing(300, 100, 90)], fixed_size=fixed_size)
    frame = Frame(telling_picture())
    found = Refiner().alone(frame, poses([]), 1e6, 250, network)  # type: ignore[arg-type]
    assert found is not None
    assert len(found) == 0
    assert network.sizes == []


def test_small_people_next_to_somebody_seen_are_found_by_the_second_look_alone() -> None:
    # The one on the left is seen; the one beside her is too small for one look.
    truth = [standing(150, 100, 110), standing(180, 115, 80)]
    network = TellingNetwork(truth, least=80)
    first, refined, _ = looked(network, Refiner())
    assert len(first) == 1
    assert len(refined) == 2
    assert errors(refined, truth).max() < 2


def test_the_second_look_stays_within_its_bound() -> None:
    for pixels in (0.1, 0.5, 2.0):
        network = TellingNetwork(CROWD)
        _, _, first = looked(network, Refiner(pixels=pixels))
        assert sum(width * height for width, height in network.sizes) <= (1 + pixels) * first


def test_several_people_share_an_input_of_a_network_of_one_size() -> None:
    truth = [standing(x, y, 60) for x in (60, 320, 580) for y in (30, 390)]
    network = TellingNetwork(truth, fixed_size=(456, 256))
    first, refined, _ = looked(network, Refiner(stature=100))
    assert len(first) == len(refined) == 6
    assert len(network.sizes) == 3, "one look, and two inputs for six people"
    assert errors(refined, truth).max() < 0.5


def test_a_crowd_costs_no_more_than_the_bound() -> None:
    crowd = [
        standing(20 + 60 * column, 10 + 45 * row, 40) for column in range(10) for row in range(10)
    ]
    network = TellingNetwork(crowd)
    first, refined, pixels = looked(network, Refiner(pixels=1))
    assert len(first) > 50
    assert len(refined) >= len(first)
    assert sum(width * height for width, height in network.sizes) <= 2 * pixels


def test_people_are_looked_at_larger_where_pictures_are() -> None:
    assert stature_at(368) == 300
    assert stature_at(256) == pytest.approx(250, abs=1)
    with PoseEstimator(height=256, refine=True) as estimator:
        assert estimator._body.refiner is not None
        assert estimator._body.refiner.stature == stature_at(256)


def test_nobody_is_not_looked_at_again() -> None:
    network = TellingNetwork([])
    first, refined, _ = looked(network, Refiner())
    assert len(first) == len(refined) == 0
    assert len(network.sizes) == 1


def test_hostile_maps_end() -> None:
    class Hostile(TellingNetwork):
        def _maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng(image.shape[0])
            height, width = image.shape[0] // 8, image.shape[1] // 8
            heat = rng.normal(0, 1, (19, height, width)).astype(np.float32)
            paf = rng.normal(0, 1, (38, height, width)).astype(np.float32)
            heat[rng.random(heat.shape) < 0.01] = np.nan
            paf[rng.random(paf.shape) < 0.01] = np.inf
            return heat, paf

    network = Hostile([])
    _, refined, pixels = looked(network, Refiner())
    assert np.isfinite(refined.keypoints).all()
    assert sum(width * height for width, height in network.sizes) <= (1 + REFINE_PIXELS) * pixels


# The union of both looks, against NumPy ---------------------------------------------------------


def oks(one: np.ndarray, other: np.ndarray, stature: float) -> tuple[float, int]:
    """COCO's similarity over the common parts, and their number."""
    both = (one[:, 2] > 0) & (other[:, 2] > 0)
    if not both.any():
        return 0.0, 0
    distance = ((one[both, :2].astype(np.float64) - other[both, :2]) ** 2).sum(axis=1)
    sigma = np.array(COCO_18.sigmas)[both]
    area = 0.25 * stature**2
    return float(np.exp(-distance / (2 * area * (2 * sigma) ** 2)).mean()), int(both.sum())


def tall(person: np.ndarray) -> float:
    """The middle stature that limbs tell, at least the extent."""
    seen = person[:, 2] > 0.05
    extent = float(np.ptp(person[seen, :2], axis=0).max()) if seen.any() else 0.0
    told = sorted(
        3.3 * float(np.hypot(*(person[a, :2] - person[b, :2]))) / length
        for (a, b), length in zip(COCO_18.limbs, COCO_18.lengths, strict=True)
        if seen[a] and seen[b]
    )
    return max(extent, told[len(told) // 2]) if told else extent


def only(person: np.ndarray, part: int) -> np.ndarray:
    """The person with one part."""
    alone = np.zeros_like(person)
    alone[part] = person[part]
    return alone


def inside(one: np.ndarray, other: np.ndarray) -> float:
    """The share of one's box that lies in the other's."""
    boxes = [person[person[:, 2] > 0, :2] for person in (one, other)]
    if not all(map(len, boxes)):
        return 0.0
    low, high = (np.array([way(box, axis=0) for box in boxes]) for way in (np.min, np.max))
    common = np.maximum(high.min(0) + 1 - low.max(0), 0)
    return float(common.prod() / (high[0] + 1 - low[0]).prod())


def united_in_numpy(
    first: Poses, closer: list[tuple[Poses, list[int]]]
) -> tuple[list[np.ndarray], list[float]]:
    taken: set[tuple[int, int]] = set()
    whom_of: dict[int, tuple[int, int]] = {}
    for own in (True, False):
        for person, keypoints in enumerate(first.keypoints):
            best: tuple[float, int, int] | None = None
            for look, (found, whom) in enumerate(closer):
                if person in whom_of or (own and person not in whom):
                    continue
                for other in range(len(found)):
                    alike, common = oks(keypoints, found.keypoints[other], tall(keypoints))
                    if (look, other) in taken or common < 2 or alike <= 0.3:
                        continue
                    if best is None or alike > best[0]:
                        best = alike, look, other
            if best is not None:
                whom_of[person] = best[1:]
                taken.add(best[1:])
    known: list[tuple[np.ndarray, float]] = []
    alone: list[tuple[np.ndarray, float]] = []
    for person, (keypoints, score) in enumerate(zip(first.keypoints, first.scores, strict=True)):
        if person not in whom_of:
            alone.append((keypoints, float(score)))
            continue
        look, other = whom_of[person]
        nearer = closer[look][0].keypoints[other]
        kept = np.where(nearer[:, 2:] > 0, nearer, keypoints)
        known.append((kept, float(closer[look][0].scores[other])))
    added = [
        (found.keypoints[other], float(found.scores[other]))
        for look, (found, _) in enumerate(closer)
        for other in range(len(found))
        if (look, other) not in taken
    ]
    nearer_people = [found.keypoints[other] for found, _ in closer for other in range(len(found))]
    for keypoints, score in alone:
        there = [part for part in range(len(keypoints)) if keypoints[part, 2] > 0]
        shared = [
            any(
                oks(only(keypoints, part), other, tall(keypoints))[0] > 0.5
                for other in nearer_people
            )
            for part in there
        ]
        if not there or sum(shared) < 0.5 * len(there):
            known.append((keypoints, score))
    added = [
        one
        for one in added
        if not any(2 * one[1] < other[1] and inside(one[0], other[0]) >= 0.9 for other in known)
    ]
    everybody = sorted(known, key=lambda one: -one[1]) + sorted(added, key=lambda one: -one[1])
    kept_people: list[tuple[np.ndarray, float]] = []
    for one in everybody:
        for before in kept_people:
            alike, common = oks(one[0], before[0], min(tall(one[0]), tall(before[0])))
            fewer = min(int((person[:, 2] > 0).sum()) for person in (one[0], before[0]))
            if alike > 0.5 and common >= 0.5 * fewer:
                break
        else:
            kept_people.append(one)
    kept_people.sort(key=lambda one: -one[1])
    return [person for person, _ in kept_people], [score for _, score in kept_people]


@pytest.mark.parametrize("seed", range(20))
def test_looks_are_united_as_numpy_does(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def noisy(person: np.ndarray) -> np.ndarray:
        moved = person.copy()
        moved[:, :2] += rng.normal(0, rng.uniform(0.5, 12), (len(moved), 2))
        moved[rng.random(len(moved)) < 0.3] = 0
        return moved

    truth = [
        standing(*rng.uniform((0, 0), (200, 100)), rng.uniform(60, 300))
        for _ in range(rng.integers(0, 7))
    ]
    scores = np.sort(rng.random(len(truth)))[::-1].tolist()
    first = poses([noisy(person) for person in truth], scores)
    closer = []
    for whom in np.array_split(rng.permutation(len(truth)), 3):
        found = [
            noisy(truth[number]) for number in rng.permutation(len(truth)) if rng.random() < 0.7
        ]
        closer.append((poses(found, rng.random(len(found)).tolist()), whom.tolist()))
    keypoints, found_scores, _ = _core.unite(
        tables(first), [(tables(found), whom) for found, whom in closer], COCO_18.core
    )
    expected, expected_scores = united_in_numpy(first, closer)
    assert found_scores == pytest.approx(expected_scores)
    np.testing.assert_array_equal(keypoints, np.array(expected).reshape(keypoints.shape))


def tables(people: Poses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return people.keypoints, people.scores, people.filled


def test_a_region_is_no_place_outside_the_picture() -> None:
    for stature in (5, 40, 400):
        people = poses([standing(0, 0, stature), standing(639, 470, stature)])
        for (x, y, width, height), *_ in _core.find_regions(
            tables(people), COCO_18.core, (640, 480), stature=260, pixels=1e9, margin=0.25, step=32
        ):
            assert 0 <= x < x + width <= 640
            assert 0 <= y < y + height <= 480


# With everything else ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A woman, from the waist up; she looks at us."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("OPENPOSE_EXT_CACHE", str(folder))
        yield folder


@pytest.mark.parametrize(
    "options",
    [
        {"refine": True},
        {"refine": 150, "mirror": True},
        {"refine": True, "scales": (0.5, 1.0), "hand": "lite"},
        {"refine": True, "fit": "stretch", "refine_pixels": 0.7},
    ],
)
def test_calls_batches_and_streams_refine_alike(
    cache: Path, picture: np.ndarray, options: dict[str, object]
) -> None:
    pictures = [picture, picture[:300, 60:400], picture[::2, ::2]]
    with PoseEstimator(height=184, threads=2, **options) as estimator:  # type: ignore[arg-type]
        singly = [estimator(one) for one in pictures]
        together = estimator.batch(pictures)
        streamed = [people for _, people in estimator.stream(iter(pictures))]
    assert len(singly[0]) >= 1
    for one, *others in zip(singly, together, streamed, strict=True):
        assert "refine" in one.timings
        assert ("hands" in one.timings) == ("hand" in options)
        for other in others:
            assert one.allclose(other)


def test_without_refine_there_is_no_second_look(cache: Path, picture: np.ndarray) -> None:
    with PoseEstimator(height=184) as estimator:
        assert "refine" not in estimator(picture).timings


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"refine": 0}, "above 0|must be True"),
        ({"refine": -10}, "must be above 0"),
        ({"refine": float("nan")}, "must be above 0"),
        ({"refine": True, "refine_pixels": 0}, "must be above 0"),
        ({"refine": True, "mode": "reference"}, "refine needs mode"),
    ],
)
def test_a_second_look_that_there_is_not_is_refused(
    options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        PoseEstimator(height=184, **options)  # type: ignore[arg-type]
