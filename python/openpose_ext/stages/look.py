"""The network looks: its inputs, straight and mirrored, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from openpose_ext.models.network import BodyNetwork
from openpose_ext.stages.merge import Pass
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry

__all__ = ["NetworkInput", "passes"]

# Inputs run together hold at most as many pixels as eight of 368 x 368, which bounds the memory.
_MOST_PIXELS = 8 * 368 * 368


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees.

    image     (h, w, 3) uint8 BGR
    geometry  how it lies in the picture, or in the picture's mirror image
    mirrored  which of both
    """

    image: Picture
    geometry: Geometry
    mirrored: bool = False

    def mirror_image(self) -> NetworkInput:
        """The input of the mirror image: the padding stays where it is."""
        width, height = self.geometry.content
        image = self.image.copy()
        image[:height, :width] = self.image[:height, :width][:, ::-1]
        return NetworkInput(image, self.geometry, mirrored=not self.mirrored)


def passes(inputs: Sequence[NetworkInput], network: BodyNetwork) -> list[Pass]:
    """The network's answers to inputs of any sizes, in order; those of one size run together."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(inputs):
        by_size.setdefault(one.image.shape, []).append(number)
    answers: dict[int, Pass] = {}
    for (height, width, _), numbers in by_size.items():
        most = max(1, _MOST_PIXELS // (height * width))
        for first in range(0, len(numbers), most):
            chosen = numbers[first : first + most]
            maps = network.run(np.stack([inputs[number].image for number in chosen]))
            for number, heat, paf in zip(chosen, *maps, strict=True):
                one = inputs[number]
                geometry = replace(one.geometry, lift=network.lift)
                answers[number] = Pass(heat, paf, geometry, one.mirrored)
    return [answers[number] for number in range(len(inputs))]
