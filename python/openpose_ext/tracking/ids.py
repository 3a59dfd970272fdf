"""Identification: gives people ids that stay the same from frame to frame.

Each tracked person moves with a slowly changing velocity (a Kalman filter whose velocity is a
random walk) and a slowly changing posture. In each frame, the people found are assigned to the
tracked people jointly, so that the total likelihood is highest. Unassigned people are new.

Lengths are relative to the person's size, so neither the picture's resolution nor the distance to
the camera matters. The result is deterministic: the same frames give the same ids.

Source: keypoint distance as in COCO's object keypoint similarity; motion and global assignment
as in Bewley et al., "Simple Online and Realtime Tracking".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["Clock", "Rows", "Tracker", "body_sizes", "finite"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# For each part: the standard deviation of its position, in sizes, from COCO's annotators (feet use
# the ankles'); how far it may move relative to the body in a second, in sizes, because arms and
# legs swing; and its position in a standing person, in body heights across and above the ground.
_PARTS = {
    "Nose": (0.026, 0.1, 0.0, 0.93), "Neck": (0.079, 0.1, 0.0, 0.83),
    "Eye": (0.025, 0.1, 0.02, 0.95), "Ear": (0.035, 0.1, 0.04, 0.94),
    "Shoulder": (0.079, 0.1, 0.11, 0.82),
    "Elbow": (0.072, 0.25, 0.14, 0.64), "Wrist": (0.062, 0.5, 0.15, 0.48),
    "MidHip": (0.107, 0.1, 0.0, 0.52), "Hip": (0.107, 0.1, 0.07, 0.52),
    "Knee": (0.087, 0.3, 0.08, 0.28), "Ankle": (0.089, 0.5, 0.08, 0.04),
    "BigToe": (0.089, 0.5, 0.1, 0.0), "SmallToe": (0.089, 0.5, 0.12, 0.0),
    "Heel": (0.089, 0.5, 0.07, 0.0),
}  # fmt: skip
_OTHER_PART = (0.089, 0.5, 0.0, 0.5)

# A size is the square root of the area of COCO's people, relative to their height.
_SIZE_OF_HEIGHT = 0.45
_LEAST_HEIGHT = 0.1  # of which the parts seen tell the whole; a foot or a face may lean
_LEAST_SIZE = 0.005  # of the picture's longer side: a single point has no extent
_SHRINK = 0.5  # a second, at most: less is seen of who hides or turns, who is no smaller for it

_NEW_SPEED = 3.0  # sizes a second, of people who are new: a walk is 2, a sprint 10
_AGILITY = 4.0  # sizes^2 / s^3: the velocity's random walk; a second unseen blurs by 1.2 sizes

_SHAKE = 0.05  # sizes: cameras are held by hand, and all parts may err alike

# The price of a pair is -log of the likelihood of its distance, in sizes, plus up to `_POSTURE` for
# another posture. The likelihood is Student's t with this many degrees of freedom, which tolerates
# outliers.
_POSTURE = 4.0
_TAIL = 4.0
# Networks sometimes see a person twice. A fragment costs up to this much more than the whole
# person, and somebody first seen less than about this many seconds ago costs more than others.
_FRAGMENT = 3.0
_NEWCOMER = 1.0
_SETTLED = 0.3
# Pairs that cost more are never assigned. A person just seen may be half a size off the expected
# position, a person hidden for a second three sizes.
_DEAREST = 5.5
_IMPOSSIBLE = 1e6

_LEAVING = 0.3  # seconds; who is expected outside the picture that long is gone


class Clock:
    """The times of consecutive frames.

    rate  frames a second, where frames come without times

    Raises ValueError if the rate is not positive.
    """

    def __init__(self, rate: float) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate must be positive, not {rate!r}")
        self._interval = 1 / rate
        self.now = -self._interval
        self._started = False

    def tick(self, time: float | None) -> float:
        """Go to the next frame; return the seconds since the previous one, 0 for the first.

        time  None is one frame later

        Raises ValueError if the time is not finite.
        """
        before, now = self.now, self.now + self._interval if time is None else time
        if not math.isfinite(now):
            raise ValueError(f"the time of a frame must be a number of seconds, not {now!r}")
        self.now = now
        elapsed = now - before if self._started else 0.0
        self._started = True
        return elapsed


def finite(poses: Poses) -> Poses:
    """The same people, with points that are not finite (as in other programs' files) missing."""
    keypoints = _finite(poses.keypoints)
    return replace(
        poses,
        keypoints=keypoints,
        filled=poses.filled & (keypoints[..., 2] > 0),
        bridged=None if poses.bridged is None else poses.bridged & (keypoints[..., 2] > 0),
        hands=None if poses.hands is None else _finite(poses.hands),
        faces=None if poses.faces is None else _finite(poses.faces),
    )


def _finite(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    there = np.all(np.isfinite(points), axis=-1, keepdims=True)
    return np.where(there, points, np.float32(0))


def body_sizes(poses: Poses) -> Floats:
    """The size of each person, (P,) in pixels: the unit of length of tracking and smoothing.

    Estimated from the seen parts: the longer side of their box, relative to that of the same parts
    of a standing person.
    """
    seen = poses.keypoints[..., 2:] > 0
    sides = _longer_sides(poses.keypoints[..., :2].astype(np.float64), seen)
    heights = _longer_sides(_Parts.of(poses.topology).standing[None], seen)
    sizes = _SIZE_OF_HEIGHT * sides / np.maximum(heights, _LEAST_HEIGHT)
    return np.maximum(sizes, _LEAST_SIZE * max(poses.size))


def _longer_sides(xy: Floats, seen: npt.NDArray[np.bool_]) -> Floats:
    low = np.where(seen, xy, np.inf).min(axis=1)
    high = np.where(seen, xy, -np.inf).max(axis=1)
    longer: Floats = np.maximum(high - low, 0).max(axis=1)
    return longer


@dataclass(frozen=True, eq=False)
class _Parts:
    """`_PARTS` for K parts: sigma (K,), sway (K,), standing (K, 2)."""

    sigma: Floats
    sway: Floats
    standing: Floats

    @classmethod
    @cache
    def of(cls, topology: Topology) -> _Parts:
        rows = []
        for part in topology.parts:
            side = {"L": 1, "R": -1}.get(part[0], 0)
            sigma, sway, across, above = _PARTS.get(part[1:] if side else part, _OTHER_PART)
            rows.append((sigma, sway, side * across, above))
        table = np.array(rows)
        return cls(table[:, 0], table[:, 1], table[:, 2:])

    def variance(self, unseen: Floats) -> Floats:
        """(T, K), size^2: the variance of parts relative to the body, `unseen` (T,) seconds
        later."""
        variance: Floats = (2 * self.sigma) ** 2
        return variance + (np.minimum(unseen, 1)[:, None] * self.sway) ** 2


class Rows:
    """A dataclass of arrays with one row per person; supports indexing and concatenation."""

    def __getitem__(self, index: Indices | npt.NDArray[np.bool_]) -> Self:
        return type(self)(*(value[index] for value in vars(self).values()))

    def __add__(self, other: Self) -> Self:
        columns = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in columns))


@dataclass(frozen=True, eq=False)
class _Detections(Rows):
    """The D people found in one frame.

    xy      (D, K, 2) pixels
    weight  (D, K): the scores of the parts, 0 for missing ones
    size    (D,) pixels
    """

    xy: Floats
    weight: Floats
    size: Floats

    @classmethod
    def of(cls, poses: Poses) -> _Detections:
        keypoints = poses.keypoints.astype(np.float64)
        return cls(keypoints[..., :2], np.maximum(keypoints[..., 2], 0), body_sizes(poses))


@dataclass(frozen=True, eq=False)
class _People(Rows):
    """The state of T tracked people at one moment.

    ids       (T,) int64
    centre    (T, 2) pixels and velocity (T, 2) pixels a second: the state of the Kalman filter
    variance  (T, 3), size^2: of place, place with velocity, velocity; alike for x and y
    offsets   (T, K, 2) pixels: last seen positions of the parts, relative to the centre
    known     (T, K) bool: parts that have ever been seen
    size      (T,) pixels
    unseen    (T,) seconds since the person was seen
    age       (T,) seconds since the person was first seen
    """

    ids: npt.NDArray[np.int64]
    centre: Floats
    velocity: Floats
    variance: Floats
    offsets: Floats
    known: npt.NDArray[np.bool_]
    size: Floats
    unseen: Floats
    age: Floats

    @classmethod
    def new(cls, ids: npt.NDArray[np.int64], found: _Detections) -> _People:
        """New people, assumed to be at rest."""
        people, known = len(ids), found.weight > 0
        centre = (found.xy * known[..., None]).sum(axis=1)
        centre /= np.maximum(known.sum(axis=1), 1)[:, None]
        return cls(
            ids=ids,
            centre=centre,
            velocity=np.zeros((people, 2)),
            variance=np.tile([0.0, 0.0, _NEW_SPEED**2], (people, 1)),
            offsets=(found.xy - centre[:, None]) * known[..., None],
            known=known,
            size=found.size,
            unseen=np.zeros(people),
            age=np.zeros(people),
        )

    def after(self, seconds: float) -> _People:
        """The same people after a time without being seen."""
        place, both, speed = self.variance.T
        variance = (
            place + 2 * seconds * both + seconds**2 * speed + _AGILITY * seconds**3 / 3,
            both + seconds * speed + _AGILITY * seconds**2 / 2,
            speed + _AGILITY * seconds,
        )
        return replace(
            self,
            centre=self.centre + seconds * self.velocity,
            variance=np.stack(variance, axis=1),
            unseen=self.unseen + seconds,
            age=self.age + seconds,
        )

    def seen_as(self, found: _Detections, shift: Floats, blur: Floats) -> _People:
        """The same people, each found at `shift` (T, 2) from the expected position (`_Pairs`)."""
        place, both, speed = self.variance.T
        gain, gain_speed = place / (place + blur), both / (place + blur)
        variance = (place * (1 - gain), both * (1 - gain), speed - gain_speed * both)
        seen = found.weight > 0
        measured = (self.centre + shift)[:, None]
        return replace(
            self,
            centre=self.centre + gain[:, None] * shift,
            velocity=self.velocity + gain_speed[:, None] * shift,
            variance=np.stack(variance, axis=1),
            offsets=np.where(seen[..., None], found.xy - measured, self.offsets),
            known=self.known | seen,
            size=np.maximum(self.size * _SHRINK**self.unseen, found.size),
            unseen=np.zeros_like(self.unseen),
        )

    def shown(self, picture: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """(T,): whether at least one part is expected inside a picture of (width, height)."""
        points = self.centre[:, None] + self.offsets
        inside = ((points >= 0) & (points <= np.subtract(picture, 1))).all(axis=2)
        shown: npt.NDArray[np.bool_] = np.any(inside & self.known, axis=1)
        return shown


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All pairs of T tracked people and D people found.

    price  (T, D), see `_DEAREST`
    shift  (T, D, 2) pixels: from the expected to the found position
    blur   (T, D), size^2: the variance of this shift
    """

    price: Floats
    shift: Floats
    blur: Floats

    @classmethod
    def of(cls, people: _People, found: _Detections, parts: _Parts) -> _Pairs:
        expected = people.centre[:, None] + people.offsets
        size = people.size[:, None, None]
        apart = (found.xy - expected[:, None]) / size[..., None]
        common = found.weight * people.known[:, None]
        variance = parts.variance(people.unseen)[:, None]
        # Most parts decide the person's position; the remaining distances are a change of posture.
        weight = common / variance
        total = np.maximum(weight.sum(axis=2), 1e-9)
        shift = (weight[..., None] * apart).sum(axis=2) / total[..., None]
        blur = _SHAKE**2 + 1 / total
        bent = ((apart - shift[:, :, None]) ** 2).sum(axis=3)
        alike = (common * np.exp(-bent / (2 * variance))).sum(axis=2)
        alike /= np.maximum(common.sum(axis=2), 1e-9)
        place = people.variance[:, :1] + blur
        surprise = np.log1p((shift**2).sum(axis=2) / (_TAIL * place))
        price = (_TAIL / 2 + 1) * surprise + np.log(place) + _POSTURE * (1 - alike)
        shared = common.astype(bool).sum(axis=2)
        of_either = np.maximum(people.known.sum(axis=1)[:, None], (found.weight > 0).sum(axis=1))
        price += _FRAGMENT * (1 - shared / np.maximum(of_either, 1))
        price += _NEWCOMER * np.exp(-people.age / _SETTLED)[:, None]
        price = np.where(common.any(axis=2), np.minimum(price, _IMPOSSIBLE), _IMPOSSIBLE)
        return cls(price, shift * size, blur)

    def cheapest(self) -> tuple[Indices, Indices]:
        """The cheapest assignment: indices (n,) of tracked people and of the people found."""
        followed, found = self.price.shape
        # One more column for each tracked person, for being assigned to nobody.
        alone = np.full((followed, followed), _DEAREST)
        columns = _core.solve_assignment(np.hstack([self.price, alone])).astype(np.intp)
        rows = np.flatnonzero(columns < found)
        return rows, columns[rows]


class Tracker:
    """Gives people ids across the frames of one source. Call it with each frame, in order.

    rate    frames a second, where frames come without times
    memory  seconds after which an unseen person is forgotten

    Ids count from 0 and are never reused. A person who leaves the picture, or is hidden for longer
    than `memory`, gets a new id.

    Raises ValueError if the rate or the memory is not positive.
    """

    def __init__(self, *, rate: float = 30.0, memory: float = 2.0) -> None:
        if not (math.isfinite(memory) and memory > 0):
            raise ValueError(f"memory must be positive, not {memory!r}")
        self._clock = Clock(rate)
        self._memory = memory
        self._next_id = 0
        self._topology: Topology | None = None
        self._people: _People | None = None
        self._last: Poses | None = None

    def __call__(self, poses: Poses, time: float | None = None) -> Poses:
        """The same people with ids.

        time  seconds; None is one frame after the last. If the time goes back, as when a video
              restarts, everybody gets a new id.

        Raises ValueError if the time is not finite, or people have another skeleton than before.
        """
        poses = finite(poses)
        self._advance(self._clock.tick(time), poses.size)
        ids = np.zeros(0, np.int64)
        if len(poses) > 0:
            ids = self._identify(poses)
        self._last = replace(poses, ids=ids)
        return self._last

    def predict(self, time: float) -> Poses:
        """Predict the people of the last frame at another time, using their velocities.

        Used for frames that the network skips. Parts keep their scores and are clipped to the
        picture. A prediction does not influence the ids of later frames.

        Raises ValueError before the first frame.
        """
        if self._last is None:
            raise ValueError("a Tracker has nothing to predict before its first frame")
        if self._people is None or len(self._last) == 0:
            return self._last
        moved = self._people.velocity[: len(self._last), None] * (time - self._clock.now)
        hands, faces = self._last.hands, self._last.faces
        return replace(
            self._last,
            keypoints=_moved(self._last.keypoints, moved, self._last.size),
            hands=None if hands is None else _moved(hands, moved[:, None], self._last.size),
            faces=None if faces is None else _moved(faces, moved, self._last.size),
        )

    def _advance(self, elapsed: float, picture: tuple[int, int]) -> None:
        """Advance everybody by this time; forget those who are gone."""
        if elapsed < 0:
            self._people = None
        if self._people is not None:
            people = self._people[self._people.unseen + elapsed <= self._memory]
            people = people.after(min(elapsed, self._memory))
            self._people = people[people.shown(picture) | (people.unseen < _LEAVING)]

    def _identify(self, poses: Poses) -> npt.NDArray[np.int64]:
        """Assign the people found to the tracked ones, and update these."""
        if self._topology not in (None, poses.topology):
            raise ValueError(
                f"people of {poses.topology.name} came after others of {self._topology.name}; "
                "use another Tracker for another network"
            )
        self._topology = poses.topology
        found = _Detections.of(poses)
        if self._people is None:
            self._people = _People.new(np.zeros(0, np.int64), found[np.zeros(0, np.intp)])
        pairs = _Pairs.of(self._people, found, _Parts.of(poses.topology))
        rows, columns = pairs.cheapest()
        new = np.setdiff1d(np.arange(len(poses)), columns)
        lost = np.setdiff1d(np.arange(len(self._people.ids)), rows)
        again = self._people[rows].seen_as(
            found[columns], pairs.shift[rows, columns], pairs.blur[rows, columns]
        )
        first = _People.new(self._next_id + np.arange(len(new)), found[new])
        self._next_id += len(new)
        # The people of this frame come first, in their order.
        order = np.argsort(np.concatenate([columns, new]))
        self._people = (again + first)[order] + self._people[lost]
        return self._people.ids[: len(poses)]


def _moved(
    points: npt.NDArray[np.float32], by: Floats, picture: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Move points (..., 3), except missing ones, and clip them to the picture."""
    moved = points.copy()
    moved[..., :2] = np.clip(points[..., :2] + by, 0, np.subtract(picture, 1))
    moved[points[..., 2] <= 0] = 0
    return moved
