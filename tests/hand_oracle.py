"""The original hand rules in NumPy, SciPy, scikit-image and OpenCV: the specification in code.

Boxes of OpenPose, and points of the seed (Hzzone/pytorch-openpose), their quirks included.
Nothing here knows `openpose_ext`, and nothing here is fast.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.measure import label

Doubles = npt.NDArray[np.float64]
Maps = npt.NDArray[np.floating[Any]]
Point = tuple[float, float]

POINTS = 21
SIGMA = 3.0  # crop pixels
THRESHOLD = 0.05  # the smoothed map must exceed it
STRIDE = 8


def box(shoulder: Point, elbow: Point, wrist: Point) -> tuple[float, float, float]:
    """x, y and side of OpenPose's square around the hand, which may leave the picture."""
    side = 1.5 * max(math.dist(wrist, elbow), 0.9 * math.dist(elbow, shoulder))
    centre_x = wrist[0] + 0.33 * (wrist[0] - elbow[0])
    centre_y = wrist[1] + 0.33 * (wrist[1] - elbow[1])
    return centre_x - side / 2, centre_y - side / 2, side


def points(heat: Maps) -> Doubles:
    """(21, 3) x, y, heat of maps (21 or 22, H, W) of the crop's size; 0, 0, 0 for none."""
    found = np.zeros((POINTS, 3))
    for part, values in enumerate(heat[:POINTS]):
        mask = gaussian_filter(values.astype(np.float64), sigma=SIGMA) > THRESHOLD
        if not mask.any():
            continue
        labels = label(mask, connectivity=2)
        sums = [values[labels == k].sum(dtype=np.float64) for k in range(1, labels.max() + 1)]
        chosen = 1 + int(np.argmax(sums))
        masked = np.where(labels == chosen, values, 0)
        rows = masked.max(axis=1)
        y = int(np.argmax(rows))
        x = int(np.argmax(masked[y]))
        found[part] = x, y, masked[y, x]
    return found


def full_size(maps: Maps, side: int) -> npt.NDArray[np.float32]:
    """Maps of a square crop's network input, enlarged to the crop."""
    planes = np.ascontiguousarray(np.asarray(maps, np.float32).transpose(1, 2, 0))
    large = cv2.resize(planes, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)
    crop = cv2.resize(large, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(crop.transpose(2, 0, 1))


def highest(heat: Maps) -> Doubles:
    """(21, 3): x, y in cells, and the value, of each map's highest cell; log-parabola below it.

    A neighbour outside the map is zero; where one is not positive the parabola runs through the
    values themselves.
    """
    found = np.zeros((POINTS, 3))
    for part, values in enumerate(heat[:POINTS].astype(np.float64)):
        y, x = divmod(int(values.argmax()), values.shape[1])
        padded = np.pad(values, 1)
        across, down = padded[y + 1, x : x + 3], padded[y : y + 3, x + 1]
        found[part] = x + _vertex(across), y + _vertex(down), values[y, x]
    return found


def _vertex(three: Doubles) -> float:
    if three.min() > 0:
        three = np.log(three)
    bend = three[0] + three[2] - 2 * three[1]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5)) if bend < 0 else 0.0
