"""Averaged weights of a training -> ONNX: float32, and the same with weights held as fp16.

    python training/export.py body --weights RUN/ema.pt --out OUT

writes OUT/lite_body.onnx, from which `int8.py` makes the INT8 one, and OUT/lite_body_fp16.onnx,
half as large, which lies in `training/` and which `train.py --init` goes on from. Batch norms are
folded into their convolutions. Each has its manifest beside it. So with hand, face and foot.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import BODY, FACE, FOOT, HAND, Maps, Points, PointsShape, Shape
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from openpose_ext.backends.protocol import InputFormat
from openpose_ext.models.manifest import Manifest, write_manifest

OPSET = 17
SHAPES: dict[str, Shape | PointsShape] = {"body": BODY, "hand": HAND, "face": FACE, "foot": FOOT}
HAND_CROP = 208
HAND_MIN_SCORE = 0.4
POINTS_MIN_SCORE = 0.7  # of faces and feet
# Weighting what is there in the loss makes networks see too much. With maps of 0.6 of their height
# a body network invents a quarter of the people, at next to the same AP.
SCALES = {"body": 0.6, "hand": 1.0}
FEW = 64  # numbers that stay float32


class _Shipped(nn.Module):
    """The second stage alone, in the outputs that body and hand networks have.

    scale  of what is there, so that the decoder's default thresholds fit
    """

    def __init__(self, net: Maps, scale: float) -> None:
        super().__init__()
        self.net = net
        self.scale = scale
        self.background = torch.zeros(1, net.shape.maps, 1, 1)
        self.background[:, net.shape.background] = 1 - scale

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        maps = self.net(pictures)[1]
        if self.scale != 1:
            maps = maps * self.scale + self.background
        parts = self.net.shape.background + 1
        return (maps[:, parts:], maps[:, :parts]) if maps.shape[1] > parts else (maps,)


class _ShippedPoints(nn.Module):
    """Points in pixels of the input, from the first one's edge, (n, 2 K), and presence (n, 1)."""

    def __init__(self, net: Points) -> None:
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        points, presence = self.net(pictures)
        return ((points + 0.5) * self.net.shape.side).flatten(1), presence[:, None]


def fold(module: nn.Module) -> None:
    """Batch norms into the convolutions before them, in place."""
    for child in module.children():
        if isinstance(child, nn.Sequential):
            for k in range(len(child) - 1):
                first, second = child[k], child[k + 1]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    child[k] = fuse_conv_bn_eval(first, second)
                    child[k + 1] = nn.Identity()
        fold(child)


def manifest(kind: str) -> Manifest:
    if kind in ("face", "foot"):
        return _manifest_of_points(kind)
    roles = {"pafs": "paf", "heatmaps": "heat"} if kind == "body" else {"heatmaps": "heat"}
    extra: dict[str, Any] = {}
    if kind == "hand":
        extra = {"crop": HAND_CROP, "min_score": HAND_MIN_SCORE}
    topology = "coco_18" if kind == "body" else "hand_21"
    return Manifest(kind=kind, topology=topology, outputs=roles, licence="Apache-2.0", **extra)


def _manifest_of_points(kind: str) -> Manifest:
    shape = SHAPES[kind]
    assert isinstance(shape, PointsShape)
    extra: dict[str, Any] = {"topology": "foot_2"}
    if kind == "face":
        # The last landmarks only tell how large the face is; pupils are the middles of the eyes.
        points = [(k,) for k in range(68)] + [tuple(range(36, 42)), tuple(range(42, 48))]
        extra = {"topology": "face_70", "numbers": 2, "points": tuple(points)}
    return Manifest(
        kind=kind,
        outputs={"points": "landmarks", "presence": "presence_logit"},
        input=InputFormat(size=(shape.side, shape.side)),
        stride=1,
        licence="Apache-2.0",
        min_score=POINTS_MIN_SCORE,
        **extra,
    )


def export(kind: str, weights: Mapping[str, Tensor], folder: Path) -> tuple[Path, Path]:
    """Write both files and their manifests; returns them, float32 first."""
    shape = SHAPES[kind]
    net: Maps | Points = Points(shape) if isinstance(shape, PointsShape) else Maps(shape)
    net.load_state_dict({k: v.to(net.state_dict()[k].dtype) for k, v in weights.items()})
    fold(net.eval())
    described = manifest(kind)
    names = ["data", *described.outputs]
    axes = {name: {0: "n"} for name in names}
    shipped: nn.Module
    if isinstance(net, Points):
        shipped, side = _ShippedPoints(net), net.shape.side
    else:
        shipped, side = _Shipped(net, SCALES[kind]), 256
        axes = {name: {0: "n", 2: "h", 3: "w"} for name in names}
    target = folder / f"lite_{kind}.onnx"
    half = folder / f"lite_{kind}_fp16.onnx"
    torch.onnx.export(
        shipped.eval(),
        (torch.zeros(1, 3, side, side),),
        str(target),
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    halve(target, half)
    for file in (target, half):
        write_manifest(described, file)
    return target, half


def halve(source: Path, target: Path) -> None:
    """Weights as fp16, with a Cast behind each: computed in float32 as before."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > FEW:
            name = tensor.name
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.f16"))
            casts.append(
                onnx.helper.make_node("Cast", [f"{name}.f16"], [name], to=onnx.TensorProto.FLOAT)
            )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=SHAPES)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = torch.load(arguments.weights, map_location="cpu")
    for file in export(arguments.kind, weights, arguments.out):
        print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
