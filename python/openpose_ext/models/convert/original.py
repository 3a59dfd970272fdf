"""The original networks in torch, as tables of layers.

Every convolution has stride 1, a bias and enough padding to keep the size; every pool halves it,
three times in all. So any input whose sides are multiples of 8 gives maps of an eighth of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

__all__ = [
    "OUTPUTS",
    "Body25Net",
    "BodyNet",
    "FaceNet",
    "HandNet",
    "Layer",
    "Original",
]

PARTS = 19  # heat maps of the COCO body: 18 parts and the background
FIELDS = 38  # x and y of 19 limbs
PARTS_25 = 26  # heat maps of BODY_25: 25 parts and the background
FIELDS_25 = 52  # x and y of 26 limbs
POINTS = 22  # heat maps of the hand: 21 points and the background
FACE_POINTS = 71  # heat maps of the face: 70 points and the background
FEATURES = 128  # channels of the trunk's output, which every stage sees
STAGES = range(2, 7)  # refinements after the first prediction

# The outputs of each network, in order.
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "body": ("paf", "heat"),
    "hand": ("heat",),
    "face": ("heat",),
}


@dataclass(frozen=True)
class Layer:
    """A convolution of the original networks.

    name            Caffe's name, unique within a network; the public files use it, too
    kernel          side in pixels
    inputs, outputs numbers of channels
    then            the activation that follows, or None
    """

    name: str
    kernel: int
    inputs: int
    outputs: int
    then: Literal["relu", "prelu"] | None = "relu"


# Halves both sides; its name is only for readers.
@dataclass(frozen=True)
class _Pool:
    name: str


_Block = tuple[Layer | _Pool, ...]

_VGG: _Block = (
    Layer("conv1_1", 3, 3, 64),
    Layer("conv1_2", 3, 64, 64),
    _Pool("pool1_stage1"),
    Layer("conv2_1", 3, 64, 128),
    Layer("conv2_2", 3, 128, 128),
    _Pool("pool2_stage1"),
    Layer("conv3_1", 3, 128, 256),
    Layer("conv3_2", 3, 256, 256),
    Layer("conv3_3", 3, 256, 256),
    Layer("conv3_4", 3, 256, 256),
    _Pool("pool3_stage1"),
    Layer("conv4_1", 3, 256, 512),
    Layer("conv4_2", 3, 512, 512),
)

_BODY_TRUNK: _Block = (
    *_VGG,
    Layer("conv4_3_CPM", 3, 512, 256),
    Layer("conv4_4_CPM", 3, 256, FEATURES),
)

_HAND_TRUNK: _Block = (
    *_VGG,
    Layer("conv4_3", 3, 512, 512),
    Layer("conv4_4", 3, 512, 512),
    Layer("conv5_1", 3, 512, 512),
    Layer("conv5_2", 3, 512, 512),
    Layer("conv5_3_CPM", 3, 512, FEATURES),
)


def _first_stage(branch: str, outputs: int) -> _Block:
    """Stage 1 of the body on the features alone."""
    return (
        Layer(f"conv5_1_CPM_{branch}", 3, FEATURES, 128),
        Layer(f"conv5_2_CPM_{branch}", 3, 128, 128),
        Layer(f"conv5_3_CPM_{branch}", 3, 128, 128),
        Layer(f"conv5_4_CPM_{branch}", 1, 128, 512),
        Layer(f"conv5_5_CPM_{branch}", 1, 512, outputs, None),
    )


def _stage(suffix: str, maps: int, outputs: int, *, relu: bool = False) -> _Block:
    """A refinement stage; it gets the `maps` channels of the stage before, and the features."""
    return (
        Layer(f"Mconv1_{suffix}", 7, maps + FEATURES, 128),
        *(Layer(f"Mconv{k}_{suffix}", 7, 128, 128) for k in range(2, 6)),
        Layer(f"Mconv6_{suffix}", 1, 128, 128),
        Layer(f"Mconv7_{suffix}", 1, 128, outputs, "relu" if relu else None),
    )


def _body_blocks(relu_heat: bool) -> dict[str, _Block]:
    blocks = {
        "model0": _BODY_TRUNK,
        "model1_1": _first_stage("L1", FIELDS),
        "model1_2": _first_stage("L2", PARTS),
    }
    for i in STAGES:
        last = i == STAGES[-1]
        blocks[f"model{i}_1"] = _stage(f"stage{i}_L1", FIELDS + PARTS, FIELDS)
        blocks[f"model{i}_2"] = _stage(
            f"stage{i}_L2", FIELDS + PARTS, PARTS, relu=last and relu_heat
        )
    return blocks


def _hand_blocks(points: int) -> dict[str, _Block]:
    """The blocks of the hand network, and of the face network, which has more points."""
    return {
        "model1_0": _HAND_TRUNK,
        "model1_1": (
            Layer("conv6_1_CPM", 1, FEATURES, 512),
            Layer("conv6_2_CPM", 1, 512, points, None),
        ),
        **{f"model{i}": _stage(f"stage{i}", points, points) for i in STAGES},
    }


# BODY_25 finds the fields in four stages, then the heat maps in two. Channels of each stage: the
# maps it gets beside the features, a convolution, the last layer's input, and the maps it returns.
_STAGES_25 = {
    "stage0_L2": (0, 96, 256, FIELDS_25),
    "stage1_L2": (FIELDS_25, 128, 512, FIELDS_25),
    "stage2_L2": (FIELDS_25, 128, 512, FIELDS_25),
    "stage3_L2": (FIELDS_25, 128, 512, FIELDS_25),
    "stage0_L1": (FIELDS_25, 96, 256, PARTS_25),
    "stage1_L1": (PARTS_25 + FIELDS_25, 128, 512, PARTS_25),
}

_BODY_25_TRUNK: _Block = (
    *_VGG[:-1],
    Layer("conv4_2", 3, 512, 512, "prelu"),
    Layer("conv4_3_CPM", 3, 512, 256, "prelu"),
    Layer("conv4_4_CPM", 3, 256, FEATURES, "prelu"),
)

# Channels that a thinner network keeps: those of the picture and of maps, alone or with the
# features.
_MAPS = (
    *(3, FIELDS, PARTS, FIELDS + PARTS, POINTS, FACE_POINTS),
    *(FIELDS_25, PARTS_25, PARTS_25 + FIELDS_25),
)


def _thinned(channels: int, thin: int) -> int:
    kept = next((maps for maps in _MAPS if channels in (maps, maps + FEATURES)), 0)
    return kept + (channels - kept) // thin


def _module(block: _Block, thin: int) -> nn.Sequential:
    module = nn.Sequential()
    for layer in block:
        if isinstance(layer, _Pool):
            module.add_module(layer.name, nn.MaxPool2d(2))
            continue
        outputs = _thinned(layer.outputs, thin)
        module.add_module(
            layer.name,
            nn.Conv2d(
                _thinned(layer.inputs, thin), outputs, layer.kernel, padding=layer.kernel // 2
            ),
        )
        if layer.then == "relu":
            module.add_module(f"relu_{layer.name}", nn.ReLU(inplace=True))
        elif layer.then == "prelu":
            # It has weights, so it needs Caffe's name: conv4_2 is followed by prelu4_2.
            module.add_module(layer.name.replace("conv", "prelu"), nn.PReLU(outputs))
    return module


class _Chain(nn.Module):  # type: ignore[misc]
    """Convolutions one after another; the result is the outputs of all, concatenated."""

    def __init__(self, layers: Sequence[Layer], thin: int) -> None:
        super().__init__()
        for k, layer in enumerate(layers):
            self.add_module(str(k), _module((layer,), thin))

    def forward(self, seen: Tensor) -> Tensor:
        found = []
        for module in self.children():
            seen = module(seen)
            found.append(seen)
        return torch.cat(found, 1)


def _stage_25(suffix: str, thin: int) -> nn.Sequential:
    """Five chains of three convolutions, and two 1 x 1 convolutions."""
    maps, width, hidden, outputs = _STAGES_25[suffix]
    inputs = maps + FEATURES
    stage = nn.Sequential()
    for i in range(1, 6):
        name = f"Mconv{i}_{suffix}"
        layers = [
            Layer(f"{name}_{j}", 3, inputs if j == 0 else width, width, "prelu") for j in range(3)
        ]
        stage.add_module(name, _Chain(layers, thin))
        inputs = 3 * width
    last: _Block = (
        Layer(f"Mconv6_{suffix}", 1, inputs, hidden, "prelu"),
        Layer(f"Mconv7_{suffix}", 1, hidden, outputs, None),
    )
    stage.add_module("last", _module(last, thin))
    return stage


class BodyNet(nn.Module):  # type: ignore[misc]
    """The body network of OpenPose's COCO model: 18 parts, 19 limbs.

    relu_heat  whether the last heat maps go through a ReLU, which is the same as cutting them at 0.
               pytorch-openpose has one by mistake; Caffe and OpenPose have none, and the network
               was trained without. Cutting the maps of the two networks at hand (0.489 and 0.345 AP
               on coco_val) changed no AP, neither with our decoder nor with the original rules
    thin       divide the hidden channels by this divisor of 64: the same structure at 1 / thin^2 of
               the cost, for tests

    Source  Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields"
    """

    topology: ClassVar[str] = "coco_18"

    def __init__(self, *, relu_heat: bool = False, thin: int = 1) -> None:
        super().__init__()
        for name, block in _body_blocks(relu_heat).items():
            self.add_module(name, _module(block, thin))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of pictures (N, 3, H, W), BGR, x / 256 - 0.5; H and W multiples of 8.

        Returns  fields (N, 38, H / 8, W / 8) and heat maps (N, 19, H / 8, W / 8)
        """
        features = self.get_submodule("model0")(pictures)
        paf, heat = (self.get_submodule(f"model1_{b}")(features) for b in (1, 2))
        for i in STAGES:
            seen = torch.cat([paf, heat, features], 1)
            paf, heat = (self.get_submodule(f"model{i}_{b}")(seen) for b in (1, 2))
        return paf, heat


class Body25Net(nn.Module):  # type: ignore[misc]
    """The body network of OpenPose's BODY_25 model: 25 parts, feet among them, 26 limbs.

    thin  as in `BodyNet`, a divisor of 32

    Source  Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity
            Fields"
    """

    topology: ClassVar[str] = "body_25"

    def __init__(self, *, thin: int = 1) -> None:
        super().__init__()
        self.add_module("trunk", _module(_BODY_25_TRUNK, thin))
        for suffix in _STAGES_25:
            self.add_module(suffix, _stage_25(suffix, thin))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of pictures as `BodyNet` takes them.

        Returns  fields (N, 52, H / 8, W / 8) and heat maps (N, 26, H / 8, W / 8)
        """
        features = self.get_submodule("trunk")(pictures)
        paf = self.get_submodule("stage0_L2")(features)
        for i in range(1, 4):
            paf = self.get_submodule(f"stage{i}_L2")(torch.cat([features, paf], 1))
        heat = self.get_submodule("stage0_L1")(torch.cat([features, paf], 1))
        heat = self.get_submodule("stage1_L1")(torch.cat([features, heat, paf], 1))
        return paf, heat


class HandNet(nn.Module):  # type: ignore[misc]
    """The hand network of OpenPose: 21 points of a right hand.

    thin  as in `BodyNet`

    Source  Simon et al., "Hand Keypoint Detection in Single Images using Multiview Bootstrapping"
    """

    topology: ClassVar[str] = "hand_21"
    points: ClassVar[int] = POINTS

    def __init__(self, *, thin: int = 1) -> None:
        super().__init__()
        for name, block in _hand_blocks(self.points).items():
            self.add_module(name, _module(block, thin))

    def forward(self, pictures: Tensor) -> Tensor:
        """Heat maps (N, points, H / 8, W / 8) of pictures as `BodyNet` takes them."""
        features = self.get_submodule("model1_0")(pictures)
        heat: Tensor = self.get_submodule("model1_1")(features)
        for i in STAGES:
            heat = self.get_submodule(f"model{i}")(torch.cat([heat, features], 1))
        return heat


class FaceNet(HandNet):
    """The face network of OpenPose, 70 points: the hand network with another number of maps.

    thin  as in `BodyNet`
    """

    topology: ClassVar[str] = "face_70"
    points: ClassVar[int] = FACE_POINTS


Original = BodyNet | Body25Net | HandNet | FaceNet
