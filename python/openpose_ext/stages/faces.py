"""Finds faces around eyes and nose; see `cascade`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openpose_ext.models.network import CropNetwork, FaceNetwork
from openpose_ext.stages.box import Box, as_angles, as_boxes, boxes_around
from openpose_ext.stages.cascade import Cascade, Region
from openpose_ext.stages.heads import head_box
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import FACE_68, FACE_70

__all__ = ["FACES", "OF_POINTS", "FaceFinder"]

Points = npt.NDArray[np.float32]

_RIGHT_EYE, _LEFT_EYE = 36, 45  # the outer corners of the eyes: level in an upright face
_EYES = (range(36, 42), range(42, 48))
_TIP_OF_NOSE = 30

FACES = Region(
    kind="face", axis=(_RIGHT_EYE, _LEFT_EYE, 90.0), second_look=1.45, anchor=_TIP_OF_NOSE
)
# The points begin at the brows. With its forehead a face is 1.17 times as large, and its middle
# lies 0.1 of that higher (medians of faces whose outline a network gave).
OF_POINTS = replace(FACES, second_look=1.7, rise=0.1)


class FaceFinder(Cascade):
    """Finds faces with a face network; see `Cascade`."""

    networks = FaceNetwork

    @staticmethod
    def region_of(network: CropNetwork) -> Region:
        """Depends on whether the network also gives an outline that includes the forehead."""
        return FACES if network.outlined else OF_POINTS

    def of_people(self, picture: Picture, people: Poses) -> Points:
        """The face of each person: (P, 70, 3) float32.

        Each point is x, y in the picture and a score in (0.05, 1]; missing points and missing faces
        are 0, 0, 0. If two people lead to the same face, it goes to the one whose nose fits better.
        """
        faces = np.zeros((len(people), len(FACE_70.parts), 3), np.float32)
        heads = [head_box(keypoints, people.topology) for keypoints in people.keypoints]
        whose = [person for person, box in enumerate(heads) if box is not None]
        boxes: list[Box] = [box for box in heads if box is not None]
        found = self.find(picture, boxes, [(False,)] * len(boxes))
        points = _with_pupils(found.points)
        for index in self.uncontested(found, boxes):
            faces[whose[index]] = points[index]
        return faces

    def in_boxes(
        self,
        picture: Picture,
        boxes: npt.ArrayLike,
        angles: Sequence[float | None] | None = None,
    ) -> Points:
        """The face in each box: (N, 70, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in picture pixels. The network sees the square around
                the same centre with the longer side, which should be 1.3 to 2 times as large as the
                face from brows to chin; below `box.MIN_SIDE` there is no face.
        angles  for each box the direction of the forehead in degrees clockwise from straight up, or
                None if it is unknown

        Raises ValueError if the numbers of boxes and angles differ or a value is wrong.
        """
        asked = boxes_around(boxes, as_angles(angles, len(as_boxes(boxes))))
        found = self.find(picture, asked, [(False,)] * len(asked))
        return _with_pupils(found.points)


def _with_pupils(faces: Points) -> Points:
    """Faces of 70 points; of those with 68 points the pupils are put in the middle of the eyes."""
    if faces.shape[1] != len(FACE_68.parts):
        return faces
    pupils = []
    for eye in _EYES:
        points = faces[:, eye]
        seen = np.all(points[..., 2] > 0, axis=1, keepdims=True)
        middle = np.concatenate(
            [points[..., :2].mean(axis=1), points[..., 2].min(axis=1)[:, None]], axis=1
        )
        pupils.append(np.where(seen, middle, 0).astype(np.float32))
    return np.concatenate([faces, np.stack(pupils, axis=1)], axis=1)
