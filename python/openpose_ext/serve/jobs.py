"""Uploads are worked on, a few at once, in the order in which they came."""

from __future__ import annotations

import re
import shutil
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Self

from openpose_ext.errors import OpenPoseExtError, OutputError, SourceError
from openpose_ext.io.cpus import own_cores
from openpose_ext.run.books import Book, Books
from openpose_ext.run.results import Aside, Drawing, HeatmapChoice, Results
from openpose_ext.serve.kept import Kept, size_of
from openpose_ext.serve.latest import Latest
from openpose_ext.serve.lines import Progress, Shown
from openpose_ext.serve.upload import Limits, opened, reason
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.source import Source
from openpose_ext.sources.video import Video
from openpose_ext.stages.estimator import MOST_STREAMS, PoseEstimator
from openpose_ext.stages.pipeline import overlapped
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD

__all__ = ["Job", "Jobs"]

_OF_PICTURES = ("images", "json", "csv")
_OF_VIDEOS = ("video", "jsonl", "csv")
_NAME = Path("people")  # of the files here; visitors get their own
_LONGEST_NAME = 100
_MOST_PROBLEMS = 20  # that a visitor is told
_OFTEN = 50  # frames from one look at the size of the results to the next


class Job:
    """An upload, from its first byte until its results are kept, or it is given up.

    name      what the visitor calls the file
    file      where the upload lies
    results   the folder of what comes of it
    latest    how far it is
    given_up  why nobody wants it any more, or ""
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = _tidy(name)
        self.folder = folder
        self.file = folder / "upload"
        self.results = folder / "results"
        self.results.mkdir()
        self.latest: Latest[Progress] = Latest()
        self.progress = Progress("waiting")
        self.given_up = ""  # why

    def tell(self, **news: Any) -> None:
        """Let the visitor know."""
        self.progress = replace(self.progress, **news)
        self.latest.put(self.progress)


class Jobs:
    """All uploads that are there, and the results of those that are done.

    detect_every  see `PoseEstimator.stream`

    A context manager; when it is left, all is given up and removed.
    """

    def __init__(self, estimator: PoseEstimator, limits: Limits, detect_every: int = 1) -> None:
        self.limits = limits
        self.kept = Kept(limits.keep, limits.results)
        self._estimator = estimator
        self._detect_every = detect_every
        self._workers = min(own_cores(), MOST_STREAMS)
        self._root = tempfile.TemporaryDirectory(prefix="openpose_ext-")
        self._threads = ThreadPoolExecutor(limits.at_once, "openpose_ext-upload")
        self._lock = Lock()  # guards the following
        self._jobs: set[Job] = set()
        self._waiting: list[Job] = []
        self._working = 0

    def add(self, name: str) -> Job | None:
        """A place for an upload, or None if there are too many already."""
        with self._lock:
            if len(self._jobs) >= self.limits.uploads:
                return None
            job = Job(name, Path(tempfile.mkdtemp(dir=self._root.name)))
            self._jobs.add(job)
        return job

    def count(self) -> dict[str, int]:
        """How many uploads are "working" and "waiting"."""
        with self._lock:
            return {"working": self._working, "waiting": len(self._waiting)}

    def problem(self) -> str | None:
        """Why no upload could be taken now, None if one can. Waiting uploads are no reason."""
        try:
            with tempfile.TemporaryFile(dir=self._root.name) as file:
                file.write(bytes(4096))
                file.flush()
        except OSError as error:
            return f"No file can be written on this server: {error.strerror}."
        return None

    def start(self, job: Job) -> None:
        """Work on an upload when its turn comes."""
        with self._lock:
            self._waiting.append(job)
            self._tell_those_who_wait()
        self._threads.submit(self._run, job)

    def give_up(self, job: Job, reason: str) -> None:
        """Drop an upload that was started. One that is worked on goes after its next frame."""
        with self._lock:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
                self._tell_those_who_wait()
        if waits:
            self._fail(job, reason)
        else:
            job.given_up = reason

    def remove(self, job: Job) -> None:
        """Forget an upload that nobody works on, and its files."""
        shutil.rmtree(job.folder, ignore_errors=True)
        with self._lock:
            self._jobs.discard(job)

    def give_all_up(self) -> None:
        """Drop all uploads that were started."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            self.give_up(job, "The server has ended.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_all_up()
        self._threads.shutdown()
        self._root.cleanup()

    def _tell_those_who_wait(self) -> None:
        for place, job in enumerate(self._waiting, self._working):
            job.tell(ahead=0 if place < self.limits.at_once else place)

    def _fail(self, job: Job, reason: str) -> None:
        self.remove(job)
        job.tell(state="failed", error=reason)
        job.latest.end()

    def _run(self, job: Job) -> None:
        """Take an upload from those that wait, unless it was given up, to its end."""
        with self._lock:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
            self._working += 1
            self._tell_those_who_wait()
        try:
            self._work(job)
        finally:
            with self._lock:
                self._working -= 1
                self._tell_those_who_wait()

    def _work(self, job: Job) -> None:
        try:
            files, problems = self._results_of(job)
            job.file.unlink()
        except _GivenUpError:
            self._fail(job, job.given_up)
        except OpenPoseExtError as error:
            self._fail(job, reason(job.file, error))
        except Exception:
            traceback.print_exc()
            self._fail(job, "Something went wrong in this server; its terminal says what.")
        else:
            key = self.kept.add(job.folder, files)
            with self._lock:
                self._jobs.discard(job)
            addresses = {kind: f"api/people/{key}/{kind}" for kind in files}
            job.tell(state="done", files=addresses, problems=problems)
            job.latest.end()

    def _results_of(self, job: Job) -> tuple[dict[str, tuple[Path, str]], tuple[str, ...]]:
        """Look at all frames; the files that come of it, by kind, and what went wrong."""
        with opened(job.file, self.limits) as source:
            is_video = isinstance(source, (Animation, Video))
            results = _results(job.results, _OF_VIDEOS if is_video else _OF_PICTURES)
            job.tell(state="working", count=source.count)
            sound = job.file if isinstance(source, Video) else None
            with Books() as books:
                refused: list[SourceError] = []
                book = books.begin(results, _NAME, refused.append, rate=source.rate, sound=sound)
                self._look_at_frames(job, source, results, book)
            errors = [*source.errors, *refused]
            problems = [reason(job.file, error) for error in errors[:_MOST_PROBLEMS]]
        if not job.progress.frames:
            raise SourceError(problems[0] if problems else "there is no frame in it")
        written = {k: v[0] for k, v in results.files(_NAME).items()} | results.books(_NAME)
        stem = Path(job.name).stem
        names = {kind: stem + file.name.removeprefix(_NAME.name) for kind, file in written.items()}
        return {kind: (file, names[kind]) for kind, file in written.items()}, tuple(problems)

    def _look_at_frames(self, job: Job, source: Source, results: Results, book: Book) -> None:
        def finish(found: tuple[Frame, Poses]) -> tuple[Frame, Poses, Picture]:
            frame, poses = found
            drawn, _ = results.write(_NAME, frame, poses, Aside(), _fail, draws=True)
            assert drawn is not None
            return frame, poses, drawn

        # Visitors know their own name of the file, and nobody else's.
        frames = (replace(frame, source=job.name) for frame in source)
        looked = self._estimator.stream(frames, detect_every=self._detect_every)
        with closing(overlapped(looked, finish, self._workers)) as finished:
            for number, (frame, poses, drawn) in enumerate(finished, 1):
                if job.given_up:
                    raise _GivenUpError
                if number % _OFTEN == 0 and size_of(job.results) > self.limits.results:
                    raise OutputError("The results become too large for this server.")
                book.write(frame, poses, drawn, Aside())
                job.tell(frames=number, shown=Shown(frame, poses, drawn))


def _fail(error: SourceError) -> None:
    raise OutputError(str(error))


class _GivenUpError(Exception):
    """Nobody wants the results any more."""


def _results(folder: Path, kinds: tuple[str, ...]) -> Results:
    return Results(
        places=dict.fromkeys(kinds, folder),
        formats={"images": "png"},
        drawing=Drawing(
            skeletons=True,
            threshold=FILLED_SCORE,
            hand_threshold=HAND_THRESHOLD,
            face_threshold=FACE_THRESHOLD,
            black=False,
        ),
        maps=HeatmapChoice(parts=False, background=False, pafs=False, scale=0),
    )


def _tidy(name: str) -> str:
    """The last part of what a visitor calls a file, as far as it can be printed."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(char for char in name if char.isprintable()).strip(" .")
    return name[-_LONGEST_NAME:] or "upload"
