"""OpenPose's networks as its prototxt files describe them, and Caffe's files of their weights.

Written from those descriptions, not from the package: layers run one by one in torch's functions,
and protobuf's own runtime writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Weights = dict[str, list[np.ndarray]]  # blobs by layer

# V1's numbers of types; it had no PReLU.
_V1_TYPES = {"Concat": 3, "Convolution": 4, "Pooling": 17, "ReLU": 18}


@dataclass
class Layer:
    name: str
    type: str
    bottoms: list[str]
    top: str
    shapes: list[tuple[int, ...]] = field(default_factory=list)  # of its blobs


@dataclass
class Prototxt:
    """Layers in order, and the channels of every blob that they make.

    thin  hidden channels are divided by it
    """

    thin: int = 1
    layers: list[Layer] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=lambda: {"image": 3})

    def convolution(self, bottom: str, name: str, kernel: int, outputs: int, top: str = "") -> str:
        top = top or name
        shapes = [(outputs, self.channels[bottom], kernel, kernel), (outputs,)]
        self.layers.append(Layer(name, "Convolution", [bottom], top, shapes))
        self.channels[top] = outputs
        return top

    def relu(self, blob: str) -> str:
        self.layers.append(Layer(f"relu_{blob}", "ReLU", [blob], blob))
        return blob

    def prelu(self, blob: str, name: str) -> str:
        self.layers.append(Layer(name, "PReLU", [blob], blob, [(self.channels[blob],)]))
        return blob

    def pool(self, bottom: str, name: str) -> str:
        self.layers.append(Layer(name, "Pooling", [bottom], name))
        self.channels[name] = self.channels[bottom]
        return name

    def concat(self, name: str, bottoms: Sequence[str]) -> str:
        self.layers.append(Layer(name, "Concat", [*bottoms], name))
        self.channels[name] = sum(self.channels[bottom] for bottom in bottoms)
        return name

    def chain(self, blob: str, rows: Sequence[tuple[str, int, int]]) -> str:
        """Convolutions (name, kernel, outputs), each with a ReLU."""
        for name, kernel, outputs in rows:
            blob = self.relu(self.convolution(blob, name, kernel, outputs))
        return blob

    def vgg(self, last: int) -> str:
        """Up to conv4_<last>."""
        n = self.thin
        blob = self.chain("image", [("conv1_1", 3, 64 // n), ("conv1_2", 3, 64 // n)])
        blob = self.pool(blob, "pool1_stage1")
        blob = self.chain(blob, [("conv2_1", 3, 128 // n), ("conv2_2", 3, 128 // n)])
        blob = self.pool(blob, "pool2_stage1")
        blob = self.chain(blob, [(f"conv3_{k}", 3, 256 // n) for k in range(1, 5)])
        blob = self.pool(blob, "pool3_stage1")
        return self.chain(blob, [(f"conv4_{k}", 3, 512 // n) for k in range(1, last + 1)])

    def run(self, weights: Weights, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Every blob in the end, from (N, H, W, 3) uint8 BGR."""
        import torch
        from torch.nn import functional

        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
        blobs = {"image": torch.from_numpy(planes / 256 - 0.5)}
        for layer in self.layers:
            values = [torch.from_numpy(blob) for blob in weights.get(layer.name, [])]
            seen = [blobs[bottom] for bottom in layer.bottoms]
            if layer.type == "Convolution":
                padding = values[0].shape[-1] // 2
                blobs[layer.top] = functional.conv2d(seen[0], *values, padding=padding)
            elif layer.type == "ReLU":
                blobs[layer.top] = seen[0].clamp(min=0)
            elif layer.type == "PReLU":
                slopes = values[0][:, None, None]
                blobs[layer.top] = seen[0].clamp(min=0) + slopes * seen[0].clamp(max=0)
            elif layer.type == "Pooling":
                blobs[layer.top] = functional.max_pool2d(seen[0], 2, ceil_mode=True)
            else:
                blobs[layer.top] = torch.cat(seen, 1)
        return {name: blob.numpy() for name, blob in blobs.items()}


def body_25(thin: int = 1) -> Prototxt:
    """Its `net_output` is 26 heat maps and 52 fields."""
    net = Prototxt(thin)
    blob = net.convolution(net.vgg(1), "conv4_2", 3, 512 // thin)
    net.prelu(blob, "prelu4_2")
    for name, outputs in (("4_3_CPM", 256), ("4_4_CPM", 128)):
        blob = net.convolution(blob, f"conv{name}", 3, outputs // thin)
        net.prelu(blob, f"prelu{name}")

    def stage(s: str, bottom: str, width: int, hidden: int, outputs: int) -> str:
        for i in range(1, 6):
            parts = []
            for j in range(3):
                bottom = net.convolution(bottom, f"Mconv{i}_{s}_{j}", 3, width // thin)
                parts.append(net.prelu(bottom, f"Mprelu{i}_{s}_{j}"))
            bottom = net.concat(f"Mconv{i}_{s}_concat", parts)
        bottom = net.convolution(bottom, f"Mconv6_{s}", 1, hidden // thin)
        return net.convolution(net.prelu(bottom, f"Mprelu6_{s}"), f"Mconv7_{s}", 1, outputs)

    paf = stage("stage0_L2", blob, 96, 256, 52)
    for i in (1, 2, 3):
        seen = net.concat(f"concat_stage{i}_L2", [blob, paf])
        paf = stage(f"stage{i}_L2", seen, 128, 512, 52)
    heat = stage("stage0_L1", net.concat("concat_stage0_L1", [blob, paf]), 96, 256, 26)
    seen = net.concat("concat_stage1_L1", [blob, heat, paf])
    net.concat("net_output", [stage("stage1_L1", seen, 128, 512, 26), paf])
    return net


def _refined(net: Prototxt, s: str, bottom: str, outputs: int, top: str = "") -> str:
    n = net.thin
    rows = [(f"Mconv{k}_{s}", 7, 128 // n) for k in range(1, 6)]
    bottom = net.chain(bottom, [*rows, (f"Mconv6_{s}", 1, 128 // n)])
    return net.convolution(bottom, f"Mconv7_{s}", 1, outputs, top)


def coco(thin: int = 1, *, heat: int = 19, paf: int = 38, first: int = 512) -> Prototxt:
    """Its `net_output` is 19 heat maps and 38 fields. MPI's has others, and another first stage."""
    net = Prototxt(thin)
    blob = net.chain(net.vgg(2), [("conv4_3_CPM", 3, 256 // thin), ("conv4_4_CPM", 3, 128 // thin)])
    given = {"L1": paf, "L2": heat}
    found = {}
    for branch, outputs in given.items():
        rows = [(f"conv5_{k}_CPM_{branch}", 3, 128 // thin) for k in (1, 2, 3)]
        last = net.chain(blob, [*rows, (f"conv5_4_CPM_{branch}", 1, first // thin)])
        found[branch] = net.convolution(last, f"conv5_5_CPM_{branch}", 1, outputs)
    for i in range(2, 7):
        seen = net.concat(f"concat_stage{i}", [found["L1"], found["L2"], blob])
        for branch, outputs in given.items():
            found[branch] = _refined(net, f"stage{i}_{branch}", seen, outputs)
    net.concat("net_output", [found["L2"], found["L1"]])
    return net


def hand(thin: int = 1, *, points: int = 22) -> Prototxt:
    """Its `net_output` is 22 heat maps; the face's are 71."""
    net = Prototxt(thin)
    rows = [
        ("conv5_1", 3, 512 // thin),
        ("conv5_2", 3, 512 // thin),
        ("conv5_3_CPM", 3, 128 // thin),
    ]
    blob = net.chain(net.vgg(4), rows)
    last = net.chain(blob, [("conv6_1_CPM", 1, 512 // thin)])
    found = net.convolution(last, "conv6_2_CPM", 1, points)
    for i in range(2, 7):
        seen = net.concat(f"concat_stage{i}", [found, blob])
        found = _refined(net, f"stage{i}", seen, points, "net_output" if i == 6 else "")
    return net


def small(width: int = 4) -> Prototxt:
    """No network of OpenPose's: two convolutions, one with a ReLU, one with slopes."""
    net = Prototxt()
    blob = net.chain("image", [("conv1_1", 1, width)])
    net.prelu(net.convolution(blob, "conv4_2", 1, width), "prelu4_2")
    return net


def face(thin: int = 1) -> Prototxt:
    return hand(thin, points=71)


NETWORKS = {"body_25": body_25, "coco": coco, "face": face, "hand": hand}


def random(net: Prototxt, seed: int = 0) -> Weights:
    """Weights that keep a picture's contrast through all the layers; slopes of either sign."""
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for layer in net.layers:
        blobs = []
        for shape in layer.shapes:
            values = rng.standard_normal(shape, np.float32)
            if len(shape) == 4:
                values *= np.float32((2 / np.prod(shape[1:])) ** 0.5)
            else:
                values *= np.float32(0.3 if layer.type == "PReLU" else 0.1)
            blobs.append(values)
        if blobs:
            weights[layer.name] = blobs
    return weights


def named(weights: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """As torch's files name them: "conv1_1.weight", "conv1_1.bias"."""
    kinds = ("weight", "bias")
    return {
        f"{layer}.{kind}": blob
        for layer, blobs in weights.items()
        for kind, blob in zip(kinds, blobs, strict=False)
    }


# Caffe's files ---------------------------------------------------------------------------------


def messages() -> dict[str, Any]:
    """The messages of caffe.proto that matter, as protobuf's classes by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    kinds = {
        "string": kind.TYPE_STRING, "int32": kind.TYPE_INT32, "int64": kind.TYPE_INT64,
        "float": kind.TYPE_FLOAT, "double": kind.TYPE_DOUBLE,
    }  # fmt: skip
    # "*" is repeated, "+" is repeated and packed.
    blob = {
        "num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"),
        "width": (4, "int32"), "data": (5, "+float"), "diff": (6, "+float"), "shape": (7, "Shape"),
        "double_data": (8, "+double"),
    }  # fmt: skip
    described = {
        "Shape": {"dim": (1, "+int64")},
        "Blob": blob,
        "UnpackedShape": {"dim": (1, "*int64")},
        "UnpackedBlob": {
            **blob,
            "data": (5, "*float"),
            "shape": (7, "UnpackedShape"),
            "double_data": (8, "*double"),
        },
        "Convolution": {"num_output": (1, "int32"), "pad": (3, "*int32"), "kernel": (4, "*int32")},
        "Layer": {
            "name": (1, "string"), "type": (2, "string"), "bottom": (3, "*string"),
            "top": (4, "*string"), "loss_weight": (5, "+float"), "blobs": (7, "*Blob"),
            "phase": (10, "int32"), "convolution_param": (106, "Convolution"),
        },
        "V1Layer": {
            "bottom": (2, "*string"), "top": (3, "*string"), "name": (4, "string"),
            "type": (5, "int32"), "blobs": (6, "*Blob"),
        },
        "Net": {
            "name": (1, "string"), "layers": (2, "*V1Layer"), "input": (3, "*string"),
            "layer": (100, "*Layer"),
        },
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="caffe_test.proto", package="c", syntax="proto2")
    for name, fields in described.items():
        message = file.message_type.add(name=name)
        for field_name, (number, how) in fields.items():
            repeated, type_name = how[0] in "*+", how.lstrip("*+")
            added = message.field.add(
                name=field_name,
                number=number,
                label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL,
                type=kinds.get(type_name, kind.TYPE_MESSAGE),
            )
            if type_name not in kinds:
                added.type_name = f".c.{type_name}"
            if how[0] == "+":
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"c.{name}"))
        for name in described
    }


def encoded(net: Prototxt, weights: Weights, *, old: bool = False) -> bytes:
    """A .caffemodel, as a snapshot of the training network: data and loss are layers, too.

    old  in the form of V1, whose blobs have four dimensions
    """
    known = messages()
    model = known["Net"](name="synthetic")
    trained = [Layer("data", "Data", [], "image"), *net.layers, Layer("loss", "Loss", [], "loss")]
    for layer in trained:
        if old:
            written = model.layers.add(name=layer.name, type=_V1_TYPES.get(layer.type, 0))
        else:
            written = model.layer.add(name=layer.name, type=layer.type, phase=1)
        written.bottom.extend(layer.bottoms)
        written.top.append(layer.top)
        for values in weights.get(layer.name, []):
            blob = written.blobs.add()
            blob.data.extend(values.ravel().tolist())
            if old:
                four = values.shape if values.ndim == 4 else (1, 1, 1, values.size)
                blob.num, blob.channels, blob.height, blob.width = four
            else:
                blob.shape.dim.extend(values.shape)
        if layer.type == "Convolution" and not old:
            written.convolution_param.num_output = layer.shapes[0][0]
            written.convolution_param.kernel.append(layer.shapes[0][2])
    return bytes(model.SerializeToString())


def write(file: Path, kind: str, thin: int = 16, seed: int = 0) -> Weights:
    """Write random weights of a network to a .caffemodel; returns them."""
    net = NETWORKS[kind](thin)
    weights = random(net, seed)
    file.write_bytes(encoded(net, weights))
    return weights
