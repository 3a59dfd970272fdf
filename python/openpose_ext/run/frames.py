"""Takes the frames of all inputs through all stages and into their files."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Set
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType

import numpy as np
from tqdm import tqdm

from openpose_ext.errors import SourceError
from openpose_ext.run.books import Book, Books
from openpose_ext.run.plan import Plan, Planned
from openpose_ext.run.results import Aside
from openpose_ext.run.tally import Tally
from openpose_ext.sources.source import Report, Source
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import ahead, followed, overlapped, workers_for
from openpose_ext.tracking.kept import Kept
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["MIN_TRACK", "How", "Preview", "process"]

Looked = tuple[Frame, Poses | None, Aside]  # no people: left out, or not looked at
Finished = tuple[Frame, Poses | None, Picture | None, Aside]
MIN_TRACK = 0.4  # seconds: pieces of people, taken for others, come and go faster

Preview = Callable[[Frame, Picture | None], None]


@dataclass(frozen=True)
class How:
    """How the frames of every input are processed.

    every          run the network on every so many frames of a sequence, and track in between
    detect_every   the network sees every so many frames as a whole, and regions in between
    follow         give people ids
    smooth         smooth their motion
    people         keep so many people, the most prominent ones; None for all
    skip_existing  skip frames whose files exist
    cutoff, max_gap  for the smoothing, see `followed`; None for its defaults
    min_track      give no id to people who are seen for fewer seconds; None is `MIN_TRACK`, for
                   cameras 0
    ids            keep only people with these ids; None for all
    segment        begin new files every so many seconds of a camera
    fps            frames per second of pictures, for smoothing them
    streams        pictures that the network processes at once
    """

    every: int = 1
    detect_every: int = 1
    follow: bool = False
    smooth: bool = False
    people: int | None = None
    skip_existing: bool = False
    cutoff: float | None = None
    max_gap: float | None = None
    min_track: float | None = None
    ids: frozenset[int] | None = None
    segment: float | None = None
    fps: float | None = None
    streams: int = 1

    @property
    def workers(self) -> int:
        """Number of worker threads if no frame waits for another one."""
        return workers_for(self.streams)

    def waits(self, source: Source) -> bool:
        """Whether more workers than that take frames, of which some wait for others.

        Of a camera, each frame that is taken in advance adds delay.
        """
        return self.detect_every > 1 and not source.live


def process(
    plan: Plan,
    estimator: PoseEstimator | None,
    how: How,
    tally: Tally,
    preview: Preview | None = None,
) -> None:
    """Find the people in all inputs and write the planned files.

    estimator  may be None if all people are known
    tally      counts what is done and what failed
    preview    called with each frame and its drawing

    An input, frame or file that fails is named on stderr, and the others go on. Raises OutputError
    if nothing more can be written, BackendError if the engine fails.
    """
    files = [planned.files.values() for planned in plan.inputs]
    with Books(planned=files, sources=plan.shared) as books:

        def report(error: SourceError) -> None:
            tally.failed += 1
            print(f"openpose-ext: {error}", file=sys.stderr)

        for planned in plan.inputs:
            try:
                _process(planned, estimator, how, books, tally, preview)
            except SourceError as error:
                report(error)
            with _finishing():  # or a signal would discard the file that is being closed
                books.end(planned.files, report)


def _process(
    planned: Planned,
    estimator: PoseEstimator | None,
    how: How,
    books: Books,
    tally: Tally,
    preview: Preview | None,
) -> None:
    """Process the frames of one input. Raises SourceError if it cannot be opened."""
    if how.every > 1 and not planned.sequence:
        how = replace(how, every=1)
        print(
            "openpose-ext: --track_every is ignored: these pictures are not numbered frames of one "
            "film, so the network runs on each",
            file=sys.stderr,
        )

    def report(error: SourceError) -> None:
        tally.failed += 1
        bar.write(f"openpose-ext: {error}", file=sys.stderr)

    with ExitStack() as opened:
        silent = not sys.stderr.isatty()
        bar = opened.enter_context(tqdm(unit="frame", disable=silent, leave=False))
        source = opened.enter_context(planned.open(report))
        bar.set_description(source.name[-30:], refresh=False)
        bar.total = source.count
        if how.segment is not None and not source.live:
            bar.write(
                f"openpose-ext: --segment is ignored: {source.name} is no camera", file=sys.stderr
            )
        book = books.begin(
            planned.results,
            planned.name,
            report,
            rate=source.played_rate,
            true_rate=source.rate or how.fps,
            sound=planned.sound,
            live=source.live,
            segment=how.segment if source.live else None,
        )
        frames = _timed(source, tally)
        if source.ahead and how.streams > 1:
            # Workers that wait for others have taken their frames already.
            count = 1 if how.waits(source) else source.ahead
            frames = opened.enter_context(closing(ahead(frames, count)))
        stopping = threading.Event()
        steps = _Steps(planned, estimator, how, tally, report, draws=preview is not None)
        finished = _through(steps, _until(stopping, frames), source, how, book)
        # Whatever interrupts the run, the workers have ended before the files are closed.
        opened.enter_context(closing(finished))

        def stop() -> None:
            stopping.set()
            source.stop()

        with _finishing(stop):
            for frame, poses, drawn, _ in finished:
                tally.count(frame, poses)
                if poses is not None and preview is not None:
                    preview(frame, drawn)
                bar.update()


class _Steps:
    """The steps of each frame of an input: find people, draw and write, add to shared files."""

    def __init__(
        self,
        planned: Planned,
        estimator: PoseEstimator | None,
        how: How,
        tally: Tally,
        report: Report,
        *,
        draws: bool,
    ) -> None:
        self._name_of = planned.name_of
        self._results = planned.results
        self._estimator = estimator
        self._every = how.every
        self._watch = None
        if how.detect_every > 1 and estimator is not None:
            self._watch = estimator.watch(how.detect_every)
        # Ids, and files that hold many frames, need all frames.
        self._skips = how.skip_existing and not planned.files and not how.follow
        self._draws = draws or planned.results.draws
        self._tally = tally
        self._report = report
        self._unwritten: set[str] = set()

    def look(self, numbered: tuple[int, Frame]) -> Looked:
        """Find the people of a frame, unless they are known, written already, or to be skipped.

        Unless something is drawn on it, the frame gives up its pixels here: it may wait long for
        others, such as the second of frames that smoothing looks ahead.
        """
        frame, poses, aside = self._look(*numbered)
        return frame if self._draws else frame.without_pixels(), poses, aside

    def _look(self, number: int, frame: Frame) -> Looked:
        written = self._skips and self._results.have(self._name_of(frame))
        known = None if written else frame.poses
        looks = not number % self._every
        if written or known is not None:
            if self._watch is not None and looks:
                self._watch.missed(number // self._every)
            return frame, known, Aside()
        if not looks:
            return frame, None, Aside()
        assert self._estimator is not None
        aside = Aside()
        if self._watch is not None:
            poses = self._watch(number // self._every, frame)
        elif not self._results.needs_stages:
            poses = self._estimator(frame)
        else:
            stages = self._estimator.stages(frame)
            self._results.write_maps(self._name_of(frame), stages, self._lacking(frame))
            poses, aside = stages.people, Aside.of(stages)
        self._tally.add(poses.timings)
        return frame, poses, aside

    def finish(self, found: Looked) -> Finished:
        """Draw a frame and write its own files."""
        frame, poses, aside = found
        if poses is None:
            return frame, None, None, aside
        drawn, seconds = self._results.write(
            self._name_of(frame), frame, poses, aside, self._lacking(frame), draws=self._draws
        )
        self._tally.add(seconds)
        return frame, poses, drawn, aside

    def add(self, book: Book, finished: Finished) -> Finished:
        """Add a frame to the files that hold many; frames come in order, one at a time."""
        frame, poses, drawn, aside = finished
        if poses is not None:
            with self._tally.timed("add"):
                book.write(frame, poses, drawn, aside)
        return finished

    def _lacking(self, frame: Frame) -> Report:
        """A function to report results of a frame that cannot be written, once per input."""

        def tell(error: SourceError) -> None:
            if frame.source not in self._unwritten:
                self._unwritten.add(frame.source)
                self._report(error)

        return tell


def _through(
    steps: _Steps, frames: Iterable[Frame], source: Source, how: How, book: Book
) -> Generator[Finished, None, None]:
    """The frames after all steps, in order, processed by several worker threads."""
    overlap = partial(overlapped, stop=source.stop)
    numbered = enumerate(frames)
    lookers = workers_for(how.streams, waiting=how.waits(source))
    if how.follow:
        usual = 0.0 if source.live else MIN_TRACK
        following = followed(
            overlap(numbered, steps.look, lookers),
            rate=source.rate or how.fps,
            smooth=how.smooth,
            live=source.live,
            cutoff=how.cutoff,
            max_gap=how.max_gap,
            min_track=usual if how.min_track is None else how.min_track,
        )
        finished = overlap(_kept(following, how, source), steps.finish, how.workers)
    else:
        finished = overlap(numbered, lambda one: steps.finish(_best(steps.look(one), how)), lookers)
    return overlap(finished, partial(steps.add, book), 1) if book else finished


@contextmanager
def _finishing(stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let a block finish what it has begun when a signal asks the process to end.

    The first signal calls `stop`; its usual effect comes when the block has ended. A second signal
    takes effect at once. This concerns signals with handlers in Python.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual: dict[int, Callable[[int, FrameType | None], object]] = {}
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            usual[number](number, frame)
        stop()

    numbers = [getattr(signal, name, 0) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    for number in filter(None, numbers):
        handler = signal.getsignal(number)
        if callable(handler):
            usual[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if came:
            usual[came[0]](came[0], None)


def _until(stopping: threading.Event, frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames until `stopping` is set."""
    for frame in frames:
        if stopping.is_set():
            return
        yield frame


def _best(found: Looked, how: How) -> Looked:
    """The same frame with only its most prominent people."""
    frame, poses, aside = found
    if poses is None or how.people is None:
        return found
    return frame, poses.most_prominent(how.people), aside


def _kept(
    following: Generator[tuple[Frame, Poses, Aside], None, None], how: How, source: Source
) -> Iterator[tuple[Frame, Poses, Aside]]:
    """The same frames with only the people of the wanted ids, and at most so many; who is kept once
    stays kept while they are in sight. Says so if nobody has a wanted id."""
    kept = None if how.people is None else Kept(how.people)
    seen: set[int] = set()
    with closing(following):
        for frame, poses, aside in following:
            if how.ids is not None and poses.ids is not None:
                seen.update(poses.ids.tolist())
                poses = poses[np.isin(poses.ids, list(how.ids))]
            yield frame, (poses if kept is None else kept(poses)).by_id(), aside
    if how.ids is not None and seen.isdisjoint(how.ids):
        _tell_of_nobody(source.name, how.ids, seen)


def _tell_of_nobody(name: str, wanted: Set[int], seen: Set[int]) -> None:
    """Say that an input has nobody with the wanted ids, and which ids it has."""
    asked = ", ".join(map(str, sorted(wanted)))
    had = ", ".join(str(k) for k in sorted(seen) if k >= 0)  # -1 is seen too briefly for an id
    there = f"the ids there are {had}" if had else "there are no ids in it"
    told = f"openpose-ext: --keep_id {asked}: nobody in {name} has such an id; {there}"
    tqdm.write(told, file=sys.stderr)


def _timed(source: Iterable[Frame], tally: Tally) -> Iterator[Frame]:
    """The source's frames; the time they take is counted as reading."""
    frames = iter(source)
    while True:
        with tally.timed("read"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame
