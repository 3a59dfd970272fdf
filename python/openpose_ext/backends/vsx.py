"""Vastai's cards, through their runtime `vaststreamx`: networks that `vamc` has compiled.

A network consists of a prefix (`mod` of `mod.so`, `mod.json`, `mod.params`) and a JSON file with
the card's preprocessing; see `vdsp`. The runtime returns outputs in some order and without names.
They are named after their channels ("38", "19"), never after their position.

The runtime has no public reference, so this code follows the vendor's example programs. For
questions that no example answers, it chooses the safe way, each in one place:

- `_select`: the device is a setting of the thread, so every thread selects it first.
- `_balance_mode`: the two modes of a stream are not documented.
- `_Lane.ask`: an image may or may not copy its array.
- `_Lane._images`: the effect of an incomplete batch is unknown.
- `_Lane.begin`: a stream is used either synchronously or asynchronously for its whole life, always
by the same thread.
"""

from __future__ import annotations

import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Lock, Semaphore, Thread
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import vaststreamx

from openpose_ext.backends.pooled import PooledBackend
from openpose_ext.backends.protocol import Backend, BackendInfo, Graph, InputFormat, Outputs, reason
from openpose_ext.backends.vdsp import beside, check_vdsp_params
from openpose_ext.errors import BackendError

__all__ = ["describe", "open_engine"]

T = TypeVar("T")
Shape = tuple[int | None, ...]
Batch = npt.NDArray[np.uint8]
Answer = list[npt.NDArray[np.generic]]  # the outputs of one picture, in the runtime's order

# Seconds after which a result counts as lost. The slowest network on the vendor's pages takes 0.1.
TIMEOUT = 60.0
# Seconds that a stream may take to end.
_GRACE = 10.0
# Runs in flight on an asynchronous stream: one runs, the next is ready.
_IN_FLIGHT = 2


def open_engine(
    file: Path,
    *,
    input_format: InputFormat,
    device: str,
    precision: str,
    threads: int | None,
    streams: int,
    vdsp_params: Path | None,
    batch: int,
    instances: int,
    hw_config: str | None,
) -> Backend:
    """Open a prefix; see `backends.engines.open_backend`.

    `threads` and `streams` have no effect: the card computes, and as many requests are in flight as
    keep it busy.
    """
    if precision not in ("auto", "f16"):
        raise BackendError(
            f"vsx computes as {file.name} was compiled, not in {precision}; use precision='auto'"
        )
    params = vdsp_params or beside(file)
    if vdsp_params is None and not params.is_file():
        raise BackendError(
            f"the card's preprocessing of {file} is not given, and there is no {params}: name the "
            "JSON file of its parameters"
        )
    dies = _dies(device)
    lanes: list[_Lane] = []
    try:
        for _ in range(instances):
            for die in dies:  # neighbours in the list are on different dies
                lanes.append(_Lane(file, params, die, batch, input_format, instances, hw_config))
        return _VsxBackend(lanes, file, device=",".join(map(str, dies)))
    except BaseException:
        for lane in lanes:
            lane.close()
        raise


def describe(file: Path, *, device: str) -> Graph:
    """Inputs and outputs of the compiled network; see `backends.engines.describe`."""
    die = _dies(device)[0]
    _select(die)
    with _refusals(f"vsx cannot load {file} on die {die}"):
        model = vaststreamx.Model(str(file), 1)
        size, outputs = _shapes(file, model)
    return Graph((1, 3, *size[::-1]), outputs, normalises=False, checked=True)


class _VsxBackend(PooledBackend["_Lane"]):
    """Uses the streams of all dies in turn.

    Pictures that wait at the same time share a run of the network, even from different callers. The
    first call decides how the streams are used: synchronously after `run`, asynchronously and ahead
    of time after `submit`, so that the card never waits. Both calls work in either mode.
    """

    def __init__(self, lanes: Sequence[_Lane], prefix: Path, device: str) -> None:
        self._lanes = lanes
        self._begin = Lock()
        self._begun = False
        # Enough to prepare a run while the previous ones are in the stream.
        places = [*lanes] * ((_IN_FLIGHT + 1) * lanes[0].batch)
        self._room = _Room(len(places))
        info = BackendInfo(
            engine="vsx",
            version=_version(),
            model=prefix,
            device=device,
            precision="f16",
            fixed_size=lanes[0].size,
            streams=len(places),
            threads=None,
            outputs=lanes[0].outputs,
        )
        super().__init__(places, info)

    def run(self, batch: Batch) -> Outputs:
        batch = self._checked(batch)
        self._started(asynchronous=False)
        self._room.take(len(batch))
        try:
            return super().run(batch)
        finally:
            self._room.give(len(batch))

    def submit(self, batch: Batch, then: Callable[[Outputs], T]) -> Future[T]:
        batch = self._checked(batch)
        self._started(asynchronous=True)
        self._room.take(len(batch))
        try:
            future = super().submit(batch, then)
        except BaseException:
            self._room.give(len(batch))
            raise
        future.add_done_callback(lambda _: self._room.give(len(batch)))
        return future

    def close(self) -> None:
        super().close()
        with self._begin:  # a thread that is about to begin has begun, or sees that it is too late
            for lane in self._lanes:
                lane.close()

    def _started(self, *, asynchronous: bool) -> None:
        with self._begin:
            if not self._begun and not self._closed:
                for lane in self._lanes:
                    lane.begin(asynchronous=asynchronous)
                self._begun = True

    def _infer(self, request: _Lane, batch: Batch) -> Outputs:
        collected: dict[str, list[npt.NDArray[np.generic]]] = {n: [] for n in self.info.outputs}
        for answer in [request.wait(asked) for asked in request.ask(batch)]:
            by_channels = {str(maps.shape[-3]): maps for maps in answer if maps.ndim >= 3}
            if by_channels.keys() != collected.keys() or len(answer) != len(collected):
                shapes = ", ".join(str(maps.shape) for maps in answer)
                raise BackendError(
                    f"{self.info.model} gives {shapes}; maps of "
                    f"{' and '.join(collected)} channels were expected"
                )
            for name, maps in by_channels.items():
                collected[name].append(maps.reshape(maps.shape[-3:]))
        return {name: np.stack(maps, dtype=np.float32) for name, maps in collected.items()}


class _Room:
    """Limits the pictures in flight. A batch larger than the limit takes all of it."""

    def __init__(self, pictures: int) -> None:
        self._all = self._free = pictures
        self._changed = Condition()

    def take(self, pictures: int) -> None:
        wanted = min(pictures, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted

    def give(self, pictures: int) -> None:
        with self._changed:
            self._free += min(pictures, self._all)
            self._changed.notify_all()


@dataclass(frozen=True, eq=False)
class _Asked:
    """A picture whose result is awaited.

    image   the runtime's object for `planes`; both are kept until the result has come
    """

    image: Any
    planes: Batch
    answer: Future[Answer] = field(default_factory=Future)


class _Lane:
    """A network on a die, with its stream and the threads that feed it and read its results.

    Raises BackendError if the device, the network or its preprocessing is refused.
    """

    def __init__(
        self,
        prefix: Path,
        params: Path,
        die: int,
        batch: int,
        input_format: InputFormat,
        instances: int,
        hw_config: str | None,
    ) -> None:
        self.name, self.die, self.batch = prefix.name, die, batch
        _select(die)
        with _refusals(f"vsx cannot open {prefix} with {params} on die {die}"):
            model = vaststreamx.Model(str(prefix), batch, *([hw_config] if hw_config else []))
            if batch > model.max_batch_size:
                raise BackendError(
                    f"{prefix} takes at most {model.max_batch_size} pictures per run, not {batch}"
                )
            self.size, self.outputs = _shapes(prefix, model)
            if input_format.size not in (None, self.size):
                raise BackendError(
                    f"{prefix} takes {self.size[0]} x {self.size[1]} pixels, but its manifest says "
                    f"{input_format.size}"
                )
            check_vdsp_params(params, replace(input_format, size=self.size))
            operations = vaststreamx.Operator.load_ops_from_json_file(str(params))
            self._output = vaststreamx.ModelOperator(model)
            graph = vaststreamx.Graph()
            graph.add_operators(*operations, self._output)
            self._stream = vaststreamx.Stream(graph, _balance_mode(instances))
            self._stream.register_operator_output(self._output)
            self._stream.build()
        self._threads: list[Thread] = []
        self._failure: BackendError | None = None
        self._changed = Condition()  # guards the following two
        self._asked: deque[_Asked] = deque()
        self._ended = False
        self._places = Semaphore(_IN_FLIGHT)
        self._fed: SimpleQueue[tuple[list[_Asked], list[Any]] | None] = SimpleQueue()

    def begin(self, *, asynchronous: bool) -> None:
        """Choose how the stream is used; called once, before its first use."""
        works = [self._feed, self._read] if asynchronous else [self._serve]
        # Daemon threads, so that a driver that never answers does not keep the process alive.
        self._threads = [
            Thread(
                target=self._threaded, args=[work], name=f"openpose_ext-vsx-{self.die}", daemon=True
            )
            for work in works
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, pictures: Batch) -> list[_Asked]:
        """Queue any number of pictures (n, H, W, 3) uint8 BGR."""
        _select(self.die)
        with _refusals(f"vsx takes no picture for {self.name} on die {self.die}"):
            asked = []
            for picture in pictures:
                # Contiguous and kept, because an image may read its array later, ignoring its
                # strides.
                planes = np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1))
                asked.append(_Asked(self._image(planes), planes))
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._asked += asked
            self._changed.notify_all()
        return asked

    def wait(self, asked: _Asked) -> Answer:
        """The result for a picture. Raises BackendError if it does not arrive in time."""
        try:
            return asked.answer.result(TIMEOUT)
        except TimeoutError:
            self._failure = BackendError(
                f"{self.name} gave no answer on die {self.die} within {TIMEOUT:g} s; the card "
                "hangs or is used by others"
            )
            raise self._failure from None

    def close(self) -> None:
        """End the stream and its threads. No request may be in flight, unless the stream failed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._failure is not None:
            # Releases those who wait for the stream. If even this fails, the reason is known
            # already.
            with suppress(Exception):
                _select(self.die)
                self._stream.close_input()
        for thread in self._threads:
            thread.join(_GRACE)

    def _image(self, planes: Batch) -> Any:
        rgb_planar = vaststreamx.ImageFormat.RGB_PLANAR
        return vaststreamx.create_image(planes, rgb_planar, *self.size, self.die)

    def _next(self) -> list[_Asked]:
        """Wait for the pictures of a run; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._ended)
            return [self._asked.popleft() for _ in range(min(self.batch, len(self._asked)))]

    def _images(self, asked: Sequence[_Asked]) -> list[Any]:
        """A full batch, because the effect of an incomplete one is unknown."""
        missing = self.batch - len(asked)
        fillers = [self._image(asked[-1].planes) for _ in range(missing)]
        return [one.image for one in asked] + fillers

    def _threaded(self, work: Callable[[], None]) -> None:
        try:
            _select(self.die)
        except BackendError as error:
            self._fail([], error)
        work()  # which, after a failure, turns everybody away

    def _serve(self) -> None:
        """The only thread of a synchronous stream."""
        while asked := self._next():
            self._answer(asked, partial(self._run_sync, asked))

    def _feed(self) -> None:
        """One of the two threads of an asynchronous stream."""
        while self._places.acquire() and (asked := self._next()):
            try:
                if self._failure is not None:
                    raise self._failure
                images = self._images(asked)
                self._stream.run_async(images)
            except BaseException as error:  # whatever ends this thread, somebody waits
                self._fail(asked, error)
                self._places.release()
            else:
                self._fed.put((asked, images))
        if self._failure is None:
            with suppress(Exception):  # nothing is on its way, so nobody is to be told
                self._stream.close_input()
        self._fed.put(None)

    def _read(self) -> None:
        """The other thread. Results arrive in the order of the inputs."""
        while (run := self._fed.get()) is not None:
            self._answer(run[0], self._result)
            self._places.release()
        if self._failure is None:
            with suppress(Exception):  # as above
                with suppress(BackendError):
                    while True:
                        self._result()
                self._stream.wait_until_done()

    def _run_sync(self, asked: Sequence[_Asked]) -> Any:
        return self._stream.run_sync(self._images(asked))

    def _result(self) -> Any:
        try:
            return self._stream.get_operator_output(self._output)
        except ValueError as error:  # so the runtime says that the input is closed
            raise BackendError("the stream has ended") from error

    def _answer(self, asked: Sequence[_Asked], results: Callable[[], Any]) -> None:
        """Pass a run's results, or its error, to those who wait."""
        try:
            if self._failure is not None:
                raise self._failure
            found = results()
            if len(found) != self.batch:
                raise BackendError(f"{len(found)} results for {self.batch} pictures")
            # The results of images that only fill up the run come last and are dropped.
            answers = [[vaststreamx.as_numpy(t) for t in one] for one in found[: len(asked)]]
        except BaseException as error:  # whatever ends this thread, somebody waits
            self._fail(asked, error)
        else:
            for one, answer in zip(asked, answers, strict=True):
                one.answer.set_result(answer)

    def _fail(self, asked: Sequence[_Asked], error: BaseException) -> None:
        if self._failure is None:
            self._failure = BackendError(
                f"vsx failed on {self.name} on die {self.die}: "
                f"{reason(error) or type(error).__name__}"
            )
            self._failure.__cause__ = error
        for one in asked:
            one.answer.set_exception(self._failure)


def _select(die: int) -> None:
    """Select a die as the calling thread's device. Raises BackendError if that fails."""
    code = vaststreamx.set_device(die)
    if code != 0:
        raise BackendError(
            f"vsx cannot use die {die}: set_device returned {code}; is it there and free? "
            "VACC_VISIBLE_DEVICES may hide it"
        )


def _balance_mode(instances: int) -> Any:
    """ONCE, as in the vendor's scripts with one stream, or RUN, as in its profilers with
    several."""
    modes = vaststreamx.StreamBalanceMode
    return modes.ONCE if instances == 1 else modes.RUN


def _dies(device: str) -> list[int]:
    """The die numbers in "0" or "0,1"; the default "cpu" means the first die."""
    if device.lower() == "cpu":
        return [0]
    numbers = device.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise BackendError(f"vsx has no device {device!r}; dies are numbers, such as 0 or 0,1")
    dies = list(map(int, numbers))
    if len({*dies}) < len(dies):
        raise BackendError(f"a die is named twice in {device!r}")
    return dies


def _shapes(prefix: Path, model: Any) -> tuple[tuple[int, int], dict[str, Shape]]:
    """(width, height) of the input, and the shape of each output by its channels."""
    inputs: list[tuple[int, ...]] = [tuple(shape) for shape in model.input_shape]
    outputs: list[tuple[int, ...]] = [tuple(shape) for shape in model.output_shape]
    if len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][1] != 3:
        raise BackendError(f"{prefix} takes {inputs}, not one picture as NCHW")
    height, width = inputs[0][2:]
    if height % 2 or width % 2:
        raise BackendError(f"{prefix} takes {width} x {height} pixels; the card needs even sizes")
    named: dict[str, Shape] = {
        str(shape[1]): (None, *shape[1:]) for shape in outputs if len(shape) == 4
    }
    if len(named) < len(outputs):
        raise BackendError(
            f"{prefix} gives {', '.join(map(str, outputs))}; outputs have no names on the card, so "
            "each must be maps (1, C, h, w) with a number of channels of its own"
        )
    return (width, height), named


def _version() -> str:
    try:
        return importlib.metadata.version("vaststreamx")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turn the runtime's errors, which have no common base class, into BackendError."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(f"{what}: {reason(error)}") from error
