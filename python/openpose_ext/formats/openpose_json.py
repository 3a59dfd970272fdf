"""OpenPose's JSON, version 1.3, as `--write_json` writes it and other tools read it.

A file is one line without spaces. Numbers have six significant digits and no trailing zeros, as
OpenPose prints them. Source: OpenPose's output documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Floats, Size
from openpose_ext.types.topology import BODY_25, COCO_18, FACE_68, FACE_70, HAND_21

__all__ = ["LARGEST", "Decoded", "decode", "encode"]

_BODY = "pose_keypoints_2d"
_FACE = "face_keypoints_2d"
_HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
_ALWAYS_EMPTY = (
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
)
_VERSION = 1.3
_NO_ID = -1
# Pixels of a picture that people are drawn on: 800 MB. A file may come from a stranger.
LARGEST = 1 << 28

# Files do not name the skeleton, so the number of parts identifies it.
_KNOWN = (len(COCO_18.parts), len(BODY_25.parts))


def encode(
    keypoints: Floats,
    parts: Sequence[str],
    *,
    hands: Floats | None = None,
    faces: Floats | None = None,
    ids: npt.NDArray[np.int64] | None = None,
    candidates: Mapping[str, Floats] | None = None,
) -> dict[str, Any]:
    """People as OpenPose's JSON 1.3: `json.dumps` of it is what OpenPose writes.

    keypoints   (P, K, 3): x, y in pixels of the picture and score; missing parts are 0, 0, 0
    parts       K names
    hands       (P, 2, 21, 3), the left hand first, or None if hands were not looked for
    faces       (P, 70, 3), likewise. If hands or faces were looked for, the lists of both are
                written, with zeros for missing points, because readers count on that; otherwise
                they are empty
    ids         (P,), or None: every `person_id` is -1
    candidates  contents of `part_candidates`, if wanted: for each part, all peaks, assigned to a
                person or not, (n, 3) x, y, score. Names unknown to the skeleton are left out;
                parts without an entry are empty.

    Numbers are rounded to six significant digits; whole numbers become ints. The format cannot
    store person scores, the picture size or the skeleton's name.

    Raises ValueError if a coordinate or score is not finite, which JSON cannot express.
    """
    people = []
    if hands is not None or faces is not None:
        count = len(keypoints)
        hands = np.zeros((count, 2, len(HAND_21.parts), 3), np.float32) if hands is None else hands
        faces = np.zeros((count, len(FACE_70.parts), 3), np.float32) if faces is None else faces
    for person in range(len(keypoints)):
        left, right = ([], []) if hands is None else map(_flat, hands[person])
        people.append(
            {
                "person_id": [_NO_ID if ids is None else int(ids[person])],
                _BODY: _flat(keypoints[person]),
                _FACE: [] if faces is None else _flat(faces[person]),
                _HANDS[0]: left,
                _HANDS[1]: right,
                **{key: [] for key in _ALWAYS_EMPTY},
            }
        )
    content: dict[str, Any] = {"version": _VERSION, "people": people}
    if candidates is not None:
        none = np.zeros((0, 3), np.float32)
        by_part = {str(k): _flat(candidates.get(part, none)) for k, part in enumerate(parts)}
        content["part_candidates"] = [by_part]
    return content


class Decoded(NamedTuple):
    """The people of a file, in its order.

    keypoints  (P, K, 3): x, y, score; K is 18, 25, the number of a custom skeleton, or 0 if
               nobody has a body
    hands      (P, 2, 21, 3), or None if there are no such lists, or only zeros beside a face
    faces      (P, 70, 3), or None if nobody has a face
    ids        (P,), -1 for people without an id, or None if nobody has one
    canvas     (width, height) of the picture, or None; OpenPose's own files do not store it
    """

    keypoints: Floats
    hands: Floats | None
    faces: Floats | None
    ids: npt.NDArray[np.int64] | None
    canvas: Size | None


def decode(content: object, *, parts: int = _KNOWN[0]) -> Decoded:
    """Decode the people of OpenPose's JSON, as `json.loads` returns it.

    parts  number of parts of a custom skeleton, accepted besides COCO_18 and BODY_25

    Reads versions 1.0 to 1.3, the key names of older files, and the dialect of ControlNet's
    editors. Faces of 68 points have no pupils. 3-D points and candidates are ignored.

    Raises ValueError, with the reason, for anything else.
    """
    if isinstance(content, list) and len(content) == 1:
        (content,) = content  # ControlNet's: a list of frames
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise ValueError("it needs a list `people` of objects")
    assert isinstance(content, dict)
    canvas = _canvas(content)
    bodies = [_points(person, _BODY, canvas) for person in people]
    hands = [_points(person, key, canvas) for person in people for key in _HANDS]
    for hand in hands:
        if len(hand) not in (0, len(HAND_21.parts)):
            raise ValueError(f"a hand has {len(hand)} points, not {len(HAND_21.parts)}")
    faces = [_points(person, _FACE, canvas) for person in people]
    for face in faces:
        if len(face) not in (0, len(FACE_68.parts), len(FACE_70.parts)):
            raise ValueError(f"a face has {len(face)} points, not {len(FACE_70.parts)}")
    ids = np.array([_person_id(person) for person in people], np.int64)
    return Decoded(
        keypoints=_stacked(bodies, _part_count({len(body) for body in bodies if len(body)}, parts)),
        hands=_stacked(hands, len(HAND_21.parts)).reshape(-1, 2, len(HAND_21.parts), 3)
        if any(len(hand) for hand in hands) and (_is_any(hands) or not _is_any(faces))
        else None,
        faces=_stacked(map(_as_70, faces), len(FACE_70.parts)) if _is_any(faces) else None,
        ids=ids if (ids != _NO_ID).any() else None,
        canvas=canvas,
    )


def _canvas(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) as stored in ControlNet's files, or None."""
    told = content.get("canvas_width"), content.get("canvas_height")
    if told == (None, None):
        return None
    sides = [s for s in told if isinstance(s, int) and 0 < s <= LARGEST]
    if len(sides) < 2 or sides[0] * sides[1] > LARGEST:
        width, height = (repr(side)[:20] for side in told)
        raise ValueError(f"its canvas is {width} x {height}")
    return sides[0], sides[1]


def _flat(points: npt.NDArray[np.float32]) -> list[float]:
    """x, y, score, x, ... to six significant digits; whole numbers as int, written without .0"""
    if not np.isfinite(points).all():
        raise ValueError("keypoints must be finite to be written as JSON")
    rounded = [float(f"{value:.6g}") for value in points.ravel().tolist()]
    return [int(value) if value.is_integer() else value for value in rounded]


def _points(
    person: Mapping[str, Any], key: str, canvas: tuple[int, int] | None
) -> npt.NDArray[np.float32]:
    """(n, 3) of one group; n = 0 if it is absent, null or empty. Missing points are 0, 0, 0.

    With a canvas, a group whose coordinates are all at most 1 is relative to the canvas size, as
    ControlNet's readers interpret it.
    """
    # Before version 1.0 the keys had no `_2d`.
    listed = person.get(key, person.get(key.removesuffix("_2d"))) or []
    try:
        points = np.asarray(listed, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key} is not a list of numbers") from error
    if points.ndim != 1 or points.size % 3 or not np.isfinite(points).all():
        raise ValueError(f"{key} is not a flat list x, y, score, ... of finite numbers")
    points = points.reshape(-1, 3)
    points[points[:, 2] <= 0] = 0
    if canvas is not None and (np.abs(points[:, :2]) <= 1).all():
        points[:, :2] *= canvas
    return points


def _part_count(counts: set[int], own: int) -> int:
    """The number of parts of each person; 0 if nobody has a body."""
    if not counts:
        return 0
    if len(counts) > 1 or not counts <= {*_KNOWN, own}:
        parts = " and ".join(str(count) for count in sorted(counts))
        raise ValueError(
            f"its people have {parts} parts; 18 (COCO) or 25 (BODY_25) are read, and as many "
            "as the skeleton given as `topology` has"
        )
    return counts.pop()


def _stacked(groups: Iterable[npt.NDArray[np.float32]], parts: int) -> npt.NDArray[np.float32]:
    """(n, parts, 3); empty groups become missing parts."""
    missing = np.zeros((parts, 3), np.float32)
    filled = [group if len(group) else missing for group in groups]
    return np.stack(filled) if filled else np.zeros((0, parts, 3), np.float32)


def _is_any(groups: Iterable[npt.NDArray[np.float32]]) -> bool:
    """Whether at least one point is present."""
    return any(group.any() for group in groups)


def _as_70(face: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Add missing pupils to a face of 68 points; return other faces unchanged."""
    if len(face) != len(FACE_68.parts):
        return face
    return np.concatenate([face, np.zeros((2, 3), np.float32)])


def _person_id(person: Mapping[str, Any]) -> int:
    listed = person.get("person_id", [_NO_ID])
    value = listed[0] if isinstance(listed, list) and listed else listed
    if isinstance(value, bool) or not isinstance(value, int):
        return _NO_ID
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("a person_id has more than 64 bits")
    return value
