"""INT8 quantisation of a float ONNX network to QDQ ONNX, which OpenVINO and onnxruntime both run.

This module decides which convolutions become INT8 and with which ranges; `equalise.py` prepares the
network, `rounding.py` rounds its weights, `qdq.py` writes the file.

The range of an activation is its maximum over the calibration pictures, reduced to minimise the
squared error of rounding and clipping. The convolutions that stay in float are found by
measurement: groups of four are quantised alone, then each convolution of the worst groups, and the
most harmful ones stay in float as long as that is worth its time. A network that accepts any size
is tried on smaller pictures here. The reported error is that of the result, on pictures of full
size.

Pictures that show nothing of what the network looks for lead to ranges that are too small: `sees`
recognises them, and they are refused.

onnxruntime's own quantiser lost 0.06 AP on human-pose-estimation-0001, this one 0.01. Theirs also
rounds the network's outputs and the inputs of its ELUs, which no convolution reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from openpose_ext.backends.protocol import InputFormat
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io.resize import resized
from openpose_ext.models.convert.equalise import equalised
from openpose_ext.models.convert.formats import network_input
from openpose_ext.models.convert.qdq import (
    Batch,
    FloatNetwork,
    Floats,
    Maps,
    Ranges,
    Rounded,
    outputs_of,
    together,
)
from openpose_ext.models.convert.rounding import rounded_weights

__all__ = ["Progress", "Quantised", "quantise", "worst_first"]

# Called with the name of a step, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]

# Number of pictures that measure the error; the others set the ranges. The network must find
# something in twice as many.
_HELD_OUT = 8
_ROUNDED_ON = 16  # of the others tell how the weights are rounded
_CHOSEN_ON = 4  # so many of them decide how many layers stay in float
_ALONE = 2  # so many of them are used for trying each group of layers alone
_GROUP = 4  # convolutions that are tried together first
# While the layers of large networks (in weights of convolutions) are chosen, the sides of pictures
# are divided by this: their trials take minutes otherwise. Small pictures have more error at their
# borders than large ones, so that other layers may be chosen.
_LARGE, _SMALLER = 10_000_000, 2

# Numbers of float convolutions that are tried, and the share of the error that each must remove
# to be worth its time.
_FLOAT_LAYERS = (1, 2, 3, 4, 6, 8)
_WORTH = 0.08


@dataclass(frozen=True)
class Quantised:
    """The result of a quantisation.

    float_layers  convolutions left in float, by the name of their output, worst first
    layers        number of all convolutions
    error         RMS difference from the float network's maps, relative to their standard
                  deviation, on pictures that were not used for the ranges
    """

    float_layers: tuple[str, ...]
    layers: int
    error: float


def quantise(
    source: Path,
    target: Path,
    pictures: Sequence[Batch],
    input_format: InputFormat,
    *,
    float_layers: Sequence[int] = _FLOAT_LAYERS,
    sees: Callable[[Maps], bool] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Quantised:
    """Write a float ONNX network as QDQ ONNX.

    source        an opset older than 13 is converted to 13
    pictures      (1, H, W, 3) uint8 BGR each, of sizes that the network takes: 16 or more
    input_format  what the network expects
    float_layers  how many convolutions may stay in float; 0 skips the trials
    sees          whether the float network's outputs for a picture show anything; None accepts all
                  pictures

    Raises ModelError if there are fewer than two pictures, if the network finds something in too
    few of them, or if there are no convolutions; BackendError if onnxruntime is missing.
    """
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise BackendError(
            f'INT8 needs {" and ".join(missing)}: pip install "openpose_ext[onnxruntime]"'
        )
    if len(pictures) < 2:
        raise ModelError(f"INT8 needs pictures to calibrate with; {len(pictures)} are not enough")
    inputs = [network_input(picture, input_format) for picture in pictures]
    network = FloatNetwork.read(source)
    if not network.convolutions:
        raise ModelError(f"{source} has no convolutions to quantise")
    looks = []
    for look in network.looks(inputs):
        looks.append(look)
        progress("float network", len(looks), len(inputs))
    held_out = _held_out([sees is None or sees(look.maps) for look in looks])
    calibrated = [k for k in range(len(looks)) if k not in held_out]
    network, activations = network.parted(together([looks[k] for k in calibrated]))
    trial = _Trial([inputs[k] for k in held_out], [[*looks[k].maps.values()] for k in held_out])
    del looks

    network, activations = equalised(network, activations)
    ranges = {name: activation.range() for name, activation in activations.items()}
    rounded_on = calibrated[:: -(-len(calibrated) // _ROUNDED_ON)]
    weights = rounded_weights(network, [inputs[k] for k in rounded_on])
    names = [node.name for node in network.convolutions]
    kept: list[str] = []
    counts = [count for count in float_layers if count < len(names)]
    if counts:
        chosen_on = [pictures[k] for k in held_out[:_CHOSEN_ON]]
        if input_format.size is None and network.weights > _LARGE:
            chosen_on = [_smaller(picture) for picture in chosen_on]
        small = [network_input(picture, input_format) for picture in chosen_on]
        quick = _Trial(small, list(outputs_of(network.model, small)))
        kept = _kept_in_float(network, ranges, weights, quick, counts, progress)

    import onnx

    made = network.quantised(ranges, weights, {*names}.difference(kept))
    error = trial.error(made)
    onnx.checker.check_model(made)
    onnx.save(made, target)
    named = {node.name: str(node.output[0]) for node in network.convolutions}
    return Quantised(tuple(named[name] for name in kept), len(names), error)


def _kept_in_float(
    network: FloatNetwork,
    ranges: Ranges,
    weights: Mapping[str, Rounded],
    trial: _Trial,
    counts: Sequence[int],
    progress: Progress,
) -> list[str]:
    """The convolutions that are worth leaving in float, worst first.

    counts  the numbers of convolutions that are tried
    """
    names = [node.name for node in network.convolutions]

    def error_without(kept: Sequence[str]) -> float:
        return trial.error(network.quantised(ranges, weights, {*names}.difference(kept)))

    few = _Trial(trial.inputs[:_ALONE], trial.expected[:_ALONE])
    order = worst_first(
        names,
        max(counts),
        lambda some: few.error(network.quantised(ranges, weights, {*some})),
        progress,
    )
    chosen, error = 0, error_without([])
    for k, count in enumerate(counts):
        progress("layers in float", k + 1, len(counts))
        less = error_without(order[:count])
        if less <= error * (1 - _WORTH) ** (count - chosen):
            chosen, error = count, less
    return order[:chosen]


def _held_out(seen: Sequence[bool]) -> list[int]:
    """The indices of the first pictures in which the network found something."""
    count = min(_HELD_OUT, len(seen) // 2)
    found = [k for k, one in enumerate(seen) if one]
    if len(found) < 2 * count:
        raise ModelError(
            f"INT8: the float network finds what it looks for in {len(found)} of {len(seen)} "
            f"calibration pictures, but {2 * count} are needed. Calibrate with pictures like those "
            "the network will see"
        )
    return found[:count]


def _smaller(picture: Batch) -> Batch:
    """The picture at a fraction of its size, with sides that networks with pools can take."""
    height, width = (min(n, max(64, n // _SMALLER // 8 * 8)) for n in picture.shape[1:3])
    return resized(picture[0], (width, height))[None]


def worst_first(
    names: Sequence[str],
    count: int,
    harm: Callable[[Sequence[str]], float],
    progress: Progress = lambda what, done, total: None,
) -> list[str]:
    """The `count` names that do most harm, worst first: those of the worst groups are tried alone.

    harm  measures the harm of some names together, which is at least that of each of them
    """
    groups = [names[k : k + _GROUP] for k in range(0, len(names), _GROUP)]
    tried = 0

    def worst(of: Sequence[Sequence[str]], total: int) -> list[Sequence[str]]:
        nonlocal tried
        harms = []
        for group in of:
            harms.append(harm(group))
            tried += 1
            progress("layers that do most harm", tried, total)
        order = sorted(range(len(of)), key=lambda k: harms[k], reverse=True)
        return [of[k] for k in order[:count]]

    total = len(groups) + min(count * _GROUP, len(names))
    alone = [[name] for group in worst(groups, total) for name in group]
    return [name for (name,) in worst(alone, len(groups) + len(alone))]


@dataclass(frozen=True)
class _Trial:
    """Pictures, with the float network's outputs for them."""

    inputs: Sequence[Floats]
    expected: Sequence[Sequence[Floats]]

    def error(self, model: Any) -> float:
        """See `Quantised.error`."""
        found = outputs_of(model, self.inputs)
        return float(
            np.mean(
                [
                    np.sqrt(np.mean(np.square(a - b))) / (b.std() or 1.0)
                    for maps, expected in zip(found, self.expected, strict=True)
                    for a, b in zip(maps, expected, strict=True)
                ]
            )
        )
