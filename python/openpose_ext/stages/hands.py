"""Hands: looked for where arms end, seen by a network of right hands; see `cascade`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from openpose_ext.models.network import CropNetwork, HandNetwork
from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.box import Box, as_angles, as_boxes, boxes_around
from openpose_ext.stages.cascade import Cascade, Region
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import HAND_21

__all__ = ["HANDS", "HandFinder", "Side"]

Points = npt.NDArray[np.float32]
Side = Literal["left", "right"]

_WRIST, _MIDDLE_KNUCKLE = 0, 9

# Presence: MediaPipe's own bound. A hand whose wrist lies farther than `reach` from the arm's end
# is somebody else's. Where nothing says which way a hand points, four turns are tried.
HANDS = Region(
    kind="hand",
    axis=(_WRIST, _MIDDLE_KNUCKLE, 0.0),
    turns=(0.0, 90.0, 180.0, 270.0),
    second_look=1.6,
    anchor=_WRIST,
)

_MIRRORED: dict[Side | None, tuple[bool, ...]] = {
    "left": (True,),
    "right": (False,),
    None: (False, True),
}


class HandFinder(Cascade):
    """Finds hands with a hand network; see `Cascade`."""

    networks = HandNetwork

    def __init__(
        self,
        network: CropNetwork,
        *,
        scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
    ) -> None:
        super().__init__(network, HANDS, scales=scales, max_batch=max_batch)

    def of_people(self, picture: Picture, people: Poses) -> Points:
        """Both hands of each person: (P, 2, 21, 3) float32, the left one first.

        x, y in the picture, score in (0.05, 1]; missing points, and absent hands, are 0, 0, 0. A
        hand that two arms claim goes to the one whose wrist, side and evidence fit better.
        """
        hands = np.zeros((len(people), 2, len(HAND_21.parts), 3), np.float32)
        places: list[tuple[int, int]] = []
        boxes: list[Box] = []
        for person, keypoints in enumerate(people.keypoints):
            for side, box in enumerate(arm_boxes(keypoints, people.topology)):
                if box is not None:
                    places.append((person, side))
                    boxes.append(box)
        found = self.find(picture, boxes, [(side == 0,) for _, side in places])
        for index in self.uncontested(found, boxes):
            hands[places[index]] = found.points[index]
        return hands

    def in_boxes(
        self,
        picture: Picture,
        boxes: npt.ArrayLike,
        sides: Sequence[Side | None] | None = None,
        angles: Sequence[float | None] | None = None,
    ) -> Points:
        """The hand of each box: (N, 21, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in picture pixels; looked at is the square around the
                same centre with the longer side, which should be 1.5 to 2.5 times as large as the
                hand. Below `box.MIN_SIDE` the hand is absent.
        sides   "left", "right" or None for each; None tries both, and takes the better
        angles  degrees clockwise from upright in which the fingers point, or None, for each. None
                is upright for a network of maps; one of landmarks tries four turns.

        Raises ValueError if the lengths disagree or a value is none of these.
        """
        count = len(as_boxes(boxes))
        chosen = [None] * count if sides is None else list(sides)
        if len(chosen) != count:
            raise ValueError(f"{count} boxes need as many sides, not {len(chosen)}")
        if not {*chosen} <= {"left", "right", None}:
            raise ValueError(f"sides must be 'left', 'right' or None, not {chosen}")
        asked = boxes_around(boxes, as_angles(angles, count))
        return self.find(picture, asked, [_MIRRORED[side] for side in chosen]).points
