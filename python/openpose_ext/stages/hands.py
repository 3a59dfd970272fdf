"""Finds hands where arms end, with a network that knows right hands; see `cascade`."""

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

# The order of the points if a left hand is taken for a right one: thumb and little finger swap.
_REVERSED = (0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5))

# min_presence is MediaPipe's own bound. A hand whose wrist lies farther than `reach` from the arm's
# end is somebody else's. If a hand's direction is unknown, four turns are tried.
HANDS = Region(
    kind="hand",
    axis=(_WRIST, _MIDDLE_KNUCKLE, 0.0),
    turns=(0.0, 90.0, 180.0, 270.0),
    second_look=1.6,
    anchor=_WRIST,
    reversed=_REVERSED,
)

# A hand without an arm needs more evidence.
LEAST_ALONE = 0.6
_AROUND = 1.75  # the second look's square, as a multiple of the longer side of the hand's box
_OVERLAP = 0.5  # two hands are one if their boxes overlap by this share of the smaller box

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
        """The same for every hand network."""
        return HANDS

    @property
    def network(self) -> CropNetwork:
        """The hand network."""
        return self._network

    @property
    def can_detect(self) -> bool:
        """Whether the network can find hands in whole pictures; see `hand_detector`."""
        return not self._network.regresses and self._network.fixed_size is None

    def of_people(self, picture: Picture, people: Poses) -> Points:
        """Both hands of each person: (P, 2, 21, 3) float32, the left one first.

        Each point is x, y in the picture and a score in (0.05, 1]; missing points and missing hands
        are 0, 0, 0. If two arms lead to the same hand, it goes to the one whose wrist, side and
        score fit better.
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
        """More hands anywhere in the picture: (N, 2, 21, 3) float32, best first.

        known  (P, 2, 21, 3): the hands that people have already; they are not found again

        Each row holds a left or a right hand; the other one is zeros.
        """
        sightings = detector(picture)
        boxes = [one.box for one in sightings]
        found = self.find(picture, boxes, [(one.mirrored,) for one in sightings])
        # A closer look drops things that look like a hand at one size only.
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
        """The hand in each box: (N, 21, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in picture pixels. The network sees the square around
                the same centre with the longer side, which should be 1.5 to 2.5 times as large as
                the hand; below `box.MIN_SIDE` there is no hand.
        sides   "left", "right" or None for each box; None tries both and takes the better one
        angles  for each box the direction of the fingers in degrees clockwise from straight up, or
                None if it is unknown: networks of maps take it as upright, networks of landmarks
                try four turns.

        Raises ValueError if the numbers of boxes, sides and angles differ or a value is wrong.
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
    """The square for the second look at a hand."""
    low, high = _box_of(points)
    x, y = ((low + high) / 2).tolist()
    return Box((x, y), max(MIN_SIDE, _AROUND * float((high - low).max())))


def _overlap(one: Points, other: Points) -> bool:
    """Whether the boxes of two hands overlap so much that they are the same hand."""
    (low, high), (others_low, others_high) = _box_of(one), _box_of(other)
    common = np.maximum(np.minimum(high, others_high) - np.maximum(low, others_low), 0).prod()
    smaller = min(float((high - low).prod()), float((others_high - others_low).prod()))
    return bool(common > _OVERLAP * smaller)
