"""Many pictures at once: a few workers that each carry one frame through all of its stages.

    source ─ next() ─┐   one worker at a time, in order: a video decodes one frame after another
                     ├── worker 1:  frame k      resize → network → C++ decode → hands
                     ├── worker 2:  frame k + 1  resize → network → C++ decode → hands
                     └── ...
    results wait until those before them are taken; the consumer gets them in order

There is no thread for each stage, and there are no queues between them. A worker takes the next
item from the iterable while the others compute (the C code of every stage runs without Python's
lock), does everything that needs no order, and goes for the next one. So the workers keep the cores
busy, whatever stage is the slow one; nothing oversubscribes; and no more than a few frames exist
at a time, however many there are: a worker that is too far ahead of the consumer waits.

What needs the order of the frames (following people, writing a video) is an ordinary generator
around this one; what comes behind it is carried by workers again, whose `next()` then runs the
generator. Of these few pieces the commands are made:

    overlapped(items, work, workers)    the machine: an ordered, bounded, parallel `map`
    ahead(items, count)                 a thread of its own that takes items before they are wanted
    workers_for(streams)                how many workers keep a network busy
    followed(found, ...)                ids and smoothing, in the order of the frames
    PoseEstimator.stream(source)        frames in, (Frame, Poses) out; `batch` is the same on a list
    PoseEstimator(frame)                the stages of one frame, which a worker calls

The network is opened with a stream for each core and one thread a stream, and there is one worker
more than streams, which takes and prepares the next frame while the others wait for the network
(30 instead of 25 frames a second of a street video, on a loaded machine of two cores). There and
human-pose-estimation-0001 (INT8, 456 x 256) that gave 209 pictures a second, one stream of two
threads 174 with one request in flight and 187 with two; batches of 2 to 8 pictures gave less. A
stream of one thread also never waits for a thread that something else keeps from its core.

A video is decoded ahead, by a thread of its own: some frames take several times as long as others
(VP9 decodes hidden ones beside them), and the workers would all wait for them. That gave 6 to 10 %
more frames a second of a VP9 video, and nothing of an H.264 one.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from threading import Condition, Lock, Thread
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["FrameWithPeople", "ahead", "followed", "overlapped", "workers_for"]

T = TypeVar("T")
R = TypeVar("R")

# A frame, its people (None: it was not looked at), and whatever shall come along.
FrameWithPeople = tuple[Frame, Poses | None, T]

_RATE = 30.0  # frames a second, where nothing tells

_END = StopIteration()  # left in the place of the item that was not there


def workers_for(streams: int, *, waiting: bool = False) -> int:
    """How many workers keep so many streams busy. A single thread stays a single one.

    waiting  whether frames wait for earlier ones, as in `watch`: enough others are needed then,
             up to those of the next look at a whole frame, which waits for none. With the usual
             number, eight streams would be slower than without regions
    """
    if streams == 1:
        return 1
    return 3 * streams if waiting else streams + 1


def overlapped(
    items: Iterable[T],
    work: Callable[[T], R],
    workers: int,
    *,
    stop: Callable[[], None] | None = None,
    ahead: int | None = None,
) -> Generator[R, None, None]:
    """`map(work, items)` by threads: results in order, and few items in memory.

    items    taken one at a time, when a worker is free: never by two threads at once
    workers  threads; they start at the first `next()`
    stop     called when nothing more is wanted, before the workers are waited for: it ends an
             iterable that waits for its next item, such as a camera
    ahead    how many more items than results may be taken; None for 2 * workers

    An error of `items` or `work` is raised where its result would have stood; what comes before
    it is delivered. However the iteration ends (an error, Ctrl-C, the consumer's `close`, or
    nobody holding it any more), every worker finishes what it has in hand and ends, and `items`
    is closed if it is a generator. Workers that are still there at the interpreter's end are waited
    for: one that comes back from C++ to an interpreter that is gone aborts the process.
    """
    state = _State(items, work, ahead or 2 * workers)
    threads = [
        Thread(target=state.carry, name=f"openpose_ext-{number}", daemon=True)
        for number in range(workers)
    ]

    def end() -> None:
        state.end()
        if stop is not None:
            stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()

    atexit.register(end)
    try:
        for thread in threads:
            thread.start()
        yield from state.results()
    finally:
        end()
        atexit.unregister(end)
        state.close()


def ahead(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """The same items; a thread of its own takes up to `count` of them before they are wanted.

    Close it before what the items come from.
    """
    return overlapped(items, lambda item: item, 1, ahead=count)


def followed(
    found: Iterable[FrameWithPeople[T]],
    *,
    rate: float | None,
    smooth: bool = False,
    live: bool = False,
    cutoff: float | None = None,
    max_gap: float | None = None,
    min_track: float = 0.0,
) -> Generator[tuple[Frame, Poses, T], None, None]:
    """The same frames with people who have ids, and are perhaps smoothed.

    found      frames of one source, in order; people of those that were not looked at are put
               where they should be by now
    rate       frames a second, where frames come without times; None takes 30
    smooth     without jitter: at once if `live`, else by a look ahead of about a second, which also
               fills gaps; see `smooth`
    cutoff     Hz, of the smoothing; None takes `TwoPass`'s, if `live` `OneEuro`'s
    max_gap    seconds of the gaps that are filled, None for `TwoPass`'s
    min_track  seconds for which somebody must be seen to have an id, see `Lasting`; 0 for everybody

    Who has no body has no id either. Who has none is not smoothed, and comes last.
    """
    from openpose_ext.tracking.ids import Clock, Tracker
    from openpose_ext.tracking.lasting import Lasting
    from openpose_ext.tracking.one_euro import OneEuro
    from openpose_ext.tracking.two_pass import TwoPass

    rate = rate or _RATE
    tracker, clock = Tracker(rate=rate), Clock(rate)
    one_euro = OneEuro(rate=rate, **_given(min_cutoff=cutoff))
    two_pass = TwoPass(rate=rate, **_given(cutoff=cutoff, max_gap=max_gap))
    waiting: deque[tuple[Poses, _Followed[T]]] = deque()  # as known without a look ahead

    def identified() -> Iterator[tuple[Poses, _Followed[T]]]:
        for frame, poses, extra in found:
            clock.tick(frame.time)
            one = _Followed(frame, clock.now, poses is not None, None, extra)
            if poses is None:
                poses = tracker.predict(clock.now)
            else:
                poses, one = one.without(poses, poses.bodiless)
                poses = tracker(poses, clock.now)
            yield poses, one

    def lasting() -> Iterator[tuple[Poses, _Followed[T]]]:
        kept = Lasting[_Followed[T]](min_track, rate=rate)
        for poses, one in identified():
            yield from kept.push(poses, one.now, one)
        yield from kept.flush()

    def smoothed(ready: Iterable[Poses]) -> Iterator[tuple[Frame, Poses, T]]:
        for poses in ready:
            expected, one = waiting.popleft()
            yield one.with_people(poses if len(poses) else expected)

    for poses, one in lasting() if min_track > 0 else identified():
        if poses.ids is not None:
            poses, one = one.without(poses, poses.ids < 0)
        if not smooth:
            yield one.with_people(poses)
        elif live:
            yield one.with_people(one_euro(poses, one.now))
        else:
            waiting.append((poses, one))
            yield from smoothed(two_pass.push(poses if one.looked else None, one.now))
    yield from smoothed(two_pass.flush())


@dataclass(frozen=True, eq=False)
class _Followed(Generic[T]):
    """A frame whose people are followed.

    now     its time
    looked  whether the network looked at it
    alone   people without an id, None for nobody
    """

    frame: Frame
    now: float
    looked: bool
    alone: Poses | None
    extra: T

    def without(self, people: Poses, some: npt.NDArray[np.bool_]) -> tuple[Poses, _Followed[T]]:
        """The people without `some` of them (P,), and this frame with those alone."""
        if not some.any():
            return people, self
        alone = people[some] if self.alone is None else people[some].followed_by(self.alone)
        return people[~some], replace(self, alone=alone)

    def with_people(self, people: Poses) -> tuple[Frame, Poses, T]:
        whole = people if self.alone is None else people.followed_by(self.alone)
        return self.frame, whole, self.extra


def _given(**options: float | None) -> dict[str, float]:
    return {name: value for name, value in options.items() if value is not None}


class _State(Generic[T, R]):
    """What the workers and the consumer share. The workers know nothing of the generator, so that
    it can be collected while they run."""

    def __init__(self, items: Iterable[T], work: Callable[[T], R], ahead: int) -> None:
        self._items = iter(items)
        self._work = work
        self._ahead = ahead
        self._taking = Lock()  # who holds it may take an item
        self._changed = Condition()  # guards the following
        self._results: dict[int, tuple[R | None, BaseException | None]] = {}
        self._taken = self._delivered = 0
        self._ended = False

    def carry(self) -> None:
        """A worker: take an item, work on it, leave the result, until there are no more."""
        while True:
            with self._taking:
                number = self._next_number()
                if number is None:
                    return
                try:
                    item = next(self._items)
                except StopIteration:
                    self._leave(number, None, _END)
                    return
                except BaseException as error:
                    self._leave(number, None, error)
                    return
            try:
                self._leave(number, self._work(item), None)
            except BaseException as error:
                self._leave(number, None, error)
            del item  # a frame is large; it shall not wait for the next one

    def results(self) -> Iterator[R]:
        """The results in order, until the items end. Raises what a worker left."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._delivered in self._results)
                result, error = self._results.pop(self._delivered)
                self._delivered += 1
                self._changed.notify_all()
            if error is _END:
                return
            if error is not None:
                raise error
            yield result  # type: ignore[misc]  # without an error there is a result
            del result

    def end(self) -> None:
        """Let no worker take another item."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the items, where that means something, when the workers are gone."""
        self._results.clear()
        close: Any = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _next_number(self) -> int | None:
        """The number of the next item, when it may be taken; None if no more are."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or self._taken - self._delivered < self._ahead
            )
            if self._ended:
                return None
            self._taken += 1
            return self._taken - 1

    def _leave(self, number: int, result: R | None, error: BaseException | None) -> None:
        with self._changed:
            self._results[number] = result, error
            self._ended = self._ended or error is not None
            self._changed.notify_all()
