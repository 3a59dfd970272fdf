"""Writes a float ONNX network as QDQ ONNX, which OpenVINO and onnxruntime both run in INT8.

Weights are integers up to 64 with a scale per channel, and biases are int32. Activations have a
scale per tensor and are uint8, or int8 if they can be negative. The zero point is always 0, because
OpenVINO's fastest kernels accept no other (1.1 times as fast on human-pose-estimation-0001, 2.3
times on BODY_25).

A convolution of concatenated tensors, such as features and the previous stage's maps, is split into
a sum of convolutions with a scale for each tensor, unless the tensors have similar ranges and are
never negative. Otherwise maps would be left with only a few steps. Moreover, OpenVINO (2026.4)
clips negative values of concatenated tensors on processors without AMX, which cost `lite` 0.03 AP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from openpose_ext.models.convert.formats import opset

__all__ = [
    "MOST_WEIGHT",
    "OPSET",
    "Activation",
    "Activations",
    "Batch",
    "FloatNetwork",
    "FloatRun",
    "Floats",
    "Maps",
    "Ranges",
    "Rounded",
    "group_count",
    "outputs_of",
    "together",
]

Batch = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Maps = Mapping[str, Floats]
Ranges = Mapping[str, tuple[float, float]]

OPSET = 13  # earlier opsets have no scale per channel

_SAMPLE = 10_000  # values of each activation and picture that are kept for choosing its range
_SHRINKS = np.linspace(0.3, 1.0, 29)  # the parts of the full range that are tried

# The largest integer of a weight. Processors without VNNI add two products of a weight and an
# activation up to 255 in 16 bits, which must hold them.
MOST_WEIGHT = 64

# Tensors that are never negative stay joined if their ranges are within this factor.
_ALIKE = 4

# Operations whose output contains only values of their input.
_SAME_VALUES = ("MaxPool",)


@dataclass(frozen=True)
class Rounded:
    """The weights of a convolution: integers in the weights' shape, and a scale per channel."""

    integers: npt.NDArray[np.int8]
    scale: Floats


@dataclass(frozen=True)
class Activation:
    """What a tensor held in some pictures.

    low, high  (C,): the least and the largest value of each channel, and 0: padding is
    samples    (C, n): some values of each
    """

    low: Floats
    high: Floats
    samples: Floats

    @classmethod
    def of(cls, tensor: Floats) -> Self:
        """Of a tensor (1, C, ...)."""
        values = tensor.reshape(tensor.shape[1], -1)
        some = values[:, :: max(1, values.size // _SAMPLE)].copy()
        return cls(np.minimum(values.min(1), 0), np.maximum(values.max(1), 0), some)

    def divided(self, factors: Floats) -> Activation:
        """By a positive factor for each channel."""
        samples = self.samples / factors[:, None]
        return Activation(self.low / factors, self.high / factors, samples)

    def range(self) -> tuple[float, float]:
        """The part of the full range in which integers approximate the values best."""
        return _least_error(self.samples.ravel(), float(self.low.min()), float(self.high.max()))


Activations = Mapping[str, Activation]


@dataclass(frozen=True)
class FloatRun:
    """The float network's results for a picture.

    maps         its outputs, by name
    activations  the tensors that convolutions read, alone or joined with others
    """

    maps: Maps
    activations: Activations


def together(runs: Sequence[FloatRun]) -> dict[str, Activation]:
    """The activations of several pictures."""
    made = {}
    for name in runs[0].activations:
        each = [run.activations[name] for run in runs]
        made[name] = Activation(
            np.min([one.low for one in each], axis=0),
            np.max([one.high for one in each], axis=0),
            np.concatenate([one.samples for one in each], axis=1),
        )
    return made


def joined(activations: Sequence[Activation]) -> Activation:
    """Of several tensors that are concatenated, by channels."""
    count = min(one.samples.shape[1] for one in activations)
    return Activation(
        np.concatenate([one.low for one in activations]),
        np.concatenate([one.high for one in activations]),
        np.concatenate([one.samples[:, :count] for one in activations]),
    )


@dataclass(frozen=True)
class FloatNetwork:
    """A float network whose nodes have unique names."""

    model: Any
    convolutions: list[Any] = field(init=False)

    @classmethod
    def read(cls, source: Path) -> Self:
        """Read a file, convert it to an opset with scales per channel, and name every node."""
        import onnx

        model = onnx.load(source)
        if opset(source) < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        for k, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}.{k}"
        return cls(model)

    def __post_init__(self) -> None:
        convolutions = [
            node
            for node in self.model.graph.node
            if node.op_type == "Conv" and node.input[1] in self.constants
        ]
        object.__setattr__(self, "convolutions", convolutions)

    @property
    def weights(self) -> int:
        """The number of weights of the convolutions."""
        return sum(self.constants[node.input[1]].size for node in self.convolutions)

    @cached_property
    def constants(self) -> dict[str, npt.NDArray[Any]]:
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

    def tensors(self, inputs: Sequence[Floats], names: Sequence[str]) -> Iterator[Maps]:
        """These tensors and the outputs for each input, by name."""
        import onnx

        outputs = [output.name for output in self.model.graph.output]
        asked = onnx.ModelProto()
        asked.CopyFrom(self.model)
        asked.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in names if name not in outputs
        )
        all_names = [output.name for output in asked.graph.output]
        for found in outputs_of(asked, inputs):
            yield dict(zip(all_names, found, strict=True))

    def looks(self, inputs: Sequence[Floats]) -> Iterator[FloatRun]:
        """Run the network on each input."""
        outputs = [output.name for output in self.model.graph.output]
        for tensors in self.tensors(inputs, self._measured):
            read = {name: Activation.of(tensors[name]) for name in self._measured}
            yield FloatRun({name: tensors[name] for name in outputs}, read)

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

    def parted(self, activations: Activations) -> tuple[FloatNetwork, Activations]:
        """The network with convolutions of concatenated tensors split into sums, and what they
        read."""
        import onnx

        activations = dict(activations)
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        channels = _channels(self.model)
        names = {node.name for node in self.convolutions}
        nodes: list[Any] = []
        for node in made.graph.node:
            parts = self._joined.get(node.input[0], []) if node.name in names else []
            known = len(set(parts)) == len(parts) and all(part in channels for part in parts)
            groups = _groups(parts, activations) if known and group_count(node) == 1 else []
            if len(groups) < 2:
                nodes.append(node)
                continue
            sources = [g[0] if len(g) == 1 else f"{node.name}/{'+'.join(g)}" for g in groups]
            for source, group in zip(sources, groups, strict=True):
                activations[source] = joined([activations[part] for part in group])
            held, added = self._sum(node, dict(zip(sources, groups, strict=True)), parts, channels)
            made.graph.initializer.extend(held)
            nodes += added
        read = {tensor for node in nodes for tensor in node.input}
        read |= {output.name for output in made.graph.output}
        del made.graph.node[:]
        made.graph.node.extend(node for node in nodes if read.intersection(node.output))
        return FloatNetwork(made), activations

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
        weight = self.constants[node.input[1]]
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

    def quantised(
        self, ranges: Ranges, weights: Mapping[str, Rounded], wanted: Collection[str]
    ) -> Any:
        """The model with the convolutions of these names in INT8.

        ranges   of the tensors that convolutions read
        weights  of the convolutions, by their names
        """
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

        def parameters(name: str, integers: npt.NDArray[Any], scale: Floats) -> Any:
            """Integers with a scale per channel, and the node that dequantises them."""
            names = [
                constant(f"{name}/q", integers),
                constant(f"{name}/scale", scale),
                constant(f"{name}/zero", np.zeros(len(scale), integers.dtype)),
            ]
            return helper.make_node("DequantizeLinear", names, [name], axis=0)

        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        nodes = [
            n for source in made.graph.input if source.name in scales for n in pair(source.name)
        ]
        for node in made.graph.node:
            if node.name in wanted:
                weight = weights[node.name]
                name = f"{node.name}/weight"
                nodes.append(parameters(name, weight.integers, weight.scale))
                node.input[1] = name
                if len(node.input) > 2 and node.input[2] in self.constants:
                    steps = weight.scale * scales[node.input[0]]
                    bias = self.constants[node.input[2]] / steps.astype(np.float64)
                    most = np.iinfo(np.int32).max
                    integers = np.rint(bias).clip(-most, most).astype(np.int32)
                    name = f"{node.name}/bias"
                    nodes.append(parameters(name, integers, steps))
                    node.input[2] = name
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


def group_count(convolution: Any) -> int:
    """The groups of a convolution's channels."""
    return next((int(a.i) for a in convolution.attribute if a.name == "group"), 1)


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


def _groups(tensors: Sequence[str], activations: Activations) -> list[list[str]]:
    """Groups of tensors that may stay concatenated: never negative, with similar ranges."""
    lows = {name: float(activations[name].low.min()) for name in tensors}
    highs = {name: max(float(activations[name].high.max()), 1e-12) for name in tensors}
    groups: list[list[str]] = []
    for tensor in tensors:
        for group in groups:
            positive = lows[tensor] >= 0 and lows[group[0]] >= 0
            if positive and 1 / _ALIKE < highs[tensor] / highs[group[0]] < _ALIKE:
                group.append(tensor)
                break
        else:
            groups.append([tensor])
    return groups


def _scale(low: float, high: float) -> tuple[np.float32, np.uint8 | np.int8]:
    """The scale for a range that contains 0, and a zero of the integer type."""
    zero = np.int8(0) if low < 0 else np.uint8(0)
    kind = np.iinfo(zero.dtype)
    return np.float32(max(low / kind.min if low < 0 else 0.0, high / kind.max, 1e-12)), zero


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


def outputs_of(model: Any, inputs: Sequence[Floats]) -> Iterator[list[Floats]]:
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
