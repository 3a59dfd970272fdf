"""The flags of `export`, in the order in which the help shows them."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from openpose_ext.cli.flags import Flags
from openpose_ext.cli.parser import command_parser
from openpose_ext.cli.values import positive, truth
from openpose_ext.errors import ModelError, UsageError
from openpose_ext.models.convert.formats import OPSET, WEIGHTS
from openpose_ext.vastai.vamc import DTYPES

__all__ = ["check_export", "export_parser", "needs_pictures"]

FORMATS = ("torchscript", "onnx", "ir", "int8", "vamc")

# The largest error of INT8, see `Quantised.error`.
_INT8_TOLERANCE = 0.2

_EXAMPLES = """\
examples:
  python -m openpose_ext.export body --weights body_pose_model.pth -o out --format onnx ir
  python -m openpose_ext.export hand --weights hand_pose_model.pth -o out --format onnx --dynamic
  python -m openpose_ext.export body --weights body_pose_model.pth -o out --dynamic \\
      --format int8 --calibrate pictures
  python -m openpose_ext.export body --weights pose_iter_584000.caffemodel -o out --format onnx
  python -m openpose_ext.export body --weights model.onnx -o out --format ir int8 \\
      --calibrate pictures
  python -m openpose_ext.export hand --weights hand_pose_model.pth -o out --format vamc \\
      --dtype int8 --calibrate pictures_of_people

files, each with its manifest <file>.toml:
  torchscript  body.torchscript.pt
  onnx         body.onnx
  ir           body.xml, body_fp16.xml (weights as fp16), each with its .bin
  int8         body_int8.onnx; with ir: body_int8.xml, too
  vamc         body.onnx, and the files for the compiler of Vastai's cards (--dtype fp16, or int8
               with --calibrate); README_body.md has the next commands

The heat maps of pytorch-openpose's body network (.pth) end with a ReLU, as there; those of Caffe's
(.caffemodel) do not. The people found are the same; --relu_heat decides otherwise.

Every file is run and compared with its source; if the outputs differ too much, nothing is written.
Calibrate INT8 with pictures like those the network will see: people for body, hands for hand. For
vamc, hands are found automatically in pictures of people.

exit codes: 0 done; 2 usage; 3 network, engine, a failed comparison; 4 output; 130 interrupted
"""


def export_parser() -> argparse.ArgumentParser:
    """The parser of `export`, all flags added."""
    parser = command_parser(
        "export",
        "{body,hand,face} --weights FILE -o DIR --format FORMAT ... [option ...]",
        "Convert a network to the formats that engines read, and check every file.",
        _EXAMPLES,
    )
    flags = Flags(parser)
    parser.add_argument("kind", choices=("body", "hand", "face"), help="What the network looks for")
    flags.value(
        "--weights FILE",
        "Weights of an original network, or an .onnx file for ir and int8",
    )
    flags.value("-o --output DIR", "Output folder")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        metavar="FORMAT",
        help="One or more of torchscript, onnx, ir, int8, vamc",
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=positive,
        metavar=("H", "W"),
        help="Fixed input size in pixels (default 184 184 for body, 368 368 for hand and face)",
    )
    flags.switch("--dynamic", "Accept any number and size of pictures")
    flags.value("--opset N", "ONNX opset (default 10; INT8 uses 13)", positive)
    flags.value(
        "--relu_heat true|false",
        "Cut the COCO body's heat maps at 0 by a last ReLU (default: true for torch's files, as "
        "pytorch-openpose does and its scripts expect; false for .caffemodel, as OpenPose does)",
        truth,
    )
    flags.value("--calibrate DIR", "Folder of pictures to calibrate INT8 with")
    flags.value(
        "--int8_tolerance E",
        "Largest RMS error of INT8's maps, relative to their standard deviation (default "
        f"{_INT8_TOLERANCE}); inf accepts any error, and pictures without people or hands",
        _tolerance,
        _INT8_TOLERANCE,
    )
    flags.value(
        "--annotations FILE",
        "COCO keypoint annotations: also report the AP of a body network before and after INT8",
    )
    flags.value("--images DIR", "Folder of the annotated pictures (default: that of --calibrate)")
    flags.choice("--dtype", "Precision that vamc compiles for (default fp16)", DTYPES)
    return parser


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, such as 0.2, or inf")
    return value


def check_export(args: argparse.Namespace) -> None:
    """Raise UsageError for missing or contradictory flags."""
    missing = [
        flag
        for flag, value in (
            ("--weights FILE", args.weights),
            ("-o DIR", args.output),
            ("--format FORMAT", args.format),
        )
        if not value
    ]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given; --help shows examples")
    suffix = Path(args.weights).suffix.lower()
    if suffix not in (*WEIGHTS, ".onnx"):
        known = ", ".join(WEIGHTS)
        raise UsageError(f"--weights {args.weights}: must be a file {known} or .onnx")
    if not os.path.isfile(args.weights):
        raise ModelError(f"there is no network file {args.weights}")
    if suffix == ".onnx":
        if {"torchscript", "onnx", "vamc"} & {*args.format}:
            raise UsageError(f"{args.weights} is ONNX: --format can be ir and int8")
        if args.size or args.dynamic or args.opset or args.relu_heat is not None:
            raise UsageError(
                "--size, --dynamic, --opset and --relu_heat apply to weights only; an .onnx file "
                "keeps its own"
            )
    if args.size and args.dynamic:
        raise UsageError("--size and --dynamic contradict each other; give one of them")
    if args.size and any(n % 8 for n in args.size):
        raise UsageError(f"--size {args.size[0]} {args.size[1]}: both must be multiples of 8")
    if "vamc" in args.format:
        _check_vamc(args)
    elif args.dtype:
        raise UsageError("--dtype applies to --format vamc only")
    if needs_pictures(args) and not args.calibrate:
        raise UsageError("INT8 needs --calibrate DIR, a folder of pictures")
    if args.annotations is not None and (args.kind != "body" or "int8" not in args.format):
        raise UsageError("--annotations apply to --format int8 of a body network only")
    if args.images is not None and args.annotations is None:
        raise UsageError("--images DIR is the folder of the annotated pictures; add --annotations")


def _check_vamc(args: argparse.Namespace) -> None:
    if args.kind == "face":
        raise UsageError("--format vamc: the card's scripts know body and hand networks only")
    args.dtype = args.dtype or DTYPES[0]
    if args.dynamic:
        raise UsageError("--format vamc: a card's network has a fixed size; omit --dynamic")
    if args.opset not in (None, OPSET):
        raise UsageError(f"--format vamc: the compiler is known to read opset {OPSET} only")
    if args.kind != "body" and args.size and args.size[0] != args.size[1]:
        raise UsageError("--size: hand and face networks take squares; give equal sides")


def needs_pictures(args: argparse.Namespace) -> bool:
    """Whether the export calibrates INT8, for which it needs pictures."""
    return "int8" in args.format or ("vamc" in args.format and args.dtype == "int8")
