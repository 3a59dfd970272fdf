"""torch: the original networks' weights (.pth, .caffemodel) and TorchScript (.pt), CPU or CUDA.

Slower than the other engines on a CPU. Used for files that only torch can read, for CUDA, and for
comparison.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from openpose_ext.backends.pooled import PooledBackend
from openpose_ext.backends.protocol import (
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
    names, network = _load(file, weights)
    try:
        place = torch.device(device.lower())
        network.to(place, _TYPES[precision])
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build without CUDA
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


class _TorchBackend(PooledBackend[Network]):
    def __init__(
        self, network: Network, input_format: InputFormat, device: torch.device, info: BackendInfo
    ) -> None:
        self._device = device
        self._format = input_format
        self._type = _TYPES[info.precision]
        # Threads of one run; concurrent runs share them.
        self._threads = info.threads
        if info.streams > 1:
            self._threads = max(1, (info.threads or own_cores()) // info.streams)
        constants = [
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (input_format.mean, input_format.divisor)
        ]
        self._mean, self._divisor = constants
        # A module can run in any number of threads at once; the copies only limit their number.
        super().__init__([network] * info.streams, info)

    def _infer(self, request: Network, batch: npt.NDArray[np.uint8]) -> Outputs:
        try:
            with torch.inference_mode(), _at_most(self._threads):
                outputs = _listed(request(self._input(batch)))
                arrays = [output.float().cpu().numpy() for output in outputs]
        except RuntimeError as error:
            raise BackendError(
                f"torch failed on a batch of {batch.shape} with {self.info.model.name}: "
                f"{reason(error)}"
            ) from error
        return dict(zip(self.info.outputs, arrays, strict=True))

    def _input(self, batch: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Convert (N, H, W, 3) uint8 BGR to the input that the network expects."""
        # torch.tensor copies; from_numpy warns of pictures that must not be written to.
        pixels = torch.tensor(batch).to(self._device)
        if self._format.channels == "RGB":
            pixels = pixels.flip(3)
        values = pixels.float()
        if self._format.normalises:
            values = (values - self._mean) / self._divisor
        if self._format.layout == "NCHW":
            values = values.permute(0, 3, 1, 2).contiguous()
        return values.to(self._type)


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
