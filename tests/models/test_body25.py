"""BODY_25 from Caffe's file to OpenPose's JSON, and its people beside those of 18 parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import caffe_networks
import openpose_ext as op
from openpose_ext import infer
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.sources.openpose_json import read_openpose

# Where OpenPose's documentation has each part of BODY_25, and tools made for it look for them.
ORDER = {
    "Nose": 0, "Neck": 1, "RShoulder": 2, "RElbow": 3, "RWrist": 4, "LShoulder": 5, "LElbow": 6,
    "LWrist": 7, "MidHip": 8, "RHip": 9, "RKnee": 10, "RAnkle": 11, "LHip": 12, "LKnee": 13,
    "LAnkle": 14, "REye": 15, "LEye": 16, "REar": 17, "LEar": 18, "LBigToe": 19, "LSmallToe": 20,
    "LHeel": 21, "RBigToe": 22, "RSmallToe": 23, "RHeel": 24,
}  # fmt: skip

NECK, MID_HIP, FEET = 1, 8, range(19, 25)


# Files ---------------------------------------------------------------------------------------


def test_openposes_json_has_every_part_in_its_place(workload: ModuleType, tmp_path: Path) -> None:
    """Of somebody drawn whole; the maps have the channels that OpenPose's tables say."""
    truth = workload.make_people(1, 368, 656, "body25", seed=1, missing=0)
    maps = workload.draw_maps(truth, 368, 656, topology="body25")
    poses = op.decode_body(*maps, topology=op.BODY_25)
    write_openpose(tmp_path / "a_keypoints.json", poses)
    (person,) = json.loads((tmp_path / "a_keypoints.json").read_text())["people"]
    points = np.array(person["pose_keypoints_2d"]).reshape(25, 3)
    assert {name: op.BODY_25.parts.index(name) for name in ORDER} == ORDER
    assert (truth[0, :, 2] == 1).all()
    assert np.abs(points[:, :2] - truth[0, :, :2]).max() < 4
    back = read_openpose(tmp_path / "a_keypoints.json", size=poses.size)
    assert back.topology is op.BODY_25
    np.testing.assert_allclose(back.keypoints, poses.keypoints, rtol=1e-5)


def test_18_parts_are_those_of_openposes_table(workload: ModuleType) -> None:
    of_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    maps = workload.make_maps(3, 368, 656, topology="body25")[:2]
    poses = op.decode_body(*maps, topology=op.BODY_25)
    people = poses.as_topology(op.COCO_18)
    assert len(people) == 3
    np.testing.assert_array_equal(people.keypoints, poses.keypoints[:, of_25])


@pytest.mark.torch
def test_the_command_takes_caffes_file_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fields that point the same way everywhere, and peaks of all parts: random maps hold people.
    net = caffe_networks.body_25(32)
    weights = caffe_networks.random(net)
    rng = np.random.default_rng(0)
    weights["Mconv7_stage3_L2"][1][:] = 3 * rng.standard_normal(52, np.float32)
    weights["Mconv7_stage1_L1"][1][:] = 0.5
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(tmp_path))
    content = caffe_networks.encoded(net, weights)
    (tmp_path / "pose_iter_584000.caffemodel").write_bytes(content)
    pixels = rng.integers(0, 256, (12, 16, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    out = tmp_path / "out"
    words = [str(tmp_path / "a.png"), "--body", "body25", "--height", "144", "-o", str(out)]
    assert infer.main(words) == 0
    poses = read_openpose(out / "a_keypoints.json")
    assert poses.topology is op.BODY_25
    assert (poses.keypoints[:, FEET, 2] > 0).any()
    assert (np.asarray(Image.open(out / "a_rendered.png")) != pixels).any()


# People --------------------------------------------------------------------------------------


def figures(
    workload: ModuleType, name: str, topology: op.Topology, always: Sequence[int] = ()
) -> tuple[float, float]:
    """Recall and precision of the 18 parts that both skeletons have, mean of four seeds.

    always  parts of BODY_25 that are drawn of everybody who has them in the picture; of all others
            a tenth is missing, as in every workload
    """
    shared = workload.TOPOLOGIES["coco18"][0]
    people, height, width = workload.WORKLOADS[name]
    found = []
    for seed in range(4):
        truth = workload.make_people(people, height, width, "body25", seed)
        whole = workload.make_people(people, height, width, "body25", seed, missing=0)
        truth[:, always] = whole[:, always]
        if topology is op.COCO_18:
            maps = workload.draw_maps(truth[:, shared], height, width, seed=seed)
            points = op.decode_body(*maps).keypoints
        else:
            maps = workload.draw_maps(truth, height, width, topology="body25", seed=seed)
            points = op.decode_body(*maps, topology=topology).keypoints[:, shared]
        found.append(workload.evaluate(points, truth[:, shared]))
    recall, precision = (np.mean([one[key] for one in found]) for key in ("recall", "precision"))
    return float(recall), float(precision)


@pytest.mark.parametrize("name", ["crowd5", "crowd20", "crowd100"])
def test_crowds_are_found_as_with_18_parts(workload: ModuleType, name: str) -> None:
    always = [NECK, MID_HIP]
    recall, precision = figures(workload, name, op.BODY_25, always)
    recall_18, precision_18 = figures(workload, name, op.COCO_18, always)
    assert recall == pytest.approx(recall_18, abs=0.01)
    assert precision == pytest.approx(precision_18, abs=0.01)


@pytest.mark.parametrize("name", ["crowd5", "crowd20", "crowd100"])
def test_a_missing_hip_or_neck_loses_the_legs_alone(workload: ModuleType, name: str) -> None:
    """Where both can be missing BODY_25 has less, for its only way to the legs leads over both.

    With 18 parts each leg hangs on the neck by a limb of its own. Without the middle of the hips
    BODY_25's legs are pieces of three parts, which are nobody; without the neck they are a pair,
    which is somebody: a person of whom the picture shows no more looks the same.
    """
    recall, precision = figures(workload, name, op.BODY_25)
    recall_18, precision_18 = figures(workload, name, op.COCO_18)
    assert recall_18 - 0.04 <= recall <= recall_18
    assert precision_18 - 0.065 <= precision <= precision_18


def test_a_leg_with_a_foot_is_nobody_and_two_on_a_hip_are_somebody(workload: ModuleType) -> None:
    truth = workload.make_people(1, 368, 656, "body25", seed=1, missing=0)
    for parts, people in (([12, 13, 14, 19, 20, 21], 0), ([*range(8, 15), *FEET], 1)):
        part_of = np.zeros_like(truth)
        part_of[:, parts] = truth[:, parts]
        maps = workload.draw_maps(part_of, 368, 656, topology="body25")
        poses = op.decode_body(*maps, topology=op.BODY_25)
        assert len(poses) == people
        if people:
            assert (poses.keypoints[0, :, 2] > 0).nonzero()[0].tolist() == parts
