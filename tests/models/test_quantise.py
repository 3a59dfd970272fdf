"""What INT8 does to a network before it is written: channels made alike, weights rounded together.

The oracle is onnxruntime, which runs the networks, and numpy's own sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from openpose_ext.models.convert.equalise import equalised  # noqa: E402
from openpose_ext.models.convert.qdq import (  # noqa: E402
    MOST_WEIGHT,
    FloatNetwork,
    outputs_of,
    together,
)
from openpose_ext.models.convert.rounding import rounded_weights  # noqa: E402

Floats = npt.NDArray[np.float32]


def network(folder: Path, **shapes: tuple[int, ...]) -> FloatNetwork:
    """A residual network with everything that factors pass through, and channels far apart."""
    rng = np.random.default_rng(0)
    held = {}
    for name, shape in {
        "first.w": (8, 3, 3, 3), "deep.w": (8, 1, 3, 3), "point.w": (8, 8, 1, 1),
        "last.w": (4, 8, 3, 3), "other.w": (4, 8, 1, 1), "first.b": (8,), "deep.b": (8,),
    }.items():  # fmt: skip
        held[name] = rng.normal(0, 0.3, shape).astype(np.float32)
    uneven = np.logspace(-1.5, 1.5, 8).astype(np.float32)
    held["first.w"] *= uneven[:, None, None, None]
    held["point.w"] *= uneven[:, None, None, None]
    held |= {"from": np.array([1, 1]), "to": np.array([100, 100]), "axes": np.array([2, 3])}
    around = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["data", "first.w", "first.b"], ["a"], **around, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "deep.w", "deep.b"], ["c"], **around, group=8),
        helper.make_node("LeakyRelu", ["c"], ["d"], alpha=0.1),
        helper.make_node("Conv", ["d", "point.w"], ["e"]),
        helper.make_node("Add", ["b", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["h"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Slice", ["h", "from", "to", "axes"], ["i"]),
        helper.make_node("Conv", ["i", "last.w"], ["maps"], **around, dilations=[1, 1]),
        helper.make_node("Sigmoid", ["g"], ["j"]),
        helper.make_node("Conv", ["j", "other.w"], ["more"]),
    ]
    if shapes:  # without what fixes the channels of g
        nodes = nodes[:-2]
    value = helper.make_tensor_value_info
    outputs = [value(n.output[0], TensorProto.FLOAT, None) for n in nodes if n.output[0][0] == "m"]
    graph = helper.make_graph(
        nodes,
        "net",
        [value("data", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        outputs,
        [numpy_helper.from_array(v, k) for k, v in held.items()],
    )
    file = folder / "net.onnx"
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return FloatNetwork.read(file)


def pictures(count: int, seed: int = 1) -> list[Floats]:
    """Smooth noise: neighbouring pixels are alike, as in pictures."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(0, 1, (count, 3, 44, 44))
    for axis in (2, 3):
        rough = sum(np.roll(rough, k, axis) for k in range(10)) / 10
    return [one[None].astype(np.float32) for one in rough[:, :, 4:, 4:]]


def unevenness(network: FloatNetwork, inputs: list[Floats], tensor: str) -> float:
    """The largest channel's peak, as a multiple of the usual one."""
    each = [abs(found[tensor]).max((0, 2, 3)) for found in network.tensors(inputs, [tensor])]
    peaks = np.max(each, axis=0)
    return float(peaks.max() / np.median(peaks))


def test_equalised_channels_are_alike_and_the_network_computes_the_same(tmp_path: Path) -> None:
    net = network(tmp_path, without=())
    inputs = pictures(6)
    before = together([*net.looks(inputs)])
    made, read = equalised(net, before)
    for a, b in zip(outputs_of(net.model, inputs), outputs_of(made.model, inputs), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * np.abs(x).max())
    for tensor in ("b", "d", "i"):
        assert unevenness(made, inputs, tensor) < 0.5 * unevenness(net, inputs, tensor)
    # What is said to be read is what is read.
    again = together([*made.looks(inputs)])
    for tensor, activation in again.items():
        np.testing.assert_allclose(read[tensor].high, activation.high, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(read[tensor].low, activation.low, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(read[tensor].samples, activation.samples, rtol=1e-3, atol=1e-5)


def test_channels_that_others_read_as_they_are_stay_as_they_are(tmp_path: Path) -> None:
    """A sigmoid reads g, so that all that is added up to it is fixed."""
    net = network(tmp_path)
    inputs = pictures(3)
    made, _ = equalised(net, together([*net.looks(inputs)]))
    for a, b in zip(outputs_of(net.model, inputs), outputs_of(made.model, inputs), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * np.abs(x).max())
    assert unevenness(made, inputs, "g") == pytest.approx(unevenness(net, inputs, "g"))
    assert unevenness(made, inputs, "d") < 0.5 * unevenness(net, inputs, "d")


def test_convolutions_in_groups_of_several_channels_stay_as_they_are(tmp_path: Path) -> None:
    """As many groups as outputs, but two channels in each: no depthwise convolution."""
    rng = np.random.default_rng(0)
    shapes = {"a.w": (8, 3, 3, 3), "b.w": (4, 2, 1, 1), "c.w": (2, 4, 1, 1)}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["data", "a.w"], ["a"]),
            helper.make_node("Conv", ["a", "b.w"], ["b"], group=4),
            helper.make_node("Conv", ["b", "c.w"], ["maps"]),
        ],
        "net",
        [value("data", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("maps", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(rng.normal(0, 1, shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    file = tmp_path / "net.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file
    )
    net = FloatNetwork.read(file)
    inputs = pictures(2)
    made, _ = equalised(net, together([*net.looks(inputs)]))
    for name in shapes:
        np.testing.assert_array_equal(made.constants[name], net.constants[name])
    assert rounded_weights(made, inputs)[net.convolutions[1].name].integers.shape == (4, 2, 1, 1)


def columns(tensor: Floats, weight: Floats, **how: Any) -> Floats:
    """What a convolution gives, by onnxruntime."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], **how)],
        "conv",
        [value("x", TensorProto.FLOAT, None)],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    ((found,),) = outputs_of(model, [tensor])
    return found


def test_weights_rounded_together_change_the_output_less_than_the_nearest(tmp_path: Path) -> None:
    net = network(tmp_path, without=())
    made = rounded_weights(net, pictures(8))
    unseen = pictures(2, seed=9)
    gains = {}
    for node in net.convolutions:
        weight = net.constants[node.input[1]].astype(np.float64)
        rounded = made[node.name]
        assert rounded.integers.dtype == np.int8
        assert rounded.integers.shape == weight.shape
        assert np.abs(rounded.integers.astype(int)).max() <= MOST_WEIGHT
        scale = rounded.scale.reshape(-1, 1, 1, 1).astype(np.float64)
        np.testing.assert_allclose(scale.ravel() * MOST_WEIGHT, abs(weight).max((1, 2, 3)), 1e-5)
        how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        together, nearest = 0.0, 0.0
        for tensors in net.tensors(unseen, [node.input[0]]):
            tensor = tensors[node.input[0]]
            off = rounded.integers - weight / scale
            together += float(np.square(columns(tensor, off, **how)).sum())
            off = np.rint(weight / scale) - weight / scale
            nearest += float(np.square(columns(tensor, off, **how)).sum())
        gains[node.output[0]] = together / nearest
    assert gains["a"] < 0.3  # of pictures, whose neighbouring pixels are alike
    assert max(gains.values()) < 1.2
    assert np.mean([*gains.values()]) < 0.7


def test_weights_whose_input_is_nothing_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    net = network(tmp_path, without=())
    (first, *_) = net.convolutions
    made = rounded_weights(net, [np.zeros((1, 3, 16, 16), np.float32)])[first.name]
    weight = net.constants[first.input[1]]
    nearest = np.rint(weight / made.scale.reshape(-1, 1, 1, 1))
    np.testing.assert_array_equal(made.integers, nearest)
