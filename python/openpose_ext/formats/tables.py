"""People as tidy tables: one row per part, the same columns in CSV, Parquet and pandas.

| column   | type    |                                                                  |
| -------- | ------- | ---------------------------------------------------------------- |
| source   | text    | path or address of the picture or video                          |
| frame    | int64   | number in the source, starting at 0                              |
| time     | float64 | seconds since the start of the source; missing for a picture     |
| person   | int64   | number in the frame, starting at 0, best first                   |
| id       | int64   | the person's id across frames; missing for people without one    |
| kind     | text    | body, left_hand, right_hand or face                              |
| part     | text    | such as RWrist; see `Topology.parts`                             |
| x, y     | float32 | pixels of the picture                                            |
| score    | float32 | above 0.05 if seen, up to 0.05 if filled                         |

Rows are ordered by frame, person, kind and part. A missing part has no row, so averages do not
include zeros. Even with identification, people who are seen only briefly have no id
(`--min_track`). With `--csv_empty_frames` a frame in which nobody was found has a row with
only `source`, `frame` and `time`.

`--csv_layout wide` writes one table per person, `<name>_person<id>.csv`, with one row per frame:
`source`, `frame`, `time`, then `Nose_x`, `Nose_y`, `Nose_score` and so on; points of hands and
faces are `left_hand_Wrist_x`, `face_Jaw0_x`. Missing values are empty. Rows go from the first to
the last frame in which the person was seen; with `--csv_empty_frames` there is one for every frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError
from openpose_ext.types.arrays import Floats
from openpose_ext.types.topology import FACE_70, HAND_21

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "KINDS", "as_text", "columns", "data_frame", "points_by_name"]

COLUMNS = ("source", "frame", "time", "person", "id", "kind", "part", "x", "y", "score")
KINDS = ("body", "left_hand", "right_hand", "face")


def columns(
    keypoints: Floats,
    parts: tuple[str, ...],
    *,
    hands: Floats | None = None,
    faces: Floats | None = None,
    ids: npt.NDArray[np.int64] | None = None,
    source: str = "",
    frame: int = 0,
    time: float | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """The rows of one frame: arrays of equal length, by column in the order of `COLUMNS`.

    keypoints  (P, K, 3): x, y, score; parts that score 0 have no row
    parts      K names
    hands      (P, 2, 21, 3), the left hand first, or None
    faces      (P, 70, 3), or None
    ids        (P,), -1 for people without an id; or None for nobody with one

    Text columns are arrays of objects; a column of missing values is an array of None. Bytes of a
    path that are not valid text are replaced.
    """
    points = keypoints
    kinds = KINDS[:1] * len(parts)
    if hands is not None:
        points = np.concatenate([points, hands[:, 0], hands[:, 1]], axis=1)
        kinds += tuple(kind for kind in KINDS[1:3] for _ in HAND_21.parts)
        parts += 2 * HAND_21.parts
    if faces is not None:
        points = np.concatenate([points, faces], axis=1)
        kinds += KINDS[3:] * len(FACE_70.parts)
        parts += FACE_70.parts
    person, part = np.nonzero(points[..., 2] > 0)
    rows = len(person)
    text = as_text(source)
    x, y, score = points[person, part].T
    return {
        "source": np.full(rows, text, object),
        "frame": np.full(rows, frame, np.int64),
        "time": np.full(rows, time, object if time is None else np.float64),
        "person": person,
        "id": _known(ids, person),
        "kind": np.array(kinds, object)[part],
        "part": np.array(parts, object)[part],
        "x": x,
        "y": y,
        "score": score,
    }


def _known(ids: npt.NDArray[np.int64] | None, person: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """The id of each row's person, None where there is none."""
    if ids is not None and (ids >= 0).all():
        return ids[person]
    found = np.full(len(person), None, object)
    if ids is not None:
        known = ids[person] >= 0
        found[known] = ids[person][known]
    return found


def as_text(path: str) -> str:
    """A path as text that can be written: bytes that are not valid UTF-8 are replaced."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def points_by_name(
    keypoints: Floats,
    parts: tuple[str, ...],
    *,
    hands: Floats | None = None,
    faces: Floats | None = None,
) -> dict[str, Floats]:
    """(P, 3) x, y, score of each point; missing ones score 0.

    A part of the body has its own name, such as `RWrist`; a point of another kind has it before
    the name: `left_hand_ThumbTip`, `face_Jaw0`. Arguments are those of `columns`.
    """
    points = {part: keypoints[:, k] for k, part in enumerate(parts)}
    for kind, names, found in (
        (KINDS[1], HAND_21.parts, None if hands is None else hands[:, 0]),
        (KINDS[2], HAND_21.parts, None if hands is None else hands[:, 1]),
        (KINDS[3], FACE_70.parts, faces),
    ):
        if found is not None:
            points |= {f"{kind}_{name}": found[:, k] for k, name in enumerate(names)}
    return points


def data_frame(columns: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """The rows as a DataFrame. A missing `time` is NaN; `id` is a nullable Int64.

    Raises OutputError if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise OutputError('tables need pandas: pip install "openpose_ext[tables]"') from error
    text = dict.fromkeys(("source", "kind", "part"), "str")
    return pd.DataFrame(columns).astype({**text, "time": "float64", "id": "Int64"})
