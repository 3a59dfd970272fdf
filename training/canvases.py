"""Canvases as the student sees them, composed anew each time, with the points of their people.

A canvas is one picture around one of its people, a mosaic of two or four, or a place without
anybody; some have patterns, flags and signs pasted in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from known import ABSENT, THERE, UNKNOWN, Known, Person

__all__ = ["Canvas", "compose", "spoilt"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Draw = Callable[[], Known]

# Longer side of the person a picture is cut around, in pixels. A second look shows the large ones.
SMALL, MIDDLE, LARGE = (36, 110), (60, 220), (150, 340)
WHOLE = 0.8, 2.0  # longer side of a picture that is not cut around a person, in canvases
MOST = 3.0  # no picture is enlarged more
CENTRED = 0.85  # share of the pictures cut around a person
TURNED = 0.5, 13.0  # share of the pictures turned a little, and by how many degrees
TUMBLED = 0.08  # share turned to anywhere: people lie and stand on their heads
CLUTTERED = 0.12


@dataclass(frozen=True, eq=False)
class Canvas:
    """image (side, side, 3) BGR; people; polygons (4, 2) of pixels in which anything may be."""

    image: Image
    people: list[Person]
    unknown: list[Floats]


def compose(
    rng: np.random.Generator, first: Known, somebody: Draw, nobody: Draw, side: int
) -> Canvas:
    """A canvas with one picture, the first, or more."""
    fill = fill_colour(rng)
    canvas = Canvas(np.empty((side, side, 3), np.uint8), [], [])
    kind = rng.random()
    if not first.people:
        kind *= 0.62
    columns = rows = [(0, side)]
    sizes = [MIDDLE, LARGE, SMALL][int(rng.choice(3, p=(0.4, 0.35, 0.25)))]
    if kind > 0.62:
        x, y = (int(v) for v in rng.integers(side * 3 // 10, side * 7 // 10, 2))
        sizes = SMALL if rng.random() < 0.6 else MIDDLE
        if kind > 0.8 or kind > 0.71:
            columns = [(0, x), (x, side)]
        if kind > 0.8 or kind <= 0.71:
            rows = [(0, y), (y, side)]
    for left, right in columns:
        for top, bottom in rows:
            known = first
            if (left, top) != (0, 0):
                known = nobody() if rng.random() < 0.06 else somebody()
            _paste(rng, known, canvas, (left, top, right, bottom), sizes, fill)
    if rng.random() < CLUTTERED:
        covered = clutter(rng, canvas.image)
        for one in canvas.people:
            there = one.points[:, 2] == THERE
            x, y = one.points[there, :2].astype(int).clip(0, side - 1).T
            one.points[np.flatnonzero(there)[covered[y, x]], 2] = UNKNOWN
    return canvas


def _paste(
    rng: np.random.Generator,
    known: Known,
    canvas: Canvas,
    into: tuple[int, int, int, int],
    sizes: tuple[float, float],
    fill: tuple[int, ...],
) -> None:
    """Put a picture into a part (left, top, right, bottom) of a canvas: scaled and turned."""
    left, top, right, bottom = into
    room = right - left, bottom - top
    picture = known.image
    h, w = picture.shape[:2]
    if known.people and rng.random() < CENTRED:
        box = known.people[int(rng.integers(len(known.people)))].box
        factor = float(np.exp(rng.uniform(*np.log(sizes)))) / max(box[2:].max(), 4)
        centre = box[:2] + box[2:] * rng.uniform(0.2, 0.8, 2)
    else:
        factor = float(np.exp(rng.uniform(*np.log(WHOLE)))) * len(canvas.image) / max(h, w)
        centre = rng.uniform(0, (w, h))
    factor = min(MOST, max(factor, max(room) / 2 / max(h, w)))
    angle = 0.0
    if rng.random() < TUMBLED:
        angle = float(rng.uniform(-180, 180))
    elif rng.random() < TURNED[0]:
        angle = float(np.clip(rng.normal(0, TURNED[1]), -38, 38))
    x, y = (_placed(rng, float(centre[k]), (w, h)[k], factor, room[k]) for k in (0, 1))
    matrix = cv2.getRotationMatrix2D((0, 0), angle, factor)
    matrix[:, 2] = np.array((x[0], y[0])) - matrix[:, :2] @ (x[1], y[1])
    shift = np.array((left, top))
    to_canvas = matrix.copy()
    to_canvas[:, 2] += shift
    if factor < 0.5:  # the warp below does not average
        picture = cv2.resize(
            picture, None, fx=2 * factor, fy=2 * factor, interpolation=cv2.INTER_AREA
        )
        matrix[:, :2] *= w / picture.shape[1]
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_LINEAR
    canvas.image[top:bottom, left:right] = cv2.warpAffine(
        picture, matrix, room, flags=how, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    for one in known.people:
        moved = _moved(one, to_canvas, into)
        if (moved.points[:, 2] == THERE).any():
            canvas.people.append(moved)
    for box in known.unknown:
        corners = _corners(box) @ to_canvas[:, :2].T + to_canvas[:, 2]
        canvas.unknown.append(corners.clip((left, top), (right, bottom)).astype(np.float32))


def _moved(one: Person, matrix: npt.NDArray[np.float64], into: tuple[int, int, int, int]) -> Person:
    """A person where the matrix takes it; parts out of sight are absent."""
    low, high = np.array(into[:2]), np.array(into[2:])
    points = one.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    out = ((points[:, :2] < low) | (points[:, :2] > high - 1)).any(axis=1)
    points[out & (points[:, 2] == THERE), 2] = ABSENT
    corners = (_corners(one.box) @ matrix[:, :2].T + matrix[:, 2]).clip(low, high)
    begin, end = corners.min(axis=0), corners.max(axis=0)
    return Person(points, np.concatenate([begin, end - begin]).astype(np.float32))


def _corners(box: Floats) -> Floats:
    x, y, w, h = box
    return np.array(((x, y), (x + w, y), (x + w, y + h), (x, y + h)), np.float32)


def _placed(
    rng: np.random.Generator, centre: float, length: int, factor: float, room: int
) -> tuple[float, float]:
    """Where in the tile a point of the picture goes; the tile is covered if the picture can."""
    to = room * rng.uniform(0.25, 0.75)
    if length * factor > room:
        centre = float(np.clip(centre, to / factor, length - (room - to) / factor))
    else:
        to = centre * factor + rng.uniform(0, max(0.0, room - length * factor))
    return to, centre


def fill_colour(rng: np.random.Generator) -> tuple[int, ...]:
    kind = rng.random()
    if kind < 0.5:
        return (128, 128, 128)
    return tuple(int(v) for v in rng.integers(0, 256, 3)) if kind < 0.85 else (0, 0, 0)


def clutter(rng: np.random.Generator, canvas: Image) -> npt.NDArray[np.bool_]:
    """Paste stripes, checks, rings, stars or letters: what a student takes for people.

    Returns which pixels are covered.
    """
    side = len(canvas)
    covered = np.zeros((side, side), np.bool_)
    for _ in range(int(rng.integers(1, 4))):
        w, h = (int(v) for v in rng.integers(30, 170, 2))
        patch = np.full((h, w, 3), rng.integers(0, 256, 3), np.uint8)
        colours = [tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(3)]
        kind = rng.integers(5)
        step = int(rng.integers(4, 26))
        for k in range(0, w + h, 2 * step):
            if kind == 0:
                cv2.rectangle(patch, (k, 0), (k + step - 1, h), colours[0], -1)
            elif kind == 1:
                cv2.rectangle(patch, (0, k), (w, k + step - 1), colours[0], -1)
            elif kind == 2:
                centre = (int(rng.integers(w)), int(rng.integers(h)))
                cv2.circle(patch, centre, step, colours[k % 3], int(rng.choice((-1, 2, 5))))
            elif kind == 3:
                corner = rng.integers(0, (w, h))
                shape = (corner + rng.normal(0, step, (int(rng.integers(3, 9)), 2))).astype(
                    np.int32
                )
                cv2.fillPoly(patch, [shape], colours[k % 3])
            else:
                letters = "".join(chr(c) for c in rng.integers(48, 91, 8))
                cv2.putText(
                    patch, letters, (2, k), int(rng.integers(8)), step / 16, colours[k % 3], 2
                )
        if kind < 2 and rng.random() < 0.5:  # a flag
            cv2.rectangle(patch, (0, 0), (w * 2 // 5, h // 2), colours[1], -1)
            for x in range(6, w * 2 // 5, 12):
                for y in range(6, h // 2, 12):
                    cv2.circle(patch, (x, y), 3, colours[2], -1)
        angle = float(rng.normal(0, 12))
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1)
        matrix[:, 2] += rng.uniform(-w / 2, side - w / 2), rng.uniform(-h / 2, side - h / 2)
        if rng.random() < 0.5:
            patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.5, 2))
        mask = cv2.warpAffine(np.full((h, w), 1.0, np.float32), matrix, (side, side))[..., None]
        pasted = cv2.warpAffine(patch, matrix, (side, side))
        mask *= rng.choice((1.0, rng.uniform(0.4, 1)))
        canvas[:] = (canvas * (1 - mask) + pasted * mask).astype(np.uint8)
        covered |= mask[..., 0] > 0.3
    return covered


def spoilt(rng: np.random.Generator, canvas: Image) -> Image:
    """Blurred, compressed or sharpened, as pictures are."""
    kind = rng.random()
    if kind < 0.06:
        return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2))
    if kind < 0.12:
        packed = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))])
        return cv2.imdecode(packed[1], cv2.IMREAD_COLOR)
    if kind < 0.32:
        amount = rng.uniform(0.3, 1.2)
        blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 1.6))
        return cv2.addWeighted(canvas, 1 + amount, blurred, -amount, 0)
    return canvas
