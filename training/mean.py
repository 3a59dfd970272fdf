"""The mean of exported networks of one shape: often better than each.

    python training/mean.py OUT.onnx A.onnx B.onnx ...

The files are float32 ones of `export.py`, of one training at different times, or of one that went
on from the other. Their batch norms are folded into the convolutions, so that the weights of one
mean the same as those of another.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def mean(files: list[Path]) -> Any:
    """The first model with the mean weights of all."""
    import onnx
    from onnx import numpy_helper

    models = [onnx.load(file) for file in files]
    held = [{t.name: numpy_helper.to_array(t) for t in model.graph.initializer} for model in models]
    for tensor in models[0].graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = np.mean([one[tensor.name] for one in held], axis=0, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return models[0]


def main() -> None:
    import onnx
    from export import halve

    from openpose_ext.models.manifest import read_manifest, write_manifest

    target, *files = map(Path, sys.argv[1:])
    onnx.save(mean(files), target)
    half = target.with_stem(f"{target.stem}_fp16")
    halve(target, half)
    described = read_manifest(files[0])
    for file in (target, half):
        write_manifest(described, file)


if __name__ == "__main__":
    main()
