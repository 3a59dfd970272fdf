"""The original networks, body and hand, in torch: tables of layers, and the weights' public files.

Every convolution has stride 1, a bias and enough padding to keep the size; every pool halves it,
three times in all. So any input whose sides are multiples of 8 gives maps of an eighth of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from openpose_ext.errors import ModelError

__all__ = [
    "OUTPUTS",
    "BodyNet",
    "HandNet",
    "Layer",
    "load_body",
    "load_hand",
    "load_network",
    "save_weights",
]

PARTS = 19  # heat maps of the body: 18 parts and the background
FIELDS = 38  # x and y of 19 limbs
POINTS = 22  # heat maps of the hand: 21 points and the background
FEATURES = 128  # channels of the trunk's output, which every stage sees
STAGES = range(2, 7)  # refinements after the first prediction

Net = TypeVar("Net", bound=nn.Module)

# What each network gives, in order.
OUTPUTS: Mapping[str, tuple[str, ...]] = {"body": ("paf", "heat"), "hand": ("heat",)}


@dataclass(frozen=True)
class Layer:
    """A convolution of the original networks.

    name            Caffe's; unique within a network, and what the public files call it
    kernel          side, pixels
    inputs, outputs channels
    relu            whether a ReLU follows
    """

    name: str
    kernel: int
    inputs: int
    outputs: int
    relu: bool = True


# Halves both sides; the name is only there to be read.
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
        Layer(f"conv5_5_CPM_{branch}", 1, 512, outputs, relu=False),
    )


def _stage(suffix: str, maps: int, outputs: int, *, relu: bool = False) -> _Block:
    """A refinement of the maps before it, `maps` channels of them in front of the features."""
    return (
        Layer(f"Mconv1_{suffix}", 7, maps + FEATURES, 128),
        *(Layer(f"Mconv{k}_{suffix}", 7, 128, 128) for k in range(2, 6)),
        Layer(f"Mconv6_{suffix}", 1, 128, 128),
        Layer(f"Mconv7_{suffix}", 1, 128, outputs, relu=relu),
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


def _hand_blocks() -> dict[str, _Block]:
    return {
        "model1_0": _HAND_TRUNK,
        "model1_1": (
            Layer("conv6_1_CPM", 1, FEATURES, 512),
            Layer("conv6_2_CPM", 1, 512, POINTS, relu=False),
        ),
        **{f"model{i}": _stage(f"stage{i}", POINTS, POINTS) for i in STAGES},
    }


# Channels that a thinner network keeps: the picture's and the maps'.
_FIXED = {3, FIELDS, PARTS, POINTS}


def _thinned(channels: int, thin: int) -> int:
    for maps in (FIELDS + PARTS, POINTS):
        if channels == maps + FEATURES:
            return maps + FEATURES // thin
    return channels if channels in _FIXED else channels // thin


def _module(block: _Block, thin: int) -> nn.Sequential:
    module = nn.Sequential()
    for layer in block:
        if isinstance(layer, _Pool):
            module.add_module(layer.name, nn.MaxPool2d(2))
            continue
        module.add_module(
            layer.name,
            nn.Conv2d(
                _thinned(layer.inputs, thin),
                _thinned(layer.outputs, thin),
                layer.kernel,
                padding=layer.kernel // 2,
            ),
        )
        if layer.relu:
            module.add_module(f"relu_{layer.name}", nn.ReLU(inplace=True))
    return module


class BodyNet(nn.Module):  # type: ignore[misc]
    """The body network of OpenPose's COCO model: 18 parts, 19 limbs.

    relu_heat  a ReLU on the last heat maps. pytorch-openpose has one by mistake, Caffe and
               OpenPose have none. It is the same as cutting the maps at 0 afterwards. Off, as it
               was trained: cutting the maps of the two networks at hand (0.489 and 0.345 AP on
               coco_val) changed no AP, by our decoder nor by the original rules
    thin       hidden channels are divided by it (a divisor of 64): the same shape at 1 / thin^2
               of the cost, for tests and trials

    Source  Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields"
    """

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


class HandNet(nn.Module):  # type: ignore[misc]
    """The hand network of OpenPose: 21 points of a right hand.

    thin  as in `BodyNet`

    Source  Simon et al., "Hand Keypoint Detection in Single Images using Multiview Bootstrapping"
    """

    def __init__(self, *, thin: int = 1) -> None:
        super().__init__()
        for name, block in _hand_blocks().items():
            self.add_module(name, _module(block, thin))

    def forward(self, pictures: Tensor) -> Tensor:
        """Heat maps (N, 22, H / 8, W / 8) of pictures as `BodyNet` takes them."""
        features = self.get_submodule("model1_0")(pictures)
        heat: Tensor = self.get_submodule("model1_1")(features)
        for i in STAGES:
            heat = self.get_submodule(f"model{i}")(torch.cat([heat, features], 1))
        return heat


def load_body(path: str | PathLike[str], *, relu_heat: bool = False) -> BodyNet:
    """The body network with the weights of a file such as `body_pose_model.pth`, on the CPU.

    Keys with and without a prefix (`model0.conv1_1.weight`) are understood. A file of a thinner
    network (see `BodyNet`) gives that one. Everything becomes float32.

    Raises ModelError if the file cannot be read as weights alone (nothing in it is executed), or
    naming the keys that are missing, too many or of another shape.
    """
    file = Path(path)
    return _filled(lambda thin: BodyNet(relu_heat=relu_heat, thin=thin), _read(file), file, "body")


def load_hand(path: str | PathLike[str]) -> HandNet:
    """The hand network with the weights of such as `hand_pose_model.pth`; see `load_body`."""
    file = Path(path)
    return _filled(lambda thin: HandNet(thin=thin), _read(file), file, "hand")


def load_network(path: str | PathLike[str]) -> tuple[str, BodyNet | HandNet]:
    """("body" or "hand", the network) of a file of weights, whichever its keys name.

    Raises as `load_body` does.
    """
    file = Path(path)
    weights = _read(file)
    if "conv6_2_CPM.weight" in weights:
        return "hand", _filled(lambda thin: HandNet(thin=thin), weights, file, "hand")
    return "body", _filled(lambda thin: BodyNet(thin=thin), weights, file, "body")


def save_weights(network: BodyNet | HandNet, path: str | PathLike[str]) -> None:
    """Write the weights as the public files have them: flat, without prefixes."""
    torch.save({_short(key): value for key, value in network.state_dict().items()}, path)


def _short(key: str) -> str:
    """The layer and what of it, without the blocks in front: "conv1_1.weight"."""
    return ".".join(key.split(".")[-2:])


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by their short names."""
    if not file.is_file():
        raise ModelError(f"there is no network file {file}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{file} cannot be read as torch weights: {reason}") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ModelError(
            f"{file} holds {type(content).__name__}, not tensors by name; the public files are "
            'flat: "conv1_1.weight", ...'
        )
    weights: dict[str, Tensor] = {}
    for key, value in content.items():
        if _short(key) in weights:
            raise ModelError(f"{file} has {_short(key)} twice, under {key} and another prefix")
        weights[_short(key)] = value
    return weights


def _filled(
    network: Callable[[int], Net], weights: Mapping[str, Tensor], file: Path, kind: str
) -> Net:
    """A network of the width that the file has, with its weights."""
    with torch.device("meta"):  # shapes alone: what is filled below need not be drawn first
        made = network(_thinness(weights))
    expected = {_short(key): (key, value.shape) for key, value in made.state_dict().items()}
    problems = [
        *_some("missing", [key for key in expected if key not in weights]),
        *_some("not part of it", [key for key in weights if key not in expected]),
        *_some(
            "of another shape",
            [
                f"{key} {tuple(weights[key].shape)} instead of {tuple(shape)}"
                for key, (_, shape) in expected.items()
                if key in weights and weights[key].shape != shape
            ],
        ),
    ]
    if problems:
        raise ModelError(f"{file} does not hold the original {kind} network: {'; '.join(problems)}")
    state = {full: weights[key].float() for key, (full, _) in expected.items()}
    made.load_state_dict(state, assign=True)
    made.eval().requires_grad_(False)
    return made


def _thinness(weights: Mapping[str, Tensor]) -> int:
    """What the first layer's width says; 1 where it says nothing."""
    first = weights.get("conv1_1.weight")
    width = 64 if first is None or first.ndim != 4 else first.shape[0]
    return 64 // width if width > 0 and 64 % width == 0 else 1


def _some(what: str, names: Sequence[str]) -> list[str]:
    """A clause that names the first few."""
    if not names:
        return []
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"{what}: {', '.join(names[:4])}{more}"]
