"""Graphs, and the streams that run them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._devices import die_of_thread, faults, log
from ._enums import GraphOutputType, StreamBalanceMode, TypeFlag
from ._images import Image, Tensor
from ._model import ModelOperator
from ._operators import Operator
from ._strictness import refused

_END = object()
_QUEUE = 20  # batches that wait for the device before run_async blocks
_PARAMS = ("rgb_letterbox_ext", "crop_resize_ext", "dynamic_model_input_shapes")

_batches = 0
_counting = threading.Lock()


def batches() -> int:
    """How many were computed so far, by all streams. Not part of the runtime."""
    return _batches


class Graph:
    def __init__(
        self, output_type: GraphOutputType | bool | None = None, *, do_copy: bool | None = None
    ) -> None:
        if not isinstance(output_type, (GraphOutputType, bool, type(None))):
            raise TypeError("Graph: a GraphOutputType or a bool is needed")
        self.operation: Operator | None = None
        self.model: ModelOperator | None = None
        log.append("Graph")

    def add_operators(self, *operators: Any) -> None:
        if self.model is not None:
            raise RuntimeError("add_operators: there are operators already")
        if not operators or not isinstance(operators[-1], ModelOperator):
            raise TypeError("add_operators: the model comes last")
        before, model = operators[:-1], operators[-1]
        if len(before) > 1 or not all(isinstance(one, Operator) for one in before):
            raise TypeError("add_operators: one operation and then the model, in this order")
        if before and before[0].takes_images and not model.model.dynamic:
            wanted, taken = before[0].size, model.model.input_shape[0][1:]
            if wanted != taken:
                raise RuntimeError(f"add_operators: {wanted} does not fit {taken}")
        self.operation = before[0] if before else None
        self.model = model
        log.append("add_operators")


@dataclass(eq=False)
class Stream:
    graph: Graph
    mode: StreamBalanceMode
    _state: str = field(default="new", init=False)

    def __post_init__(self) -> None:
        self._die = die_of_thread("Stream")
        if not isinstance(self.graph, Graph) or self.graph.model is None:
            raise TypeError("Stream: a graph with operators is needed")
        if not isinstance(self.mode, StreamBalanceMode):
            raise TypeError("Stream: a StreamBalanceMode is needed")
        self._operation, self._output = self.graph.operation, self.graph.model
        self._model = self._output.model
        if self._model._die != self._die:
            raise RuntimeError("Stream: the model is on another device")
        self._way = ""  # how it is used: sync or async
        self._inside = threading.Lock()
        self._closed = threading.Event()
        self._inputs: queue.Queue[Any] = queue.Queue(_QUEUE)
        # By what is asked for: an operator or a name; which operator it is.
        self._results: dict[Any, tuple[Any, queue.Queue[Any]]] = {}
        self._worker: threading.Thread | None = None
        log.append("Stream")

    def register_operator_output(self, *words: Any) -> None:
        """(model_op), (name, model_op), or (name, operation, [[shape, TypeFlag], ...])."""
        what = "register_operator_output"
        die_of_thread(what)
        if self._state != "new":
            raise RuntimeError(f"{what}: too late, the stream is built")
        if not 1 <= len(words) <= 3 or (len(words) > 1 and not isinstance(words[0], str)):
            raise TypeError(f"{what}: an operator, or a name and an operator, is needed")
        operator = words[0] if len(words) == 1 else words[1]
        if operator is not self._output and (operator is None or operator is not self._operation):
            raise RuntimeError(f"{what}: this operator is not in the graph")
        if (operator is self._operation) != (len(words) == 3):
            raise TypeError(f"{what}: of an operation before the model shapes and types are given")
        if len(words) == 3:
            for shape, flag in words[2]:
                TypeFlag(flag)
                if len(shape) != 3:
                    raise ValueError(f"{what}: (channels, height, width) is needed, not {shape}")
        self._results[words[0]] = operator, queue.Queue()
        log.append("register_operator_output")

    def build(self) -> None:
        die_of_thread("build")
        if self._state != "new" and refused("one build"):
            raise RuntimeError("build: built already")
        if not self._results:
            raise RuntimeError("build: no output is registered")
        self._state = "built"
        log.append("build")

    def run_sync(self, inputs: Sequence[Any], params: Mapping[str, Any] | None = None) -> Any:
        with self._one_thread("run_sync"):
            self._check("sync", inputs, params)
            found = self._computed(inputs, params or {})
        if isinstance(found, BaseException):
            raise found
        if found is _END:
            raise RuntimeError("run_sync: aborted")
        return found[self._output]

    def run_async(self, inputs: Sequence[Any], params: Mapping[str, Any] | None = None) -> None:
        with self._one_thread("run_async"):
            self._check("async", inputs, params)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="vaststreamx", daemon=True)
                self._worker.start()
            self._inputs.put((list(inputs), params or {}))

    def get_operator_output(self, name_or_op: Any) -> list[list[Tensor]]:
        what = "get_operator_output"
        if self._state == "new":
            raise RuntimeError(f"{what}: the stream is not built")
        if name_or_op not in self._results:
            raise RuntimeError(f"{what}: this operator is not registered")
        if faults.reader is not None:
            raise faults.reader
        results = self._results[name_or_op][1]
        found = results.get()
        if found is _END:
            results.put(_END)
            raise ValueError("end of stream")
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]

    def close_input(self) -> None:
        die_of_thread("close_input")
        if self._state == "new":
            raise RuntimeError("close_input: the stream is not built")
        if self._closed.is_set():
            if refused("one close"):
                raise RuntimeError("close_input: closed already")
            return
        self._closed.set()
        if self._worker is None:
            self._give(_END)
        else:
            self._inputs.put(_END)
        log.append("close_input")

    def wait_until_done(self) -> None:
        if not self._closed.is_set() and refused("one close"):
            raise RuntimeError("wait_until_done: the input is open")
        if self._worker is not None:
            self._worker.join()
        if self._model._ended is not None:
            with self._model._ended.open("a") as stream:
                stream.write("done\n")
        log.append("wait_until_done")

    @contextmanager
    def _one_thread(self, what: str) -> Iterator[None]:
        if refused("one thread a stream") and self._inside.locked():
            raise RuntimeError(f"{what}: another thread is in this stream")
        with self._inside:
            yield

    def _check(self, way: str, inputs: Sequence[Any], params: Mapping[str, Any] | None) -> None:
        what = f"run_{way}"
        if die_of_thread(what) != self._die and refused("the thread's device"):
            raise RuntimeError(f"{what}: the stream is on device {self._die}")
        if self._state != "built":
            raise RuntimeError(f"{what}: the stream is not built")
        if self._closed.is_set():
            raise RuntimeError(f"{what}: the input is closed")
        if self._way not in ("", way) and refused("one way a stream"):
            raise RuntimeError(f"{what}: this stream is used the other way")
        self._way = way
        if not isinstance(inputs, list) or not all(map(self._takes, inputs)):
            kind = "images" if self._takes_images else f"{self._model.input_count} tensors each"
            raise TypeError(f"{what}: a list of {kind} is needed")
        batch = self._model.batch_size
        if not 1 <= len(inputs) <= batch or (len(inputs) < batch and refused("full batches")):
            raise ValueError(f"{what}: {len(inputs)} inputs, {batch} are a batch")
        images = [one for one in inputs if isinstance(one, Image)]
        if any(image._die != self._die for image in images):
            raise RuntimeError(f"{what}: an image is on another device")
        for image in images:
            assert self._operation is not None
            self._operation.check(image, params or {}, what)
        if self._model.dynamic and "dynamic_model_input_shapes" not in (params or {}):
            raise ValueError(f"{what}: a dynamic network needs dynamic_model_input_shapes")
        for key, values in (params or {}).items():
            if key not in _PARAMS:
                raise ValueError(f"{what}: no program gives the parameter {key}")
            if len(values) != len(inputs):
                raise ValueError(f"{what}: {key} has {len(values)} entries of {len(inputs)} inputs")

    @property
    def _takes_images(self) -> bool:
        return self._operation is not None and self._operation.takes_images

    def _takes(self, given: Any) -> bool:
        if self._takes_images:
            return isinstance(given, Image)
        return (
            isinstance(given, list)
            and len(given) == self._model.input_count
            and all(isinstance(one, Tensor) for one in given)
        )

    def _work(self) -> None:
        while (fed := self._inputs.get()) is not _END:
            self._give(self._computed(*fed))
        self._give(_END)

    def _give(self, found: Any) -> None:
        """To whoever asks: what was computed, an exception, or the end."""
        for operator, results in self._results.values():
            results.put(found[operator] if isinstance(found, dict) else found)

    def _computed(self, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Answers by operator, an exception to raise, or _END where the input was closed meanwhile.

        An operator's answers are a list of tensors for each input.
        """
        global _batches
        with _counting:
            _batches += 1
            number = _batches
        started = time.perf_counter()
        if number == faults.stuck_at:
            self._closed.wait()
            return _END
        if number == faults.raise_at:
            return RuntimeError("device lost")
        prepared: list[list[Tensor]] = []
        answers: list[list[Tensor]] = []
        try:
            for k, given in enumerate(inputs):
                values = self._network_inputs(given, {key: of[k] for key, of in params.items()})
                prepared.append([Tensor(one.astype(np.float16)) for one in values])
                answers.append([Tensor(maps) for maps in self._model.run(values)])
        except Exception as error:
            return error
        time.sleep(max(0.0, self._model._spec.get("seconds", 0) - time.perf_counter() + started))
        if number == faults.lose_at:
            answers.pop()
        return {self._operation: prepared, self._output: answers}

    def _network_inputs(self, given: Any, params: Mapping[str, Any]) -> list[np.ndarray]:
        if not isinstance(given, Image):
            return [tensor._values for tensor in given]
        assert self._operation is not None
        shapes = params.get("dynamic_model_input_shapes")
        extra = params.get("rgb_letterbox_ext", params.get("crop_resize_ext"))
        return [self._operation.apply(given, extra, shapes[0][2:] if shapes else None)]
