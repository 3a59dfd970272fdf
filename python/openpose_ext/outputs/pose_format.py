"""Files of pose-format, which is used in sign language research, written by its own library.

They have the four components that the library makes of OpenPose's JSON: `pose_keypoints_2d`
(BODY_25), `face_keypoints_2d`, `hand_left_keypoints_2d` and `hand_right_keypoints_2d`, in pixels of
the picture. Points that were not seen or not looked for are masked and have a confidence of 0.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from openpose_ext.errors import OutputError
from openpose_ext.outputs.person_files import SpooledFile
from openpose_ext.types.arrays import Floats
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, FACE_70, HAND_21

__all__ = ["PoseFormatWriter"]

_POINTS = len(BODY_25.parts) + len(FACE_70.parts) + 2 * len(HAND_21.parts)
_NAMES = tuple(f"{point}_{axis}" for point in range(_POINTS) for axis in ("x", "y", "score"))


class PoseFormatWriter(SpooledFile):
    """Writes one `.pose` file, after the last frame.

    rate  frames per second; None, as for pictures, writes one per second

    With ids, each person has the same place in all frames, sorted by id; without, people are in
    each frame's own order. At the end, all people of all frames are in memory, 5 kB each. Raises
    OutputError, naming the extra to install, if pose-format is missing.
    """

    def __init__(self, path: str | os.PathLike[str], *, rate: float | None = None) -> None:
        try:
            import pose_format  # noqa: F401  # fail before anything is written
        except ImportError as error:
            message = '.pose files need pose-format: pip install "openpose_ext[pose]"'
            raise OutputError(message) from error
        super().__init__(path)
        self._rate = rate or 1.0
        self._size = (0, 0)

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """None: the format cannot store them."""
        return set()

    def _write(self, frame: Frame, poses: Poses) -> None:
        width, height = self._size
        self._size = (max(width, frame.size[0]), max(height, frame.size[1]))
        super()._write(frame, poses)

    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        count = len(poses)
        hands = np.zeros((count, 2, len(HAND_21.parts), 3), np.float32)
        faces = np.zeros((count, len(FACE_70.parts), 3), np.float32)
        points = [
            poses.as_topology(BODY_25).keypoints,
            faces if poses.faces is None else poses.faces,
            (hands if poses.hands is None else poses.hands).reshape(
                count, 2 * len(HAND_21.parts), 3
            ),
        ]
        return _NAMES, np.concatenate(points, axis=1).reshape(count, len(_NAMES))

    def _finish(self) -> None:
        from pose_format import Pose
        from pose_format.numpy import NumPyPoseBody
        from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
        from pose_format.utils.openpose import OpenPose_Components

        people = self._spool.people
        points = np.zeros((len(self._spool.frames), len(people), _POINTS, 3), np.float32)
        for place, person in enumerate(people):
            for row, values in self._spool.seen(person, _NAMES):
                points[row, place] = values.reshape(-1, 3)
        self._spool.close()
        header = PoseHeader(0.2, PoseHeaderDimensions(*self._size, 0), OpenPose_Components)
        body = NumPyPoseBody(self._rate, points[..., :2], points[..., 2])
        with self._file.part.open("wb") as file:
            Pose(header, body).write(file)
