"""COCO key point results, as COCO's evaluation reads them.

A file of results is a list of objects, one a person; see `to_coco`. It knows pictures by number
alone, so a file `<stem>_images.json` stands beside it: `{"images": [{"id", "file_name", "width",
"height"}, ...]}`, as in COCO's annotations; frames of a video have `frame` and `time`, too. The
schemas are `schemas/coco_results.json` and `schemas/coco_images.json`.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from openpose_ext.outputs.files import FrameWriter, PartFile
from openpose_ext.poses import Frame, Poses

__all__ = ["COCO_PARTS", "FOOT_PARTS", "CocoWriter", "to_coco"]

# COCO's 17 parts, in its order, by our names. Neck, MidHip and feet are not among them.
COCO_PARTS = (
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow",
    "LWrist", "RWrist", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
)  # fmt: skip

# COCO-WholeBody's feet, in its order, by our names.
FOOT_PARTS = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
_FACE_POINTS = 68  # of COCO-WholeBody; none is looked for

_PERSON = 1

_LARGEST_ID = 2**53  # whole numbers up to here are the same in every reader of JSON


class CocoWriter(FrameWriter):
    """Writes results and the list of their pictures.

    A picture's id is the last number in its name, as in OpenPose (COCO's own pictures are called
    by their ids), and a video frame's its number. Where a name has no number, or two would share
    an id, it is one above all ids before it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._images = PartFile(self.path.with_name(f"{self.path.stem}_images.json"))
        self._ids: set[int] = set()
        self._next_id = 1
        self._empty = True
        with self._file.failing():
            self._results = self._file.part.open("wb")
            self._results.write(b"[")
            self._pictures = self._images.part.open("wb")
            self._pictures.write(b'{"images":[')

    def _write(self, frame: Frame, poses: Poses) -> None:
        width, height = frame.size
        image_id = self._image_id(frame)
        image = {"id": image_id, "file_name": frame.source, "width": width, "height": height}
        if frame.time is not None:
            image |= {"frame": frame.index, "time": frame.time}
        _append(self._pictures, image, first=len(self._ids) == 1)
        for result in to_coco(poses, image_id):
            _append(self._results, result, first=self._empty)
            self._empty = False

    def _finish(self) -> None:
        self._results.write(b"\n]\n")
        self._results.close()
        self._pictures.write(b"\n]}\n")
        self._pictures.close()
        self._images.appear()

    def _release(self) -> None:
        with closing(self._pictures):
            self._results.close()

    def discard(self) -> None:
        super().discard()
        self._images.discard()

    def _image_id(self, frame: Frame) -> int:
        if frame.time is not None:
            image_id = frame.index
        else:
            numbers = re.findall(r"[0-9]+", Path(frame.source).stem)
            image_id = int(numbers[-1]) if numbers else self._next_id
        if image_id in self._ids or image_id > _LARGEST_ID:
            image_id = self._next_id
        self._ids.add(image_id)
        self._next_id = max(self._next_id, image_id + 1)
        return image_id


def _append(file: IO[bytes], entry: dict[str, Any], *, first: bool) -> None:
    """Another entry of a list, on a line of its own."""
    file.write(b"\n" if first else b",\n")
    file.write(json.dumps(entry, separators=(",", ":")).encode())


def to_coco(poses: Poses, image_id: int) -> list[dict[str, Any]]:
    """One result a person: `image_id`, `category_id` 1, `keypoints` 17 * (x, y, v), `score`.

    Found parts, filled ones among them, have v = 1, missing ones are 0, 0, 0. Coordinates are
    pixels with pixel centres at integers, to a hundredth. A person with none of the 17 parts is
    left out. Keys of COCO-WholeBody stand beside: of a skeleton with feet `foot_kpts` 6 * (x, y,
    score); where hands were looked for that, too, `lefthand_kpts` and `righthand_kpts` 21 * (x, y,
    score), and `face_kpts` zeros.

    Raises ValueError if the skeleton lacks one of the 17 parts.
    """
    names = poses.topology.parts
    lacking = [name for name in COCO_PARTS if name not in names]
    if lacking:
        raise ValueError(f"topology {poses.topology.name} has no {lacking[0]}, which COCO needs")
    points = poses.keypoints[:, [names.index(name) for name in COCO_PARTS]].astype(np.float64)
    found = points[..., 2] > 0
    points[..., 2] = found
    points[~found] = 0
    return [
        {
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": person.round(2).ravel().tolist(),
            "score": float(score),
            **_whole_body(poses, index),
        }
        for index, (person, score, seen) in enumerate(zip(points, poses.scores, found, strict=True))
        if seen.any()
    ]


def _whole_body(poses: Poses, person: int) -> dict[str, list[float]]:
    """What COCO-WholeBody has beside the body: feet, and with hands all of it."""
    names = poses.topology.parts
    if poses.hands is None and not {*FOOT_PARTS} & {*names}:
        return {}
    feet = np.zeros((len(FOOT_PARTS), 3))
    for row, name in enumerate(FOOT_PARTS):
        if name in names:
            feet[row] = poses.keypoints[person, names.index(name)]
    if poses.hands is None:
        return {"foot_kpts": _flat(feet)}
    left, right = poses.hands[person]
    return {
        "foot_kpts": _flat(feet),
        "face_kpts": [0.0] * (3 * _FACE_POINTS),
        "lefthand_kpts": _flat(left),
        "righthand_kpts": _flat(right),
    }


def _flat(points: npt.NDArray[np.floating]) -> list[float]:
    """x, y to a hundredth of a pixel and the score to a thousandth, point after point."""
    rounded = points.astype(np.float64)
    rounded[:, :2] = rounded[:, :2].round(2)
    rounded[:, 2] = rounded[:, 2].round(3)
    return [float(value) for value in rounded.ravel()]
