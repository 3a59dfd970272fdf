"""Files of weights of the original networks: torch's, safetensors and Caffe's.

Nothing in a file is executed, whatever it holds.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from openpose_ext.errors import ModelError
from openpose_ext.models.convert.caffemodel import read_caffemodel
from openpose_ext.models.convert.original import (
    FACE_POINTS,
    Body25Net,
    BodyNet,
    FaceNet,
    HandNet,
    Original,
)
from openpose_ext.models.convert.safetensors import is_safetensors, read_safetensors

__all__ = ["load_body", "load_face", "load_hand", "load_network", "save_weights"]

Net = TypeVar("Net", bound=nn.Module)

# OpenPose's other networks, by the number of values of a bias.
_OTHERS = {
    ("conv5_5_CPM_L1.bias", 28): "MPI",
    ("Mconv7_stage0_L2.bias", 72): "BODY_25B",
}


# Keys under which training programs store the weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params", "weights")


def load_body(path: str | PathLike[str], *, relu_heat: bool = False) -> BodyNet:
    """Load the COCO body network with the weights of a file such as `body_pose_model.pth`.

    A .caffemodel is read as Caffe's, any other file as torch's or as safetensors. Torch's keys may
    have a prefix (`model0.conv1_1.weight`) and may lie inside "state_dict", "model", "params" and
    the like. A file of a thinner network (see `BodyNet`) gives that network. The network is on the
    CPU, and all weights become float32.

    Warns of layers in a .caffemodel that do not belong to the network. Raises ModelError if the
    file does not hold weights alone (nothing in it is executed), or naming the keys that are
    missing, unknown, of another shape, or that hold values that are not finite.
    """
    file = Path(path)
    return _filled(lambda thin: BodyNet(relu_heat=relu_heat, thin=thin), _read(file), file, "COCO")


def load_hand(path: str | PathLike[str]) -> HandNet:
    """Load the hand network with the weights of a file like `hand_pose_model.pth`; see
    `load_body`."""
    file = Path(path)
    return _filled(lambda thin: HandNet(thin=thin), _read(file), file, "hand")


def load_face(path: str | PathLike[str]) -> FaceNet:
    """Load the face network with the weights of a file like `facenet.pth`; see `load_body`."""
    file = Path(path)
    return _filled(lambda thin: FaceNet(thin=thin), _read(file), file, "face")


def load_network(path: str | PathLike[str], *, relu_heat: bool = False) -> tuple[str, Original]:
    """Load the network that a file's keys belong to: ("body", "hand" or "face", the network).

    relu_heat  as in `BodyNet`; the other networks have none

    Raises the errors of `load_body`.
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
    return "body", _filled(
        lambda thin: BodyNet(relu_heat=relu_heat, thin=thin), weights, file, "COCO"
    )


def save_weights(network: Original, path: str | PathLike[str]) -> None:
    """Write the weights as the public files have them: flat, without prefixes."""
    torch.save({_short(key): value for key, value in network.state_dict().items()}, path)


def _short(key: str) -> str:
    """A key without the blocks in front, such as "conv1_1.weight"."""
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
    """The content of a torch or safetensors file. Nothing in it is executed."""
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
    """What a file is, by its first bytes, if it is clearly no file of weights; otherwise ""."""
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page instead of the file; download it again"
    return ""


def _oddity(value: Tensor) -> str:
    """Why a tensor is refused, such as one with more elements than the file stores; or ""."""
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
    """A network as wide as the file's, filled with its weights."""
    with torch.device("meta"):  # no memory yet: the weights are filled in below
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
    """How thin the network is, by the width of its first layer; 1 if that does not tell."""
    first = weights.get("conv1_1.weight")
    width = 64 if first is None or first.ndim != 4 else first.shape[0]
    return 64 // width if width > 0 and 64 % width == 0 else 1


def _some(what: str, names: Sequence[str]) -> list[str]:
    """A clause that names the first few keys, if there are any."""
    if not names:
        return []
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"{what}: {', '.join(names[:4])}{more}"]
