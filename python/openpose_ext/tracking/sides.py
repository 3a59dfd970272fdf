"""Left and right: parts, or hands, that a network exchanges for a moment are put back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from openpose_ext.tracking.ids import Rows
from openpose_ext.tracking.points import FACE_POINTS, HAND_POINTS
from openpose_ext.types.topology import Topology

__all__ = ["LEAST_TIME", "Motion", "Sides", "share_of"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SWAP = 0.2  # seconds: sides that stay exchanged for longer are believed

_SWAP_NEARER = 0.5  # of the distance to where parts are expected, when exchanged

# Sizes, and sizes a second since parts were seen, that they may be from where they are expected.
_ASTRAY = 0.1

_ASTRAY_SPEED = 2.0

_PACE_CUTOFF = 5.0  # Hz, of the speed by which they are expected

LEAST_TIME = 1e-6  # seconds: frames may share a time


def share_of(cutoff: float | Floats, elapsed: Floats) -> Floats:
    """How much of a new value a low-pass filter takes: the paper's alpha."""
    share: Floats = elapsed / (elapsed + 1 / (2 * math.pi * cutoff))
    return share


@dataclass(frozen=True, eq=False)
class Motion(Rows):
    """How N points of I people, with G pairs of sides, move.

    xy     (I, N, 2) pixels, and speed (I, N, 2) pixels a second
    seen   (I, N): when each was seen last, -inf for never
    since  (I, G): since when sides are exchanged, inf where they are not
    """

    xy: Floats
    speed: Floats
    seen: Floats
    since: Floats

    @classmethod
    def blank(cls, people: int, points: int, pairs: int) -> Motion:
        """Of people who were never seen."""
        return cls(
            xy=np.zeros((people, points, 2)),
            speed=np.zeros((people, points, 2)),
            seen=np.full((people, points), -np.inf),
            since=np.full((people, pairs), np.inf),
        )


@dataclass(frozen=True, eq=False)
class Sides:
    """Which of N points, body, both hands and face, may have been taken for which others.

    mirror  (N,): where each point goes when the sides change places
    pairs   (N, G) 0 or 1: the points of each pair of parts, and of the pair of hands
    """

    mirror: npt.NDArray[np.intp]
    pairs: Floats

    @classmethod
    @cache
    def of(cls, topology: Topology, hands: bool, faces: bool) -> Sides:
        """The pairs of the topology's parts, then that of the hands; a face's points have none."""
        mirror = list(topology.mirror)
        members = [[k, m] for k, m in enumerate(mirror) if k < m]
        if hands or faces:
            left = len(mirror) + np.arange(HAND_POINTS)
            members.append([*left, *(left + HAND_POINTS)])
            mirror += [*(left + HAND_POINTS), *left]
        if faces:
            mirror += range(len(mirror), len(mirror) + FACE_POINTS)
        pairs = np.zeros((len(mirror), len(members)))
        for pair, points in enumerate(members):
            pairs[points, pair] = 1
        return cls(np.array(mirror, np.intp), pairs)

    def settled(
        self, before: Motion, points: Floats, size: Floats, now: float
    ) -> tuple[Motion, Floats, Mask]:
        """The sides that the motion of P people tells.

        points  (P, N, 3) pixels and score, as they were found
        size    (P,) pixels

        Returns the motion after the frame, the points, and believed (P, N): those that were
        exchanged for so long that they must be what they are said to be.
        """
        recent = now - before.seen <= _SWAP
        elapsed = np.clip(now - before.seen, LEAST_TIME, _SWAP)
        expected = before.xy + before.speed * elapsed[..., None]
        counts = (points[..., 2] > 0) & recent & recent[:, self.mirror]
        straight = ((points[..., :2] - expected) ** 2).sum(axis=2)
        crossed = ((points[..., :2] - expected[:, self.mirror]) ** 2).sum(axis=2)
        astray = ((_ASTRAY + _ASTRAY_SPEED * elapsed) * size[:, None]) ** 2
        straight, crossed, astray = (
            np.where(counts, value, 0.0) @ self.pairs for value in (straight, crossed, astray)
        )
        exchanged = (crossed < _SWAP_NEARER**2 * straight) & (straight > astray)
        since = np.where(exchanged, np.minimum(before.since, now), np.inf)
        late = exchanged & (now - since > _SWAP)
        since[late] = np.inf
        back, believed = ((which @ self.pairs.T) > 0 for which in (exchanged & ~late, late))
        points = np.where(back[..., None], points[:, self.mirror], points)

        seen, xy = (points[..., 2] > 0)[..., None], points[..., :2]
        pace = (xy - before.xy) / elapsed[..., None] - before.speed
        speed = before.speed + share_of(_PACE_CUTOFF, elapsed)[..., None] * pace
        speed[~recent | believed] = 0
        motion = Motion(
            xy=np.where(seen, xy, before.xy),
            speed=np.where(seen, speed, before.speed),
            seen=np.where(seen[..., 0], now, before.seen),
            since=since,
        )
        return motion, points, believed
