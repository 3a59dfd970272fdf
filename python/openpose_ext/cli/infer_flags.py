"""The flags of `infer`, in the order in which its help shows them."""

from __future__ import annotations

import argparse
import re

from openpose_ext.cli.flags import Flags
from openpose_ext.cli.network_flags import (
    add_closer_flags,
    add_detect_every,
    add_network_flags,
)
from openpose_ext.cli.openpose_flags import add_openpose_flags
from openpose_ext.cli.parser import command_parser
from openpose_ext.cli.values import above_zero, at_least_zero, positive, truth
from openpose_ext.cli.zoo_flags import add_zoo_flags
from openpose_ext.formats.heatmaps import HEATMAP_SCALES
from openpose_ext.outputs.controlnet_canvas import CANVAS_SIDE
from openpose_ext.outputs.scale import KEYPOINT_SCALES
from openpose_ext.run.frames import MIN_TRACK
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD

__all__ = ["infer_parser"]

_EXAMPLES = """\
examples:
  python -m openpose_ext.infer photo.jpg                  results in ./openpose_output
  python -m openpose_ext.infer photos -o results          a folder and its subfolders
  python -m openpose_ext.infer "day*/*.png" list.txt      a pattern, and a list of paths
  python -m openpose_ext.infer photos --write_json json   only OpenPose JSON, in json/
  python -m openpose_ext.infer photos --body mobilenet --height 256
  python -m openpose_ext.infer clip.mp4 --hand landmark   with hands: a drawn video, JSON, CSV
  python -m openpose_ext.infer photos --hand --face landmark --foot landmark
  python -m openpose_ext.infer clip.mp4 --identification --smooth --write_csv walk.csv
  python -m openpose_ext.infer clips --skip_existing      continue an interrupted run
  python -m openpose_ext.infer rtsp://host/door --write_jsonl door.jsonl
  python -m openpose_ext.infer openpose_json --write_video drawn.mp4   draw OpenPose's JSON files

exit codes: 0 done; 1 some inputs failed; 2 usage; 3 network or engine; 4 output; 130 interrupted

OpenPose's other flags are accepted where they make sense; the rest are refused with the reason.
"""


def infer_parser() -> argparse.ArgumentParser:
    """The parser of `infer`, all flags added."""
    parser = command_parser(
        "infer",
        "INPUT... [-o OUT] [option ...]",
        "Find people in pictures, videos and camera streams, draw them and write the results.",
        _EXAMPLES,
    )
    _add_inputs(parser)
    _add_frames(parser)
    _add_people(parser)
    _add_network(parser)
    results = parser.add_argument_group(
        "results",
        "Without any --write_... flag, pictures get images, json and txt, and videos get\n"
        "video, json and csv, all in OUT. A FILE holds the results of all inputs.",
    )
    _add_places(results)
    _add_formats(results)
    _add_drawing(results)
    add_zoo_flags(parser)
    add_openpose_flags(parser)
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """Flags for the inputs."""
    flags = Flags(parser)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="picture, video, folder, glob pattern, frame_%%04d.png, .txt list of paths, web or "
        "camera address, OpenPose JSON file or folder of them, or - for the standard input",
    )
    flags.value("--image_dir DIR", "Same as INPUT")
    flags.value("--video FILE", "Same as INPUT")
    flags.value(
        "--camera N|PATH",
        "Webcam by number, 0 for the first, -1 for any, or by path such as /dev/video0",
        _camera,
    )
    flags.value("--camera_resolution WxH", "Webcam resolution (default 1280x720)", default="-1x-1")
    flags.value("--ip_camera URL", "Same as INPUT: rtsp://... or http://...")
    flags.switch("--flat", "Do not search subfolders")


def _add_frames(parser: argparse.ArgumentParser) -> None:
    """Flags for the selection and orientation of frames."""
    group = parser.add_argument_group(
        "frames", "Applies to each video; all pictures together count as one sequence."
    )
    flags = Flags(group)
    flags.value("--frame_first N", "First frame to process, counted from 0", int, 0)
    flags.value("--frame_last N", "Last frame to process (default -1: the last one)", int, -1)
    flags.value("--frame_step N", "Process every Nth frame", positive, 1)
    flags.switch("--frame_flip", "Mirror frames left to right")
    flags.choice(
        "--frame_rotate",
        "Rotate frames counter-clockwise by this many degrees, after mirroring",
        (0, 90, 180, 270),
        0,
    )
    flags.value(
        "--fps F",
        "True frame rate, such as a slow-motion recording's: times and smoothing follow it, the "
        "drawn video plays as the source does (default: the file's)",
        above_zero,
    )


def _add_people(parser: argparse.ArgumentParser) -> None:
    """Flags for tracking and smoothing."""
    group = parser.add_argument_group("people across frames")
    flags = Flags(group)
    flags.switch("--identification", "Give each person an id that stays the same across frames")
    flags.switch("--smooth", "Smooth the motion and fill short gaps; implies --identification")
    flags.value(
        "--track_every N",
        "Run the network on every Nth frame and track people in between; implies --identification "
        "(default 1)",
        positive,
    )
    flags.value(
        "--cutoff HZ",
        "Smooth away motion faster than this; implies --smooth (default 6, for cameras 1.5)",
        above_zero,
    )
    flags.value(
        "--max_gap SECONDS",
        "Fill gaps up to this long, not for cameras; implies --smooth (default 0.5)",
        above_zero,
    )
    flags.value(
        "--min_track SECONDS",
        "Give no id to people who are seen for less than this, and leave out pieces of others "
        f"among them; frames wait for so long (default {MIN_TRACK:g}, for cameras 0: off)",
        at_least_zero,
    )
    flags.value(
        "--keep_id N[,N]",
        "Keep only the people with these ids; implies --identification",
        _ids,
    )
    add_detect_every(group)
    flags.value(
        "--tracking N",
        "OpenPose's flag: same as --track_every N + 1 (default -1: neither)",
        int,
        -1,
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    """Flags for the networks and their input sizes."""
    group = parser.add_argument_group("network")
    add_network_flags(group)
    flags = Flags(group)
    flags.value("--model_pose NAME", "OpenPose's flag: BODY_25 or COCO, its original networks")
    flags.value("--net_resolution WxH", "OpenPose's flag: -1x368 is --height 368")
    flags.value("--scale_number N", "OpenPose's flag: number of scales, see --scales", positive, 1)
    flags.value("--scale_gap GAP", "OpenPose's flag: distance between those scales", float, 0.25)
    add_closer_flags(group)


def _add_places(group: argparse._ArgumentGroup) -> None:
    """Flags for the kinds of results and their places."""
    flags = Flags(group)
    flags.value("-o --output OUT", "Output folder", default="openpose_output")
    for kind, place, what in (
        ("images", "DIR", "Write pictures with the people drawn"),
        (
            "video",
            "DIR|FILE",
            "Write a video with the people drawn: .mp4, .m4v, .mov, .mkv or .avi; a video of one "
            "input keeps its sound",
        ),
        ("json", "DIR", "Write one OpenPose JSON 1.3 file per frame"),
        ("jsonl", "DIR|FILE", "Write JSON lines: one line per frame"),
        ("csv", "DIR|FILE", "Write a CSV table: one row per body part"),
        ("parquet", "DIR|FILE", "Write the same table as Parquet"),
        ("coco_json", "DIR|FILE", "Write COCO keypoint results"),
        (
            "coco_dataset",
            "DIR|FILE",
            "Write a COCO data set, with images and categories, for annotation tools and training",
        ),
        (
            "angles",
            "DIR|FILE",
            "Write a CSV table of the angles of knees, hips, ankles, elbows, shoulders and trunk: "
            "one row per person and frame",
        ),
        (
            "angle_plots",
            "DIR",
            "Plot these angles over time: one PNG per person; needs --identification and "
            "matplotlib",
        ),
        (
            "trc",
            "DIR",
            "Write TRC markers for Pose2Sim and OpenSim: one file per person; needs "
            "--identification",
        ),
        (
            "deeplabcut",
            "DIR",
            "Write CSV in the form of DeepLabCut's for several animals; needs --identification",
        ),
        ("pose", "DIR", "Write .pose files of the library pose-format, which must be installed"),
        ("txt", "DIR", "Write one text file per frame: one line per person"),
        ("controlnet", "DIR", "Write JSON and skeletons on black for ControlNet and ComfyUI"),
        ("heatmaps", "DIR", "Write the raw heat maps and part affinity fields"),
    ):
        flags.value(f"--write_{kind} {place}", what, nargs="?", const="")


def _add_formats(group: argparse._ArgumentGroup) -> None:
    """Flags for the format of the results."""
    flags = Flags(group)
    flags.value(
        "--write_images_format FORMAT",
        "File format of rendered pictures: png, jpg, webp, ...",
        default="png",
    )
    flags.choice(
        "--json_format",
        "Order of the body parts in JSON: openpose keeps the network's, or BODY_25 with feet; "
        "body25 converts to BODY_25, which most readers expect",
        ("openpose", "body25"),
        "openpose",
    )
    flags.choice(
        "--csv_layout",
        "CSV table: long has a row per body part; wide is a file for each person, "
        "NAME_personID.csv, with a row per frame and a column per number, and needs "
        "--identification",
        ("long", "wide"),
        "long",
    )
    flags.switch(
        "--csv_empty_frames",
        "Also write CSV rows for frames in which nobody was found; with --csv_layout wide, a row "
        "for every frame in each person's file",
    )
    flags.value(
        "--person_height METRES",
        "Height of the people, for --write_trc in metres instead of pixels",
        above_zero,
    )
    flags.choice(
        "--controlnet_format",
        "JSON for ControlNet: object is a file for each frame, which A1111 and its editors read; "
        "list is one file of all frames, for ComfyUI (default: object for pictures, list for "
        "videos)",
        ("object", "list"),
    )
    flags.value(
        "--controlnet_size N",
        "Short side of the skeleton pictures for ControlNet, in pixels; 0 keeps the picture's size",
        int,
        CANVAS_SIDE,
    )
    flags.switch(
        "--part_candidates",
        "Also write all peaks found, assigned to a person or not, to the JSON",
    )
    flags.switch(
        "--keep_filled",
        "Also write parts that were not seen but followed along the fields, with scores up to "
        f"{FILLED_SCORE}, to JSON, txt and tables (COCO results always have them)",
    )
    flags.choice(
        "--keypoint_scale",
        "Units in JSON, txt and tables: 0 and 2 picture pixels, 1 network input pixels, 3 from 0 "
        "to 1, 4 from -1 to 1",
        KEYPOINT_SCALES,
        0,
    )
    flags.value(
        "--write_video_fps FPS",
        "Frame rate of the rendered video (default -1: the source's)",
        float,
        -1,
    )
    flags.value(
        "--write_heatmaps_format FORMAT",
        "File format of heat maps: png, npy, float, ...",
        default="png",
    )
    for maps, what in (("parts", "parts"), ("bkg", "the background"), ("PAFs", "fields")):
        flags.switch(f"--heatmaps_add_{maps}", f"Write the heat maps of {what} (default: all maps)")
    flags.choice(
        "--heatmaps_scale",
        "Range of heat map values: 0 is -1 to 1, 1 is 0 to 1, 2 is 0 to 255, 3 is unchanged",
        HEATMAP_SCALES,
        2,
    )
    flags.value(
        "--segment SECONDS",
        "Finish a camera's files every SECONDS and begin others: NAME_000, NAME_001, ...",
        above_zero,
    )


def _add_drawing(group: argparse._ArgumentGroup) -> None:
    """Flags for the selection of people, for drawing, and for skipping inputs."""
    flags = Flags(group)
    flags.value(
        "--number_people_max N",
        "Keep the N most prominent people; with ids, the same ones (default -1: all)",
        int,
        -1,
    )
    flags.value(
        "--render_threshold SCORE",
        "Draw body parts that score above this",
        float,
        FILLED_SCORE,
    )
    flags.value(
        "--hand_render_threshold SCORE",
        f"Draw hand points that score above this (default {HAND_THRESHOLD}; with --mode zoo "
        f"{FILLED_SCORE}, which is all)",
        float,
        HAND_THRESHOLD,
    )
    flags.value(
        "--face_render_threshold SCORE",
        "Draw face points that score above this",
        float,
        FACE_THRESHOLD,
    )
    flags.value(
        "--render_ids true|false",
        "Draw each person's id (default: with --identification)",
        truth,
    )
    flags.value("--render_pose N", "0 draws no people (default -1: draw them)", int, -1)
    flags.switch("--disable_blending", "Draw on black instead of on the picture")
    flags.value(
        "--display N",
        "Show the drawn frames in the browser while running (default -1, like 0: do not)",
        default="-1",
        nargs="?",
        const="2",
    )
    flags.switch(
        "--skip_existing",
        "Skip inputs whose results exist. A file that several inputs share tells which inputs it "
        "holds; if one is missing there, all of them are processed again and the file is replaced",
    )


def _camera(text: str) -> int | str:
    """A camera's number, or its path."""
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _ids(text: str) -> frozenset[int]:
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an id, or a list of ids such as 3,7")
    return frozenset(map(int, text.split(",")))
