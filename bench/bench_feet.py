"""Print a table of the foot networks' accuracy and time.

    python bench/bench_feet.py [NETWORK...]

A labelled heel or big toe is right if it is found within 0.05 of the height of its person's box.
First the annotated bodies tell where to look, then the whole cascade does. There are 23 people with
small feet: the figures compare networks, they do not rate them. The pictures lie in ../shared;
without them there is nothing to measure.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from bench_accuracy import MOBILENET, SHARED, machine

from openpose_ext import BODY_25, COCO_18, PoseEstimator, Poses
from openpose_ext.formats.coco import COCO_PARTS
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.feet import FootFinder
from openpose_ext.types.arrays import Picture

FEET = SHARED / "data" / "feet_val"
NETWORKS: Mapping[str, str | Path] = {
    "landmark": SHARED / "weights" / "pose_landmark_full.tflite",
    "lite": "lite",
}

PRECISION = "f32"
NEAR = 0.05
# Of the labels, and as BODY_25 has them.
HEELS, TOES = (2, 5), (0, 3)
FIRST_FOOT = BODY_25.parts.index("LBigToe")

Points = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Person:
    """A person with labelled feet.

    picture  its file
    box      x, y, width, height
    body     (17, 3) of COCO, or None
    feet     (6, 3): x, y, visible, in the order of BODY_25
    """

    picture: Path
    box: tuple[float, float, float, float]
    body: npt.NDArray[np.float64] | None
    feet: npt.NDArray[np.float64]

    def right(self, found: Points, points: Sequence[int]) -> tuple[int, int]:
        """Labelled points of these that are found near, and all labelled ones."""
        labelled = [k for k in points if self.feet[k, 2] > 0]
        apart = np.hypot(*(found[labelled, :2] - self.feet[labelled, :2]).T)
        near = (apart < NEAR * self.box[3]) & (found[labelled, 2] > 0)
        return int(near.sum()), len(labelled)


def read_people(folder: Path = FEET) -> list[Person]:
    """The people of a folder with a `feet.json`."""
    return [
        Person(
            folder / entry["image"],
            tuple(entry["box"]),
            None if entry["body"] is None else np.array(entry["body"], np.float64),
            np.array(entry["feet"], np.float64),
        )
        for entry in json.loads((folder / "feet.json").read_text())
    ]


def as_poses(person: Person, size: tuple[int, int]) -> Poses | None:
    """The annotated body as a network would find it."""
    if person.body is None:
        return None
    keypoints = np.zeros((1, len(COCO_18.parts), 3), np.float32)
    for row, name in zip(person.body, COCO_PARTS, strict=True):
        keypoints[0, COCO_18.parts.index(name)] = (*row[:2], 1) if row[2] > 0 else (0, 0, 0)
    shape = keypoints.shape[:2]
    return Poses(keypoints, np.ones(1, np.float32), np.zeros(shape, np.bool_), COCO_18, size)


def by_annotated_bodies(finder: FootFinder) -> Callable[[Person, Picture], Points | None]:
    def find(person: Person, picture: Picture) -> Points | None:
        people = as_poses(person, (picture.shape[1], picture.shape[0]))
        return None if people is None else finder.of_people(picture, people).keypoints[0]

    return find


def by_cascade(estimator: PoseEstimator) -> Callable[[Person, Picture], Points | None]:
    known: dict[Path, Poses] = {}

    def find(person: Person, picture: Picture) -> Points | None:
        if person.picture not in known:
            known[person.picture] = estimator(picture)
        overlaps = [_overlap(one, person.box) for one in known[person.picture].keypoints]
        best = int(np.argmax(overlaps)) if overlaps else -1
        return known[person.picture].keypoints[best] if best >= 0 and overlaps[best] > 0.3 else None

    return find


def _overlap(keypoints: Points, box: tuple[float, float, float, float]) -> float:
    """IoU of the box of the parts and another."""
    seen = keypoints[keypoints[:, 2] > 0, :2]
    ends = np.array([box[:2], np.add(box[:2], box[2:])])
    low, high = (np.stack([f(p, axis=0) for p in (seen, ends)]) for f in (np.min, np.max))
    common = float(np.maximum(high.min(axis=0) - low.max(axis=0), 0).prod())
    return common / float((high - low).prod(axis=1).sum() - common)


def _row(
    name: str, people: Sequence[Person], find: Callable[[Person, Picture], Points | None]
) -> str:
    counts = {"heels": [0, 0], "big toes": [0, 0]}
    for person in people:
        found = find(person, read_picture(person.picture))
        feet = np.zeros((6, 3)) if found is None else found[FIRST_FOOT:]
        for kind, points in (("heels", HEELS), ("big toes", TOES)):
            near, labelled = person.right(feet, points)
            counts[kind][0] += near
            counts[kind][1] += labelled
    both = np.sum([*counts.values()], axis=0)
    cells = [f"{near} of {all_} ({near / all_:.2f})" for near, all_ in (*counts.values(), both)]
    return f"| {name} | {' | '.join(cells)} |"


def milliseconds(finder: FootFinder, person: Person, runs: int = 15) -> float:
    """The time of one person's feet, the median of runs."""
    picture, times = read_picture(person.picture), []
    people = as_poses(person, (picture.shape[1], picture.shape[0]))
    assert people is not None
    for _ in range(runs):
        start = time.perf_counter()
        finder.of_people(picture, people)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Print the table as Markdown."""
    if not FEET.exists():
        print(f"Accuracy is not measured: {os.path.relpath(FEET)} is not here.")
        return
    people = read_people()
    print(f"{len(people)} people of feet_val, {PRECISION}, 1 thread. {machine()}.\n")
    print("| network | heels | big toes | both |\n| --- | ---: | ---: | ---: |")
    times = {}
    for name, network in ({one: one for one in sys.argv[1:]} or NETWORKS).items():
        with FootFinder.open(network, precision=PRECISION, threads=1) as finder:
            with_body = [person for person in people if person.body is not None]
            print(_row(f"{name}, bodies given", with_body, by_annotated_bodies(finder)), flush=True)
            times[name] = milliseconds(finder, with_body[0])
        with PoseEstimator(
            MOBILENET, foot=network, refine=True, precision=PRECISION, threads=1, streams=1
        ) as estimator:
            print(_row(f"{name}, cascade", people, by_cascade(estimator)), flush=True)
    for name, taken in times.items():
        print(f"\n{name}: {taken:.1f} ms a person")


if __name__ == "__main__":
    main()
