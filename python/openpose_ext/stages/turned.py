"""A picture turned by quarters: people who lie, or are upside down, stand in one of the four.

Networks learn from people who stand. Of 79 people who lie or are upside down (Leeds Sports Pose,
never trained on), `lite` finds 15 in the picture as it is and 45 in all four directions (OKS above
0.5). Which of the people found are there is decided by `turns.hpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses, owned

__all__ = ["TURNS", "best", "direction", "turn_frame", "turn_people", "united"]

TURNS = range(4)  # quarter turns, counter-clockwise

_UPPER = ("Nose", "Neck", "RShoulder", "LShoulder", "REye", "LEye", "REar", "LEar")
_LOWER = ("RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle")


def turn_frame(frame: Frame, turn: int) -> Frame:
    """The frame turned by so many quarters, counter-clockwise."""
    if not turn:
        return frame
    return replace(frame, pixels=np.ascontiguousarray(np.rot90(frame.image, turn)))


def turn_people(people: Poses, turn: int) -> Poses:
    """The people of a picture, in pixels of the picture turned by so many quarters.

    Counter-clockwise, as `numpy.rot90` turns pictures; a negative number leads back. Body parts
    alone move: people of a look have no hands or faces yet.
    """
    turn %= 4
    if not turn:
        return people
    width, height = people.size
    x, y, score = np.moveaxis(people.keypoints, -1, 0)
    places = {1: (y, width - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (height - 1 - y, x)}
    keypoints = np.stack([*places[turn], score], axis=-1)
    keypoints[score <= 0] = 0
    size = (width, height) if turn == 2 else (height, width)
    return replace(people, keypoints=owned(keypoints), size=size)


def best(looks: Sequence[Poses]) -> list[Poses]:
    """Of each look the people who are there, each in one look; see `best_of_turns` in `turns.hpp`.

    looks  the people of the picture turned by 0, 1, 2 and 3 quarters, each in its own frame
    """
    chosen = _chosen(_upright(looks))
    return [
        people[[person for look, person, _ in chosen if look == turn]]
        for turn, people in enumerate(looks)
    ]


def united(looks: Sequence[Poses], most: int | None) -> Poses:
    """The people of all looks in the frame of the first, best first.

    Who was found in a turned picture gets a lower score.
    """
    back = _upright(looks)
    chosen = _chosen(back)[:most]

    if not chosen:
        return looks[0][[]]
    return replace(
        looks[0],
        keypoints=owned(np.stack([back[look].keypoints[who] for look, who, _ in chosen])),
        scores=owned(np.array([score for *_, score in chosen], np.float32)),
        filled=owned(np.stack([back[look].filled[who] for look, who, _ in chosen])),
    )


def direction(people: Poses) -> npt.NDArray[np.intp]:
    """By how many quarters the picture must be turned for each person to stand: (P,).

    It follows the way from the middle of the parts below the waist to that of those above; people
    without the one or the other stand.
    """
    above, below = (_middle(people, names) for names in (_UPPER, _LOWER))
    x, y = (above - below).T
    quarters = np.round(np.arctan2(x, -y) / (np.pi / 2))
    return np.where(np.isfinite(quarters), quarters, 0).astype(np.intp) % 4


def _upright(looks: Sequence[Poses]) -> list[Poses]:
    """The people of all looks in the frame of the first."""
    return [turn_people(people, -turn) for turn, people in enumerate(looks)]


def _chosen(looks: Sequence[Poses]) -> list[tuple[int, int, float]]:
    """(look, person, score) of those who are there; all looks in the frame of the first."""
    return _core.best_of_turns(
        [(people.keypoints, people.scores, people.filled) for people in looks],
        looks[0].topology.core,
    )


def _middle(people: Poses, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """(P, 2): the mean place of the parts that are there, NaN without any."""
    parts = people.keypoints[:, [people.topology.parts.index(name) for name in names]]
    there = parts[..., 2:] > 0
    count = np.where(there.any(axis=1), there.sum(axis=1), np.nan)
    middle: npt.NDArray[np.float64] = np.where(there, parts[..., :2], 0).sum(axis=1) / count
    return middle
