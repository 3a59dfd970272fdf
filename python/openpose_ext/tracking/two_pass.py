"""Smoothing of files: each frame is returned later, based on frames before and after it.

`TwoPass` has no lag and fills short gaps. Like `one_euro.OneEuro`, it takes people with ids
(`ids.Tracker`), treats body and hands alike, and undoes short exchanges of left and right
(`sides`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.tracking.ids import Clock, body_sizes, finite
from openpose_ext.tracking.points import (
    FACE_POINTS,
    HAND_POINTS,
    check_positive,
    ids_of,
    points_of,
    with_points,
)
from openpose_ext.tracking.sides import Motion, Sides
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE

__all__ = ["TwoPass", "smooth_tracks"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SETTLED = 0.1  # seconds of frames after a gap, or a frame, until more hardly change it
_MOST_FRAMES = 512  # are held back, if their times do not say when to let go


class TwoPass:
    """Smooths people using later frames: without lag, and with short gaps filled.

    cutoff   Hz; faster motion is treated as noise. 6 Hz is usual for walking people
    max_gap  seconds; parts and people missing for at most this long are filled in
    rate     frames a second of the source

    Push frames in order. `push` returns the frames that are ready, in order and about `max_gap`
    old; at the end `flush` returns the rest. Memory is bounded by that time.

    Filled parts have scores in (0, 0.05] and are marked as `filled`; filled people have equally low
    scores. Scores of seen parts and people are kept.

    Method: a forward Kalman filter, then a backward Rauch-Tung-Striebel smoother, for a point whose
    velocity is a random walk. For evenly spaced points of score 1 this equals the zero-lag
    second-order Butterworth filter, 1 / (1 + (f / cutoff)^4); other points are weighted by their
    score.

    Raises ValueError if an option is not positive.
    """

    def __init__(self, *, cutoff: float = 6.0, max_gap: float = 0.5, rate: float = 30.0) -> None:
        check_positive(cutoff=cutoff, max_gap=max_gap)
        self._cutoff = cutoff
        self._max_gap = max_gap
        self._rate = rate
        self._clock = Clock(rate)
        self._window: list[_Seen] = []
        self._returned = 0  # of the window's frames; they stay as what came before

    def push(self, poses: Poses | None, time: float | None = None) -> list[Poses]:
        """Take a frame; return those that are ready.

        poses  None for a frame that the network skipped: its people are interpolated between the
               frames around it, with their scores
        time   seconds; None is one frame after the last. If the time goes back, or the skeleton or
               the picture size changes, the smoother restarts and all earlier frames are ready.

        Raises ValueError if people have no unique ids, the time is not finite, or the first frame
        was skipped.
        """
        if poses is not None:
            ids_of(poses)
            poses = finite(poses)
        ready = []
        if self._clock.tick(time) < 0 or not self._continues(poses):
            ready = self.flush()
        now = self._clock.now
        if poses is None and not self._window:
            raise ValueError("the first frame cannot be skipped: the network has to look at it")
        around = self._window[-1].poses[:0] if poses is None else poses
        self._window.append(_Seen(now, around, looked=poses is not None))
        ahead = self._max_gap + _SETTLED
        waiting = len(self._window) - self._returned
        # Twice as many at once, because the frames before and after are smoothed for a single one,
        # too.
        if now - self._window[self._returned].time > 2 * ahead or waiting > _MOST_FRAMES:
            late = sum(frame.time < now - ahead for frame in self._window)
            ready += self._smooth(max(late, len(self._window) - _MOST_FRAMES // 2))
            begin = self._window[self._returned - 1].time - ahead
            old = sum(frame.time < begin for frame in self._window)
            old = max(old, self._returned - _MOST_FRAMES)
            self._window, self._returned = self._window[old:], self._returned - old
        return ready

    def flush(self) -> list[Poses]:
        """Return the remaining frames; the next frame starts a new sequence."""
        ready = self._smooth(len(self._window))
        self._window, self._returned = [], 0
        return ready

    def _continues(self, poses: Poses | None) -> bool:
        """Whether the frame has the same skeleton and picture size."""
        if poses is None or len(poses) == 0:
            return True
        last = next((frame.poses for frame in self._window if len(frame.poses) > 0), poses)
        return (last.topology, last.size) == (poses.topology, poses.size)

    def _smooth(self, end: int) -> list[Poses]:
        """The smoothed frames of the window, from the first that was not returned."""
        begin, self._returned = self._returned, end
        if begin == end:
            return []
        window = _Window.of(self._window)
        if len(window.ids) == 0:
            return [frame.poses for frame in self._window[begin:end]]
        passes = _Forward.over(window, self._cutoff, self._max_gap, 1 / self._rate)
        points, scores = passes.back(window)
        bridged = passes.bridged(window, self._max_gap)
        return [
            window.people(frame, points[frame], scores[frame], bridged[frame])
            for frame in range(begin, end)
        ]


def smooth_tracks(
    frames: Iterable[tuple[float | None, Poses | None]],
    *,
    cutoff: float = 6.0,
    max_gap: float = 0.5,
    rate: float = 30.0,
) -> list[Poses]:
    """All frames (time, people with ids) of a video, smoothed by `TwoPass`; options as there."""
    smoother = TwoPass(cutoff=cutoff, max_gap=max_gap, rate=rate)
    smooth = [ready for time, poses in frames for ready in smoother.push(poses, time)]
    return smooth + smoother.flush()


class _Seen(NamedTuple):
    """A frame with its time, and whether the network looked at it; without people if not."""

    time: float
    poses: Poses
    looked: bool


@dataclass(frozen=True, eq=False)
class _Window:
    """T frames with I people of N points.

    frames  T, all of one topology
    ids     (I,) in rising order
    sides   of the N points
    points  (T, I, N, 3): x, y, score; zeros where there is nothing
    sizes   (T, I) of the people, pixels
    scores  (T, I) of the people, NaN where they are not there
    """

    frames: list[_Seen]
    ids: npt.NDArray[np.int64]
    sides: Sides
    points: Floats
    sizes: Floats
    scores: Floats

    @classmethod
    def of(cls, frames: list[_Seen]) -> _Window:
        """Make a window of frames whose people all have the same topology."""
        poses = [frame.poses for frame in frames]
        topology = next((p.topology for p in poses if len(p) > 0), poses[0].topology)
        poses = [p if p.topology == topology else Poses.empty(p.size, topology) for p in poses]
        ids = np.unique(np.concatenate([ids_of(p) for p in poses]))
        hands, faces = (
            any(getattr(p, group) is not None for p in poses) for group in ("hands", "faces")
        )
        sides = Sides.of(topology, hands, faces)
        table = (len(frames), len(ids))
        points = np.zeros((*table, len(sides.mirror), 3))
        sizes, scores = np.ones(table), np.full(table, np.nan)
        for frame, p in enumerate(poses):
            rows = np.searchsorted(ids, ids_of(p))
            points[frame, rows] = points_of(p)[:, : points.shape[2]]
            sizes[frame, rows] = body_sizes(p)
            scores[frame, rows] = p.scores
        frames = [frame._replace(poses=p) for frame, p in zip(frames, poses, strict=True)]
        return cls(frames, ids, sides, points, sizes, scores)

    def people(
        self, frame: int, points: Floats, scores: Floats, bridged: npt.NDArray[np.bool_]
    ) -> Poses:
        """The people of a frame: first the seen ones, in their order, then the filled ones.

        points  (I, N, 3) and scores (I,) of all people; zeros and NaN for absent people
        bridged  (I, N): which points lie in a gap
        """
        poses = self.frames[frame].poses
        seen = np.searchsorted(self.ids, ids_of(poses))
        filled = np.setdiff1d(np.flatnonzero(~np.isnan(scores)), seen)
        rows = np.concatenate([seen, filled[np.argsort(-scores[filled], kind="stable")]])
        template = replace(
            poses,
            keypoints=np.zeros((len(rows), len(poses.topology.parts), 3), np.float32),
            scores=scores[rows].astype(np.float32),
            filled=np.zeros((len(rows), len(poses.topology.parts)), np.bool_),
            bridged=None,
            hands=None
            if poses.hands is None
            else np.zeros((len(rows), 2, HAND_POINTS, 3), np.float32),
            faces=None
            if poses.faces is None
            else np.zeros((len(rows), FACE_POINTS, 3), np.float32),
            ids=self.ids[rows],
        )
        return with_points(template, points[rows], bridged[rows])


@dataclass(frozen=True, eq=False)
class _State:
    """The motion of the points of I people: position, velocity and their variances.

    xy, speed  (I, N, 2) pixels, pixels a second
    variance   (3, I, N): of position, of position with velocity, of velocity; in relative units
    """

    xy: Floats
    speed: Floats
    variance: Floats

    def after(self, seconds: float) -> _State:
        """The state after a time. The velocity's random walk adds 1 to its variance per second."""
        place, both, speed = self.variance
        return _State(
            self.xy + seconds * self.speed,
            self.speed,
            np.stack(
                [
                    place + 2 * seconds * both + seconds**2 * speed + seconds**3 / 3,
                    both + seconds * speed + seconds**2 / 2,
                    speed + seconds,
                ]
            ),
        )

    def seen_at(self, xy: Floats, noise: Floats) -> _State:
        """The state after seeing points at xy (I, N, 2) with a variance (I, N); inf for unseen
        ones."""
        place, both, speed = self.variance
        gain, gain_speed = place / (place + noise), both / (place + noise)
        wrong = xy - self.xy
        return _State(
            self.xy + gain[..., None] * wrong,
            self.speed + gain_speed[..., None] * wrong,
            np.stack([place * (1 - gain), both * (1 - gain), speed - gain_speed * both]),
        )

    def or_else(self, other: _State, where: Mask) -> _State:
        """The other state's points where the mask (I, N) is true."""
        return _State(
            np.where(where[..., None], other.xy, self.xy),
            np.where(where[..., None], other.speed, self.speed),
            np.where(where, other.variance, self.variance),
        )

    def knowing(self, seconds: float, expected: _State, later: _State) -> _State:
        """Correct positions and velocities by the `later` state (Rauch, Tung and Striebel)."""
        place, both, speed = self.variance
        a, b, c = expected.variance
        # This state's covariance with the later one, divided by the expected covariance.
        with_place, with_speed = place + seconds * both, both + seconds * speed
        by = 1 / (a * c - b * b)
        xy_xy, xy_speed = (with_place * c - both * b) * by, (both * a - with_place * b) * by
        speed_xy, speed_speed = (with_speed * c - speed * b) * by, (speed * a - with_speed * b) * by
        xy, velocity = later.xy - expected.xy, later.speed - expected.speed
        return replace(
            self,
            xy=self.xy + xy_xy[..., None] * xy + xy_speed[..., None] * velocity,
            speed=self.speed + speed_xy[..., None] * xy + speed_speed[..., None] * velocity,
        )


@dataclass(frozen=True, eq=False)
class _Forward:
    """The first pass over T frames of I people with N points.

    points    (T, I, N, 3): as found, with left and right corrected
    fresh     (T, I, N): points that start a new motion after a long gap
    expected  T states before each frame's points are used, and `states` after it
    elapsed   (T,) seconds since the previous frame
    """

    points: Floats
    fresh: Mask
    expected: list[_State]
    states: list[_State]
    elapsed: Floats

    @classmethod
    def over(cls, window: _Window, cutoff: float, max_gap: float, interval: float) -> _Forward:
        """interval: usual number of seconds between frames."""
        # The ratio of noise to random walk that gives the cutoff; the velocity is almost unknown.
        noise = (2 * math.pi * cutoff) ** -4 / interval
        shape = window.points.shape[1:3]
        start = np.full((3, *shape), [[[noise]], [[0.0]], [[100 * noise / interval**2]]])
        state = _State(np.zeros((*shape, 2)), np.zeros((*shape, 2)), start)
        # Nothing is carried on beyond a gap.
        times = np.array([frame.time for frame in window.frames])
        elapsed = np.minimum(np.diff(times, prepend=times[0]), 2 * max_gap)
        motion = Motion.blank(len(window.ids), *window.sides.pairs.shape)
        result = cls(
            np.empty_like(window.points), np.empty(window.points.shape[:3], bool), [], [], elapsed
        )
        for frame, now in enumerate(times):
            expected = state.after(elapsed[frame])
            last = motion.seen
            motion, points, believed = window.sides.settled(
                motion, window.points[frame], window.sizes[frame], now
            )
            xy, score = points[..., :2], points[..., 2]
            seen = score > 0
            fresh = seen & ((now - last > max_gap) | believed)
            unsure = noise / np.clip(score, 1e-6, 1)
            first = _State(xy, np.zeros_like(xy), np.stack([unsure, *start[1:]]))
            measured = expected.seen_at(xy, np.where(seen, unsure, np.inf))
            state = measured.or_else(first, fresh)
            result.points[frame], result.fresh[frame] = points, fresh
            result.expected.append(expected)
            result.states.append(state)
        return result

    def back(self, window: _Window) -> tuple[Floats, Floats]:
        """The second pass: points (T, I, N, 3), and scores of the people (T, I)."""
        points, scores = self.points.copy(), window.scores.copy()
        before, who_before = _carried(points[..., 2], 0), _carried(scores, np.nan)
        after = np.zeros(points.shape[1:3])
        who_after = np.full(points.shape[1], np.nan)
        state = self.states[-1]
        for frame in reversed(range(len(points))):
            if frame + 1 < len(points):
                later, state = state, self.states[frame]
                known = state.knowing(self.elapsed[frame + 1], self.expected[frame + 1], later)
                state = known.or_else(state, self.fresh[frame + 1])
            seen = points[frame, ..., 2] > 0
            # Points seen before and after, without a break, are present.
            filled = ~seen & (after > 0)
            weak = FILLED_SCORE if window.frames[frame].looked else 1.0
            score = np.where(filled, weak * np.minimum(before[frame], after), points[frame, ..., 2])
            after = np.where(self.fresh[frame], 0.0, np.where(seen, points[frame, ..., 2], after))
            points[frame, ..., :2] = np.where((score > 0)[..., None], state.xy, 0.0)
            points[frame, ..., 2] = score
            missing = np.isnan(scores[frame])
            who = weak * np.minimum(who_before[frame], who_after)
            who_after = np.where(missing, who_after, scores[frame])
            scores[frame] = np.where(
                missing, np.where(filled.any(axis=1), who, np.nan), scores[frame]
            )
        return points, scores

    def bridged(self, window: _Window, max_gap: float) -> npt.NDArray[np.bool_]:
        """Which points (T, I, N) are not seen, but lie between frames in which they are, at most
        `max_gap` seconds apart."""
        times = [frame.time for frame in window.frames]
        sure = self.points[..., 2] > FILLED_SCORE
        before = np.empty(sure.shape)
        last = np.full(sure.shape[1:], -np.inf)
        for frame, now in enumerate(times):
            last = np.where(self.fresh[frame], -np.inf, last)
            before[frame] = last
            last = np.where(sure[frame], now, last)
        inside = np.zeros(sure.shape, np.bool_)
        following = np.full(sure.shape[1:], np.inf)
        for frame, now in reversed([*enumerate(times)]):
            inside[frame] = ~sure[frame] & (following - before[frame] <= max_gap)
            following = np.where(sure[frame], now, following)
            following = np.where(self.fresh[frame], np.inf, following)
        return inside


def _carried(values: Floats, nothing: float) -> Floats:
    """Along the first axis, the last value that is neither 0 nor NaN."""
    there = ~np.isnan(values) if np.isnan(nothing) else values != nothing
    index = np.arange(len(values)).reshape(-1, *(1,) * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(there, index, 0), axis=0)
    carried: Floats = np.take_along_axis(values, last, axis=0)
    return carried
