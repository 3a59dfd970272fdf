"""Hands: looked for where arms end, seen by a network of right hands; see `cascade`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from openpose_ext.models.network import CropNetwork, HandNetwork
from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.box import MIN_SIDE, Box, as_angles, as_boxes, boxes_around
from openpose_ext.stages.cascade import Cascade, Region
from openpose_ext.stages.hand_detector import HandDetector
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import HAND_21

__all__ = ["HANDS", "HandFinder", "Side"]

Points = npt.NDArray[np.float32]
Side = Literal["left", "right"]

_WRIST, _MIDDLE_KNUCKLE = 0, 9

# A left hand that is taken for a right one, in the mirror image, has its fingers the other way.
_REVERSED = (0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5))

# Presence: MediaPipe's own bound. A hand whose wrist lies farther than `reach` from the arm's end
# is somebody else's. Where nothing says which way a hand points, four turns are tried.
HANDS = Region(
    kind="hand",
    axis=(_WRIST, _MIDDLE_KNUCKLE, 0.0),
    turns=(0.0, 90.0, 180.0, 270.0),
    second_look=1.6,
    anchor=_WRIST,
    reversed=_REVERSED,
)

# Where no arm says that there is a hand, more evidence is needed.
LEAST_ALONE = 0.6
_AROUND = 1.75  # sides of the square of the second look, in longer sides of the hand's box
_OVERLAP = 0.5  # of the smaller of two boxes, of hands that are one

_MIRRORED: dict[Side | None, tuple[bool, ...]] = {
    "left": (True,),
    "right": (False,),
    None: (False, True),
}


class HandFinder(Cascade):
    """Finds hands with a hand network; see `Cascade`."""

    networks = HandNetwork

    @staticmethod
    def region_of(network: CropNetwork) -> Region:
        """Every network sees hands alike."""
        return HANDS

    @property
    def network(self) -> CropNetwork:
        """The hand network."""
        return self._network

    @property
    def can_detect(self) -> bool:
        """Whether the network can be run over whole pictures: see `hand_detector`."""
        return not self._network.regresses and self._network.fixed_size is None

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

    def anywhere(self, picture: Picture, detector: HandDetector, known: Points) -> Points:
        """Hands of the whole picture beside those that are known: (N, 2, 21, 3), the surest first.

        known  (P, 2, 21, 3): hands of people, which are not found again

        Each is a left or a right one, the other of the two is zeros.
        """
        sightings = detector(picture)
        boxes = [one.box for one in sightings]
        found = self.find(picture, boxes, [(one.mirrored,) for one in sightings])
        # A look from nearer tells hands from what is like them at one size only.
        again = [k for k, points in enumerate(found.points) if points[:, 2].any()]
        boxes = [_around(found.points[k]) for k in again]
        found = self.find(picture, boxes, [(sightings[k].mirrored,) for k in again])
        others = [hand for hand in known.reshape(-1, len(HAND_21.parts), 3) if hand[:, 2].any()]
        hands: list[Points] = []
        for index in np.argsort(-found.scores, kind="stable").tolist():
            points = found.points[index]
            if found.scores[index] < LEAST_ALONE or not points[:, 2].any():
                continue
            if any(self.same(points, other) or _overlap(points, other) for other in others):
                continue
            others.append(points)
            pair = np.zeros((2, *points.shape), np.float32)
            pair[0 if sightings[again[index]].mirrored else 1] = points
            hands.append(pair)
        return np.stack(hands) if hands else np.zeros((0, 2, len(HAND_21.parts), 3), np.float32)

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


def _box_of(points: Points) -> tuple[Points, Points]:
    """The corners of the box of a hand's points."""
    seen = points[points[:, 2] > 0, :2]
    return seen.min(axis=0), seen.max(axis=0)


def _around(points: Points) -> Box:
    """The square in which a hand is looked at again."""
    low, high = _box_of(points)
    x, y = ((low + high) / 2).tolist()
    return Box((x, y), max(MIN_SIDE, _AROUND * float((high - low).max())))


def _overlap(one: Points, other: Points) -> bool:
    """Whether the boxes of two hands are so much one that the hands are."""
    (low, high), (others_low, others_high) = _box_of(one), _box_of(other)
    common = np.maximum(np.minimum(high, others_high) - np.maximum(low, others_low), 0).prod()
    smaller = min(float((high - low).prod()), float((others_high - others_low).prod()))
    return bool(common > _OVERLAP * smaller)
