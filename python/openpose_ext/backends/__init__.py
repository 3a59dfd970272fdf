"""Inference engines behind one protocol. They know nothing of pose.

Every engine takes pictures as they are, (N, H, W, 3) uint8 BGR, and does the rest (layout, type,
channel order, normalisation) inside its own graph, as the network's `InputFormat` says. One file
an engine; only these files import one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import BackendError, ModelError

__all__ = [
    "ENGINES",
    "PIXEL_SPAN",
    "PRECISIONS",
    "Backend",
    "BackendInfo",
    "Graph",
    "InputFormat",
    "Outputs",
    "describe",
    "exists",
    "open_backend",
    "own_cores",
    "reason",
]

T = TypeVar("T")
Outputs = dict[str, npt.NDArray[np.float32]]
Shape = tuple[int | None, ...]

PRECISIONS = ("auto", "f32", "bf16", "f16")

# A quantiser that reaches this far at the input takes pixels, not numbers around 1.
PIXEL_SPAN = 128.0


@dataclass(frozen=True)
class InputFormat:
    """What a network's input expects of a picture.

    layout    "NCHW" or "NHWC"
    channels  "BGR" or "RGB"
    mean      in the order of `channels`; the network sees (pixel - mean) / divisor of pixels in
    divisor   0..255. 0 and 1 where the graph normalises itself
    size      (width, height) of a network that takes no other; None takes any

    Raises ValueError for anything else.
    """

    layout: str = "NCHW"
    channels: str = "BGR"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    divisor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.layout not in ("NCHW", "NHWC"):
            raise ValueError(f"layout must be NCHW or NHWC, not {self.layout!r}")
        if self.channels not in ("BGR", "RGB"):
            raise ValueError(f"channels must be BGR or RGB, not {self.channels!r}")
        for name, values in (("mean", self.mean), ("divisor", self.divisor)):
            if len(values) != 3 or not np.all(np.isfinite(values)):
                raise ValueError(f"{name} must be three numbers, not {values!r}")
        if 0 in self.divisor:
            raise ValueError(f"divisor must not be 0: {self.divisor}")
        if self.size is not None and not (
            len(self.size) == 2 and all(isinstance(n, int) and n > 0 for n in self.size)
        ):
            raise ValueError(f"size must be a positive width and height, not {self.size!r}")

    @property
    def normalises(self) -> bool:
        """Whether pixels are changed at all."""
        return any(self.mean) or self.divisor != (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Graph:
    """What a network's file says of itself. None in a shape stands for any size.

    input       shape of the picture input
    outputs     shape of each output, by name
    normalises  the input goes through constant arithmetic first, or through a quantiser that
                spans pixel values: it takes pixels in 0..255
    checked     the range of values stands in a file of the engine's own, which opening the network
                compares with what is asked for
    """

    input: Shape
    outputs: Mapping[str, Shape]
    normalises: bool
    checked: bool = False


@dataclass(frozen=True)
class BackendInfo:
    """What was opened, and how it runs.

    engine      a name of `ENGINES`
    version     the engine's
    model       the network's file, or the prefix of a compiled one
    device      as the engine calls it
    precision   "f32", "bf16" or "f16": what float arithmetic runs in; integer layers stay integer
    fixed_size  (width, height) the network insists on, or None
    streams     requests in flight at most
    threads     bound on the engine's threads, or None for the engine's own choice
    outputs     shape of each output, by name; None stands for any size
    batch       the only batch size the graph takes, or None; others are run one by one
    """

    engine: str
    version: str
    model: Path
    device: str
    precision: str
    fixed_size: tuple[int, int] | None
    streams: int
    threads: int | None
    outputs: Mapping[str, Shape] = field(default_factory=dict)
    batch: int | None = None


class Backend(Protocol):
    """A network on an engine. Thread-safe; close it, or use it as a context manager."""

    @property
    def info(self) -> BackendInfo: ...

    def run(self, batch: npt.NDArray[np.uint8]) -> Outputs:
        """Raw outputs by name, the caller's own, of a batch (N, H, W, 3) uint8 BGR.

        Raises ValueError if the batch has another shape or type or a size that the network does
        not take, BackendError if the engine fails or is closed.
        """
        ...

    def submit(self, batch: npt.NDArray[np.uint8], then: Callable[[Outputs], T]) -> Future[T]:
        """Run the batch elsewhere, hand the outputs to `then`, return the future of its result.

        The outputs are the engine's own memory, valid until `then` returns: it must copy what is
        to stay, and must not use this backend. The batch must not change before the future is
        done. Waits as long as `streams` requests are in flight, so memory stays bounded.
        """
        ...

    def close(self) -> None:
        """Finish what is in flight and give everything back. Once is enough, twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


@dataclass(frozen=True)
class _Engine:
    """An engine by what it needs and can read.

    packages  what must be importable
    install   what to do where it is not
    suffixes  files it reads
    parts     what is added to the name of a compiled network, its prefix, in the files of which it
              consists; such an engine reads no others
    """

    packages: tuple[str, ...]
    install: str
    suffixes: tuple[str, ...]
    parts: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.packages if find_spec(name) is None]

    @property
    def reads(self) -> str:
        """What it reads, in words."""
        return ", ".join(self.suffixes) or "networks compiled by vamc, by their prefix"

    def can_read(self, file: Path) -> bool:
        if not self.parts:
            return file.suffix.lower() in self.suffixes
        return any(Path(f"{file}{part}").is_file() for part in self.parts)


# In the order in which "auto" takes them.
ENGINES: Mapping[str, _Engine] = {
    "openvino": _Engine(("openvino",), "pip install openvino", (".onnx", ".xml", ".pb", ".tflite")),
    "onnxruntime": _Engine(
        ("onnxruntime", "onnx"), 'pip install "openpose_ext[onnxruntime]"', (".onnx",)
    ),
    "torch": _Engine(
        ("torch",), 'pip install "openpose_ext[torch]"', (".pth", ".pt", ".caffemodel")
    ),
    "vsx": _Engine(
        ("vaststreamx",),
        "the Python runtime of Vastai's cards, which is on no package index. Its wheels are on the "
        "vendor's developer site, behind a login; install the one that fits your driver",
        (),
        (".so", ".json", ".params"),
    ),
}


def open_backend(
    model_file: str | PathLike[str],
    backend: str = "auto",
    *,
    input_format: InputFormat = InputFormat(),
    device: str = "cpu",
    precision: str = "auto",
    threads: int | None = None,
    streams: int = 1,
    vdsp_params: str | PathLike[str] | None = None,
    batch: int | None = None,
    instances: int = 1,
    hw_config: str | None = None,
) -> Backend:
    """Open a network on an engine.

    model_file    its file; for "vsx" the prefix of a compiled network, `mod` of `mod.so`
    backend       a name of `ENGINES`; "auto" takes the first that is installed and can run the file
    input_format  what the network's input expects
    device        in the engine's own words: "cpu", "GPU", "cuda:0", dies "0,1"
    precision     "auto" (the engine's choice, see `info`), "f32", "bf16" or "f16"
    threads       bound on the engine's threads; None is the engine's choice
    streams       requests in flight at most; "vsx" takes as many as keep the card busy
    vdsp_params   for "vsx" only: the JSON of its preprocessing, None for the one beside the network
    batch         for "vsx" only: pictures a run, which the others take as they come; None is 1
    instances     for "vsx" only: copies of the network on each die
    hw_config     for "vsx" only: the hardware configuration that its runtime takes with a network

    Raises ValueError for an unknown name or a number out of range, ModelError if there is no such
    file, BackendError if the engine is not installed or refuses the file, device or precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    for name, count in (
        ("threads", 1 if threads is None else threads),
        ("streams", streams),
        ("batch", 1 if batch is None else batch),
        ("instances", instances),
    ):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {count!r}")
    file = Path(model_file)

    def opened(adapter: ModuleType, engine: _Engine) -> Backend:
        own: dict[str, Any] = {}
        if engine.parts:
            own = {
                "vdsp_params": vdsp_params and Path(vdsp_params),
                "batch": batch or 1,
                "instances": instances,
                "hw_config": hw_config,
            }
        elif vdsp_params is not None:
            raise BackendError(f"{vdsp_params} is for networks compiled by vamc, not for {file}")
        result: Backend = adapter.open_engine(
            file,
            input_format=input_format,
            device=device,
            precision=precision,
            threads=threads,
            streams=streams,
            **own,
        )
        return result

    return _first_that_can(opened, file, backend)


def describe(
    model_file: str | PathLike[str], backend: str = "auto", *, device: str = "cpu"
) -> Graph:
    """What a network says of itself. Raises as `open_backend` does.

    device  where a compiled network is loaded to be asked; files are read without one
    """

    def described(adapter: ModuleType, engine: _Engine) -> Graph:
        graph: Graph = adapter.describe(
            Path(model_file), **({"device": device} if engine.parts else {})
        )
        return graph

    return _first_that_can(described, Path(model_file), backend)


def exists(model_file: Path) -> bool:
    """Whether there is such a network: a file, or the prefix of a compiled one."""
    compiled = any(engine.parts and engine.can_read(model_file) for engine in ENGINES.values())
    return compiled or model_file.is_file()


def _first_that_can(use: Callable[[ModuleType, _Engine], T], file: Path, backend: str) -> T:
    if backend != "auto" and backend not in ENGINES:
        raise ValueError(f"backend must be one of auto, {', '.join(ENGINES)}, not {backend!r}")
    if not exists(file):
        raise ModelError(f"there is no network file {file}")
    refusals = []
    able = [name for name, engine in ENGINES.items() if engine.can_read(file)]
    for name in (able or ENGINES) if backend == "auto" else [backend]:
        try:
            return use(_adapter(name, file), ENGINES[name])
        except BackendError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    reasons = "\n".join(f"  {error}" for error in refusals)
    raise BackendError(f"no engine runs {file}:\n{reasons}")


def _adapter(name: str, file: Path) -> ModuleType:
    engine = ENGINES[name]
    if not engine.can_read(file):
        raise BackendError(f"{name} reads {engine.reads}, not {file.name}")
    if engine.missing:
        raise BackendError(f"{name} needs {' and '.join(engine.missing)}: {engine.install}")
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:  # installed, but its libraries do not load
        raise BackendError(f"{name} is installed but cannot be loaded: {reason(error)}") from error


def own_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reason(error: BaseException) -> str:
    """An engine's error on one line, cut to what one can read."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"...{text[-400:]}"
