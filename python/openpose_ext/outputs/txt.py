"""People as lines of text, one file per frame; see `formats.txt`."""

from __future__ import annotations

import os

from openpose_ext.errors import OutputError
from openpose_ext.formats.txt import encode
from openpose_ext.io.whole import write_whole
from openpose_ext.types.poses import Poses

__all__ = ["write_txt"]


def write_txt(path: str | os.PathLike[str], poses: Poses) -> None:
    """Write the people as text.

    Raises OutputError if it cannot be written, or if the name of a custom skeleton could not be
    read back.
    """
    try:
        text = encode(
            poses.keypoints,
            poses.scores,
            poses.filled,
            topology=poses.topology,
            size=poses.size,
            hands=poses.hands,
            faces=poses.faces,
        )
    except ValueError as error:
        raise OutputError(f"{path}: {error}") from error
    write_whole(path, text.encode())
