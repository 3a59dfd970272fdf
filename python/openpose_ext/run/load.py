"""Requests that are due, answered and timed: the load behind `perf`.

Two latencies are told apart. The model's is the engine's own time for a request, from the moment
it takes it to its outputs. The end-to-end one begins when the request was due, whether or not an
engine was free to take it: waiting counts. In an open loop the due times are fixed beforehand, so
an answer that comes late makes every request behind it late as well, and none is left out for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from threading import Lock
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import Backend, Outputs
from openpose_ext.types.arrays import Picture

__all__ = ["Answer", "Keep", "Load", "Times", "Work", "ask", "drive", "summary"]

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """How requests come: `count` of them, or as many as fall due in `seconds`.

    depth  closed loop: so many are outstanding, at least as many as instances take; with every
           answer another is due
    rate   open loop: requests due a second, from `offset` seconds on, however long answers take;
           None is the closed loop
    """

    count: int | None = None
    seconds: float | None = None
    depth: int = 1
    rate: float | None = None
    offset: float = 0.0


class Answer(NamedTuple):
    """When an engine took a request and had its outputs (`perf_counter`), and these, if wanted."""

    taken: float
    answered: float
    outputs: Outputs | None


# What one instance does with a request, by its number.
Work = Callable[[int], Answer]
# Where outputs go, after the clock has stopped for them.
Keep = Callable[[int, Outputs], None]


def ask(backend: Backend, batch: Picture, *, synchronous: bool, wanted: bool) -> Answer:
    """One request to an engine: `run` if synchronous, else `submit`.

    wanted  whether the outputs are copied out of the engine's memory; `run` always does
    """

    def then(outputs: Outputs) -> tuple[float, Outputs | None]:
        answered = perf_counter()
        copies = {name: np.array(output) for name, output in outputs.items()} if wanted else None
        return answered, copies

    taken = perf_counter()
    if synchronous:
        outputs = backend.run(batch)
        return Answer(taken, perf_counter(), outputs)
    return Answer(taken, *backend.submit(batch, then).result())


def drive(
    instances: Sequence[Work], load: Load, keep: Keep | None = None, *, ahead: int = 1
) -> Times:
    """Put a load on instances, each of which takes the next request as soon as it is free.

    ahead  requests that an instance takes at a time, to serve them one after the other; the
           engine's own time for one begins when the one before is answered

    Returns (n, 4) seconds of `perf_counter`, a row a request: when it was due, begun by the engine,
    answered by it, and done. What an instance or `keep` raises ends the load and is raised.
    """
    schedule = _Schedule(load, len(instances) * ahead, perf_counter())
    rows: list[list[tuple[float, float, float, float]]] = [[] for _ in instances]

    def serve(instance: int) -> None:
        while (request := schedule.next()) is not None:
            number, due = request
            early = due - perf_counter()
            if early > 0:
                sleep(early)
            try:
                answer = instances[instance](number)
                done = perf_counter()
                schedule.answered(done)
                rows[instance].append((due, answer.taken, answer.answered, done))
                if keep is not None and answer.outputs is not None:
                    keep(number, answer.outputs)
            except BaseException:
                schedule.stop()
                raise

    with ThreadPoolExecutor(len(instances) * ahead, "openpose_ext-load") as threads:
        try:
            serving = [
                threads.submit(serve, k) for k in range(len(instances)) for _ in range(ahead)
            ]
            for served in serving:
                served.result()
        except BaseException:  # an interruption, too
            schedule.stop()
            raise
    times = [np.array(sorted(of_one, key=itemgetter(2))).reshape(-1, 4) for of_one in rows]
    if ahead > 1:
        for of_one in times:
            of_one[1:, 1] = np.maximum(of_one[1:, 1], of_one[:-1, 2])
    return np.concatenate(times)


class _Schedule:
    """Gives out the requests of a load, with the moment each is due."""

    def __init__(self, load: Load, in_flight: int, start: float) -> None:
        self._load = load
        self._outstanding = max(load.depth, in_flight)
        self._start = start
        self._given = 0
        self._done: list[float] = []
        self._stopped = False
        self._lock = Lock()

    def next(self) -> tuple[int, float] | None:
        """The number and due time of the next request, which may lie ahead; None at the end."""
        load = self._load
        with self._lock:
            number = self._given
            if self._stopped or (load.count is not None and number >= load.count):
                return None
            if load.rate is not None:
                due = self._start + load.offset + number / load.rate
            elif number < self._outstanding:
                due = self._start
            else:
                due = self._done[number - self._outstanding]
            if load.seconds is not None and due >= self._start + load.seconds:
                return None
            self._given += 1
            return number, due

    def answered(self, when: float) -> None:
        with self._lock:
            self._done.append(when)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True


def summary(seconds: Times, percentiles: Sequence[float]) -> dict[str, int]:
    """avg, min, max and percentiles (p50, ...) in whole microseconds; empty for no requests.

    Percentiles lie between neighbours linearly.
    """
    if not len(seconds):
        return {}
    values = {"avg": seconds.mean(), "min": seconds.min(), "max": seconds.max()}
    found = np.percentile(seconds, percentiles)
    values.update((f"p{p:g}", value) for p, value in zip(percentiles, found, strict=True))
    return {name: round(1e6 * float(value)) for name, value in values.items()}
