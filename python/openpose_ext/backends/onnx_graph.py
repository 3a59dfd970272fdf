"""ONNX files as graphs: what they state, and the conversion of the input put in front of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from openpose_ext.backends.protocol import PIXEL_SPAN, Graph, InputFormat, reason
from openpose_ext.errors import BackendError

__all__ = ["INPUT", "describe", "extended_graph"]

INPUT = "openpose_ext.picture"  # name of the input of extended graphs


def describe(file: Path) -> Graph:
    """Inputs and outputs as stated in the file; see `backends.engines.describe`."""
    graph = _load(file, weights=False).graph
    source = _picture_input(file, graph)
    return Graph(
        input=_shape(source),
        outputs={output.name: _shape(output) for output in graph.output},
        normalises=_normalises(graph, source.name),
    )


def extended_graph(file: Path, input_format: InputFormat) -> bytes:
    """The serialised graph with the conversion from (N, H, W, 3) uint8 BGR in front of it.

    Raises BackendError if the file cannot be read or takes no pictures of this format.
    """
    from onnx import TensorProto, helper

    model = _load(file)
    graph = model.graph
    source = _picture_input(file, graph)
    shape = _wanted_shape(file, _shape(source), input_format)
    if shape != _shape(source):
        _forget_sizes(graph)

    constants: list[Any] = []
    nodes: list[Any] = []
    last = INPUT

    def step(kind: str, *operands: Any, **attributes: Any) -> None:
        nonlocal last
        names = [f"{INPUT}.{len(nodes)}.{k}" for k in range(len(operands))]
        for name, values in zip(names, operands, strict=True):
            array = np.asarray(values)
            constants.append(
                helper.make_tensor(
                    name,
                    helper.np_dtype_to_tensor_dtype(array.dtype),
                    array.shape,
                    array.ravel(),
                )
            )
        made = f"{INPUT}.{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *names], [made], **attributes))
        last = made

    if input_format.channels == "RGB":
        step("Gather", np.array([2, 1, 0], np.int64), axis=3)
    step("Cast", to=TensorProto.FLOAT)
    if any(input_format.mean):
        step("Sub", np.array(input_format.mean, np.float32))
    if input_format.divisor != (1.0, 1.0, 1.0):
        step("Div", np.array(input_format.divisor, np.float32))
    if input_format.layout == "NCHW":
        step("Transpose", perm=[0, 3, 1, 2])
    step("Cast", to=source.type.tensor_type.elem_type)
    nodes[-1].output[0] = source.name

    batch, height, width = shape[0], *_height_width(shape, input_format.layout)
    sizes = [size or name for size, name in ((batch, "N"), (height, "H"), (width, "W"))]
    for position, node in enumerate(nodes):
        graph.node.insert(position, node)
    graph.initializer.extend(constants)
    graph.input.remove(source)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*sizes, 3]))
    return bytes(model.SerializeToString())


def _load(file: Path, *, weights: bool = True) -> Any:
    import onnx

    try:
        return onnx.load(file, load_external_data=weights)
    except Exception as error:  # protobuf's, and those of files that are cut short
        raise BackendError(f"onnxruntime cannot read {file}: {reason(error)}") from error


def _picture_input(file: Path, graph: Any) -> Any:
    constants = {constant.name for constant in graph.initializer}
    inputs = [source for source in graph.input if source.name not in constants]
    if len(inputs) != 1:
        raise BackendError(f"{file} has {len(inputs)} inputs; a pose network has one")
    return inputs[0]


def _wanted_shape(
    file: Path, shape: tuple[int | None, ...], input_format: InputFormat
) -> tuple[int | None, ...]:
    """The input's shape with the sizes of the format: dynamic or fixed."""
    if len(shape) != 4:
        raise BackendError(f"{file} takes {shape}, not pictures")
    nchw = input_format.layout == "NCHW"
    channels, other = (shape[1], shape[3]) if nchw else (shape[3], shape[1])
    if channels != 3 and (channels is not None or other == 3):
        raise BackendError(f"{file} takes {shape}, not pictures as {input_format.layout}")
    if input_format.size is None:
        batch, width, height = None, None, None
    else:
        batch, (width, height) = shape[0], input_format.size
    return (batch, 3, height, width) if nchw else (batch, height, width, 3)


def _height_width(shape: tuple[int | None, ...], layout: str) -> tuple[int | None, int | None]:
    return (shape[2], shape[3]) if layout == "NCHW" else (shape[1], shape[2])


def _forget_sizes(graph: Any) -> None:
    """Remove fixed sizes inside the graph and at its outputs, which do not hold for other
    inputs."""
    del graph.value_info[:]
    for output in graph.output:
        for dimension in output.type.tensor_type.shape.dim:
            dimension.Clear()


def _normalises(graph: Any, name: str) -> bool:
    """Whether the graph starts with constant arithmetic or a quantiser of pixel values."""
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
    while True:
        consumers = [node for node in graph.node if name in node.input]
        if len(consumers) != 1:
            return False
        node = consumers[0]
        if node.op_type in ("Transpose", "Cast", "Reshape", "Identity"):
            name = node.output[0]
            continue
        known = [constants[other] for other in node.input if other in constants]
        if node.op_type == "QuantizeLinear" and known:
            scale = float(np.max(numpy_helper.to_array(known[0])))
            return 255 * scale >= PIXEL_SPAN
        return node.op_type in ("Mul", "Div", "Add", "Sub") and bool(known)


def _shape(value: Any) -> tuple[int | None, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dimensions)
