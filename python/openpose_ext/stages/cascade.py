"""Hands, faces and feet: looked for where the body says, cut out, seen by a network, put back.

Such a network sees one thing, upright or nearly so, in the middle of a square. So each gets a view
of its own: a square of the picture, as large as the body says, perhaps turned, and mirrored where
the network knows the other side only. Whatever lies outside the picture is grey; the square is
never shrunk. What is looked for is a `Region`; hands, faces and feet are values of it.
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

# Network input pixels run at once by default: eight hands of the original network's size. Its
# first activation takes 277 MB of them; ten hands at scale 2 would take 1.4 GB.
BATCH_PIXELS = 8 * 368 * 368

# A second look is worth it where the first saw at least this much.
LEAST_FOR_SECOND_LOOK = 0.2

# Points this far outside the picture, as a share of the square's side, are put on its edge; what
# lies farther out is invented.
_MARGIN = 0.05

_LEAST_SEEN = np.nextafter(np.float32(FILLED_SCORE), np.float32(1))


@dataclass(frozen=True)
class Region:
    """What the cascade has to know of a part of the body.

    kind          of the networks that see it, as their manifests call it
    axis          (a, b, degrees): two of the points, and where b lies from a in an upright view,
                  clockwise from straight up
    turns         angles at which a network of landmarks looks where nothing tells one
    second_look   a network of landmarks looks twice: the first look tells where and how large the
                  thing is, and how it is turned; the second is upright, so many times as large as
                  the thing. None for a single look
    rise          longer sides of the thing by which the second look's centre lies above its middle
    min_presence  what a network of landmarks is less sure of is absent
    min_maps      likewise of a network of maps, the mean score of the points
    min_point     points with scores of their own are missing below it
    anchor        the point that hangs on the box's anchor, or None
    reach         sides of the square by which it may lie away from there
    same          two results are one thing if their points differ by less than this share of its
                  size
    reversed      the order in which the points come where a thing is taken for its mirror image,
                  or None
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
    """Things as views showed them.

    points   (n, K, 3) float32: x, y in the picture, score; missing ones 0, 0, 0
    scores   (n,): evidence that the thing is there, 0..1
    right    (n,): how sure it is of that side, mirrored where it should be, 0..1
    outline  (n, L, 2): all that tells how large it is, in the picture
    """

    points: Points
    scores: Points
    right: Points
    outline: Points


class Cascade(ABC):
    """Finds a region of the body. Thread-safe; close it, or use it as a context manager.

    network    that sees it; it is closed together with this
    scales     each thing is looked at this many times as large, and what is seen is averaged: maps
               in one frame, landmarks in the picture
    max_batch  things a run of the network at most; None takes as many as eight of 368 x 368 pixels

    Raises ValueError if the scales are none, or the network's maps come in one size only.
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
        """What is looked for with this network."""

    @classmethod
    def open(cls, network: str | PathLike[str], **options: Any) -> Self:
        """With the network of this name or file.

        options  `scales` and `max_batch`; the others, and errors, are those of `CropNetwork.open`
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
        """What the points are."""
        return self._network.topology

    def close(self) -> None:
        """Give the network back."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def find(
        self, picture: Picture, boxes: Sequence[Box], mirrored: Sequence[Sequence[bool]]
    ) -> Found:
        """The thing of each box, each for itself.

        mirrored  for each box whether it is shown mirrored; of both tries the better counts
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
        """The things that are there, each once: of several claims to one the best."""
        quality = np.array([self._quality(found, index, box) for index, box in enumerate(boxes)])
        kept: list[int] = []
        for index in np.argsort(-quality, kind="stable").tolist():
            if quality[index] > 0 and not any(
                self.same(found.points[index], found.points[other]) for other in kept
            ):
                kept.append(index)
        return kept

    def _quality(self, found: Found, index: int, box: Box) -> float:
        """How well a thing fits its body: evidence, side, and where it hangs on; 0 if not."""
        points, anchor = found.points[index], self._region.anchor
        if not points[:, 2].any():
            return 0.0
        apart = 0.25  # nothing said
        if anchor is not None and points[anchor, 2] > 0 and box.anchor is not None:
            apart = math.dist(points[anchor, :2].tolist(), box.anchor) / box.side
        return float(
            found.scores[index] * found.right[index] * max(0.0, 1 - apart / self._region.reach)
        )

    def same(self, one: Points, other: Points) -> bool:
        """Whether both are one thing, also where one of them is taken for its mirror image."""
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
        """Replace what was found by what a closer, upright view of it shows."""
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
        """The upright square around what was seen."""
        a, b, upright = self._region.axis
        direction = points[b, :2].astype(np.float64) - points[a, :2].astype(np.float64)
        angle = math.degrees(math.atan2(direction[0], -direction[1])) - upright
        # In a frame turned alike: `View` without its size and place.
        turned = View((0.0, 0.0), 1.0, 1, angle)
        flat = turned.to_network(outline.astype(np.float64))
        low, high = flat.min(axis=0), flat.max(axis=0)
        longer = float((high - low).max())
        x, y = turned.to_picture((low + high) / 2 - (0, self._region.rise * longer))
        # Points that all but coincide are nothing; the view shall not shrink to nothing.
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
        """What a network of landmarks sees: the mean over the scales, by presence."""
        parts = len(self._network.topology.parts)
        sums: list[Any] = [0.0] * len(views)
        presence, right = np.zeros(len(views)), np.zeros(len(views))
        own = np.zeros((len(views), parts))
        for scale in self._scales:
            # Its size is fixed: a hand looks larger in a smaller square.
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
        """What a network of maps sees: the maps' mean over the scales, decoded."""
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
        """The network's answers on views of one size, in order, a batch at a time."""
        if not views:
            return
        most = self._max_batch or max(1, BATCH_PIXELS // views[0].size ** 2)
        for first in range(0, len(views), most):
            batch = [view.cut(picture) for view in views[first : first + most]]
            yield self._network.run(np.stack(batch))


def _nothing(count: int, like: Found) -> Found:
    """As many things, none of which is there."""
    return Found(*(np.zeros((count, *one.shape[1:]), np.float32) for one in like))


def _copy(source: Found, look: int, target: Found, index: int) -> None:
    for one, other in zip(source, target, strict=True):
        other[index] = one[look]


def _is_seen(box: Box, picture: Picture) -> bool:
    """Whether the square is large enough, and shows some of the picture."""
    height, width = picture.shape[:2]
    half = box.side / 2
    x, y = box.centre
    return box.side >= MIN_SIDE and -half < x < width - 1 + half and -half < y < height - 1 + half


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
