"""Print a table of the hand networks' accuracy and time.

    python bench/bench_hands.py

PCK@t is the share of visible points nearer to the truth than t times the longer side of the hand's
box; a missing point is a miss. Each hand is looked for in its box, 1.75 times as large, with the
side that the annotation gives, or both where it gives none. Then hands are looked for in the whole
picture, without a body: one is found if the box of its points covers the truth's by an IoU of 0.5.
The 39 hands and the network `landmark` lie in ../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench_accuracy import machine
from bench_faces import nobody

from openpose_ext import PoseEstimator
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.arrays import Picture

SHARED = Path(__file__).resolve().parents[2] / "shared"
HANDS = SHARED / "data" / "hand_val"
NETWORKS: Mapping[str, str | Path] = {
    "landmark": SHARED / "weights" / "hand_landmark_full.tflite",
    "landmark, small": SHARED / "weights" / "hand_landmark_lite.tflite",
    "lite": "lite",
}

# Accuracy is stated for float32, whatever the processor would rather do.
PRECISION = "f32"
ENLARGED = 1.75
SAME = 0.5


@dataclass(frozen=True, eq=False)
class Hand:
    """An annotated hand.

    picture    (H, W, 3) uint8 BGR
    box        x, y, width, height around its visible points
    side       "left", "right" or None
    keypoints  (21, 3): x, y, visible
    source     the data set
    """

    picture: Picture
    box: tuple[float, float, float, float]
    side: Any
    keypoints: npt.NDArray[np.float64]
    source: str

    @property
    def square(self) -> list[float]:
        """The box that is looked at."""
        x, y, width, height = self.box
        side = ENLARGED * max(width, height)
        return [x + (width - side) / 2, y + (height - side) / 2, side, side]

    def errors(self, found: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Of the visible points, in longer sides of the box; infinite where one is missing."""
        apart = np.hypot(*(found[:, :2] - self.keypoints[:, :2]).T) / max(self.box[2:])
        apart[found[:, 2] == 0] = np.inf
        visible: npt.NDArray[np.float64] = apart[self.keypoints[:, 2] > 0]
        return visible


def read_hands(folder: Path = HANDS) -> list[Hand]:
    """The annotated hands of a folder with a `hands.json`."""
    return [
        Hand(
            read_picture(folder / entry["image"]),
            tuple(entry["box"]),
            entry["side"],
            np.array(entry["keypoints"], np.float64),
            entry["source"].partition(" (")[0],
        )
        for entry in json.loads((folder / "hands.json").read_text())
    ]


def errors_by_source(
    estimator: PoseEstimator, hands: Sequence[Hand]
) -> Mapping[str, npt.NDArray[np.float64]]:
    """The errors of all visible points, by data set."""
    errors = defaultdict(list)
    for hand in hands:
        (found,) = estimator.hands(hand.picture, [hand.square], [hand.side])
        errors[hand.source].append(hand.errors(found))
    return {source: np.concatenate(parts) for source, parts in errors.items()}


def alone(estimator: PoseEstimator, hands: Sequence[Hand]) -> list[float | None]:
    """Of each hand the share of its points within 0.2 where it is found in its whole picture."""
    shares: list[float | None] = []
    for hand in hands:
        seen = estimator(hand.picture).hands
        assert seen is not None
        own = [points for points in seen.reshape(-1, *seen.shape[2:]) if points[:, 2].any()]
        near = [points for points in own if _overlap(points, hand.box) >= SAME]
        shares.append(max((float(np.mean(hand.errors(p) < 0.2)) for p in near), default=None))
    return shares


def _overlap(points: npt.NDArray[np.float32], box: tuple[float, float, float, float]) -> float:
    """IoU of the box of the points and another."""
    seen = points[points[:, 2] > 0, :2]
    ends = np.array([box[:2], np.add(box[:2], box[2:])])
    low, high = (np.stack([f(p, axis=0) for p in (seen, ends)]) for f in (np.min, np.max))
    common = float(np.maximum(high.min(axis=0) - low.max(axis=0), 0).prod())
    return common / float((high - low).prod(axis=1).sum() - common)


def milliseconds(estimator: PoseEstimator, hand: Hand, runs: int = 15) -> float:
    """The time of one hand of a known side and direction, the median of runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        estimator.hands(hand.picture, [hand.square], ["right"], [0.0])
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Print the table as Markdown."""
    if not HANDS.exists():
        print(f"Accuracy is not measured: {os.path.relpath(HANDS)} is not here.")
        return
    hands = read_hands()
    sources = list(dict.fromkeys(hand.source for hand in hands))
    counts = [sum(hand.source == source for hand in hands) for source in sources]
    print(f"{len(hands)} hands of hand_val, {PRECISION}, 1 thread. {machine()}.\n")
    heads = [f"{source} ({count})" for source, count in zip(sources, counts, strict=True)]
    columns = ["network", "PCK@0.2", "PCK@0.1", "median error", *heads, "ms a hand"]
    print("| " + " | ".join(columns) + " |")
    print("| --- " + "| ---: " * (len(columns) - 1) + "|")
    for name, network in NETWORKS.items():
        with PoseEstimator(None, hand=network, precision=PRECISION, threads=1) as estimator:
            errors = errors_by_source(estimator, hands)
            together = np.concatenate([*errors.values()])
            cells = [
                f"{np.mean(together < 0.2):.3f}",
                f"{np.mean(together < 0.1):.3f}",
                f"{np.median(together):.3f}",
                *(f"{np.mean(errors[source] < 0.2):.2f}" for source in sources),
                f"{milliseconds(estimator, hands[0]):.1f}",
            ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\nWithout a body, in the whole picture: found, PCK@0.2 of the found, and by source.\n")
    for name in ("landmark", "lite"):
        with PoseEstimator(
            None, hand=NETWORKS[name], hand_detector=True, precision=PRECISION, threads=1
        ) as estimator:
            shares = alone(estimator, hands)
            invented = sum(len(estimator(picture)) for picture in nobody())
        found = [share for share in shares if share is not None]
        by_source = []
        for source in sources:
            own = [x for x, hand in zip(shares, hands, strict=True) if hand.source == source]
            seen = [share for share in own if share is not None]
            by_source.append(f"{source} {len(seen)} of {len(own)}, {np.mean(seen):.2f}")
        print(
            f"- {name}: {len(found)} of {len(hands)}, {np.mean(found):.3f} "
            f"({'; '.join(by_source)}); {invented} where nobody is",
            flush=True,
        )


if __name__ == "__main__":
    main()
