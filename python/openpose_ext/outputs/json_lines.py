"""All frames of a source in one file: JSON lines, one line per frame.

    {"source":"a.mp4","frame":0,"time":0.0,"size":[640,480],"topology":"coco_18","people":[...]}

`frame` is the frame's number in its source, `time` its seconds, or null for a picture, `size` the
width and height of the picture, `topology` the skeleton that gives the parts their order. `people`
are objects as in OpenPose's own files; see `formats.openpose_json`. The schema is
`schemas/json_lines.json`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["JsonLinesWriter", "as_line"]


def as_line(frame: Frame, poses: Poses) -> dict[str, Any]:
    """A frame's line as an object; see the head of this module."""
    return {
        "source": frame.source,
        "frame": frame.index,
        "time": frame.time,
        "size": poses.size,
        "topology": poses.topology.name,
        "people": poses.to_openpose()["people"],
    }


class JsonLinesWriter(FrameWriter):
    """Writes one line per frame; see the head of this module. The file may grow."""

    def __init__(self, path: str | os.PathLike[str], *, grows: bool = False) -> None:
        super().__init__(path, grows=grows)
        with self._file.failing():
            self._lines = self._file.part.open("wb")

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its lines."""
        with path.open("rb") as lines:
            return {json.loads(line)["source"] for line in lines}

    def _write(self, frame: Frame, poses: Poses) -> None:
        line = json.dumps(as_line(frame, poses), separators=(",", ":"))
        self._lines.write(line.encode() + b"\n")
        if self._file.grows:
            self._lines.flush()

    def _finish(self) -> None:
        self._lines.close()

    def _release(self) -> None:
        self._lines.close()
