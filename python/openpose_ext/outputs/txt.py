"""People as lines of text.

    # openpose_ext 1 coco_18 640 480
    body 0.871 320.250 101.500 0.912 ...
    left_hand 0.640 ...
    right_hand 0.000 0.000 0.000 0.000 ...

The first line has the format's version, the skeleton, and the picture's width and height. Then a
line `body` a person: score, then x, y, score of every part; missing parts are zeros. Where hands
were looked for, two lines follow each, with the mean score of the points found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.outputs.files import write_whole
from openpose_ext.poses import FILLED_SCORE, Poses
from openpose_ext.topology import BODY_25, COCO_18, HAND_21, Topology

__all__ = ["format_txt", "read_txt", "write_txt"]

_HEADER = "# openpose_ext 1"
_HANDS = ("left_hand", "right_hand")
_TOPOLOGIES = {topology.name: topology for topology in (COCO_18, BODY_25)}
_STEP = 0.001  # of the three decimals


def format_txt(poses: Poses) -> str:
    """The text of `poses`, as this module's head describes it. Ids have no place in it."""
    width, height = poses.size
    return "\n".join([f"{_HEADER} {poses.topology.name} {width} {height}", *_lines(poses), ""])


def write_txt(path: str | os.PathLike[str], poses: Poses) -> None:
    """Write `poses` as text. Raises OutputError if it cannot be written."""
    write_whole(path, format_txt(poses).encode())


def read_txt(path: str | os.PathLike[str]) -> Poses:
    """The people of a file that `write_txt` wrote, to its three decimals.

    Raises SourceError, naming the file and the reason, if it is no such file.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
        return _people(lines)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SourceError(f"{path} is not text of openpose_ext: {error}") from error


def _lines(poses: Poses) -> Iterator[str]:
    keypoints = poses.keypoints.astype(np.float64)
    keypoints[..., 2] = _class_kept(keypoints[..., 2], poses.filled)
    for person in range(len(poses)):
        yield _line("body", poses.scores[person], keypoints[person])
        if poses.hands is not None:
            for kind, hand in zip(_HANDS, poses.hands[person], strict=True):
                found = hand[:, 2] > 0
                yield _line(kind, hand[found, 2].mean() if found.any() else 0.0, hand)


def _class_kept(
    scores: npt.NDArray[np.float64], filled: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Scores that three decimals do not carry across the borders of missing, filled and seen."""
    low = np.where(filled, _STEP, FILLED_SCORE + _STEP)
    high = np.where(filled, FILLED_SCORE, np.inf)
    return np.where(scores > 0, np.clip(scores, low, high), 0.0)


def _line(kind: str, score: float, points: npt.NDArray[np.floating]) -> str:
    numbers = " ".join(f"{value:.3f}" for value in points.ravel().tolist())
    return f"{kind} {score:.3f} {numbers}"


def _people(lines: list[str]) -> Poses:
    topology, size = _header(lines[0] if lines else "")
    scores: list[float] = []
    bodies: list[npt.NDArray[np.float32]] = []
    hands: list[npt.NDArray[np.float32]] = []
    expected = "body"
    for number, line in enumerate(lines[1:], start=2):
        kind, _, numbers = line.partition(" ")
        if kind == "body":
            score, body = _numbers(numbers, len(topology.parts), number)
            scores.append(score)
            bodies.append(body)
        elif kind == expected and bodies:
            hands.append(_numbers(numbers, len(HAND_21.parts), number)[1])
        else:
            raise ValueError(f"line {number} begins with {kind!r}")
        expected = {"body": _HANDS[0], _HANDS[0]: _HANDS[1]}.get(kind, "body")
    if hands and len(hands) != 2 * len(bodies):
        raise ValueError("some people lack the lines of their hands")

    keypoints = np.array(bodies, np.float32).reshape(-1, len(topology.parts), 3)
    return Poses(
        keypoints=keypoints,
        scores=np.array(scores, np.float32),
        filled=(keypoints[..., 2] > 0) & (keypoints[..., 2] <= np.float32(FILLED_SCORE)),
        topology=topology,
        size=size,
        hands=np.array(hands).reshape(-1, 2, len(HAND_21.parts), 3) if hands else None,
    )


def _header(line: str) -> tuple[Topology, tuple[int, int]]:
    name, *size = line.removeprefix(_HEADER).split() or [""]
    if not line.startswith(_HEADER + " ") or name not in _TOPOLOGIES or len(size) != 2:
        known = " or ".join(_TOPOLOGIES)
        raise ValueError(f"the first line must be `{_HEADER} TOPOLOGY WIDTH HEIGHT`, {known}")
    return _TOPOLOGIES[name], (int(size[0]), int(size[1]))


def _numbers(text: str, parts: int, line: int) -> tuple[float, npt.NDArray[np.float32]]:
    """The score and the (parts, 3) points of a line."""
    numbers = np.array(text.split(), np.float32)
    if len(numbers) != 1 + 3 * parts:
        raise ValueError(f"line {line} has {len(numbers)} numbers, not {1 + 3 * parts}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"line {line} has numbers that are not finite")
    return float(numbers[0]), numbers[1:].reshape(parts, 3)
