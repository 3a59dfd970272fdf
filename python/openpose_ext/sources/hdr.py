"""Pictures of high dynamic range, PQ and HLG, made ordinary ones.

Source  ITU-R BT.2100 (the curves of PQ and HLG), BT.2446-1 section 4, "Method A" (1,000 to 100
        cd/m2), BT.2087 (BT.2020's colours in BT.709's). FFmpeg's own filters for it, zscale and
        libplacebo, are not among those that PyAV brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorTrc

from openpose_ext.types.arrays import Picture

__all__ = ["HDR_CURVES", "tone_mapped"]

HDR_CURVES = frozenset((ColorTrc.SMPTE2084.value, ColorTrc.ARIB_STD_B67.value))

_WHITE, _SDR_WHITE = 1000.0, 100.0  # cd/m2: the brightest of both; what is brighter is clipped
_GAMMA = 2.4  # BT.1886's, of displays
_HLG_GAMMA = 1.2  # of the whole system, where the brightest is 1,000 cd/m2

_LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # BT.2020
_TO_709 = np.array(
    [[-0.0182, -0.1006, 1.1187], [-0.1246, 1.1329, -0.0083], [1.6605, -0.5876, -0.0728]], np.float32
)  # of R, G, B to B, G, R

# Tables of functions of [0, 1] with so many steps; in blocks of so many rows, caches are enough.
_STEPS = 65535
_ROWS = 32

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Tables:
    """Functions of 16 bits.

    linear   what a code says: PQ's light of the display, HLG's of the scene; [0, 1]
    gamma    the same to the power of 1 / 2.4
    tone     the brightness of the ordinary picture by that of this one, both gamma-coded
    light    a gamma-coded value as light
    code     light as BT.1886's code of 8 bits
    """

    linear: Floats
    gamma: Floats
    tone: Floats
    light: Floats
    code: npt.NDArray[np.uint8]

    @classmethod
    @cache
    def of(cls, curve: int) -> _Tables:
        x = np.arange(_STEPS + 1) / _STEPS
        linear = _pq(x) if curve == ColorTrc.SMPTE2084 else _hlg(x)
        return cls(
            linear.astype(np.float32),
            (linear ** (1 / _GAMMA)).astype(np.float32),
            _tone(x).astype(np.float32),
            (x**_GAMMA).astype(np.float32),
            np.round(255 * x ** (1 / _GAMMA)).astype(np.uint8),
        )


def _pq(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    root = code ** (1 / 78.84375)
    light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
        1 / 0.1593017578125
    )
    return np.minimum(light * 10_000 / _WHITE, 1)


def _hlg(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _tone(luma: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Method A, from Y' of 1,000 cd/m2 to Y' of 100 cd/m2."""
    rho, rho_sdr = (1 + 32 * (white / 10_000) ** (1 / _GAMMA) for white in (_WHITE, _SDR_WHITE))
    seen = np.log(1 + (rho - 1) * luma) / np.log(rho)
    knee = np.where(seen <= 0.7399, 1.0770 * seen, -1.1510 * seen**2 + 2.7811 * seen - 0.6302)
    knee = np.where(seen >= 0.9909, 0.5 * seen + 0.5, knee)
    return np.asarray((rho_sdr**knee - 1) / (rho_sdr - 1))


def tone_mapped(picture: npt.NDArray[np.uint16], curve: int) -> Picture:
    """A picture of high dynamic range as an ordinary one.

    picture  (H, W, 3) uint16 R, G, B of BT.2020, 65535 is the highest code
    curve    one of `HDR_CURVES`
    Returns  (H, W, 3) uint8 BGR of BT.709
    """
    tables = _Tables.of(curve)
    mapped = np.empty(picture.shape, np.uint8)
    for top in range(0, len(picture), _ROWS):
        rgb = np.ascontiguousarray(picture[top : top + _ROWS])
        colours = tables.gamma[rgb]
        if curve == ColorTrc.ARIB_STD_B67:
            scene = cv2.transform(tables.linear[rgb], _LUMA)
            colours *= cv2.pow(scene, (_HLG_GAMMA - 1) / _GAMMA)[..., None]
        luma = cv2.transform(colours, _LUMA)
        colours -= luma[..., None]
        ordinary = tables.tone[_steps(luma)]
        # Colours shrink with the brightness; bright reds would still leave the range.
        colours *= (ordinary / np.maximum(1.1 * luma, 1e-6))[..., None]
        ordinary -= np.maximum(0.1 / 1.4746 * colours[..., 0], 0)
        colours += ordinary[..., None]
        light = cv2.transform(tables.light[_steps(colours)], _TO_709)
        mapped[top : top + _ROWS] = tables.code[_steps(light)]
    return mapped


def _steps(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Values of [0, 1], clipped, as places in a table."""
    return np.asarray(np.clip(values, 0, 1) * _STEPS + 0.5).astype(np.uint16)
