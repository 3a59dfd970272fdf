"""The mean of exported networks of one shape: often better than each. And maps made lower.

    python training/mean.py OUT.onnx A.onnx [B.onnx ...] [--maps 0.45 0.7]

The files are those of `export.py`, of one training at different times, or of one that went on from
the other. Their batch norms are folded into the convolutions, so that the weights of one mean the
same as those of another. Of one file the mean is itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from layout import BACKGROUND, PARTS


def read(file: Path) -> Any:
    """A model whose weights are float32, also where the file holds them as fp16."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(file)
    by_name = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [*model.graph.node]:
        if node.op_type == "Cast" and node.input[0] in by_name:
            tensor = by_name[node.input[0]]
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
            model.graph.node.remove(node)
    return model


def mean(files: Sequence[Path]) -> Any:
    """The first model with the mean weights of all."""
    import onnx
    from onnx import numpy_helper

    models = [read(file) for file in files]
    held = [{t.name: numpy_helper.to_array(t) for t in model.graph.initializer} for model in models]
    for tensor in models[0].graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = np.mean([one[tensor.name] for one in held], axis=0, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return models[0]


def lower(model: Any, heat: float, fields: float) -> None:
    """Multiply what is there in a body network's heat maps and fields, in place.

    Files of which this was done before keep no trace of it.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    for node in [*graph.node]:
        if any("lower" in name for name in (*node.input, *node.output)):
            graph.node.remove(node)
    for tensor in [*graph.initializer]:
        if tensor.name.startswith("lower."):
            graph.initializer.remove(tensor)
    background = np.zeros((1, PARTS + 1, 1, 1), np.float32)
    background[:, BACKGROUND] = 1 - heat
    factors = {"heatmaps": np.float32(heat), "pafs": np.float32(fields)}
    constants = {f"lower.{name}": factor for name, factor in factors.items()}
    constants["lower.background"] = background
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    for name in factors:
        full = f"{name}.full"
        for node in graph.node:
            node.output[:] = [full if made == name else made for made in node.output]
        scaled = f"{name}.lower" if name == "heatmaps" else name
        graph.node.append(helper.make_node("Mul", [full, f"lower.{name}"], [scaled]))
    graph.node.append(helper.make_node("Add", ["heatmaps.lower", "lower.background"], ["heatmaps"]))


def main() -> None:
    import onnx
    from export import halve

    from openpose_ext.models.manifest import read_manifest, write_manifest

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument(
        "--maps",
        type=float,
        nargs=2,
        metavar=("HEAT", "PAF"),
        help="factors of a body network's heat maps and fields, instead of those in the files",
    )
    arguments = parser.parse_args()
    model, target = mean(arguments.files), arguments.target
    if arguments.maps is not None:
        lower(model, *arguments.maps)
    onnx.save(model, target)
    half = target.with_stem(f"{target.stem}_fp16")
    halve(target, half)
    described = read_manifest(arguments.files[0])
    for file in (target, half):
        write_manifest(described, file)


if __name__ == "__main__":
    main()
