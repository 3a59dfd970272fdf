"""Reads the text files that `--write_txt` writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from openpose_ext.errors import SourceError
from openpose_ext.formats.txt import decode
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["read_txt"]


def read_txt(path: str | os.PathLike[str], *, topology: Topology | None = None) -> Poses:
    """Read the people of a file that `--write_txt` wrote: in its pixels, with three decimals.

    topology  the skeleton, if the file names another one than COCO_18 and BODY_25

    Parts with scores up to 0.05 are marked as both filled and bridged, because the file does not
    tell which. Raises SourceError, naming the file and the reason, if it cannot be read or is no
    such file.
    """
    try:
        people = decode(Path(path).read_text("utf-8"), topology)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SourceError(f"{path} is not text of openpose_ext: {error}") from error
    scores = people.keypoints[..., 2]
    filled = (scores > 0) & (scores <= np.float32(FILLED_SCORE))
    return Poses(
        keypoints=people.keypoints,
        scores=people.scores,
        filled=filled,
        bridged=filled,
        topology=people.topology,
        size=people.size,
        hands=people.hands,
        faces=people.faces,
    )
