"""Batches of pictures for a network, and their colours changed at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["cover", "pictures", "recolour"]


def pictures(images: npt.NDArray[np.uint8]) -> Tensor:
    """Channels-last float pictures (n, 3, h, w) of (n, h, w, 3)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def recolour(
    batch: Tensor, rng: np.random.Generator, gain: float, offset: float, grey: float
) -> None:
    """Brightness, contrast, tint and saturation, in place; shares and grey levels of spread."""
    n = len(batch)

    def noise(all_alike: float, each: float) -> Tensor:
        drawn = rng.normal(0, all_alike, (n, 1, 1, 1)) + rng.normal(0, each, (n, 3, 1, 1))
        return torch.from_numpy(drawn.astype(np.float32))

    factor = noise(gain, gain / 3).exp_()
    shift = 110 + noise(offset, offset / 3) - 110 * factor
    batch.mul_(factor).add_(shift).clamp_(0, 255)
    for picture in batch[torch.from_numpy(rng.random(n) < grey)]:
        kept = float(rng.uniform(0, 0.8))
        picture.mul_(kept).add_(picture.mean(0, keepdim=True), alpha=1 - kept)


def cover(batch: Tensor, rng: np.random.Generator) -> None:
    """Something in front of some, in place."""
    side = batch.shape[-1]
    for picture in batch[torch.from_numpy(rng.random(len(batch)) < 0.15)]:
        height, width = rng.integers(side // 14, side // 3, 2)
        y, x = rng.integers(0, side - height), rng.integers(0, side - width)
        colour = torch.from_numpy(rng.uniform(0, 255, (3, 1, 1)).astype(np.float32))
        picture[:, y : y + height, x : x + width] = colour
