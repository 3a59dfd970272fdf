"""OpenVINO, the default engine: ONNX, its own IR, TensorFlow graphs and TFLite on any CPU.

OpenVINO's preprocessing adds the conversion of the input to the graph at no cost. The graph keeps
dynamic sizes: a new picture size costs some tens of milliseconds once, not a compilation. Compiled
models are cached by this package, because OpenVINO's own cache reads and hashes the whole model
before it finds an entry.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.pooled import PooledBackend
from openpose_ext.backends.protocol import (
    NVIDIA,
    PIXEL_SPAN,
    Backend,
    BackendInfo,
    Graph,
    InputFormat,
    Outputs,
    reason,
)
from openpose_ext.errors import BackendError
from openpose_ext.io.cache import digest, file_digest, user_cache, weight_files
from openpose_ext.io.cpus import cpu_flags, own_cores

__all__ = ["describe", "open_engine"]


def _import_openvino() -> Any:
    """Import the engine without its model converter, which takes half of the time: 40 of 80 ms.

    `openvino` itself copes with a missing converter. A stub replaces the converter's only function;
    it imports the real one when other code in this process calls it.
    """
    converter = "openvino.tools.ovc"
    if "openvino" in sys.modules:
        return import_module("openvino")  # waits for another thread's import, too

    def convert_model(*args: Any, **options: Any) -> Any:
        return import_module(converter).convert_model(*args, **options)

    stub = ModuleType(converter)
    stub.__dict__["convert_model"] = convert_model
    sys.modules[converter] = stub
    try:
        return import_module("openvino")
    finally:
        del sys.modules[converter]


ov = _import_openvino()

# The bindings initialise themselves with the first array they get. Two threads that pass their
# first arrays at once deadlock: one waits for Python's lock, one for the initialisation. So the
# first array is passed here, because only one thread imports a module.
_ = ov.Tensor(np.zeros(1, np.uint8), shared_memory=True).data

# The meaning of "auto" on an x86 processor: the first line that fits. OpenVINO chooses bf16 on
# every processor that knows the type, regardless of speed and of ONEDNN_MAX_CPU_ISA, which caps
# the instructions oneDNN uses. Only AMX tiles multiply bf16 faster than f32. Without them, values
# are converted back and forth, or, under a cap, computed by kernels that are slow or return
# empty maps.
#
# processor's flag   allowed by a cap of these, or none                        precision
_AUTO = (
    ("amx_bf16", ("AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16", "AVX10_1_512_AMX",
                  "AVX10_1_512_AMX_FP16", "AVX10_2_512_AMX_2", "ALL", "DEFAULT", ""), "bf16"),
    ("", None, "f32"),
)  # fmt: skip


# The capability a device must have for each.
_PRECISIONS = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


@cache
def _core(process: int) -> Any:
    """OpenVINO's core, one per process, which is never released.

    Its CPU device gives the thread that first uses it a stack for signal handlers, and frees it
    with the core. If another thread released the last core, the next signal of the first thread,
    such as Ctrl-C, would run on freed memory (OpenVINO 2026.4). A forked process needs its own
    core, because the threads of its parent's are missing there.
    """
    return ov.Core()


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
    core = _core(os.getpid())
    device = device.upper()
    try:
        capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    except RuntimeError as error:
        nvidia = device.startswith(("CUDA", "TENSORRT"))
        raise BackendError(
            f"openvino has no device {device!r}, only {', '.join(core.available_devices)}"
            + (f": {NVIDIA}" if nvidia else "")
        ) from error
    # On a CPU, one model with several streams computes wrong maps for INT8 networks in most of its
    # compilations (OpenVINO 2026.4). So each stream has its own model there.
    models = streams if device.startswith("CPU") else 1
    each = max(1, (threads or own_cores()) // models) if models > 1 else threads
    config = _config(device, capabilities, precision, each, streams // models)
    try:
        compiled, weights = _compiled(
            core, file, input_format, device, capabilities, config, models
        )
    except RuntimeError as error:
        raise BackendError(f"openvino refuses {file} on {device}: {reason(error)}") from error
    # Each number of pictures in a batch is a size of its own, which takes time and memory, and a
    # single thread gains little from batches: 0 to 5 % of mobilenet, 3 to 12 % of lite. Networks of
    # one size (points of faces and feet) are small and gain up to 60 %.
    apart = device.startswith("CPU") and each == 1 and input_format.size is None
    return _OpenVINOBackend(compiled, weights, file, input_format, device, threads, streams, apart)


def describe(file: Path) -> Graph:
    """Inputs and outputs as stated in the file; see `backends.engines.describe`."""
    try:
        model = _core(os.getpid()).read_model(file)
    except RuntimeError as error:
        raise BackendError(f"openvino cannot read {file}: {reason(error)}") from error
    if len(model.inputs) != 1:
        raise BackendError(f"{file} has {len(model.inputs)} inputs; a pose network has one")
    return Graph(
        input=_shape(model.inputs[0]),
        outputs={_name(output): _shape(output) for output in model.outputs},
        normalises=_normalises(model.inputs[0]),
        joined={_name(output): _joined(output) for output in model.outputs},
    )


def _joined(output: Any) -> tuple[int | None, ...]:
    """The lengths of the tensors that an output concatenates, along that axis; empty if none."""
    last = output.get_node().input_value(0).get_node()
    while last.get_type_name() == "Transpose":
        last = last.input_value(0).get_node()
    if last.get_type_name() != "Concat":
        return ()
    axis = last.get_axis()
    return tuple(_shape(last.input_value(k))[axis] for k in range(last.get_input_size()))


class _OpenVINOBackend(PooledBackend[Any]):
    def __init__(
        self,
        models: list[Any],
        weights: Any,
        file: Path,
        input_format: InputFormat,
        device: str,
        threads: int | None,
        streams: int,
        apart: bool,
    ) -> None:
        compiled = models[0]
        self._names = [_name(output) for output in compiled.outputs]
        info = BackendInfo(
            engine="openvino",
            version=ov.__version__,
            model=file,
            device=device,
            precision=_precision(compiled),
            fixed_size=input_format.size,
            streams=streams,
            threads=threads,
            outputs={_name(output): _shape(output) for output in compiled.outputs},
            batch=_shape(compiled.inputs[0])[0],
        )
        super().__init__(
            [models[k % len(models)].create_infer_request() for k in range(streams)],
            info,
            apart=apart,
        )
        self._weights = weights  # kept alive: the models read them, and do not own them

    def _infer(self, request: Any, batch: npt.NDArray[np.uint8]) -> Outputs:
        try:
            # In the engine's own thread, not in the caller's: callers are more than streams, and
            # the heap of each thread grows by what the network needs.
            request.start_async([batch], share_inputs=True)
            request.wait()
        except RuntimeError as error:
            raise BackendError(
                f"openvino failed on a batch of {batch.shape} with {self.info.model.name}: "
                f"{reason(error)}"
            ) from error
        return {
            name: request.get_output_tensor(index).data for index, name in enumerate(self._names)
        }


def _config(
    device: str,
    capabilities: list[str],
    precision: str,
    threads: int | None,
    streams: int,
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if precision == "auto" and device.startswith("CPU") and cpu_flags():
        precision = _auto(cpu_flags(), os.environ.get("ONEDNN_MAX_CPU_ISA", ""))
    if precision != "auto":
        if _PRECISIONS[precision] not in capabilities:
            has = [name for name, capability in _PRECISIONS.items() if capability in capabilities]
            raise BackendError(
                f"{device} has no {precision}, only {', '.join(has)}; precision='auto' chooses "
                "the fastest"
            )
        config["INFERENCE_PRECISION_HINT"] = precision
    if streams > 1:
        config["NUM_STREAMS"] = streams
    if device.startswith("CPU"):
        # Pinning would put the single thread of every process on the same core.
        config["ENABLE_CPU_PINNING"] = False
        # Otherwise each model keeps what it prepared for every size of input: 3.4 MB a size of
        # mobilenet, without bound. oneDNN keeps the kernels anyway, once for all models (1.4 MB a
        # size); to take them up from there costs 1 to 2 ms when the size changes.
        config["CPU_RUNTIME_CACHE_CAPACITY"] = 0
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
    return config


def _auto(flags: frozenset[str], cap: str) -> str:
    """The fastest precision that is correct, given the processor's flags and oneDNN's cap."""
    return next(
        precision
        for flag, caps, precision in _AUTO
        if (not flag or flag in flags) and (caps is None or cap.upper() in caps)
    )


def _compiled(
    core: Any,
    file: Path,
    input_format: InputFormat,
    device: str,
    capabilities: list[str],
    config: Mapping[str, Any],
    count: int,
) -> tuple[list[Any], Any]:
    """The model, compiled so many times, from the user's cache if possible; and what must live as
    long. All have the same weights in memory, apart from those that the engine rearranges."""

    def compiled() -> list[Any]:
        model = _model(core, file, input_format)
        return [core.compile_model(model, device, config) for _ in range(count)]

    kept = user_cache() if "EXPORT_IMPORT" in capabilities else None
    if kept is None:
        return compiled(), None

    key = digest(
        [
            "openvino",
            ov.get_version(),
            platform.machine(),
            device,
            core.get_property(device, "FULL_DEVICE_NAME"),
            capabilities,
            sorted(config.items()),
            input_format,
            [file_digest(part) for part in weight_files(file)],
        ]
    )
    blob = kept.load(key)
    if blob is not None:
        weights = ov.Tensor(blob, shared_memory=True)
        try:
            return [core.import_model(weights, device, config) for _ in range(count)], weights
        except RuntimeError:
            pass  # whole, but not for this build: compile it again
    models = compiled()
    kept.store(key, models[0].export_model().getvalue())
    return models, None


def _model(core: Any, file: Path, input_format: InputFormat) -> Any:
    """The graph with the conversion from (N, H, W, 3) uint8 BGR before it."""
    model = core.read_model(file)
    if len(model.inputs) != 1:
        raise BackendError(f"{file} has {len(model.inputs)} inputs; a pose network has one")
    _reshape(model, file, input_format)

    processor = ov.preprocess.PrePostProcessor(model)
    source = processor.input()
    source.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    source.tensor().set_color_format(ov.preprocess.ColorFormat.BGR)
    source.model().set_layout(ov.Layout(input_format.layout))
    steps = source.preprocess()
    if input_format.channels == "RGB":
        steps.convert_color(ov.preprocess.ColorFormat.RGB)
    if input_format.normalises:
        steps.convert_element_type(ov.Type.f32)
        steps.mean(list(input_format.mean)).scale(list(input_format.divisor))
    for index in range(len(model.outputs)):
        processor.output(index).tensor().set_element_type(ov.Type.f32)
    return processor.build()


def _reshape(model: Any, file: Path, input_format: InputFormat) -> None:
    """Give the input the sizes of the format: dynamic or fixed."""
    shape = model.inputs[0].partial_shape
    if shape.rank.is_dynamic or len(shape) != 4:
        raise BackendError(f"{file} takes inputs of {shape}, which are not pictures")
    if input_format.size is None:
        batch, width, height = -1, -1, -1
    else:
        batch = shape[0].get_length() if shape[0].is_static else -1
        width, height = input_format.size
    nchw = input_format.layout == "NCHW"
    wanted = [batch, 3, height, width] if nchw else [batch, height, width, 3]
    if shape == ov.PartialShape(wanted):
        return
    try:
        model.reshape(ov.PartialShape(wanted))
    except RuntimeError as error:
        raise BackendError(
            f"{file} takes {shape} and cannot be made to take {wanted}; layout and size in its "
            f"manifest may be wrong: {reason(error)}"
        ) from error


def _normalises(source: Any) -> bool:
    """Whether the graph starts with constant arithmetic or a quantiser of pixel values."""
    while True:
        consumers = [target.get_node() for target in source.get_target_inputs()]
        if len(consumers) != 1:
            return False
        node = consumers[0]
        kind = node.get_type_name()
        if kind in ("Transpose", "Convert", "Reshape"):
            source = node.output(0)
            continue
        constants = [
            node.input_value(index).get_node()
            for index in range(node.get_input_size())
            if node.input_value(index).get_node().get_type_name() == "Constant"
        ]
        if kind == "FakeQuantize":
            bounds = [float(np.ravel(constant.data)[0]) for constant in constants[:2]]
            return len(bounds) == 2 and bounds[1] - bounds[0] >= PIXEL_SPAN
        return kind in ("Multiply", "Divide", "Add", "Subtract") and bool(constants)


def _name(output: Any) -> str:
    """The output's name in the file. IR has one name; other formats may have several or none."""
    names = sorted(output.names)
    return names[0] if names else str(output.node.friendly_name)


def _shape(port: Any) -> tuple[int | None, ...]:
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(dim.get_length() if dim.is_static else None for dim in shape)


def _precision(compiled: Any) -> str:
    try:
        return str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    except RuntimeError:  # a device that does not say
        return "f32"
