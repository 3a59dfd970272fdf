"""TRC, the table of markers over time that OpenSim, Pose2Sim and Sports2D read.

Five header lines are followed by one row per frame: its number, its time in seconds, and x, y and z
of each marker, separated by tabs. Missing values are empty, and a marker that was never seen has no
columns. Markers have the names of the body parts, except that MidHip is `CHip`, as in Pose2Sim.

In pixels, x goes to the right and y down, as in the picture; z is 0. In metres, x goes to the right
from the picture's left edge and y up from the ground, which is where the feet are most of the time.
The scale is the person's given height divided by the height in the picture (see
`formats.body_height`). A camera sees a projection: film from the side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.body_height import ANKLE, body_height

__all__ = ["encode", "in_metres"]

_MARKERS = {"MidHip": "CHip"}
_FEET = ("Heel", "BigToe", "SmallToe")

Doubles = npt.NDArray[np.float64]


def in_metres(
    points: Mapping[str, npt.NDArray[np.floating]], height: float
) -> dict[str, Doubles] | None:
    """Turn pixels into metres; None if the person's height in the picture cannot be measured.

    points  by part: (n, 2) x and y over time in pixels, NaN where it was not seen
    height  height of the person in metres
    """
    pixels = body_height(points)
    if pixels is None or pixels == 0:
        return None
    scale = height / pixels
    ground = _ground(points, pixels)
    flip = np.array([scale, -scale])
    return {part: (xy.astype(np.float64) - (0, ground)) * flip for part, xy in points.items()}


def _ground(points: Mapping[str, npt.NDArray[np.floating]], pixels: float) -> float:
    """The y of the ground: the median over time of the lowest point of the feet."""
    feet = [points[side + part] for side in "RL" for part in _FEET if side + part in points]
    below = 0.0
    if not feet or np.isnan(feet).all():
        feet = [points["RAnkle"], points["LAnkle"]]
        below = ANKLE * pixels
    levels = np.stack(feet)[..., 1]
    seen = ~np.isnan(levels).all(axis=0)
    return float(np.median(np.nanmax(levels[:, seen], axis=0))) + below


def encode(
    name: str,
    numbers: Sequence[int],
    times: Sequence[float],
    points: Mapping[str, npt.NDArray[np.floating]],
    *,
    rate: float,
    unit: str,
) -> Iterator[str]:
    """The lines of a file, each with its line end.

    name     name of the file
    numbers  the n frame numbers
    times    the n times in seconds
    points   by part: (n, 2) x and y over time, NaN where it was not seen
    rate     frames per second
    unit     unit of the points, such as "m" or "px"
    """
    seen = {part: xy for part, xy in points.items() if not np.isnan(xy).all()}
    count = len(numbers)
    first = numbers[0] if count else 0
    yield f"PathFileType\t4\t(X/Y/Z)\t{name}\n"
    yield (
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames\n"
    )
    rates = _number(rate)
    yield f"{rates}\t{rates}\t{count}\t{len(seen)}\t{unit}\t{rates}\t{first}\t{count}\n"
    markers = (_MARKERS.get(part, part) for part in seen)
    yield "Frame#\tTime\t" + "".join(f"{marker}\t\t\t" for marker in markers) + "\n"
    yield "\t\t" + "".join(f"X{k}\tY{k}\tZ{k}\t" for k in range(1, len(seen) + 1)) + "\n"
    for row, (number, time) in enumerate(zip(numbers, times, strict=True)):
        cells = [str(number), _number(time)]
        for xy in seen.values():
            x, y = xy[row]
            cells += 3 * [""] if np.isnan(x) else [f"{x:.5f}", f"{y:.5f}", "0"]
        yield "\t".join(cells) + "\n"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
