"""Frames of a video -> their people, by looking where people were.

People stay where they were from frame to frame, so most of a video's pixels need not be looked at.
Every so many frames the whole frame is; in between only the regions of the people of the third
frame before. It is not the frame before, because a few frames are worked on at a time; and it is
always the third, so that the results do not depend on the number of threads.

In regions only those are taken who are expected there, each once: what else is seen at their edges
comes and goes, and somebody new is found when all is looked at. (With everybody a street video had
48 tracks instead of 14, and AP .61 instead of .64; the plain run 21 and .59.)

A region that loses somebody, and a cut to another scene, brings a look at the whole frame at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.io.resize import glance
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["Watch"]

# Frames between the one that tells where people are and the one that is looked at.
_LAG = 3

# Results kept: more than workers can be apart.
_KEPT = 64

# Who scores lower comes and goes by himself; to lose him is no reason to look at everything.
_SURE = 0.15

# Boxes of one person in frames so near overlap by this share of the smaller box.
_OVERLAP = 0.4

# Brightness, of 255, by which the frames on both sides of a cut differ on average. Within the
# videos of a street and of a walk three frames differ by up to 16.
_CUT = 35

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of a frame.

    people    found in it
    expected  those whom later frames shall look for: also who was lost just now
    found     of each of the expected, whether they were found here
    source    of the frame
    glance    its brightness
    whole     whether all of it was looked at
    """

    people: Poses
    expected: Poses
    found: npt.NDArray[np.bool_]
    source: str
    glance: npt.NDArray[np.uint8]
    whole: bool


class Watch:
    """The people of a video's frames, one after the other.

    every    frames from one look at the whole to the next
    whole    finds the people of a frame
    regions  finds those near the people given; None if looking at the whole is as cheap
    closer   looks closer at the people of a frame; where people are in later frames is told by
             those before

    Frames may be given by several threads at once, but must be taken in order: a frame waits for
    the earlier ones it needs. Each number must be given, or told as `missed`.
    """

    def __init__(
        self,
        every: int,
        whole: Callable[[Frame], Poses],
        regions: Callable[[Frame, Poses], Poses | None],
        closer: Callable[[Frame, Poses], Poses] = lambda frame, people: people,
    ) -> None:
        if every < 1:
            raise ValueError(f"detect_every must be at least 1 frame, not {every}")
        self._every = every
        self._whole = whole
        self._regions = regions
        self._closer = closer
        self._seen: dict[int, _Seen | None] = {}
        self._changed = Condition()

    @property
    def waits(self) -> bool:
        """Whether frames wait for earlier ones."""
        return self._every > 1

    def __call__(self, number: int, frame: Frame) -> Poses:
        """The people of frame `number`, 0 first. Raises what those three raise."""
        seen = None
        try:
            seen = self._look(number, frame)
        finally:
            self._leave(number, seen)
        return self._closer(frame, seen.people)

    def missed(self, number: int) -> None:
        """There is nothing to be seen in frame `number`."""
        self._leave(number, None)

    def _look(self, number: int, frame: Frame) -> _Seen:
        brightness = glance(frame)

        def whole() -> _Seen:
            people = self._whole(frame)
            everybody = np.ones(len(people), np.bool_)
            return _Seen(people, people, everybody, frame.source, brightness, True)

        planned = number - number % self._every
        if planned == number or frame.time is None:
            return whole()
        before = max(number - _LAG, planned)
        known = self._wait(before)
        while True:
            if known is None or known.source != frame.source or _is_cut(known.glance, brightness):
                return whole()
            expected = known.expected
            people = self._regions(frame, expected)
            if people is None:
                return whole()
            people, still = _followed(expected, people)
            if not (~still & known.found & (expected.scores >= _SURE)).any():
                break
            # Somebody is lost. A whole look since then knows where they are, or that they are gone.
            later = self._whole_between(before, number)
            if later is None:
                return whole()
            before = later
            known = self._wait(before)
        # Once more somebody who was just lost may come back.
        carried = expected[~still & known.found]
        return _Seen(
            people,
            _both(people, carried),
            np.arange(len(people) + len(carried)) < len(people),
            frame.source,
            brightness,
            False,
        )

    def _whole_between(self, before: int, number: int) -> int | None:
        """The last frame between both of which all was looked at."""
        for between in range(number - 1, before, -1):
            seen = self._wait(between)
            if seen is not None and seen.whole:
                return between
        return None

    def _wait(self, number: int) -> _Seen | None:
        with self._changed:
            self._changed.wait_for(lambda: number in self._seen)
            return self._seen[number]

    def _leave(self, number: int, seen: _Seen | None) -> None:
        with self._changed:
            self._seen[number] = seen
            self._seen.pop(number - _KEPT, None)
            self._changed.notify_all()


def _is_cut(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    if one.shape != other.shape:
        return True
    return bool(np.abs(one.astype(np.int16) - other).mean() > _CUT)


def _boxes(people: Poses) -> Floats:
    """(P, 4): left, top, right, bottom of all parts."""
    there = people.keypoints[..., 2:] > 0
    low = np.where(there, people.keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(there, people.keypoints[..., :2], -np.inf).max(axis=1)
    return np.concatenate([low, high + 1], axis=1)


def _followed(expected: Poses, people: Poses) -> tuple[Poses, npt.NDArray[np.bool_]]:
    """Who of the people are the expected ones, and of each of these whether they are there."""
    one, other = _boxes(expected)[:, None], _boxes(people)[None]
    common = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    area = np.maximum(common, 0).prod(axis=-1)
    sizes = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (one, other)]
    there = area / np.minimum(*np.broadcast_arrays(*sizes)) > _OVERLAP
    alike = np.where(there, area / (sizes[0] + sizes[1] - area), 0).astype(np.float64)
    # Beside them a column for each of the expected who is none of them.
    cost = np.hstack([-alike, np.zeros((len(expected), len(expected)))])
    columns = _core.solve_assignment(cost)
    still = np.take_along_axis(cost, columns[:, None].astype(np.intp), axis=1)[:, 0] < 0
    chosen = np.zeros(len(people), np.bool_)
    chosen[columns[still]] = True
    return people[chosen], still


def _both(people: Poses, others: Poses) -> Poses:
    return Poses(
        np.concatenate([people.keypoints, others.keypoints]),
        np.concatenate([people.scores, others.scores]),
        np.concatenate([people.filled, others.filled]),
        people.topology,
        people.size,
    )
