"""Batches of pictures and target maps, from what `body_data.py` and `hand_data.py` prepared.

Targets are NaN where nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from canvases import compose, spoilt
from known import Known, held_out, read_pack
from layout import MAPS, STRIDE, mirrored
from targets import draw
from torch import Tensor

__all__ = ["BodyData", "Data", "HandData"]

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
        pictures = _pictures(images)
        if rng:
            _recolour(pictures, rng, gain=0.18, offset=14, grey=0.12)
        return pictures, torch.from_numpy(targets)


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
        pictures = _pictures(images)
        if rng:
            _recolour(pictures, rng, gain=0.22, offset=16, grey=0.2)
            _cover(pictures, rng)
        return pictures, _hand_targets(torch.from_numpy(points), side // STRIDE)

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
        """A turned and stretched square of a picture, and where its pixels go."""
        picture = self._pictures[file]
        angle = rng.normal(0, 35) if rng.random() < 0.7 else rng.uniform(-180, 180)
        matrix = cv2.getRotationMatrix2D((0, 0), float(angle), side / square)
        matrix[:, :2] = np.diag(np.exp(rng.normal(0, 0.08, 2))) @ matrix[:, :2]
        matrix[:, 2] = (side - 1) / 2 - matrix[:, :2] @ centre
        how = cv2.INTER_AREA if square > side else cv2.INTER_LINEAR
        outside = rng.random()
        border = cv2.BORDER_REPLICATE if outside < 0.15 else cv2.BORDER_CONSTANT
        image = cv2.warpAffine(
            picture, matrix, (side, side), flags=how, borderMode=border, borderValue=(128,) * 3
        )
        if outside > 0.35:
            inside = np.ones(picture.shape[:2], np.uint8)
            inside = cv2.warpAffine(inside, matrix, (side, side), flags=cv2.INTER_NEAREST)
            image = np.where(inside[..., None] > 0, image, self._background(rng, side))
        spoil = rng.random()
        if spoil < 0.12:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
        elif spoil < 0.22:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))]
            image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        elif spoil < 0.4:
            amount = rng.uniform(0.3, 1.2)
            blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2))
            image = cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)
        return image, matrix

    def _background(self, rng: np.random.Generator, side: int) -> npt.NDArray[np.uint8]:
        """A part of a picture without hands."""
        index = int(rng.integers(len(self._other_files)))
        centre, square = self._centres[index], float(self._sides[index])
        x, y = (int(v) for v in centre - square / 2)
        picture = self._pictures[self._other_files[index]]
        part = picture[max(0, y) : y + int(square), max(0, x) : x + int(square)]
        return cv2.resize(part, (side, side))


def _hand_targets(points: Tensor, grid: int) -> Tensor:
    """Gaussians around points (n, 21, 2), none around NaN, and the background."""
    cells = torch.arange(grid) * STRIDE + (STRIDE - 1) / 2
    sizes = (points.amax(1) - points.amin(1)).amax(1)
    sigma = (SIGMA_OF_HAND * sizes).clamp(*SIGMA)[:, None, None]
    x, y = (torch.exp(-((cells - points[..., k : k + 1]) ** 2) / (2 * sigma**2)) for k in (0, 1))
    heat = torch.nan_to_num(y[..., :, None] * x[..., None, :])
    return torch.cat([heat, 1 - heat.amax(1, keepdim=True)], 1)


def _cover(pictures: Tensor, rng: np.random.Generator) -> None:
    """Something in front of some, in place."""
    side = pictures.shape[-1]
    for picture in pictures[torch.from_numpy(rng.random(len(pictures)) < 0.15)]:
        height, width = rng.integers(side // 14, side // 3, 2)
        y, x = rng.integers(0, side - height), rng.integers(0, side - width)
        colour = torch.from_numpy(rng.uniform(0, 255, (3, 1, 1)).astype(np.float32))
        picture[:, y : y + height, x : x + width] = colour


def _pictures(images: npt.NDArray[np.uint8]) -> Tensor:
    """Channels-last float pictures (n, 3, h, w) of (n, h, w, 3)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def _recolour(
    pictures: Tensor, rng: np.random.Generator, gain: float, offset: float, grey: float
) -> None:
    """Brightness, contrast, tint and saturation, in place; shares and grey levels of spread."""
    n = len(pictures)

    def noise(all_alike: float, each: float) -> Tensor:
        drawn = rng.normal(0, all_alike, (n, 1, 1, 1)) + rng.normal(0, each, (n, 3, 1, 1))
        return torch.from_numpy(drawn.astype(np.float32))

    factor = noise(gain, gain / 3).exp_()
    shift = 110 + noise(offset, offset / 3) - 110 * factor
    pictures.mul_(factor).add_(shift).clamp_(0, 255)
    for picture in pictures[torch.from_numpy(rng.random(n) < grey)]:
        kept = float(rng.uniform(0, 0.8))
        picture.mul_(kept).add_(picture.mean(0, keepdim=True), alpha=1 - kept)
