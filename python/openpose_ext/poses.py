"""What travels between the stages: `Frame` in, `Poses` out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.topology import COCO_18, Topology

__all__ = ["FILLED_SCORE", "Frame", "Poses"]

# Scores of filled parts lie in (0, FILLED_SCORE], those of seen parts above it. It is OpenPose's
# own render threshold, so its readers, and our drawing, skip what was not seen.
FILLED_SCORE = 0.05


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture on its way through the pipeline.

    image   (H, W, 3) uint8, BGR
    source  where it comes from: a path or an address
    index   0 for a picture, the frame's number for a video
    time    seconds since the start of the source
    """

    image: npt.NDArray[np.uint8]
    source: str
    index: int = 0
    time: float = 0.0


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one picture, best first. Arrays are read-only.

    keypoints  (P, K, 3) float32: x, y in pixels of the picture (pixel centres at integers) and a
               score; a missing part is 0, 0, 0. Seen parts score in (0.05, 1], parts that were
               filled in (0, 0.05].
    scores     (P,) float32, higher is better, comparable across pictures
    filled     (P, K) bool: parts that were followed along the fields, not seen as peaks
    topology   the skeleton: K parts
    size       (width, height) of the picture
    hands      (P, 2, 21, 3) float32, [:, 0] the person's left hand, or None
    ids        (P,) int64, or None
    timings    seconds by stage

    `len`, iteration (one person at a time, as `Poses`), slices, index arrays and masks work on
    the people. Raises ValueError if the shapes disagree.
    """

    keypoints: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    filled: npt.NDArray[np.bool_]
    topology: Topology
    size: tuple[int, int]
    hands: npt.NDArray[np.float32] | None = None
    ids: npt.NDArray[np.int64] | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        people, parts = len(self.keypoints), len(self.topology.parts)
        expected = {
            "keypoints": (self.keypoints, (people, parts, 3), np.float32),
            "scores": (self.scores, (people,), np.float32),
            "filled": (self.filled, (people, parts), np.bool_),
            "hands": (self.hands, (people, 2, 21, 3), np.float32),
            "ids": (self.ids, (people,), np.int64),
        }
        for name, (array, shape, dtype) in expected.items():
            if array is None:
                continue
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {shape} {np.dtype(dtype)}, not {array.shape} {array.dtype} "
                    f"({people} people, topology {self.topology.name})"
                )
            if array.flags.writeable:
                array.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()  # arrays leave a pickle writable

    @classmethod
    def empty(cls, size: tuple[int, int], topology: Topology = COCO_18) -> Poses:
        """Nobody in a picture of (width, height)."""
        parts = len(topology.parts)
        return cls(
            keypoints=np.zeros((0, parts, 3), np.float32),
            scores=np.zeros(0, np.float32),
            filled=np.zeros((0, parts), np.bool_),
            topology=topology,
            size=size,
        )

    def __len__(self) -> int:
        return len(self.keypoints)

    def __iter__(self) -> Iterator[Poses]:
        return (self[person] for person in range(len(self)))

    def __getitem__(self, people: int | slice | npt.ArrayLike) -> Poses:
        """The chosen people; a single index gives one person, still as `Poses`."""
        if isinstance(people, (int, np.integer)):
            if not -len(self) <= people < len(self):
                raise IndexError(f"person {people} of {len(self)}")
            people = [int(people)]
        if not isinstance(people, slice):
            people = np.asarray(people)
            if people.size == 0:
                people = people.astype(np.intp)
        chosen: dict[str, Any] = {
            f.name: value[people]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **chosen)

    def __repr__(self) -> str:
        width, height = self.size
        return f"Poses({len(self)} people, {self.topology.name}, {width}x{height})"

    def allclose(self, other: Poses, *, pixels: float = 1e-3, score: float = 1e-4) -> bool:
        """The same people in the same order: coordinates within `pixels`, scores within `score`.

        Timings are not compared.
        """
        if self.topology != other.topology or self.size != other.size or len(self) != len(other):
            return False
        if (self.hands is None) != (other.hands is None):
            return False
        if (self.ids is None) != (other.ids is None):
            return False
        points = [(self.keypoints, other.keypoints)]
        if self.hands is not None and other.hands is not None:
            points.append((self.hands, other.hands))
        same_points = all(
            np.allclose(a[..., :2], b[..., :2], rtol=0, atol=pixels)
            and np.allclose(a[..., 2], b[..., 2], rtol=0, atol=score)
            for a, b in points
        )
        return bool(
            same_points
            and np.allclose(self.scores, other.scores, rtol=0, atol=score)
            and np.array_equal(self.filled, other.filled)
            and (self.ids is None or other.ids is None or np.array_equal(self.ids, other.ids))
        )

    def as_topology(self, topology: Topology) -> Poses:
        """The same people with another skeleton's parts, matched by name.

        BODY_25's MidHip is the mean of both hips where both were found, scored with the weaker;
        parts that this skeleton lacks (feet) are missing.
        """
        from openpose_ext.outputs.convert import as_topology

        return as_topology(self, topology)

    def to_openpose(self) -> dict[str, Any]:
        """OpenPose's JSON 1.3 as a dict; see `outputs.openpose_json`."""
        from openpose_ext.outputs.openpose_json import to_openpose

        return to_openpose(self)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO key point results, one dict a person; see `outputs.coco_json`."""
        from openpose_ext.outputs.coco_json import to_coco

        return to_coco(self, image_id)
