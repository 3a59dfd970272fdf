"""The original networks in torch: tables of layers, and their files of weights.

Every convolution has stride 1, a bias and enough padding to keep the size; every pool halves it,
three times in all. So any input whose sides are multiples of 8 gives maps of an eighth of it.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from openpose_ext.errors import ModelError
from openpose_ext.models.convert.caffemodel import read_caffemodel
from openpose_ext.models.convert.safetensors import is_safetensors, read_safetensors

__all__ = [
    "OUTPUTS",
    "Body25Net",
    "BodyNet",
    "FaceNet",
    "HandNet",
    "Layer",
    "Original",
    "load_body",
    "load_face",
    "load_hand",
    "load_network",
    "save_weights",
]

PARTS = 19  # heat maps of the COCO body: 18 parts and the background
FIELDS = 38  # x and y of 19 limbs
PARTS_25 = 26  # heat maps of BODY_25: 25 parts and the background
FIELDS_25 = 52  # x and y of 26 limbs
POINTS = 22  # heat maps of the hand: 21 points and the background
FACE_POINTS = 71  # of the face: 70 points and the background
FEATURES = 128  # channels of the trunk's output, which every stage sees
STAGES = range(2, 7)  # refinements after the first prediction

Net = TypeVar("Net", bound=nn.Module)

# What each network gives, in order.
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "body": ("paf", "heat"),
    "hand": ("heat",),
    "face": ("heat",),
}


@dataclass(frozen=True)
class Layer:
    """A convolution of the original networks.

    name            Caffe's; unique within a network, and what the public files call it
    kernel          side, pixels
    inputs, outputs channels
    then            the activation that follows, None for none
    """

    name: str
    kernel: int
    inputs: int
    outputs: int
    then: Literal["relu", "prelu"] | None = "relu"


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
        Layer(f"conv5_5_CPM_{branch}", 1, 512, outputs, None),
    )


def _stage(suffix: str, maps: int, outputs: int, *, relu: bool = False) -> _Block:
    """A refinement of the maps before it, `maps` channels of them in front of the features."""
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
    """Of the hand, and of the face, which has more points."""
    return {
        "model1_0": _HAND_TRUNK,
        "model1_1": (
            Layer("conv6_1_CPM", 1, FEATURES, 512),
            Layer("conv6_2_CPM", 1, 512, points, None),
        ),
        **{f"model{i}": _stage(f"stage{i}", points, points) for i in STAGES},
    }


# BODY_25 finds the fields in four stages, then the heat maps in two. Channels of each: the maps it
# sees beside the features, a convolution, the last layer's input, and the maps it gives.
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

# Channels that a thinner network keeps: the picture's, and those of maps, which may come with
# the features.
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
            # Caffe's name, for it has weights: conv4_2 is followed by prelu4_2.
            module.add_module(layer.name.replace("conv", "prelu"), nn.PReLU(outputs))
    return module


class _Chain(nn.Module):  # type: ignore[misc]
    """Convolutions one after another, and what each of them gives side by side."""

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
    """Five chains of three, and two layers of single pixels."""
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

    relu_heat  a ReLU on the last heat maps. pytorch-openpose has one by mistake, Caffe and
               OpenPose have none. It is the same as cutting the maps at 0 afterwards. Off, as it
               was trained: cutting the maps of the two networks at hand (0.489 and 0.345 AP on
               coco_val) changed no AP, by our decoder nor by the original rules
    thin       hidden channels are divided by it (a divisor of 64): the same shape at 1 / thin^2
               of the cost, for tests and trials

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
    """The face network of OpenPose, 70 points: the hand network but for the number of maps.

    thin  as in `BodyNet`
    """

    topology: ClassVar[str] = "face_70"
    points: ClassVar[int] = FACE_POINTS


Original = BodyNet | Body25Net | HandNet | FaceNet

# OpenPose's other networks, by how many values a bias has.
_OTHERS = {
    ("conv5_5_CPM_L1.bias", 28): "MPI",
    ("Mconv7_stage0_L2.bias", 72): "BODY_25B",
}


# What training programs put the weights under.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params", "weights")


def load_body(path: str | PathLike[str], *, relu_heat: bool = False) -> BodyNet:
    """The COCO body network with the weights of a file such as `body_pose_model.pth`, on the CPU.

    A .caffemodel is read as Caffe's, all else as torch's: there keys with and without a prefix
    (`model0.conv1_1.weight`) are understood, also inside of "state_dict", "model", "params" and the
    like, and safetensors are, under any name. A file of a
    thinner network (see `BodyNet`) gives that one. Everything becomes float32.

    Warns of layers with weights that a .caffemodel has beside the network's.
    Raises ModelError if the file cannot be read as weights alone (nothing in it is executed), or
    naming the keys that are missing, too many, of another shape or hold what is no number.
    """
    file = Path(path)
    return _filled(lambda thin: BodyNet(relu_heat=relu_heat, thin=thin), _read(file), file, "COCO")


def load_hand(path: str | PathLike[str]) -> HandNet:
    """The hand network with the weights of such as `hand_pose_model.pth`; see `load_body`."""
    file = Path(path)
    return _filled(lambda thin: HandNet(thin=thin), _read(file), file, "hand")


def load_face(path: str | PathLike[str]) -> FaceNet:
    """The face network with the weights of such as `facenet.pth`; see `load_body`."""
    file = Path(path)
    return _filled(lambda thin: FaceNet(thin=thin), _read(file), file, "face")


def load_network(path: str | PathLike[str]) -> tuple[str, Original]:
    """("body", "hand" or "face", the network) of a file of weights, whichever its keys name.

    Raises as `load_body` does.
    """
    file = Path(path)
    weights = _read(file)
    last = weights.get("conv6_2_CPM.weight")
    if last is not None and len(last) == FACE_POINTS:
        return "face", _filled(lambda thin: FaceNet(thin=thin), weights, file, "face")
    if last is not None:
        return "hand", _filled(lambda thin: HandNet(thin=thin), weights, file, "hand")
    if "prelu4_2.weight" in weights:
        return "body", _filled(lambda thin: Body25Net(thin=thin), weights, file, "BODY_25")
    return "body", _filled(lambda thin: BodyNet(thin=thin), weights, file, "COCO")


def save_weights(network: Original, path: str | PathLike[str]) -> None:
    """Write the weights as the public files have them: flat, without prefixes."""
    torch.save({_short(key): value for key, value in network.state_dict().items()}, path)


def _short(key: str) -> str:
    """The layer and what of it, without the blocks in front: "conv1_1.weight"."""
    return ".".join(key.split(".")[-2:])


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by their short names."""
    if not file.is_file():
        raise ModelError(f"there is no network file {file}")
    if _is_caffe(file):
        return {key: torch.from_numpy(values) for key, values in read_caffemodel(file).items()}
    content = _loaded(file)
    while isinstance(content, Mapping):  # as training programs wrap them
        inner = [content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ModelError(
            f"{file} holds {type(content).__name__}, not tensors by name; the public files are "
            'flat: "conv1_1.weight", ...'
        )
    for key, value in content.items():
        odd = _oddity(value)
        if odd:
            raise ModelError(f"{file} is no file of weights: {key} {odd}")
    weights: dict[str, Tensor] = {}
    for key, value in content.items():
        if _short(key) in weights:
            raise ModelError(f"{file} has {_short(key)} twice, under {key} and another prefix")
        weights[_short(key)] = value
    return weights


def _loaded(file: Path) -> object:
    """What a file of torch's, or of safetensors, holds. Nothing in it is executed."""
    try:
        with file.open("rb") as stream:
            head = stream.read(512)
        if is_safetensors(head):
            return read_safetensors(file)
        other = _other_kind(head)
        if other:
            raise ModelError(f"{file} {other}")
        return torch.load(file, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror or error}") from error
    except Exception as error:  # an unpickler raises whatever damaged bytes lead to
        objects = re.search(r"GLOBAL (\S+)", str(error))
        if objects:
            reason = (
                f"it holds Python objects ({objects[1]}), which may run anything and are not "
                "loaded; save the network's state_dict alone"
            )
        elif isinstance(error, pickle.UnpicklingError):
            reason = "it is damaged, or was not written by torch.save"
        else:
            reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{file} cannot be read as torch weights: {reason}") from error


def _other_kind(head: bytes) -> str:
    """What a file is that is no file of weights, by its first bytes; "" if that is not plain."""
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page, not the file it offers; download it again"
    return ""


def _oddity(value: Tensor) -> str:
    """Why a tensor is not taken, such as one that is larger than what the file holds of it."""
    if value.is_meta:
        return "has a shape, and no values"
    if value.layout != torch.strided or value.is_quantized:
        return "is sparse or quantised; dense tensors are needed"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"is {tuple(value.shape)} made of fewer values"
    return ""


def _is_caffe(file: Path) -> bool:
    return file.suffix.lower() == ".caffemodel"


def _filled(
    network: Callable[[int], Net], weights: Mapping[str, Tensor], file: Path, kind: str
) -> Net:
    """A network of the width that the file has, with its weights."""
    with torch.device("meta"):  # shapes alone: what is filled below need not be drawn first
        made = network(_thinness(weights))
    expected = {_short(key): (key, value.shape) for key, value in made.state_dict().items()}
    # Old files have more dimensions for biases and slopes.
    found = {
        key: value.ravel() if key in expected and len(expected[key][1]) == 1 else value
        for key, value in weights.items()
    }
    extra = [key for key in found if key not in expected]
    problems = [
        *_some("missing", [key for key in expected if key not in found]),
        *_some("not part of it", [] if _is_caffe(file) else extra),
        *_some(
            "of another shape",
            [
                f"{key} {tuple(found[key].shape)} instead of {tuple(shape)}"
                for key, (_, shape) in expected.items()
                if key in found and found[key].shape != shape
            ],
        ),
        *_some(
            "not finite",
            [key for key in expected if key in found and not found[key].isfinite().all()],
        ),
    ]
    if problems:
        for (key, channels), name in _OTHERS.items():
            if key in found and found[key].numel() == channels:
                problems.append(f"it looks like OpenPose's {name} network, which is not supported")
        raise ModelError(f"{file} does not hold the original {kind} network: {'; '.join(problems)}")
    if extra:
        warnings.warn(f"{file}: {_some('not used', extra)[0]}", stacklevel=3)
    state = {full: found[key].float() for key, (full, _) in expected.items()}
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
