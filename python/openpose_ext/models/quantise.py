"""INT8: a float ONNX network -> QDQ ONNX that OpenVINO and onnxruntime both run, by pictures.

Weights are int8, a scale a channel; activations uint8, a scale a tensor. Ranges come from running
the network on pictures. Which convolutions stay in float is measured, too: each one is quantised
alone, and those that do most harm are left out as long as it helps.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from openpose_ext.backends import InputFormat
from openpose_ext.errors import ModelError
from openpose_ext.models.convert import network_input, opset

__all__ = ["OPSET", "Quantised", "quantise"]

Batch = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ranges = Mapping[str, tuple[Any, Any]]
Method = Literal["max", "percentile"]

OPSET = 13  # scales of a channel each do not exist before

# Of an activation's values, the share below the upper bound that "percentile" takes; the lower
# bound leaves as much below it. Averaged over pictures.
PERCENTILE = 0.9999
_SAMPLE = 200_000  # values of a tensor that are looked at for it

# Pictures of those given that the choices are made on; the others set the ranges.
_HELD_OUT = 8
_ALONE = 2  # of these, each layer alone is tried on

# Counts of convolutions left in float that are tried, worst first.
_FLOAT_LAYERS = (0, 1, 2, 3, 4, 6, 8)
# One more is worth its time if it takes away this share of the error.
_WORTH = 0.05


@dataclass(frozen=True)
class Quantised:
    """How a network was quantised.

    method  where the ranges came from
    float_layers  convolutions left in float, by the name of their output, worst first
    error   RMS difference from float, in shares of the maps' own deviation
    layers  convolutions in all
    """

    method: Method
    float_layers: tuple[str, ...]
    error: float
    layers: int


def quantise(
    source: Path, target: Path, pictures: Sequence[Batch], input_format: InputFormat
) -> Quantised:
    """Write a float ONNX network as QDQ ONNX.

    source        opset 13 or newer is kept, an older one becomes 13
    pictures      (1, H, W, 3) uint8 BGR each, of sizes that the network takes; the first few
                  choose between ranges and layers, the others give the ranges
    input_format  what the network expects

    Raises ModelError if there are fewer than two pictures or the network has no convolutions.
    """
    if len(pictures) < 2:
        raise ModelError(f"INT8 needs pictures to calibrate with; {len(pictures)} are not enough")
    held_out = max(1, min(_HELD_OUT, len(pictures) // 4))
    inputs = [network_input(picture, input_format) for picture in pictures]
    model = _prepared(source)
    bench = _Bench(model, inputs[:held_out])
    ranges = _ranges(model, inputs[held_out:])

    full = {method: bench.error(_qdq(model, ranges[method], ())) for method in ranges}
    method = min(full, key=full.__getitem__)
    names = _convolutions(model)
    order = _worst_first(model, ranges[method], names, inputs[:_ALONE])
    chosen, error = 0, full[method]
    for count in _FLOAT_LAYERS[1:]:
        if count >= len(names):
            break
        found = bench.error(_qdq(model, ranges[method], order[:count]))
        if found <= error * (1 - _WORTH) ** (count - chosen):
            chosen, error = count, found
    import onnx

    onnx.save(_qdq(model, ranges[method], order[:chosen]), target)
    by_node = {node.name: node.output[0] for node in model.graph.node}
    return Quantised(method, tuple(by_node[n] for n in order[:chosen]), error, len(names))


class _Bench:
    """Pictures, and what the float network makes of them."""

    def __init__(self, model: Any, inputs: Sequence[Floats]) -> None:
        self._inputs = inputs
        self._expected = _run(model, inputs)

    def error(self, model: Any) -> float:
        """RMS difference of a model's outputs from the float ones, in shares of their deviation."""
        errors = [
            np.sqrt(np.mean(np.square(found - truth))) / (truth.std() or 1.0)
            for found_all, truth_all in zip(_run(model, self._inputs), self._expected, strict=True)
            for found, truth in zip(found_all, truth_all, strict=True)
        ]
        return float(np.mean(errors))


def _worst_first(
    model: Any, ranges: Ranges, names: Sequence[str], inputs: Sequence[Floats]
) -> list[str]:
    """Convolutions by the harm that each does when it alone is quantised."""
    bench = _Bench(model, inputs)
    harm = {name: bench.error(_qdq(model, ranges, (), only=[name])) for name in names}
    return sorted(names, key=harm.__getitem__, reverse=True)


def _prepared(source: Path) -> Any:
    """The model at an opset that has per-channel scales, every node with a name of its own."""
    import onnx

    model = onnx.load(source)
    if opset(source) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    for k, node in enumerate(model.graph.node):
        node.name = f"{k}:{node.op_type}"
    if not _convolutions(model):
        raise ModelError(f"{source} has no convolutions to quantise")
    return model


def _convolutions(model: Any) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def _ranges(model: Any, inputs: Sequence[Floats]) -> dict[Method, Ranges]:
    """Range of each activation that a convolution reads or gives, by both methods."""
    import onnx

    constants = {constant.name for constant in model.graph.initializer}
    wanted: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            wanted |= dict.fromkeys((node.input[0], node.output[0]))
        elif node.op_type == "Relu":  # its convolution takes over its range
            wanted |= dict.fromkeys(node.output)
    names = [name for name in wanted if name not in constants]
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = _session(asked)
    source = session.get_inputs()[0].name
    bounds = np.empty((len(inputs), len(names), 4), np.float32)
    for row, picture in zip(bounds, inputs, strict=True):
        for bound, values in zip(row, session.run(names, {source: picture}), strict=True):
            sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
            low, high = np.quantile(sample, (1 - PERCENTILE, PERCENTILE))
            bound[:] = values.min(), values.max(), low, high
    low, high = bounds[..., 0].min(axis=0), bounds[..., 1].max(axis=0)
    likely = bounds[..., 2:].mean(axis=0)
    return {
        "max": dict(zip(names, zip(low, high, strict=True), strict=True)),
        "percentile": dict(zip(names, map(tuple, likely), strict=True)),
    }


def _qdq(model: Any, ranges: Ranges, keep: Sequence[str], only: Sequence[str] | None = None) -> Any:
    """The model with convolutions quantised: all but those to keep, or `only` some."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = TensorsData(CalibrationMethod.MinMax, dict(ranges))
    with _silent():
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=data,
            nodes_to_quantize=None if only is None else list(only),
            nodes_to_exclude=list(keep),
            op_types_to_quantize=["Conv"],
            extra_options={"ForceQuantizeNoInputCheck": False},
        )
        quantizer.quantize_model()
    return quantizer.model.model


def _run(model: Any, inputs: Sequence[Floats]) -> list[list[Floats]]:
    session = _session(model)
    source = session.get_inputs()[0].name
    return [session.run(None, {source: picture}) for picture in inputs]


def _session(model: Any) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@contextlib.contextmanager
def _silent() -> Any:
    """Keep the quantiser's advice off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
