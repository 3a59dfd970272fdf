"""Finds heels and big toes where legs end; see `cascade`.

A foot network sees either one foot at a time, always as a right one, or a whole person. Neither
kind finds small toes: they stay missing unless the body network gives them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openpose_ext.models.network import CropNetwork, FootNetwork
from openpose_ext.stages.box import Box
from openpose_ext.stages.cascade import Cascade, Region
from openpose_ext.stages.legs import body_box, leg_boxes, leg_length
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import BODY_25, FEET_6, FOOT_2

__all__ = ["BOTH_FEET", "FOOT", "FootFinder"]

Points = npt.NDArray[np.float32]

_HEEL, _TOE = 0, 1

# A foot seen from the side points sideways, one seen from the front points down, so its direction
# tells nothing: the square is turned as the leg is, and there is no second look.
FOOT = Region(kind="foot", axis=(_TOE, _HEEL, 0.0), anchor=_HEEL, reach=0.3)

BOTH_FEET = Region(kind="foot", axis=(0, 0, 0.0), min_point=0.3)

# The network for whole persons also gives ankles. It invents feet that lie outside the picture, so
# a foot counts only if the body's ankle lies nearer to its ankle than this, in lower legs.
_ANKLE_APART = 0.3


class FootFinder(Cascade):
    """Finds heels and big toes with a foot network; see `Cascade`."""

    networks = FootNetwork

    @staticmethod
    def region_of(network: CropNetwork) -> Region:
        """Depends on whether the network sees whole persons or one foot."""
        return BOTH_FEET if network.topology == FEET_6 else FOOT

    @property
    def _both(self) -> bool:
        return self._region is BOTH_FEET

    def of_people(self, picture: Picture, people: Poses) -> Poses:
        """The same people as BODY_25, with the heels and big toes that were found.

        Heels and toes that the people have already are kept if their scores are higher.
        """
        found = self._pairs(picture, people)
        with_feet = people.as_topology(BODY_25)
        keypoints, filled = with_feet.keypoints.copy(), with_feet.filled.copy()
        for side, prefix in enumerate("LR"):
            for point, name in enumerate(FOOT_2.parts):
                part = BODY_25.parts.index(f"{prefix}{name}")
                surer = found[:, side, point, 2] > keypoints[:, part, 2]
                keypoints[surer, part] = found[surer, side, point]
                filled[surer, part] = False
        return replace(with_feet, keypoints=keypoints, filled=filled)

    def _pairs(self, picture: Picture, people: Poses) -> Points:
        """Heel and big toe of both feet of each person, (P, 2, 2, 3), the left foot first."""
        feet = np.zeros((len(people), 2, len(FOOT_2.parts), 3), np.float32)
        places: list[tuple[int, int]] = []
        boxes: list[Box] = []
        for person, keypoints in enumerate(people.keypoints):
            if self._both:
                looked = [body_box(keypoints, people.topology)]
            else:
                looked = [*leg_boxes(keypoints, people.topology)]
            for side, box in enumerate(looked):
                if box is not None:
                    places.append((person, side))
                    boxes.append(box)
        mirrored = [(side == 0 and not self._both,) for _, side in places]
        found = self.find(picture, boxes, mirrored)
        for index in self.uncontested(found, boxes):
            if self._both:
                person, _ = places[index]
                feet[person] = _of_both(found.points[index], people, person)
            else:
                feet[places[index]] = found.points[index]
        return feet


def _of_both(points: Points, people: Poses, person: int) -> Points:
    """Heel and toe of both feet (2, 2, 3) from points of FEET_6; zeros if far from the ankles."""
    feet = points.reshape(2, 3, 3)[:, 1:].copy()
    keypoints, topology = people.keypoints[person], people.topology
    length = leg_length(keypoints, topology)
    for side, prefix in enumerate("LR"):
        ankle = keypoints[topology.parts.index(f"{prefix}Ankle")]
        own = points[3 * side]
        apart = math.dist(ankle[:2].tolist(), own[:2].tolist())
        seen = ankle[2] > FILLED_SCORE and own[2] > 0 and length is not None
        if not seen or apart > _ANKLE_APART * (length or 0):
            feet[side] = 0
    return feet
