"""OpenPose's JSON, version 1.3: what `--write_json` writes, and what other tools read.

A file is one line without spaces. Numbers have six significant digits and no trailing zeros, as
OpenPose prints them. Source: OpenPose's output documentation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.outputs.files import write_whole
from openpose_ext.poses import FILLED_SCORE, Poses
from openpose_ext.topology import BODY_25, COCO_18, HAND_21, Topology

__all__ = ["openpose_bytes", "read_openpose", "to_openpose", "write_openpose"]

_BODY = "pose_keypoints_2d"
_HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
_ALWAYS_EMPTY = (
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
)
_VERSION = 1.3
_NO_ID = -1
_LARGEST_SIDE = 1 << 24  # pixels; whole pixels are exact in float32 up to here


def to_openpose(
    poses: Poses, *, candidates: Mapping[str, npt.NDArray[np.float32]] | None = None
) -> dict[str, Any]:
    """The people as OpenPose's JSON 1.3: `json.dumps` of it is what OpenPose writes.

    Key points are flat lists x, y, score in pixels of the picture, missing parts 0, 0, 0; numbers
    are rounded to six significant digits, and whole ones are ints. Without hands their lists are
    empty. The format has no place for person scores, picture size and skeleton's name.

    candidates  what `part_candidates` is to hold, if anything: by part, all peaks that were found,
                in anyone or not, (n, 3) x, y, score. Names that the skeleton lacks are left out,
                names that are lacking are empty.

    Raises ValueError if a coordinate or score is not finite: JSON has no word for it.
    """
    people = []
    for person in range(len(poses)):
        left, right = ([], []) if poses.hands is None else map(_flat, poses.hands[person])
        people.append(
            {
                "person_id": [_NO_ID if poses.ids is None else int(poses.ids[person])],
                _BODY: _flat(poses.keypoints[person]),
                "face_keypoints_2d": [],
                _HANDS[0]: left,
                _HANDS[1]: right,
                **{key: [] for key in _ALWAYS_EMPTY},
            }
        )
    content: dict[str, Any] = {"version": _VERSION, "people": people}
    if candidates is not None:
        none = np.zeros((0, 3), np.float32)
        parts = enumerate(poses.topology.parts)
        content["part_candidates"] = [{str(k): _flat(candidates.get(p, none)) for k, p in parts}]
    return content


def write_openpose(
    path: str | os.PathLike[str],
    poses: Poses,
    *,
    candidates: Mapping[str, npt.NDArray[np.float32]] | None = None,
) -> None:
    """Write `to_openpose` as a file. Raises OutputError if it cannot be written."""
    write_whole(path, openpose_bytes(poses, candidates=candidates))


def openpose_bytes(
    poses: Poses, *, candidates: Mapping[str, npt.NDArray[np.float32]] | None = None
) -> bytes:
    """`to_openpose` as the content of a file."""
    content = to_openpose(poses, candidates=candidates)
    return json.dumps(content, separators=(",", ":")).encode()


def read_openpose(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    topology: Topology = COCO_18,
) -> Poses:
    """The people of an OpenPose JSON file, in the file's order.

    Versions 1.0 to 1.3 are read, the key names of still older files, and the dialect of
    ControlNet's editors. 18 parts are COCO_18, 25 are BODY_25. Faces, 3-D points and candidates
    are not kept.

    size      (width, height) of the picture. OpenPose's files do not tell it, ControlNet's do;
              where it is neither given nor told, `Poses.size` is (0, 0).
    topology  the skeleton to report where the file has no body to count the parts of

    The file has no person scores: `scores` is the mean score of the parts found. Parts that score
    up to 0.05 are marked as filled. `ids` is None if no person has one, `hands` if none has hands.

    Raises SourceError, naming the file and the reason, if it is no such file.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8-sig"))
        return _people(content, size, topology)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not OpenPose JSON: {error}") from error


def _people(content: Any, size: tuple[int, int] | None, topology: Topology) -> Poses:
    if isinstance(content, list) and len(content) == 1:
        (content,) = content  # ControlNet's: a list of frames
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise ValueError("it has no list `people` of objects")
    canvas = _canvas(content)
    bodies = [_points(person, _BODY, canvas) for person in people]
    hands = [[_points(person, key, canvas) for key in _HANDS] for person in people]
    topology = _topology({len(body) for body in bodies if len(body)}, topology)
    for hand in (hand for pair in hands for hand in pair):
        if len(hand) not in (0, len(HAND_21.parts)):
            raise ValueError(f"a hand has {len(hand)} points, not {len(HAND_21.parts)}")

    keypoints = _stacked(bodies, len(topology.parts))
    flat_hands = _stacked((hand for pair in hands for hand in pair), len(HAND_21.parts))
    ids = np.array([_person_id(person) for person in people], np.int64)
    scores = keypoints[..., 2]
    found = scores > 0
    return Poses(
        keypoints=keypoints,
        scores=scores.sum(axis=1) / np.maximum(found.sum(axis=1), 1).astype(np.float32),
        filled=found & (scores <= np.float32(FILLED_SCORE)),
        topology=topology,
        size=size or canvas or (0, 0),
        hands=flat_hands.reshape(-1, 2, len(HAND_21.parts), 3)
        if any(len(hand) for pair in hands for hand in pair)
        else None,
        ids=ids if (ids != _NO_ID).any() else None,
    )


def _canvas(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) that ControlNet's files tell, None if they do not."""
    told = content.get("canvas_width"), content.get("canvas_height")
    if told == (None, None):
        return None
    sides = [s for s in told if isinstance(s, int) and 0 < s < _LARGEST_SIDE]
    if len(sides) < 2:
        raise ValueError(f"its canvas is {told[0]} x {told[1]}")
    return sides[0], sides[1]


def _flat(points: npt.NDArray[np.float32]) -> list[float]:
    """x, y, score, x, ... to six significant digits; whole numbers as int, written without .0"""
    if not np.isfinite(points).all():
        raise ValueError("key points must be finite to be written as JSON")
    rounded = [float(f"{value:.6g}") for value in points.ravel().tolist()]
    return [int(value) if value.is_integer() else value for value in rounded]


def _points(
    person: Mapping[str, Any], key: str, canvas: tuple[int, int] | None
) -> npt.NDArray[np.float32]:
    """(n, 3) of one group; n = 0 if it is absent, null or empty. Missing points are 0, 0, 0.

    On a canvas, a group of which no point passes 1 is in shares of the sides, as its readers have
    it.
    """
    # Before version 1.0 the keys had no `_2d`.
    listed = person.get(key, person.get(key.removesuffix("_2d"))) or []
    try:
        points = np.asarray(listed, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} is not a list of numbers") from error
    if points.ndim != 1 or points.size % 3 or not np.isfinite(points).all():
        raise ValueError(f"{key} is not a flat list x, y, score, ... of finite numbers")
    points = points.reshape(-1, 3)
    points[points[:, 2] <= 0] = 0
    if canvas is not None and (np.abs(points[:, :2]) <= 1).all():
        points[:, :2] *= canvas
    return points


def _topology(counts: set[int], default: Topology) -> Topology:
    known = {len(topology.parts): topology for topology in (COCO_18, BODY_25)}
    if not counts:
        return default
    if len(counts) > 1 or not counts <= known.keys():
        parts = " and ".join(str(count) for count in sorted(counts))
        raise ValueError(f"its people have {parts} parts; 18 (COCO) or 25 (BODY_25) are read")
    return known[counts.pop()]


def _stacked(groups: Iterable[npt.NDArray[np.float32]], parts: int) -> npt.NDArray[np.float32]:
    """(n, parts, 3), empty groups as missing."""
    missing = np.zeros((parts, 3), np.float32)
    filled = [group if len(group) else missing for group in groups]
    return np.stack(filled) if filled else np.zeros((0, parts, 3), np.float32)


def _person_id(person: Mapping[str, Any]) -> int:
    listed = person.get("person_id", [_NO_ID])
    value = listed[0] if isinstance(listed, list) and listed else listed
    if isinstance(value, bool) or not isinstance(value, int):
        return _NO_ID
    return value
