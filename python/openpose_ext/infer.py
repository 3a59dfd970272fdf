"""`python -m openpose_ext.infer`: find people in pictures; draw them and write what was found."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from openpose_ext.cli import Exit, UsageError, exit_code
from openpose_ext.draw import HAND_THRESHOLD, draw
from openpose_ext.errors import SourceError
from openpose_ext.estimator import PoseEstimator
from openpose_ext.flags import (
    DEFAULT_BODY,
    NETWORK_BOOLEANS,
    add_hand_flags,
    add_network_flags,
    add_openpose_flags,
    hand_flags,
    network_flags,
    parse,
    positive,
)
from openpose_ext.outputs.files import make_folder, output_names
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.pictures import can_write, write_picture
from openpose_ext.outputs.txt import write_txt
from openpose_ext.poses import FILLED_SCORE, Poses
from openpose_ext.preprocess import HEIGHT
from openpose_ext.sources.pictures import PictureFile, find_pictures, read_picture
from openpose_ext.tally import Tally
from openpose_ext.topology import BODY_25

__all__ = ["main"]

_MODEL_POSE = {"BODY_25": "body25", "COCO": "openpose"}
_VIDEO_SUFFIXES = (".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
_BOOLEANS = ("skip_existing", "disable_blending")

_EXAMPLES = """\
examples:
  python -m openpose_ext.infer photo.jpg                  all results to ./openpose_output
  python -m openpose_ext.infer photos -o results          a folder, with all below it
  python -m openpose_ext.infer "day*/*.png" list.txt      a pattern, and a list of paths
  python -m openpose_ext.infer photos --write_json json   OpenPose JSON only, to json/
  python -m openpose_ext.infer photos --body mobilenet --height 256
  python -m openpose_ext.infer photos --hand landmark     hands, too

exit codes: 0 done; 1 some inputs failed; 2 usage; 3 network or engine; 4 output; 130 interrupted

OpenPose's other flags are understood as far as they apply to pictures.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.Exit`)."""
    return exit_code(lambda: _infer(sys.argv[1:] if argv is None else argv))


@dataclass(frozen=True)
class Outputs:
    """What is written for a picture, and how.

    folders    of the kinds that are written: "images", "json", "txt"
    suffix     format of the rendered pictures
    body25     JSON in BODY_25's order, whatever the network
    skeletons  draw them at all
    threshold  parts that score above it are drawn
    hand_threshold  points of hands that score above it are drawn
    black      draw on black instead of on the picture
    people     how many of the best are kept, None for all
    """

    folders: Mapping[str, Path]
    suffix: str
    body25: bool
    skeletons: bool
    threshold: float
    hand_threshold: float
    black: bool
    people: int | None

    def files(self, name: Path) -> dict[str, Path]:
        """The files of the picture called `name`, by kind."""
        ends = {"images": f"_rendered.{self.suffix}", "json": "_keypoints.json", "txt": ".txt"}
        return {
            kind: folder / name.with_name(name.name + ends[kind])
            for kind, folder in self.folders.items()
        }


def _infer(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, (*_BOOLEANS, *NETWORK_BOOLEANS))
    # OpenCV's own words on damaged files; the reason is ours to give.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    inputs = _inputs(args)
    outputs = _outputs(args)
    network = _network(args)
    try:
        found = find_pictures(inputs, exclude=list(outputs.folders.values()))
        names = output_names(found.pictures)
    except ValueError as error:
        raise UsageError(error) from error
    _keep_inputs(inputs, found.pictures, [f for n in names for f in outputs.files(n).values()])

    tally = Tally(outputs=found.skipped)
    todo = list(zip(found.pictures, names, strict=True))
    if args.skip_existing:
        todo = [(p, n) for p, n in todo if not all(f.exists() for f in outputs.files(n).values())]
        tally.existing = len(found.pictures) - len(todo)
    if not todo:
        _report(tally, outputs)
        return Exit.DONE
    with _estimator(network) as estimator:
        for folder in outputs.folders.values():
            make_folder(folder)
        try:
            _process(todo, estimator, outputs, tally)
        finally:
            _report(tally, outputs)
    return Exit.SOME_FAILED if tally.failed else Exit.DONE


def _process(
    todo: Sequence[tuple[PictureFile, Path]],
    estimator: PoseEstimator,
    outputs: Outputs,
    tally: Tally,
) -> None:
    silent = not sys.stderr.isatty()
    with tqdm(todo, unit="picture", disable=silent, leave=False) as progress:
        for file, name in progress:
            try:
                with tally.timed("read"):
                    picture = read_picture(file.path)
            except SourceError as error:
                tally.failed += 1
                progress.write(f"openpose-ext: {error}", file=sys.stderr)
                continue
            poses = estimator(picture)
            tally.add(poses.timings)
            poses = poses[: outputs.people]
            _write(outputs, name, picture, poses, tally)
            tally.pictures += 1
            tally.people += len(poses)


def _write(
    outputs: Outputs, name: Path, picture: npt.NDArray[np.uint8], poses: Poses, tally: Tally
) -> None:
    files = outputs.files(name)
    if "images" in files:
        with tally.timed("draw"):
            canvas = np.zeros_like(picture) if outputs.black else picture
            if outputs.skeletons:
                canvas = draw(
                    canvas,
                    poses,
                    threshold=outputs.threshold,
                    hand_threshold=outputs.hand_threshold,
                )
        with tally.timed("write"):
            write_picture(files["images"], canvas)
    with tally.timed("write"):
        if "json" in files:
            write_openpose(files["json"], poses.as_topology(BODY_25) if outputs.body25 else poses)
        if "txt" in files:
            write_txt(files["txt"], poses)


def _report(tally: Tally, outputs: Outputs) -> None:
    places = ", ".join(dict.fromkeys(map(str, outputs.folders.values())))
    print(f"{tally.summary()} -> {places}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openpose_ext.infer",
        usage="%(prog)s INPUT... [-o OUT] [option ...]",
        description="Find people in pictures; write rendered pictures, OpenPose JSON and text.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="picture, folder, glob pattern, or .txt list")
    add("--image_dir", metavar="DIR", help="the same as an INPUT")

    group = parser.add_argument_group("network")
    add_network_flags(group)
    add = group.add_argument
    add("--model_pose", metavar="NAME", help="OpenPose's: BODY_25 or COCO, its original networks")
    add("--net_resolution", metavar="WxH", help="OpenPose's; -1x368 is --height 368")
    add("--scale_number", type=positive, default=1, metavar="N", help="OpenPose's; see --scales")
    add("--scale_gap", type=float, default=0.25, metavar="GAP", help="between those scales (0.25)")
    add_hand_flags(group)

    group = parser.add_argument_group("results", "Without --write_...: all three, to OUT.")
    add = group.add_argument
    add("-o", "--output", default="openpose_output", metavar="OUT", help="folder of the results")
    add("--write_images", nargs="?", const="", metavar="DIR", help="rendered pictures")
    add("--write_json", nargs="?", const="", metavar="DIR", help="OpenPose JSON 1.3")
    add("--write_txt", nargs="?", const="", metavar="DIR", help="a line a person")
    add("--write_images_format", default="png", metavar="FORMAT", help="png, jpg, ... (png)")
    add(
        "--json_format",
        default="openpose",
        choices=("openpose", "body25"),
        help="body25: BODY_25's order from any network, as most readers expect",
    )
    add("--number_people_max", type=int, default=-1, metavar="N", help="keep the N best (-1: all)")
    add(
        "--render_threshold",
        type=float,
        default=FILLED_SCORE,
        metavar="SCORE",
        help="draw parts above it (default %(default)s)",
    )
    add(
        "--hand_render_threshold",
        type=float,
        default=HAND_THRESHOLD,
        metavar="SCORE",
        help="draw points of hands above it (default %(default)s)",
    )
    add("--render_pose", type=int, default=-1, metavar="N", help="0: draw nothing")
    add("--disable_blending", action="store_true", help="draw on black")
    add("--skip_existing", action="store_true", help="leave out inputs whose results exist")
    add_openpose_flags(parser)
    return parser


def _inputs(args: argparse.Namespace) -> list[str]:
    inputs = list(args.inputs)
    if args.image_dir:
        if not os.path.isdir(args.image_dir):
            raise UsageError(f"--image_dir {args.image_dir} is no folder")
        inputs.append(args.image_dir)
    if not inputs:
        raise UsageError("no INPUT given; --help shows examples")
    for name in inputs:
        if "://" in name and not os.path.exists(name):
            raise UsageError(f"{name}: addresses are not read yet, only pictures on disk")
        if os.path.splitext(name)[1].lower() in _VIDEO_SUFFIXES:
            raise UsageError(f"{name}: videos are not read yet, only pictures")
    return inputs


def _outputs(args: argparse.Namespace) -> Outputs:
    given: dict[str, str | None] = {
        "images": args.write_images,
        "json": args.write_json,
        "txt": args.write_txt,
    }
    if all(folder is None for folder in given.values()):
        given = {kind: "" for kind in given if kind != "images" or args.render_pose != 0}
    folders = {
        kind: Path(folder or args.output) for kind, folder in given.items() if folder is not None
    }
    for folder in folders.values():
        if folder.is_file():
            raise UsageError(f"results cannot go to {folder}: it is a file, not a folder")
    suffix = args.write_images_format.removeprefix(".").lower()
    if not can_write(suffix):
        raise UsageError(f"--write_images_format {suffix}: no such format; try png, jpg or webp")
    return Outputs(
        folders=folders,
        suffix=suffix,
        body25=args.json_format == "body25",
        skeletons=args.render_pose != 0,
        threshold=args.render_threshold,
        hand_threshold=args.hand_render_threshold,
        black=args.disable_blending,
        people=args.number_people_max if args.number_people_max > 0 else None,
    )


def _network(args: argparse.Namespace) -> dict[str, Any]:
    """What `PoseEstimator` is to be made with."""
    try:
        options = network_flags(args) | _scales(args) | hand_flags(args)
    except ValueError as error:
        raise UsageError(error) from error
    if args.net_resolution is None:
        return options | {"body": _body(args), "height": args.height or HEIGHT}
    if args.height is not None:
        raise UsageError("--height and --net_resolution say the same; give one of them")
    return options | {"body": _body(args)} | _net_resolution(args.net_resolution)


def _estimator(network: dict[str, Any]) -> PoseEstimator:
    try:
        return PoseEstimator(**network)
    except ValueError as error:
        raise UsageError(error) from error


def _body(args: argparse.Namespace) -> str:
    if args.model_pose is not None:
        if args.body is not None:
            raise UsageError("--body and --model_pose both name a network; give one of them")
        if args.model_pose.upper() not in _MODEL_POSE:
            raise UsageError(f"--model_pose {args.model_pose}: only BODY_25 and COCO are known")
        return _MODEL_POSE[args.model_pose.upper()]
    body = args.body or DEFAULT_BODY
    if body.lower() in ("none", "false", "0"):
        raise UsageError(f"--body {body} leaves nothing to look for")
    if body == "2":
        raise UsageError("--body 2: heat maps cannot be given, only networks")
    return DEFAULT_BODY if body.lower() in ("true", "1") else str(body)


def _scales(args: argparse.Namespace) -> dict[str, Any]:
    """OpenPose's scales, each `scale_gap` smaller than the one before."""
    if args.scale_number == 1:
        return {}
    if args.scales != (1.0,):
        raise UsageError("--scales and --scale_number say the same; give one of them")
    scales = tuple(1 - index * args.scale_gap for index in range(args.scale_number))
    if min(scales) <= 0:
        raise UsageError(f"--scale_gap {args.scale_gap}: the last of the scales is not positive")
    return {"scales": scales}


def _net_resolution(text: str) -> dict[str, int]:
    """OpenPose's WxH, W or H times 16: the height, and the width as a bound of the area."""
    match = re.fullmatch(r"(-1|[1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--net_resolution {text}: give -1xH or WxH, in pixels")
    width, height = map(int, match.groups())
    return {"height": height} if width < 0 else {"height": height, "max_pixels": width * height}


def _keep_inputs(
    inputs: Sequence[str], pictures: Sequence[PictureFile], files: Sequence[Path]
) -> None:
    """Raise UsageError if a result would replace an input, such as a list `a.txt` of `a.jpg`."""
    real_folder = cache(os.path.realpath)

    def place(path: str | Path) -> str:
        return os.path.join(real_folder(os.path.dirname(path)), os.path.basename(path))

    sources = {*map(place, inputs), *(place(picture.path) for picture in pictures)}
    for file in files:
        if place(file) in sources:
            raise UsageError(f"the result {file} would replace an input; choose another -o OUT")


if __name__ == "__main__":
    sys.exit(main())
