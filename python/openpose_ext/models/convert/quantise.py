"""INT8 quantisation of a float ONNX network to QDQ ONNX, which OpenVINO and onnxruntime both run.

Weights are integers up to 64 with a scale per channel, and biases are int32. Activations have a
scale per tensor and are uint8, or int8 if they can be negative. The zero point is always 0, because
OpenVINO's fastest kernels accept no other (1.1 times as fast on human-pose-estimation-0001, 2.3
times on BODY_25).

The range of an activation is its maximum over the calibration pictures, reduced to minimise the
squared error of rounding and clipping. The convolutions that stay in float are found by
measurement: groups of four are quantised alone, then each convolution of the worst groups, and the
most harmful ones stay in float as long as that is worth its time. A network that accepts any size
is tried on smaller pictures here. The reported error is that of the result, on pictures of full
size.

Pictures that show nothing of what the network looks for lead to ranges that are too small: `sees`
recognises them, and they are refused.

A convolution of concatenated tensors, such as features and the previous stage's maps, is split into
a sum of convolutions with a scale for each tensor, unless the tensors have similar ranges and are
never negative. Otherwise maps would be left with only a few steps. Moreover, OpenVINO (2026.4)
clips negative values of concatenated tensors on processors without AMX, which cost `lite` 0.03 AP.

onnxruntime's own quantiser lost 0.06 AP on human-pose-estimation-0001, this one 0.01. Theirs also
rounds the network's outputs and the inputs of its ELUs, which no convolution reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import InputFormat
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io.resize import resized
from openpose_ext.models.convert.formats import network_input, opset

__all__ = ["OPSET", "Progress", "Quantised", "quantise", "worst_first"]

Batch = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Maps = Mapping[str, Floats]
Ranges = Mapping[str, tuple[float, float]]

# Is told what is done, how much of it, and of how much.
Progress = Callable[[str, int, int], None]

OPSET = 13  # a scale for each channel does not exist before

# How many of the pictures serve to measure the error; the others set the ranges. The network must
# see something in twice as many.
_HELD_OUT = 8
_CHOSEN_ON = 4  # of these, on which it is decided how many layers stay in float
_ALONE = 2  # of these, each group of layers alone is tried on
_GROUP = 4  # convolutions that are tried together first
_SMALLER = 2  # what the sides of pictures are divided by while layers are chosen

_SAMPLE = 10_000  # values of an activation and picture that its range is chosen by
_SHRINKS = np.linspace(0.3, 1.0, 29)

# Numbers of float convolutions that are tried, and the share of the error that each must remove
# to be worth its time.
_FLOAT_LAYERS = (1, 2, 3, 4, 6, 8)
_WORTH = 0.08

# The largest integer of a weight. Processors without VNNI add two products of a weight and an
# activation up to 255 in 16 bits, which must hold them.
_WEIGHT = 64

# Tensors that are never negative stay joined if their ranges are within this factor.
_ALIKE = 4

# Operations whose output contains only values of their input.
_SAME_VALUES = ("MaxPool",)


@dataclass(frozen=True)
class Quantised:
    """The result of a quantisation.

    float_layers  convolutions left in float, by the name of their output, worst first
    layers        number of all convolutions
    error         RMS difference from the float network's maps, relative to their standard
                  deviation, on pictures that were not used for the ranges
    """

    float_layers: tuple[str, ...]
    layers: int
    error: float


def quantise(
    source: Path,
    target: Path,
    pictures: Sequence[Batch],
    input_format: InputFormat,
    *,
    float_layers: Sequence[int] = _FLOAT_LAYERS,
    sees: Callable[[Maps], bool] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Quantised:
    """Write a float ONNX network as QDQ ONNX.

    source        an opset older than 13 is converted to 13
    pictures      (1, H, W, 3) uint8 BGR each, of sizes that the network takes: 16 or more
    input_format  what the network expects
    float_layers  how many convolutions may stay in float; 0 skips the trials
    sees          whether the float network's outputs for a picture show anything; None accepts all
                  pictures

    Raises ModelError if there are fewer than two pictures, something is to be seen in too few of
    them, or there are no convolutions; BackendError if onnxruntime is missing.
    """
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise BackendError(
            f'INT8 needs {" and ".join(missing)}: pip install "openpose_ext[onnxruntime]"'
        )
    if len(pictures) < 2:
        raise ModelError(f"INT8 needs pictures to calibrate with; {len(pictures)} are not enough")
    inputs = [network_input(picture, input_format) for picture in pictures]
    network = _Network(_prepared(source))
    if not network.convolutions:
        raise ModelError(f"{source} has no convolutions to quantise")
    looks = []
    for look in network.looks(inputs):
        looks.append(look)
        progress("float network", len(looks), len(inputs))
    held_out = _held_out([sees is None or sees(look.maps) for look in looks])
    ranges = network.ranges([look for k, look in enumerate(looks) if k not in held_out])
    network, ranges = network.parted(ranges)
    trial = _Trial([inputs[k] for k in held_out], [[*looks[k].maps.values()] for k in held_out])
    del looks

    order = names = [node.name for node in network.convolutions]

    def without(count: int) -> Any:
        return network.quantised(ranges, set(order[count:]))

    chosen = 0
    float_layers = [count for count in float_layers if count < len(names)]
    if float_layers:
        chosen_on = [pictures[k] for k in held_out[:_CHOSEN_ON]]
        if input_format.size is None:
            chosen_on = [_smaller(picture) for picture in chosen_on]
        small = [network_input(picture, input_format) for picture in chosen_on]
        quick = _Trial(small, list(_outputs(network.model, small)))
        few = _Trial(quick.inputs[:_ALONE], quick.expected[:_ALONE])
        order = worst_first(
            names,
            max(float_layers),
            lambda some: few.error(network.quantised(ranges, {*some})),
            progress,
        )
        order += [name for name in names if name not in order]
        error = quick.error(without(0))
        for k, count in enumerate(float_layers):
            progress("layers in float", k + 1, len(float_layers))
            less = quick.error(without(count))
            if less <= error * (1 - _WORTH) ** (count - chosen):
                chosen, error = count, less

    import onnx

    made = without(chosen)
    error = trial.error(made)
    onnx.checker.check_model(made)
    onnx.save(made, target)
    outputs = {node.name: str(node.output[0]) for node in network.convolutions}
    return Quantised(tuple(outputs[name] for name in order[:chosen]), len(names), error)


def _held_out(seen: Sequence[bool]) -> list[int]:
    """The first pictures in which something is to be seen, by their numbers."""
    count = min(_HELD_OUT, len(seen) // 2)
    found = [k for k, one in enumerate(seen) if one]
    if len(found) < 2 * count:
        raise ModelError(
            f"INT8: the float network finds what it looks for in {len(found)} of {len(seen)} "
            f"calibration pictures, but {2 * count} are needed. Calibrate with pictures like those "
            "the network is to look at"
        )
    return found[:count]


def _smaller(picture: Batch) -> Batch:
    """The picture at a fraction of its size, of sides that networks with pools take."""
    height, width = (min(n, max(64, n // _SMALLER // 8 * 8)) for n in picture.shape[1:3])
    return resized(picture[0], (width, height))[None]


def worst_first(
    names: Sequence[str],
    count: int,
    harm: Callable[[Sequence[str]], float],
    progress: Progress = lambda what, done, total: None,
) -> list[str]:
    """The `count` names that do most harm, worst first: those of the worst groups are tried alone.

    harm  of some of the names together, no less than of each of them
    """
    groups = [names[k : k + _GROUP] for k in range(0, len(names), _GROUP)]
    tried = 0

    def worst(of: Sequence[Sequence[str]], total: int) -> list[Sequence[str]]:
        nonlocal tried
        harms = []
        for group in of:
            harms.append(harm(group))
            tried += 1
            progress("layers that do most harm", tried, total)
        order = sorted(range(len(of)), key=lambda k: harms[k], reverse=True)
        return [of[k] for k in order[:count]]

    total = len(groups) + min(count * _GROUP, len(names))
    alone = [[name] for group in worst(groups, total) for name in group]
    return [name for (name,) in worst(alone, len(groups) + len(alone))]


@dataclass(frozen=True)
class _Look:
    """What the float network makes of a picture: its outputs, and what ranges are chosen by."""

    maps: Maps
    extremes: Floats
    samples: Sequence[Floats]


@dataclass(frozen=True)
class _Trial:
    """Pictures, with the float network's outputs for them."""

    inputs: Sequence[Floats]
    expected: Sequence[Sequence[Floats]]

    def error(self, model: Any) -> float:
        """See `Quantised.error`."""
        found = _outputs(model, self.inputs)
        return float(
            np.mean(
                [
                    np.sqrt(np.mean(np.square(a - b))) / (b.std() or 1.0)
                    for maps, expected in zip(found, self.expected, strict=True)
                    for a, b in zip(maps, expected, strict=True)
                ]
            )
        )


@dataclass(frozen=True)
class _Network:
    """A float network whose nodes have unique names."""

    model: Any
    convolutions: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        convolutions = [
            node
            for node in self.model.graph.node
            if node.op_type == "Conv" and node.input[1] in self._constants
        ]
        object.__setattr__(self, "convolutions", convolutions)

    @cached_property
    def _constants(self) -> dict[str, npt.NDArray[Any]]:
        from onnx import numpy_helper

        graph = self.model.graph
        held = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                held[node.output[0]] = node.attribute[0].t
        return {name: numpy_helper.to_array(tensor) for name, tensor in held.items()}

    @cached_property
    def _maker(self) -> dict[str, Any]:
        return {name: node for node in self.model.graph.node for name in node.output}

    def _same_values(self, tensor: str) -> Iterator[str]:
        """Earlier tensors that contain the same values, such as the input of a pool."""
        while tensor in self._maker and self._maker[tensor].op_type in _SAME_VALUES:
            tensor = self._maker[tensor].input[0]
            yield tensor

    @cached_property
    def _measured(self) -> list[str]:
        """The tensors that convolutions read, alone or joined with others."""
        read = [node.input[0] for node in self.convolutions]
        return list(dict.fromkeys([*read, *(p for parts in self._joined.values() for p in parts)]))

    def looks(self, inputs: Sequence[Floats]) -> Iterator[_Look]:
        """Run the network on each input."""
        import onnx

        outputs = [output.name for output in self.model.graph.output]
        asked = onnx.ModelProto()
        asked.CopyFrom(self.model)
        asked.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in self._measured if name not in outputs
        )
        names = [output.name for output in asked.graph.output]
        for tensors in _outputs(asked, inputs):
            by_name = dict(zip(names, tensors, strict=True))
            measured = [by_name[name].ravel() for name in self._measured]
            yield _Look(
                {name: by_name[name] for name in outputs},
                np.array([(values.min(), values.max()) for values in measured], np.float32),
                [values[:: max(1, values.size // _SAMPLE)].copy() for values in measured],
            )

    def ranges(self, looks: Iterable[_Look]) -> Ranges:
        """The range of each tensor that a convolution reads, alone or joined with others."""
        looks = list(looks)
        extremes = np.stack([look.extremes for look in looks])
        low = np.minimum(extremes[..., 0].min(axis=0), 0)  # 0 must be a value: padding is
        high = np.maximum(extremes[..., 1].max(axis=0), 0)
        return {
            name: _least_error(
                np.concatenate([look.samples[k] for look in looks]), float(low[k]), float(high[k])
            )
            for k, name in enumerate(self._measured)
        }

    @cached_property
    def _joined(self) -> dict[str, list[str]]:
        """The tensors that are concatenated to inputs of convolutions."""
        parts = {node.input[0]: list(self._parts(node.input[0])) for node in self.convolutions}
        return {tensor: found for tensor, found in parts.items() if len(found) > 1}

    def _parts(self, tensor: str) -> Iterator[str]:
        maker = self._maker.get(tensor)
        if maker is None or maker.op_type != "Concat" or maker.attribute[0].i != 1:
            yield tensor
        else:
            for part in maker.input:
                yield from self._parts(part)

    def parted(self, ranges: Ranges) -> tuple[_Network, Ranges]:
        """The network with convolutions of concatenated tensors split into sums, and all ranges."""
        import onnx

        made, ranges = onnx.ModelProto(), dict(ranges)
        made.CopyFrom(self.model)
        channels = _channels(self.model)
        names = {node.name for node in self.convolutions}
        nodes: list[Any] = []
        for node in made.graph.node:
            parts = self._joined.get(node.input[0], []) if node.name in names else []
            known = len(set(parts)) == len(parts) and all(part in channels for part in parts)
            whole = all(a.name != "group" or a.i == 1 for a in node.attribute)
            groups = _groups(parts, ranges) if known and whole else []
            if len(groups) < 2:
                nodes.append(node)
                continue
            sources = [g[0] if len(g) == 1 else f"{node.name}/{'+'.join(g)}" for g in groups]
            for source, group in zip(sources, groups, strict=True):
                low, high = zip(*(ranges[part] for part in group), strict=True)
                ranges[source] = min(low), max(high)
            held, added = self._sum(node, dict(zip(sources, groups, strict=True)), parts, channels)
            made.graph.initializer.extend(held)
            nodes += added
        read = {tensor for node in nodes for tensor in node.input}
        read |= {output.name for output in made.graph.output}
        del made.graph.node[:]
        made.graph.node.extend(node for node in nodes if read.intersection(node.output))
        return _Network(made), ranges

    def _sum(
        self,
        node: Any,
        groups: Mapping[str, Sequence[str]],
        parts: Sequence[str],
        channels: Mapping[str, int],
    ) -> tuple[list[Any], list[Any]]:
        """Split a convolution of concatenated tensors into a sum over groups: weights and nodes."""
        from onnx import helper, numpy_helper

        ends = np.cumsum([channels[part] for part in parts])
        of = {
            part: np.arange(end - channels[part], end)
            for part, end in zip(parts, ends, strict=True)
        }
        weight = self._constants[node.input[1]]
        held, nodes, total = [], [], ""
        for k, (source, group) in enumerate(groups.items()):
            name = f"{node.name}.{k}"
            if len(group) > 1:
                nodes.append(helper.make_node("Concat", group, [source], f"{name}/join", axis=1))
            columns = np.concatenate([of[part] for part in group])
            held.append(numpy_helper.from_array(weight[:, columns], f"{name}/part"))
            conv = helper.make_node("Conv", [source, f"{name}/part"], [f"{name}/sum"], name)
            conv.attribute.extend(node.attribute)
            nodes.append(conv)
            if k == 0:
                conv.input.extend(node.input[2:])
                total = f"{name}/sum"
                continue
            sums, total = [total, f"{name}/sum"], f"{name}/total"
            nodes.append(helper.make_node("Add", sums, [total], f"{name}/add"))
        nodes[-1].output[0] = node.output[0]
        return held, nodes

    def quantised(self, ranges: Ranges, wanted: Collection[str]) -> Any:
        """The model with the convolutions of these names in INT8."""
        import onnx
        from onnx import helper, numpy_helper

        chosen = [node for node in self.convolutions if node.name in wanted]
        scales: dict[str, np.float32] = {}
        added: list[Any] = []

        def constant(name: str, values: Any) -> str:
            added.append(numpy_helper.from_array(np.asarray(values), name))
            return name

        for tensor in dict.fromkeys(node.input[0] for node in chosen):
            scale, zero = _scale(*ranges[tensor])
            # A pool between two convolutions works on integers of one scale.
            for same in (tensor, *self._same_values(tensor)):
                if same not in scales:
                    scales[same] = scale
                    constant(f"{same}/scale", scale)
                    constant(f"{same}/zero", zero)

        def pair(tensor: str) -> list[Any]:
            how = [f"{tensor}/scale", f"{tensor}/zero"]
            return [
                helper.make_node("QuantizeLinear", [tensor, *how], [f"{tensor}/q"]),
                helper.make_node("DequantizeLinear", [f"{tensor}/q", *how], [f"{tensor}/dq"]),
            ]

        def parameters(name: str, values: npt.NDArray[Any], scale: Floats, most: int) -> Any:
            """Integer weights with a scale per channel, and the node that dequantises them."""
            kind = np.int8 if most <= np.iinfo(np.int8).max else np.int32
            per_channel = scale.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float64)
            integers = np.rint(values / per_channel).clip(-most, most).astype(kind)
            names = [
                constant(f"{name}/q", integers),
                constant(f"{name}/scale", scale),
                constant(f"{name}/zero", np.zeros(len(scale), kind)),
            ]
            return helper.make_node("DequantizeLinear", names, [name], axis=0)

        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        nodes = [
            n for source in made.graph.input if source.name in scales for n in pair(source.name)
        ]
        for node in made.graph.node:
            if node.name in wanted:
                weight = self._constants[node.input[1]]
                largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
                scale = (np.maximum(largest, 1e-12) / _WEIGHT).astype(np.float32)
                nodes.append(parameters(f"{node.name}/weight", weight, scale, _WEIGHT))
                node.input[1] = f"{node.name}/weight"
                if len(node.input) > 2 and node.input[2] in self._constants:
                    bias = self._constants[node.input[2]]
                    scale = scale * scales[node.input[0]]
                    nodes.append(parameters(f"{node.name}/bias", bias, scale, 2**31 - 1))
                    node.input[2] = f"{node.name}/bias"
            for k, tensor in enumerate(node.input):
                if tensor in scales:
                    node.input[k] = f"{tensor}/dq"
            nodes.append(node)
            nodes += [n for tensor in node.output if tensor in scales for n in pair(tensor)]
        read = {tensor for node in nodes for tensor in node.input}
        kept = [tensor for tensor in made.graph.initializer if tensor.name in read]
        graph = helper.make_graph(
            nodes, made.graph.name, made.graph.input, made.graph.output, [*kept, *added]
        )
        made.graph.CopyFrom(graph)
        return made


def _prepared(source: Path) -> Any:
    """Convert the model to an opset with scales per channel, and name every node."""
    import onnx

    model = onnx.load(source)
    if opset(source) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    for k, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}.{k}"
    return model


def _channels(model: Any) -> dict[str, int]:
    """The number of channels of each tensor (n, channels, h, w), if the file states it."""
    import onnx

    told = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in (*told.input, *told.value_info)
        if len(value.type.tensor_type.shape.dim) == 4
        and value.type.tensor_type.shape.dim[1].dim_value
    }


def _groups(tensors: Sequence[str], ranges: Ranges) -> list[list[str]]:
    """Groups of tensors that may stay concatenated: never negative, with similar ranges."""
    groups: list[list[str]] = []
    for tensor in tensors:
        low, high = ranges[tensor]
        for group in groups:
            first_low, first_high = ranges[group[0]]
            together = low >= 0 and first_low >= 0
            if together and 1 / _ALIKE < max(high, 1e-12) / max(first_high, 1e-12) < _ALIKE:
                group.append(tensor)
                break
        else:
            groups.append([tensor])
    return groups


def _scale(low: float, high: float) -> tuple[np.float32, np.uint8 | np.int8]:
    """The scale for a range that contains 0, and a zero of the integer type."""
    zero = np.int8(0) if low < 0 else np.uint8(0)
    return np.float32(max(-low, high, 1e-12) / np.iinfo(zero.dtype).max), zero


def _least_error(values: Floats, low: float, high: float) -> tuple[float, float]:
    """The part of the range low..high whose integers approximate the values best."""
    best, least = (low, high), np.inf
    for shrink in _SHRINKS[::-1]:
        scale, zero = _scale(low * shrink, high * shrink)
        kind = np.iinfo(zero.dtype)
        rounded = np.rint(values / scale).clip(kind.min, kind.max) * scale
        error = float(np.mean(np.square(rounded - values)))
        if error < least:
            best, least = (low * shrink, high * shrink), error
    return best


def _outputs(model: Any, inputs: Sequence[Floats]) -> Iterator[list[Floats]]:
    """The outputs of a model for each input, computed by onnxruntime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it waits a lot
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    for values in inputs:
        yield session.run(None, {name: values})
