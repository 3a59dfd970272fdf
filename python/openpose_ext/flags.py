"""OpenPose's flags and what becomes of each here, and the flags that commands share.

A person who comes from OpenPose types what they are used to: every flag of it is an option of
ours, is mapped to one, changes nothing here, or is refused with a sentence that says why.
"""

from __future__ import annotations

import argparse
import difflib
import glob
import math
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from openpose_ext.backends import ENGINES
from openpose_ext.models.lookup import HAND_NETWORKS
from openpose_ext.preprocess import HEIGHT

__all__ = [
    "DEFAULT_BODY",
    "DEFAULT_HAND",
    "NETWORK_BOOLEANS",
    "OPENPOSE_FLAGS",
    "OpenPoseFlag",
    "Treatment",
    "add_hand_flags",
    "add_network_flags",
    "add_openpose_flags",
    "hand_flags",
    "network_flags",
    "parse",
    "positive",
]

DEFAULT_BODY = "lite"
DEFAULT_HAND = "lite"  # of a bare --hand


class Treatment(Enum):
    """What becomes of one of OpenPose's flags."""

    OPTION = "an option of `infer`, of the same name or mapped to others"
    NEUTRAL = "accepted; changes nothing here"
    REFUSED = "refused, unless its value asks for nothing"


@dataclass(frozen=True)
class OpenPoseFlag:
    """One of OpenPose's flags.

    name       without the dashes
    default    OpenPose's own; `false` for flags without a value
    treatment  what becomes of it
    note       what it is mapped to, why it changes nothing, or why it is refused
    harmless   further values that ask for nothing
    """

    name: str
    default: str
    treatment: Treatment
    note: str
    harmless: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether it stands without a value."""
        return self.default == "false"

    def asks_for_nothing(self, value: str | bool) -> bool:
        """Whether a value given is OpenPose's default, or as good as."""
        return any(_same(str(value), other) for other in (self.default, *self.harmless))


_FACES = "faces are not looked for"
_LENS = "lenses are not corrected"
_OPAQUE = "skeletons are drawn without transparency"
_WINDOW = "there is no window; --display opens a page in the browser"
_DEVICE = "choose the device with --device"

_OPTION, _NEUTRAL, _REFUSED = Treatment.OPTION, Treatment.NEUTRAL, Treatment.REFUSED

OPENPOSE_FLAGS = (
    # Input
    OpenPoseFlag("image_dir", "", _OPTION, "an INPUT"),
    OpenPoseFlag("video", "", _OPTION, "an INPUT"),
    OpenPoseFlag(
        "camera", "-1", _OPTION, "the same; -1 is the first camera, if nothing else is given"
    ),
    OpenPoseFlag("camera_resolution", "-1x-1", _OPTION, "the same"),
    OpenPoseFlag("ip_camera", "", _OPTION, "the same; an address is an INPUT, too"),
    OpenPoseFlag("frame_first", "0", _OPTION, "the same"),
    OpenPoseFlag("frame_step", "1", _OPTION, "the same"),
    OpenPoseFlag("frame_last", "-1", _OPTION, "the same"),
    OpenPoseFlag("frame_flip", "false", _OPTION, "the same"),
    OpenPoseFlag("frame_rotate", "0", _OPTION, "the same"),
    OpenPoseFlag("frame_undistort", "false", _REFUSED, _LENS),
    OpenPoseFlag("camera_parameter_path", "models/cameraParameters/flir/", _NEUTRAL, _LENS),
    OpenPoseFlag("frames_repeat", "false", _REFUSED, "a video is read once"),
    OpenPoseFlag(
        "process_real_time",
        "false",
        _REFUSED,
        "files are read as fast as they can be; cameras drop frames by themselves",
    ),
    OpenPoseFlag("3d_views", "-1", _REFUSED, "views are not combined"),
    # General
    OpenPoseFlag(
        "model_folder",
        "models/",
        _REFUSED,
        "a network is given by name or as a file with --body; names are looked up in "
        "$OPENPOSE_EXT_MODELS",
    ),
    OpenPoseFlag("output_resolution", "-1x-1", _REFUSED, "pictures are written in their own size"),
    OpenPoseFlag("num_gpu", "-1", _REFUSED, _DEVICE, ("0",)),
    OpenPoseFlag("num_gpu_start", "0", _REFUSED, _DEVICE),
    OpenPoseFlag("keypoint_scale", "0", _OPTION, "the same, 0 to 4"),
    OpenPoseFlag("number_people_max", "-1", _OPTION, "the same"),
    OpenPoseFlag("maximize_positives", "false", _REFUSED, "thresholds cannot be set here yet"),
    OpenPoseFlag("fps_max", "-1", _NEUTRAL, "frames are taken as fast as they can be looked at"),
    OpenPoseFlag("logging_level", "3", _NEUTRAL, "only errors and the summary are printed"),
    OpenPoseFlag("disable_multi_thread", "false", _NEUTRAL, "see --threads"),
    # Body
    OpenPoseFlag("body", "1", _OPTION, "--body NAME or FILE; 1 is the default network"),
    OpenPoseFlag("model_pose", "BODY_25", _OPTION, "--body body25 or openpose"),
    OpenPoseFlag("net_resolution", "-1x368", _OPTION, "--height; a width bounds the input's area"),
    OpenPoseFlag("net_resolution_dynamic", "1", _REFUSED, "bound the input with --net_resolution"),
    OpenPoseFlag("scale_number", "1", _OPTION, "--scales"),
    OpenPoseFlag("scale_gap", "0.25", _OPTION, "--scales"),
    OpenPoseFlag("upsampling_ratio", "0", _REFUSED, "see --mode", ("-1",)),
    OpenPoseFlag("heatmaps_add_parts", "false", _OPTION, "the same"),
    OpenPoseFlag("heatmaps_add_bkg", "false", _OPTION, "the same"),
    OpenPoseFlag("heatmaps_add_PAFs", "false", _OPTION, "the same"),
    OpenPoseFlag("heatmaps_scale", "2", _OPTION, "the same"),
    OpenPoseFlag("part_candidates", "false", _OPTION, "the same"),
    # Hand and face
    OpenPoseFlag("hand", "0", _OPTION, "--hand NAME or FILE; 1 is the default network"),
    OpenPoseFlag("hand_detector", "0", _REFUSED, "hands are looked for where arms end"),
    OpenPoseFlag(
        "hand_net_resolution", "368x368", _NEUTRAL, "hand networks have sizes of their own"
    ),
    OpenPoseFlag("hand_scale_number", "1", _OPTION, "the same"),
    OpenPoseFlag("hand_scale_range", "0.4", _OPTION, "the same"),
    OpenPoseFlag("face", "false", _REFUSED, _FACES),
    OpenPoseFlag("face_detector", "0", _NEUTRAL, _FACES),
    OpenPoseFlag("face_net_resolution", "368x368", _NEUTRAL, _FACES),
    # Extra
    OpenPoseFlag("3d", "false", _REFUSED, "views are not combined"),
    OpenPoseFlag("identification", "false", _OPTION, "the same"),
    OpenPoseFlag("tracking", "-1", _OPTION, "N is --track_every N + 1; -1 is neither"),
    # Rendering
    OpenPoseFlag("render_pose", "-1", _OPTION, "0 draws nothing"),
    OpenPoseFlag("render_threshold", "0.05", _OPTION, "the same"),
    OpenPoseFlag("hand_render_threshold", "0.2", _OPTION, "the same"),
    OpenPoseFlag("face_render_threshold", "0.4", _NEUTRAL, _FACES),
    OpenPoseFlag("alpha_pose", "0.6", _REFUSED, _OPAQUE, ("1",)),
    OpenPoseFlag("alpha_heatmap", "0.7", _NEUTRAL, "heat maps are not drawn"),
    OpenPoseFlag("hand_alpha_pose", "0.6", _REFUSED, _OPAQUE, ("1",)),
    OpenPoseFlag("hand_alpha_heatmap", "0.7", _NEUTRAL, "heat maps are not drawn"),
    OpenPoseFlag("disable_blending", "false", _OPTION, "the same"),
    OpenPoseFlag("part_to_show", "0", _REFUSED, "heat maps are not drawn"),
    OpenPoseFlag("display", "-1", _OPTION, "1, 2 and 3 open a page in the browser"),
    OpenPoseFlag("fullscreen", "false", _REFUSED, _WINDOW),
    OpenPoseFlag("no_gui_verbose", "false", _NEUTRAL, "nothing is written on the pictures"),
    OpenPoseFlag("cli_verbose", "-1", _NEUTRAL, "a terminal gets a progress bar"),
    # Output
    OpenPoseFlag("write_images", "", _OPTION, "the same"),
    OpenPoseFlag("write_images_format", "png", _OPTION, "the same"),
    OpenPoseFlag("write_video", "", _OPTION, "the same; H.264"),
    OpenPoseFlag("write_video_fps", "-1", _OPTION, "the same"),
    OpenPoseFlag("write_video_with_audio", "false", _NEUTRAL, "a file's sound always comes along"),
    OpenPoseFlag("write_json", "", _OPTION, "the same"),
    OpenPoseFlag("write_coco_json", "", _OPTION, "the same"),
    OpenPoseFlag(
        "write_coco_json_variants",
        "1",
        _NEUTRAL,
        "the body, and hands and feet where they are known",
    ),
    OpenPoseFlag(
        "write_coco_json_variant",
        "0",
        _NEUTRAL,
        "the body, and hands and feet where they are known",
    ),
    OpenPoseFlag("write_heatmaps", "", _OPTION, "the same"),
    OpenPoseFlag("write_heatmaps_format", "png", _OPTION, "png, npy, float, ..."),
    OpenPoseFlag("write_keypoint", "", _REFUSED, "use --write_json"),
    OpenPoseFlag("write_keypoint_format", "yml", _NEUTRAL, "use --write_json"),
)

# Flags that `PoseEstimator` takes as they are. Not body and height, which have other names too.
_NETWORK_FLAGS = (
    "backend", "device", "precision", "threads", "normalise", "fit", "scales", "mirror", "mode",
)  # fmt: skip
# Those of them without a value.
NETWORK_BOOLEANS = ("mirror",)

_TRUE = ("true", "1", "t", "yes", "y")
_FALSE = ("false", "0", "f", "no", "n")


def add_network_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags that say which network runs, and how; `--body`, `--height` default to None."""
    add = group.add_argument
    add("--body", metavar="NAME|FILE", help=f"the body network (default {DEFAULT_BODY})")
    add("--backend", default="auto", metavar="NAME", help="inference engine (default auto)")
    add("--device", default="cpu", help="in the engine's words: cpu, GPU, ... (default cpu)")
    add(
        "--precision",
        default="auto",
        choices=("auto", "f32", "bf16", "f16"),
        help="of the arithmetic; auto is the engine's choice",
    )
    add("--threads", type=positive, metavar="N", help="of the engine (default: its choice)")
    add(
        "--normalise",
        type=_normalisation,
        metavar="MEAN,DIVISOR",
        help="what the body network expects, where its manifest is missing or wrong: 128,256 for "
        "the original networks, 0,1 for those that normalise themselves",
    )
    add("--height", type=positive, metavar="H", help=f"of the input, pixels (default {HEIGHT})")
    add(
        "--fit",
        default="pad",
        choices=("pad", "stretch"),
        help="keep the picture's aspect ratio, or not (default pad)",
    )
    add(
        "--scales",
        type=_scales,
        default=(1.0,),
        metavar="S,S,...",
        help="average the maps of these multiples of the height, such as 0.5,1,1.5 (default 1)",
    )
    add("--mirror", action="store_true", help="average with the mirrored picture's maps")
    add(
        "--mode",
        default="fast",
        choices=("fast", "reference"),
        help="how people are decoded: reference is slow and exactly the original rules",
    )


def network_flags(args: argparse.Namespace) -> dict[str, Any]:
    """What those flags ask of `PoseEstimator`, without body and height."""
    return {name: getattr(args, name) for name in _NETWORK_FLAGS}


def add_hand_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags that say which network looks for hands, and how."""
    add = group.add_argument
    add(
        "--hand",
        nargs="?",
        const="true",
        default="none",
        metavar="NAME|FILE",
        help=f"look for hands, too, with this network: {', '.join(HAND_NETWORKS)}, or a file "
        f"(alone: {DEFAULT_HAND}; default none)",
    )
    add(
        "--hand_scale_number",
        type=positive,
        default=1,
        metavar="N",
        help="look at each hand in N squares, and average (1)",
    )
    add(
        "--hand_scale_range",
        type=float,
        default=0.4,
        metavar="RANGE",
        help="of those squares' sides: 0.4 is 0.8 to 1.2 (0.4)",
    )


def hand_flags(args: argparse.Namespace) -> dict[str, Any]:
    """What those flags ask of `PoseEstimator`. Raises ValueError for squares without a side."""
    hand = args.hand
    if hand.lower() in _TRUE:
        hand = DEFAULT_HAND
    if hand.lower() in (*_FALSE, "none"):
        return {"hand": None}
    number, span = args.hand_scale_number, args.hand_scale_range
    if not 0 <= span < 2:
        raise ValueError(f"--hand_scale_range must lie in 0 to 2, not {span}")
    if number == 1:
        return {"hand": hand}
    # OpenPose scales the square; in a larger one the hand looks smaller.
    sides = (1 - span / 2 + span * index / (number - 1) for index in range(number))
    return {"hand": hand, "hand_scales": tuple(1 / side for side in sides)}


def _names_a_hand_network(word: str) -> bool:
    """Whether a word after `--hand` is its value, and not an input: OpenPose's flag has none."""
    if word.lower() in (*_TRUE, *_FALSE, "none", *HAND_NETWORKS):
        return True
    suffix = os.path.splitext(word)[1].lower()
    if suffix:
        return any(suffix in engine.suffixes for engine in ENGINES.values())
    return not (os.path.exists(word) or os.path.dirname(word) or glob.has_magic(word))


def _normalisation(text: str) -> tuple[float, float]:
    try:
        mean, divisor = map(float, text.split(","))
    except ValueError:
        mean = divisor = math.nan
    if not math.isfinite(mean) or not math.isfinite(divisor) or divisor == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mean and a divisor such as 128,256")
    return mean, divisor


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(map(float, text.split(",")))
    except ValueError:
        scales = ()
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of scales such as 0.5,1,1.5")
    return scales


def positive(text: str) -> int:
    """A whole number above 0, as the type of a flag."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def add_openpose_flags(parser: argparse.ArgumentParser) -> None:
    """Make the parser know the flags that are not options of its own, without help."""
    for flag in OPENPOSE_FLAGS:
        if flag.treatment is Treatment.OPTION:
            continue
        if flag.is_boolean:
            parser.add_argument(f"--{flag.name}", action="store_true", help=argparse.SUPPRESS)
        else:
            parser.add_argument(f"--{flag.name}", help=argparse.SUPPRESS)


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str], booleans: Collection[str]
) -> argparse.Namespace:
    """Parse a command line as OpenPose's users write it.

    Words of a flag may be joined by `_` or `-`; OpenPose's forms of booleans (`--face=false`,
    `--noface`) and values that begin with a minus (`--net_resolution -1x368`) are understood;
    inputs and flags come in any order.

    parser    its options are written with `_`; it may have had `add_openpose_flags`
    booleans  the parser's own options without a value

    Raises SystemExit(2), after a sentence on stderr, for an unknown flag (the nearest is
    suggested), one that is refused, and a word where no input is expected.
    """
    foreign = {flag.name for flag in OPENPOSE_FLAGS if flag.is_boolean}
    args, rest = parser.parse_known_intermixed_args(_normalised(argv, foreign | {*booleans}))
    known = [f"--{name}" for name in vars(args)]
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, known, n=1)
            parser.error(f"unknown flag {name}" + (f"; did you mean {near[0]}?" if near else ""))
        parser.error(f"{word!r} is neither a flag nor the value of one")
    for flag in OPENPOSE_FLAGS:
        if flag.treatment is Treatment.REFUSED:
            value = getattr(args, flag.name, None)
            if value is not None and not flag.asks_for_nothing(value):
                parser.error(f"--{flag.name}: {flag.note}")
    return args


def _normalised(argv: Sequence[str], booleans: Collection[str]) -> list[str]:
    """The command line in argparse's terms: booleans stand alone or are left out."""
    words = list(argv)
    normal: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            return [*normal, word, *words]
        if not word.startswith("--"):
            normal.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name.removeprefix("no") in booleans and name not in booleans:
            continue
        if name == "nohand":
            name, equals, value = "hand", "=", "none"
        if name == "hand" and not equals:
            takes = bool(words) and not words[0].startswith("-") and _names_a_hand_network(words[0])
            equals, value = "=", words.pop(0) if takes else "true"
        if name in booleans and not equals and words and words[0] in ("true", "false"):
            equals, value = "=", words.pop(0)
        if name in booleans and value.lower() in _FALSE:
            continue
        if name in booleans and value.lower() in _TRUE:
            equals = value = ""
        if not equals and words and re.match(r"-\d", words[0]):
            equals, value = "=", words.pop(0)
        normal.append(f"--{name}{equals}{value}")
    return normal


def _same(a: str, b: str) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return a.lower() == b.lower()
