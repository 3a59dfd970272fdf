"""`python -m openpose_ext.infer`: find people in pictures and videos, draw them, write them.

The frames of a source are carried by the workers of `pipeline`: read and looked at, followed where
that is asked for, drawn and written, and last, by one worker, added to the files of many frames.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.network_flags import (
    DEFAULT_BODY,
    NETWORK_BOOLEANS,
    add_hand_flags,
    add_network_flags,
    hand_flags,
    network_flags,
)
from openpose_ext.cli.openpose_flags import add_openpose_flags
from openpose_ext.cli.parser import parse
from openpose_ext.cli.values import positive
from openpose_ext.cli.zoo_flags import add_zoo_flags, card_options, translate_zoo_flags
from openpose_ext.errors import SourceError, UsageError
from openpose_ext.formats.heatmaps import HEATMAP_SCALES
from openpose_ext.io.cpus import own_cores
from openpose_ext.io.whole import make_folder
from openpose_ext.outputs.pictures import can_write
from openpose_ext.outputs.scale import KEYPOINT_SCALES
from openpose_ext.run.plan import Job, find_jobs
from openpose_ext.run.results import (
    FILE_SUFFIXES,
    KINDS,
    Aside,
    Book,
    Drawing,
    HeatmapChoice,
    Results,
)
from openpose_ext.run.tally import Tally
from openpose_ext.sources.source import Source
from openpose_ext.stages.estimator import MOST_STREAMS, PoseEstimator
from openpose_ext.stages.pipeline import ahead, followed, overlapped, workers_for
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE, HAND_THRESHOLD

__all__ = ["main"]

_MODEL_POSE = {"BODY_25": "body25", "COCO": "openpose"}
_BOOLEANS = (
    "disable_blending", "flat", "frame_flip", "heatmaps_add_PAFs", "heatmaps_add_bkg",
    "heatmaps_add_parts", "identification", "part_candidates", "skip_existing", "smooth",
)  # fmt: skip

_EXAMPLES = """\
examples:
  python -m openpose_ext.infer photo.jpg                  all results to ./openpose_output
  python -m openpose_ext.infer photos -o results          a folder, with all below it
  python -m openpose_ext.infer "day*/*.png" list.txt      a pattern, and a list of paths
  python -m openpose_ext.infer photos --write_json json   OpenPose JSON only, to json/
  python -m openpose_ext.infer photos --body mobilenet --height 256
  python -m openpose_ext.infer clip.mp4 --hand landmark   a rendered video, JSON, CSV; hands, too
  python -m openpose_ext.infer clip.mp4 --identification --smooth --write_csv walk.csv
  python -m openpose_ext.infer clips --skip_existing      goes on where a run was interrupted
  python -m openpose_ext.infer rtsp://host/door --write_jsonl door.jsonl
  python -m openpose_ext.infer openpose_json --write_video drawn.mp4   draws OpenPose's JSON

exit codes: 0 done; 1 some inputs failed; 2 usage; 3 network or engine; 4 output; 130 interrupted

OpenPose's other flags are understood as far as they apply.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _infer(sys.argv[1:] if argv is None else argv))


Looked = tuple[Frame, Poses | None, Aside]  # no people: left out, or not looked at
Finished = tuple[Frame, Poses | None, Picture | None, Aside]
Preview = Callable[[Frame, Picture | None], None]


@dataclass(frozen=True)
class How:
    """What is done with the frames of every job.

    every          the network looks at each frame of this number
    follow         people get ids
    smooth         they are smoothed, too
    skip_existing  frames whose files exist are left out
    streams        pictures that the network looks at at once
    """

    every: int
    follow: bool
    smooth: bool
    skip_existing: bool
    streams: int

    @property
    def workers(self) -> int:
        """Threads that carry frames."""
        return workers_for(self.streams)


def _infer(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, (*_BOOLEANS, *NETWORK_BOOLEANS))
    translate_zoo_flags(args, parser)
    # OpenCV's own words on damaged files; the reason is ours to give.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    how = _how(args)
    results = _results(args, how.streams)
    network = _network(args)
    if results.needs_stages and args.mode == "reference":
        raise UsageError("--mode reference has no maps to write, no candidates and no scale 1")
    tally = Tally()
    jobs = find_jobs(args, results, how.streams, tally)

    if not jobs:
        _report(tally, results)
        return Exit.DONE
    with ExitStack() as opened:
        preview = opened.enter_context(_preview(args))
        estimator = None
        if not all(job.known for job in jobs):
            if len(jobs) > 1 or jobs[0].count != 1:
                # Several pictures at once, a core for each: OpenCV shall not take all of them.
                network["streams"] = how.streams
                cv2.setNumThreads(1)
            estimator = opened.enter_context(_estimator(network))
            # A card is busy only with several batches in flight.
            how = replace(how, streams=max(how.streams, estimator.info.streams))
        for folder in results.folders:
            make_folder(folder)
        opened.callback(_report, tally, results)
        shared = results.shared if len(jobs) > 1 else results.only(())
        book = opened.enter_context(Book(shared, Path()))
        for job in jobs:
            try:
                _process(job, estimator, how, book, preview, tally)
            except SourceError as error:
                tally.failed += 1
                print(f"openpose-ext: {error}", file=sys.stderr)
    return Exit.SOME_FAILED if tally.failed else Exit.DONE


def _process(
    job: Job,
    estimator: PoseEstimator | None,
    how: How,
    shared: Book,
    preview: Preview,
    tally: Tally,
) -> None:
    """Carry the frames of a job through all stages. Raises SourceError if it cannot be opened."""
    results = job.results
    draws = preview is not _no_preview or results.draws

    def report(error: SourceError) -> None:
        tally.failed += 1
        bar.write(f"openpose-ext: {error}", file=sys.stderr)

    def look(numbered: tuple[int, Frame]) -> Looked:
        number, frame = numbered
        if skips and results.have(job.of(frame)):
            return frame, None, Aside()
        if frame.poses is not None:
            return frame, frame.poses, Aside()
        assert estimator is not None
        if number % how.every:
            return frame, None, Aside()
        if not results.needs_stages:
            poses = estimator(frame)
            aside = Aside()
        else:
            stages = estimator.stages(frame)
            results.write_maps(job.of(frame), stages)
            poses, aside = stages.people, Aside.of(stages)
        tally.add(poses.timings)
        return frame, poses, aside

    def finish(found: Looked) -> Finished:
        frame, poses, aside = found
        if poses is None:
            return frame, None, None, aside
        poses, drawn, seconds = results.write(job.of(frame), frame, poses, aside, draws=draws)
        tally.add(seconds)
        return frame, poses, drawn, aside

    def add(finished: Finished) -> Finished:
        frame, poses, drawn, aside = finished
        if poses is not None:
            with tally.timed("add"):
                own.write(frame, poses, drawn, aside)
                shared.write(frame, poses, drawn, aside)
        return finished

    with ExitStack() as opened:
        silent = not sys.stderr.isatty()
        bar = opened.enter_context(tqdm(unit="frame", disable=silent, leave=False))
        source = opened.enter_context(job.open(report))
        bar.set_description(source.name[-30:], refresh=False)
        bar.total = source.count
        own = opened.enter_context(Book(results, job.name, rate=source.rate, sound=job.sound))
        # Ids, and files of many frames, need all frames.
        skips = how.skip_existing and results.of_frames_only and not how.follow
        overlap = partial(overlapped, stop=source.close if source.live else None)
        frames = _timed(source, tally)
        if source.ahead and how.streams > 1:
            frames = opened.enter_context(closing(ahead(frames, source.ahead)))
        numbered = enumerate(frames)
        if how.follow:
            found = overlap(numbered, look, how.workers)
            following = followed(found, rate=source.rate, smooth=how.smooth, live=source.live)
            finished = overlap(following, finish, how.workers)
        else:
            finished = overlap(numbered, lambda one: finish(look(one)), how.workers)
        if own or shared:
            finished = overlap(finished, add, 1)
        # Whatever interrupts, the workers are gone before the books are closed.
        opened.enter_context(closing(finished))
        for frame, poses, drawn, _ in finished:
            tally.count(frame, poses)
            if poses is not None:
                preview(frame, drawn)
            bar.update()


def _timed(source: Source, tally: Tally) -> Iterator[Frame]:
    """The source's frames; what they take is counted as reading."""
    while True:
        with tally.timed("read"):
            frame = next(source, None)
        if frame is None:
            return
        yield frame


def _report(tally: Tally, results: Results) -> None:
    places = ", ".join(dict.fromkeys(map(str, results.places.values())))
    print(f"{tally.summary()} -> {places}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openpose_ext.infer",
        usage="%(prog)s INPUT... [-o OUT] [option ...]",
        description="Find people in pictures, videos and cameras; draw them, write what was found.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="picture, video, folder, glob pattern, .txt list, address of a camera, or a folder of "
        "OpenPose's JSON files",
    )
    add("--image_dir", metavar="DIR", help="the same as an INPUT")
    add("--video", metavar="FILE", help="the same as an INPUT")
    add("--camera", type=int, metavar="N", help="a webcam, 0 for the first; -1 for any")
    add("--camera_resolution", default="-1x-1", metavar="WxH", help="of the webcam (1280x720)")
    add("--ip_camera", metavar="URL", help="the same as an INPUT: rtsp://... or http://...")
    add("--flat", action="store_true", help="take nothing from folders below a folder")

    group = parser.add_argument_group("frames", "Of each video; pictures count as one row.")
    add = group.add_argument
    add("--frame_first", type=int, default=0, metavar="N", help="first frame, 0 being the first")
    add("--frame_last", type=int, default=-1, metavar="N", help="last frame (-1: all)")
    add("--frame_step", type=positive, default=1, metavar="N", help="take every Nth frame")
    add("--frame_flip", action="store_true", help="mirror them")
    add(
        "--frame_rotate",
        type=int,
        default=0,
        choices=(0, 90, 180, 270),
        help="turn them counter-clockwise, after mirroring",
    )

    group = parser.add_argument_group("people across frames")
    add = group.add_argument
    add("--identification", action="store_true", help="person_id stays the same across frames")
    add("--smooth", action="store_true", help="without jitter, short gaps filled; with ids")
    add(
        "--track_every",
        type=positive,
        metavar="N",
        help="look at every Nth frame only, and follow people in between; with ids (1)",
    )
    add("--tracking", type=int, default=-1, metavar="N", help="OpenPose's: --track_every N + 1")

    group = parser.add_argument_group("network")
    add_network_flags(group)
    add = group.add_argument
    add("--model_pose", metavar="NAME", help="OpenPose's: BODY_25 or COCO, its original networks")
    add("--net_resolution", metavar="WxH", help="OpenPose's; -1x368 is --height 368")
    add("--scale_number", type=positive, default=1, metavar="N", help="OpenPose's; see --scales")
    add("--scale_gap", type=float, default=0.25, metavar="GAP", help="between those scales (0.25)")
    add_hand_flags(group)

    group = parser.add_argument_group(
        "results",
        "Without --write_...: pictures get images, json and txt, videos get video, json and csv, "
        "to OUT. A FILE holds all inputs.",
    )
    add = group.add_argument
    add("-o", "--output", default="openpose_output", metavar="OUT", help="folder of the results")
    for kind, place, what in (
        ("images", "DIR", "rendered pictures"),
        ("video", "DIR|FILE", "rendered video: .mp4, .mkv, .mov; with the source's sound"),
        ("json", "DIR", "OpenPose JSON 1.3, a file a frame"),
        ("jsonl", "DIR|FILE", "the same, a line a frame"),
        ("csv", "DIR|FILE", "a row a part"),
        ("parquet", "DIR|FILE", "the same as Parquet"),
        ("coco_json", "DIR|FILE", "COCO's results"),
        ("txt", "DIR", "a line a person"),
        ("controlnet", "DIR", "ControlNet's and ComfyUI's JSON and black picture"),
        ("heatmaps", "DIR", "what the network gives"),
    ):
        add(f"--write_{kind}", nargs="?", const="", metavar=place, help=what)
    add("--write_images_format", default="png", metavar="FORMAT", help="png, jpg, ... (png)")
    add(
        "--json_format",
        default="openpose",
        choices=("openpose", "body25"),
        help="body25: BODY_25's order from any network, as most readers expect",
    )
    add("--part_candidates", action="store_true", help="all peaks in the JSON, too")
    add(
        "--keypoint_scale",
        type=int,
        default=0,
        choices=KEYPOINT_SCALES,
        help="units in JSON, txt and tables: 0 pixels, 1 of the network's input, 2 pixels, "
        "3 0 to 1, 4 -1 to 1",
    )
    add("--write_video_fps", type=float, default=-1, metavar="FPS", help="(-1: the source's)")
    add("--write_heatmaps_format", default="png", metavar="FORMAT", help="png, npy, float (png)")
    for maps, what in (("parts", "parts"), ("bkg", "the background"), ("PAFs", "fields")):
        add(f"--heatmaps_add_{maps}", action="store_true", help=f"heat maps of {what}")
    add(
        "--heatmaps_scale",
        type=int,
        default=2,
        choices=HEATMAP_SCALES,
        help="0: -1 to 1, 1: 0 to 1, 2: 0 to 255, 3: as they are (2)",
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
    add(
        "--display",
        nargs="?",
        const="2",
        default="-1",
        metavar="N",
        help="show what is drawn in the browser (0 and -1: do not)",
    )
    add("--skip_existing", action="store_true", help="leave out what was done before")
    add_zoo_flags(parser)
    add_openpose_flags(parser)
    return parser


def _how(args: argparse.Namespace) -> How:
    every = args.track_every or 1
    if args.tracking >= 0:
        if args.track_every is not None:
            raise UsageError("--tracking and --track_every say the same; give one of them")
        every = args.tracking + 1
    return How(
        every=every,
        follow=args.identification or args.smooth or every > 1 or args.tracking >= 0,
        smooth=args.smooth,
        skip_existing=args.skip_existing,
        streams=min(args.threads or own_cores(), MOST_STREAMS),
    )


def _results(args: argparse.Namespace, streams: int) -> Results:
    """What is written, for all kinds of inputs."""
    given = {kind: getattr(args, f"write_{kind}") for kind in KINDS}
    if all(place is None for place in given.values()):
        drawn = ("images", "video") if args.render_pose != 0 else ()
        given = dict.fromkeys((*drawn, "json", "txt", "csv"), "")
    places = {k: Path(place or args.output) for k, place in given.items() if place is not None}
    for kind, place in places.items():
        if place.is_file() and not Results.is_file(kind, place):
            raise UsageError(f"results cannot go to {place}: it is a file, not a folder")
        suffixes = FILE_SUFFIXES.get(kind)
        if suffixes and place.suffix.lower() not in (*suffixes, "") and not place.is_dir():
            raise UsageError(
                f"--write_{kind} {place}: give a folder, or a file {' or '.join(suffixes)}"
            )
    formats = {"images": args.write_images_format, "heatmaps": args.write_heatmaps_format}
    formats = {kind: suffix.removeprefix(".").lower() for kind, suffix in formats.items()}
    for kind, suffix in formats.items():
        if not (can_write(suffix) or (kind == "heatmaps" and suffix in ("npy", "float"))):
            raise UsageError(
                f"--write_{kind}_format {suffix}: no such format; try png, jpg or webp"
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
            black=args.disable_blending,
        ),
        maps=HeatmapChoice(parts, background, pafs, args.heatmaps_scale),
        body25=args.json_format == "body25",
        scale=args.keypoint_scale,
        candidates=args.part_candidates,
        people=args.number_people_max if args.number_people_max > 0 else None,
        video_rate=args.write_video_fps if args.write_video_fps > 0 else None,
        threads=max(1, streams // 2),
    )


def _preview(args: argparse.Namespace) -> AbstractContextManager[Preview]:
    """What shows drawn frames, if that is asked for."""
    if args.display in ("-1", "0"):
        return nullcontext(_no_preview)
    from openpose_ext.serve import preview

    return preview()


def _no_preview(frame: Frame, drawn: Picture | None) -> None:
    """Show nothing."""


def _network(args: argparse.Namespace) -> dict[str, Any]:
    """What `PoseEstimator` is to be made with."""
    try:
        options = network_flags(args) | _scales(args) | hand_flags(args) | card_options(args)
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


if __name__ == "__main__":
    sys.exit(main())
