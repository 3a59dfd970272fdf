"""The order of the stages for one picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from time import perf_counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from openpose_ext.backends import BackendInfo
from openpose_ext.decode import DecodeOptions, Mode, connect, decode_body, find_peaks
from openpose_ext.geometry import Geometry
from openpose_ext.hands import HandFinder, Side
from openpose_ext.merge import Pass, merge
from openpose_ext.models.network import BodyNetwork
from openpose_ext.poses import Poses
from openpose_ext.preprocess import (
    HEIGHT,
    LONGEST,
    Fit,
    Picture,
    PictureLike,
    Preprocessing,
    as_picture,
)

__all__ = ["PoseEstimator", "Stages"]

Floats = npt.NDArray[np.float32]

# Pictures a network run in `batch`: enough to fill the engine, and no more memory than needed.
_LARGEST_BATCH = 8

# One empty cell for each channel of COCO_18.
_NO_MAPS = np.zeros((19, 1, 1), np.float32), np.zeros((38, 1, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Stages:
    """Everything between a picture and its people, to look inside.

    input        (H, W, 3) uint8 BGR: what the network saw, at the first scale
    geometry     how the maps lie in the picture
    heat         (K + 1, h, w) float32: parts, and the background last; the mean of all passes
    paf          (2 L, h, w) float32, alike
    peaks        K arrays (n, 3): x, y in map cells and score
    connections  L arrays (n, 3): indices of the peaks a and b, and score
    people       what the estimator gives
    """

    input: Picture
    geometry: Geometry
    heat: Floats
    paf: Floats
    peaks: list[Floats]
    connections: list[Floats]
    people: Poses


class PoseEstimator:
    """Finds people in pictures.

    body        the network: "lite" (comes with the package), another name, or a file; None or
                "none" where only `hands` is used
    hand        the hand network, in the same way; None or "none" looks for no hands
    backend     "auto", "openvino" or "onnxruntime"
    device      in the engine's own words: "cpu", "GPU", "cuda:0"
    precision   "auto" (the engine's choice, see `info`), "f32", "bf16" or "f16"
    threads     bound on the engine's threads, None for its own choice
    normalise   (mean, divisor) of a body network whose manifest is missing or wrong: it sees
                (pixel - mean) / divisor; (128, 256) is the original's
    height      network pixels: the height a picture is brought to
    fit         "pad" keeps the aspect ratio, "stretch" does not
    max_pixels  bound of the network input's width x height, for very long pictures; None takes
                1312 / 368 of the height's square
    scales      the network is run on the picture at each of these multiples of `height`, and the
                maps are averaged: more accurate, and slower with the sum of their squares
    mirror      it is run on the mirrored picture too, at each scale: twice the time
    hand_scales  each hand is looked at this many times as large, and what is seen is averaged
    max_batch   hands a run of their network at most; None takes as many as eight of 368 x 368
                pixels, which bounds the memory
    mode        "fast", or "reference": pytorch-openpose's rules on the same maps of the body
    options     `DecodeOptions`, None for the mode's own

    Pictures are (H, W, 3) uint8 BGR arrays, paths or PIL images, of any size. Calls are
    thread-safe. Close it when done, or use it as a context manager.

    Raises ValueError or TypeError for arguments out of range, ModelError if the network is
    missing or no body network, BackendError if the engine is missing or refuses.
    """

    def __init__(
        self,
        body: str | PathLike[str] | None = "lite",
        *,
        hand: str | PathLike[str] | None = None,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
        normalise: tuple[float, float] | None = None,
        height: int = HEIGHT,
        fit: Fit = "pad",
        max_pixels: int | None = None,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        hand_scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
        mode: Mode = "fast",
        options: DecodeOptions | None = None,
    ) -> None:
        if options is not None and not isinstance(options, DecodeOptions):
            raise TypeError(f"options must be DecodeOptions or None, not {type(options).__name__}")
        body, hand = _chosen(body), _chosen(hand)
        if body is None and hand is None:
            raise ValueError("a body network, a hand network, or both are needed")
        self._mode = mode
        self._decode = partial(decode_body, mode=mode, options=options)
        self._options = options
        preprocessings = _at_scales(height, fit, max_pixels, scales)
        self._mirror = mirror
        self._decode(*_NO_MAPS)  # what it refuses shall be refused here, not at the first picture

        engine: dict[str, Any] = {
            "backend": backend,
            "device": device,
            "precision": precision,
            "threads": threads,
        }
        with ExitStack() as opened:
            self._hands: HandFinder | None = None
            if hand is not None:
                finder = HandFinder.open(hand, scales=hand_scales, max_batch=max_batch, **engine)
                self._hands = opened.enter_context(finder)
            self._network: BodyNetwork | None = None
            if body is not None:
                self._network = opened.enter_context(
                    BodyNetwork.open(body, normalise=normalise, **engine)
                )
                preprocessings = _for_network(preprocessings, self._network)
            self._opened = opened.pop_all()
        self._preprocessings = preprocessings

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the body network, or of the only one."""
        if self._network is None and self._hands is not None:
            return self._hands.info
        return self._body.info

    @property
    def hand_info(self) -> BackendInfo | None:
        """The same of the hand network, or None where no hands are looked for."""
        return None if self._hands is None else self._hands.info

    def __call__(self, picture: PictureLike) -> Poses:
        """The people of one picture, best first, in its own pixels.

        `timings` holds the seconds of "preprocess" (reading included), "network" and "decode", and
        of "hands" where they are looked for.
        Raises TypeError, ValueError or SourceError for what is no picture, BackendError if the
        engine fails.
        """
        return self._people([self._prepared(picture)])[0]

    def batch(self, pictures: Iterable[PictureLike]) -> list[Poses]:
        """The people of each picture, in order, as single calls find them.

        Pictures of equal network size run together; none is padded to another's. The timing of
        "network" is an equal share of the run. Raises as a call does.
        """
        found: dict[int, Poses] = {}
        waiting: dict[tuple[tuple[int, ...], ...], dict[int, _Prepared]] = {}
        for index, picture in enumerate(pictures):
            prepared = self._prepared(picture)
            shapes = tuple(views[0].image.shape for views in prepared.scales)
            group = waiting.setdefault(shapes, {})
            group[index] = prepared
            if len(group) == _LARGEST_BATCH:
                found.update(zip(group, self._people([*group.values()]), strict=True))
                group.clear()
        for group in waiting.values():
            found.update(zip(group, self._people([*group.values()]), strict=True))
        return [found[index] for index in range(len(found))]

    def hands(
        self,
        picture: PictureLike,
        boxes: npt.ArrayLike,
        sides: Sequence[Side | None] | None = None,
        angles: Sequence[float | None] | None = None,
    ) -> Floats:
        """The hand of each box, without a body: (N, 21, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in pixels of the picture, 1.5 to 2.5 times as large as
                the hand; squares of the longer side are looked at, none below 20 pixels
        sides   "left", "right" or None for each; None tries both, and takes the better
        angles  degrees clockwise from upright in which the fingers point, or None, for each

        Points are x, y in pixels of the picture and a score in (0.05, 1]. Raises ValueError
        without a hand network or if the lengths disagree; else as a call does.
        """
        if self._hands is None:
            raise ValueError('this estimator has no hand network; make it with hand="lite"')
        return self._hands.in_boxes(as_picture(picture), boxes, sides, angles)

    def stages(self, picture: PictureLike) -> Stages:
        """One picture, with everything on the way to its people.

        Raises ValueError in mode "reference", whose stages are not these; else as a call does.
        """
        if self._mode == "reference":
            raise ValueError(
                "the reference decoder works on maps of the picture's size and has other stages; "
                'look inside with mode="fast"'
            )
        prepared = self._prepared(picture)
        (passes,) = self._passes([prepared])
        topology = self._body.topology
        heat, paf, geometry = merge(passes, topology)
        peaks = find_peaks(heat, topology=topology, options=self._options)
        connections = connect(peaks, paf, topology=topology, options=self._options)
        people = self._decode(heat, paf, topology=topology, geometry=geometry)
        if self._hands is not None:
            people = replace(people, hands=self._hands.of_people(prepared.picture, people))
        image = prepared.scales[0][0].image
        return Stages(image, geometry, heat, paf, peaks, connections, people)

    def close(self) -> None:
        """Give the networks back. Calls that are under way are finished."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _body(self) -> BodyNetwork:
        if self._network is None:
            raise ValueError("this estimator has no body network: only `hands` can be asked")
        return self._network

    def _prepared(self, picture: PictureLike) -> _Prepared:
        start = perf_counter()
        straight = as_picture(picture)
        views = [straight, straight[:, ::-1]] if self._mirror else [straight]
        scales = [
            [_View(*preprocess(view), mirrored=index == 1) for index, view in enumerate(views)]
            for preprocess in self._preprocessings
        ]
        return _Prepared(straight, scales, perf_counter() - start)

    def _people(self, group: list[_Prepared]) -> list[Poses]:
        """The people of pictures of one network size."""
        if not group:
            return []
        start = perf_counter()
        passes = self._passes(group)
        network = (perf_counter() - start) / len(group)
        return [
            self._decoded(one, prepared, network)
            for one, prepared in zip(passes, group, strict=True)
        ]

    def _passes(self, group: list[_Prepared]) -> list[list[Pass]]:
        """Every pass of each picture: one network run a scale for the whole group."""
        passes: list[list[Pass]] = [[] for _ in group]
        for views_by_picture in zip(*(prepared.scales for prepared in group), strict=True):
            views = [
                (view, of_picture)
                for of_picture, views in zip(passes, views_by_picture, strict=True)
                for view in views
            ]
            maps = self._body.run(np.stack([view.image for view, _ in views]))
            for heat, paf, (view, of_picture) in zip(*maps, views, strict=True):
                of_picture.append(Pass(heat, paf, view.geometry, view.mirrored))
        return passes

    def _decoded(self, passes: list[Pass], prepared: _Prepared, network: float) -> Poses:
        start = perf_counter()
        topology = self._body.topology
        heat, paf, geometry = merge(passes, topology)
        people = self._decode(heat, paf, topology=topology, geometry=geometry)
        decode = perf_counter() - start
        timings = {"preprocess": prepared.seconds, "network": network, "decode": decode}
        if self._hands is None:
            return replace(people, timings=timings)
        start = perf_counter()
        hands = self._hands.of_people(prepared.picture, people)
        timings["hands"] = perf_counter() - start
        return replace(people, hands=hands, timings=timings)


def _chosen(network: str | PathLike[str] | None) -> str | PathLike[str] | None:
    """A network, or None where none is wanted."""
    return None if network == "none" else network


def _for_network(preprocessings: list[Preprocessing], network: BodyNetwork) -> list[Preprocessing]:
    """The same with the network's stride and size. Raises ValueError for scales it cannot take."""
    size = network.fixed_size
    if size is not None and len(preprocessings) > 1:
        raise ValueError(
            f"the network takes pictures of {size[0]} x {size[1]} only, so there are no scales to "
            "choose from"
        )
    return [replace(one, stride=network.stride, fixed_size=size) for one in preprocessings]


def _at_scales(
    height: int, fit: Fit, max_pixels: int | None, scales: Sequence[float]
) -> list[Preprocessing]:
    """The preprocessing of each scale. The bound on pixels grows with the scale's square."""
    if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError(f"scales must be positive numbers, at least one, not {scales!r}")
    base = Preprocessing(height=height, fit=fit, max_pixels=max_pixels)
    bound = base.height**2 * LONGEST if max_pixels is None else max_pixels
    # No bound is smaller than a map cell, which Preprocessing would refuse.
    least = base.stride**2
    return [
        replace(
            base,
            height=max(1, round(height * scale)),
            max_pixels=max(least, round(bound * scale**2)),
        )
        for scale in scales
    ]


@dataclass(frozen=True, eq=False)
class _View:
    """A network input, how it lies in the picture (or its mirror image), and which it is."""

    image: Picture
    geometry: Geometry
    mirrored: bool


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A picture, its network inputs, by scale, and the seconds they took."""

    picture: Picture
    scales: list[list[_View]]
    seconds: float
