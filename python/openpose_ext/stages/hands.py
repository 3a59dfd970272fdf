"""Hands: looked for where arms end, cut out, seen by a network of right hands, and put back.

A hand network sees one hand, upright or nearly so, in the middle of a square. So each hand gets a
view of its own: a square of the picture, as large as the arm says, perhaps turned, and mirrored
for a left hand. Whatever lies outside the picture is grey; the square is never shrunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.backends.protocol import BackendInfo
from openpose_ext.models.network import HandMaps, HandNetwork, HandPoints
from openpose_ext.stages.arms import MIN_SIDE, HandBox, arm_boxes
from openpose_ext.stages.decode import decode_hand
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import HAND_21

__all__ = ["HandFinder", "Side"]

Floats = npt.NDArray[np.floating]
Points = npt.NDArray[np.float32]
Side = Literal["left", "right"]


# Network input pixels run at once by default: eight hands of the original network's size. Its
# first activation takes 277 MB of them; ten hands at scale 2 would take 1.4 GB.
BATCH_PIXELS = 8 * 368 * 368

# Hands that score less are absent. Presence: MediaPipe's own bound. Maps: the mean of the points.
MIN_PRESENCE = 0.5
MIN_MAPS_SCORE = 0.25

# A network of landmarks looks twice. The first look tells where and how large the hand is, and
# which way it points; the second is upright, 1.6 times as large as the hand.
SECOND_LOOK = 1.6
LEAST_FOR_SECOND_LOOK = 0.2
_TURNS = (0.0, 90.0, 180.0, 270.0)  # where nothing says which way a hand points

# Points this far outside the picture, as a share of the square's side, are put on its edge; what
# lies farther out is invented.
_MARGIN = 0.05

# Two results are one hand if their points differ by less than this share of its size.
_SAME_HAND = 0.25
# A hand whose wrist lies farther from the arm's end, in sides of the square, is somebody else's.
_REACH = 0.5

_WRIST, _MIDDLE_KNUCKLE = 0, 9
_LEAST_SEEN = np.nextafter(np.float32(FILLED_SCORE), np.float32(1))


class _Found(NamedTuple):
    """Hands as views showed them.

    points  (n, 21, 3) float32: x, y in the picture, score; missing ones 0, 0, 0
    scores  (n,): evidence that there is a hand, 0..1
    right   (n,): how sure it is the hand of that side, mirrored where it should be, 0..1
    """

    points: Points
    scores: Points
    right: Points

    def of(self, index: list[int]) -> _Found:
        return _Found(self.points[index], self.scores[index], self.right[index])


class HandFinder:
    """Finds hands with a hand network. Thread-safe; close it, or use it as a context manager.

    network    of right hands; it is closed together with this
    scales     each hand is looked at this many times as large, and what is seen is averaged: maps
               in one frame, landmarks in the picture
    max_batch  hands a run of the network at most; None takes as many as eight of 368 x 368 pixels

    Raises ValueError if the scales are none, or the network's maps come in one size only.
    """

    def __init__(
        self,
        network: HandNetwork,
        *,
        scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
    ) -> None:
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ValueError(f"hand_scales must be positive numbers, at least one, not {scales!r}")
        if len(scales) > 1 and network.fixed_size is not None and not network.regresses:
            raise ValueError(
                f"the hand network takes crops of {network.crop} x {network.crop} only, so there "
                "are no hand_scales to choose from"
            )
        if max_batch is not None and (not isinstance(max_batch, int) or max_batch < 1):
            raise ValueError(f"max_batch must be at least 1 hand, not {max_batch!r}")
        self._network = network
        self._scales = tuple(float(scale) for scale in scales)
        self._max_batch = max_batch
        default = MIN_PRESENCE if network.regresses else MIN_MAPS_SCORE
        self._min_score = default if network.min_score is None else network.min_score

    @classmethod
    def open(
        cls,
        hand: str | PathLike[str],
        *,
        scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
        **engine: Any,
    ) -> Self:
        """With the network of this name or file; `engine` and errors as of `HandNetwork.open`."""
        network = HandNetwork.open(hand, **engine)
        try:
            return cls(network, scales=scales, max_batch=max_batch)
        except ValueError:
            network.close()
            raise

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the network."""
        return self._network.info

    def close(self) -> None:
        """Give the network back."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def of_people(self, picture: Picture, people: Poses) -> Points:
        """Both hands of each person: (P, 2, 21, 3) float32, the left one first.

        x, y in the picture, score in (0.05, 1]; missing points, and absent hands, are 0, 0, 0. A
        hand that two arms claim goes to the one whose wrist, side and evidence fit better.
        """
        hands = np.zeros((len(people), 2, len(HAND_21.parts), 3), np.float32)
        places: list[tuple[int, int]] = []
        boxes: list[HandBox] = []
        for person, keypoints in enumerate(people.keypoints):
            for side, box in enumerate(arm_boxes(keypoints, people.topology)):
                if box is not None:
                    places.append((person, side))
                    boxes.append(box)
        found = self._find(picture, boxes, [("left", "right")[side] for _, side in places])
        for index in _uncontested(found, boxes):
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
                hand. Below `MIN_SIDE` the hand is absent.
        sides   "left", "right" or None for each; None tries both, and takes the better
        angles  degrees clockwise from upright in which the fingers point, or None, for each. None
                is upright for a network of maps; one of landmarks tries four turns.

        Raises ValueError if the lengths disagree or a value is none of these.
        """
        table = np.asarray(boxes, np.float64)
        if table.size == 0:
            table = table.reshape(0, 4)
        if table.ndim != 2 or table.shape[1] != 4 or not np.isfinite(table).all():
            raise ValueError(
                f"boxes must be (N, 4) finite numbers x, y, width, height, not {table.shape}"
            )
        chosen_sides = [None] * len(table) if sides is None else list(sides)
        chosen_angles = [None] * len(table) if angles is None else list(angles)
        for name, values in (("sides", chosen_sides), ("angles", chosen_angles)):
            if len(values) != len(table):
                raise ValueError(f"{len(table)} boxes need as many {name}, not {len(values)}")
        if not {*chosen_sides} <= {"left", "right", None}:
            raise ValueError(f"sides must be 'left', 'right' or None, not {chosen_sides}")
        if not all(angle is None or math.isfinite(angle) for angle in chosen_angles):
            raise ValueError(f"angles must be numbers of degrees or None, not {chosen_angles}")
        asked = [
            HandBox((x + width / 2, y + height / 2), max(width, height), angle)
            for (x, y, width, height), angle in zip(table.tolist(), chosen_angles, strict=True)
        ]
        return self._find(picture, asked, chosen_sides).points

    def _find(
        self, picture: Picture, boxes: Sequence[HandBox], sides: Sequence[Side | None]
    ) -> _Found:
        """The hand of each box, each for itself."""
        count, points = len(boxes), len(HAND_21.parts)
        best = _Found(
            np.zeros((count, points, 3), np.float32),
            np.zeros(count, np.float32),
            np.zeros(count, np.float32),
        )
        owners: list[int] = []
        views: list[View] = []
        for index, (box, side) in enumerate(zip(boxes, sides, strict=True)):
            if _is_seen(box, picture):
                first = self._first_views(box, side)
                views += first
                owners += [index] * len(first)
        chosen: dict[int, View] = {}
        seen = self._look(picture, views)
        # The best view of each box; of equal ones the first.
        for look in sorted(range(len(views)), key=lambda i: (-seen.scores[i], i)):
            owner = owners[look]
            if owner not in chosen:
                chosen[owner] = views[look]
                _copy(seen, look, best, owner)
        if self._network.regresses:
            self._look_again(picture, chosen, best)
        for index, box in enumerate(boxes):
            if best.scores[index] < self._min_score:
                best.points[index] = 0
            _keep_in_picture(best.points[index], picture, box.side)
        return best

    def _first_views(self, box: HandBox, side: Side | None) -> list[View]:
        angles: tuple[float, ...] = (0.0,)
        if self._network.regresses:
            angles = _TURNS if box.angle is None else (box.angle,)
        mirrored = {"left": [True], "right": [False], None: [False, True]}[side]
        return [
            View(box.centre, box.side, self._network.crop, angle, mirror)
            for angle in angles
            for mirror in mirrored
        ]

    def _look_again(self, picture: Picture, views: dict[int, View], best: _Found) -> None:
        """Replace what was found by what a closer, upright view of it shows."""
        again = {
            index: _closer(view, best.points[index])
            for index, view in views.items()
            if best.scores[index] >= LEAST_FOR_SECOND_LOOK
        }
        seen = self._look(picture, [*again.values()])
        for look, index in enumerate(again):
            if seen.scores[look] >= min(self._min_score, best.scores[index]):
                _copy(seen, look, best, index)

    def _look(self, picture: Picture, views: Sequence[View]) -> _Found:
        if not views:
            empty = np.zeros(0, np.float32)
            return _Found(np.zeros((0, len(HAND_21.parts), 3), np.float32), empty, empty)
        if self._network.regresses:
            return self._points(picture, views)
        return self._decoded(picture, views)

    def _points(self, picture: Picture, views: Sequence[View]) -> _Found:
        """What a network of landmarks sees: the mean over the scales, by presence."""
        sums = np.zeros((len(views), len(HAND_21.parts), 2))
        presence, right = np.zeros(len(views)), np.zeros(len(views))
        for scale in self._scales:
            # Its size is fixed: a hand looks larger in a smaller square.
            scaled = [replace(view, side=view.side / scale) for view in views]
            index = 0
            for answer in self._answers(picture, scaled):
                assert isinstance(answer, HandPoints)
                for hand, points in enumerate(answer.points):
                    weight = max(float(answer.presence[hand]), 1e-6)
                    sums[index] += weight * scaled[index].to_picture(points.astype(np.float64))
                    presence[index] += weight
                    right[index] += weight * (1 if answer.right is None else answer.right[hand])
                    index += 1
        points = np.empty((len(views), len(HAND_21.parts), 3), np.float32)
        points[..., :2] = sums / presence[:, None, None]
        scores = np.clip(presence / len(self._scales), 0, 1).astype(np.float32)
        points[..., 2] = np.maximum(scores, _LEAST_SEEN)[:, None]
        return _Found(points, scores, (right / presence).astype(np.float32))

    def _decoded(self, picture: Picture, views: Sequence[View]) -> _Found:
        """What a network of maps sees: the maps' mean over the scales, decoded."""
        stride = self._network.stride
        sizes = [
            max(1, round(self._network.crop * scale / stride)) * stride for scale in self._scales
        ]
        passes = []
        for size in sizes:
            scaled = [replace(view, size=size) for view in views]
            heats = []
            for answer in self._answers(picture, scaled):
                assert isinstance(answer, HandMaps)
                heats += [*answer.heat]
            passes.append(heats)
        finest = max(sizes)
        geometry = Geometry.of_maps(finest // stride, finest // stride, stride)
        found = []
        for index, view in enumerate(views):
            heat = _mean_of_maps([heats[index] for heats in passes])
            points = decode_hand(heat, geometry=geometry)
            seen = points[:, 2] > 0
            points[seen] = replace(view, size=finest).to_picture(points[seen])
            found.append(points)
        stacked = np.stack(found)
        scores = stacked[..., 2].mean(axis=1)
        return _Found(stacked, scores, np.ones(len(views), np.float32))

    def _answers(self, picture: Picture, views: Sequence[View]) -> Iterator[HandMaps | HandPoints]:
        """The network's answers on views of one size, in order, a batch at a time."""
        if not views:
            return
        most = self._max_batch or max(1, BATCH_PIXELS // views[0].size ** 2)
        for first in range(0, len(views), most):
            batch = [view.cut(picture) for view in views[first : first + most]]
            yield self._network.run(np.stack(batch))


def _copy(source: _Found, look: int, target: _Found, index: int) -> None:
    for one, other in zip(source, target, strict=True):
        other[index] = one[look]


def _is_seen(box: HandBox, picture: Picture) -> bool:
    """Whether the square is large enough, and shows some of the picture."""
    height, width = picture.shape[:2]
    half = box.side / 2
    x, y = box.centre
    return box.side >= MIN_SIDE and -half < x < width - 1 + half and -half < y < height - 1 + half


def _closer(view: View, points: Points) -> View:
    """The upright square around the points of a hand."""
    xy = points[:, :2].astype(np.float64)
    direction = xy[_MIDDLE_KNUCKLE] - xy[_WRIST]
    angle = math.degrees(math.atan2(direction[0], -direction[1]))
    # In a frame turned alike: `View` without its size and place.
    turned = View((0.0, 0.0), 1.0, 1, angle)
    upright = turned.to_network(xy)
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = turned.to_picture((low + high) / 2)
    # Points that all but coincide are no hand; the view shall not shrink to nothing.
    side = max(SECOND_LOOK * float((high - low).max()), view.side / 4, MIN_SIDE)
    return replace(view, centre=(float(x), float(y)), side=side, angle=angle)


def _keep_in_picture(points: Points, picture: Picture, side: float) -> None:
    """Clip what lies a little outside, drop what lies farther out; in place."""
    last = np.array(picture.shape[1::-1], np.float32) - 1
    clipped = np.clip(points[:, :2], 0, last)
    outside = np.abs(points[:, :2] - clipped).max(axis=1) > _MARGIN * side
    points[:, :2] = clipped
    points[outside | (points[:, 2] <= 0)] = 0


def _mean_of_maps(heats: Sequence[Floats]) -> Floats:
    """The mean of maps of the same square, on the grid of the largest."""
    if len(heats) == 1:
        return heats[0]
    cells = max(heat.shape[1] for heat in heats)
    channels = len(heats[0])
    arguments = []
    for heat in heats:
        scale = heat.shape[1] / cells
        affine = (scale, 0.5 * scale - 0.5, scale, 0.5 * scale - 0.5)
        arguments.append((heat, affine, list(range(channels)), [1.0] * channels))
    return _core.merge(arguments, (cells, cells))


def _uncontested(found: _Found, boxes: Sequence[HandBox]) -> list[int]:
    """The hands that are there, each once: of several claims to one the best."""
    quality = np.array([_quality(found, index, box) for index, box in enumerate(boxes)])
    kept: list[int] = []
    for index in np.argsort(-quality, kind="stable").tolist():
        if quality[index] > 0 and not any(
            _same_hand(found.points[index], found.points[other]) for other in kept
        ):
            kept.append(index)
    return kept


def _quality(found: _Found, index: int, box: HandBox) -> float:
    """How well a hand fits its arm: evidence, side, and where its wrist is; 0 if not at all."""
    points = found.points[index]
    if not points[:, 2].any():
        return 0.0
    apart = 0.25  # nothing said
    if points[_WRIST, 2] > 0 and box.wrist is not None:
        apart = math.dist(points[_WRIST, :2].tolist(), box.wrist) / box.side
    return float(found.scores[index] * found.right[index] * max(0.0, 1 - apart / _REACH))


def _same_hand(one: Points, other: Points) -> bool:
    both = (one[:, 2] > 0) & (other[:, 2] > 0)
    if not both.any():
        return False
    apart = np.hypot(*(one[both, :2] - other[both, :2]).T).mean()
    size = max(float(np.ptp(hand[both, :2], axis=0).max()) for hand in (one, other))
    return bool(apart <= _SAME_HAND * size)
