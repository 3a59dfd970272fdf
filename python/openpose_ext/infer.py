"""`python -m openpose_ext.infer`: finds people in pictures and videos, draws them and writes the
results.

The workers of `pipeline` read each frame, find its people, track them if requested, and draw and
write the results; then the frames are added in order to the files that hold many frames.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.infer_flags import infer_parser as _parser
from openpose_ext.cli.network_flags import (
    NETWORK_BOOLEANS,
    body_network,
    closer_flags,
    detect_every,
    network_flags,
)
from openpose_ext.cli.parser import parse
from openpose_ext.cli.zoo_flags import card_options, translate_zoo_flags
from openpose_ext.errors import UsageError
from openpose_ext.io.container import is_address
from openpose_ext.io.cpus import own_cores, use_a_core_for_each_frame
from openpose_ext.io.leftovers import remove_leftovers
from openpose_ext.io.opencv import silence_opencv
from openpose_ext.io.web import without_secrets
from openpose_ext.io.whole import make_folder
from openpose_ext.outputs.pictures import can_write
from openpose_ext.run.frames import How, Preview, process
from openpose_ext.run.plan import Plan, plan_camera, plan_run
from openpose_ext.run.results import (
    FILE_SUFFIXES,
    KINDS,
    WITH_IDS,
    Drawing,
    HeatmapChoice,
    Results,
)
from openpose_ext.run.tally import Tally
from openpose_ext.sources.camera import RESOLUTION
from openpose_ext.sources.source import View
from openpose_ext.stages.estimator import MOST_STREAMS, PoseEstimator
from openpose_ext.stages.preprocess import HEIGHT

__all__ = ["main"]

# The default results. The flags --write_KIND name the kinds.
_OF_PICTURES = ("images", "json", "txt")
_OF_VIDEOS = ("video", "json", "csv", "csv_wide")

# Kinds with a flag of their own; --csv_layout wide turns "csv" into "csv_wide".
_ASKED = [kind for kind in KINDS if kind != "csv_wide"]

# Kinds that need a folder, with the endings of their files.
_IN_FOLDERS = {"trc": ".trc", "angle_plots": ".png", "deeplabcut": ".csv", "pose": ".pose"}

_MODEL_POSE = {"BODY_25": "body25", "COCO": "openpose"}
_BOOLEANS = (
    "csv_empty_frames", "disable_blending", "flat", "frame_flip", "heatmaps_add_PAFs",
    "heatmaps_add_bkg", "heatmaps_add_parts", "identification", "keep_filled", "part_candidates",
    "skip_existing", "smooth",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _infer(sys.argv[1:] if argv is None else argv))


def _infer(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, (*_BOOLEANS, *NETWORK_BOOLEANS))
    translate_zoo_flags(args, parser)
    silence_opencv()
    how = _how(args)
    results = _results(args, how)
    network = _network(args)
    bodies = network["body"] != "none"
    if how.every > 1 and not bodies:
        raise UsageError("--track_every follows bodies; omit it or --body none")
    if results.needs_stages:
        _check_stages(args, how, bodies=bodies)
    plan = _plan(args, results, how)
    if results.needs_stages and any(planned.known for planned in plan.inputs):
        raise UsageError(
            "heat maps, candidates and scale 1 need a network; OpenPose's files have their people"
        )
    for folder in plan.folders:
        remove_leftovers(folder)
    tally = Tally(existing=plan.existing, outputs=plan.outputs)
    if not plan.inputs:
        _report(tally, results)
        return Exit.DONE
    with ExitStack() as opened:
        preview = opened.enter_context(_preview(args))
        estimator = None
        if not all(planned.known for planned in plan.inputs):
            if len(plan.inputs) > 1 or plan.inputs[0].count != 1:
                network["streams"] = how.streams
                use_a_core_for_each_frame()
            estimator = opened.enter_context(_estimator(network))
            # A card is only busy if several batches are in flight.
            how = replace(how, streams=max(how.streams, estimator.info.streams))
        for folder in results.folders:
            make_folder(folder)
        opened.callback(_report, tally, results)
        process(plan, estimator, how, tally, preview)
    return Exit.SOME_FAILED if tally.failed else Exit.DONE


def _check_stages(args: argparse.Namespace, how: How, *, bodies: bool) -> None:
    """Raises UsageError if the body network does not see each whole frame as `fast` does."""
    if args.detect_every > 1:
        raise UsageError("heat maps and candidates need whole frames; omit --detect_every")
    what = "heat maps, candidates and scale 1"
    if how.every > 1:
        raise UsageError(f"{what} need the network on every frame; omit --track_every")
    if args.mode != "fast":
        raise UsageError(f"--mode {args.mode} has no {what}; use --mode fast")
    if not bodies:
        raise UsageError(f"{what} are those of the body network; omit --body none")


def _plan(args: argparse.Namespace, results: Results, how: How) -> Plan:
    """Plan the run. Raises UsageError if the flags contradict each other."""
    inputs = [*args.inputs]
    for flag in ("image_dir", "video", "ip_camera"):
        given = getattr(args, flag)
        if not given:
            continue
        if flag == "image_dir" and not os.path.isdir(given):
            raise UsageError(f"--image_dir {given} is not a folder")
        if flag == "ip_camera" and not is_address(given):
            shown = without_secrets(f"://{given}").removeprefix("://")
            raise UsageError(f"--ip_camera {shown} is not an address such as rtsp://host/stream")
        inputs.append(given)
    # The default results depend on the input.
    asked = any(getattr(args, f"write_{kind}") is not None for kind in _ASKED)
    of_videos = results if asked else results.only(_OF_VIDEOS)
    of_videos = replace(of_videos, controlnet=args.controlnet_format or "list")
    try:
        view = View(
            first=args.frame_first,
            last=args.frame_last,
            step=args.frame_step,
            rotate=args.frame_rotate,
            flip=args.frame_flip,
        )
        if args.camera is not None and (args.camera != -1 or not inputs):
            if inputs:
                raise ValueError("a camera never ends, so it cannot be combined with other inputs")
            resolution = _camera_resolution(args.camera_resolution)
            return plan_camera(args.camera, resolution=resolution, results=of_videos, view=view)
        if not inputs:
            raise ValueError("no INPUT given; --help shows examples")
        return plan_run(
            inputs,
            of_pictures=results if asked else results.only(_OF_PICTURES),
            of_videos=of_videos,
            view=view,
            threads=max(1, how.streams // 4),  # decoding takes less than the rest
            recursive=not args.flat,
            skip_existing=how.skip_existing,
            fps=how.fps,
        )
    except ValueError as error:
        raise UsageError(error) from error


def _camera_resolution(text: str) -> tuple[int, int]:
    if text == "-1x-1":
        return RESOLUTION
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"--camera_resolution {text}: give WxH, in pixels")
    return int(match[1]), int(match[2])


def _report(tally: Tally, results: Results) -> None:
    places = ", ".join(dict.fromkeys(map(str, results.places.values())))
    print(f"{tally.summary()} -> {places}", flush=True)


def _how(args: argparse.Namespace) -> How:
    every = args.track_every or 1
    if args.tracking >= 0:
        if args.track_every is not None:
            raise UsageError("--tracking and --track_every mean the same; give only one")
        every = args.tracking + 1
    smooth = args.smooth or args.cutoff is not None or args.max_gap is not None
    tracks = every > 1 or args.tracking >= 0 or args.keep_id is not None
    return How(
        every=every,
        detect_every=detect_every(args),
        follow=args.identification or smooth or tracks,
        smooth=smooth,
        cutoff=args.cutoff,
        max_gap=args.max_gap,
        min_track=args.min_track,
        ids=args.keep_id,
        segment=args.segment,
        fps=args.fps,
        people=args.number_people_max if args.number_people_max > 0 else None,
        skip_existing=args.skip_existing,
        streams=min(args.threads or own_cores(), MOST_STREAMS),
    )


def _results(args: argparse.Namespace, how: How) -> Results:
    """The results to write, for all kinds of inputs."""
    given = {kind: getattr(args, f"write_{kind}") for kind in _ASKED}
    if all(place is None for place in given.values()):
        drawn = ("images", "video") if args.render_pose != 0 else ()
        given = dict.fromkeys((*drawn, "json", "txt", "csv"), "")
    output = Path(args.output)
    places = {
        k: Path(place) if place else output for k, place in given.items() if place is not None
    }
    if output.is_file():
        raise UsageError(f"results cannot go to {output}: it is a file, not a folder")
    known = {suffix for suffixes in FILE_SUFFIXES.values() for suffix in suffixes}
    if output in places.values() and output.suffix.lower() in known:
        warnings.warn(
            f"-o {output} is used as a folder; use --write_... FILE for a file", stacklevel=1
        )
    for kind, place in places.items():
        if place == output:
            continue
        suffixes = FILE_SUFFIXES.get(kind, ())
        if place.suffix.lower() in suffixes:
            if place.is_dir():
                raise UsageError(f"--write_{kind} {place}: it is a folder, not a file")
        elif place.is_file():
            raise UsageError(f"results cannot go to {place}: it is a file, not a folder")
        elif suffixes and place.suffix and not place.is_dir():
            raise UsageError(
                f"--write_{kind} {place}: give a folder, or a file {' or '.join(suffixes)}"
            )
    places = _of_people(args, places, how)
    formats = {"images": args.write_images_format, "heatmaps": args.write_heatmaps_format}
    formats = {kind: suffix.removeprefix(".").lower() for kind, suffix in formats.items()}
    for kind, suffix in formats.items():
        if not (can_write(suffix) or (kind == "heatmaps" and suffix in ("npy", "float"))):
            raise UsageError(
                f"--write_{kind}_format {suffix}: unknown format; try png, jpg or webp"
            )
    parts, background, pafs = args.heatmaps_add_parts, args.heatmaps_add_bkg, args.heatmaps_add_PAFs
    if not (parts or background or pafs):
        parts = background = pafs = True
    return Results(
        places=places,
        formats=formats,
        drawing=Drawing(
            skeletons=args.render_pose != 0,
            threshold=args.render_threshold,
            hand_threshold=args.hand_render_threshold,
            face_threshold=args.face_render_threshold,
            black=args.disable_blending,
            ids=args.identification if args.render_ids is None else args.render_ids,
        ),
        maps=HeatmapChoice(parts, background, pafs, args.heatmaps_scale),
        body25=args.json_format == "body25",
        scale=args.keypoint_scale,
        candidates=args.part_candidates,
        keep_filled=args.keep_filled,
        video_rate=args.write_video_fps if args.write_video_fps > 0 else None,
        threads=max(1, how.streams // 2),
        output=output,
        empty_frames=args.csv_empty_frames,
        person_height=args.person_height,
        controlnet=args.controlnet_format or "object",
        canvas=args.controlnet_size,
        drawn_as={} if args.save_dir else None,
    )


def _of_people(args: argparse.Namespace, places: dict[str, Path], how: How) -> dict[str, Path]:
    """The places by kind, with "csv_wide" instead of "csv" if asked for. Raises UsageError if ids
    are missing, or if a flag applies to nothing."""
    if args.person_height is not None and "trc" not in places:
        raise UsageError("--person_height applies to --write_trc; add it")
    if args.csv_empty_frames and not {"csv", "angles"} & {*places}:
        raise UsageError("--csv_empty_frames applies to --write_csv and --write_angles; add one")
    if args.csv_layout == "wide":
        if "csv" not in places:
            raise UsageError("--csv_layout wide applies to --write_csv; add it")
        place = places.pop("csv")
        if place != Path(args.output) and place.suffix.lower() in FILE_SUFFIXES["csv"]:
            raise UsageError(
                f"--csv_layout wide writes a file for each person; give --write_csv a folder, not "
                f"{place}"
            )
        places["csv_wide"] = place
    for kind, ending in _IN_FOLDERS.items():
        asked = places.get(kind, Path(args.output))
        if asked != Path(args.output) and asked.suffix.lower() == ending:
            raise UsageError(f"--write_{kind} {asked}: give a folder; names follow the inputs")
    for kind in WITH_IDS:
        if kind in places and not how.follow:
            flag = "--csv_layout wide" if kind == "csv_wide" else f"--write_{kind}"
            raise UsageError(f"{flag} follows each person through the frames; add --identification")
    return places


def _preview(args: argparse.Namespace) -> AbstractContextManager[Preview | None]:
    """The preview of drawn frames, if requested."""
    if args.display in ("-1", "0"):
        return nullcontext(None)
    from openpose_ext.serve import preview

    return preview()


def _network(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `PoseEstimator`."""
    try:
        options = network_flags(args) | _scales(args) | closer_flags(args) | card_options(args)
    except ValueError as error:
        raise UsageError(error) from error
    if args.net_resolution is None:
        return options | {"body": _body(args), "height": args.height or HEIGHT}
    if args.height is not None:
        raise UsageError("--height and --net_resolution mean the same; give only one")
    return options | {"body": _body(args)} | _net_resolution(args.net_resolution)


def _estimator(network: dict[str, Any]) -> PoseEstimator:
    try:
        return PoseEstimator(**network)
    except ValueError as error:
        raise UsageError(error) from error


def _body(args: argparse.Namespace) -> str:
    if args.model_pose is not None:
        if args.body is not None:
            raise UsageError("--body and --model_pose both name a network; give only one")
        if args.model_pose.upper() not in _MODEL_POSE:
            raise UsageError(f"--model_pose {args.model_pose}: choose BODY_25 or COCO")
        return _MODEL_POSE[args.model_pose.upper()]
    if args.body == "2":
        raise UsageError("--body 2 (own heat maps) is not supported; give a network")
    return body_network(args.body, args)


def _scales(args: argparse.Namespace) -> dict[str, Any]:
    """OpenPose's scales, each smaller than the previous one by `scale_gap`."""
    if args.scale_number == 1:
        return {}
    if args.scales != (1.0,):
        raise UsageError("--scales and --scale_number mean the same; give only one")
    scales = tuple(1 - index * args.scale_gap for index in range(args.scale_number))
    if min(scales) <= 0:
        raise UsageError(f"--scale_gap {args.scale_gap}: the smallest scale must be positive")
    return {"scales": scales}


def _net_resolution(text: str) -> dict[str, int]:
    """OpenPose's WxH: sets the height, and uses the width to limit the area."""
    match = re.fullmatch(r"(-1|[1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--net_resolution {text}: give -1xH or WxH, in pixels")
    width, height = map(int, match.groups())
    return {"height": height} if width < 0 else {"height": height, "max_pixels": width * height}


if __name__ == "__main__":
    sys.exit(main())
