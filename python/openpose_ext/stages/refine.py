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

from openpose_ext import _core
from openpose_ext.io.resize import part_at_size
from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.decode import DecodeOptions, decode_bodies
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.preprocess import padded
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

__all__ = ["REFINE_PIXELS", "STATURE", "Refiner"]

# Network pixels that a person is brought to. 240 to 280 differ by less than the noise of the
# pictures there are; more needs more pixels, less loses AP: 220 about 0.01.
STATURE = 260

REFINE_PIXELS = 2.0

# Weight of the first look's maps where the second has 1. 0.3 to 0.5 rank alike.
_FIRST = 0.4

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
        views = sum(scale**2 for scale in self.scales) * (2 if self.mirror else 1)
        regions = _core.find_regions(
            _tables(people),
            people.topology.core,
            frame.size,
            stature=self.stature,
            pixels=self.pixels * pixels / views,
            step=_CELLS * network.stride,
            fixed_size=network.fixed_size,
        )
        if not regions:
            return people
        inputs = [
            self._inputs(frame, box, size, content, network) for box, size, content, _ in regions
        ]
        answers = iter(passes([one for of_region in inputs for one in of_region], network))
        merged = []
        for of_region in inputs:
            looks = [next(answers) for _ in of_region]
            weight = _FIRST * len(looks)
            grid = max((one.geometry for one in of_region), key=lambda one: one.factor[1])
            merged.append(
                merge([*looks, replace(first, weight=weight)], people.topology, grid=grid)
            )
        closer = decode_bodies(
            [(heat, paf) for heat, paf, _ in merged],
            topology=people.topology,
            geometries=[geometry for _, _, geometry in merged],
            options=replace(self.options, max_people=None),
            threads=1,
        )
        keypoints, scores, filled = _core.unite(
            _tables(people),
            [(_tables(found), whom) for found, (*_, whom) in zip(closer, regions, strict=True)],
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
