"""Print people and hands by VastModelZoo's script and by us, on the same maps, and why they differ.

    python bench/bench_zoo.py [FOLDER]

The pictures of ../shared/data/media, or of a folder, go into human-pose-estimation-0001 as the
script puts them in: stretched to 184 x 184. From the same maps people are found by the script's
rules in NumPy (`tests/zoo_script.py`), by mode "zoo" and by mode "fast". Hands are looked for with
the embedded network, in squares of the same people.

Each person and hand of the script that mode "fast" has not, or the other way round, is given to the
first rule that makes up for it when it is lifted, one at a time:

    edge       a pixel at the picture's edge has no neighbour outside, so the script takes rises
               towards it for peaks: the person is gone when peaks on the edge are left out
    evidence   less than 0.4 a part on the maps as they are, more on enlarged ones
    parts      the script's people have at least 4 parts, ours 3
    samples    the script's limbs have more than 0.8 of their samples in the field, ours 0.6
    weak       a hand whose points score less on average than its network's manifest asks for
    reach      a hand whose wrist lies more than half a square from the arm's end is somebody else's
    shared     a hand that two arms claim is given to one of them
    arm        the script looks for a hand behind a shoulder, an elbow and a wrist only
    order      a part elsewhere for no reason above: the script joins limb by limb in the order of
               the skeleton, and we the surest limb first
    person     the hand of a person whom the other side has not

Two people are one if most of their common parts, and two at least, lie within a map cell.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from openpose_ext.models.network import BodyNetwork, CropMaps, CropNetwork
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.decode import DecodeOptions, decode_body
from openpose_ext.stages.hands import HandFinder
from openpose_ext.stages.zoo import ZooHands, zoo_preprocessing
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT / "tests"))

import oracle  # noqa: E402
import zoo_script  # noqa: E402

SEEN = 0.05


class Maps(zoo_script.Network):
    """A network as `zoo_script` asks it."""

    def __init__(self, network: BodyNetwork | CropNetwork, side: int) -> None:
        self.network, self.width, self.height = network, side, side

    def maps(self, picture: np.ndarray) -> list[np.ndarray]:
        image, _ = zoo_preprocessing((self.width, self.height), 8)(picture)
        if isinstance(self.network, BodyNetwork):
            return [maps[0] for maps in self.network.run(image[None])]
        answer = self.network.run(image[None])
        assert isinstance(answer, CropMaps)
        return [answer.heat[0]]


def paired(ours: np.ndarray, theirs: np.ndarray, cell: np.ndarray) -> dict[int, int]:
    """Which of ours (P, 18, 3) is which of theirs."""
    found: dict[int, int] = {}
    for index, person in enumerate(ours):
        best = (0, -1)
        for other, body in enumerate(theirs):
            both = (person[:, 2] > SEEN) & (body[:, 2] > SEEN)
            near = (np.abs(person[both, :2] - body[both, :2]) <= cell).all(axis=1).sum()
            if near >= 2 and 2 * near > both.sum() and other not in found.values():
                best = max(best, (int(near), other), key=lambda pair: pair[0])
        if best[1] >= 0:
            found[index] = best[1]
    return found


def without_edges(heat: np.ndarray, paf: np.ndarray) -> np.ndarray:
    """The script's people when peaks in the first and last rows and columns are left out."""
    height, width = heat.shape[1:]
    peaks, count = [], 0
    for found in oracle.find_peaks(heat):
        x, y = found[:, 0], found[:, 1]
        kept = found[(x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)]
        kept[:, 3] = np.arange(count, count + len(kept))
        peaks.append(kept)
        count += len(kept)
    candidate = oracle.as_candidate(peaks)
    subset, _ = oracle.assemble(candidate, oracle.connect(peaks, paf))
    return oracle.people(candidate, oracle.prune(subset))


def is_in(person: np.ndarray, people: np.ndarray, cell: np.ndarray) -> bool:
    return bool(paired(person[None], people, cell))


def same(ours: Poses, people: np.ndarray, hands: np.ndarray) -> bool:
    """Whether the people and hands are the same to the pixel, in whatever order."""
    assert ours.hands is not None

    def rows(bodies: np.ndarray, pairs: np.ndarray) -> list[bytes]:
        return sorted(
            np.concatenate([body[:, :2].ravel(), pair[..., :2].ravel()]).astype(int).tobytes()
            for body, pair in zip(bodies, pairs, strict=True)
        )

    return rows(ours.keypoints, ours.hands) == rows(people, hands)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "data" / "media"
    weights = SHARED / "weights" / "human-pose-estimation-0001-fp32.onnx"
    zoo_hands = ZooHands.open("lite", backend="onnxruntime", threads=1)
    our_hands = HandFinder.open("lite", backend="onnxruntime", threads=1)
    lenient = HandFinder.open("lite", backend="onnxruntime", threads=1)
    lenient._min_score = 0.0
    header = "people: script | zoo | fast | hands: script | zoo | fast | why fast differs"
    print(f"| picture | {header} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    totals = np.zeros(6, int)
    with BodyNetwork.open(weights, backend="onnxruntime", threads=1) as network:
        body, hand = Maps(network, 184), Maps(zoo_hands._network, zoo_hands._network.crop)
        for file in find_inputs([folder], videos=False).files:
            picture = read_picture(file.path)
            image, geometry = zoo_preprocessing((184, 184), 8)(picture)
            heat, paf = (maps[0] for maps in network.run(image[None]))
            people = zoo_script.people(body, picture)
            hands = zoo_script.hands(hand, people, picture)
            zoo = decode_body(heat, paf, geometry=geometry, mode="reference")
            zoo = replace(zoo, hands=zoo_hands.of_people(picture, zoo))
            fast = decode_body(heat, paf, geometry=geometry)
            fast = replace(fast, hands=our_hands.of_people(picture, fast))
            assert same(zoo, people, hands), f"mode zoo differs on {file.path.name}"

            cell = 8 / np.array(geometry.factor)
            pairs = paired(people, fast.keypoints, cell)
            why = [f"-1 person: {name}" for name in lost(heat, paf, body, picture, people, pairs)]
            why += moved(people, fast, pairs, cell, geometry.picture)
            for index in {*range(len(fast))} - {*pairs.values()}:
                why.append(f"+1 person: {won(heat, paf, geometry, fast.keypoints[index], cell)}")
            why += of_hands(people, hands, fast, picture, lenient, pairs)
            assert zoo.hands is not None
            assert fast.hands is not None
            counts = [
                len(people), len(zoo), len(fast),
                *(int(some[..., 2].any(axis=2).sum()) for some in (hands, zoo.hands, fast.hands)),
            ]  # fmt: skip
            totals += counts
            numbers = " | ".join(map(str, counts))
            reasons = "; ".join(f"{name} ({why.count(name)})" for name in dict.fromkeys(why))
            print(f"| {file.path.name} | {numbers} | {reasons} |", flush=True)
    print("| all | " + " | ".join(map(str, totals)) + " | |")


def moved(
    people: np.ndarray,
    fast: Poses,
    pairs: dict[int, int],
    cell: np.ndarray,
    size: tuple[int, int],
) -> list[str]:
    """Why parts of people whom both have lie more than a cell apart."""
    reasons = []
    for person, other in pairs.items():
        theirs, ours = people[person], fast.keypoints[other]
        both = (theirs[:, 2] > SEEN) & (ours[:, 2] > SEEN)
        for part in np.flatnonzero(both & (np.abs(theirs - ours)[:, :2] > cell).any(axis=1)):
            x, y = theirs[part, :2]
            on_edge = x in (0, size[0] - 1) or y in (0, size[1] - 1)
            reasons.append("part elsewhere: " + ("edge" if on_edge else "order"))
    return reasons


def lost(
    heat: np.ndarray,
    paf: np.ndarray,
    body: Maps,
    picture: np.ndarray,
    people: np.ndarray,
    pairs: dict[int, int],
) -> list[str]:
    """Why each of the script's people is not among ours."""
    alone = sorted({*range(len(people))} - pairs.keys())
    if not alone:
        return []
    _, geometry = zoo_preprocessing((184, 184), 8)(picture)
    cell = 8 / np.array(geometry.factor)
    full = [body.full_size(maps, picture) for maps in (heat, paf)]
    inner = without_edges(*full)
    lenient = decode_body(heat, paf, geometry=geometry, options=DecodeOptions(min_score=0.3))
    reasons = []
    for index in alone:
        if not is_in(people[index], inner, cell):
            reasons.append("edge")
        elif is_in(people[index], lenient.keypoints, cell):
            reasons.append("evidence")
        else:
            reasons.append("?")
    return reasons


def won(
    heat: np.ndarray, paf: np.ndarray, geometry: Geometry, person: np.ndarray, cell: np.ndarray
) -> str:
    """Why one of our people is not among the script's."""
    strict = DecodeOptions.reference()
    for name, options in {
        "parts": replace(strict, min_parts=3),
        "samples": replace(strict, min_paf_share=0.6),
        "parts and samples": replace(strict, min_parts=3, min_paf_share=0.6),
    }.items():
        found = decode_body(heat, paf, geometry=geometry, mode="reference", options=options)
        if is_in(person, found.keypoints, cell):
            return name
    return "?"


def of_hands(
    people: np.ndarray,
    hands: np.ndarray,
    fast: Poses,
    picture: np.ndarray,
    lenient: HandFinder,
    pairs: dict[int, int],
) -> list[str]:
    """Why each hand that one side has is not on the other."""
    assert fast.hands is not None
    anyway = lenient.of_people(picture, fast)
    reasons = []
    for person, pair in enumerate(hands):
        for side in range(2):
            theirs = pair[side, :, 2].any()
            if person not in pairs:
                reasons += ["-1 hand: person"] if theirs else []
                continue
            other = pairs[person]
            ours = fast.hands[other, side, :, 2].any()
            arm = list(zoo_script.SHOULDER_ELBOW_WRIST[side])
            if theirs and not ours:
                if anyway[other, side, :, 2].any():
                    reasons.append("-1 hand: weak")
                elif not (fast.keypoints[other, arm[2], 2] > 0):
                    reasons.append("-1 hand: arm")
                else:
                    alone = of_one_arm(fast, other, side)
                    found = lenient.of_people(picture, alone)[0, side, :, 2].any()
                    reasons.append("-1 hand: shared" if found else "-1 hand: reach")
            elif ours and not theirs:
                whole = people[person, arm, 2].all()
                reasons.append("+1 hand: " + ("edge square" if whole else "arm"))
    for other in {*range(len(fast))} - {*pairs.values()}:
        seen = fast.hands[other, :, :, 2].any(axis=1)
        reasons += ["+1 hand: person"] * int(seen.sum())
    return reasons


def of_one_arm(people: Poses, person: int, side: int) -> Poses:
    """One person, without the other arm's wrist: nobody claims the same hand."""
    one = people[person : person + 1]
    keypoints = one.keypoints.copy()
    keypoints[0, zoo_script.SHOULDER_ELBOW_WRIST[1 - side][2]] = 0
    return replace(one, keypoints=keypoints, hands=None)


if __name__ == "__main__":
    main()
