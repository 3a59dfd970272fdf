"""OpenPose's flags and how each is handled here.

Users of OpenPose can keep their command lines: each of its flags is an option here, is mapped to
one, has no effect, or is refused with a reason.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum

__all__ = ["OPENPOSE_FLAGS", "OpenPoseFlag", "Treatment", "add_openpose_flags"]


class Treatment(Enum):
    """How one of OpenPose's flags is handled."""

    OPTION = "an option of `infer`, of the same name or mapped to others"
    NEUTRAL = "accepted; changes nothing here"
    REFUSED = "refused, unless its value asks for nothing"


@dataclass(frozen=True)
class OpenPoseFlag:
    """One of OpenPose's flags.

    name       the flag without the dashes
    default    OpenPose's default; `false` for flags without a value
    treatment  how it is handled
    note       what it is mapped to, why it has no effect, or why it is refused
    harmless   further values that have no effect
    """

    name: str
    default: str
    treatment: Treatment
    note: str
    harmless: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether the flag has no value."""
        return self.default == "false"

    def asks_for_nothing(self, value: str | bool) -> bool:
        """Whether a value has no effect: OpenPose's default or an equivalent."""
        return any(_same(str(value), other) for other in (self.default, *self.harmless))


_FACES = "faces are always found around eyes and nose"


_LENS = "lens correction is not supported"


_OPAQUE = "transparency is not supported"


_WINDOW = "there is no window; --display opens a page in the browser"


_DEVICE = "choose the device with --device"


_OPTION, _NEUTRAL, _REFUSED = Treatment.OPTION, Treatment.NEUTRAL, Treatment.REFUSED


def _the_same(**defaults: str) -> list[OpenPoseFlag]:
    """Flags that mean the same here, by OpenPose's defaults."""
    return [OpenPoseFlag(name, default, _OPTION, "the same") for name, default in defaults.items()]


OPENPOSE_FLAGS = (
    # Input
    OpenPoseFlag("image_dir", "", _OPTION, "an INPUT"),
    OpenPoseFlag("video", "", _OPTION, "an INPUT"),
    OpenPoseFlag(
        "camera", "-1", _OPTION, "the same; -1 is the first camera, if nothing else is given"
    ),
    OpenPoseFlag("camera_resolution", "-1x-1", _OPTION, "the same"),
    OpenPoseFlag("ip_camera", "", _OPTION, "the same; an address is an INPUT, too"),
    *_the_same(
        frame_first="0", frame_step="1", frame_last="-1", frame_flip="false", frame_rotate="0"
    ),
    OpenPoseFlag("frame_undistort", "false", _REFUSED, _LENS),
    OpenPoseFlag("camera_parameter_path", "models/cameraParameters/flir/", _NEUTRAL, _LENS),
    OpenPoseFlag("frames_repeat", "false", _REFUSED, "repeating a video is not supported"),
    OpenPoseFlag(
        "process_real_time",
        "false",
        _REFUSED,
        "files are read as fast as possible; cameras drop frames automatically",
    ),
    OpenPoseFlag("3d_views", "-1", _REFUSED, "views are not combined"),
    # General
    OpenPoseFlag(
        "model_folder",
        "models/",
        _REFUSED,
        "choose a network by name or file with --body; names are searched in $OPENPOSE_EXT_MODELS",
    ),
    OpenPoseFlag("output_resolution", "-1x-1", _REFUSED, "pictures are written in their own size"),
    OpenPoseFlag("num_gpu", "-1", _REFUSED, _DEVICE, ("0",)),
    OpenPoseFlag("num_gpu_start", "0", _REFUSED, _DEVICE),
    OpenPoseFlag("keypoint_scale", "0", _OPTION, "the same, 0 to 4"),
    OpenPoseFlag("number_people_max", "-1", _OPTION, "the same"),
    OpenPoseFlag("maximize_positives", "false", _REFUSED, "thresholds cannot be set yet"),
    OpenPoseFlag("fps_max", "-1", _NEUTRAL, "frames are processed as fast as possible"),
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
    *_the_same(
        heatmaps_add_parts="false",
        heatmaps_add_bkg="false",
        heatmaps_add_PAFs="false",
        heatmaps_scale="2",
        part_candidates="false",
    ),
    # Hand and face
    OpenPoseFlag("hand", "0", _OPTION, "--hand NAME or FILE; 1 is the default network"),
    OpenPoseFlag("hand_detector", "0", _OPTION, "anything but 0 looks in the whole picture, too"),
    OpenPoseFlag(
        "hand_net_resolution", "368x368", _NEUTRAL, "hand networks have fixed input sizes"
    ),
    *_the_same(hand_scale_number="1", hand_scale_range="0.4"),
    OpenPoseFlag("face", "false", _OPTION, "--face NAME or FILE; alone the default network"),
    OpenPoseFlag("face_detector", "0", _NEUTRAL, _FACES),
    OpenPoseFlag(
        "face_net_resolution", "368x368", _NEUTRAL, "face networks have fixed input sizes"
    ),
    # Extra
    OpenPoseFlag("3d", "false", _REFUSED, "views are not combined"),
    OpenPoseFlag("identification", "false", _OPTION, "the same"),
    OpenPoseFlag("tracking", "-1", _OPTION, "N is --track_every N + 1; -1 is neither"),
    # Rendering
    OpenPoseFlag("render_pose", "-1", _OPTION, "0 draws nothing"),
    *_the_same(render_threshold="0.05", hand_render_threshold="0.2", face_render_threshold="0.4"),
    OpenPoseFlag("alpha_pose", "0.6", _REFUSED, _OPAQUE, ("1",)),
    OpenPoseFlag("alpha_heatmap", "0.7", _NEUTRAL, "heat maps are not drawn"),
    OpenPoseFlag("hand_alpha_pose", "0.6", _REFUSED, _OPAQUE, ("1",)),
    OpenPoseFlag("hand_alpha_heatmap", "0.7", _NEUTRAL, "heat maps are not drawn"),
    OpenPoseFlag("disable_blending", "false", _OPTION, "the same"),
    OpenPoseFlag("part_to_show", "0", _REFUSED, "heat maps are not drawn"),
    OpenPoseFlag("display", "-1", _OPTION, "1, 2 and 3 open a page in the browser"),
    OpenPoseFlag("fullscreen", "false", _REFUSED, _WINDOW),
    OpenPoseFlag("no_gui_verbose", "false", _NEUTRAL, "no text is drawn on the pictures"),
    OpenPoseFlag("cli_verbose", "-1", _NEUTRAL, "a progress bar is shown in terminals"),
    # Output
    *_the_same(write_images="", write_images_format="png"),
    OpenPoseFlag("write_video", "", _OPTION, "the same; H.264"),
    OpenPoseFlag("write_video_fps", "-1", _OPTION, "the same"),
    OpenPoseFlag("write_video_with_audio", "false", _NEUTRAL, "the sound of a file is always kept"),
    *_the_same(write_json="", write_coco_json=""),
    OpenPoseFlag(
        "write_coco_json_variants",
        "1",
        _NEUTRAL,
        "the body, and hands, faces and feet where they are known",
    ),
    OpenPoseFlag(
        "write_coco_json_variant",
        "0",
        _NEUTRAL,
        "the body, and hands, faces and feet where they are known",
    ),
    OpenPoseFlag("write_heatmaps", "", _OPTION, "the same"),
    OpenPoseFlag("write_heatmaps_format", "png", _OPTION, "png, npy, float, ..."),
    OpenPoseFlag("write_keypoint", "", _REFUSED, "use --write_json"),
    OpenPoseFlag("write_keypoint_format", "yml", _NEUTRAL, "use --write_json"),
)


def add_openpose_flags(parser: argparse.ArgumentParser) -> None:
    """Add OpenPose's other flags to the parser, hidden from the help."""
    for flag in OPENPOSE_FLAGS:
        if flag.treatment is Treatment.OPTION:
            continue
        if flag.is_boolean:
            parser.add_argument(f"--{flag.name}", action="store_true", help=argparse.SUPPRESS)
        else:
            parser.add_argument(f"--{flag.name}", help=argparse.SUPPRESS)


def _same(a: str, b: str) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return a.lower() == b.lower()
