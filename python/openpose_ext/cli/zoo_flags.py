"""The flags of `infer` for a Vastai card, including all flags of VastModelZoo's `openpose_vsx.py`.

To replace that script, run `python -m openpose_ext.infer` with the same flags. They have the same
meaning: people are found by the script's rules (`--mode zoo`) and drawn pictures have the names of
the inputs. Only `--batch` differs: here it has an effect.
"""

from __future__ import annotations

import argparse
from typing import Any

from openpose_ext.cli.flags import Flags
from openpose_ext.cli.values import positive
from openpose_ext.errors import UsageError
from openpose_ext.types.scores import FILLED_SCORE, HAND_THRESHOLD

__all__ = ["add_zoo_flags", "card_options", "translate_zoo_flags"]

# Aliases of other flags, with the name of that flag in `args`.
_SAME = {
    "body_prefix_path": "body",
    "hand_prefix_path": "hand",
    "save_dir": "output",
    "device_id": "device",
}


def add_zoo_flags(parser: argparse.ArgumentParser) -> None:
    """Add these flags to the parser."""
    group = parser.add_argument_group(
        "on a Vastai card", "The flags of VastModelZoo's openpose_vsx.py."
    )
    flags = Flags(group)
    flags.value(
        "--body_prefix_path PREFIX",
        "Same as --backend vsx --body PREFIX --mode zoo; add --mode fast to find more people",
    )
    flags.value(
        "--body_vdsp_info JSON",
        "Preprocessing file of the body network (default PREFIX.vdsp_params.json)",
    )
    flags.value("--hand_prefix_path PREFIX", "Same as --backend vsx --hand PREFIX")
    flags.value(
        "--hand_vdsp_info JSON",
        "Preprocessing file of the hand network (default PREFIX.vdsp_params.json)",
    )
    flags.value("--batch N", "Pictures, or hands, per run of the network (default 1)", positive)
    flags.value("--device_id DIES", "Same as --device: 0, or several dies such as 0,1")
    flags.value("--file_path PATH", "Same as INPUT, but skips subfolders")
    flags.value("--save_dir DIR", "Same as -o, but drawn pictures keep the inputs' names")
    parser.set_defaults(mode=None, hand_render_threshold=None)  # depend on these flags


def translate_zoo_flags(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Set the options that these flags stand for. Raises UsageError if both are given."""
    if args.file_path:
        args.inputs = [*args.inputs, args.file_path]
        args.flat = True
    args.mode = args.mode or ("zoo" if args.body_prefix_path else "fast")
    if args.hand_render_threshold is None:  # the script draws every point
        args.hand_render_threshold = FILLED_SCORE if args.mode == "zoo" else HAND_THRESHOLD
    if args.body_prefix_path or args.hand_prefix_path:
        if args.backend not in ("auto", "vsx"):
            raise UsageError(f"--backend {args.backend} cannot run networks compiled for a card")
        args.backend = "vsx"
    for flag, option in _SAME.items():
        value = getattr(args, flag)
        if value is None:
            continue
        if getattr(args, option) != parser.get_default(option):
            raise UsageError(f"--{flag} and --{option} mean the same; give only one")
        setattr(args, option, value)


def card_options(args: argparse.Namespace) -> dict[str, Any]:
    """Further arguments for `PoseEstimator` from these flags."""
    return {
        "engine_options": {
            "batch": args.batch,
            "body": {"vdsp_params": args.body_vdsp_info},
            "hand": {"vdsp_params": args.hand_vdsp_info},
        }
    }
