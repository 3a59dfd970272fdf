"""People who walk, with known truth: what a network would have seen of them, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18, Topology

Points = npt.NDArray[np.float64]

PICTURE = (1280, 720)

# A figure that faces us: across (the person's left is at our right) and above the ground, in
# heights.
_FIGURE = {
    "Nose": (0.0, 0.93), "Eye": (0.02, 0.95), "Ear": (0.04, 0.94), "Neck": (0.0, 0.83),
    "Shoulder": (0.11, 0.82), "Elbow": (0.14, 0.64), "Wrist": (0.15, 0.48), "MidHip": (0.0, 0.52),
    "Hip": (0.07, 0.52), "Knee": (0.08, 0.28), "Ankle": (0.08, 0.04), "BigToe": (0.1, 0.0),
    "SmallToe": (0.12, 0.0), "Heel": (0.07, 0.01),
}  # fmt: skip
# How far parts swing to and fro, in heights; arms against legs.
_SWING = {"Elbow": -0.04, "Wrist": -0.1, "Knee": 0.08, "Ankle": 0.16}
_FOOT_SWING = 0.16
_STEPS = 0.9  # double steps a second


def path(*stations: tuple[float, float, float]) -> Callable[[float], Points]:
    """Straight ways, at even speed, between stations (time, x, y)."""
    times, x, y = np.array(stations, np.float64).T
    return lambda time: np.array([np.interp(time, times, x), np.interp(time, times, y)])


@dataclass(frozen=True)
class Walker:
    """A person.

    at       where the feet are: seconds -> (x, y)
    height   pixels
    facing   seconds -> 1 to us, -1 away, between them more or less sideways
    hidden   (from, to) seconds during which nothing is seen
    """

    at: Callable[[float], Points]
    height: float = 300.0
    facing: Callable[[float], float] = lambda time: 0.4
    hidden: Sequence[tuple[float, float]] = ()

    def points(self, time: float, topology: Topology) -> Points:
        """(K, 2): where the parts truly are."""
        return self.at(time) + self.height * np.array(
            [self._part(name, time) for name in topology.parts]
        )

    def _part(self, name: str, time: float) -> tuple[float, float]:
        side = {"L": 1, "R": -1}.get(name[0], 0)
        kind = name[1:] if side else name
        across, above = _FIGURE[kind]
        swing = _SWING.get(kind, _FOOT_SWING if above < 0.02 else 0.0)
        phase = 2 * np.pi * _STEPS * time
        return side * (across * self.facing(time) + swing * np.sin(phase)), -above

    def is_hidden(self, time: float) -> bool:
        """Whether nothing is seen of this person."""
        return any(start <= time < end for start, end in self.hidden)


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame.

    time   seconds
    poses  what was seen, in no order
    who    (P,) the index of each one's walker
    truth  (P, K, 2) where their parts truly are
    """

    time: float
    poses: Poses
    who: npt.NDArray[np.int64]
    truth: Points


def film(
    walkers: Sequence[Walker],
    times: Sequence[float] | Points,
    *,
    topology: Topology = COCO_18,
    noise: float = 0.01,
    missing: float = 0.0,
    flicker: float = 0.0,
    seed: int = 0,
) -> Iterator[Moment]:
    """See the walkers at these times.

    noise    standard deviation of the points, in heights
    missing  share of the parts that are not seen
    flicker  share of the people who are not seen
    """
    random = np.random.default_rng(seed)
    for time in times:
        who, truths, rows = [], [], []
        for index in random.permutation(len(walkers)):
            walker = walkers[index]
            truth = walker.points(float(time), topology)
            seen = truth + random.normal(0, noise * walker.height, truth.shape)
            inside = ((seen >= 0) & (seen < PICTURE)).all(axis=1)
            shown = inside & (random.random(len(truth)) >= missing)
            if walker.is_hidden(time) or random.random() < flicker or shown.sum() < 4:
                continue
            scores = random.uniform(0.3, 1, len(truth))
            who.append(index)
            truths.append(truth)
            rows.append(np.where(shown[:, None], np.column_stack([seen, scores]), 0))
        yield Moment(
            float(time),
            seen_poses(rows, topology),
            np.array(who, np.int64),
            np.array(truths).reshape(-1, len(topology.parts), 2),
        )


def seen_poses(rows: Sequence[Points], topology: Topology = COCO_18) -> Poses:
    """People (P, K, 3) as a network's answer."""
    keypoints = np.array(rows, np.float32).reshape(-1, len(topology.parts), 3)
    return Poses(
        keypoints=keypoints,
        scores=keypoints[..., 2].mean(axis=1),
        filled=np.zeros(keypoints.shape[:2], np.bool_),
        topology=topology,
        size=PICTURE,
    )
