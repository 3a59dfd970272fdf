"""People as lines of text.

    # openpose_ext 1 coco_18 640 480
    body 0.871 320.250 101.500 0.912 ...
    left_hand 0.640 ...
    right_hand 0.000 0.000 0.000 0.000 ...

The first line has the format's version, the skeleton, and the picture's width and height. Each
person has a line `body`: the person's score, then x, y, score of every part; missing parts are
zeros. If hands were looked for, two lines follow it, and if faces were, a line `face`; their first
number is the mean score of the points found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Floats, Size
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import BODY_25, COCO_18, FACE_70, HAND_21, Topology

__all__ = ["Decoded", "decode", "encode"]

_HEADER = "# openpose_ext 1"
_HANDS = ("left_hand", "right_hand")
_FACE = "face"
_TOPOLOGIES = {topology.name: topology for topology in (COCO_18, BODY_25)}
# The kinds of lines that may follow a kind, besides another body.
_FOLLOWING = {
    "body": (_HANDS[0], _FACE),
    _HANDS[0]: (_HANDS[1],),
    _HANDS[1]: (_FACE,),
    _FACE: (),
}
_STEP = 0.001  # the smallest difference that three decimals show


def encode(
    keypoints: Floats,
    scores: Floats,
    filled: npt.NDArray[np.bool_],
    *,
    topology: Topology,
    size: Size,
    hands: Floats | None = None,
    faces: Floats | None = None,
) -> str:
    """Encode people in the format described above. Ids cannot be stored.

    keypoints  (P, K, 3): x, y in the picture, and score
    scores     (P,)
    filled     (P, K): parts that were filled, not seen; three decimals keep both apart
    topology   the skeleton, whose name is written
    size       (width, height) of the picture
    hands      (P, 2, 21, 3), the left hand first, or None
    faces      (P, 70, 3), or None

    Raises ValueError if the name of a custom skeleton cannot be written.
    """
    width, height = size
    _check_name(topology)
    points = keypoints.astype(np.float64)
    points[..., 2] = _class_kept(points[..., 2], filled)
    head = f"{_HEADER} {topology.name} {width} {height}"
    return "\n".join([head, *_lines(points, scores, hands, faces), ""])


class Decoded(NamedTuple):
    """The people of a text.

    keypoints  (P, K, 3) float32
    scores     (P,) float32
    hands      (P, 2, 21, 3) float32, or None
    faces      (P, 70, 3) float32, or None
    topology   the skeleton
    size       (width, height) of the picture
    """

    keypoints: Floats
    scores: Floats
    hands: Floats | None
    faces: Floats | None
    topology: Topology
    size: Size


def decode(text: str, topology: Topology | None = None) -> Decoded:
    """Decode a text made by `encode`, which has three decimals.

    topology  a custom skeleton that the text may name besides COCO_18 and BODY_25

    Raises ValueError, with the line and the reason, for anything else.
    """
    lines = text.splitlines()
    known = _TOPOLOGIES if topology is None else _TOPOLOGIES | {topology.name: topology}
    topology, size = _header(lines[0] if lines else "", known)
    scores: list[float] = []
    bodies: list[Floats] = []
    hands: list[Floats] = []
    faces: list[Floats] = []
    expected: tuple[str, ...] = ("body",)
    for number, line in enumerate(lines[1:], start=2):
        kind, _, numbers = line.partition(" ")
        if kind == "body":
            score, body = _numbers(numbers, len(topology.parts), number)
            scores.append(score)
            bodies.append(body)
        elif kind in expected and kind == _FACE:
            faces.append(_numbers(numbers, len(FACE_70.parts), number)[1])
        elif kind in expected:
            hands.append(_numbers(numbers, len(HAND_21.parts), number)[1])
        else:
            raise ValueError(f"line {number} begins with {kind!r}")
        expected = _FOLLOWING[kind]
    if hands and len(hands) != 2 * len(bodies):
        raise ValueError("some people have no lines for their hands")
    if faces and len(faces) != len(bodies):
        raise ValueError("some people have no line for their face")
    return Decoded(
        keypoints=np.array(bodies, np.float32).reshape(-1, len(topology.parts), 3),
        scores=np.array(scores, np.float32),
        hands=np.array(hands).reshape(-1, 2, len(HAND_21.parts), 3) if hands else None,
        faces=np.array(faces) if faces else None,
        topology=topology,
        size=size,
    )


def _lines(
    keypoints: npt.NDArray[np.float64],
    scores: Floats,
    hands: Floats | None,
    faces: Floats | None,
) -> Iterator[str]:
    for person in range(len(keypoints)):
        yield _line("body", scores[person], keypoints[person])
        groups: list[tuple[str, Floats]] = []
        if hands is not None:
            groups += zip(_HANDS, hands[person], strict=True)
        if faces is not None:
            groups.append((_FACE, faces[person]))
        for kind, points in groups:
            found = points[:, 2] > 0
            yield _line(kind, points[found, 2].mean() if found.any() else 0.0, points)


def _class_kept(
    scores: npt.NDArray[np.float64], filled: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Adjust scores so that rounding to three decimals keeps missing, filled and seen parts
    apart."""
    low = np.where(filled, _STEP, FILLED_SCORE + _STEP)
    high = np.where(filled, FILLED_SCORE, np.inf)
    return np.where(scores > 0, np.clip(scores, low, high), 0.0)


def _line(kind: str, score: float, points: npt.NDArray[np.floating]) -> str:
    numbers = " ".join(f"{value:.3f}" for value in points.ravel().tolist())
    return f"{kind} {score:.3f} {numbers}"


def _check_name(topology: Topology) -> None:
    name, known = topology.name, _TOPOLOGIES.get(topology.name)
    if known is not None and known.parts != topology.parts:
        raise ValueError(f"the package has another skeleton named {name!r}; rename yours")
    if name.split() != [name]:
        raise ValueError(f"the skeleton's name must be a single word to be written, not {name!r}")


def _header(line: str, known: Mapping[str, Topology]) -> tuple[Topology, tuple[int, int]]:
    name, *size = line.removeprefix(_HEADER).split() or [""]
    if not line.startswith(_HEADER + " ") or len(size) != 2:
        raise ValueError(f"the first line must be `{_HEADER} TOPOLOGY WIDTH HEIGHT`, not {line!r}")
    if name not in known:
        raise ValueError(
            f"the first line names the skeleton {name!r}; known are {', '.join(known)}, and the "
            "one given as `topology`"
        )
    return known[name], (int(size[0]), int(size[1]))


def _numbers(text: str, parts: int, line: int) -> tuple[float, npt.NDArray[np.float32]]:
    """The score and the (parts, 3) points of a line."""
    numbers = np.array(text.split(), np.float32)
    if len(numbers) != 1 + 3 * parts:
        raise ValueError(f"line {line} has {len(numbers)} numbers, not {1 + 3 * parts}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"line {line} has numbers that are not finite")
    return float(numbers[0]), numbers[1:].reshape(parts, 3)
