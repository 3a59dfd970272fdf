"""The people of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.types.convert import parts_of
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import COCO_18, Topology

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

__all__ = ["Poses", "from_core", "owned"]

# dtype objects, because comparing an array's dtype with a scalar type takes a microsecond.
_SINGLE, _BOOL, _WHOLE = np.dtype(np.float32), np.dtype(np.bool_), np.dtype(np.int64)

A = TypeVar("A", bound=npt.NDArray[Any])


def owned(array: A) -> A:
    """Make a new array, which nobody else holds, read-only, so that `Poses` keeps it without a
    copy."""
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one picture, best first.

    All arrays are read-only. An array that could still be modified elsewhere is copied.

    keypoints  (P, K, 3) float32: x, y in pixels of the picture (pixel centres at integers) and a
               score; a missing part is 0, 0, 0. Seen parts score in (0.05, 1], parts that were
               filled in (0, 0.05].
    scores     (P,) float32, higher is better, comparable across pictures
    filled     (P, K) bool: parts that were not seen as peaks; the decoder followed them along the
               fields, or `bridged` them
    topology   the skeleton: K parts
    size       (width, height) of the picture; (0, 0) if unknown, as in some files
    hands      (P, 2, 21, 3) float32, [:, 0] the person's left hand, or None
    faces      (P, 70, 3) float32, FACE_70, or None
    ids        (P,) int64, -1 for people without one; or None
    timings    seconds spent in each stage
    bridged    (P, K) bool: of `filled`, the parts that smoothing put between frames in which they
               were seen; None where nothing was smoothed

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
    faces: npt.NDArray[np.float32] | None = None
    bridged: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        people, parts = len(self.keypoints), len(self.topology.parts)
        for name, shape, dtype in (
            ("keypoints", (people, parts, 3), _SINGLE),
            ("scores", (people,), _SINGLE),
            ("filled", (people, parts), _BOOL),
            ("hands", (people, 2, 21, 3), _SINGLE),
            ("faces", (people, 70, 3), _SINGLE),
            ("ids", (people,), _WHOLE),
            ("bridged", (people, parts), _BOOL),
        ):
            array = getattr(self, name)
            if array is None and name in ("hands", "faces", "ids", "bridged"):
                continue
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}")
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {shape} {dtype}, not {array.shape} {array.dtype} "
                    f"({people} people, topology {self.topology.name})"
                )
            if not _is_fixed(array):
                object.__setattr__(self, name, owned(array.copy()))
        if self.timings:
            object.__setattr__(self, "timings", dict(self.timings))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()  # arrays leave a pickle writable

    @classmethod
    def empty(cls, size: tuple[int, int], topology: Topology = COCO_18) -> Poses:
        """No people, in a picture of (width, height)."""
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
        """Select people; a single index also returns `Poses`, with one person."""
        if isinstance(people, (int, np.integer)):
            if not -len(self) <= people < len(self):
                raise IndexError(f"there is no person {people}: only {len(self)} were found")
            people = [int(people)]
        if not isinstance(people, slice):
            people = np.asarray(people)
            if people.size == 0:
                people = people.astype(np.intp)
        chosen: dict[str, Any] = {
            f.name: owned(value[people])
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **chosen)

    def __repr__(self) -> str:
        width, height = self.size
        return f"Poses({len(self)} people, {self.topology.name}, {width}x{height})"

    def allclose(self, other: Poses, *, pixels: float = 1e-3, score: float = 1e-4) -> bool:
        """Whether both hold the same people in the same order, within `pixels` and `score`.

        Timings are not compared, nor which parts were `bridged`.
        """
        if self.topology != other.topology or self.size != other.size or len(self) != len(other):
            return False
        if (self.ids is None) != (other.ids is None):
            return False
        points = [(self.keypoints, other.keypoints)]
        for name in ("hands", "faces"):
            mine, others = getattr(self, name), getattr(other, name)
            if (mine is None) != (others is None):
                return False
            if mine is not None:
                points.append((mine, others))
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
        """Convert the people to another skeleton; parts are matched by name.

        BODY_25's MidHip is the mean of both hips (if both were found), with the lower of their
        scores; parts that this skeleton lacks (feet) are missing. Person scores, hands, faces and
        ids are kept.

        Raises ValueError if the skeletons share no part.
        """
        if topology == self.topology:
            return self
        keypoints, filled = parts_of(self.keypoints, self.filled, self.topology, topology)
        bridged = self.bridged
        if bridged is not None:
            _, bridged = parts_of(self.keypoints, bridged, self.topology, topology)
        return replace(self, keypoints=keypoints, filled=filled, topology=topology, bridged=bridged)

    def without_filled(self) -> Poses:
        """The same people without the parts that the decoder filled in: those are 0, 0, 0.

        Parts that smoothing put into a gap (`bridged`) stay.
        """
        filled = self.filled if self.bridged is None else self.filled & ~self.bridged
        if not filled.any():
            return self
        keypoints = np.where(filled[..., None], np.float32(0), self.keypoints)
        return replace(self, keypoints=owned(keypoints), filled=owned(self.filled & ~filled))

    @property
    def bodiless(self) -> npt.NDArray[np.bool_]:
        """(P,): who has no part of a body, such as a hand that was found by itself."""
        return np.asarray((self.keypoints[..., 2] <= 0).all(axis=1), np.bool_)

    def followed_by(self, others: Poses) -> Poses:
        """These people, and others of the same picture after them.

        Who has no id, where others have one, gets -1; missing hands and faces are zeros. Raises
        ValueError if the skeletons or the pictures differ.
        """
        if self.topology != others.topology or self.size != others.size:
            raise ValueError(f"{self} and {others} are not of one picture and one skeleton")
        if not len(others):
            return self
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(others, name)])
            for name in ("keypoints", "scores", "filled")
        }
        for name, shape, dtype, nothing in (
            ("hands", (2, 21, 3), _SINGLE, 0),
            ("faces", (70, 3), _SINGLE, 0),
            ("bridged", (len(self.topology.parts),), _BOOL, False),
            ("ids", (), _WHOLE, -1),
        ):
            both = [(len(one), getattr(one, name)) for one in (self, others)]
            if any(array is not None for _, array in both):
                joined[name] = np.concatenate(
                    [
                        np.full((count, *shape), nothing, dtype) if array is None else array
                        for count, array in both
                    ]
                )
        return replace(self, **{name: owned(array) for name, array in joined.items()})

    def most_prominent(self, count: int) -> Poses:
        """The `count` most prominent people (large and with high scores), in their present order.

        As OpenPose's `--number_people_max`: ranked by the score times the square root of the area
        that the seen parts span; ties go to the first. Who has no body does not count, and stays.
        """
        if count < 0:
            raise ValueError(f"count must be 0 or more, not {count}")
        if count >= len(self):
            return self
        bodiless = self.bodiless
        seen = (self.keypoints[..., 2] > FILLED_SCORE)[..., None]
        xy = self.keypoints[..., :2]
        low = np.where(seen, xy, np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen, xy, -np.inf).max(axis=1, initial=-np.inf)
        rank = self.scores * np.sqrt(np.maximum(high - low, 0).prod(axis=1))
        rank[bodiless] = -1
        best = np.argsort(-rank, kind="stable")[: min(count, int((~bodiless).sum()))]
        chosen = bodiless.copy()
        chosen[best] = True
        return self[chosen]

    def by_id(self) -> Poses:
        """The same people in the order of their ids: the first of many frames is one person.

        People without an id (-1) come last. Where nobody has one, the order stays.
        """
        if self.ids is None:
            return self
        unknown = self.ids < 0
        return self[np.lexsort((self.ids, unknown))]

    def to_openpose(
        self, *, candidates: Mapping[str, npt.NDArray[np.float32]] | None = None
    ) -> dict[str, Any]:
        """OpenPose's JSON 1.3 as a dict; see `formats.openpose_json`.

        candidates  contents of `part_candidates`, if wanted: all peaks (n, 3) of each part
        """
        from openpose_ext.formats.openpose_json import encode

        return encode(
            self.keypoints,
            self.topology.parts,
            hands=self.hands,
            faces=self.faces,
            ids=self.ids,
            candidates=candidates,
        )

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO keypoint results, one dict per person; see `formats.coco`."""
        from openpose_ext.formats.coco import encode

        return encode(
            self.keypoints,
            self.scores,
            self.topology.parts,
            image_id,
            hands=self.hands,
            faces=self.faces,
        )

    def to_pandas(
        self, source: str = "", frame: int = 0, time: float | None = None
    ) -> pd.DataFrame:
        """A tidy table, one row per part that was found; see `formats.tables` for the columns.

        Use `pandas.concat` to join the tables of several frames. Raises OutputError if pandas is
        not installed.
        """
        from openpose_ext.formats.tables import columns, data_frame

        return data_frame(
            columns(
                self.keypoints,
                self.topology.parts,
                hands=self.hands,
                faces=self.faces,
                ids=self.ids,
                source=source,
                frame=frame,
                time=time,
            )
        )

    def to_supervision(self) -> sv.KeyPoints:
        """The bodies as supervision's `KeyPoints`; see `formats.supervision`.

        Raises OutputError if supervision is not installed.
        """
        from openpose_ext.formats.supervision import encode

        return encode(self.keypoints, self.scores, self.ids)


def from_core(
    keypoints: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    filled: npt.NDArray[np.bool_],
    topology: Topology,
    size: tuple[int, int],
) -> Poses:
    """People as the C++ core gives them: read-only arrays of the right shapes.

    Nothing is checked, as the checks take a tenth of the time that a few people need to be decoded.
    """
    poses = object.__new__(Poses)
    poses.__dict__.update(
        keypoints=keypoints,
        scores=scores,
        filled=filled,
        topology=topology,
        size=size,
        hands=None,
        ids=None,
        timings={},
    )
    return poses


def _is_fixed(array: npt.NDArray[Any]) -> bool:
    """Whether an array is read-only, including every array that it is a view of."""
    while not array.flags.writeable:
        base = array.base
        if base is None:
            return True
        if not isinstance(base, np.ndarray):
            return False
        array = base
    return False
