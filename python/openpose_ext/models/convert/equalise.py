"""Gives the channels of each activation similar ranges, without changing what the network computes.

An activation has one INT8 scale for all its channels, which leaves few steps to a channel of small
values. A positive factor passes through ReLU, sums and pools unchanged, so the weights that make a
channel may be divided by it if those that read the channel are multiplied by it.

Source  Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
        section 4.1; the factors are those of SmoothQuant (Xiao et al. 2023, equation 4), halfway
        between activations and weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.models.convert.qdq import (
    Activation,
    Activations,
    FloatNetwork,
    Floats,
    group_count,
)

__all__ = ["equalised"]

# Operations through which a positive factor of a channel passes, by their first input.
_HOMOGENEOUS = frozenset(
    ("AveragePool", "Dropout", "Identity", "LeakyRelu", "MaxPool", "PRelu", "Relu", "Resize",
     "Slice", "Upsample")
)  # fmt: skip
_SUMS = frozenset(("Add", "Sum"))
_BLIND = frozenset(("Shape",))  # the values of their input do not matter to them
_LEAST = 1e-3  # the smallest range of a channel, as a part of the largest


@dataclass
class _Group:
    """Tensors whose channels have the same factors, and the convolutions at their ends."""

    tensors: set[str]
    makers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)


def equalised(
    network: FloatNetwork, activations: Activations
) -> tuple[FloatNetwork, dict[str, Activation]]:
    """The network with other weights, which computes the same up to rounding, and what its
    convolutions read then.

    activations  of the tensors that convolutions read, of all pictures: some channels are large in
                 a few pictures only
    """
    import onnx
    from onnx import numpy_helper

    weights: dict[str, npt.NDArray[np.float32]] = {}
    read = dict(activations)

    def weight(node: Any, k: int = 1) -> npt.NDArray[np.float32]:
        name = node.input[k]
        return weights.setdefault(name, network.constants[name].astype(np.float32))

    for group in _groups(network):
        tensors = {node.input[0] for node in group.readers}
        peaks = np.max([_peaks(activations[name]) for name in tensors], axis=0)
        used = np.max([_column_peaks(weight(node), group_count(node)) for node in group.readers], 0)
        factor = np.sqrt(_bounded(peaks) / _bounded(used)).astype(np.float32)
        factor /= np.exp(np.log(factor).mean())
        read |= {name: activations[name].divided(factor) for name in tensors}
        for node in group.readers:
            by = factor[:, None] if group_count(node) > 1 else factor
            weights[node.input[1]] = weight(node) * by[..., None, None]
        for node in group.makers:
            weights[node.input[1]] = weight(node) / factor[:, None, None, None]
            if len(node.input) > 2:
                weights[node.input[2]] = weight(node, 2) / factor
    made = onnx.ModelProto()
    made.CopyFrom(network.model)
    for tensor in made.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return FloatNetwork(made), read


def _peaks(activation: Activation) -> Floats:
    """The largest magnitude in each channel."""
    return np.maximum(-activation.low, activation.high)


def _bounded(values: Floats) -> Floats:
    return np.maximum(values, max(float(values.max()) * _LEAST, 1e-12))


def _column_peaks(weight: Floats, groups: int) -> Floats:
    """The largest weight of each input channel, as a part of the largest of its output channel."""
    if groups > 1:  # depthwise: an output channel has one input channel
        return np.ones(len(weight), np.float32)
    rows = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    peaks: Floats = (np.abs(weight) / np.maximum(rows, 1e-12)).max(axis=(0, 2, 3))
    return peaks


def _groups(network: FloatNetwork) -> Iterator[_Group]:
    """The groups whose factors can be chosen freely."""
    graph = network.model.graph
    own = {tensor.name for tensor in graph.initializer}
    readers = [name for node in graph.node for name in node.input]
    free = {
        node.name
        for node in network.convolutions
        if all(name in own and readers.count(name) == 1 for name in node.input[1:])
        and _dense_or_depthwise(node, network.constants[node.input[1]].shape)
    }
    groups: dict[str, _Group] = {}
    fixed = {value.name for value in (*graph.input, *graph.output)}

    def join(names: list[str]) -> None:
        joined = _Group(set(names).union(*(groups[n].tensors for n in names if n in groups)))
        groups.update(dict.fromkeys(joined.tensors, joined))

    for node in graph.node:
        if node.name in free:
            join([node.input[0]])
            join([node.output[0]])
            continue
        data = [name for name in node.input if name and name not in network.constants]
        if _passes_factors(node, network):
            join([data[0], node.output[0]])
        elif node.op_type in _SUMS and len(data) == len(node.input):
            join([*data, node.output[0]])
        elif node.op_type not in _BLIND:
            fixed.update(node.input, node.output)
    distinct = {id(group): group for group in groups.values()}
    for node in network.convolutions:
        if node.name in free:
            groups[node.input[0]].readers.append(node)
            groups[node.output[0]].makers.append(node)
    for group in distinct.values():
        if group.makers and group.readers and not fixed.intersection(group.tensors):
            yield group


def _dense_or_depthwise(node: Any, shape: tuple[int, ...]) -> bool:
    """Whether a convolution's channels can have factors; shape is its weights'."""
    groups = group_count(node)
    return len(shape) == 4 and (groups == 1 or (groups == shape[0] and shape[1] == 1))


def _passes_factors(node: Any, network: FloatNetwork) -> bool:
    if node.op_type == "Slice":  # along channels, it would give others
        axes = network.constants.get(node.input[3]) if len(node.input) > 3 else None
        return axes is not None and all(axis in (2, 3, -1, -2) for axis in np.ravel(axes))
    return node.op_type in _HOMOGENEOUS
