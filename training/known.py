"""What is known about the people of a picture, and packs of such pictures.

A pack is a zip file of JPEG pictures with `known.jsonl`, a line a picture. `body_data.py` writes
packs; the training and the calibration read them.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from layout import PARTS

from openpose_ext.types.topology import COCO_18

__all__ = [
    "ABSENT",
    "FROM_COCO",
    "THERE",
    "UNKNOWN",
    "Known",
    "Person",
    "from_coco",
    "held_out",
    "person",
    "read_pack",
    "write_pack",
]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Box = Sequence[float]

# Third value of a point: whether the part is there.
UNKNOWN, ABSENT, THERE = -1.0, 0.0, 1.0

# COCO's place of each part of COCO_18; the neck is between the shoulders.
FROM_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)

KNOWN = "known.jsonl"
HELD_OUT = 5  # every fifth labelled picture


@dataclass(frozen=True, eq=False)
class Person:
    """points (18, 3): x, y in pixels and UNKNOWN, ABSENT or THERE; box x, y, width, height."""

    points: Floats
    box: Floats


@dataclass(frozen=True, eq=False)
class Known:
    """A picture: who is in it, and the places (x, y, width, height) where anything may be.

    labelled  people drew the points, not a network
    """

    name: str
    jpeg: bytes
    people: tuple[Person, ...]
    unknown: Floats
    labelled: bool

    @property
    def image(self) -> Image:
        """(height, width, 3) BGR."""
        return cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)


def held_out(name: str) -> bool:
    """Whether a labelled picture is kept from training: its name alone decides."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def person(points: Floats, box: Box) -> Person:
    return Person(np.asarray(points, np.float32), np.asarray(box, np.float32))


def from_coco(keypoints: Sequence[float]) -> Floats:
    """The 18 points of COCO's 17; the neck is there if both shoulders are."""
    labelled = np.asarray(keypoints, np.float32).reshape(17, 3)
    points = labelled[list(FROM_COCO)]
    points[:, 2] = np.where(points[:, 2] > 0, THERE, ABSENT)
    neck, *shoulders = (COCO_18.parts.index(name) for name in ("Neck", "RShoulder", "LShoulder"))
    points[neck, :2] = points[shoulders, :2].mean(axis=0)
    points[neck, 2] = points[shoulders, 2].min()
    return points


def write_pack(file: Path, pictures: Iterable[Known]) -> None:
    """Write a pack in one go: it appears when it is complete."""
    part = file.with_suffix(".part")
    lines = []
    with zipfile.ZipFile(part, "w") as pack:
        for known in pictures:
            pack.writestr(known.name, known.jpeg)
            people = [
                {"points": _rounded(one.points), "box": _rounded(one.box)} for one in known.people
            ]
            line = {
                "picture": known.name,
                "labelled": known.labelled,
                "people": people,
                "unknown": _rounded(known.unknown),
            }
            lines.append(json.dumps(line))
        pack.writestr(KNOWN, "\n".join(lines), zipfile.ZIP_DEFLATED)
    part.rename(file)


def read_pack(file: Path) -> Iterator[Known]:
    with zipfile.ZipFile(file) as pack:
        for line in pack.read(KNOWN).decode().splitlines():
            row: Mapping[str, Any] = json.loads(line)
            people = tuple(person(one["points"], one["box"]) for one in row["people"])
            for one in people:
                if one.points.shape != (PARTS, 3):
                    raise ValueError(f"{file}: {row['picture']} has points {one.points.shape}")
            unknown = np.array(row["unknown"], np.float32).reshape(-1, 4)
            yield Known(row["picture"], pack.read(row["picture"]), people, unknown, row["labelled"])


def _rounded(values: Floats) -> Any:
    return np.round(values.astype(float), 1).tolist()
