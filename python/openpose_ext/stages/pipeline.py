"""Processes many pictures at once: each of a few workers takes one frame through all stages.

    source ─ next() ─┐   one worker at a time, in order: a video decodes one frame after another
                     ├── worker 1:  frame k      resize → network → C++ decode → hands
                     ├── worker 2:  frame k + 1  resize → network → C++ decode → hands
                     └── ...
    results wait for earlier ones; the consumer gets them in order

There is no thread per stage, and there are no queues between stages. A worker takes the next item
from the iterable while the others compute (the C code of every stage releases Python's lock), does
everything that needs no order, and takes the next item. So all cores are busy, whichever stage is
slow, and there are never more threads than needed. Only a few frames are in memory at a time,
because a worker that is too far ahead of the consumer waits.

Steps that need the frames in order (tracking people, writing a video) are ordinary generators
around this one. Steps after those are run by workers again, whose `next()` then runs the generator.
The commands are built from these few pieces:


    overlapped(items, work, workers)    an ordered, bounded, parallel `map`
    ahead(items, count)                 a separate thread that takes items before they are needed
    workers_for(streams)                how many workers keep a network busy
    followed(found, ...)                ids and smoothing, in the order of the frames
    PoseEstimator.stream(source)        frames in, (Frame, Poses) out; `batch` is the same on a list
    PoseEstimator(frame)                the stages of one frame, which a worker calls

The network is opened with one stream per core and one thread per stream. There is one worker more
than streams: it prepares the next frame while the others wait for the network (30 instead of 25
frames per second of a street video, on a loaded machine of two cores). On that machine
human-pose-estimation-0001 (INT8, 456 x 256) ran on 209 pictures per second this way; with one
stream of two threads on 174 with one request in flight and 187 with two; batches of 2 to 8 pictures
were slower. Also, a stream of one thread never waits for a thread that lost its core to another
program.

A video is decoded ahead, by a separate thread: some frames take several times as long as others
(VP9 decodes hidden ones besides), and all workers would wait for them. That gave 6 to 10 % more
frames per second of a VP9 video, and no change for an H.264 one.
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

# A frame, its people (None if the network did not see it), and anything that goes with it.
FrameWithPeople = tuple[Frame, Poses | None, T]

_RATE = 30.0  # frames per second, if nothing tells

_END = StopIteration()  # the result that marks the end of the items


def workers_for(streams: int, *, waiting: bool = False) -> int:
    """How many workers keep so many streams busy; one for one stream.

    waiting  whether frames wait for earlier ones, as in `watch`. Then more workers are needed, so
             that some process the next whole frames, which do not wait. With the usual number,
             eight streams would be slower than without regions
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
    """`map(work, items)` with threads: results in order, and only a few items in memory.

    items    an iterable; a free worker takes the next item, never two threads at once
    workers  number of threads; they start at the first `next()`
    stop     called at the end, before waiting for the workers: it must end a wait of `items` for
             its next item, such as a camera's
    ahead    how many more items than results may be taken; None for 2 * workers

    An error of `items` or `work` is raised in the place of its result, after the earlier results.
    However the iteration ends (an error, Ctrl-C, `close`, or because nothing refers to it any
    more), every worker finishes its item and ends, and `items` is closed if it is a generator. When
    the interpreter exits it waits for the workers: one that returned from C++ later would abort the
    process.
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
    """The same items; a separate thread takes up to `count` of them before they are needed.

    Close it before the source of the items.
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
    """The same frames with people who have ids; optionally their motion is smoothed.

    found      frames of one source, in order. In frames without a result of the network, people are
               predicted from earlier frames
    rate       frames per second, for frames without times; None takes 30
    smooth     smooth the motion. If `live`, each frame is smoothed at once; otherwise with a look
               ahead of about a second, which also fills gaps
    cutoff     cutoff frequency of the smoothing in Hz; None takes the default of `TwoPass`, or of
               `OneEuro` if `live`
    max_gap    fill gaps up to so many seconds; None takes the default of `TwoPass`
    min_track  give no id to people who are seen for fewer seconds, see `Lasting`; 0 gives everybody
               an id

    People without a body get no id either. People without an id are not smoothed and come last.
    """
    from openpose_ext.tracking.ids import Clock, Tracker
    from openpose_ext.tracking.lasting import Lasting
    from openpose_ext.tracking.one_euro import OneEuro
    from openpose_ext.tracking.two_pass import TwoPass

    rate = rate or _RATE
    tracker, clock = Tracker(rate=rate), Clock(rate)
    one_euro = OneEuro(rate=rate, **_given(min_cutoff=cutoff))
    two_pass = TwoPass(rate=rate, **_given(cutoff=cutoff, max_gap=max_gap))
    waiting: deque[tuple[Poses, _Followed[T]]] = deque()  # people before smoothing

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
    """A frame of which the people have ids.

    now     its time in seconds
    looked  whether the network saw it
    alone   people without an id, None if there are none
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
    """What the workers and the consumer share. The workers do not refer to the generator, so that
    it can be garbage-collected while they run."""

    def __init__(self, items: Iterable[T], work: Callable[[T], R], ahead: int) -> None:
        self._items = iter(items)
        self._work = work
        self._ahead = ahead
        self._taking = Lock()  # held while taking an item
        self._changed = Condition()  # guards the following attributes
        self._results: dict[int, tuple[R | None, BaseException | None]] = {}
        self._taken = self._delivered = 0
        self._ended = False

    def carry(self) -> None:
        """Run a worker: take items, work on them and leave the results, until there are no more."""
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
            del item  # a frame is large: do not keep it while waiting for the next one

    def results(self) -> Iterator[R]:
        """The results in order, until the items end. Raises the errors that workers left."""
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
        """Let the workers take no more items."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the items, if they can be closed, after the workers have ended."""
        self._results.clear()
        close: Any = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _next_number(self) -> int | None:
        """Wait until an item may be taken and return its number; None if no more may be."""
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
