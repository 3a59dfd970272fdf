"""The C++ core. `openpose_ext.decode` wraps it and says what goes in and comes out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.floating]
People = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]

class Topology:
    def __init__(
        self,
        parts: int,
        limbs: Sequence[tuple[int, int]],
        paf_channels: Sequence[tuple[int, int]] | None,
        redundant: Sequence[int],
        feet: Sequence[int] = ...,
        lengths: Sequence[float] = ...,
        sigmas: Sequence[float] = ...,
    ) -> None: ...

class DecodeOptions:
    def __init__(
        self,
        *,
        peak_threshold: float,
        paf_threshold: float,
        min_paf_share: float,
        min_parts: int,
        min_score: float,
        assignment: str,
        fill: bool,
        max_peaks: int,
        max_people: int | None,
    ) -> None: ...

def decode(
    heat: _Floats,
    paf: _Floats,
    topology: Topology,
    affine: tuple[float, float, float, float],
    size: tuple[int, int],
    options: DecodeOptions,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]: ...
def decode_many(
    jobs: Sequence[tuple[_Floats, _Floats, tuple[float, float, float, float], tuple[int, int]]],
    topology: Topology,
    options: DecodeOptions,
    threads: int,
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]]: ...
def find_peaks(
    heat: _Floats, topology: Topology, options: DecodeOptions
) -> list[npt.NDArray[np.float32]]: ...
def connect(
    peaks: Sequence[npt.NDArray[np.float32]],
    paf: _Floats,
    topology: Topology,
    options: DecodeOptions,
) -> list[npt.NDArray[np.float32]]: ...
def solve_assignment(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]: ...
def merge(
    passes: Sequence[
        tuple[_Floats, tuple[float, float, float, float], Sequence[int], Sequence[float]]
    ],
    size: tuple[int, int],
    weights: Sequence[float] = ...,
) -> npt.NDArray[np.float32]: ...
def find_regions(
    people: People,
    topology: Topology,
    size: tuple[int, int],
    *,
    stature: float,
    pixels: float,
    margin: float,
    step: int,
    fixed_size: tuple[int, int] | None = None,
) -> list[
    tuple[
        tuple[int, int, int, int],
        tuple[int, int],
        tuple[int, int],
        list[int],
        tuple[int, int, int],
    ]
]: ...
def unite(
    first: People,
    closer: Sequence[tuple[People, Sequence[int]]],
    topology: Topology,
    max_people: int | None = None,
) -> People: ...
def best_of_turns(looks: Sequence[People], topology: Topology) -> list[tuple[int, int, float]]: ...
def decode_reference(
    heat: _Floats,
    paf: _Floats,
    topology: Topology,
    options: DecodeOptions | None = None,
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]], npt.NDArray[np.float64]]: ...
def decode_hand(
    heat: _Floats,
    affine: tuple[float, float, float, float],
    size: tuple[int, int],
) -> npt.NDArray[np.float32]: ...
def decode_points(
    heat: _Floats,
    points: int,
    affine: tuple[float, float, float, float],
    size: tuple[int, int],
) -> npt.NDArray[np.float32]: ...
def decode_hand_reference(heat: _Floats) -> npt.NDArray[np.float64]: ...
