"""Maps -> people and hands, with the C++ decoder or with pytorch-openpose's own rules.

Maps are (channels, height, width). `heat` has a channel for each of K parts and perhaps one for the
background after them, `paf` two channels for each limb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.io.cpus import own_cores
from openpose_ext.types.calibration import Calibration
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses, from_core
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import COCO_18, Topology

__all__ = [
    "DecodeOptions",
    "connect",
    "decode_bodies",
    "decode_body",
    "decode_hand",
    "decode_hand_reference",
    "decode_points",
    "decode_reference",
    "find_peaks",
]

_LARGEST = 2**31 - 1  # of the counts, in C++

Mode = Literal["fast", "reference"]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """Options of the decoder; the C++ struct has the same names and defaults.

    peak_threshold  a maximum of a heat map must exceed this to be a peak, in (0, 1)
    paf_threshold   a sample of the field along a limb must exceed this, in [0, 1)
    min_paf_share   more than this share of a limb's ten samples must exceed it, in [0, 1)
    min_parts       drop people with fewer seen parts
    min_score       drop people with a lower score: the sum of the scores of their parts and limbs
                    divided by the number of parts
    assignment      how peaks are paired into limbs: "greedy" or "hungarian"
    fill            follow the fields to parts that are too weak to be peaks
    max_peaks       keep so many peaks of each part, the highest
    max_people      keep so many people, the best; None for all

    Raises ValueError naming the option that is out of range, TypeError for one of another type.
    """

    peak_threshold: float = 0.1
    paf_threshold: float = 0.05
    min_paf_share: float = 0.6
    min_parts: int = 3
    min_score: float = 0.4
    assignment: Literal["greedy", "hungarian"] = "greedy"
    fill: bool = True
    max_peaks: int = 256
    max_people: int | None = None

    def __post_init__(self) -> None:
        for name in ("peak_threshold", "paf_threshold", "min_paf_share", "min_score"):
            _check_type(name, getattr(self, name), Real, "a number")
        for name in ("min_parts", "max_peaks", "max_people"):
            value = getattr(self, name)
            if name == "max_people" and value is None:
                continue
            _check_type(name, value, Integral, "a whole number")
            if abs(value) > _LARGEST:
                raise ValueError(f"{name} must be at most {_LARGEST}, not {value}")
        _check_type("fill", self.fill, (bool, np.bool_), "True or False")
        if self.assignment not in ("greedy", "hungarian"):
            raise ValueError(f"assignment must be 'greedy' or 'hungarian', not {self.assignment!r}")
        _ = self.core  # which checks the ranges

    @classmethod
    def reference(cls) -> Self:
        """pytorch-openpose's constants. It keeps all peaks; this limit only stops hostile maps."""
        return cls(min_paf_share=0.8, min_parts=4, fill=False, max_peaks=1024)

    @cached_property
    def core(self) -> _core.DecodeOptions:
        """The same options as the C++ core takes them."""
        return _core.DecodeOptions(**asdict(self))

    def __getstate__(self) -> dict[str, object]:
        # Without the cached C++ object, which another process makes anew.
        return asdict(self)


def _check_type(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {expected}, not {value!r}")


_FAST = DecodeOptions()
_REFERENCE = DecodeOptions.reference()

# Scores of parts that were seen.
_SEEN = np.nextafter(np.float32(FILLED_SCORE), np.float32(1)), np.float32(1)

_geometry_of_maps = lru_cache(maxsize=64)(Geometry.of_maps)


def decode_body(
    heat: Floats,
    paf: Floats,
    *,
    topology: Topology = COCO_18,
    geometry: Geometry | None = None,
    stride: int = 8,
    mode: Mode = "fast",
    options: DecodeOptions | None = None,
    calibration: Calibration | None = None,
) -> Poses:
    """Decode one picture's maps into people.

    heat      (K or K + 1, h, w) float32 or float16
    paf       (2 L, h, w), alike
    geometry  how the maps lie in the picture; without it points are in network pixels, and the
              size is (w * stride, h * stride)
    stride    network pixels per cell; only used without a geometry
    mode      "fast" decodes the maps as they are; "reference" enlarges them to the picture's size
              with OpenCV's cubic filter and follows pytorch-openpose's rules, whose total is the
              person's score
    options   None takes the mode's own
    calibration  turns the maps' scores of parts into shares of parts that are right, for mode
              "fast"; None leaves the scores unchanged

    Returns people in the picture's frame, best first. Float32 maps whose rows are contiguous are
    not copied. Values that are not finite count as zero.
    Raises ValueError or TypeError if the maps, mode or options do not fit.
    """
    heat, paf = _as_maps("heat", heat), _as_maps("paf", paf)
    if geometry is None:
        geometry = _geometry_of(heat, stride)
    else:
        _check_geometry(heat, geometry)
    if mode == "fast":
        keypoints, scores, filled = _core.decode(
            heat,
            paf,
            topology.core,
            geometry.maps_to_picture,
            geometry.picture,
            _core_options(options),
        )
        poses = from_core(keypoints, scores, filled, topology, geometry.picture)
        return poses if calibration is None else calibration(poses)
    if mode == "reference":
        if calibration is not None:
            raise ValueError('calibration has no meaning in mode="reference"')
        return _decode_by_reference(heat, paf, topology, geometry, options or _REFERENCE)
    raise ValueError(f"mode must be 'fast' or 'reference', not {mode!r}")


def decode_bodies(
    maps: Sequence[tuple[Floats, Floats]],
    *,
    topology: Topology = COCO_18,
    geometries: Sequence[Geometry] | None = None,
    stride: int = 8,
    options: DecodeOptions | None = None,
    threads: int | None = None,
) -> list[Poses]:
    """Decode many pictures' maps at once, in C++ threads.

    maps        (heat, paf) of each picture, as for `decode_body`; sizes may differ
    geometries  one for each picture, or None
    threads     number of threads; None takes one for each CPU that this process may use

    Returns a list of what `decode_body` returns, in the same order. Raises the errors of
    `decode_body`; one picture with wrong maps fails the whole call.
    """
    maps = [(_as_maps("heat", heat), _as_maps("paf", paf)) for heat, paf in maps]
    if geometries is None:
        geometries = [_geometry_of(heat, stride) for heat, _ in maps]
    elif len(geometries) != len(maps):
        raise ValueError(f"{len(maps)} pairs of maps, but {len(geometries)} geometries")
    else:
        for (heat, _), geometry in zip(maps, geometries, strict=True):
            _check_geometry(heat, geometry)
    jobs = [
        (heat, paf, geometry.maps_to_picture, geometry.picture)
        for (heat, paf), geometry in zip(maps, geometries, strict=True)
    ]
    if threads is None:
        threads = own_cores()
    decoded = _core.decode_many(jobs, topology.core, _core_options(options), threads)
    return [
        from_core(keypoints, scores, filled, topology, geometry.picture)
        for (keypoints, scores, filled), geometry in zip(decoded, geometries, strict=True)
    ]


def decode_reference(
    heat_full: Floats, paf_full: Floats, *, topology: Topology = COCO_18
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """pytorch-openpose's decoder, on maps of the picture's size.

    heat_full  (K or K + 1, H, W) float32 or float64
    paf_full   (2 L, H, W), alike

    Returns (candidate, subset) as pytorch-openpose does: candidate (P, 4) with x, y, score and id,
    of shape (0,) if there is none; subset (N, K + 2) with ids or -1, total score and count. One
    difference: only the highest 1,024 peaks of each part are kept, so that hostile maps end.
    Raises ValueError or TypeError if the maps do not fit.
    """
    heat_full, paf_full = _as_maps("heat_full", heat_full), _as_maps("paf_full", paf_full)
    candidate, _, subset = _core.decode_reference(heat_full, paf_full, topology.core)
    return (candidate if len(candidate) else np.zeros(0)), subset


def decode_hand(
    heat: Floats, *, geometry: Geometry | None = None, mode: Mode = "fast"
) -> npt.NDArray[np.float32]:
    """Decode the maps of a hand's crop into its points.

    heat      (21 or 22, h, w) float32 or float16: the points of HAND_21, and perhaps a background
    geometry  how the maps lie in the picture; without it points are in network pixels, at
              stride 8
    mode      "fast" takes the highest cell of each map and interpolates between cells; points whose
              heat is not above 0.1 are missing. "reference" enlarges the maps to the picture's size
              with OpenCV's cubic filter and follows pytorch-openpose's rules: whole pixels

    Returns (21, 3) float32: x, y in the picture and a score in (0.05, 1]; missing points are
    0, 0, 0. Raises ValueError or TypeError if the maps or the mode do not fit.
    """
    heat = _as_maps("heat", heat)
    if geometry is None:
        geometry = _geometry_of(heat, 8)
    else:
        _check_geometry(heat, geometry)
    if mode == "fast":
        return _core.decode_hand(heat, geometry.maps_to_picture, geometry.picture)
    if mode == "reference":
        points = decode_hand_reference(full_size(heat, geometry)).astype(np.float32)
        # pytorch-openpose invents a point where only the smoothed map has heat.
        points[points[:, 2] <= 0] = 0
        seen = points[:, 2] > 0
        points[seen, 2] = np.clip(points[seen, 2], *_SEEN)
        return points
    raise ValueError(f"mode must be 'fast' or 'reference', not {mode!r}")


def decode_points(heat: Floats, count: int, *, geometry: Geometry) -> npt.NDArray[np.float32]:
    """Decode the maps of a crop of one hand, face or foot into its points.

    heat      (count or count + 1, h, w) float32 or float16: the points, and perhaps a background
    geometry  how the maps lie in the picture

    Each point is at the highest cell of its map, refined between cells; points whose heat is not
    above 0.1 are missing. Returns (count, 3) float32: x, y in the picture and a score in (0.05, 1];
    missing points are 0, 0, 0. Raises ValueError or TypeError if the maps do not fit.
    """
    _check_geometry(heat, geometry)
    return _core.decode_points(heat, count, geometry.maps_to_picture, geometry.picture)


def decode_hand_reference(heat_full: Floats) -> npt.NDArray[np.float64]:
    """pytorch-openpose's rules for a hand, on maps of the crop's size.

    heat_full  (21 or 22, H, W) float32 or float64: the mean over the scales

    Returns (21, 3) float64: x, y in whole pixels as pytorch-openpose gives them, and the heat
    there, which it does not give; 0, 0, 0 for points that it does not find.
    Raises ValueError or TypeError if the maps do not fit.
    """
    return _core.decode_hand_reference(_as_maps("heat_full", heat_full))


def find_peaks(
    heat: Floats, *, topology: Topology = COCO_18, options: DecodeOptions | None = None
) -> list[npt.NDArray[np.float32]]:
    """Find the peaks of each part: K arrays (n, 3) of x, y in map cells and score."""
    return _core.find_peaks(_as_maps("heat", heat), topology.core, _core_options(options))


def connect(
    peaks: list[npt.NDArray[np.float32]],
    paf: Floats,
    *,
    topology: Topology = COCO_18,
    options: DecodeOptions | None = None,
) -> list[npt.NDArray[np.float32]]:
    """Pair peaks into limbs: L arrays (n, 3) of a, b (indices of peaks) and score."""
    return _core.connect(peaks, _as_maps("paf", paf), topology.core, _core_options(options))


def _as_maps(name: str, maps: Any) -> Any:
    """The maps as a NumPy array, if possible without a copy, as for torch's tensors on a CPU.

    Raises TypeError, with a message of one line, if NumPy cannot convert them.
    """
    if isinstance(maps, np.ndarray):
        return maps
    kind = f"{type(maps).__module__}.{type(maps).__qualname__}".removeprefix("builtins.")
    if not hasattr(maps, "__array__"):
        raise TypeError(f"{name} must be a NumPy array, not {kind}: numpy.asarray makes one")
    try:
        return np.asarray(maps)
    except Exception as error:  # each library has its own
        reason = str(error).strip().partition("\n")[0]
        raise TypeError(f"{name} must be a NumPy array, not {kind}: {reason}") from error


def _core_options(options: DecodeOptions | None) -> _core.DecodeOptions:
    if options is not None and not isinstance(options, DecodeOptions):
        raise TypeError(f"options must be DecodeOptions or None, not {type(options).__name__}")
    return (options or _FAST).core


def _geometry_of(heat: Floats, stride: int) -> Geometry:
    if np.ndim(heat) != 3:
        raise ValueError(f"heat must be (channels, height, width), not {np.shape(heat)}")
    return _geometry_of_maps(heat.shape[2], heat.shape[1], stride)


def _check_geometry(heat: Floats, geometry: Geometry) -> None:
    """Raise ValueError if the maps are not of the geometry's network input, to within a cell."""
    if np.ndim(heat) != 3:
        raise ValueError(f"heat must be (channels, height, width), not {np.shape(heat)}")
    _, height, width = heat.shape
    stride = geometry.stride
    columns, rows = geometry.network
    if abs(width * stride - columns) >= stride or abs(height * stride - rows) >= stride:
        raise ValueError(
            f"maps of {width} x {height} cells are not those of a network input of {columns} x "
            f"{rows} pixels at stride {stride}; is the geometry that of another picture?"
        )


def _decode_by_reference(
    heat: Floats, paf: Floats, topology: Topology, geometry: Geometry, options: DecodeOptions
) -> Poses:
    for name in ("assignment", "fill", "max_people"):
        if getattr(options, name) != getattr(_REFERENCE, name):
            raise ValueError(f'option {name} has no meaning in mode="reference"')
    if np.ndim(heat) == np.ndim(paf) == 3 and heat.shape[1:] != paf.shape[1:]:
        # Once enlarged, both would have the picture's size, and nobody would notice.
        sizes = [f"{h} x {w}" for _, h, w in (heat.shape, paf.shape)]
        raise ValueError(f"heat is {sizes[0]} cells but paf is {sizes[1]}")
    candidate, _, subset = _core.decode_reference(
        full_size(heat, geometry), full_size(paf, geometry), topology.core, options.core
    )
    parts = len(topology.parts)
    order = np.argsort(-subset[:, parts], kind="stable")
    ids = subset[order, :parts].astype(np.intp)
    keypoints = np.zeros((len(ids), parts, 3), np.float32)
    seen = ids >= 0
    keypoints[seen] = candidate[ids[seen], :3]
    # A part is found in the smoothed map and may have any value in the other one.
    keypoints[seen, 2] = np.clip(keypoints[seen, 2], *_SEEN)
    return Poses(
        keypoints,
        np.minimum(subset[order, parts], np.finfo(np.float32).max).astype(np.float32),
        np.zeros((len(ids), parts), np.bool_),
        topology,
        geometry.picture,
    )


def full_size(maps: Floats, geometry: Geometry) -> npt.NDArray[np.float32]:
    """Maps at the picture's size: enlarged by the stride, cropped to the content, resized.

    Source: pytorch-openpose's two cubic resizes, first by a factor and then to a size.
    """
    import cv2

    if geometry.offset != (0, 0):
        raise ValueError(
            'mode="reference" needs maps that start at the picture\'s corner, not at '
            f"{geometry.offset}"
        )
    source = np.asarray(maps, np.float32)
    if source.ndim != 3 or 0 in source.shape[1:]:
        raise ValueError(f"maps must be (channels, height, width), not {np.shape(maps)}")
    if not len(source):  # the fields of a skeleton without limbs
        return np.zeros((0, geometry.picture[1], geometry.picture[0]), np.float32)
    width, height = geometry.content
    # All channels in one call, as in pytorch-openpose: up to four channels OpenCV rounds otherwise.
    enlarged = cv2.resize(
        np.ascontiguousarray(source.transpose(1, 2, 0)),
        None,
        fx=geometry.stride,
        fy=geometry.stride,
        interpolation=cv2.INTER_CUBIC,
    )
    # A single channel loses its axis on the way.
    enlarged = enlarged.reshape(*enlarged.shape[:2], len(source))
    full = cv2.resize(
        enlarged[:height, :width], geometry.picture, interpolation=cv2.INTER_CUBIC
    ).reshape(geometry.picture[1], geometry.picture[0], len(source))
    # OpenCV rearranges large maps several times as fast as NumPy.
    planes = cv2.transpose(full.reshape(-1, len(source)))
    return np.asarray(planes, np.float32).reshape(len(source), *full.shape[:2])
