"""Networks of one layer, whose answers NumPy can give: mean colours of cells, weighted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

STRIDE = 8


def weights(channels: int, seed: int = 1) -> np.ndarray:
    """(channels, 3) float32 for the colours of the network's input."""
    return np.random.default_rng(seed).normal(size=(channels, 3)).astype(np.float32)


def write(
    file: Path,
    outputs: Mapping[str, int],
    *,
    layout: str = "NCHW",
    output_layout: str = "NCHW",
    size: tuple[int | str, int | str, int | str] = ("N", "H", "W"),
    output_size: tuple[int | str, int | str, int | str] = ("N", "h", "w"),
    first: tuple[str, float | np.ndarray] | None = None,
    gain: float = 1.0,
) -> Path:
    """Write a network as ONNX.

    outputs  channels of each output, by name; its weights are `weights(channels)` times `gain`
    size     batch, height and width of the input, numbers or names
    first    an operation and its constant ("Mul", 0.5) before all else
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes: list[Any] = []
    constants: list[Any] = []
    last = "picture"
    if first is not None:
        constants.append(numpy_helper.from_array(np.asarray(first[1], np.float32), "constant"))
        nodes.append(helper.make_node(first[0], [last, "constant"], ["changed"]))
        last = "changed"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    cell = [STRIDE, STRIDE]
    nodes.append(
        helper.make_node("AveragePool", [last], ["cells"], kernel_shape=cell, strides=cell)
    )
    for name, channels in outputs.items():
        kernel = (weights(channels) * np.float32(gain)).reshape(channels, 3, 1, 1)
        constants.append(numpy_helper.from_array(kernel, f"{name}.weights"))
        nhwc = output_layout == "NHWC"
        target = f"{name}.planes" if nhwc else name
        nodes.append(helper.make_node("Conv", ["cells", f"{name}.weights"], [target]))
        if nhwc:
            nodes.append(helper.make_node("Transpose", [target], [name], perm=[0, 2, 3, 1]))

    def shape(channels: int, of: tuple[int | str, ...], order: str) -> list[int | str]:
        batch, height, width = of
        planes = order == "NCHW"
        return [batch, channels, height, width] if planes else [batch, height, width, channels]

    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape(3, size, layout))],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, shape(channels, output_size, output_layout)
            )
            for name, channels in outputs.items()
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, file)
    return file


def answer(pictures: np.ndarray, channels: int) -> np.ndarray:
    """(N, channels, h, w): what the network gives for what it sees, (N, H, W, 3)."""
    n, height, width, _ = pictures.shape
    grid = (n, height // STRIDE, STRIDE, width // STRIDE, STRIDE, 3)
    cells = pictures.astype(np.float64).reshape(grid).mean(axis=(2, 4))
    return np.einsum("nhwc,kc->nkhw", cells, weights(channels).astype(np.float64))
