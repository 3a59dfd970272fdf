"""Reads OpenPose's JSON files, whatever program wrote them."""

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
    """Read the people of an OpenPose JSON file, in the file's order.

    Reads versions 1.0 to 1.3, the key names of still older files, and the dialect of ControlNet's
    editors. People of 18 parts are COCO_18, those of 25 are BODY_25. 3-D points and candidates are
    dropped.

    size      (width, height) of the picture. OpenPose's files do not have it, ControlNet's do; if
              it is unknown, `Poses.size` is (0, 0)
    topology  the skeleton for people with as many parts, or without a body

    Coordinates are those of the file. It has no scores of people: `scores` is the mean score of the
    parts found. Parts with scores up to 0.05 are marked as both filled and bridged, because the
    file does not tell which. `ids` is None if no person has one, `hands` and `faces` if nobody has
    them.

    Raises SourceError, naming the file and the reason, if it cannot be read or is no such file.
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
