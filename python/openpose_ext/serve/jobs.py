"""Processes uploads: a few at once, the addresses taking turns."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Condition
from typing import Any, Self

from openpose_ext.errors import OpenPoseExtError, UsageError
from openpose_ext.io.cpus import own_cores
from openpose_ext.serve.budget import Budget, GivenUpError
from openpose_ext.serve.cost import Header, Plan, plan
from openpose_ext.serve.estimators import Estimators
from openpose_ext.serve.folder import Folder
from openpose_ext.serve.kept import Kept
from openpose_ext.serve.latest import Latest
from openpose_ext.serve.lines import Progress, Shown
from openpose_ext.serve.options import Options
from openpose_ext.serve.upload import Limits, reason
from openpose_ext.serve.webcam import Webcams
from openpose_ext.serve.work import Files, Task, seconds_ahead, work
from openpose_ext.stages.estimator import MOST_STREAMS
from openpose_ext.stages.pipeline import workers_for

__all__ = ["Asked", "FullError", "Job", "Jobs"]

_LONGEST_NAME = 100
_ENDS = "The server is about to end."


class FullError(Exception):
    """No more uploads are accepted now, with the reason.

    yours  whether the reason is other uploads of the same address
    """

    def __init__(self, sentence: str, *, yours: bool = False) -> None:
        super().__init__(sentence)
        self.yours = yours


class Asked:
    """What a visitor asks for with an upload.

    name     the visitor's name for the file
    options  how people are found and drawn
    plain    whether pictures without skeletons are kept, too
    visitor  the ID that finds it again, "" if it is cancelled with the connection
    address  the visitor's network address
    """

    def __init__(
        self,
        name: str,
        options: Options | None = None,
        *,
        plain: bool = False,
        visitor: str = "",
        address: str = "",
    ) -> None:
        self.name = _tidy(name)
        self.options = options or Options()
        self.plain = plain
        self.visitor = visitor
        self.address = address


class Job:
    """An upload, from its first byte until it is cancelled or its results are removed.

    key       the key with which visitors find it
    asked     what is to be done
    file      the uploaded file
    results   the folder of its results
    latest    its progress
    given_up  why it was cancelled, or ""
    """

    def __init__(self, asked: Asked, folder: Path) -> None:
        self.key = secrets.token_urlsafe(16)
        self.asked = asked
        self.folder = folder
        self.file = folder / "upload"
        self.results = folder / "results"
        self.results.mkdir()
        self.header: Header | None = None
        self.latest: Latest[Progress] = Latest()
        self.progress = Progress("waiting", self.key)
        self.given_up = ""

    def tell(self, **news: Any) -> None:
        """Change fields of the progress that the visitor sees."""
        self.progress = replace(self.progress, **news)
        self.latest.put(self.progress)

    @property
    def is_over(self) -> bool:
        return self.progress.state in ("done", "failed")


class Jobs:
    """All uploads, and the results of those that are done.

    A context manager; at its end all uploads are cancelled and all results removed.
    """

    def __init__(self, estimators: Estimators, budget: Budget, limits: Limits) -> None:
        self.limits = limits
        self.budget = budget
        self.estimators = estimators
        self.kept = Kept(limits.keep, limits.results)
        self.webcams = Webcams(estimators, budget)
        self._workers = workers_for(min(own_cores(), MOST_STREAMS))
        self._folder = Folder()
        self.root = self._folder.path
        self._threads = ThreadPoolExecutor(limits.at_once, "openpose_ext-upload")
        self._changed = Condition()  # guards the following
        self._jobs: dict[str, Job] = {}  # by key
        self._waiting: list[Job] = []
        self._working: list[Job] = []
        self._ending = False

    @property
    def ending(self) -> bool:
        """Whether no more uploads are accepted."""
        return self._ending

    def add(self, asked: Asked) -> Job:
        """Add an upload. Raises FullError if there are too many already."""
        with self._changed:
            if self._ending:
                raise FullError(_ENDS)
            alive = [job for job in self._jobs.values() if not job.is_over]
            started = len(self._waiting) + len(self._working)
            receiving = len(alive) - started
            if sum(job.asked.address == asked.address for job in alive) >= self.limits.each:
                raise FullError(
                    f"{self.limits.each} files from your address are here already; wait for one.",
                    yours=True,
                )
            if started >= self.limits.uploads or receiving >= self.limits.receiving:
                raise FullError("Too many files are waiting already; try again in a minute.")
            job = Job(asked, Path(tempfile.mkdtemp(dir=self.root)))
            self._jobs[job.key] = job
        return job

    def find(self, key: str) -> Job | None:
        """An upload that has been started, by its key."""
        with self._changed:
            job = self._jobs.get(key)
        if job is None or job.header is None or (job.is_over and not self.kept.left(key)):
            return None
        return job

    def of(self, visitor: str) -> list[Job]:
        """A visitor's uploads, the newest first."""
        with self._changed:
            keys = [key for key, job in self._jobs.items() if job.asked.visitor == visitor]
        return [job for key in reversed(keys) if (job := self.find(key)) is not None]

    def count(self) -> dict[str, int]:
        """How many uploads are "working" and "waiting"."""
        with self._changed:
            return {"working": len(self._working), "waiting": len(self._waiting)}

    def problem(self) -> str | None:
        """Why no upload could be accepted now, or None. Waiting uploads are no reason."""
        if self._ending:
            return _ENDS
        try:
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(bytes(4096))
                file.flush()
        except OSError as error:
            return f"No file can be written on this server: {error.strerror}."
        return None

    def plan_of(self, header: Header, asked: Asked) -> Plan:
        """How to process an upload. Raises ValueError if it can never fit into the memory."""
        options = asked.options
        there = self.budget.total - self.estimators.cost(options.of_networks)
        best = plan(
            header,
            there // self.limits.at_once,
            self._workers,
            plain=asked.plain,
            ahead=seconds_ahead(options),
            closer=options.looks_closer,
        )
        if best.bytes > there:
            raise ValueError(best.bytes + self.budget.total - there)
        return best

    def start(self, job: Job, header: Header) -> None:
        """Process an upload when its turn comes."""
        with self._changed:
            if self._ending:
                raise FullError(_ENDS)
            job.header = header
            self._waiting.append(job)
            self._tell_those_who_wait()
        self._threads.submit(self._run)

    def give_up(self, job: Job, reason: str) -> None:
        """Cancel an upload. One that is being processed stops after its next frame."""
        with self._changed:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
                self._tell_those_who_wait()
        job.given_up = job.given_up or reason
        if waits:
            self._fail(job, reason)

    def remove(self, job: Job) -> None:
        """Forget an upload that is not being processed, and remove its files."""
        shutil.rmtree(job.folder, ignore_errors=True)
        with self._changed:
            self._jobs.pop(job.key, None)

    def delete(self, job: Job) -> None:
        """Cancel an upload, or remove its results."""
        job.asked.visitor = ""  # it must not be found again
        if job.is_over:
            self.kept.remove(job.key)
            self.remove(job)
        else:
            self.give_up(job, "The upload was removed.")

    def sweep(self) -> None:
        """Remove results that are too old."""
        self.kept.sweep()
        with self._changed:
            over = [key for key, job in self._jobs.items() if job.is_over]
            for key in over:
                if not self.kept.left(key):
                    del self._jobs[key]

    def end(self) -> None:
        """Accept no more uploads, and cancel those that wait."""
        with self._changed:
            self._ending = True
            waiting = list(self._waiting)
        for job in waiting:
            self.give_up(job, _ENDS)

    def give_all_up(self) -> None:
        """Cancel all uploads."""
        self.end()
        with self._changed:
            working = list(self._working)
        for job in working:
            self.give_up(job, "The server has ended.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_all_up()
        self._threads.shutdown()
        self._folder.close()

    def _in_turn(self) -> list[Job]:
        """The waiting uploads in the order in which they are processed: addresses take turns."""
        before = Counter(job.asked.address for job in self._working)
        places = []
        for number, job in enumerate(self._waiting):
            places.append((before[job.asked.address], number, job))
            before[job.asked.address] += 1
        return [job for *_, job in sorted(places, key=lambda place: place[:2])]

    def _tell_those_who_wait(self) -> None:
        for place, job in enumerate(self._in_turn(), len(self._working)):
            job.tell(ahead=0 if place < self.limits.at_once else place)

    def _fail(self, job: Job, reason: str) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)
        if job.asked.visitor:
            self.kept.add(job.key, job.folder, {})
        else:
            self.remove(job)
        job.tell(state="failed", error=reason, shown=None)
        job.latest.end()

    def _run(self) -> None:
        """Process one of the waiting uploads, if there is one, from start to end."""
        with self._changed:
            if not self._waiting:
                return  # it was cancelled
            job = self._in_turn()[0]
            self._waiting.remove(job)
            self._working.append(job)
            self._tell_those_who_wait()
        try:
            self._work(job)
        finally:
            with self._changed:
                self._working.remove(job)
                self._tell_those_who_wait()

    def _work(self, job: Job) -> None:
        try:
            files, problems = self._results_of(job)
            job.file.unlink()
        except GivenUpError:
            self._fail(job, job.given_up)
        except (OpenPoseExtError, UsageError) as error:
            self._fail(job, reason(job.file, error))
        except Exception:
            traceback.print_exc()
            self._fail(job, "Something went wrong in this server; its terminal says what.")
        else:
            self.kept.add(job.key, job.folder, files)
            job.tell(state="done", files=_addresses(job.key, files), problems=problems)
            job.latest.end()

    def _results_of(self, job: Job) -> tuple[Files, tuple[str, ...]]:
        """Process all frames, once there is memory for it."""

        def unwanted() -> bool:
            return bool(job.given_up)

        def show(frames: int, shown: Shown) -> None:
            if job.given_up:
                raise GivenUpError
            job.tell(frames=frames, shown=shown)

        def begin(count: int | None) -> None:
            job.tell(state="working", count=count)

        asked = job.asked
        assert job.header is not None
        best = self.plan_of(job.header, asked)
        task = Task(asked.name, job.file, job.header, job.results, asked.options, asked.plain)
        with (
            self.estimators.lent(asked.options.of_networks, unwanted) as estimator,
            self.budget.reserved(best.bytes, unwanted),
        ):
            return work(task, estimator, best, self.limits, begin, show)


def _addresses(key: str, files: Mapping[str, object]) -> dict[str, str]:
    return {kind: f"api/people/{key}/{kind}" for kind in (*files, "zip")}


def _tidy(name: str) -> str:
    """The last part of a visitor's name for a file, without characters that cannot be printed."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(char for char in name if char.isprintable()).strip(" .")
    return name[-_LONGEST_NAME:] or "upload"
