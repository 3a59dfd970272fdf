"""The figures of the pages, drawn by the package itself when the pages are built.

Skeletons with the number of each part, and one picture at every stage on its way to people.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from sphinx.application import Sphinx

import openpose_ext as op

Picture = npt.NDArray[np.uint8]

_INK, _WHITE = (60, 60, 60), (255, 255, 255)

# Where the parts of a standing person who faces us lie, in hundredths of the figure's height. The
# person's right is on our left.
_STANCE = {
    "Nose": (0, 10), "Neck": (0, 22), "REye": (-3, 7), "LEye": (3, 7), "REar": (-6, 9),
    "LEar": (6, 9), "RShoulder": (-12, 22), "LShoulder": (12, 22), "RElbow": (-19, 37),
    "LElbow": (19, 37), "RWrist": (-24, 51), "LWrist": (24, 51), "MidHip": (0, 52),
    "RHip": (-7, 52), "LHip": (7, 52), "RKnee": (-9, 71), "LKnee": (9, 71), "RAnkle": (-10, 89),
    "LAnkle": (10, 89), "RHeel": (-7, 94), "LHeel": (7, 94), "RBigToe": (-14, 97),
    "LBigToe": (14, 97), "RSmallToe": (-20, 94), "LSmallToe": (20, 94),
}  # fmt: skip

# A right hand seen from its palm, alike: the wrist, then thumb to little finger, root to tip.
_HAND = (
    (0, 95), (-16, 82), (-27, 68), (-35, 56), (-43, 46), (-13, 50), (-16, 32), (-18, 20),
    (-19, 8), (0, 47), (0, 28), (0, 15), (0, 3), (12, 50), (14, 32), (15, 20), (16, 9),
    (23, 56), (28, 43), (31, 34), (34, 25),
)  # fmt: skip


def _arc(
    centre: tuple[float, float], radii: tuple[float, float], angles: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    turned = np.radians(angles)
    return np.float32(centre) + np.stack(
        [radii[0] * np.cos(turned), -radii[1] * np.sin(turned)], axis=1
    ).astype(np.float32)


def _face() -> npt.NDArray[np.float32]:
    """A face seen from the front; its right side is on our left."""
    eye = np.array([180.0, 120, 60, 0, -60, -120])
    around = np.linspace
    return np.concatenate(
        [
            _arc((0, 38), (42, 58), around(180, 360, 17)),  # jaw
            _arc((-20, 26), (13, 8), around(160, 20, 5)),  # brows
            _arc((20, 26), (13, 8), around(160, 20, 5)),
            np.float32([[0, 34], [0, 41], [0, 48], [0, 55]]),  # nose
            _arc((0, 58), (10, 5), around(180, 360, 5)),
            _arc((-20, 36), (8, 4), eye),
            _arc((20, 36), (8, 4), eye),
            _arc((0, 76), (18, 8), 180 - around(0, 330, 12)),  # lips
            _arc((0, 76), (11, 3), 180 - around(0, 315, 8)),
            np.float32([[-20, 36], [20, 36]]),  # pupils
        ]
    )


def skeleton(topology: op.Topology, height: int = 900) -> Picture:
    """The parts of a skeleton, with their numbers, on white."""
    if topology is op.HAND_21:
        points = np.array(_HAND, np.float32)
    elif topology is op.FACE_70:
        points = _face()
    else:
        points = np.array([_STANCE[part] for part in topology.parts], np.float32)
    size = (height, round(height * 1.1))
    points = points * height / 100 + (size[1] / 2, 0)
    canvas = np.full((*size, 3), 255, np.uint8)
    thick, radius, text = (2, 5, 0.5) if len(points) > 30 else (6, 9, 0.75)
    for limb in topology.limbs:
        if topology.limbs.index(limb) in topology.redundant:
            continue
        a, b = (tuple(map(int, points[end])) for end in limb)
        cv2.line(canvas, a, b, _bgr(topology, limb[1]), thick, cv2.LINE_AA)
    for part, point in enumerate(points):
        x, y = map(int, point)
        cv2.circle(canvas, (x, y), radius, _bgr(topology, part), -1, cv2.LINE_AA)
        _write(canvas, str(part), (x + 9, y - 8), text)
    return canvas


def stages(folder: Path) -> None:
    """What the network sees, a heat map, a field, peaks, and people of one picture."""
    picture = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    with op.PoseEstimator(height=184) as estimator:
        seen = estimator.stages(picture)
    topology = seen.people.topology
    cv2.imwrite(str(folder / "stage_input.png"), seen.input)

    elbow = topology.parts.index("RElbow")
    forearm = topology.limbs.index((elbow, topology.parts.index("RWrist")))
    x, y = (seen.paf[channel] for channel in topology.paf_channels[forearm])
    over = {"stage_heat.png": seen.heat[elbow], "stage_field.png": np.hypot(x, y)}
    for name, strength in over.items():
        cv2.imwrite(str(folder / name), _over(seen.input, strength))

    peaks = _enlarged(seen.input)
    shape = np.array(peaks.shape[1::-1]) / np.array(seen.heat.shape[:0:-1])
    for part, found in enumerate(seen.peaks):
        for px, py, _score in found:
            centre = (np.array([px, py]) + 0.5) * shape
            cv2.circle(peaks, tuple(map(int, centre)), 6, _bgr(topology, part), -1, cv2.LINE_AA)
    cv2.imwrite(str(folder / "stage_peaks.png"), peaks)
    cv2.imwrite(str(folder / "stage_people.png"), op.draw(picture, seen.people))


def _over(picture: Picture, strength: npt.NDArray[np.floating]) -> Picture:
    canvas = _enlarged(picture)
    level = cv2.resize(np.clip(strength, 0, 1), canvas.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    hot = cv2.applyColorMap((np.clip(level, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(canvas, 0.4, hot, 0.8, 0)


def _enlarged(picture: Picture) -> Picture:
    return cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def _bgr(topology: op.Topology, part: int) -> tuple[int, ...]:
    colour = topology.colours[part][::-1]
    return _INK if colour == _WHITE else colour


def _write(canvas: Picture, text: str, place: tuple[int, int], size: float) -> None:
    for colour, width in ((_WHITE, 6), (_INK, 2)):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, width, cv2.LINE_AA)


def _draw(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "figures"
    folder.mkdir(exist_ok=True)
    for topology in (op.COCO_18, op.BODY_25, op.HAND_21, op.FACE_70):
        cv2.imwrite(str(folder / f"{topology.name}.png"), skeleton(topology))
    stages(folder)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _draw)
    return {"parallel_read_safe": True}
