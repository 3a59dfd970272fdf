"""Issues requests to engines and times them: the load behind `perf`.

Two latencies are measured. The model latency is the engine's own time for a request, from its start
to its outputs. The end-to-end latency starts when the request is due, even if no engine is free, so
it includes waiting. In an open loop the due times are fixed in advance, so a late answer delays all
following requests, and none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from threading import Event, Lock
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import Backend, Outputs
from openpose_ext.types.arrays import Picture

__all__ = ["Answer", "Keep", "Load", "Times", "Work", "ask", "drive", "summary"]

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """The schedule of requests: `count` requests, or all that are due within `seconds`.

    depth  closed loop: the number of outstanding requests, at least as many as the instances take;
           each answer makes another request due
    rate   open loop: requests per second, starting at `offset` seconds, regardless of the answers;
           None is the closed loop
    """

    count: int | None = None
    seconds: float | None = None
    depth: int = 1
    rate: float | None = None
    offset: float = 0.0


class Answer(NamedTuple):
    """The times (`perf_counter`) when an engine took a request and had its outputs, and the
    outputs."""

    taken: float
    answered: float
    outputs: Outputs | None


# How one instance serves a request, given by its number.
Work = Callable[[int], Answer]
# Receives the outputs, after their time was taken.
Keep = Callable[[int, Outputs], None]


def ask(backend: Backend, batch: Picture, *, synchronous: bool, wanted: bool) -> Answer:
    """Send one request to an engine, by `run` if synchronous, else by `submit`.

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
    instances: Sequence[Work],
    load: Load,
    keep: Keep | None = None,
    *,
    ahead: int = 1,
    ended: Event | None = None,
) -> Times:
    """Put a load on instances; each takes the next request as soon as it is free.

    ahead  requests that an instance takes at a time and serves one after the other; the engine's
           own time for one starts when the previous one is answered
    ended  set by others to end the load early, when the requests in flight are answered; set here
           if the load fails

    Returns (n, 4) seconds of `perf_counter`, one row per request: due, started by the engine,
    answered by it, and done. An exception of an instance or of `keep` ends the load and is raised.
    """
    ended = Event() if ended is None else ended
    schedule = _Schedule(load, len(instances) * ahead, perf_counter())
    rows: list[list[tuple[float, float, float, float]]] = [[] for _ in instances]

    def serve(instance: int) -> None:
        while not ended.is_set() and (request := schedule.next()) is not None:
            number, due = request
            early = due - perf_counter()
            if early > 0 and ended.wait(early):
                return
            try:
                answer = instances[instance](number)
                done = perf_counter()
                schedule.answered(done)
                rows[instance].append((due, answer.taken, answer.answered, done))
                if keep is not None and answer.outputs is not None:
                    keep(number, answer.outputs)
            except BaseException:
                ended.set()
                raise

    with ThreadPoolExecutor(len(instances) * ahead, "openpose_ext-load") as threads:
        try:
            serving = [
                threads.submit(serve, k) for k in range(len(instances)) for _ in range(ahead)
            ]
            for served in serving:
                served.result()
        except BaseException:  # an interruption, too
            ended.set()
            raise
    times = [np.array(sorted(of_one, key=itemgetter(2))).reshape(-1, 4) for of_one in rows]
    if ahead > 1:
        for of_one in times:
            of_one[1:, 1] = np.maximum(of_one[1:, 1], of_one[:-1, 2])
    return np.concatenate(times)


class _Schedule:
    """Hands out the requests of a load with their due times."""

    def __init__(self, load: Load, in_flight: int, start: float) -> None:
        self._load = load
        self._outstanding = max(load.depth, in_flight)
        self._start = start
        self._given = 0
        self._done: list[float] = []
        self._lock = Lock()

    def next(self) -> tuple[int, float] | None:
        """The number and due time of the next request, which may be in the future; None at the
        end."""
        load = self._load
        with self._lock:
            number = self._given
            if load.count is not None and number >= load.count:
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


def summary(seconds: Times, percentiles: Sequence[float]) -> dict[str, int]:
    """avg, min, max and percentiles (p50, ...) in whole microseconds; empty for no requests.

    Percentiles are interpolated linearly.
    """
    if not len(seconds):
        return {}
    values = {"avg": seconds.mean(), "min": seconds.min(), "max": seconds.max()}
    found = np.percentile(seconds, percentiles)
    values.update((f"p{p:g}", value) for p, value in zip(percentiles, found, strict=True))
    return {name: round(1e6 * float(value)) for name, value in values.items()}
