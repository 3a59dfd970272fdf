"""The JSON of ControlNet's and ComfyUI's pose editors; see `formats.controlnet`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from openpose_ext.formats.controlnet import encode
from openpose_ext.io.whole import write_whole
from openpose_ext.outputs.coco_json import append_entry
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD
from openpose_ext.types.topology import COCO_18

__all__ = ["ControlNetWriter", "to_controlnet", "write_controlnet"]


def to_controlnet(
    poses: Poses,
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
    face_threshold: float = FACE_THRESHOLD,
) -> dict[str, Any]:
    """The people as the object of one frame.

    threshold       parts that score above this are written; the default leaves out filled ones, as
                    `draw` does
    hand_threshold  the same for hand points
    face_threshold  the same for face points

    Raises ValueError if the picture size is unknown.
    """
    return encode(
        poses.as_topology(COCO_18).keypoints,
        poses.size,
        threshold=threshold,
        hand_threshold=hand_threshold,
        face_threshold=face_threshold,
        hands=poses.hands,
        faces=poses.faces,
    )


def write_controlnet(
    path: str | os.PathLike[str],
    poses: Poses,
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
    face_threshold: float = FACE_THRESHOLD,
) -> None:
    """Write `to_controlnet` as a file. Raises OutputError if it cannot be written."""
    frame = to_controlnet(
        poses,
        threshold=threshold,
        hand_threshold=hand_threshold,
        face_threshold=face_threshold,
    )
    write_whole(path, json.dumps(frame).encode())


class ControlNetWriter(FrameWriter):
    """Writes a list with an object for each frame: ComfyUI's `POSE_KEYPOINT` of a video.

    thresholds  those of `to_controlnet`
    """

    def __init__(self, path: str | os.PathLike[str], **thresholds: float) -> None:
        super().__init__(path)
        self._thresholds = thresholds
        self._empty = True
        with self._file.failing():
            self._out = self._file.part.open("wb")
            self._out.write(b"[")

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """None: the format cannot store them, so a file of several inputs is always rewritten."""
        return set()

    def _write(self, frame: Frame, poses: Poses) -> None:
        append_entry(self._out, to_controlnet(poses, **self._thresholds), first=self._empty)
        self._empty = False

    def _finish(self) -> None:
        self._out.write(b"\n]\n")
        self._out.close()

    def _release(self) -> None:
        self._out.close()
