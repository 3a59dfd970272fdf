"""Rounds the weights of convolutions to integers so that their errors cancel.

What a convolution reads is alike: neighbouring pixels, and channels that see the same. So what
rounding one weight changes in the output, the weights after it can mostly make up for. With
integers up to 64 this leaves 3 to 50 % of the squared error of rounding each to the nearest.

Source  Frantar et al. 2023, GPTQ, after Hassibi and Stork 1993, Optimal Brain Surgeon; here for
        some channels at a time, so that large convolutions take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.models.convert.qdq import (
    MOST_WEIGHT,
    FloatNetwork,
    Floats,
    Rounded,
    group_count,
)

__all__ = ["rounded_weights"]

_PLACES = 2048  # of what each convolution reads that are looked at, in all pictures together
_TOGETHER = 256  # weights of an output channel that make up for each other, about
_DAMPING = 0.01  # of the mean square of what is read: some places do not tell everything

Doubles = npt.NDArray[np.float64]


def rounded_weights(network: FloatNetwork, inputs: Sequence[Floats]) -> dict[str, Rounded]:
    """The integer weights of each convolution, by its name.

    inputs  of the network, a few
    """
    read = [*dict.fromkeys(node.input[0] for node in network.convolutions)]
    squares: dict[str, list[Doubles]] = {}
    rng = np.random.default_rng(0)
    for tensors in network.tensors(inputs, read):
        for node in network.convolutions:
            weight = network.constants[node.input[1]]
            places = _places(tensors[node.input[0]], node, weight.shape[2:], rng, len(inputs))
            found = [part.transpose(0, 2, 1) @ part for part in _parts(places, weight)]
            before = squares.get(node.name, [])
            squares[node.name] = [*map(np.add, before, found)] if before else found
    return {
        node.name: _rounded(network.constants[node.input[1]], squares[node.name])
        for node in network.convolutions
    }


def _places(
    tensor: Floats, node: Any, kernel: Sequence[int], rng: np.random.Generator, pictures: int
) -> Floats:
    """What a convolution multiplies at some places: (places, groups, channels, weights of each).

    None are taken of those whose padding is not stated, or that have other than two axes.
    """
    groups, attributes = group_count(node), _attributes(node)
    channels = tensor.shape[1] // groups
    if len(kernel) != 2 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return np.zeros((1, groups, channels, int(np.prod(kernel))), np.float32)
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    padded = np.pad(tensor[0], ((0, 0), (top, bottom), (left, right)))
    spans = [dilation * (side - 1) + 1 for dilation, side in zip(dilations, kernel, strict=True)]
    steps = [
        (side - span) // stride + 1
        for side, span, stride in zip(padded.shape[1:], spans, strides, strict=True)
    ]
    count = min(max(1, _PLACES // pictures), steps[0] * steps[1])
    at = np.unravel_index(rng.choice(steps[0] * steps[1], count, replace=False), steps)
    rows, columns = (
        where[:, None] * stride + dilation * np.arange(side)
        for where, stride, dilation, side in zip(at, strides, dilations, kernel, strict=True)
    )
    found = padded[:, rows[:, :, None], columns[:, None, :]].reshape(groups, channels, count, -1)
    return np.ascontiguousarray(found.transpose(2, 0, 1, 3))


def _parts(places: Floats, weight: Floats) -> Iterator[Doubles]:
    """The places for each part of the weights that make up for each other: (groups, places, d)."""
    for channels in _together(weight):
        part = places[:, :, channels].reshape(*places.shape[:2], -1)
        yield part.transpose(1, 0, 2).astype(np.float64)


def _together(weight: Floats) -> list[slice]:
    """The channels whose weights make up for each other."""
    step = max(1, _TOGETHER // max(1, int(np.prod(weight.shape[2:]))))
    return [slice(k, k + step) for k in range(0, weight.shape[1], step)]


def _rounded(weight: Floats, squares: Sequence[Doubles]) -> Rounded:
    """Integers and scales.

    squares  of each part of the channels, (groups, d, d): sums of products of what is read
    """
    groups = len(squares[0])
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = (np.maximum(largest, 1e-12) / MOST_WEIGHT).astype(np.float32)
    steps = scale.astype(np.float64).reshape(groups, -1, 1)
    by_group = weight.astype(np.float64).reshape(groups, len(weight) // groups, weight.shape[1], -1)
    integers = np.empty(by_group.shape, np.int8)
    for channels, square in zip(_together(weight), squares, strict=True):
        part = by_group[:, :, channels]
        found = _made_up_for(part.reshape(*part.shape[:2], -1) / steps, square)
        integers[:, :, channels] = found.reshape(part.shape)
    return Rounded(integers.reshape(weight.shape), scale)


def _made_up_for(weights: Doubles, square: Doubles) -> npt.NDArray[np.int8]:
    """Round one weight after the other, and change those after it to make up for it.

    weights  (groups, outputs, d) in steps of the integers
    square   (groups, d, d)
    """
    groups, _, count = weights.shape
    mean = square.trace(axis1=1, axis2=2) / count
    damped = square + np.eye(count) * (_DAMPING * mean + 1e-9)[:, None, None]
    order = np.argsort(-damped.diagonal(axis1=1, axis2=2), axis=1)  # what matters most first
    each = np.arange(groups)[:, None]
    damped = damped[each[..., None], order[:, :, None], order[:, None, :]]
    # The rows of this triangle tell how much each of the weights after it is to change.
    upper = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    left = np.take_along_axis(weights, order[:, None], axis=2)
    rounded = np.empty(weights.shape, np.int8)
    for k in range(count):
        nearest = np.rint(left[..., k]).clip(-MOST_WEIGHT, MOST_WEIGHT)
        np.put_along_axis(rounded, order[:, None, k : k + 1], nearest[..., None], axis=2)
        off = (left[..., k] - nearest) / upper[:, k, k, None]
        left[..., k + 1 :] -= off[..., None] * upper[:, None, k, k + 1 :]
    return rounded


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
