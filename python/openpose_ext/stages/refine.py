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

from openpose_ext import _core
from openpose_ext.io.resize import part_at_size
from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.decode import DecodeOptions, decode_bodies
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.preprocess import padded
from openpose_ext.types.arrays import Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["REFINE_PIXELS", "STATURE", "Refiner"]

# As `_core.find_regions` gives it: box, size of the input, size of the content, people.
_Region: TypeAlias = tuple[tuple[int, int, int, int], Size, Size, list[int]]

# Network pixels that a person is brought to. 240 to 280 differ by less than the noise of the
# pictures there are; more needs more pixels, less loses AP: 220 about 0.01.
STATURE = 270

REFINE_PIXELS = 2.5

# Weight of the first look's maps where the second has 1. 0.25 to 0.6 rank alike.
_FIRST = 0.6

# Inputs are a multiple of so many cells: the fewer sizes, the fewer the network has to prepare
# for, once each; with 8 instead of 4 there are half as many, for 6 % more pixels.
_CELLS = 4


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
        regions = self._regions(frame, people, self.pixels * pixels, self.stature, network)
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
        regions = self._regions(frame, expected, pixels, stature, network)
        if sum(len(whom) for *_, whom in regions) < len(expected):
            return None
        closer = self._look(frame, regions, expected.topology, None, network)
        return self._united(Poses.empty(frame.size, expected.topology), closer, regions)

    def _regions(
        self, frame: Frame, people: Poses, pixels: float, stature: float, network: BodyNetwork
    ) -> list[_Region]:
        views = sum(scale**2 for scale in self.scales) * (2 if self.mirror else 1)
        return _core.find_regions(
            _tables(people),
            people.topology.core,
            frame.size,
            stature=stature,
            pixels=pixels / views,
            step=_CELLS * network.stride,
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
        inputs = [
            self._inputs(frame, box, size, content, network) for box, size, content, _ in regions
        ]
        answers = iter(passes([one for of_region in inputs for one in of_region], network))
        merged = []
        for of_region in inputs:
            looks = [next(answers) for _ in of_region]
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
                for found, (*_, whom) in zip(closer, regions, strict=True)
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
                network=network.fixed_size or (columns, rows),
                content=(width, height),
                factor=(width / box[2], height / box[3]),
                stride=network.stride,
                region=box,
            )
            straight = NetworkInput(padded(image, geometry.network), geometry)
            inputs += [straight, straight.mirror_image()] if self.mirror else [straight]
        return inputs


def _tables(people: Poses) -> _core.People:
    return people.keypoints, people.scores, people.filled
