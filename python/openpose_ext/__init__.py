"""OpenPose people of pictures and videos: install, one call, offline.

import openpose_ext as op

with op.PoseEstimator() as estimator:
    poses = estimator("people.jpg")
poses.keypoints  # (people, 18, 3) float32: x, y in the picture, score
"""

from openpose_ext.errors import BackendError, ModelError, OpenPoseExtError, OutputError, SourceError
from openpose_ext.outputs.draw import draw
from openpose_ext.sources.openpose_json import read_openpose
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
from openpose_ext.types.topology import BODY_25, COCO_18, HAND_21, Topology

__all__ = [
    "BODY_25",
    "COCO_18",
    "HAND_21",
    "BackendError",
    "DecodeOptions",
    "Frame",
    "Geometry",
    "ModelError",
    "OneEuro",
    "OpenPoseExtError",
    "OutputError",
    "PoseEstimator",
    "Poses",
    "SourceError",
    "Topology",
    "Tracker",
    "TwoPass",
    "decode_bodies",
    "decode_body",
    "decode_hand",
    "decode_reference",
    "draw",
    "read_openpose",
    "smooth_tracks",
]
