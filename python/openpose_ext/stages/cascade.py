"""Finds hands, faces and feet: cut out where the body parts tell, run through a network, put back.

Such a network expects one hand, face or foot (here called a thing), more or less upright, in the
middle of a square. So each gets its own view: a square of the picture, as large as the body parts
tell, perhaps turned, and mirrored if the network knows only the other side. Parts of the square
outside the picture are grey. The constants of hands, faces and feet are values of `Region`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.backends.protocol import BackendInfo
from openpose_ext.models.network import CropMaps, CropNetwork, CropPoints
from openpose_ext.stages.box import MIN_SIDE, Box
from openpose_ext.stages.decode import decode_points
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["BATCH_PIXELS", "Cascade", "Found", "Region"]

Floats = npt.NDArray[np.floating]
Points = npt.NDArray[np.float32]

# Most network input pixels per run by default: eight hands of the original network's size, whose
# first activation then takes 277 MB; ten hands at scale 2 would take 1.4 GB.
BATCH_PIXELS = 8 * 368 * 368

# Lowest score of the first look for which a second one is worth it.
LEAST_FOR_SECOND_LOOK = 0.2

# Points up to this far outside the picture, as a share of the square's side, are moved to its edge;
# points farther out are wrong and are dropped.
_MARGIN = 0.05

_LEAST_SEEN = np.nextafter(np.float32(FILLED_SCORE), np.float32(1))


@dataclass(frozen=True)
class Region:
    """The constants for finding hands, faces or feet.

    kind          kind of the networks, as in their manifests
    axis          (a, b, degrees): two of the points, and the direction from a to b in an upright
                  view, clockwise from straight up
    turns         angles that a network of landmarks tries if the direction is unknown
    second_look   networks of landmarks look twice: the first look tells the thing's place, size and
                  direction; the second is upright, and its square is so many times as large as the
                  thing. None for a single look
    rise          how far the second look's centre lies above the thing's middle, as a multiple of
                  the thing's longer side
    min_presence  networks of landmarks: things with a lower presence are dropped
    min_maps      networks of maps: things with a lower mean score of the points are dropped
    min_point     points with lower scores of their own are dropped
    anchor        index of the point that lies at the box's anchor, or None
    reach         most distance of that point from the anchor, in sides of the square
    same          two results are the same thing if their points are nearer than this share of its
                  size
    reversed      order of the points if a thing is taken for its mirror image, or None
    """

    kind: str
    axis: tuple[int, int, float]
    turns: tuple[float, ...] = (0.0,)
    second_look: float | None = None
    rise: float = 0.0
    min_presence: float = 0.5
    min_maps: float = 0.25
    min_point: float = 0.0
    anchor: int | None = None
    reach: float = 0.5
    same: float = 0.25
    reversed: tuple[int, ...] | None = None


class Found(NamedTuple):
    """What the network found in n views.

    points   (n, K, 3) float32: x, y in the picture, and score; missing points are 0, 0, 0
    scores   (n,): evidence that the thing is there, 0 to 1
    right    (n,): evidence that it is of the expected side, 0 to 1
    outline  (n, L, 2): all points that tell its size, in the picture
    """

    points: Points
    scores: Points
    right: Points
    outline: Points


class Cascade(ABC):
    """Finds hands, faces or feet. Thread-safe; close it, or use it as a context manager.

    network    the network; it is closed together with this
    scales     run it on each thing at each of these multiples of the usual size, and average: maps
               on one grid, landmarks in the picture
    max_batch  most things per run of the network; None takes as many as eight of 368 x 368 pixels

    Raises ValueError if a scale is not a positive number, if there are several and the network
    returns maps of one size only, or if max_batch is below 1.
    """

    networks: ClassVar[type[CropNetwork]]

    def __init__(
        self,
        network: CropNetwork,
        *,
        scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
    ) -> None:
        region = self.region_of(network)
        kind = region.kind
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ValueError(
                f"{kind}_scales must be positive numbers, at least one, not {scales!r}"
            )
        if len(scales) > 1 and network.fixed_size is not None and not network.regresses:
            raise ValueError(
                f"the {kind} network takes crops of {network.crop} x {network.crop} only, so there "
                f"are no {kind}_scales to choose from"
            )
        if max_batch is not None and (not isinstance(max_batch, int) or max_batch < 1):
            raise ValueError(f"max_batch must be at least 1 {kind}, not {max_batch!r}")
        self._network = network
        self._region = region
        self._scales = tuple(float(scale) for scale in scales)
        self._max_batch = max_batch
        default = region.min_presence if network.regresses else region.min_maps
        self._min_score = default if network.min_score is None else network.min_score

    @staticmethod
    @abstractmethod
    def region_of(network: CropNetwork) -> Region:
        """The constants for this network."""

    @classmethod
    def open(cls, network: str | PathLike[str], **options: Any) -> Self:
        """Open the network with this name or file.

        options  `scales`, `max_batch`, and the options of `CropNetwork.open`

        Raises ValueError as the class does, and the errors of `CropNetwork.open`.
        """
        own = {name: options.pop(name) for name in ("scales", "max_batch") if name in options}
        opened = cls.networks.open(network, **options)
        try:
            return cls(opened, **own)
        except ValueError:
            opened.close()
            raise

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the network."""
        return self._network.info

    @property
    def topology(self) -> Topology:
        """The names and limbs of the points."""
        return self._network.topology

    def close(self) -> None:
        """Close the network."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def find(
        self, picture: Picture, boxes: Sequence[Box], mirrored: Sequence[Sequence[bool]]
    ) -> Found:
        """Find the thing in each box, independently of the others.

        picture   (H, W, 3) uint8 BGR
        mirrored  for each box whether its view is mirrored; if both values are given the better one
                  counts
        """
        owners: list[int] = []
        views: list[View] = []
        for index, (box, mirrors) in enumerate(zip(boxes, mirrored, strict=True)):
            if _is_seen(box, picture):
                first = self._first_views(box, mirrors)
                views += first
                owners += [index] * len(first)
        seen = self._look(picture, views)
        best = _nothing(len(boxes), seen)
        chosen: dict[int, View] = {}
        # The best view of each box; of equal ones the first.
        for look in sorted(range(len(views)), key=lambda i: (-seen.scores[i], i)):
            owner = owners[look]
            if owner not in chosen:
                chosen[owner] = views[look]
                _copy(seen, look, best, owner)
        if self._network.regresses and self._region.second_look is not None:
            self._look_again(picture, chosen, best, self._region.second_look)
        for index, box in enumerate(boxes):
            if best.scores[index] < self._min_score:
                best.points[index] = 0
            _keep_in_picture(best.points[index], picture, box.side)
        return best

    def uncontested(self, found: Found, boxes: Sequence[Box]) -> list[int]:
        """The indices of the things that were found; of several that are the same only the best."""
        quality = np.array([self._quality(found, index, box) for index, box in enumerate(boxes)])
        kept: list[int] = []
        for index in np.argsort(-quality, kind="stable").tolist():
            if quality[index] > 0 and not any(
                self.same(found.points[index], found.points[other]) for other in kept
            ):
                kept.append(index)
        return kept

    def _quality(self, found: Found, index: int, box: Box) -> float:
        """How well a thing fits its body, by score, side and distance from the anchor; 0 if not."""
        points, anchor = found.points[index], self._region.anchor
        if not points[:, 2].any():
            return 0.0
        apart = 0.25  # if the distance is unknown
        if anchor is not None and points[anchor, 2] > 0 and box.anchor is not None:
            apart = math.dist(points[anchor, :2].tolist(), box.anchor) / box.side
        return float(
            found.scores[index] * found.right[index] * max(0.0, 1 - apart / self._region.reach)
        )

    def same(self, one: Points, other: Points) -> bool:
        """Whether both are the same thing, even if one of them is taken for its mirror image."""
        orders = [other]
        if self._region.reversed is not None:
            orders.append(other[list(self._region.reversed)])
        return any(self._alike(one, points) for points in orders)

    def _alike(self, one: Points, other: Points) -> bool:
        both = (one[:, 2] > 0) & (other[:, 2] > 0)
        if not both.any():
            return False
        apart = np.hypot(*(one[both, :2] - other[both, :2]).T).mean()
        size = max(float(np.ptp(points[both, :2], axis=0).max()) for points in (one, other))
        return bool(apart <= self._region.same * size)

    def _first_views(self, box: Box, mirrored: Sequence[bool]) -> list[View]:
        angles: tuple[float, ...] = (0.0,)
        if self._network.regresses:
            angles = self._region.turns if box.angle is None else (box.angle,)
        return [
            View(box.centre, box.side, self._network.crop, angle, mirror)
            for angle in angles
            for mirror in mirrored
        ]

    def _look_again(
        self, picture: Picture, views: dict[int, View], best: Found, share: float
    ) -> None:
        """Replace results by those of a closer, upright view."""
        again = {
            index: self._closer(view, best.points[index], best.outline[index], share)
            for index, view in views.items()
            if best.scores[index] >= LEAST_FOR_SECOND_LOOK
        }
        seen = self._look(picture, [*again.values()])
        for look, index in enumerate(again):
            if seen.scores[look] >= min(self._min_score, best.scores[index]):
                _copy(seen, look, best, index)

    def _closer(self, view: View, points: Points, outline: Points, share: float) -> View:
        """The upright square around what the first look found."""
        a, b, upright = self._region.axis
        direction = points[b, :2].astype(np.float64) - points[a, :2].astype(np.float64)
        angle = math.degrees(math.atan2(direction[0], -direction[1])) - upright
        # Points in a frame that is turned like the thing: a `View` without size and place.
        turned = View((0.0, 0.0), 1.0, 1, angle)
        flat = turned.to_network(outline.astype(np.float64))
        low, high = flat.min(axis=0), flat.max(axis=0)
        longer = float((high - low).max())
        x, y = turned.to_picture((low + high) / 2 - (0, self._region.rise * longer))
        # If all points nearly coincide, the view must not shrink to nothing.
        side = max(share * longer, view.side / 4, MIN_SIDE)
        return replace(view, centre=(float(x), float(y)), side=side, angle=angle)

    def _look(self, picture: Picture, views: Sequence[View]) -> Found:
        if not views:
            none, parts = np.zeros(0, np.float32), len(self._network.topology.parts)
            return Found(
                np.zeros((0, parts, 3), np.float32), none, none, np.zeros((0, parts, 2), np.float32)
            )
        if self._network.regresses:
            return self._points(picture, views)
        return self._decoded(picture, views)

    def _points(self, picture: Picture, views: Sequence[View]) -> Found:
        """Results of a network of landmarks: the mean over the scales, weighted by presence."""
        parts = len(self._network.topology.parts)
        sums: list[Any] = [0.0] * len(views)
        presence, right = np.zeros(len(views)), np.zeros(len(views))
        own = np.zeros((len(views), parts))
        for scale in self._scales:
            # The input's size is fixed: in a smaller square a hand is larger.
            scaled = [replace(view, side=view.side / scale) for view in views]
            index = 0
            for answer in self._answers(picture, scaled):
                assert isinstance(answer, CropPoints)
                landmarks = answer.points
                if answer.outline is not None:
                    landmarks = np.concatenate([landmarks, answer.outline], axis=1)
                for one, points in enumerate(landmarks):
                    weight = max(float(answer.presence[one]), 1e-6)
                    sums[index] += weight * scaled[index].to_picture(points.astype(np.float64))
                    presence[index] += weight
                    right[index] += weight * (1 if answer.right is None else answer.right[one])
                    own[index] += weight * (1 if answer.scores is None else answer.scores[one])
                    index += 1
        xy = (np.stack(sums) / presence[:, None, None]).astype(np.float32)
        points = np.empty((len(views), parts, 3), np.float32)
        points[..., :2] = xy[:, :parts]
        scores = np.clip(presence / len(self._scales), 0, 1).astype(np.float32)
        each = (own / presence[:, None]).astype(np.float32)
        points[..., 2] = np.maximum(scores[:, None] * each, _LEAST_SEEN)
        points[each < self._region.min_point] = 0
        outline = xy[:, parts:] if xy.shape[1] > parts else xy
        return Found(points, scores, (right / presence).astype(np.float32), outline)

    def _decoded(self, picture: Picture, views: Sequence[View]) -> Found:
        """Results of a network of maps: the maps' mean over the scales, decoded."""
        stride, parts = self._network.stride, len(self._network.topology.parts)
        sizes = [
            max(1, round(self._network.crop * scale / stride)) * stride for scale in self._scales
        ]
        passes = []
        for size in sizes:
            scaled = [replace(view, size=size) for view in views]
            heats = []
            for answer in self._answers(picture, scaled):
                assert isinstance(answer, CropMaps)
                heats += [*answer.heat]
            passes.append(heats)
        finest = max(sizes)
        geometry = Geometry.of_maps(finest // stride, finest // stride, stride)
        found = []
        for index, view in enumerate(views):
            heat = _mean_of_maps([heats[index] for heats in passes])
            points = decode_points(heat, parts, geometry=geometry)
            seen = points[:, 2] > 0
            points[seen] = replace(view, size=finest).to_picture(points[seen])
            found.append(points)
        stacked = np.stack(found)
        scores = stacked[..., 2].mean(axis=1)
        return Found(stacked, scores, np.ones(len(views), np.float32), stacked[..., :2])

    def _answers(self, picture: Picture, views: Sequence[View]) -> Iterator[CropMaps | CropPoints]:
        """The network's results for views of one size, in order, one batch at a time."""
        if not views:
            return
        most = self._max_batch or max(1, BATCH_PIXELS // views[0].size ** 2)
        for first in range(0, len(views), most):
            batch = [view.cut(picture) for view in views[first : first + most]]
            yield self._network.run(np.stack(batch))


def _nothing(count: int, like: Found) -> Found:
    """Results for so many things, none of which was found."""
    return Found(*(np.zeros((count, *one.shape[1:]), np.float32) for one in like))


def _copy(source: Found, look: int, target: Found, index: int) -> None:
    for one, other in zip(source, target, strict=True):
        other[index] = one[look]


def _is_seen(box: Box, picture: Picture) -> bool:
    """Whether the square is large enough and overlaps the picture."""
    height, width = picture.shape[:2]
    half = box.side / 2
    x, y = box.centre
    return box.side >= MIN_SIDE and -half < x < width - 1 + half and -half < y < height - 1 + half


def _keep_in_picture(points: Points, picture: Picture, side: float) -> None:
    """Move points just outside the picture to its edge, drop those farther out; in place."""
    last = np.array(picture.shape[1::-1], np.float32) - 1
    clipped = np.clip(points[:, :2], 0, last)
    outside = np.abs(points[:, :2] - clipped).max(axis=1) > _MARGIN * side
    points[:, :2] = clipped
    points[outside | (points[:, 2] <= 0)] = 0


def _mean_of_maps(heats: Sequence[Floats]) -> Floats:
    """The mean of several maps of the same square, on the finest grid."""
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
