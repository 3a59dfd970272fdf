"""A strict stand-in for Vastai's runtime, for machines without a card.

Written from what the vendor's public example programs do: it takes every sequence of calls that
they show, and refuses what none of them does, so that code that passes here asks the real runtime
for nothing that is not known to work. Where behaviour is unknown, it is the harshest that may be:
images do not copy their arrays, a batch that is not full is refused, and so are two threads in one
stream, or a stream that is used synchronously and asynchronously.

A compiled network is a prefix whose `<prefix>.json` says what stands for it:

    {"input": [3, 184, 184],             channels, height, width
     "onnx": "body.onnx",                run by onnxruntime, relative to the JSON, or instead
     "outputs": [[38, 23, 23], ...],     maps of zeros
     "undo": true,                       the ONNX takes pixels: (x - 128) / 256 is undone before it
     "seconds": 0.025,                   that a batch takes at least, asleep
     "hw_config": "fast",                the only hardware configuration that it takes
     "ended": "ended.txt",               gets a line when a stream is done, beside the JSON
     "max_batch": 32}

`faults` makes it fail.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np

__version__ = "0+stand-in"

DIES = 2


@dataclass
class Faults:
    """What goes wrong from now on. Batches are counted over all streams, the first is 1.

    set_device   what it returns
    load         text of the error on loading a network
    raise_at     the batch whose computation raises
    stuck_at     the batch whose answer never comes, until the input is closed
    reader       an exception for the next reader of results
    lose_at      the batch that has one result too few
    """

    set_device: int = 0
    load: str = ""
    raise_at: int = 0
    stuck_at: int = 0
    reader: BaseException | None = None
    lose_at: int = 0


faults = Faults()
log: list[str] = []  # what was called, in order: to be read, and cleared
_batches = 0
_counting = threading.Lock()
_thread = threading.local()


def batches() -> int:
    """How many were computed so far, by all streams. Not part of the runtime."""
    return _batches


class ImageFormat(Enum):
    YUV_NV12 = 0
    RGB_PLANAR = 5000
    BGR_PLANAR = 5001
    RGB_INTERLEAVE = 5002
    BGR_INTERLEAVE = 5003
    GRAY = 5004


class StreamBalanceMode(Enum):
    ONCE = 0
    RUN = 1


class OpType(IntEnum):
    FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR = 106


def set_device(device_id: int) -> int:
    _is_int(device_id, "device_id")
    if faults.set_device:
        return faults.set_device
    if not 0 <= device_id < DIES:
        return 1
    _thread.die = device_id
    return 0


def _die(what: str) -> int:
    die = getattr(_thread, "die", None)
    if die is None:
        raise RuntimeError(f"{what}: set_device was not called in this thread")
    return int(die)


def _is_int(value: object, name: str) -> None:
    if type(value) is not int:
        raise TypeError(f"{name} must be int, not {type(value).__name__}")


class Image:
    def __init__(self, array: np.ndarray, format: ImageFormat, die: int) -> None:
        self._array, self.format, self._die = array, format, die
        self.height, self.width = array.shape[1:]


def create_image(
    array: np.ndarray, format: ImageFormat, width: int, height: int, device_id: int
) -> Image:
    die = _die("create_image")
    for value, name in ((width, "width"), (height, "height"), (device_id, "device_id")):
        _is_int(value, name)
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise TypeError("create_image: a uint8 array is needed")
    if not array.flags.c_contiguous:
        raise ValueError("create_image: the array is not contiguous")
    if format is not ImageFormat.RGB_PLANAR:
        raise ValueError(f"create_image: this network's operation takes RGB_PLANAR, not {format}")
    if array.shape != (3, height, width):
        raise ValueError(f"create_image: {array.shape} is not 3 planes of {width} x {height}")
    if width % 2 or height % 2:
        raise ValueError(f"create_image: odd size {width} x {height}")
    if device_id != die:
        raise RuntimeError(f"create_image: device {device_id}, but this thread is on {die}")
    return Image(array, format, die)


class Tensor:
    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape = list(values.shape)


def as_numpy(tensor: Tensor) -> np.ndarray:
    if not isinstance(tensor, Tensor):
        raise TypeError("as_numpy: a Tensor is needed")
    return tensor._values.copy()


class Model:
    def __init__(self, prefix: str, batch: int, hw_config: str = "") -> None:
        self._die = _die("Model")
        if not isinstance(prefix, str):
            raise TypeError("Model: the prefix must be str")
        _is_int(batch, "batch")
        if faults.load:
            raise RuntimeError(faults.load)
        file = Path(f"{prefix}.json")
        if not file.is_file():
            raise RuntimeError(f"Model: cannot open {file}")
        self._spec = json.loads(file.read_text())
        if hw_config not in ("", self._spec.get("hw_config")):
            raise RuntimeError(f"Model: no hardware configuration {hw_config}")
        self.max_batch_size = self._spec.get("max_batch", 32)
        if not 1 <= batch <= self.max_batch_size:
            raise RuntimeError(f"Model: batch {batch} of at most {self.max_batch_size}")
        self._ended = file.with_name(self._spec["ended"]) if "ended" in self._spec else None
        self.batch_size = batch
        self.input_count = 1
        self.input_shape = [[1, *self._spec["input"]]]
        self._session: Any = None
        if "onnx" in self._spec:
            self._session = _session(str(file.parent / self._spec["onnx"]))
            picture = np.zeros(self.input_shape[0], np.float32)
            self.output_shape = [list(maps.shape) for maps in self._run(picture)]
        else:
            self.output_shape = [[1, *shape] for shape in self._spec["outputs"]]
        self.output_count = len(self.output_shape)
        log.append("Model")

    def _compute(self, image: Image, operation: Operator) -> list[np.ndarray]:
        """The outputs for one picture."""
        if self._session is None:
            return [np.zeros(shape, np.float16) for shape in self.output_shape]
        return self._run(operation._apply(image._array))

    def _run(self, values: np.ndarray) -> list[np.ndarray]:
        """The outputs of the ONNX for its input, (1, 3, h, w)."""
        if self._spec.get("undo"):
            values = values * 256 + 128
        name = self._session.get_inputs()[0].name
        found = self._session.run(None, {name: values.astype(np.float32)})
        return [maps.astype(np.float16) for maps in found]


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
        self._model = model
        log.append("ModelOperator")


class Operator:
    def __init__(self, op_type: OpType, config: dict[str, Any]) -> None:
        self.op_type = op_type
        self._config = config

    @staticmethod
    def load_ops_from_json_file(path: str) -> list[Operator]:
        _die("load_ops_from_json_file")
        if not isinstance(path, str):
            raise TypeError("load_ops_from_json_file: the path must be str")
        parsed = json.loads(Path(path).read_text())
        operators = []
        for one in parsed if isinstance(parsed, list) else [parsed]:
            config = one["OpConfig"]
            if config["NormaType"] not in ("MINUSMEAN_DIVSTD", "EQUAL"):
                raise ValueError(f"NormaType {config['NormaType']}")
            if config["ColorCvtCode"] not in ("RGB2BGR", "NO_CHANGE"):
                raise ValueError(f"ColorCvtCode {config['ColorCvtCode']}")
            operators.append(Operator(OpType[one["OpType"]], config))
        log.append("load_ops_from_json_file")
        return operators

    def _apply(self, planes: np.ndarray) -> np.ndarray:
        """RGB planes (3, h, w) uint8 -> the network's input (1, 3, h', w') float32."""
        config = self._config
        size = config["OimageWidth"], config["OimageHeight"]
        picture = np.ascontiguousarray(planes.transpose(1, 2, 0))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        if config["ColorCvtCode"] == "RGB2BGR":
            picture = picture[..., ::-1]
        values = picture.astype(np.float32)
        if config["NormaType"] == "MINUSMEAN_DIVSTD":
            values = (values - np.float32(config["Mean"])) / np.float32(config["Std"])
        half = values.astype(np.float16).astype(np.float32)  # what the device computes with
        return np.ascontiguousarray(half.transpose(2, 0, 1))[None]


class Graph:
    def __init__(self) -> None:
        self._operators: list[Any] = []
        log.append("Graph")

    def add_operators(self, *operators: Any) -> None:
        if self._operators:
            raise RuntimeError("add_operators: there are operators already")
        if not operators or not isinstance(operators[-1], ModelOperator):
            raise TypeError("add_operators: the model comes last")
        if len(operators) != 2 or not isinstance(operators[0], Operator):
            raise TypeError("add_operators: one operation and then the model, in this order")
        operation, model = operators[0]._config, operators[1]._model
        wanted = [3, operation["OimageHeight"], operation["OimageWidth"]]
        if wanted != model._spec["input"]:
            raise RuntimeError(f"add_operators: {wanted} does not fit {model._spec['input']}")
        self._operators = list(operators)
        log.append("add_operators")


_END = object()
_QUEUE = 20  # batches that wait for the device before run_async blocks


@dataclass(eq=False)
class Stream:
    graph: Graph
    mode: StreamBalanceMode
    _state: str = field(default="new", init=False)
    _model: Model = field(init=False)

    def __post_init__(self) -> None:
        self._die = _die("Stream")
        if not isinstance(self.graph, Graph) or not self.graph._operators:
            raise TypeError("Stream: a graph with operators is needed")
        if not isinstance(self.mode, StreamBalanceMode):
            raise TypeError("Stream: a StreamBalanceMode is needed")
        self._operation, self._output = self.graph._operators
        self._model = self._output._model
        if self._model._die != self._die:
            raise RuntimeError("Stream: the model is on another device")
        self._registered = False
        self._way = ""  # how it is used: sync or async
        self._inside = threading.Lock()
        self._closed = threading.Event()
        self._inputs: queue.Queue[Any] = queue.Queue(_QUEUE)
        self._results: queue.Queue[Any] = queue.Queue()
        self._worker: threading.Thread | None = None
        log.append("Stream")

    def register_operator_output(self, operator: ModelOperator) -> None:
        _die("register_operator_output")
        if self._state != "new":
            raise RuntimeError("register_operator_output: too late, the stream is built")
        if operator is not self._output:
            raise RuntimeError("register_operator_output: this operator is not in the graph")
        self._registered = True
        log.append("register_operator_output")

    def build(self) -> None:
        _die("build")
        if self._state != "new":
            raise RuntimeError("build: built already")
        if not self._registered:
            raise RuntimeError("build: no output is registered")
        self._state = "built"
        log.append("build")

    def run_sync(self, images: list[Image]) -> list[list[Tensor]]:
        with self._one_thread("run_sync"):
            self._check("sync", images)
            found = self._computed(images)
        if isinstance(found, BaseException):
            raise found
        if found is _END:
            raise RuntimeError("run_sync: aborted")
        return found  # type: ignore[no-any-return]

    def run_async(self, images: list[Image]) -> None:
        with self._one_thread("run_async"):
            self._check("async", images)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="vaststreamx", daemon=True)
                self._worker.start()
            self._inputs.put(list(images))

    def get_operator_output(self, operator: ModelOperator) -> list[list[Tensor]]:
        if self._state == "new":
            raise RuntimeError("get_operator_output: the stream is not built")
        if operator is not self._output:
            raise RuntimeError("get_operator_output: this operator is not registered")
        if faults.reader is not None:
            raise faults.reader
        found = self._results.get()
        if found is _END:
            self._results.put(_END)
            raise ValueError("end of stream")
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]

    def close_input(self) -> None:
        _die("close_input")
        if self._state == "new":
            raise RuntimeError("close_input: the stream is not built")
        if self._closed.is_set():
            raise RuntimeError("close_input: closed already")
        self._closed.set()
        if self._worker is None:
            self._results.put(_END)
        else:
            self._inputs.put(_END)
        log.append("close_input")

    def wait_until_done(self) -> None:
        if not self._closed.is_set():
            raise RuntimeError("wait_until_done: the input is open")
        if self._worker is not None:
            self._worker.join()
        if self._model._ended is not None:
            with self._model._ended.open("a") as stream:
                stream.write("done\n")
        log.append("wait_until_done")

    def _one_thread(self, what: str) -> Any:
        if self._inside.locked():
            raise RuntimeError(f"{what}: another thread is in this stream")
        return self._inside

    def _check(self, way: str, images: list[Image]) -> None:
        what = f"run_{way}"
        if _die(what) != self._die:
            raise RuntimeError(f"{what}: the stream is on device {self._die}")
        if self._state != "built":
            raise RuntimeError(f"{what}: the stream is not built")
        if self._closed.is_set():
            raise RuntimeError(f"{what}: the input is closed")
        if self._way not in ("", way):
            raise RuntimeError(f"{what}: this stream is used the other way")
        self._way = way
        if not isinstance(images, list) or not all(isinstance(one, Image) for one in images):
            raise TypeError(f"{what}: a list of images is needed")
        if len(images) != self._model.batch_size:
            raise ValueError(f"{what}: {len(images)} images, {self._model.batch_size} are a batch")
        if any(image._die != self._die for image in images):
            raise RuntimeError(f"{what}: an image is on another device")

    def _work(self) -> None:
        while (images := self._inputs.get()) is not _END:
            self._results.put(self._computed(images))
        self._results.put(_END)

    def _computed(self, images: list[Image]) -> Any:
        """The answers, an exception to raise, or _END where the input was closed meanwhile."""
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
        answers = []
        for image in images:
            answers.append([Tensor(maps) for maps in self._model._compute(image, self._operation)])
        time.sleep(max(0.0, self._model._spec.get("seconds", 0) - time.perf_counter() + started))
        return answers[:-1] if number == faults.lose_at else answers
