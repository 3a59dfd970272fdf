"""OpenPose's JSON, version 1.3, one file per frame: `--write_json`. See `formats.openpose_json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from openpose_ext.io.whole import write_whole
from openpose_ext.types.arrays import Floats
from openpose_ext.types.poses import Poses

__all__ = ["openpose_bytes", "write_openpose"]


def write_openpose(
    path: str | os.PathLike[str],
    poses: Poses,
    *,
    candidates: Mapping[str, Floats] | None = None,
) -> None:
    """Write `Poses.to_openpose` as a file. Raises OutputError if it cannot be written."""
    write_whole(path, openpose_bytes(poses, candidates=candidates))


def openpose_bytes(poses: Poses, *, candidates: Mapping[str, Floats] | None = None) -> bytes:
    """`Poses.to_openpose` as the content of a file: one line without spaces."""
    content = poses.to_openpose(candidates=candidates)
    return json.dumps(content, separators=(",", ":")).encode()
