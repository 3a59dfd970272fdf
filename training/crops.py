"""Squares cut from pictures, turned, stretched and spoilt at random."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["bend", "cut", "part"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

STRETCH = 0.08  # spread of both sides
BEND_KNOTS = 4  # in a row of the net by which a square is bent
GREY = (128, 128, 128)


def cut(
    rng: np.random.Generator,
    picture: Image,
    centre: Floats,
    square: float,
    angle: float,
    side: int,
    background: Callable[[], Image] | None,
) -> tuple[Image, Floats]:
    """A square of a picture as (side, side, 3), and the (2, 3) matrix of where its pixels go.

    centre      x, y in the picture
    square      its side, picture pixels
    angle       degrees by which it is turned, clockwise
    background  what to put where the picture ends; None is grey
    """
    matrix = cv2.getRotationMatrix2D((0, 0), angle, side / square)
    matrix[:, :2] = np.diag(np.exp(rng.normal(0, STRETCH, 2))) @ matrix[:, :2]
    matrix[:, 2] = (side - 1) / 2 - matrix[:, :2] @ centre
    how = cv2.INTER_AREA if square > side else cv2.INTER_LINEAR
    border = cv2.BORDER_REPLICATE if rng.random() < 0.15 else cv2.BORDER_CONSTANT
    image = cv2.warpAffine(
        picture, matrix, (side, side), flags=how, borderMode=border, borderValue=GREY
    )
    if background is not None:
        inside = np.ones(picture.shape[:2], np.uint8)
        inside = cv2.warpAffine(inside, matrix, (side, side), flags=cv2.INTER_NEAREST)
        image = np.where(inside[..., None] > 0, image, background())
    return _spoilt(rng, image), matrix


def bend(
    rng: np.random.Generator, image: Image, points: Floats | None, spread: float
) -> tuple[Image, Floats | None]:
    """A square as if of another one of its kind: bent smoothly, points with it.

    spread  of the knots' moves, in sides
    """
    side = image.shape[0]
    knots = rng.normal(0, spread * side, (BEND_KNOTS, BEND_KNOTS, 2)).astype(np.float32)
    moves = cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    bent = cv2.remap(
        image,
        x + moves[..., 0],
        y + moves[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if points is None:
        return bent, None
    # A pixel shows what was at its place plus its move: found where the move is that of its goal.
    goal = points
    for _ in range(3):
        at = np.clip(goal.round().astype(int), 0, side - 1)
        goal = points - moves[at[:, 1], at[:, 0]]
    return bent, goal


def part(picture: Image, centre: Floats, square: float, side: int) -> Image:
    """What a square shows of a picture, stretched to (side, side, 3)."""
    x, y = (int(v) for v in centre - square / 2)
    shown = picture[max(0, y) : y + int(square), max(0, x) : x + int(square)]
    return cv2.resize(shown, (side, side))


def _spoilt(rng: np.random.Generator, image: Image) -> Image:
    spoil = rng.random()
    if spoil < 0.12:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
    if spoil < 0.22:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))]
        return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    if spoil < 0.4:
        amount = rng.uniform(0.3, 1.2)
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2))
        return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)
    return image
