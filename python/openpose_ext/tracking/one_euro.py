"""Smoothing of live sources: each frame is returned at once, based on the frames before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext.tracking.ids import Clock, Rows, body_sizes, finite
from openpose_ext.tracking.points import check_positive, ids_of, points_of, with_points
from openpose_ext.tracking.sides import LEAST_TIME, Motion, Sides, share_of
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["OneEuro"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SPEED_CUTOFF = 1.0  # Hz, of the one-euro filter's speed, as in the paper

_HOLD = 0.5  # seconds for which the one-euro filter remembers a part that is missing


class OneEuro:
    """Smooths people frame by frame with a one-euro filter on each point.

    min_cutoff  Hz, for points at rest: lower values smooth more
    beta        increase in Hz per speed in body sizes a second (walking is 2): higher values lag
                less
    rate        frames a second, where frames come without times

    Missing points stay missing. Scores are kept.

    Raises ValueError if an option is not positive.
    Source: Casiez et al., "1 Euro Filter"; x and y share one speed, the length of the vector.
    """

    def __init__(self, *, min_cutoff: float = 1.5, beta: float = 2.5, rate: float = 30.0) -> None:
        check_positive(min_cutoff=min_cutoff, beta=beta)
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._clock = Clock(rate)
        self._of: tuple[Topology, bool] | None = None  # the skeleton, and whether there are faces
        # One row per id, and a blank row at the end for new people.
        self._ids = np.zeros(0, np.int64)
        self._motion = Motion.blank(1, 0, 0)
        self._state = _Filtered.blank(1, 0)

    def __call__(self, poses: Poses, time: float | None = None) -> Poses:
        """The same people, smoothed.

        time  seconds; None is one frame after the last. If the time goes back or the skeleton
              changes, the filter restarts.

        Raises ValueError if people have no unique ids, or the time is not finite.
        """
        ids = ids_of(poses)
        poses = finite(poses)
        if self._clock.tick(time) < 0:
            self._of = None
        if len(poses) == 0:
            return poses
        of = poses.topology, poses.faces is not None
        sides = Sides.of(of[0], True, of[1])
        if self._of != of:
            self._of = of
            self._ids = np.zeros(0, np.int64)
            self._motion = Motion.blank(1, *sides.pairs.shape)
            self._state = _Filtered.blank(1, len(sides.mirror))
        now, size = self._clock.now, body_sizes(poses)
        known = points_of(poses)[:, : len(sides.mirror)]
        row_of = {int(i): row for row, i in enumerate(self._ids)}
        rows = np.array([row_of.get(int(i), -1) for i in ids])
        motion, points, believed = sides.settled(self._motion[rows], known, size, now)
        state = self._filter(self._state[rows], points, believed, size)
        others = np.flatnonzero(
            ~np.isin(self._ids, ids) & (self._state.seen[:-1].max(axis=1) >= now - _HOLD)
        )
        self._ids = np.concatenate([ids, self._ids[others]])
        self._motion = motion + self._motion[np.append(others, -1)]
        self._state = state + self._state[np.append(others, -1)]
        return with_points(poses, np.concatenate([state.xy, points[..., 2:]], axis=2))

    def _filter(self, before: _Filtered, points: Floats, believed: Mask, size: Floats) -> _Filtered:
        """Update the filter with a frame of P people, with points (P, N, 3)."""
        now = self._clock.now
        xy, seen = points[..., :2], points[..., 2] > 0
        fresh = (believed | (now - before.seen > _HOLD))[..., None]
        elapsed = np.clip(now - before.seen, LEAST_TIME, _HOLD)[..., None]
        speed = before.speed + share_of(_SPEED_CUTOFF, elapsed) * (
            (xy - before.xy) / elapsed - before.speed
        )
        cutoff = self._min_cutoff + self._beta * np.hypot(*speed.T).T / size[:, None]
        smooth = before.xy + share_of(cutoff[..., None], elapsed) * (xy - before.xy)
        kept = ~seen[..., None]
        return _Filtered(
            xy=np.where(kept, before.xy, np.where(fresh, xy, smooth)),
            speed=np.where(kept, before.speed, np.where(fresh, 0.0, speed)),
            seen=np.where(seen, now, before.seen),
        )


@dataclass(frozen=True, eq=False)
class _Filtered(Rows):
    """The state of the one-euro filter for I people with N points.

    xy     (I, N, 2) pixels, and speed (I, N, 2) pixels a second
    seen   (I, N): time when each point was last seen, -inf for never
    """

    xy: Floats
    speed: Floats
    seen: Floats

    @classmethod
    def blank(cls, people: int, points: int) -> _Filtered:
        """The state of people who were never seen."""
        shape = (people, points)
        return cls(np.zeros((*shape, 2)), np.zeros((*shape, 2)), np.full(shape, -np.inf))
