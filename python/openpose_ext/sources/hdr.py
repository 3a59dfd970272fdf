"""Tone mapping: converts pictures of high dynamic range (PQ and HLG) to ordinary 8-bit ones.

White paper (203 cd/m2) stays nearly white, brighter light is compressed into the range, and
everything darker than half of it is unchanged. So a scene looks as bright as from ordinary cameras.

Source  ITU-R BT.2100 (the curves of PQ and HLG), BT.2408 (reference white), BT.2390 section 5.4.1
        (the roll-off), BT.2087 (from BT.2020's to BT.709's colours). FFmpeg's filters for this,
        zscale and libplacebo, are not part of PyAV's builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorTrc

from openpose_ext.types.arrays import Picture

__all__ = ["HDR_CURVES", "tone_mapped"]

HDR_CURVES = frozenset((ColorTrc.SMPTE2084.value, ColorTrc.ARIB_STD_B67.value))

_PEAK = 1000.0  # cd/m2: brighter light is clipped
_REFERENCE_WHITE = 203.0  # cd/m2, from BT.2408: becomes the brightest value of the ordinary picture
_GAMMA = 2.4  # of displays, from BT.1886
_HLG_GAMMA = 1.2  # of the whole HLG system with a peak of 1,000 cd/m2

_LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # BT.2020
_TO_709 = np.array(
    [[-0.0182, -0.1006, 1.1187], [-0.1246, 1.1329, -0.0083], [1.6605, -0.5876, -0.0728]], np.float32
)  # of R, G, B to B, G, R

# Steps of the tables over [0, 1], and rows that are converted at a time, which fit into caches.
_STEPS = 65535
_ROWS = 32

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Tables:
    """Lookup tables for one curve.

    linear   code of 16 bits -> light in [0, 1]: of the display for PQ, of the scene for HLG
    factor   light of a pixel's brightest colour -> the factor that compresses the pixel's light
    code     light -> code of 8 bits, by BT.1886
    """

    linear: Floats
    factor: Floats
    code: npt.NDArray[np.uint8]

    @classmethod
    @cache
    def of(cls, curve: int) -> _Tables:
        x = np.arange(_STEPS + 1) / _STEPS
        linear = np.minimum(_pq(x) / _PEAK, 1) if curve == ColorTrc.SMPTE2084 else _hlg(x)
        return cls(
            linear.astype(np.float32),
            (_rolled_off(x) / np.maximum(x, 1 / _STEPS)).astype(np.float32),
            np.round(255 * x ** (1 / _GAMMA)).astype(np.uint8),
        )


# BT.2100, PQ.
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128

Doubles = npt.NDArray[np.float64]


def _pq(code: Doubles) -> Doubles:
    """PQ's light, in cd/m2."""
    root = code ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1))


def _pq_code(light: Doubles | float) -> Doubles:
    """The inverse of `_pq`: light in cd/m2 -> code."""
    root = np.asarray(light / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2)


def _hlg(code: Doubles) -> Doubles:
    """HLG's light of the scene; 1 is the brightest."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _rolled_off(light: Doubles) -> Doubles:
    """BT.2390's roll-off: light relative to the peak -> light relative to the reference white."""
    peak, white = _pq_code(_PEAK), _pq_code(_REFERENCE_WHITE)
    code, most = _pq_code(light * _PEAK) / peak, white / peak
    knee = 1.5 * most - 0.5
    t = np.maximum(code - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return _pq(np.where(code < knee, code, spline) * peak) / _REFERENCE_WHITE


def tone_mapped(picture: npt.NDArray[np.uint16], curve: int) -> Picture:
    """Convert a picture of high dynamic range to an ordinary one.

    picture  (H, W, 3) uint16 R, G, B in BT.2020's colours; 65535 is the highest code
    curve    one of `HDR_CURVES`
    Returns  (H, W, 3) uint8 BGR of BT.709
    """
    import cv2

    tables = _Tables.of(curve)
    mapped = np.empty(picture.shape, np.uint8)
    for top in range(0, len(picture), _ROWS):
        light = tables.linear[np.ascontiguousarray(picture[top : top + _ROWS])]
        if curve == ColorTrc.ARIB_STD_B67:
            scene = cv2.transform(light, _LUMA)
            light *= cv2.pow(scene, _HLG_GAMMA - 1)[..., None]
        light *= tables.factor[_steps(light.max(axis=2))][..., None]
        mapped[top : top + _ROWS] = tables.code[_steps(cv2.transform(light, _TO_709))]
    return mapped


def _steps(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Values, clipped to [0, 1], as indices of a table."""
    return np.asarray(np.clip(values, 0, 1) * _STEPS + 0.5).astype(np.uint16)
