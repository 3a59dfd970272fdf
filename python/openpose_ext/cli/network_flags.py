"""The flags for networks that several commands share.

OpenPose's own flags are in `openpose_flags`.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from openpose_ext.cli.flags import Flags
from openpose_ext.cli.values import FALSE, TRUE, positive
from openpose_ext.errors import UsageError
from openpose_ext.models.lookup import NETWORKS
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.stages.refine import stature_at

__all__ = [
    "DEFAULT_BODY",
    "DEFAULT_CLOSER",
    "NETWORK_BOOLEANS",
    "add_backend",
    "add_closer_flags",
    "add_detect_every",
    "add_network_flags",
    "body_network",
    "closer_flags",
    "detect_every",
    "network_flags",
    "refuse_detect_every",
]

DEFAULT_BODY = "lite"

DEFAULT_CLOSER = "lite"  # the network of --hand, --face or --foot without a name

_CLOSER = ("hand", "face", "foot")


# Flags that `PoseEstimator` takes unchanged. Body and height are missing: they have aliases.
_NETWORK_FLAGS = (
    "backend", "device", "precision", "threads", "normalise", "fit", "scales", "mirror", "refine",
    "turned", "mode", "raw_scores",
)  # fmt: skip
# The flags without a value.
NETWORK_BOOLEANS = ("mirror", "raw_scores", "turned", "whole")


def add_network_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags for the body network; `--body` and `--height` default to None."""
    flags = Flags(group)
    flags.value("--body NAME|FILE", f"Body network (default {DEFAULT_BODY})")
    add_backend(flags)
    flags.value(
        "--device DEVICE", "Device, as the engine names it: cpu, GPU, cuda:0, ...", default="cpu"
    )
    flags.choice(
        "--precision",
        "Arithmetic precision; auto picks the fastest one this processor computes correctly",
        ("auto", "f32", "bf16", "f16"),
        "auto",
    )
    flags.value(
        "--threads N",
        "Number of threads the engine uses (default: its own choice)",
        positive,
    )
    flags.value(
        "--normalise MEAN,DIVISOR",
        "Input range of the body network, if its manifest is missing or wrong: 128,256 for the "
        "original networks, 0,1 for networks that normalise the picture themselves",
        _normalisation,
    )
    flags.value("--height H", f"Network input height in pixels (default {HEIGHT})", positive)
    flags.choice(
        "--fit",
        "pad keeps the picture's aspect ratio, stretch does not",
        ("pad", "stretch"),
        "pad",
    )
    flags.value(
        "--scales S,S,...",
        "Run the network at these multiples of the height and average the maps, such as 0.5,1,1.5 "
        "(default 1)",
        _scales,
        (1.0,),
    )
    flags.switch("--mirror", "Also run the network on the mirrored picture and average the maps")
    flags.value(
        "--refine T",
        "Look a second time, closer, where people are: finds more small people and takes up to 3.5 "
        "times as long. T is the height of people in that look, in network pixels (without T: "
        f"{stature_at(368):.0f} at --height 368, {stature_at(256):.0f} at 256; default: off)",
        _refinement,
        False,
        nargs="?",
        const=True,
    )
    flags.switch(
        "--turned",
        "Also look at the picture turned by 90, 180 and 270 degrees: finds people who lie or are "
        "upside down and takes four times as long",
    )
    flags.choice(
        "--mode",
        "How people are decoded: fast; reference follows the original rules exactly, but slowly; "
        "zoo follows those of VastModelZoo's script, also for hands",
        ("fast", "reference", "zoo"),
        "fast",
    )
    flags.switch(
        "--raw_scores",
        "Report the heat maps' own scores of parts, instead of the share of parts with that score "
        "that are right. Networks without a calibration always do.",
    )


def add_backend(flags: Flags) -> None:
    """Add the flag that names the engine."""
    flags.value(
        "--backend NAME",
        "Inference engine: auto, openvino, onnxruntime, torch or vsx",
        default="auto",
    )


def add_detect_every(group: argparse._ArgumentGroup) -> None:
    """Add the flag that says how often the network sees a video's whole frames."""
    Flags(group).value(
        "--detect_every N",
        "Look at the whole frame every N frames of a video or camera, and in between only where "
        "people are, which is faster. New people are found within N frames",
        positive,
        1,
    )


def detect_every(args: argparse.Namespace) -> int:
    """The value of that flag. Raises UsageError in modes that need whole frames."""
    every: int = args.detect_every
    if every > 1 and args.mode != "fast":
        raise UsageError(f"--mode {args.mode} needs whole frames; omit --detect_every")
    return every


def refuse_detect_every(group: argparse._ArgumentGroup) -> None:
    """Refuse that flag in a command for pictures."""

    def refused(text: str) -> int:
        raise argparse.ArgumentTypeError(
            "it applies to videos only; infer, batch and serve take it"
        )

    Flags(group).hidden("--detect_every", type=refused, metavar="N")


def network_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `PoseEstimator` from these flags, except body and height."""
    return {name: getattr(args, name) for name in _NETWORK_FLAGS}


def add_closer_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags for the networks of hands, faces and feet."""
    flags = Flags(group)
    for kind, what in (
        ("hand", "Also find hands"),
        ("face", "Also find faces, 70 points each"),
        ("foot", "Also find heels and big toes; people come out as BODY_25"),
    ):
        flags.value(
            f"--{kind} NAME|FILE",
            f"{what}, with this network: {', '.join(NETWORKS[kind])}, or a file "
            f"(default none; {DEFAULT_CLOSER} if no name follows)",
            nargs="?",
            const="true",
        )
    flags.switch(
        "--whole",
        "Find body, hands, faces and feet with the embedded networks, except those named by other "
        "flags",
    )
    flags.value(
        "--hand_detector N",
        "Also look for hands in the whole picture. A hand that belongs to no arm becomes a person "
        "without a body, listed last (default 0: only where arms end)",
        default="0",
        nargs="?",
        const="true",
    )
    flags.value(
        "--hand_scale_number N",
        "Look at each hand in N crops of different size and average",
        positive,
        1,
    )
    flags.value(
        "--hand_scale_range RANGE",
        "Spread of the crop sizes; 0.4 means 0.8 to 1.2 times",
        float,
        0.4,
    )


def body_network(given: str | None, args: argparse.Namespace) -> str:
    """The name or file for a value of `--body`; "none" where only hands are looked for.

    Raises UsageError if nothing would be looked for.
    """
    body = given or DEFAULT_BODY
    if body.lower() in TRUE:
        return DEFAULT_BODY
    if body.lower() not in (*FALSE, "none"):
        return body
    if args.hand_detector.lower() in FALSE:
        raise UsageError(f"--body {body}: a body network is needed without --hand_detector")
    return "none"


def closer_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `PoseEstimator` from these flags. Raises ValueError for empty squares."""
    chosen: dict[str, Any] = {kind: _network(getattr(args, kind)) for kind in _CLOSER}
    if args.whole:
        chosen = {kind: network or DEFAULT_CLOSER for kind, network in chosen.items()}
    chosen = {kind: None if network == "none" else network for kind, network in chosen.items()}
    if args.hand_detector.lower() not in FALSE:
        chosen["hand"] = chosen["hand"] or DEFAULT_CLOSER
        chosen["hand_detector"] = True
    number, span = args.hand_scale_number, args.hand_scale_range
    if not 0 <= span < 2:
        raise ValueError(f"--hand_scale_range must lie in 0 to 2, not {span}")
    if number > 1 and chosen["hand"] is not None:
        # OpenPose scales the square; in a larger square the hand looks smaller.
        sides = (1 - span / 2 + span * index / (number - 1) for index in range(number))
        chosen["hand_scales"] = tuple(1 / side for side in sides)
    return chosen


def _network(given: str | None) -> str | None:
    """The name or file for a flag's value; None if the flag is not given."""
    if given is None:
        return None
    if given.lower() in TRUE:
        return DEFAULT_CLOSER
    return "none" if given.lower() in (*FALSE, "none") else given


def _normalisation(text: str) -> tuple[float, float]:
    try:
        mean, divisor = map(float, text.split(","))
    except ValueError:
        mean = divisor = math.nan
    if not math.isfinite(mean) or not math.isfinite(divisor) or divisor == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mean and a divisor such as 128,256")
    return mean, divisor


def _refinement(text: str) -> bool | int:
    if text.lower() in (*TRUE, *FALSE):
        return text.lower() in TRUE
    return positive(text)


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(map(float, text.split(",")))
    except ValueError:
        scales = ()
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of scales such as 0.5,1,1.5")
    return scales
