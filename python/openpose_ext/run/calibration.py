"""Pictures for calibrating INT8 networks: whether they show anything, and crops of hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from openpose_ext.models.manifest import TOPOLOGIES, Manifest
from openpose_ext.models.network import body_maps
from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.decode import decode_body
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture

__all__ = ["hand_crops", "sees"]

Outputs = Mapping[str, npt.NDArray[np.float32]]

MOST_PEOPLE = 4  # people used per picture, the best ones
_PEAK = 0.1  # a heat map with a lower maximum has no point


def sees(manifest: Manifest) -> Callable[[Outputs], bool]:
    """A function that tells by a network's outputs for one picture whether it found anything.

    That is more than half of the parts of a person, or of the points of a hand or face, because
    networks see a few parts in many pictures without people. Networks of landmarks return their own
    presence; those without one count as having found something.
    """

    def person(outputs: Outputs) -> bool:
        heat, paf = (maps[0] for maps in body_maps(outputs, manifest))
        topology = TOPOLOGIES[manifest.topology]
        people = decode_body(heat, paf, topology=topology, stride=manifest.stride)
        parts = ((people.keypoints[:, :, 2] > 0) & ~people.filled).sum(axis=1)
        return 2 * int(parts.max(initial=0)) > len(topology.parts)

    def points(outputs: Outputs) -> bool:
        by_role = {role: outputs[name] for name, role in manifest.outputs.items()}
        if "heat" in by_role:
            nhwc = manifest.output_layout == "NHWC"
            heat = by_role["heat"].transpose(0, 3, 1, 2) if nhwc else by_role["heat"]
            count = len(TOPOLOGIES[manifest.topology].parts)  # without the background
            seen = heat[0, :count].max(axis=(1, 2)) > _PEAK
            return 2 * int(seen.sum()) > count
        presence = by_role.get("presence")
        return presence is None or float(presence.flat[0]) >= (manifest.min_score or 0.0)

    return person if manifest.kind == "body" else points


def hand_crops(pictures: Iterable[Picture], size: int) -> Iterator[Picture]:
    """The crops that a hand network gets for the people in the pictures, (size, size, 3) each.

    Hands are taken at the ends of arms found by the embedded body network; left hands are mirrored.
    Filled parts are ignored, and only `MOST_PEOPLE` people of a picture are used, so that crowds do
    not dominate.
    """
    with PoseEstimator("lite") as estimator:
        for picture in pictures:
            poses = estimator(picture)[:MOST_PEOPLE]
            for keypoints in np.where(poses.filled[..., None], 0, poses.keypoints):
                for box, left in zip(
                    arm_boxes(keypoints, poses.topology), (True, False), strict=True
                ):
                    if box is not None:
                        yield View(box.centre, box.side, size, mirrored=left).cut(picture)
