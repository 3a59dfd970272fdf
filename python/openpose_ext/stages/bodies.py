"""Frame -> people: one picture's way through the body network and the decoder.

At each scale the picture becomes a network input, straight and perhaps mirrored; the network's maps
are averaged and decoded. All this may be done in the picture turned by quarters, too (`turned.py`);
a second look (`refine.py`) may follow; the scores are calibrated.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.io.memory import own_memory
from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.decode import DecodeOptions, decode_body
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.preprocess import HEIGHT, LONGEST, Fit, Preprocessing
from openpose_ext.stages.refine import STATURE, Refiner, stature_at
from openpose_ext.stages.turned import TURNS, best, direction, turn_frame, turn_people, united
from openpose_ext.types.arrays import Picture, Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

__all__ = ["BodyFinder", "Look", "Mode"]

Floats = npt.NDArray[np.float32]
Mode: TypeAlias = Literal["fast", "reference", "zoo"]

# Bounds of `BodyFinder.near`, as shares of the network pixels of a whole frame. It enlarges people
# only if that takes less than _CHEAP, and is not worth it if it takes more than _WORTH.
_CHEAP, _WORTH = 0.5, 0.8

# Bytes of memory that each pixel of the network's input takes at least: those of `lite`, the
# smallest network (43 bytes at 2048 x 2048).
_BYTES_A_PIXEL = 40

# Nobody is found in maps of fewer rows: with 24 network pixels not one of 13 pictures of people.
_FEWEST_CELLS = 4

# One empty cell for each channel of COCO_18.
_NO_MAPS = np.zeros((19, 1, 1), np.float32), np.zeros((38, 1, 1), np.float32)


class Look(NamedTuple):
    """One picture's maps and people.

    input     (H, W, 3) uint8 BGR: the network's input at the first scale
    geometry  how the maps lie in the picture
    heat      (K + 1, h, w) float32, the mean over all passes
    paf       (2 L, h, w) float32, alike
    people    in the picture's frame, best first
    """

    input: Picture
    geometry: Geometry
    heat: Floats
    paf: Floats
    people: Poses


class BodyFinder:
    """Finds people in frames. Thread-safe; call `fit_network` before the first frame.

    The arguments are those of `PoseEstimator`. Raises ValueError or TypeError for those that are
    out of range or contradict each other.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        options: DecodeOptions | None,
        raw_scores: bool,
        height: int,
        fit: Fit,
        max_pixels: int | None,
        scales: Sequence[float],
        mirror: bool,
        refine: bool | float,
        refine_pixels: float,
        turned: bool,
    ) -> None:
        if options is not None and not isinstance(options, DecodeOptions):
            raise TypeError(f"options must be DecodeOptions or None, not {type(options).__name__}")
        rules = "reference" if mode == "zoo" else mode
        self._decode = partial(decode_body, mode=rules, options=options)
        self._zoo = mode == "zoo"
        self._options = options or DecodeOptions()
        self._raw_scores = raw_scores or mode != "fast"
        self._preprocessings = _at_scales(height, fit, max_pixels, scales)
        if mode == "zoo" and (len(self._preprocessings) > 1 or mirror):
            raise ValueError('mode "zoo" looks at a picture once: leave scales and mirror out')
        self._scales = tuple(scales)
        self._mirror = mirror
        self._stature = stature_at(height)
        tall = self._stature if refine is True else refine
        self.refiner = _refiner(tall, refine_pixels, scales, mirror, mode, options)
        if turned and mode != "fast":
            raise ValueError(f'mode "{mode}" does not turn pictures: turned needs mode="fast"')
        self._turns = TURNS if turned else TURNS[:1]
        self._told_of_panorama = max_pixels is not None  # who gives a bound knows of it
        self._decode(*_NO_MAPS)  # raises for a mode and options that do not go together

    def fit_network(self, network: BodyNetwork) -> None:
        """Take the network's stride and input size. Raises ValueError for scales it cannot take."""
        size = network.fixed_size
        if self._zoo:
            from openpose_ext.stages.zoo import zoo_preprocessing

            self._preprocessings = [zoo_preprocessing(size, network.stride)]
            return
        if size is not None and len(self._preprocessings) > 1:
            raise ValueError(
                f"the network takes pictures of {size[0]} x {size[1]} only, so there are no scales "
                "to choose from"
            )
        for one in self._preprocessings if size is None else ():
            too_large = _too_large((one.height, one.height))
            if too_large:
                raise ValueError(f"height {one.height}: {too_large}")
            if one.height < _FEWEST_CELLS * network.stride:
                warnings.warn(
                    f"height {one.height}: nobody is large enough to be found in {one.height} "
                    f"network pixels; {HEIGHT} is usual",
                    stacklevel=3,
                )
        self._preprocessings = [
            replace(one, stride=network.stride, fixed_size=size) for one in self._preprocessings
        ]

    def __call__(self, frame: Frame, network: BodyNetwork) -> Look:
        """Find the people of a frame; `timings` has "preprocess", "network", "decode", "refine".

        Raises SourceError if the network's input would not fit into memory, BackendError if the
        engine fails.
        """
        timings = {"preprocess": 0.0, "network": 0.0, "decode": 0.0}
        frames = [turn_frame(frame, turn) for turn in self._turns]
        looks = [self._look(one, turn, network, timings) for turn, one in enumerate(frames)]
        found = [look.people for look in looks]
        if len(found) > 1:
            found = best(found)
        if self.refiner is not None:
            start = perf_counter()
            pixels = self._pixels(frame)
            for turn, (one, look) in enumerate(zip(frames, looks, strict=True)):
                first = Pass(look.heat, look.paf, look.geometry)
                found[turn] = self.refiner(one, found[turn], first, pixels, network)
            timings["refine"] = perf_counter() - start
        people = self._calibrated(self._united(found), network)
        return looks[0]._replace(people=replace(people, timings=timings))

    def _look(
        self, frame: Frame, turn: int, network: BodyNetwork, timings: dict[str, float]
    ) -> Look:
        """Look at a frame that was turned by so many quarters; the time it takes is added."""
        start = perf_counter()
        inputs = self._inputs(frame, turn)
        seen = perf_counter()
        answers = passes(inputs, network)
        answered = perf_counter()
        heat, paf, geometry = merge(answers, network.topology)
        people = self._decode(heat, paf, topology=network.topology, geometry=geometry)
        timings["preprocess"] += seen - start
        timings["network"] += answered - seen
        timings["decode"] += perf_counter() - answered
        return Look(inputs[0].image, geometry, heat, paf, people)

    def _united(self, found: Sequence[Poses]) -> Poses:
        """The people of all directions, each in its own frame, in the frame of the first."""
        return united(found, self._options.max_people) if len(found) > 1 else found[0]

    def near(self, frame: Frame, expected: Poses, network: BodyNetwork) -> Poses | None:
        """Find people only where some are expected, which takes fewer network pixels.

        expected  people of an earlier frame of the same size

        Returns None if looking at the whole frame is as cheap.
        """
        start = perf_counter()
        directions = direction(expected) if len(self._turns) > 1 else np.zeros(len(expected))
        found = []
        for turn in self._turns:
            some = turn_people(expected[directions == turn], turn)
            look: Poses | None = Poses.empty(some.size, some.topology)
            if len(some):
                look = self._near(turn_frame(frame, turn), some, network)
            if look is None:
                return None
            found.append(look)
        people = self._calibrated(self._united(found), network)
        timings = {"preprocess": 0.0, "network": perf_counter() - start, "decode": 0.0}
        return replace(people, timings=timings)

    def _near(self, frame: Frame, expected: Poses, network: BodyNetwork) -> Poses | None:
        whole = self._pixels(frame)
        if self.refiner is not None:
            bound = self.refiner.pixels * whole
            return self.refiner.alone(frame, expected, bound, self.refiner.stature, network)
        tall = self._stature
        refiner = Refiner(tall, 1.0, self._scales, self._mirror, self._options)
        # Enlarge people if that is cheap; else show them as large as the whole frame does.
        people = refiner.alone(frame, expected, _CHEAP * whole, tall, network)
        if people is not None:
            return people
        scale = max(self._preprocessings, key=lambda one: one.height)
        factor = scale.input_size(frame.size)[1] / frame.size[1]
        shown = float(np.median(np.ptp(expected.keypoints[..., 1], axis=1)))
        return refiner.alone(frame, expected, _WORTH * whole, max(factor * shown, 8), network)

    def _pixels(self, frame: Frame) -> int:
        """The pixels of all inputs of a look at the frame."""
        views = 2 if self._mirror else 1
        return views * sum(math.prod(one.input_size(frame.size)) for one in self._preprocessings)

    def _inputs(self, frame: Frame, turn: int) -> list[NetworkInput]:
        """The network's inputs of a frame: for each scale straight, then perhaps mirrored.

        People are as large in a frame that was turned by a quarter as in the frame before that.
        """
        if not self._told_of_panorama and not turn:
            self._tell_of_panorama(frame)
        inputs = []
        for preprocess in self._preprocessings:
            if turn % 2:
                sideways = preprocess.content_size(frame.size[::-1])[0]
                preprocess = replace(preprocess, height=sideways)
            too_large = _too_large(preprocess.input_size(frame.size))
            if too_large:
                raise SourceError(f"{frame.source or 'the picture'}: {too_large}")
            straight = NetworkInput(*preprocess(frame))
            inputs += [straight, straight.mirror_image()] if self._mirror else [straight]
        return inputs

    def _calibrated(self, people: Poses, network: BodyNetwork) -> Poses:
        if network.calibration is None or self._raw_scores:
            return people
        return network.calibration(people)

    def _tell_of_panorama(self, frame: Frame) -> None:
        """Warn once if a picture is so long that the default `max_pixels` makes it smaller."""
        asked = self._preprocessings[0]
        if asked.fixed_size is not None:
            return
        seen = asked.content_size(frame.size)[1]
        if seen < asked.height:
            self._told_of_panorama = True
            width, height = frame.size
            warnings.warn(
                f"{frame.source or 'a picture'} of {width} x {height} pixels is so long that the "
                f"network sees it {seen} instead of {asked.height} pixels high (max_pixels); "
                "people may be too small in it, and cutting it into pieces helps",
                SourceWarning,
                stacklevel=2,
            )


def _too_large(size: Size) -> str:
    """Why there is no memory for a network input of (width, height); empty if there is."""
    memory, needed = own_memory(), math.prod(size) * _BYTES_A_PIXEL
    if memory is None or needed <= memory:
        return ""
    return (
        f"a network input of {size[0]} x {size[1]} pixels takes {needed / 1e9:.0f} GB, and there "
        f"are {memory / 1e9:.0f} GB of memory; {HEIGHT} is the usual height"
    )


def _refiner(
    stature: float,
    pixels: float,
    scales: Sequence[float],
    mirror: bool,
    mode: str,
    options: DecodeOptions | None,
) -> Refiner | None:
    """The second look, None if it is not asked for. Raises ValueError for wrong arguments."""
    refiner = Refiner(stature or STATURE, pixels, tuple(scales), mirror, options or DecodeOptions())
    if stature is False:
        return None
    if not stature > 0:
        raise ValueError(f"refine must be True, False or a height in pixels, not {stature!r}")
    if mode != "fast":
        raise ValueError(f'mode "{mode}" has no second look: refine needs mode="fast"')
    return refiner


def _at_scales(
    height: int, fit: Fit, max_pixels: int | None, scales: Sequence[float]
) -> list[Preprocessing]:
    """The preprocessing for each scale. The bound on pixels grows with the scale's square."""
    if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError(f"scales must be positive numbers, at least one, not {scales!r}")
    base = Preprocessing(height=height, fit=fit, max_pixels=max_pixels)
    bound = base.height**2 * LONGEST if max_pixels is None else max_pixels
    # Preprocessing refuses a bound that is smaller than a map cell.
    least = base.stride**2
    return [
        replace(
            base,
            height=max(1, round(height * scale)),
            max_pixels=max(least, round(bound * scale**2)),
        )
        for scale in scales
    ]
