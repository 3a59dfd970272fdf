"""The protocol of all inference engines, and the descriptions they return.

Every engine takes raw pictures, (N, H, W, 3) uint8 BGR, and does the rest (layout, type, channel
order, normalisation) inside its own graph, according to the network's `InputFormat`. Each engine
has its own file, and only these files import engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "GPU_REQUESTS",
    "NO_GPU",
    "NVIDIA",
    "PIXEL_SPAN",
    "Backend",
    "BackendInfo",
    "Graph",
    "InputFormat",
    "Outputs",
    "WeightsReader",
    "reason",
]

T = TypeVar("T")
Outputs = dict[str, npt.NDArray[np.float32]]
Shape = tuple[int | None, ...]

# For a file that holds only weights: returns the names of the network's outputs, and the network
# for the engine to call. Raises ModelError for an unknown file.
WeightsReader = Callable[[Path], tuple[Sequence[str], Any]]

# Requests in flight on a GPU, at least: one computes, the pixels of one are on their way, the maps
# of two are decoded.
GPU_REQUESTS = 4

# The advice for anyone who asks the wrong engine for a GPU.
NVIDIA = (
    "NVIDIA's GPUs are devices of the backends onnxruntime (cuda:0, tensorrt:0) and torch (cuda:0)"
)

# The reason if the software for CUDA is there and CUDA is not.
NO_GPU = (
    "no NVIDIA GPU is found. `nvidia-smi` must list one: install NVIDIA's driver; a container has "
    "to be given the GPU (podman run --device nvidia.com/gpu=all, docker run --gpus all)"
)

# If a quantiser at the input spans this range, it takes pixels and not values around 1.
PIXEL_SPAN = 128.0


@dataclass(frozen=True)
class InputFormat:
    """The input that a network expects.

    layout    "NCHW" or "NHWC"
    channels  "BGR" or "RGB"
    mean      in the order of `channels`; the network sees (pixel - mean) / divisor of pixels in
    divisor   0..255. 0 and 1 where the graph normalises itself
    size      (width, height) if the network takes only this size; None for any

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
        """Whether the pixel values are changed."""
        return any(self.mean) or self.divisor != (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Graph:
    """The inputs and outputs stated in a network's file. None in a shape stands for any size.

    input       shape of the picture input
    outputs     shape of each output, by name
    normalises  the input goes through constant arithmetic first, or through a quantiser that
                spans pixel values: it takes pixels in 0..255
    checked     the value range is stored in one of the engine's own files, which is compared with
                the requested one when the network is opened
    joined      channels of the tensors that an output puts one after the other, by its name, where
                the graph shows that
    """

    input: Shape
    outputs: Mapping[str, Shape]
    normalises: bool
    checked: bool = False
    joined: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class BackendInfo:
    """Information on an opened network.

    engine      a name of `ENGINES`
    version     the engine's
    model       the network's file, or the prefix of a compiled one
    device      by the engine's name for it
    precision   "f32", "bf16" or "f16" of the float arithmetic; integer layers stay integer
    fixed_size  (width, height) if the network takes only this size, or None
    streams     maximum number of requests in flight
    threads     limit of the engine's threads, or None if the engine chooses
    outputs     shape of each output, by name; None stands for any size
    batch       the only batch size the graph takes, or None; other batches run picture by picture
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
        """Run the batch in the background, pass the outputs to `then`, return a future of its
        result.

        The outputs are the engine's own memory and valid only until `then` returns, so `then` must
        copy what it keeps. It must not use this backend. The batch must not be modified before the
        future is done. Waits while `streams` requests are in flight, so memory stays bounded.
        """
        ...

    def close(self) -> None:
        """Finish the requests in flight and release everything. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def reason(error: BaseException) -> str:
    """An engine's error message on one line, shortened."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"...{text[-400:]}"
