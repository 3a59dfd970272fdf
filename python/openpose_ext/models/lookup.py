"""Finds the file of a network by its name.

Nothing is downloaded here. If a network is missing, the error tells how to fetch it, and which file
to put where.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from openpose_ext.backends.engines import exists
from openpose_ext.errors import ModelError
from openpose_ext.io.cache import user_folder
from openpose_ext.models.manifest import registry

__all__ = [
    "BODY_NETWORKS",
    "ENVIRONMENT",
    "FACE_NETWORKS",
    "FOOT_NETWORKS",
    "HAND_NETWORKS",
    "NETWORKS",
    "fetched_folder",
    "find_file",
    "find_model",
    "model_folders",
]

ENVIRONMENT = "OPENPOSE_EXT_MODELS"
EMBEDDED = Path(__file__).with_name("embedded")

# The files that a name stands for, the best first. INT8 comes before float: it is 1.5 to 7 times as
# fast, its AP on coco_val is 0.490 instead of 0.486, and both engines run it on any CPU.
BODY_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lite": ("lite_body.onnx",),
    "mobilenet": (
        "human-pose-estimation-0001-int8-qdq.onnx",
        "human-pose-estimation-0001-fp16-int8.xml",
        "human-pose-estimation-0001-fp32.onnx",
        "human-pose-estimation-0001.xml",
    ),
    "openpose": ("body_pose_model.onnx", "body_pose_model.pth", "pose_iter_440000.caffemodel"),
    "body25": (
        "body25.onnx",
        "pose_iter_584000.caffemodel",
        "pose_iter_584000.caffemodel.pt",
        "body_25.pth",
    ),
}

HAND_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lite": ("lite_hand.onnx",),
    "landmark": ("hand_landmark_full.tflite", "hand_landmark_lite.tflite"),
    "openpose": ("hand_pose_model.onnx", "hand_pose_model.pth", "pose_iter_102000.caffemodel"),
}

FACE_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lite": ("lite_face.onnx",),
    "landmark": ("face_landmark.tflite",),
    "openpose": ("face_pose_model.onnx", "facenet.pth", "pose_iter_116000.caffemodel"),
}

FOOT_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lite": ("lite_foot.onnx",),
    "landmark": ("pose_landmark_full.tflite",),
}

NETWORKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "body": BODY_NETWORKS,
    "hand": HAND_NETWORKS,
    "face": FACE_NETWORKS,
    "foot": FOOT_NETWORKS,
}


def find_model(
    model: str | PathLike[str], names: Mapping[str, tuple[str, ...]] = BODY_NETWORKS
) -> Path:
    """Find the file of a network.

    model  a name of `names`, or the path of a file or of a compiled network's prefix; a path that
           looks like a name is written "./lite"
    names  the files that each name stands for

    A name is searched for in $OPENPOSE_EXT_MODELS (one folder or several, as in $PATH), the user's
    cache, and this package, in this order; in each folder the best file is taken.

    Raises ModelError saying what is missing and where to put it.
    """
    if not isinstance(model, (str, PathLike)):
        raise TypeError(
            f"a network is a name ({', '.join(names)}) or the path of a file, "
            f"not {type(model).__name__}"
        )
    if isinstance(model, str) and model in names:
        return _named(model, names[model])
    file = Path(model).expanduser()
    if exists(file):
        return file
    raise ModelError(
        f"there is no network file {str(model)!r}, and it is not a name: {', '.join(names)}"
    )


def model_folders() -> list[Path]:
    """The folders that are searched for networks, in order."""
    chosen = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    return [
        *(Path(folder).expanduser() for folder in chosen if folder),
        fetched_folder(),
        EMBEDDED,
    ]


def fetched_folder() -> Path:
    """The folder in the user's cache for networks from `python -m openpose_ext.weights fetch`."""
    return user_folder() / "models"


def find_file(name: str) -> Path | None:
    """The file of this name in the first of `model_folders` that has it, or None."""
    files = (folder / name for folder in model_folders())
    return next((file for file in files if file.is_file()), None)


def _named(name: str, files: tuple[str, ...]) -> Path:
    folders = model_folders()
    for folder in folders:
        for file in files:
            if (folder / file).is_file():
                return folder / file
    offered = [entry for entry in registry() if entry.file in files and entry.urls and entry.hashes]
    fetch = "P"
    if offered:
        fetched = offered[0].name or offered[0].file
        fetch = f"Fetch it: python -m openpose_ext.weights fetch {fetched}; or p"
    raise ModelError(
        f"the network {name!r} is not here. {fetch}ut {' or '.join(files)} into "
        f"{fetched_folder()}, or into a folder named by ${ENVIRONMENT}, or give the path of a file"
    )
