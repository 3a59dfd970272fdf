"""People -> the same people, looked at again from nearer.

A bottom-up network sees small people badly, and large ones only in pieces. The first look tells
where people are and how tall; the second cuts each out with some room, at the size that suits the
network, and runs the same network on that. The maps of both looks are averaged on the finer grid,
decoded, and the people found are united with those of the first look (`regions.hpp`, `unite.hpp`).

Averaging maps and then uniting people was better than uniting people alone: AP on coco_val with
mobilenet, heights 368 and 256, and on other pictures of COCO's, .576, .533, .394 against .568,
.532, .387 for the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from openpose_ext import _core
from openpose_ext.io.resize import part_at_size
from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.decode import DecodeOptions, decode_bodies
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.preprocess import HEIGHT, padded
from openpose_ext.types.arrays import Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["REFINE_PIXELS", "STATURE", "Refiner", "stature_at"]

# As `_core.find_regions` gives it: box, size of its place in an input, size of the content, people,
# and the input's number and where in it the place begins.
_Region: TypeAlias = tuple[tuple[int, int, int, int], Size, Size, list[int], tuple[int, int, int]]

# Network pixels that a person is brought to where pictures are brought to 368. AP of mobilenet on
# coco_val at 240, 270, 300, 340: .568, .578, .577, .579; on 136 others .381, .386, .391, .383.
STATURE = 300

REFINE_PIXELS = 2.5

# Around what was seen of a person, in statures: the parts that were not. With 0.15 AP (mobilenet,
# height 368) is 0.01 lower, with 0.3 it is the same for a tenth more pixels.
_MARGIN = 0.25

# Weight of the first look's maps where the second has 1. 0.25 to 0.6 rank alike.
_FIRST = 0.6

# Inputs are a multiple of so many cells: the fewer sizes, the fewer the network has to prepare
# for, once each; with 8 instead of 4 there are half as many, for 6 % more pixels.
_CELLS = 4

# Both of regions of people who are expected there: more of them is known, and a short video meets
# each size for the first time, so they shall be few. At 0.15, 0.2, 0.25 AP is .858, .852, .882 on a
# walk and .636, .646, .622 on a street, where one person changes ids at 0.15.
_MARGIN_EXPECTED = 0.15
_CELLS_EXPECTED = 8


def stature_at(height: int) -> float:
    """How tall people are looked at, in network pixels, where pictures are brought to a height.

    It grows with the height's root: who looks at less the first time has fewer pixels for a second
    time, too, but people do not become larger by it. At 256 it is 250, where 200, 230, 250, 270
    gave .362, .366, .368, .368 on those others.
    """
    return STATURE * math.sqrt(height / HEIGHT)


@dataclass(frozen=True)
class Refiner:
    """The second look.

    stature  network pixels that people shall be tall
    pixels   bound of its network pixels, over those of the first look; see `find_regions` for
             what is given up first
    scales   regions are looked at at each of these multiples, too
    mirror   and mirrored
    options  of the decoder

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
        """The people of a frame after a second look.

        people  of the first look
        first   its maps, the mean over its scales
        pixels  of all its network inputs
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
        """The people in the regions of those who are expected there, and nowhere else.

        expected  people of an earlier frame
        pixels    bound of the network pixels
        stature   network pixels that people shall be tall

        Returns None if there is not room for all of them within the bound. Nothing of the expected
        people is kept.
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
        """The people in each region, by its own maps and perhaps those of a first look."""
        inputs = [self._inputs(frame, *region[:3], network) for region in regions]
        places = [place for *_, place in regions]
        merged = []
        for of_region, looks in zip(inputs, _answers(inputs, places, network), strict=True):
            grid = max((one.geometry for one in of_region), key=lambda one: one.factor[1])
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
        box: tuple[int, int, int, int],
        size: tuple[int, int],
        content: tuple[int, int],
        network: BodyNetwork,
    ) -> list[NetworkInput]:
        """What the network sees of a region: at each scale, straight and perhaps mirrored."""
        inputs = []
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
    """What the network answers to the inputs of each region.

    places  of each region: the number of the input, and where it lies in that, if the network
            takes one size only: regions share inputs then
    """
    if network.fixed_size is None:
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
                    one.geometry,
                    one.mirrored,
                )
            )
    return found


def _tables(people: Poses) -> _core.People:
    return people.keypoints, people.scores, people.filled
