"""What the teacher sees of hands, and places where there is none.

    python training/hand_data.py --hands HANDS --people PEOPLE --teacher hand_landmark_full.tflite
        --body BODY.onnx --out DATA

Each crop of --hands is looked at in four turns and both mirrorings, and once more upright around
the best result. In the pictures of --people the body network finds arms, whose ends are looked at
in the same way, and other parts of bodies and backgrounds that the teacher is sure are no hands.
Crops for training are cut from the pictures as they are needed: see `datasets.py`.

Files: <out>/hands.npz with name (n,), points (n, 21, 2) in pixels of the picture, right (n,) bool;
<out>/others.npz with name, centre (n, 2), side (n,). Every 20th picture is held out.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext import PoseEstimator
from openpose_ext.models.network import CropPoints, HandNetwork
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture

Points = npt.NDArray[np.float64]

TURNS = (0.0, 90.0, 180.0, 270.0)
SURE, NONE = 0.8, 0.1  # presence of a hand that is learnt from; of what is no hand
UPRIGHT = 1.9  # side of the second look, in hands
AGREE = 0.15  # both mirrorings differ by less, in sides of the first look
LEAST = 28.0  # picture pixels: longer side of a hand in a people picture
HEIGHT = 368
NOT_HANDS = (0, 1, 2, 5, 8, 11, 9, 12, 10, 13)  # nose, neck, shoulders, hips, knees, ankles


@dataclass(frozen=True, eq=False)
class Hand:
    points: Points
    right: bool


class Teacher:
    def __init__(self, path: Path) -> None:
        self._network = HandNetwork.open(path, precision="f32", threads=1)

    def looks(self, picture: Picture, views: Sequence[View]) -> list[tuple[Points, float, float]]:
        """Points in the picture, presence and probability of a right hand, of each view."""
        answer = self._network.run(np.stack([view.cut(picture) for view in views]))
        assert isinstance(answer, CropPoints)
        assert answer.right is not None
        return [
            (
                view.to_picture(answer.points[k].astype(np.float64)),
                float(answer.presence[k]),
                float(1 - answer.right[k] if view.mirrored else answer.right[k]),
            )
            for k, view in enumerate(views)
        ]

    def presence(self, picture: Picture, centre: tuple[float, float], side: float) -> float:
        """Of a hand in any of four turns."""
        views = [View(centre, side, self._network.crop, turn) for turn in TURNS]
        return max(presence for _, presence, _ in self.looks(picture, views))

    def hand(
        self, picture: Picture, centre: tuple[float, float], side: float, angle: float | None
    ) -> Hand | None:
        """The hand in a square, if it is sure of it."""
        size = self._network.crop
        views = [
            View(centre, side, size, turn, mirrored)
            for turn in (TURNS if angle is None else (angle,))
            for mirrored in (False, True)
        ]
        points, presence, _ = max(self.looks(picture, views), key=lambda look: look[1])
        if presence < 0.3:
            return None
        upright = _upright(points, size)
        both = self.looks(picture, [upright, replace(upright, mirrored=True)])
        if max(look[1] for look in both) < SURE:
            return None
        best = max(both, key=lambda look: look[1])[0]
        apart = np.abs(both[0][0] - both[1][0]).max()
        if min(look[1] for look in both) > 0.5 and apart < AGREE * side:
            best = (both[0][0] + both[1][0]) / 2
        return Hand(best, both[0][2] + both[1][2] > 1)


def _upright(points: Points, size: int) -> View:
    """The square around a hand in which its fingers point up."""
    x, y = points[9] - points[0]
    angle = float(np.degrees(np.arctan2(x, -y)))
    turned = View((0.0, 0.0), 1.0, 1, angle)
    flat = turned.to_network(points)
    low, high = flat.min(axis=0), flat.max(axis=0)
    cx, cy = turned.to_picture((low + high) / 2)
    return View((float(cx), float(cy)), UPRIGHT * float((high - low).max()), size, angle)


def in_crops(files: Sequence[Path], teacher_file: Path) -> tuple[list[Any], list[Any]]:
    """Hands of pictures that show one hand each."""
    cv2.setNumThreads(1)
    teacher = Teacher(teacher_file)
    hands = []
    for file in files:
        picture = read_picture(file)
        height, width = picture.shape[:2]
        centre = ((width - 1) / 2, (height - 1) / 2)
        hand = teacher.hand(picture, centre, 1.1 * max(height, width), None)
        if hand is not None:
            hands.append((file.name, hand.points, hand.right))
    return hands, []


def in_people(
    files: Sequence[Path], teacher_file: Path, body_file: Path
) -> tuple[list[Any], list[Any]]:
    """Hands at the ends of arms, and squares without one."""
    cv2.setNumThreads(1)
    teacher = Teacher(teacher_file)
    hands, others = [], []
    with PoseEstimator(body_file, height=HEIGHT, precision="f32", threads=1, streams=1) as bodies:
        for k, file in enumerate(files):
            picture = read_picture(file)
            people = bodies(picture)
            for person in people.keypoints:
                for right, box in enumerate(arm_boxes(person, people.topology)):
                    if box is None or box.side < 1.6 * LEAST:
                        continue
                    hand = teacher.hand(picture, box.centre, 1.2 * box.side, box.angle)
                    if hand is None or hand.right != bool(right):
                        continue
                    if np.ptp(hand.points, axis=0).max() >= LEAST:
                        hands.append((file.name, hand.points, hand.right))
            rng = np.random.default_rng(k)
            for centre, side in _away_from_hands(rng, picture, people.keypoints):
                if teacher.presence(picture, centre, side) < NONE:
                    others.append((file.name, centre, side))
    return hands, others


def _away_from_hands(
    rng: np.random.Generator, picture: Picture, people: npt.NDArray[np.float32]
) -> Iterator[tuple[tuple[float, float], float]]:
    """At most two squares around other parts, and one anywhere, that hold no wrist."""
    height, width = picture.shape[:2]
    wrists = people[:, (4, 7)].reshape(-1, 3)
    wrists = wrists[wrists[:, 2] > 0, :2]
    parts = people[:, NOT_HANDS].reshape(-1, 3)
    centres = [*rng.permutation(parts[parts[:, 2] > 0, :2])[:2], rng.uniform(0, (width, height))]
    for x, y in centres:
        side = float(np.exp(rng.uniform(np.log(40), np.log(150))))
        if not np.any(np.abs(wrists - (x, y)).max(axis=1, initial=0) < 0.7 * side):
            yield (float(x), float(y)), side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hands", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4, help="of so many people pictures one")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    crops = sorted(arguments.hands.glob("*.jpg"))
    people = sorted(arguments.people.glob("*.jpg"))[:: arguments.every]
    pieces = 8 * arguments.workers
    hands: list[Any] = []
    others: list[Any] = []
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for files, work in (
            (crops, partial(in_crops, teacher_file=arguments.teacher)),
            (
                people,
                partial(in_people, teacher_file=arguments.teacher, body_file=arguments.body),
            ),
        ):
            for found, without in pool.imap(work, [files[k::pieces] for k in range(pieces)]):
                hands += found
                others += without
                print(len(hands), "hands,", len(others), "others", flush=True)
    names, points, right = zip(*hands, strict=True)
    np.savez(arguments.out / "hands.npz", name=names, points=points, right=right)
    names, centres, sides = zip(*others, strict=True)
    np.savez(arguments.out / "others.npz", name=names, centre=centres, side=sides)


if __name__ == "__main__":
    main()
