"""Frames of a video -> their people, by looking only where people were before.

People move little from frame to frame, so the network need not see most of a video's pixels. It
sees the whole frame every so many frames, and in between only the regions where people were three
frames earlier. Three rather than one, because several frames are processed at a time; and always
three, so that the results do not depend on the number of threads.

In a region only the people who are expected there are kept, each once: half-seen others at its
edges come and go, and somebody new is found at the next whole frame. (When everybody was kept, a
street video had 48 tracks instead of 14, and AP .61 instead of .64; without regions it has 21 and
.59.)

If somebody is no longer found in their region, or the video cuts to another scene, the network sees
the whole frame at once.
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

# Regions come from the people of so many frames earlier.
_LAG = 3

# Results that are kept: more than the frames that workers process at the same time.
_KEPT = 64

# People with lower scores come and go anyway: losing one is no reason to see the whole frame.
_SURE = 0.15

# The boxes of one person three frames apart overlap by at least this share of the smaller box.
_OVERLAP = 0.4

# A mean difference in brightness (0 to 255) above this is a cut. Three frames apart, the videos of
# a street and of a walk differ by up to 16.
_CUT = 35

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of a frame.

    people    the people found in it
    expected  the people to look for in later frames: also those who were just lost
    found     (len(expected),): whether each of them was found in this frame
    source    the frame's source
    glance    its brightness, as a small picture
    whole     whether the network saw the whole frame
    """

    people: Poses
    expected: Poses
    found: npt.NDArray[np.bool_]
    source: str
    glance: npt.NDArray[np.uint8]
    whole: bool


class Watch:
    """Finds the people in a video's frames.

    every    the network sees the whole frame every so many frames
    whole    finds the people of a whole frame
    regions  finds people only near the given ones; returns None if that saves nothing
    closer   adds hands, faces and feet to the people of a frame, after their places have been noted
             for later frames

    Thread-safe. A frame waits for the earlier ones it needs, so they must be started in order. Call
    it with each frame number from 0, or call `missed`. Raises ValueError if `every` is below 1.
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
        """Whether frames wait for the results of earlier ones."""
        return self._every > 1

    def __call__(self, number: int, frame: Frame) -> Poses:
        """Find the people of frame `number`, from 0. Raises what the three functions raise."""
        seen = None
        try:
            seen = self._look(number, frame)
        finally:
            self._leave(number, seen)
        return self._closer(frame, seen.people)

    def missed(self, number: int) -> None:
        """Say that frame `number` cannot be read, so that later frames do not wait for it."""
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
            # Somebody is lost. A whole frame since then tells where they are, or that they left.
            later = self._whole_between(before, number)
            if later is None:
                return whole()
            before = later
            known = self._wait(before)
        # Look once more for those who were just lost.
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
        """The last frame strictly between the two of which the network saw the whole."""
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
    """The people who are expected ones, and for each expected one whether they were found."""
    one, other = _boxes(expected)[:, None], _boxes(people)[None]
    common = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    area = np.maximum(common, 0).prod(axis=-1)
    sizes = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (one, other)]
    there = area / np.minimum(*np.broadcast_arrays(*sizes)) > _OVERLAP
    alike = np.where(there, area / (sizes[0] + sizes[1] - area), 0).astype(np.float64)
    # One more column for each expected person: that nobody found is that person.
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
