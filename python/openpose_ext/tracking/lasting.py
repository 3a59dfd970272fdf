"""Ids for people who stay only: what is there for a moment gets none.

Much of it are pieces of people who are there anyway, which are left out; the others are people seen
briefly, far away or at the edge, who stay without an id. A frame is held back for as long as
somebody has to be seen, so that a person who stays has the id from the first frame on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from openpose_ext.tracking.pieces import pieces
from openpose_ext.tracking.points import check_positive, ids_of
from openpose_ext.types.poses import Poses

__all__ = ["Lasting"]

_EXACT = 1e-6  # seconds by which sums of times may err
_HOLE = 0.1  # seconds: who is missed for no longer is there all the same, as small people are

T = TypeVar("T")


@dataclass
class _Track:
    """Somebody not known to stay yet.

    begun  seconds of the first frame
    last   seconds of the last one
    seen   seconds for which they were there
    """

    begun: float
    last: float
    seen: float = 0.0


class Lasting(Generic[T]):
    """Takes the ids from people who are not seen for long enough.

    seconds  for which somebody must be there, within twice that time; short holes do not count
    rate     frames a second, as a rule

    Their id is -1. Who of them is a piece of somebody with an id, see `pieces`, is left out. Who is
    there when the frames begin or end keeps the id: nobody knows for how long they stay.

    Push frames in order, with whatever shall come along; what comes back, in order, are those that
    are `seconds` old. At the end, `flush` returns the rest. People without ids are an error.

    Raises ValueError if an option is not positive.
    """

    def __init__(self, seconds: float, *, rate: float = 30.0) -> None:
        check_positive(seconds=seconds, rate=rate)
        self._seconds = seconds
        self._interval = 1 / rate
        self._begin: float | None = None
        self._now = 0.0
        self._tracks: dict[int, _Track] = {}
        self._staying: set[int] = set()
        self._waiting: deque[tuple[float, Poses, T]] = deque()

    def push(self, poses: Poses, time: float, extra: T) -> Iterator[tuple[Poses, T]]:
        """Take a frame; give back those that are old enough."""
        elapsed = self._interval if self._begin is None else max(time - self._now, 0.0)
        if self._begin is None:
            self._begin = time
        self._now = time
        for one in ids_of(poses).tolist():
            if one in self._staying:
                continue
            track = self._tracks.setdefault(one, _Track(time, time - elapsed))
            since = time - track.last
            # Frames that were left out are no reason to take somebody for staying.
            track.seen += since if since <= _HOLE + _EXACT else min(elapsed, 2 * self._interval)
            track.last = time
            if track.seen > self._seconds - _EXACT or track.begun == self._begin:
                self._staying.add(one)
                del self._tracks[one]
        old = [i for i, t in self._tracks.items() if time - t.begun > 2 * self._seconds]
        for one in old:
            del self._tracks[one]  # who comes back has to stay from now on
        self._waiting.append((time, poses, extra))
        while self._waiting and time - self._waiting[0][0] > self._seconds - _EXACT:
            yield self._next()

    def flush(self) -> Iterator[tuple[Poses, T]]:
        """The frames that were not given back yet."""
        if self._waiting:
            self._staying.update(ids_of(self._waiting[-1][1]).tolist())
        while self._waiting:
            yield self._next()

    def _next(self) -> tuple[Poses, T]:
        _, poses, extra = self._waiting.popleft()
        ids = ids_of(poses)
        stays = np.isin(ids, np.fromiter(self._staying, np.int64, len(self._staying)))
        if not stays.all():
            kept = stays | ~pieces(poses, stays)
            poses = replace(poses, ids=np.where(stays, ids, -1))[kept]
        return poses, extra
