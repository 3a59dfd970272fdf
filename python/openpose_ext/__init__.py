"""Human pose estimation in pictures and videos: one call, works offline.

import openpose_ext as op

with op.PoseEstimator() as estimator:
    poses = estimator("people.jpg")
poses.keypoints  # (people, 18, 3) float32: x, y in the picture, score

Everything outside `__all__` is private and may change.
"""

import openpose_ext.cli.starting  # noqa: F401  # before all that takes time

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openpose_ext.errors import (
        BackendError,
        ModelError,
        OpenPoseExtError,
        OutputError,
        SourceError,
    )
    from openpose_ext.formats.supervision import edges
    from openpose_ext.outputs.angle_plots import AnglePlotsWriter
    from openpose_ext.outputs.angles import AnglesWriter
    from openpose_ext.outputs.coco_dataset import CocoDatasetWriter
    from openpose_ext.outputs.coco_json import CocoWriter
    from openpose_ext.outputs.controlnet_json import ControlNetWriter
    from openpose_ext.outputs.csv import CsvWriter
    from openpose_ext.outputs.deeplabcut import DeepLabCutWriter
    from openpose_ext.outputs.draw import draw
    from openpose_ext.outputs.json_lines import JsonLinesWriter
    from openpose_ext.outputs.parquet import ParquetWriter
    from openpose_ext.outputs.pose_format import PoseFormatWriter
    from openpose_ext.outputs.trc import TrcWriter
    from openpose_ext.outputs.video import VideoWriter
    from openpose_ext.outputs.wide_csv import WideCsvWriter
    from openpose_ext.outputs.writer import FrameWriter
    from openpose_ext.run.coco_eval import Annotations, Evaluation, Scores, evaluate
    from openpose_ext.sources import open_source
    from openpose_ext.sources.openpose_json import read_openpose
    from openpose_ext.sources.source import Source, View
    from openpose_ext.stages.decode import (
        DecodeOptions,
        decode_bodies,
        decode_body,
        decode_hand,
        decode_reference,
    )
    from openpose_ext.stages.estimator import PoseEstimator
    from openpose_ext.tracking.ids import Tracker
    from openpose_ext.tracking.one_euro import OneEuro
    from openpose_ext.tracking.two_pass import TwoPass, smooth_tracks
    from openpose_ext.types.frame import Frame
    from openpose_ext.types.geometry import Geometry
    from openpose_ext.types.poses import Poses
    from openpose_ext.types.topology import BODY_25, COCO_18, FACE_70, HAND_21, Topology

    __version__: str

__all__ = [
    "BODY_25",
    "COCO_18",
    "FACE_70",
    "HAND_21",
    "AnglePlotsWriter",
    "AnglesWriter",
    "Annotations",
    "BackendError",
    "CocoDatasetWriter",
    "CocoWriter",
    "ControlNetWriter",
    "CsvWriter",
    "DecodeOptions",
    "DeepLabCutWriter",
    "Evaluation",
    "Frame",
    "FrameWriter",
    "Geometry",
    "JsonLinesWriter",
    "ModelError",
    "OneEuro",
    "OpenPoseExtError",
    "OutputError",
    "ParquetWriter",
    "PoseEstimator",
    "PoseFormatWriter",
    "Poses",
    "Scores",
    "Source",
    "SourceError",
    "Topology",
    "Tracker",
    "TrcWriter",
    "TwoPass",
    "VideoWriter",
    "View",
    "WideCsvWriter",
    "decode_bodies",
    "decode_body",
    "decode_hand",
    "decode_reference",
    "draw",
    "edges",
    "evaluate",
    "open_source",
    "read_openpose",
    "smooth_tracks",
]

# Imported at first use, so that `import openpose_ext` takes no time.
_MODULES = {
    "AnglePlotsWriter": "openpose_ext.outputs.angle_plots",
    "AnglesWriter": "openpose_ext.outputs.angles",
    "Annotations": "openpose_ext.run.coco_eval",
    "BODY_25": "openpose_ext.types.topology",
    "BackendError": "openpose_ext.errors",
    "COCO_18": "openpose_ext.types.topology",
    "CocoDatasetWriter": "openpose_ext.outputs.coco_dataset",
    "CocoWriter": "openpose_ext.outputs.coco_json",
    "ControlNetWriter": "openpose_ext.outputs.controlnet_json",
    "CsvWriter": "openpose_ext.outputs.csv",
    "DeepLabCutWriter": "openpose_ext.outputs.deeplabcut",
    "DecodeOptions": "openpose_ext.stages.decode",
    "Evaluation": "openpose_ext.run.coco_eval",
    "FACE_70": "openpose_ext.types.topology",
    "Frame": "openpose_ext.types.frame",
    "FrameWriter": "openpose_ext.outputs.writer",
    "Geometry": "openpose_ext.types.geometry",
    "HAND_21": "openpose_ext.types.topology",
    "JsonLinesWriter": "openpose_ext.outputs.json_lines",
    "ModelError": "openpose_ext.errors",
    "OneEuro": "openpose_ext.tracking.one_euro",
    "OpenPoseExtError": "openpose_ext.errors",
    "OutputError": "openpose_ext.errors",
    "ParquetWriter": "openpose_ext.outputs.parquet",
    "PoseFormatWriter": "openpose_ext.outputs.pose_format",
    "PoseEstimator": "openpose_ext.stages.estimator",
    "Poses": "openpose_ext.types.poses",
    "Scores": "openpose_ext.run.coco_eval",
    "Source": "openpose_ext.sources.source",
    "SourceError": "openpose_ext.errors",
    "Topology": "openpose_ext.types.topology",
    "Tracker": "openpose_ext.tracking.ids",
    "TrcWriter": "openpose_ext.outputs.trc",
    "TwoPass": "openpose_ext.tracking.two_pass",
    "VideoWriter": "openpose_ext.outputs.video",
    "View": "openpose_ext.sources.source",
    "WideCsvWriter": "openpose_ext.outputs.wide_csv",
    "decode_bodies": "openpose_ext.stages.decode",
    "decode_body": "openpose_ext.stages.decode",
    "decode_hand": "openpose_ext.stages.decode",
    "decode_reference": "openpose_ext.stages.decode",
    "draw": "openpose_ext.outputs.draw",
    "edges": "openpose_ext.formats.supervision",
    "evaluate": "openpose_ext.run.coco_eval",
    "open_source": "openpose_ext.sources",
    "read_openpose": "openpose_ext.sources.openpose_json",
    "smooth_tracks": "openpose_ext.tracking.two_pass",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version("openpose_ext")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, "__version__"})
