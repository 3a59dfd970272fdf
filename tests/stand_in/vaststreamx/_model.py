"""Compiled networks; `vaststreamx` says what stands for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._devices import die_of_thread, faults, is_int, log


class Model:
    def __init__(self, prefix: str, batch_size: int | None = None, hw_config: str = "") -> None:
        self._die = die_of_thread("Model")
        if not isinstance(prefix, str):
            raise TypeError("Model: the prefix must be str")
        if faults.load:
            raise RuntimeError(faults.load)
        # Without a batch: the information on a dynamic network, a file.
        file = Path(f"{prefix}.json" if batch_size is not None else prefix)
        if not file.is_file():
            raise RuntimeError(f"Model: cannot open {file}")
        self._spec = json.loads(file.read_text())
        self.dynamic = batch_size is None
        if self.dynamic != bool(self._spec.get("dynamic")):
            raise RuntimeError(f"Model: {file} is {'not ' if self.dynamic else ''}dynamic")
        if hw_config not in ("", self._spec.get("hw_config")):
            raise RuntimeError(f"Model: no hardware configuration {hw_config}")
        self.max_batch_size = self._spec.get("max_batch", 32)
        self.batch_size = 0
        self.set_batch_size(1 if batch_size is None else batch_size)
        self._ended = file.with_name(self._spec["ended"]) if "ended" in self._spec else None
        self.input_shape = [
            [1, *one] for one in self._spec.get("inputs", [self._spec.get("input")])
        ]
        self.input_count = len(self.input_shape)
        self._session: Any = None
        if "onnx" in self._spec:
            self._session = _session(str(file.parent / self._spec["onnx"]))
            picture = np.zeros(self.input_shape[0], np.float32)
            self.output_shape = [list(maps.shape) for maps in self.run([picture])]
        else:
            self.output_shape = [[1, *shape] for shape in self._spec["outputs"]]
        self.output_count = len(self.output_shape)
        log.append("Model")

    def set_batch_size(self, batch_size: int) -> None:
        is_int(batch_size, "batch")
        if not 1 <= batch_size <= self.max_batch_size:
            raise RuntimeError(f"Model: batch {batch_size} of at most {self.max_batch_size}")
        self.batch_size = int(batch_size)

    def set_input_shape(self, shapes: Sequence[Sequence[int]]) -> None:
        if not self.dynamic:
            raise RuntimeError("set_input_shape: this network takes one size")
        if len(shapes) != self.input_count:
            raise ValueError(f"set_input_shape: {len(shapes)} shapes of {self.input_count} inputs")
        self.input_shape = [list(shape) for shape in shapes]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of the ONNX for its inputs; zeros without one."""
        if self._session is None:
            return [np.zeros(shape, np.float16) for shape in self.output_shape]
        if self._spec.get("undo"):
            inputs = [values * 256 + 128 for values in inputs]
        feeds = {
            entry.name: values if values.dtype == np.int32 else values.astype(np.float32)
            for entry, values in zip(self._session.get_inputs(), inputs, strict=True)
        }
        return [maps.astype(np.float16) for maps in self._session.run(None, feeds)]


def _session(file: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


class ModelOperator:
    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise TypeError("ModelOperator: a Model is needed")
        self.model = model
        log.append("ModelOperator")
