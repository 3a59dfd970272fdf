"""Files of OpenPose's JSON, by whatever program: reading them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from openpose_ext.errors import SourceError
from openpose_ext.formats.openpose_json import decode
from openpose_ext.types.arrays import Size
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

__all__ = ["read_openpose"]


def read_openpose(
    path: str | os.PathLike[str],
    *,
    size: Size | None = None,
    topology: Topology = COCO_18,
) -> Poses:
    """The people of an OpenPose JSON file, in the file's order.

    Versions 1.0 to 1.3 are read, the key names of still older files, and the dialect of
    ControlNet's editors. 18 parts are COCO_18, 25 are BODY_25. 3-D points and candidates are not
    kept.

    size      (width, height) of the picture. OpenPose's files do not tell it, ControlNet's do;
              where it is neither given nor told, `Poses.size` is (0, 0).
    topology  the skeleton of a file whose people have as many parts as it, or no body at all

    The file has no person scores: `scores` is the mean score of the parts found. Parts that score
    up to 0.05 are marked as filled and as bridged: a file tells no other kind. `ids` is None if no
    person has one, `hands` and `faces` if nobody has them.

    Raises SourceError, naming the file and the reason, if it is no such file.
    """
    try:
        people = decode(json.loads(Path(path).read_text("utf-8-sig")), parts=len(topology.parts))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not OpenPose JSON: {error}") from error
    keypoints = people.keypoints
    parts = keypoints.shape[1]
    if not parts:
        keypoints = np.zeros((len(keypoints), len(topology.parts), 3), np.float32)
    elif parts != len(topology.parts):
        topology = COCO_18 if parts == len(COCO_18.parts) else BODY_25
    scores = keypoints[..., 2]
    found = scores > 0
    filled = found & (scores <= np.float32(FILLED_SCORE))
    return Poses(
        keypoints=keypoints,
        scores=scores.sum(axis=1) / np.maximum(found.sum(axis=1), 1).astype(np.float32),
        filled=filled,
        bridged=filled,
        topology=topology,
        size=size or people.canvas or (0, 0),
        hands=people.hands,
        faces=people.faces,
        ids=people.ids,
    )
