"""The students: plain 3 x 3 convolutions down to stride 16.

`Maps` takes BGR 0..255 pictures (n, 3, h, w), sides multiples of 8, and gives the maps of both
stages (n, maps, h / 8, w / 8); the second corrects the first and is what is shipped. `Points` takes
squares of one size and gives points and presence. Dense convolutions and ReLU only: that is what
INT8 engines are fast at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

__all__ = [
    "BODY", "FACE", "FOOT", "HAND", "Maps", "Points", "PointsShape", "Shape", "fitted", "read_onnx",
]  # fmt: skip

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """Channels at strides 2, 4, 8 and 16, residual blocks at 16 and in the refinement, outputs."""

    at2: int
    at4: int
    at8: int
    at16: int
    blocks16: int
    refinement: int
    maps: int
    background: int


BODY = Shape(32, 64, 128, 160, blocks16=4, refinement=2, maps=57, background=18)
HAND = Shape(24, 48, 96, 128, blocks16=3, refinement=1, maps=22, background=21)


@dataclass(frozen=True)
class PointsShape:
    """Channels at strides 2, 4, 8 and 16, residual blocks at the last three, and what is left.

    flat    channels that points are told from, at stride 16
    points  how many
    side    of the square, a multiple of 16
    """

    at2: int
    at4: int
    at8: int
    at16: int
    blocks: tuple[int, int, int]
    flat: int
    points: int
    side: int


FACE = PointsShape(16, 32, 64, 128, blocks=(1, 2, 2), flat=64, points=71, side=80)
FOOT = PointsShape(16, 32, 64, 96, blocks=(1, 2, 1), flat=48, points=2, side=64)

KERNEL_RMS = 0.25  # of kernels that Muon has trained for long

# Dilations in turn: the two at stride 16 see 320 pixels.
_DILATIONS16 = (1, 2)
_DILATIONS_REFINEMENT = (2, 1)


def _unit(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Block(nn.Module):
    """A residual block that starts as the identity."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.a = _unit(channels, channels, dilation=dilation)
        self.b = _unit(channels, channels)[:2]
        nn.init.zeros_(self.b[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.b(self.a(x)))


class Maps(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        self.stem = nn.Sequential(_unit(3, s.at2, 2), _unit(s.at2, s.at4, 2), _Block(s.at4))
        self.at8 = nn.Sequential(_unit(s.at4, s.at8, 2), _Block(s.at8))
        self.at16 = nn.Sequential(
            _unit(s.at8, s.at16, 2),
            *[_Block(s.at16, _DILATIONS16[k % 2]) for k in range(s.blocks16)],
        )
        self.up = nn.Sequential(nn.Conv2d(s.at16, s.at8, 1, bias=False), nn.BatchNorm2d(s.at8))
        self.mid = nn.Sequential(_Block(s.at8))
        self.head1 = nn.Conv2d(s.at8, s.maps, 1)
        self.fuse = _unit(s.at8 + s.maps, s.at8)
        self.ref = nn.Sequential(
            *[_Block(s.at8, _DILATIONS_REFINEMENT[k % 2]) for k in range(s.refinement)]
        )
        self.head2 = nn.Conv2d(s.at8, s.maps, 1)
        for head in (self.head1, self.head2):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.head1.bias[s.background] = 1.0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.at8(self.stem(x * (1 / 64) - 2))
        coarse = self.up(self.at16(fine))
        coarse = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        if not self.training:  # sides that are odd multiples of 8
            coarse = coarse[:, :, : fine.shape[2], : fine.shape[3]]
        features = self.mid(functional.relu(fine + coarse))
        first = self.head1(features)
        return first, first + self.head2(self.ref(self.fuse(torch.cat([features, first], 1))))


class Points(nn.Module):
    """BGR 0..255 pictures (n, 3, side, side) -> (n, K, 2) points in shares of the side from the
    middle of the square, and (n,) presence, a logit."""

    def __init__(self, shape: PointsShape) -> None:
        super().__init__()
        s = self.shape = shape
        self.stem = nn.Sequential(_unit(3, s.at2, 2), _unit(s.at2, s.at4, 2))
        channels = (s.at4, s.at8, s.at16)
        steps: list[nn.Module] = []
        for k, (width, blocks) in enumerate(zip(channels, s.blocks, strict=True)):
            if k:
                steps.append(_unit(channels[k - 1], width, 2))
            steps += [_Block(width) for _ in range(blocks)]
        self.features = nn.Sequential(*steps)
        self.flat = nn.Sequential(
            nn.Conv2d(s.at16, s.flat, 1, bias=False), nn.BatchNorm2d(s.flat), nn.ReLU(inplace=True)
        )
        cells = s.side // 16
        self.head_points = nn.Conv2d(s.flat, 2 * s.points, cells)
        self.head_presence = nn.Conv2d(s.flat, 1, cells)
        for head in (self.head_points, self.head_presence):
            nn.init.normal_(head.weight, std=0.003)
            nn.init.zeros_(head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.seen(x)
        points = self.head_points(seen).flatten(1).unflatten(1, (self.shape.points, 2))
        return points, self.head_presence(seen).flatten()

    def seen(self, x: Tensor) -> Tensor:
        """(n, flat, side / 16, side / 16): what points are told from."""
        return self.flat(self.features(self.stem(x * (1 / 64) - 2)))


def read_onnx(file: Path, net: Maps | Points, pictures: Tensor) -> None:
    """Give a network the weights of a file that `export.py` wrote of one of the same shape.

    pictures  (n, 3, h, w), such as it will be trained on: the file has no batch norms, and those of
              the network are set so that they change nothing on these
    """
    import onnx
    from onnx import numpy_helper

    held = {
        tensor.name.removeprefix("net.").removesuffix(".f16"): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in onnx.load(file).graph.initializer
    }
    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            with torch.no_grad():
                module.weight.copy_(held[f"{name}.weight"])
                if module.bias is not None:
                    module.bias.copy_(held[f"{name}.bias"])
        elif isinstance(module, nn.BatchNorm2d):
            bias = held[f"{name.removesuffix('1')}0.bias"]
            hooks.append(module.register_forward_pre_hook(_keeping(bias)))
    with torch.no_grad():
        net.train()(pictures)
    for hook in hooks:
        hook.remove()
    for unit in net.modules():
        if (
            isinstance(unit, nn.Sequential)
            and len(unit) > 1
            and isinstance(unit[1], nn.BatchNorm2d)
        ):
            _grown(unit[0], unit[1])


def _grown(convolution: nn.Module, norm: nn.BatchNorm2d) -> None:
    """The same function with weights as large as after a long training.

    To what comes out behind a batch norm it is all the same, but not to the size of the steps.
    """
    with torch.no_grad():
        factor = KERNEL_RMS / convolution.weight.square().mean().sqrt()
        convolution.weight.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor**2)


def _keeping(bias: Tensor) -> Any:
    """Before a batch norm: make it add this, whatever the statistics of its input are."""

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        values = inputs[0].float()
        mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0)
        norm.running_mean, norm.running_var = mean.clone(), variance.clone()
        norm.weight.data = (variance + norm.eps).sqrt()
        norm.bias.data = mean + bias

    return hook


def fitted(state: State, net: Maps) -> dict[str, Tensor]:
    """Weights of a narrower or shallower network, for this one: it begins as the same function.

    What is new is as `net` has it now, random, but nothing old listens to it yet.
    """
    made = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for name, old in state.items():
        new = made[name]
        if new.ndim == 0:
            continue  # a count of batches
        if new.ndim == 1:
            new[: len(old)] = old
            continue
        rows, columns = old.shape[:2]
        new[:rows] = 0
        if name == "fuse.0.weight":  # features, then the maps of the first stage
            split, maps = columns - net.shape.maps, net.shape.maps
            new[:rows, :split] = old[:, :split]
            new[:rows, -maps:] = old[:, split:]
        else:
            new[:rows, :columns] = old
    return made
