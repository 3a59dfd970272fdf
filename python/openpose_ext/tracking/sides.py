"""Left and right: undoes short exchanges of parts or hands by the network."""

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

# Largest distance from the expected position, in sizes, and its growth per second unseen.
_ASTRAY = 0.1

_ASTRAY_SPEED = 2.0

_PACE_CUTOFF = 5.0  # Hz, of the speed by which they are expected

LEAST_TIME = 1e-6  # seconds: frames may share a time


def share_of(cutoff: float | Floats, elapsed: Floats) -> Floats:
    """The weight of a new value in a low-pass filter: the paper's alpha."""
    share: Floats = elapsed / (elapsed + 1 / (2 * math.pi * cutoff))
    return share


@dataclass(frozen=True, eq=False)
class Motion(Rows):
    """The motion of N points of I people, with G left-right pairs.

    xy     (I, N, 2) pixels, and speed (I, N, 2) pixels a second
    seen   (I, N): time when each point was last seen, -inf for never
    since  (I, G): time since when the sides are exchanged, inf if they are not
    """

    xy: Floats
    speed: Floats
    seen: Floats
    since: Floats

    @classmethod
    def blank(cls, people: int, points: int, pairs: int) -> Motion:
        """The state of people who were never seen."""
        return cls(
            xy=np.zeros((people, points, 2)),
            speed=np.zeros((people, points, 2)),
            seen=np.full((people, points), -np.inf),
            since=np.full((people, pairs), np.inf),
        )


@dataclass(frozen=True, eq=False)
class Sides:
    """Which of N points, of body, both hands and face, may be mistaken for which others.

    mirror  (N,): the point that each point is exchanged with
    pairs   (N, G) 0 or 1: the points in each pair of parts, and in the pair of hands
    """

    mirror: npt.NDArray[np.intp]
    pairs: Floats

    @classmethod
    @cache
    def of(cls, topology: Topology, hands: bool, faces: bool) -> Sides:
        """The pairs of the topology's parts, then the pair of hands; face points have no pairs."""
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
        """Decide left and right by the motion of P people.

        points  (P, N, 3) pixels and score, as they were found
        size    (P,) pixels

        Returns the motion after the frame, the points, and believed (P, N): points that were
        exchanged for so long that the network's sides must be right.
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
