"""ONNX Runtime: ONNX files on the CPU, on NVIDIA's GPUs, or on any device of the installed build.

The conversion of the input is added in front of the graph as ONNX nodes. The extended graph is kept
in the user's cache, so that only the first process spends time on the `onnx` package.

On a GPU (CUDA, or TensorRT with CUDA for the rest) several requests are in flight, each bound to
page-locked memory of its own: pixels go there as bytes, and the maps of one request come back and
are decoded while the next one computes. If the libraries of a GPU do not load, onnxruntime would
compute on the CPU, at most with a warning. That is an error here, and so is a convolution that is
left to the CPU.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from openpose_ext.backends.onnx_graph import INPUT, describe, extended_graph
from openpose_ext.backends.page_locked import PageLocked
from openpose_ext.backends.pooled import PooledBackend
from openpose_ext.backends.protocol import (
    GPU_REQUESTS,
    NO_GPU,
    Backend,
    BackendInfo,
    InputFormat,
    Outputs,
    reason,
)
from openpose_ext.errors import BackendError
from openpose_ext.io.cache import digest, file_digest, user_cache, weight_files
from openpose_ext.io.cpus import own_cores

__all__ = ["describe", "open_engine"]

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_CPU = "CPUExecutionProvider"

# Sessions note which provider each node is for (onnxruntime 1.24 and newer).
_NOTES = "session.record_ep_graph_assignment_info"
_CONVOLUTIONS = ("Conv", "FusedConv", "QLinearConv", "NhwcFusedConv")

Array = npt.NDArray[Any]


def open_engine(
    file: Path,
    *,
    input_format: InputFormat,
    device: str,
    precision: str,
    threads: int | None,
    streams: int,
) -> Backend:
    """Open a file; see `backends.engines.open_backend`."""
    providers = _providers(device, precision)
    provider = providers[0][0]
    on_gpu = provider in (_CUDA, _TENSORRT)
    if on_gpu:
        streams = max(streams, GPU_REQUESTS)
        _load_libraries(provider)
    # By default it would pin threads to the cores.
    threads = threads or own_cores()
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(1, threads // streams)  # per run
    options.inter_op_num_threads = 1
    # Idle threads sleep, so that the decoder gets the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    if on_gpu:
        options.add_session_config_entry(_NOTES, "1")
    graph = _extended(file, input_format)
    try:
        with _silent():
            session = ort.InferenceSession(graph, options, providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors share no base of their own
        missing = _missing(provider) if on_gpu else ""
        raise BackendError(
            f"onnxruntime refuses {file} on {device}: {missing or reason(error)}"
        ) from error
    if on_gpu:
        _check_place(session, provider, device, file)
    return _OnnxRuntimeBackend(session, file, input_format, threads, streams, precision)


class _OnnxRuntimeBackend(PooledBackend[Any]):
    def __init__(
        self,
        session: Any,
        file: Path,
        input_format: InputFormat,
        threads: int,
        streams: int,
        precision: str,
    ) -> None:
        batch = session.get_inputs()[0].shape[0]
        provider = session.get_providers()[0]
        info = BackendInfo(
            engine="onnxruntime",
            version=ort.__version__,
            model=file,
            device=provider.removesuffix("ExecutionProvider").lower(),
            precision="f32" if precision == "auto" else precision,
            fixed_size=input_format.size,
            streams=streams,
            threads=threads,
            outputs={
                output.name: tuple(n if isinstance(n, int) else None for n in output.shape)
                for output in session.get_outputs()
            },
            batch=batch if isinstance(batch, int) else None,
        )
        requests: list[Any] = [_Run(session)] * streams  # runs on any number of threads at once
        if provider in (_CUDA, _TENSORRT):
            array = _page_locked()
            requests = [_BoundRun(session, array) for _ in range(streams)]
        super().__init__(requests, info)

    def _infer(self, request: Any, batch: npt.NDArray[np.uint8]) -> Outputs:
        try:
            outputs = request(batch)
        except Exception as error:  # as above
            raise BackendError(
                f"onnxruntime failed on a batch of {batch.shape} with {self.info.model.name}: "
                f"{reason(error)}"
            ) from error
        return {
            name: output.astype(np.float32, copy=False)
            for name, output in zip(self.info.outputs, outputs, strict=True)
        }


class _Run:
    """Runs a batch; the outputs are new arrays."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, batch: npt.NDArray[np.uint8]) -> Sequence[Array]:
        outputs: Sequence[Array] = self._session.run(None, {INPUT: batch})
        return outputs


class _BoundRun:
    """Runs batches from and to fixed arrays, which are only replaced if the batch's shape changes.

    array  makes an array of a shape and a type

    The outputs of a call are valid until the next call.
    """

    def __init__(self, session: Any, array: Callable[[Sequence[int], Any], Array]) -> None:
        self._session = session
        self._array = array
        self._binding = session.io_binding()
        self._names = [output.name for output in session.get_outputs()]
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._outputs: list[Array] = []

    def __call__(self, batch: npt.NDArray[np.uint8]) -> Sequence[Array]:
        if self._pixels is None or self._pixels.shape != batch.shape:
            return self._first(batch)
        self._pixels[...] = batch
        self._session.run_with_iobinding(self._binding)
        return self._outputs

    def _first(self, batch: npt.NDArray[np.uint8]) -> Sequence[Array]:
        """Run the first batch of a shape, when the shapes of its outputs are not known yet."""
        found = self._session.run(None, {INPUT: batch})
        self._pixels = self._array(batch.shape, np.uint8)
        self._outputs = [self._array(output.shape, output.dtype) for output in found]
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for name, array in zip((INPUT, *self._names), (self._pixels, *self._outputs), strict=True):
            bind = self._binding.bind_input if name == INPUT else self._binding.bind_output
            bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        outputs: Sequence[Array] = found
        return outputs


def _providers(device: str, precision: str) -> list[tuple[str, dict[str, str]]]:
    """The execution providers for a device; each runs what those before it cannot.

    device  "cpu", "coreml", or with a number as in "cuda:0" and "tensorrt:0"

    Raises BackendError if this build has no such provider, or if it lacks the precision.
    """
    name, _, index = device.lower().partition(":")
    by_name = {
        p.removesuffix("ExecutionProvider").lower(): p for p in ort.get_available_providers()
    }
    provider = by_name.get(name)
    if provider is None:
        how = ""
        if f"{name}ExecutionProvider".lower() in (_CUDA.lower(), _TENSORRT.lower()):
            how = (
                f". For {name} another build takes its place: pip uninstall onnxruntime, then "
                f"{_INSTALL[f'{name}executionprovider']}"
            )
        has = ", ".join(by_name)
        raise BackendError(f"this onnxruntime has no device {device!r}, only {has}{how}")
    if precision not in ("auto", "f32", *(("f16",) if provider == _TENSORRT else ())):
        raise BackendError(
            f"onnxruntime computes in the file's own precision, not in {precision}"
            + (" (f16 on tensorrt)" if provider == _CUDA else "")
            + "; use precision='f32' or another backend"
        )
    if index and not index.isdecimal():
        raise BackendError(f"{device!r} is no device of onnxruntime; say {name}:0")
    chosen = {"device_id": index} if index else {}
    if provider not in (_CUDA, _TENSORRT):
        return [(provider, chosen)]
    # Without TF32, the fast but inexact products of float32.
    cuda = (_CUDA, {"use_tf32": "0"} | chosen)
    if provider == _CUDA:
        return [cuda]
    tensorrt = {"trt_fp16_enable": str(precision == "f16")} | chosen
    cache = user_cache()
    if cache is not None:  # building an engine takes minutes
        folder = cache.folder / "tensorrt"
        tensorrt |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}
    # CUDA runs what TensorRT cannot.
    return [(_TENSORRT, tensorrt), cuda]


# The commands that install the libraries of each provider.
_INSTALL = {
    _CUDA.lower(): 'pip install "onnxruntime-gpu[cuda,cudnn]"',
    _TENSORRT.lower(): 'pip install "onnxruntime-gpu[cuda,cudnn]" tensorrt',
}


@contextmanager
def _silent() -> Iterator[None]:
    """Silence onnxruntime's messages about something that becomes our own error."""
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        ort.set_default_logger_severity(2)  # its default: warnings


def _load_libraries(provider: str) -> None:
    """Load libraries that pip may have installed besides onnxruntime, so that they are found."""
    with suppress(Exception), redirect_stdout(io.StringIO()):  # it prints what is missing
        ort.preload_dlls()
    if provider == _TENSORRT:
        with suppress(Exception):
            import_module("tensorrt")


def _check_place(session: Any, provider: str, device: str, file: Path) -> None:
    """Raise BackendError, with what is missing, if a session would compute on the CPU."""
    if provider not in session.get_providers():
        raise BackendError(
            f"onnxruntime cannot use the device {device!r}, and would compute on the CPU: "
            f"{_missing(provider) or NO_GPU}"
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return
    left = [
        node.name or node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == _CPU
        for node in part.get_nodes()
        if node.op_type in _CONVOLUTIONS
    ]
    if left:
        raise BackendError(
            f"onnxruntime would run {len(left)} convolutions of {file} on the CPU, such as "
            f"{left[0]}: {device} cannot run them. Use the network in float32 instead of INT8"
        )


def _missing(provider: str) -> str:
    """Which library a provider is missing and how to get it; "" if none."""
    short = provider.removesuffix("ExecutionProvider").lower()
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{short}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        name = str(error).partition(":")[0]
        # This library belongs to onnxruntime, which finds it by itself.
        if "libonnxruntime" in name or "undefined symbol" in str(error):
            return ""
        return f"the library {name} is missing: {_INSTALL[provider.lower()]}"
    return ""


def _page_locked() -> Callable[[Sequence[int], Any], Array]:
    """A function that makes arrays in page-locked memory; ordinary ones without CUDA's runtime."""
    try:
        return PageLocked.of_version(int(str(ort.cuda_version).partition(".")[0])).array
    except (OSError, ValueError):
        return np.empty


def _extended(file: Path, input_format: InputFormat) -> bytes:
    """The serialised graph with the conversion from (N, H, W, 3) uint8 BGR before it."""
    cache = user_cache()
    if cache is None:
        return extended_graph(file, input_format)
    parts = [file_digest(part) for part in weight_files(file)]
    key = digest(["onnxruntime", ort.__version__, input_format, parts])
    kept = cache.load(key)
    if kept is not None:
        return kept.tobytes()
    model = extended_graph(file, input_format)
    cache.store(key, model)
    return model
