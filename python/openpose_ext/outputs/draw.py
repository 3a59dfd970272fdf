"""Drawing of skeletons on pictures, in three styles.

openpose    the rules of OpenPose's CPU renderer. The topology has the colours; a limb has the
            colour of its second part. The thickness of lines and discs follows the person's size.
            Unlike the original's, they are anti-aliased and placed with sub-pixel precision.
seed        as pytorch-openpose draws: parts, then limbs as translucent ellipses
controlnet  as ControlNet's annotators draw, on black, for networks that were trained on that
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from openpose_ext.sources.pictures import PictureLike, as_picture
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD
from openpose_ext.types.topology import COCO_18, FACE_70, HAND_21, Topology

__all__ = ["STYLES", "draw"]

Points = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

STYLES = ("openpose", "controlnet", "seed")


# Line thickness for a person who fills the picture, relative to sqrt(width * height).
_BODY_SHARE = 1 / 75
_HAND_SHARE = 1 / 50
_FACE_SHARE = 1 / 75
_LINE_TO_DISC = 0.75
_FACE_LINE_TO_DISC = 0.334
_THINNEST = 2
_FULL_DISCS = 0.05  # people smaller than this share of the picture get smaller discs

_SUBPIXEL_BITS = 4  # cv2 takes coordinates in sixteenths of a pixel
_FARTHEST = 2.0**24  # pixels; sixteenths of it still fit cv2's 32 bits

# For the other two styles, in pixels, independent of the picture's size.
_STICK = 4  # half the width of a limb, and the radius of a part
_FINGER = 2  # thickness of a finger
_FACE_DISC = 3  # radius of a face's point
_LIMB_LIGHT = 0.6  # brightness, or opacity, of limbs

# Red to pink in 18 steps: the colours of part k and limb k.
_RAMP: tuple[Colour, ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
# The hues e / 20 of a hand's edges, in their order.
_HUES: tuple[Colour, ...] = (
    (255, 0, 0), (255, 76, 0), (255, 153, 0), (255, 229, 0), (203, 255, 0), (127, 255, 0),
    (51, 255, 0), (0, 255, 25), (0, 255, 102), (0, 255, 178), (0, 255, 255), (0, 178, 255),
    (0, 102, 255), (0, 25, 255), (50, 0, 255), (127, 0, 255), (204, 0, 255), (255, 0, 229),
    (255, 0, 152), (255, 0, 76),
)  # fmt: skip


def draw(
    picture: PictureLike,
    poses: Poses,
    style: str = "openpose",
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
    face_threshold: float = FACE_THRESHOLD,
    ids: bool = False,
) -> Picture:
    """Draw people on a copy of the picture, in their order.

    picture    (H, W, 3) uint8 BGR, as `cv2.imread` gives it, not changed; or a path or a PIL image
    poses      in the picture's frame
    style      one of `STYLES`. "controlnet" uses only the picture's size; its result is BGR, too.
               "seed" exchanges red and blue, as the original does. Both convert every skeleton
               to COCO_18 and draw lines of constant thickness.
    threshold  parts that score above this are drawn; the default leaves out filled ones
    hand_threshold  the same for hand points
    face_threshold  the same for face points; "seed" draws no faces, like its original
    ids        write each person's id above them, where they have one

    Raises ValueError if the picture has another form or the style is unknown, TypeError for what
    is no picture, SourceError for a file that cannot be read.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, not {style!r}")
    if picture is None:
        raise ValueError("picture is None: cv2.imread returns that for a file it cannot read")
    if not isinstance(picture, np.ndarray):
        picture = as_picture(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(
            f"picture must be (H, W, 3) uint8 BGR, not {picture.shape} {picture.dtype}"
        )
    if style == "controlnet":
        return _controlnet(picture.shape[:2], poses, threshold, hand_threshold, face_threshold)
    canvas = np.array(picture, order="C")
    if style == "seed":
        return _seed(canvas, poses, threshold, hand_threshold)
    for person in range(len(poses)):
        _draw_skeleton(canvas, poses.keypoints[person], poses.topology, _BODY_SHARE, threshold)
        for hand in _hands(poses, person):
            _draw_skeleton(canvas, hand, HAND_21, _HAND_SHARE, hand_threshold)
        if poses.faces is not None:
            face = poses.faces[person]
            _draw_skeleton(canvas, face, FACE_70, _FACE_SHARE, face_threshold, _FACE_LINE_TO_DISC)
    if ids and poses.ids is not None:
        for points, number in zip(poses.keypoints, poses.ids.tolist(), strict=True):
            if number >= 0:
                _write_id(canvas, points, number, threshold)
    return canvas


def _hands(poses: Poses, person: int) -> Iterator[Points]:
    """The left and the right hand of a person, if hands were looked for."""
    if poses.hands is not None:
        yield from poses.hands[person]


def _write_id(canvas: Picture, points: Points, number: int, threshold: float) -> None:
    """A person's id above the highest part seen, white with a dark edge."""
    import cv2

    seen = points[points[:, 2] > threshold, :2]
    if not len(seen):
        return
    height, width = canvas.shape[:2]
    scale = max(math.sqrt(width * height) / 1000, 0.4)
    thickness = max(1, round(2 * scale))
    text, font = str(number), cv2.FONT_HERSHEY_SIMPLEX
    (wide, high), _ = cv2.getTextSize(text, font, scale, thickness)
    x, y = np.clip(seen[seen[:, 1].argmin()], -_FARTHEST, _FARTHEST).tolist()
    left = round(min(max(x - wide / 2, 0), max(width - wide, 0)))
    bottom = round(min(max(y - high / 2, high), height - 1))
    for colour, line in (((0, 0, 0), 3 * thickness), ((255, 255, 255), thickness)):
        cv2.putText(canvas, text, (left, bottom), font, scale, colour, line, cv2.LINE_AA)


def _draw_skeleton(
    canvas: Picture,
    points: Points,
    topology: Topology,
    share: float,
    threshold: float,
    line_to_disc: float = _LINE_TO_DISC,
) -> None:
    """Lines, then discs, of one body, hand or face; points (K, 3) x, y, score, drawn in place."""
    import cv2

    seen = points[:, 2] > threshold
    if not seen.any():
        return
    height, width = canvas.shape[:2]
    extent = min(1.0, float((np.ptp(points[seen, :2], axis=0) / (width, height)).max()))
    thickness = max(math.floor(math.sqrt(width * height) * share * extent + 0.5), _THINNEST)
    line = max(1, math.floor(line_to_disc * thickness + 0.5))
    radius = (thickness // 2) + (thickness / 2 if extent > _FULL_DISCS else 0)

    at = [(_fixed_point(x), _fixed_point(y)) for x, y in points[:, :2].tolist()]
    colours = [colour[::-1] for colour in topology.colours]
    for limb, (a, b) in enumerate(topology.limbs):
        if limb not in topology.redundant and seen[a] and seen[b]:
            cv2.line(canvas, at[a], at[b], colours[b], line, cv2.LINE_AA, _SUBPIXEL_BITS)
    for part in np.flatnonzero(seen):
        disc = _fixed_point(radius)
        cv2.circle(canvas, at[part], disc, colours[part], cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed_point(pixels: float) -> int:
    """Convert a coordinate for cv2; clip extreme values so that they do not overflow."""
    return round(min(max(pixels, -_FARTHEST), _FARTHEST) * (1 << _SUBPIXEL_BITS))


def _controlnet(
    size: tuple[int, int],
    poses: Poses,
    threshold: float,
    hand_threshold: float,
    face_threshold: float,
) -> Picture:
    import cv2

    canvas = np.zeros((*size, 3), np.uint8)
    people = poses.as_topology(COCO_18)
    for person, points in enumerate(people.keypoints):
        for limb, ellipse in _ellipses(points, threshold):
            red, green, blue = (int(_LIMB_LIGHT * value) for value in _RAMP[limb])
            cv2.fillConvexPoly(canvas, ellipse, (blue, green, red))
        for part, centre in _seen(points, threshold):
            cv2.circle(canvas, centre, _STICK, _RAMP[part][::-1], cv2.FILLED)
        for hand in _hands(people, person):
            _draw_fingers(canvas, hand, hand_threshold, [hue[::-1] for hue in _HUES], (255, 0, 0))
        if people.faces is not None:
            for _, centre in _seen(people.faces[person], face_threshold):
                cv2.circle(canvas, centre, _FACE_DISC, (255, 255, 255), cv2.FILLED)
    return canvas


def _seed(canvas: Picture, poses: Poses, threshold: float, hand_threshold: float) -> Picture:
    """Draw in style "seed": every limb is blended over the previous ones, which fade."""
    import cv2

    people = poses.as_topology(COCO_18)
    # Ordered by part and limb, not by person.
    discs = [disc for points in people.keypoints for disc in _seen(points, threshold)]
    for part, centre in sorted(discs, key=lambda disc: disc[0]):
        cv2.circle(canvas, centre, _STICK, _RAMP[part], cv2.FILLED)
    ellipses = [limb for points in people.keypoints for limb in _ellipses(points, threshold)]
    for limb, outline in sorted(ellipses, key=lambda ellipse: ellipse[0]):
        painted = cv2.fillConvexPoly(canvas.copy(), outline, _RAMP[limb])
        blended = cv2.addWeighted(canvas, 1 - _LIMB_LIGHT, painted, _LIMB_LIGHT, 0)
        canvas = np.asarray(blended, np.uint8)
    for person in range(len(people)):
        for hand in _hands(people, person):
            _draw_fingers(canvas, hand, hand_threshold, list(_HUES), (0, 0, 255))
    return canvas


def _seen(points: Points, threshold: float) -> Iterator[tuple[int, tuple[int, int]]]:
    """The parts above the threshold, and the pixels they lie in."""
    at = points.tolist()
    for part in np.flatnonzero(points[:, 2] > threshold).tolist():
        yield part, (_pixel(at[part][0]), _pixel(at[part][1]))


def _ellipses(points: Points, threshold: float) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """The outlines of limbs whose parts are seen, except redundant limbs."""
    import cv2

    at = points.tolist()
    seen = (points[:, 2] > threshold).tolist()
    for limb, (a, b) in enumerate(COCO_18.limbs):
        if limb in COCO_18.redundant or not (seen[a] and seen[b]):
            continue
        (x_a, y_a, _), (x_b, y_b, _) = at[a], at[b]
        dx, dy = x_a - x_b, y_a - y_b
        x, y = (x_a + x_b) / 2, (y_a + y_b) / 2
        axes = (_pixel(math.hypot(dx, dy) / 2), _STICK)
        turn = int(math.degrees(math.atan2(dy, dx)))
        outline = cv2.ellipse2Poly((_pixel(x), _pixel(y)), axes, turn, 0, 360, 1)
        yield limb, np.asarray(outline, np.int32)


def _draw_fingers(
    canvas: Picture, points: Points, threshold: float, hues: list[Colour], disc: Colour
) -> None:
    """A hand's edges, then its points, in place."""
    import cv2

    at = dict(_seen(points, threshold))
    for edge, (a, b) in enumerate(HAND_21.limbs):
        if a in at and b in at:
            cv2.line(canvas, at[a], at[b], hues[edge], _FINGER)
    for centre in at.values():
        cv2.circle(canvas, centre, _STICK, disc, cv2.FILLED)


def _pixel(value: float) -> int:
    """Truncate a coordinate to a whole number, as the originals do, without overflow in cv2."""
    return int(min(max(value, -_FARTHEST), _FARTHEST))
