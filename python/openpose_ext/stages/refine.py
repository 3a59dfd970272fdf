"""The second look: people -> the same people, found again in enlarged regions.

A bottom-up network finds small people badly, and large ones only in pieces. The first look tells
where people are and how tall. The second cuts each out with a margin, resized to the height that
suits the network, and runs the same network on it. The maps of both looks are averaged on the finer
grid and decoded, and the people found are united with those of the first look (`regions.hpp`,
`unite.hpp`).

Averaging maps and then uniting people was better than only uniting people: AP with mobilenet was
.576, .533 (coco_val, heights 368 and 256) and .394 (other pictures of COCO) instead of .568, .532
and .387 for the same number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from openpose_ext import _core
from openpose_ext.io.resize import part_at_size, where_colours_begin
from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.decode import DecodeOptions, decode_bodies
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.preprocess import HEIGHT, padded
from openpose_ext.types.arrays import Box, Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["REFINE_PIXELS", "STATURE", "Refiner", "stature_at"]

# The result of `_core.find_regions`: box in the picture, size of its place in a network input, size
# of the content, indices of the people, and the input's number with the place's corner in it.
_Region: TypeAlias = tuple[Box, Size, Size, list[int], tuple[int, int, int]]

# Height of people in the second look, in network pixels, if pictures are resized to a height of
# 368. AP of mobilenet on coco_val at 240, 270, 300, 340: .568, .578, .577, .579; on 136 other
# pictures .381, .386, .391, .383.
STATURE = 300

REFINE_PIXELS = 2.5

# Margin around the seen parts of a person, for the parts that were not seen, in heights of the
# person. With 0.15 AP (mobilenet, height 368) is 0.01 lower, with 0.3 it is the same for a tenth
# more pixels.
_MARGIN = 0.25

# Weight of the first look's maps; the second one's is 1. The mean AP of lite and mobilenet, on
# coco_val and on 73 other pictures, at heights 368 and 256, is .412; with 0.6 it is .410.
_FIRST = 0.4

# The sides of inputs are multiples of so many cells. Fewer sizes mean less time, because the engine
# prepares for each size once: with 8 instead of 4 there are half as many, for 6 % more pixels.
_CELLS = 4

# The same two for regions of expected people (`Refiner.alone`): more is known of where they are,
# and a short video meets each size for the first time, so there should be few sizes. With margins
# of 0.15, 0.2, 0.25 AP is .858, .852, .882 on a video of a walk and .636, .646, .622 on one of a
# street, in which one person changes ids at 0.15.
_MARGIN_EXPECTED = 0.15
_CELLS_EXPECTED = 8


def stature_at(height: int) -> float:
    """The height of people in the second look, in network pixels, for a height of the first look.

    It grows with the square root of the first look's height: a smaller first look leaves fewer
    pixels for the second one, but people still need a certain size. At height 256 it is 250, where
    200, 230, 250, 270 gave AP .362, .366, .368, .368 on those 136 pictures.
    """
    return STATURE * math.sqrt(height / HEIGHT)


@dataclass(frozen=True)
class Refiner:
    """The second look.

    stature  height of people in it, in network pixels
    pixels   most network pixels, as a multiple of those of the first look; `find_regions` says what
             is given up first
    scales   run the network on regions at each of these multiples of the size
    mirror   also run it on mirrored regions
    options  options of the decoder

    Raises ValueError for a stature or bound that is not positive.
    """

    stature: float = STATURE
    pixels: float = REFINE_PIXELS
    scales: Sequence[float] = (1.0,)
    mirror: bool = False
    options: DecodeOptions = field(default_factory=DecodeOptions)

    def __post_init__(self) -> None:
        for name in ("stature", "pixels"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} of the second look must be above 0, not {value!r}")

    def __call__(
        self, frame: Frame, people: Poses, first: Pass, pixels: int, network: BodyNetwork
    ) -> Poses:
        """The people of a frame after the second look, in the frame's pixels.

        people  the people that the first look found
        first   the first look's maps, the mean over its scales
        pixels  network pixels of all inputs of the first look
        """
        regions = self._regions(
            frame, people, self.pixels * pixels, self.stature, network, _MARGIN, _CELLS
        )
        if not regions:
            return people
        closer = self._look(frame, regions, people.topology, first, network)
        return self._united(people, closer, regions)

    def alone(
        self, frame: Frame, expected: Poses, pixels: float, stature: float, network: BodyNetwork
    ) -> Poses | None:
        """The people in regions where some are expected; the rest of the frame is not seen.

        expected  people of an earlier frame; nothing of them gets into the result
        pixels    most network pixels
        stature   height of people in network pixels

        Returns None if regions for all of them take more network pixels.
        """
        regions = self._regions(
            frame, expected, pixels, stature, network, _MARGIN_EXPECTED, _CELLS_EXPECTED
        )
        if sum(len(whom) for *_, whom, _ in regions) < len(expected):
            return None
        closer = self._look(frame, regions, expected.topology, None, network)
        return self._united(Poses.empty(frame.size, expected.topology), closer, regions)

    def _regions(
        self,
        frame: Frame,
        people: Poses,
        pixels: float,
        stature: float,
        network: BodyNetwork,
        margin: float,
        cells: int,
    ) -> list[_Region]:
        views = sum(scale**2 for scale in self.scales) * (2 if self.mirror else 1)
        return _core.find_regions(
            _tables(people),
            people.topology.core,
            frame.size,
            stature=stature,
            pixels=pixels / views,
            margin=margin,
            step=cells * network.stride,
            fixed_size=network.fixed_size,
        )

    def _look(
        self,
        frame: Frame,
        regions: Sequence[_Region],
        topology: Topology,
        first: Pass | None,
        network: BodyNetwork,
    ) -> list[Poses]:
        """The people in each region, by its own maps and perhaps also those of the first look."""
        inputs = [self._inputs(frame, *region[:3], network) for region in regions]
        places = [place for *_, place in regions]
        merged = []
        for looks in _answers(inputs, places, network):
            grid = max((one.geometry for one in looks), key=lambda one: one.factor[1])
            if first is not None:
                looks.append(replace(first, weight=_FIRST * len(looks)))
            merged.append(merge(looks, topology, grid=grid))
        return decode_bodies(
            [(heat, paf) for heat, paf, _ in merged],
            topology=topology,
            geometries=[geometry for _, _, geometry in merged],
            options=replace(self.options, max_people=None),
            threads=1,
        )

    def _united(self, people: Poses, closer: Sequence[Poses], regions: Sequence[_Region]) -> Poses:
        keypoints, scores, filled = _core.unite(
            _tables(people),
            [
                (_tables(found), whom if len(people) else [])
                for found, (*_, whom, _) in zip(closer, regions, strict=True)
            ],
            people.topology.core,
            self.options.max_people,
        )
        return replace(people, keypoints=keypoints, scores=scores, filled=filled)

    def _inputs(
        self,
        frame: Frame,
        box: Box,
        size: tuple[int, int],
        content: tuple[int, int],
        network: BodyNetwork,
    ) -> list[NetworkInput]:
        """The network's inputs of a region: for each scale straight, then perhaps mirrored."""
        inputs = []
        box = where_colours_begin(frame, box)
        for scale in self.scales:
            width, height = (max(1, round(side * scale)) for side in content)
            image = part_at_size(frame, box, (width, height))
            cells = [max(1, math.ceil(side * scale / network.stride)) for side in size]
            rows, columns = cells[1] * network.stride, cells[0] * network.stride
            geometry = Geometry(
                picture=frame.size,
                network=(columns, rows),
                content=(width, height),
                factor=(width / box[2], height / box[3]),
                stride=network.stride,
                region=box,
            )
            straight = NetworkInput(padded(image, geometry.network), geometry)
            inputs += [straight, straight.mirror_image()] if self.mirror else [straight]
        return inputs


def _answers(
    inputs: Sequence[Sequence[NetworkInput]],
    places: Sequence[tuple[int, int, int]],
    network: BodyNetwork,
) -> list[list[Pass]]:
    """The network's maps for the inputs of each region.

    places  for each region the number of its input and its corner in it. They are used only if the
            network takes inputs of one size; then several regions share an input
    """
    if network.fixed_size is None or not inputs:
        answers = iter(passes([one for of_region in inputs for one in of_region], network))
        return [[next(answers) for _ in of_region] for of_region in inputs]
    found: list[list[Pass]] = [[] for _ in inputs]
    for kind in range(len(inputs[0])):  # straight, mirrored
        shared: dict[int, NetworkInput] = {}
        for of_region, (number, left, top) in zip(inputs, places, strict=True):
            one = of_region[kind]
            if number not in shared:
                grey = padded(one.image[:0, :0], network.fixed_size)
                whole = replace(one.geometry, network=network.fixed_size)
                shared[number] = NetworkInput(grey, whole, one.mirrored)
            place = shared[number].image[top:, left:][: one.image.shape[0], : one.image.shape[1]]
            place[:] = one.image[: place.shape[0], : place.shape[1]]  # no more than whole cells
        answered = dict(zip(shared, passes(list(shared.values()), network), strict=True))
        for passed, of_region, (number, left, top) in zip(found, inputs, places, strict=True):
            one, stride = of_region[kind], network.stride
            columns, rows = (side // stride for side in one.geometry.network)
            across = slice(left // stride, left // stride + columns)
            down = slice(top // stride, top // stride + rows)
            answer = answered[number]
            passed.append(
                Pass(
                    np.ascontiguousarray(answer.heat[:, down, across]),
                    np.ascontiguousarray(answer.paf[:, down, across]),
                    replace(one.geometry, lift=answer.geometry.lift),
                    one.mirrored,
                )
            )
    return found


def _tables(people: Poses) -> _core.People:
    return people.keypoints, people.scores, people.filled
