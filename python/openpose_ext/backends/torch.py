"""torch: the original networks' weights (.pth, .caffemodel) and TorchScript (.pt), CPU or CUDA.

Slower than the other engines on a CPU. Used for files that only torch can read, for CUDA, and for
comparison.

On CUDA several requests are in flight, each with a stream and page-locked memory of its own: pixels
go to the GPU as bytes, and the maps of one request come back and are decoded while the next one
computes.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from openpose_ext.backends.pooled import PooledBackend
from openpose_ext.backends.protocol import (
    GPU_REQUESTS,
    NO_GPU,
    NVIDIA,
    Backend,
    BackendInfo,
    Graph,
    InputFormat,
    Outputs,
    Shape,
    WeightsReader,
    reason,
)
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io.cpus import own_cores

__all__ = ["describe", "load_script", "open_engine"]

Network = Callable[[torch.Tensor], Any]

_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

# (width, height) of a picture for finding the output shapes, which TorchScript does not state. Not
# square, so that rows, columns and channels of the maps can be told apart.
_PROBE = (72, 64)


def open_engine(
    file: Path,
    *,
    input_format: InputFormat,
    device: str,
    precision: str,
    threads: int | None,
    streams: int,
    weights: WeightsReader | None,
) -> Backend:
    """Open a file; see `backends.engines.open_backend`."""
    precision = "f32" if precision == "auto" else precision
    place = _place(device)
    if place.type == "cuda":
        streams = max(streams, GPU_REQUESTS)
    names, network = _load(file, weights)
    try:
        network.to(place, _TYPES[precision])
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"torch cannot use the device {device!r}: {reason(error)}") from error
    size = input_format.size or _PROBE
    shapes = _shapes(file, names, network, input_format.layout, size, place, _TYPES[precision])
    info = BackendInfo(
        engine="torch",
        version=torch.__version__,
        model=file,
        device=str(place),
        precision=precision,
        fixed_size=input_format.size,
        streams=streams,
        threads=threads,
        outputs=shapes,
    )
    return _TorchBackend(network, input_format, place, info)


def describe(file: Path, *, weights: WeightsReader | None) -> Graph:
    """Inputs and outputs as stated in the file; see `backends.engines.describe`."""
    names, network = _load(file, weights)
    errors = []
    for layout, shape in (("NCHW", (None, 3, None, None)), ("NHWC", (None, None, None, 3))):
        try:
            outputs = _shapes(
                file, names, network, layout, _PROBE, torch.device("cpu"), torch.float32
            )
        except BackendError as error:
            errors.append(error)
            continue
        return Graph(input=shape, outputs=outputs, normalises=False)
    raise errors[0]


def load_script(file: Path) -> Any:
    """A TorchScript module on the CPU, ready to be called.

    Raises BackendError if torch cannot read the file.
    """
    with warnings.catch_warnings():
        # TorchScript is still widely used, and its successor cannot read it.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
        try:
            return torch.jit.load(file, map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"torch cannot read {file}: {reason(error)}") from error


class _TorchBackend(PooledBackend["_Request"]):
    def __init__(
        self, network: Network, input_format: InputFormat, device: torch.device, info: BackendInfo
    ) -> None:
        # Of one run: runs that are in flight share them.
        self._threads = info.threads
        if info.streams > 1:
            self._threads = max(1, (info.threads or own_cores()) // info.streams)
        kind = _OnCuda if device.type == "cuda" else _Request
        prepared = _Prepared(input_format, device, _TYPES[info.precision])
        # A module runs on any number of threads at once.
        super().__init__([kind(network, prepared, device) for _ in range(info.streams)], info)

    def _infer(self, request: _Request, batch: npt.NDArray[np.uint8]) -> Outputs:
        try:
            with torch.inference_mode(), _at_most(self._threads):
                arrays = request.run(batch)
        except RuntimeError as error:
            raise BackendError(
                f"torch failed on a batch of {batch.shape} with {self.info.model.name}: "
                f"{reason(error)}"
            ) from error
        return dict(zip(self.info.outputs, arrays, strict=True))


class _Prepared:
    """Converts pixels (N, H, W, 3) uint8 BGR, on their device, to the network's input."""

    def __init__(self, input_format: InputFormat, device: torch.device, kind: torch.dtype) -> None:
        self._format = input_format
        self._type = kind
        self._mean, self._divisor = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (input_format.mean, input_format.divisor)
        )

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._format.channels == "RGB":
            pixels = pixels.flip(3)
        values = pixels.float()
        if self._format.normalises:
            values = (values - self._mean) / self._divisor
        if self._format.layout == "NCHW":
            values = values.permute(0, 3, 1, 2).contiguous()
        return values.to(self._type)


class _Request:
    """A run of the network on the CPU."""

    def __init__(self, network: Network, prepared: _Prepared, device: torch.device) -> None:
        self._network = network
        self._prepared = prepared
        self._device = device

    def run(self, batch: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        # torch.tensor copies; from_numpy warns of pictures that must not be written to.
        outputs = _listed(self._network(self._prepared(torch.tensor(batch))))
        return [output.float().numpy() for output in outputs]


class _OnCuda(_Request):
    """A run on a GPU, with its own stream and page-locked memory for inputs and outputs.

    The outputs of `run` are valid until it is called again.
    """

    def __init__(self, network: Network, prepared: _Prepared, device: torch.device) -> None:
        super().__init__(network, prepared, device)
        self._stream = torch.cuda.Stream(device)
        self._locked: dict[str, torch.Tensor] = {}

    def run(self, batch: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        pixels = self._lock("pixels", batch.shape, torch.uint8)
        pixels.numpy()[...] = batch
        found = []
        with torch.cuda.stream(self._stream), _exact:
            there = pixels.to(self._device, non_blocking=True)
            for k, output in enumerate(_listed(self._network(self._prepared(there)))):
                back = self._lock(str(k), output.shape, torch.float32)
                back.copy_(output.float(), non_blocking=True)
                found.append(back.numpy())
        self._stream.synchronize()  # other threads run meanwhile
        return found

    def _lock(self, name: str, shape: Sequence[int], kind: torch.dtype) -> torch.Tensor:
        """Page-locked memory of a shape; the same one until the shape changes."""
        held = self._locked.get(name)
        if held is None or held.shape != torch.Size(shape):
            held = torch.empty(tuple(shape), dtype=kind, pin_memory=True)
            self._locked[name] = held
        return held


class _Exact:
    """While a thread is inside, cuDNN multiplies exact float32 instead of the faster TF32.

    The setting belongs to the whole process: the first thread to enter changes it, the last one to
    leave restores it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before = True

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.backends.cudnn.allow_tf32
                torch.backends.cudnn.allow_tf32 = False
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch.backends.cudnn.allow_tf32 = self._before


_exact = _Exact()


def _place(device: str) -> torch.device:
    """The device of a name. Raises BackendError saying what is missing and how to get it."""
    what = f"torch cannot use the device {device!r}: "
    try:
        place = torch.device(device.lower())
    except RuntimeError as error:
        nvidia = device.lower().startswith("tensorrt")
        raise BackendError(f"{what}{NVIDIA if nvidia else reason(error)}") from error
    if place.type != "cuda":
        return place
    if torch.version.cuda is None and torch.version.hip is None:
        raise BackendError(
            f"{what}torch {torch.__version__} is a build for the CPU alone. Install one with CUDA, "
            "as torch's own page of installation commands says for this system"
        )
    count = torch.cuda.device_count()
    if count == 0:
        raise BackendError(f"{what}torch has CUDA {torch.version.cuda}, but {NO_GPU}")
    if (place.index or 0) >= count:
        raise BackendError(f"{what}there are {count} GPUs, cuda:0 to cuda:{count - 1}")
    return place


def _load(file: Path, weights: WeightsReader | None) -> tuple[Sequence[str] | None, Any]:
    """The names of the outputs and the network, on the CPU; scripts have no names."""
    if _is_script(file):
        return None, load_script(file)
    if weights is None:
        raise BackendError(f"{file} holds only weights, without the network they belong to")
    try:
        return weights(file)
    except ModelError as error:
        raise BackendError(str(error)) from error


def _is_script(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any("/code/" in name for name in archive.namelist())


def _shapes(
    file: Path,
    names: Sequence[str] | None,
    network: Network,
    layout: str,
    size: tuple[int, int],
    device: torch.device,
    kind: torch.dtype,
) -> dict[str, Shape]:
    """The shape of each output, found by running a grey picture. A script's outputs are "0",
    "1"..."""
    width, height = size
    shape = (1, 3, height, width) if layout == "NCHW" else (1, height, width, 3)
    try:
        with torch.inference_mode():
            outputs = _listed(network(torch.zeros(shape, dtype=kind, device=device)))
    except RuntimeError as error:
        raise BackendError(f"{file} does not run on pictures {shape}: {reason(error)}") from error
    names = names or [str(k) for k in range(len(outputs))]
    return {
        name: (None, *_of_any_size(output.shape[1:], size))
        for name, output in zip(names, outputs, strict=True)
    }


def _of_any_size(shape: Sequence[int], size: tuple[int, int]) -> Shape:
    """The shape of an output, with None for sizes that depend on the picture's (width, height)."""
    if len(shape) != 3:
        return tuple(shape)
    width, height = size
    channels_first = shape[1] * width == shape[2] * height
    return (shape[0], None, None) if channels_first else (None, None, shape[2])


def _listed(outputs: Any) -> list[torch.Tensor]:
    """The outputs of a network, one or several, as a list."""
    listed = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    if not all(isinstance(output, torch.Tensor) for output in listed):
        raise BackendError("a network must return one or several tensors, not a nested structure")
    return listed


@contextmanager
def _at_most(threads: int | None) -> Iterator[None]:
    """Limit torch's threads for work that is started from this thread."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
