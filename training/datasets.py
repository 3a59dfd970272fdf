"""Batches of pictures and target maps, from what `body_data.py` and `hand_data.py` prepared.

Targets are NaN where nothing is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import cv2
import numpy as np
import numpy.typing as npt
import torch
from canvases import compose, spoilt
from crops import bend, cut, part
from known import Known, held_out, read_pack
from layout import FACE_MIRROR, MAPS, STRIDE, mirrored
from recolour import cover, pictures, recolour
from targets import draw
from torch import Tensor

__all__ = ["REGIONS", "BodyData", "Data", "HandData", "RegionData"]

# How often pictures are drawn, by the first word of their names; those not named once.
BODY_WEIGHT = {
    "coco": 4.0, "lspet": 0.5, "surv": 1.3, "room": 0.3, "webc": 0.4, "webg": 0.6, "webl": 0.4,
    "flickr8k": 1.4, "f8f": 1.3, "work": 1.2,
}  # fmt: skip
EMPTY_WEIGHT = {"hard": 2.0}
NOBODY = 0.12  # share of canvases without anybody
EPOCH = 1000  # canvases; then packs that have come are read
HELD_OUT_CANVASES = 96

# How often hands of a source are drawn (many of one hand before one wall); those not named once.
HAND_WEIGHT = {"had": 0.5, "sld": 0.5, "asl": 0.6, "lin": 0.6, "cgd": 0.7}
HAND_SQUARES = (1.05, 3.0)  # side of the square in longer sides of the hand
NO_HAND = 0.08  # share of the squares without a hand
OTHER_SIDE = 0.1  # share of left hands: a wrong side shall be survived
SIGMA_OF_HAND, SIGMA = 0.07, (5.5, 8.5)  # of the gaussians: of the hand's size; bounds in pixels

Batch = tuple[Tensor, Tensor]
Indices = npt.NDArray[np.intp]


class Data(Protocol):
    """Prepared pictures."""

    def __len__(self) -> int: ...

    def order(self, rng: np.random.Generator) -> Indices:
        """The indices of an epoch, shuffled."""

    def batch(self, indices: Indices, rng: np.random.Generator | None, side: int) -> Batch:
        """Pictures (n, 3, side, side) BGR 0..255 and target maps (n, maps, side / 8, side / 8).

        rng  for augmentation; None: as they are
        """


class BodyData:
    """Canvases of the pictures in the packs of a folder, composed anew each time.

    root  a pack of `body_data.py`, or a folder of packs; more may come while the training goes on
    held_out  the labelled pictures kept from training, or all others
    """

    def __init__(self, root: Path, held_out: bool) -> None:
        self._root, self._held_out = root, held_out
        self._read: set[Path] = set()
        self._people: list[Known] = []
        self._nobody: list[Known] = []
        self._more()

    def _more(self) -> None:
        """Read the packs that are new."""
        packs = set(self._root.glob("*.zip")) if self._root.is_dir() else {self._root}
        for pack in sorted(packs - self._read):
            for known in read_pack(pack):
                kept = bool(known.labelled and known.people and held_out(known.name))
                if known.people and kept == self._held_out:
                    self._people.append(known)
                elif not known.people and not self._held_out and not len(known.unknown):
                    self._nobody.append(known)
        self._read |= packs
        if not self._people:
            raise ValueError(f"{self._root} has no packs of pictures with people")
        if self._held_out:
            self._people = self._people[:: max(1, len(self._people) // HELD_OUT_CANVASES)]
        self._shares = _shares(self._people, BODY_WEIGHT)
        self._shares_empty = _shares(self._nobody, EMPTY_WEIGHT)

    def __len__(self) -> int:
        return len(self._people)

    def order(self, rng: np.random.Generator) -> Indices:
        """Of pictures, by their weight; -1 - k for those of nobody."""
        self._more()
        drawn = rng.choice(len(self._people), EPOCH, p=self._shares)
        if self._nobody:
            empty = rng.choice(len(self._nobody), EPOCH, p=self._shares_empty)
            drawn = np.where(rng.random(EPOCH) < NOBODY, -1 - empty, drawn)
        return drawn

    def batch(self, indices: Indices, rng: np.random.Generator | None, side: int) -> Batch:
        grid = side // STRIDE
        images = np.empty((len(indices), side, side, 3), np.uint8)
        targets = np.empty((len(indices), MAPS, grid, grid), np.float32)
        for k, index in enumerate(indices):
            drawn = rng or np.random.default_rng(int(index))
            people, nobody = (
                _drawer(drawn, *kind)
                for kind in ((self._people, self._shares), (self._nobody, self._shares_empty))
            )
            first = self._people[index] if index >= 0 else self._nobody[-1 - index]
            canvas = compose(drawn, first, people, nobody if self._nobody else people, side)
            image = spoilt(drawn, canvas.image)
            target = draw(canvas.people, canvas.unknown, grid)
            if drawn.random() < 0.5:
                image, target = image[:, ::-1], mirrored(target)
            images[k], targets[k] = image, target
        batch = pictures(images)
        if rng:
            recolour(batch, rng, gain=0.18, offset=14, grey=0.12)
        return batch, torch.from_numpy(targets)


def _shares(pictures: list[Known], weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """How often each is drawn, by the first word of its name."""
    each = np.array([weights.get(known.name.split("_")[0], 1.0) for known in pictures])
    return each / max(each.sum(), 1e-9)


def _drawer(
    rng: np.random.Generator, pictures: list[Known], shares: npt.NDArray[np.float64]
) -> Callable[[], Known]:
    return lambda: pictures[int(rng.choice(len(pictures), p=shares))]


class HandData:
    """Hands of `hand_data.py` and what is none, cut from their pictures anew each time.

    root      where its files are
    folders   where the pictures are
    held_out  every 20th picture, or the others
    """

    def __init__(self, root: Path, folders: list[Path], held_out: bool) -> None:
        hands, others = np.load(root / "hands.npz"), np.load(root / "others.npz")
        names = np.unique(np.concatenate([hands["name"], others["name"]]))
        kept = {str(name) for k, name in enumerate(names) if (k % 20 == 7) == held_out}
        self._pictures = {
            name: cv2.imread(str(folder / name))
            for folder in folders
            for name in kept
            if (folder / name).exists()
        }
        wanted = [str(name) in kept for name in hands["name"]]
        self._files = [str(name) for name in hands["name"][wanted]]
        self._points, self._right = hands["points"][wanted], hands["right"][wanted]
        wanted = [str(name) in kept for name in others["name"]]
        self._other_files = [str(name) for name in others["name"][wanted]]
        self._centres, self._sides = others["centre"][wanted], others["side"][wanted]
        weights = [HAND_WEIGHT.get(name[:3], 1.0) for name in self._files]
        self._shares = np.array(weights) / np.sum(weights)

    def __len__(self) -> int:
        return len(self._files)

    def order(self, rng: np.random.Generator) -> Indices:
        """Of hands, by their weight; -1 - k for others."""
        count = len(self)
        drawn = rng.choice(count, count, p=self._shares)
        return np.where(
            rng.random(count) < NO_HAND,
            -1 - rng.integers(len(self._other_files), size=count),
            drawn,
        )

    def batch(self, indices: Indices, rng: np.random.Generator | None, side: int) -> Batch:
        images = np.empty((len(indices), side, side, 3), np.uint8)
        points = np.full((len(indices), 21, 2), np.nan, np.float32)
        for k, index in enumerate(indices):
            drawn = rng or np.random.default_rng(int(index))
            if index < 0:
                images[k] = self._other(drawn, -1 - int(index), side)
            else:
                images[k], points[k] = self._hand(drawn, int(index), side)
        batch = pictures(images)
        if rng:
            recolour(batch, rng, gain=0.22, offset=16, grey=0.2)
            cover(batch, rng)
        return batch, _hand_targets(torch.from_numpy(points), side // STRIDE)

    def _hand(
        self, rng: np.random.Generator, index: int, side: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        points = self._points[index]
        low, high = points.min(axis=0), points.max(axis=0)
        size = float((high - low).max())
        square = size * float(np.exp(rng.uniform(*np.log(HAND_SQUARES))))
        # A hand that fills the square leaves it by a quarter at most.
        shift = min(0.14 * square, (square - size) / 2 + 0.12 * size)
        centre = (low + high) / 2 + rng.uniform(-shift, shift, 2)
        image, matrix = self._cut(rng, self._files[index], centre, square, side)
        moved = points @ matrix[:, :2].T + matrix[:, 2]
        if bool(self._right[index]) == (rng.random() < OTHER_SIDE):
            image, moved[:, 0] = image[:, ::-1], side - 1 - moved[:, 0]
        return image, moved

    def _other(self, rng: np.random.Generator, index: int, side: int) -> npt.NDArray[np.uint8]:
        centre, square = self._centres[index], float(self._sides[index])
        return self._cut(rng, self._other_files[index], centre, square, side)[0]

    def _cut(
        self,
        rng: np.random.Generator,
        file: str,
        centre: npt.NDArray[np.float64],
        square: float,
        side: int,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        angle = float(rng.normal(0, 35) if rng.random() < 0.7 else rng.uniform(-180, 180))
        background = None
        if rng.random() < 0.65:
            background = partial(self._background, rng, side)
        return cut(rng, self._pictures[file], centre, square, angle, side, background)

    def _background(self, rng: np.random.Generator, side: int) -> npt.NDArray[np.uint8]:
        """A part of a picture without hands."""
        index = int(rng.integers(len(self._other_files)))
        picture = self._pictures[self._other_files[index]]
        return part(picture, self._centres[index], float(self._sides[index]), side)


def _hand_targets(points: Tensor, grid: int) -> Tensor:
    """Gaussians around points (n, 21, 2), none around NaN, and the background."""
    cells = torch.arange(grid) * STRIDE + (STRIDE - 1) / 2
    sizes = (points.amax(1) - points.amin(1)).amax(1)
    sigma = (SIGMA_OF_HAND * sizes).clamp(*SIGMA)[:, None, None]
    x, y = (torch.exp(-((cells - points[..., k : k + 1]) ** 2) / (2 * sigma**2)) for k in (0, 1))
    heat = torch.nan_to_num(y[..., :, None] * x[..., None, :])
    return torch.cat([heat, 1 - heat.amax(1, keepdim=True)], 1)


@dataclass(frozen=True)
class Region:
    """How squares of a region of the body are drawn.

    squares  sides, in those of the squares that `region_data.py` found
    shift    of the centre at most, in sides
    turn     spread of the angle, degrees
    nothing  share of the squares without
    large    side of a square, picture pixels: larger ones are drawn more often, smaller ones less
    bend     spread of smooth moves, in sides
    mirror   the points' order in a mirror image that is learnt from, too; None where left ones are
             always mirrored
    """

    squares: tuple[float, float]
    shift: float
    turn: float
    nothing: float
    large: float
    bend: float
    mirror: tuple[int, ...] | None


REGIONS = {
    "face": Region((0.75, 1.6), 0.13, 16, nothing=0.15, large=80, bend=0.02, mirror=FACE_MIRROR),
    "foot": Region((0.72, 1.4), 0.14, 16, nothing=0.2, large=60, bend=0.0, mirror=None),
}
OTHERS = 3  # squares without at most, for one with something
AROUND = 1.9  # half a side of what is kept of a picture, in sides of the square
ENOUGH = 160.0  # pixels of a square's side that are kept


@dataclass(frozen=True, eq=False)
class Kept:
    """A square and the picture around it.

    image   (height, width, 3) BGR
    centre, side, angle  of the square, in its pixels
    points  (K, 2) in its pixels, or None where nothing is there
    right   whether it is a right one
    """

    image: npt.NDArray[np.uint8]
    centre: npt.NDArray[np.float64]
    side: float
    angle: float
    points: npt.NDArray[np.float64] | None
    right: bool


class RegionData:
    """Faces or feet of `region_data.py` and what is none, cut out anew each time.

    root      where its files are, or folders of such files
    region    a name of `REGIONS`
    held_out  every 20th picture, chosen by its name, or the others
    """

    def __init__(self, root: Path, region: str, held_out: bool) -> None:
        self._region = REGIONS[region]
        self._seen: list[Kept] = []
        self._others: list[Kept] = []
        for file in sorted(root.rglob(f"{region}.npz")):
            with np.load(file) as table, ZipFile(file.with_name("pictures.zip")) as files:
                self._read(dict(table), files, held_out)
        weights = np.array(
            [min(max(kept.side / self._region.large, 0.3), 2) for kept in self._seen]
        )
        self._shares = weights / weights.sum()

    def _read(self, table: Mapping[str, Any], files: ZipFile, held_out: bool) -> None:
        for prefix, kept in (("", self._seen), ("other_", self._others)):
            rows = [table[prefix + key] for key in ("name", "centre", "side", "angle", "right")]
            every = max(1, len(rows[0]) // (OTHERS * len(table["name"])))
            for k, (name, centre, side, angle, right) in enumerate(zip(*rows, strict=True)):
                if k % every or (zlib.crc32(str(name).encode()) % 20 == 7) != held_out:
                    continue
                points = None if prefix else table["points"][k]
                picture = cv2.imdecode(
                    np.frombuffer(files.read(str(name)), np.uint8), cv2.IMREAD_COLOR
                )
                kept.append(
                    _around(picture, centre, float(side), float(angle), points, bool(right))
                )

    def __len__(self) -> int:
        return len(self._seen)

    def order(self, rng: np.random.Generator) -> Indices:
        """Of what is there, large ones more often; -1 - k for others."""
        count = len(self)
        drawn = rng.choice(count, count, p=self._shares)
        others = -1 - rng.integers(len(self._others), size=count)
        return np.where(rng.random(count) < self._region.nothing, others, drawn)

    def batch(self, indices: Indices, rng: np.random.Generator | None, side: int) -> Batch:
        """Pictures, and points (n, K, 2) in shares of the side from the middle, NaN for nothing."""
        count = self._seen[0].points.shape[0]
        images = np.empty((len(indices), side, side, 3), np.uint8)
        points = np.full((len(indices), count, 2), np.nan, np.float32)
        for k, index in enumerate(indices):
            drawn = rng or np.random.default_rng(int(index))
            kept = self._seen[index] if index >= 0 else self._others[-1 - index]
            images[k], moved = self._cut(drawn, kept, side)
            if moved is not None:
                points[k] = (moved + 0.5) / side - 0.5
        batch = pictures(images)
        if rng:
            recolour(batch, rng, gain=0.22, offset=16, grey=0.2)
            cover(batch, rng)
        return batch, torch.from_numpy(points)

    def _cut(
        self, rng: np.random.Generator, kept: Kept, side: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64] | None]:
        region = self._region
        square = kept.side * float(np.exp(rng.uniform(*np.log(region.squares))))
        centre = kept.centre + rng.uniform(-region.shift, region.shift, 2) * kept.side
        angle = kept.angle + float(rng.normal(0, region.turn))
        image, matrix = cut(rng, kept.image, centre, square, angle, side, None)
        points = kept.points
        if points is not None:
            points = points @ matrix[:, :2].T + matrix[:, 2]
        if region.bend:
            image, points = bend(rng, image, points, region.bend)
        if (rng.random() < 0.5) if region.mirror else not kept.right:
            image = image[:, ::-1]
            if points is not None:
                points = points * (-1, 1) + (side - 1, 0)
                points = points if region.mirror is None else points[list(region.mirror)]
        return image, points


def _around(
    picture: npt.NDArray[np.uint8],
    centre: npt.NDArray[np.float64],
    side: float,
    angle: float,
    points: npt.NDArray[np.float64] | None,
    right: bool,
) -> Kept:
    """What there is to a square: the picture around it, and no more pixels than are of use."""
    last = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(centre - AROUND * side), 0, last - 1).astype(int)
    high = np.clip(np.ceil(centre + AROUND * side), low + 1, last).astype(int)
    image = picture[low[1] : high[1], low[0] : high[0]]
    factor = min(1.0, ENOUGH / side)
    if factor < 1:
        size = [max(1, round(n * factor)) for n in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    def to_kept(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (xy - low + 0.5) * factor - 0.5

    moved = None if points is None else to_kept(points)
    return Kept(image.copy(), to_kept(centre), side * factor, angle, moved, right)
