"""Runs instances of a network in separate processes that start together, for `perf`.

A process opens its instances, warms them up and reports; when all have reported, they start.
Whatever happens to a process or to the command, no process is left behind: a process ends when its
connection to the command is closed, which the death of the command does, too. No signal ends it,
because one that comes just when a thread begins to wait is noticed only after the wait.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any

import cv2
import numpy as np

from openpose_ext.backends.protocol import Backend, BackendInfo, Outputs
from openpose_ext.errors import BackendError, OpenPoseExtError
from openpose_ext.io.vamp_files import output_file, read_input, write_outputs
from openpose_ext.models.engines import open_network
from openpose_ext.models.manifest import Manifest, read_manifest
from openpose_ext.run.load import Answer, Load, Times, ask, drive
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.arrays import Picture, Size

__all__ = ["Files", "Opened", "Result", "Task", "measure"]


# Seconds that a process may take to end before it is killed: more than a card's stream may take.
_PATIENCE = 12.0


@dataclass(frozen=True)
class Files:
    """The inputs of a datalist, and the place of the outputs.

    inputs         each with its index in the datalist
    output         folder for the outputs, or None
    cache_inputs   whether all are read before the measurement
    cache_outputs  whether all are written after it
    """

    inputs: tuple[tuple[int, Path], ...]
    output: Path | None = None
    cache_inputs: bool = False
    cache_outputs: bool = False


@dataclass(frozen=True)
class Task:
    """The work of one process.

    model        the network's file, or the prefix of a compiled one
    engines      further arguments of `open_network` for each engine; `streams` counts its instances
    ahead        requests that an instance takes at a time
    size         (width, height) of the inputs, or None for the network's own
    batch        pictures per request
    load         the load on this process
    synchronous  whether engines are called by `run` instead of `submit`
    warm_up      requests to each instance before the measurement
    files        inputs, or None for noise
    """

    model: Path
    engines: tuple[dict[str, Any], ...]
    ahead: int
    size: Size | None
    batch: int
    load: Load
    synchronous: bool = False
    warm_up: int = 0
    files: Files | None = None


@dataclass(frozen=True)
class Opened:
    """The report of a process that is ready.

    pid      its id
    info     of the engine
    size     (width, height) of the inputs
    outputs  the shapes of the outputs for one picture, without the batch, in the network's order
    """

    pid: int
    info: BackendInfo
    size: Size
    outputs: dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Result:
    """The measurement of a process.

    times    (n, 4), one row per request; see `load.drive`
    samples  number of pictures
    """

    opened: Opened
    times: Times
    samples: int


def measure(
    tasks: Sequence[Task], begun: Callable[[Sequence[Opened]], None] = lambda _: None
) -> list[Result]:
    """Run each task in its own process, all at the same time. Call it from the main thread.

    begun  called with the processes when all have started; an exception ends them

    Raises the error of a process (ModelError, BackendError, SourceError, OutputError, ValueError
    for inputs that do not fit the network), and BackendError if a process ends too early.
    """
    workers: list[_Worker] = []
    try:
        for task in tasks:
            workers.append(_Worker(task))
        opened = _answers(workers)
        for worker in workers:
            worker.begin()
        begun(opened)
        times = _answers(workers)
    finally:
        for worker in workers:
            worker.connection.close()
        for worker in workers:
            worker.end()
    return [
        Result(one, measured, _samples(task, len(measured)))
        for task, one, measured in zip(tasks, opened, times, strict=True)
    ]


def _samples(task: Task, requests: int) -> int:
    """The number of pictures in these requests; the last batch of a datalist may be smaller."""
    return requests * task.batch if task.files is None else len(task.files.inputs)


class _Worker:
    """A process and the connection to it."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(task, theirs), daemon=True)
        # Ctrl-C reaches the processes, too, but only the command handles it: they inherit this.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, previous)
            theirs.close()

    def begin(self) -> None:
        with suppress(OSError):  # it is dead; waiting for its answer gives the error
            self.connection.send("begin")

    def end(self) -> None:
        """Wait until it has ended; its connection is closed."""
        self.process.join(_PATIENCE)
        self.process.kill()
        self.process.join()

    @property
    def last_words(self) -> str:
        """The reason why it sends no more messages."""
        self.process.join(_PATIENCE)
        code = self.process.exitcode
        how = f"ended with code {code}"
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        return f"process {self.process.pid} {how} before its measurement was done"


def _answers(workers: Sequence[_Worker]) -> list[Any]:
    """The next message of each process, in order; raises the first error among them."""
    answers: dict[_Worker, Any] = {}
    pending: dict[Any, _Worker] = {worker.connection: worker for worker in workers}
    while pending:
        for connection in wait([*pending]):
            worker = pending.pop(connection)
            try:
                answer = worker.connection.recv()
            except (EOFError, OSError):
                raise BackendError(worker.last_words) from None
            if isinstance(answer, Exception):
                raise answer
            answers[worker] = answer
    return [answers[worker] for worker in workers]


# In the process ----------------------------------------------------------------------------------


def _work(task: Task, connection: Connection) -> None:
    # A SIGTERM to all processes reaches the command, too, which lets this one close everything.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun, ended = Event(), Event()
    Thread(target=_listen, args=(connection, begun, ended), daemon=True).start()

    def say(message: object) -> None:
        with suppress(OSError):  # nobody listens any more
            connection.send(message)

    try:
        first = task.engines[0]
        manifest = read_manifest(task.model, backend=first["backend"], device=first["device"])
        with ExitStack() as opened:
            backends: list[Backend] = []
            for engine in task.engines:
                if ended.is_set():
                    return
                backend = open_network(task.model, input_format=manifest.input, **engine)
                backends.append(opened.enter_context(backend))
            info = backends[0].info
            size = _input_size(task, manifest, info)
            inputs = None if task.files is None else _Inputs(task.files, task.batch, size)
            batch_of = _noise(task.batch, size) if inputs is None else inputs.batch
            keep = inputs.keep if inputs is not None and inputs.wanted else None

            def work(backend: Backend, number: int) -> Answer:
                batch = batch_of(number)
                return ask(backend, batch, synchronous=task.synchronous, wanted=keep is not None)

            instances = [
                partial(work, backend)
                for backend, engine in zip(backends, task.engines, strict=True)
                for _ in range(engine["streams"])
            ]
            shapes = _shapes(
                ask(backends[0], batch_of(0), synchronous=task.synchronous, wanted=True)
            )
            warm_up = Load(count=task.warm_up * len(instances))
            drive(instances, warm_up, ahead=task.ahead, ended=ended)
            say(Opened(os.getpid(), info, size, shapes))
            begun.wait()
            times = drive(instances, task.load, keep, ahead=task.ahead, ended=ended)
            if ended.is_set():
                return
            if inputs is not None:
                inputs.finish()
            say(times)
    except (OpenPoseExtError, ValueError) as error:
        say(error)


def _listen(connection: Connection, begun: Event, ended: Event) -> None:
    """Hear the command, which says once to begin and then closes the connection."""
    with suppress(EOFError, OSError):
        connection.recv()
        begun.set()
        connection.recv()
    ended.set()
    begun.set()
    sleep(_PATIENCE)
    os._exit(1)


def _shapes(answer: Answer) -> dict[str, tuple[int, ...]]:
    assert answer.outputs is not None
    return {name: output.shape[1:] for name, output in answer.outputs.items()}


def _input_size(task: Task, manifest: Manifest, info: BackendInfo) -> Size:
    """(width, height) of the inputs. Raises ValueError if the network does not take this size."""
    if info.fixed_size is not None:
        if task.size not in (None, info.fixed_size):
            width, height = info.fixed_size
            raise ValueError(
                f"{info.model.name} takes pictures of {width} x {height} only, not of "
                f"{task.size[0]} x {task.size[1]}: give -s [3,{height},{width}]"
            )
        return info.fixed_size
    if task.size is None:
        if task.files is not None:
            raise ValueError(
                f"{info.model.name} takes pictures of any size: say which, as in -s [3,184,184]"
            )
        side = manifest.crop or HEIGHT
        return side, side
    if any(side % manifest.stride for side in task.size):
        raise ValueError(
            f"sides of the input must be multiples of the stride {manifest.stride}, not {task.size}"
        )
    return task.size


def _noise(count: int, size: Size) -> Callable[[int], Picture]:
    """Random pictures, the same for every request."""
    width, height = size
    pictures = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return lambda number: pictures


class _Inputs:
    """The pictures of a datalist in batches, and the outputs for them.

    Pictures of another size are stretched to the network's, as the card does.

    wanted  whether the outputs are used
    """

    def __init__(self, files: Files, batch: int, size: Size) -> None:
        self._requests = [
            files.inputs[first : first + batch] for first in range(0, len(files.inputs), batch)
        ]
        self._files = files
        self._size = size
        self._read: list[Picture] = []
        self._found: dict[int, Outputs] = {}
        self.wanted = files.output is not None
        if files.cache_inputs:
            self._read = [self._stacked(number) for number in range(len(self._requests))]

    def batch(self, number: int) -> Picture:
        """The pictures of a request, (N, H, W, 3) uint8 BGR; starts again after the last one."""
        number %= len(self._requests)
        return self._read[number] if self._read else self._stacked(number)

    def keep(self, number: int, outputs: Outputs) -> None:
        if self._files.cache_outputs:
            self._found[number] = outputs
        else:
            self._write(number, outputs)

    def finish(self) -> None:
        for number, outputs in self._found.items():
            self._write(number, outputs)

    def _stacked(self, number: int) -> Picture:
        pictures = []
        for _, path in self._requests[number]:
            picture = read_input(path)
            if picture.shape[1::-1] != self._size:
                squashed = cv2.resize(picture, self._size, interpolation=cv2.INTER_LINEAR)
                picture = np.asarray(squashed, np.uint8)
            pictures.append(picture)
        return np.stack(pictures)

    def _write(self, number: int, outputs: Outputs) -> None:
        assert self._files.output is not None
        for k, (index, _) in enumerate(self._requests[number]):
            of_picture = [output[k : k + 1] for output in outputs.values()]
            write_outputs(output_file(self._files.output, index), of_picture)
