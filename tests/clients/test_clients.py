"""Our files as other tools read them, with their own code: `make test-clients` installs them."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

import openpose_ext as op
from openpose_ext.outputs.openpose_json import write_openpose
from random_people import SIZE, people

FRAMES = 6
# pose-format's components, in its order, and their numbers of points.
COMPONENTS = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}

pytestmark = pytest.mark.clients


def poses_of(frame: int) -> op.Poses:
    """One person, other points in each frame; hands and a face."""
    return people(frame + 1, op.BODY_25, hands=True, faces=True)[:1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for frame in range(FRAMES):
        write_openpose(tmp_path / f"clip_{frame:012d}_keypoints.json", poses_of(frame))
    return tmp_path


def test_pose_format_reads_every_component_where_it_belongs(folder: Path) -> None:
    pytest.importorskip("pose_format", reason="pose-format is not installed")
    reader = importlib.import_module("pose_format.utils.openpose")
    pose = reader.load_openpose_directory(str(folder), fps=25, width=SIZE[0], height=SIZE[1])
    assert pose.body.data.shape == (FRAMES, 1, sum(COMPONENTS.values()), 2)
    names = [component.name.lower() for component in pose.header.components]
    assert [len(component.points) for component in pose.header.components] == [*COMPONENTS.values()]
    assert all(kind in name for kind, name in zip(COMPONENTS, names, strict=True))
    for frame in range(FRAMES):
        written = poses_of(frame)
        assert written.hands is not None
        assert written.faces is not None
        expected = np.concatenate([written.keypoints[0], written.faces[0], *written.hands[0]])
        found = expected[:, 2] > 0
        read = pose.body.data.filled(0)[frame, 0]
        np.testing.assert_allclose(read[found], expected[found, :2], atol=1e-2)
        np.testing.assert_allclose(pose.body.confidence[frame, 0], expected[:, 2], atol=1e-3)


def test_pose2sim_reads_every_person_and_names_the_parts_as_we_do(folder: Path) -> None:
    logging.disable(logging.WARNING)  # it asks for a window system
    try:
        reader = pytest.importorskip(
            "Pose2Sim.personAssociation", reason="Pose2Sim is not installed"
        )
    finally:
        logging.disable(logging.NOTSET)
    skeletons = importlib.import_module("Pose2Sim.skeletons")
    anytree = importlib.import_module("anytree")
    for frame in range(FRAMES):
        file = folder / f"clip_{frame:012d}_keypoints.json"
        (person,) = reader.read_json(str(file))
        written = poses_of(frame).keypoints[0]
        np.testing.assert_allclose(np.reshape(person, (25, 3)), written, atol=1e-2)
    for node in anytree.PreOrderIter(skeletons.BODY_25):
        assert op.BODY_25.parts[node.id] == {"CHip": "MidHip"}.get(node.name, node.name)


def test_supervision_draws_the_limbs_of_edges() -> None:
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    keypoints = np.zeros((1, 18, 3), np.float32)
    rng = np.random.default_rng(3)
    keypoints[0, :, :2] = rng.uniform(20, 180, (18, 2))
    keypoints[0, :, 2] = 0.9
    poses = op.Poses(
        keypoints, np.ones(1, np.float32), np.zeros((1, 18), bool), op.COCO_18, (200, 200)
    )
    annotator = sv.EdgeAnnotator(thickness=3, edges=op.edges(op.COCO_18))
    drawn = annotator.annotate(np.zeros((200, 200, 3), np.uint8), poses.to_supervision())
    expected = np.zeros((200, 200), np.uint8)
    for limb, ends in enumerate(op.COCO_18.limbs):
        if limb not in op.COCO_18.redundant:
            a, b = (tuple(map(int, keypoints[0, end, :2])) for end in ends)
            cv2.line(expected, a, b, 255, 3)
    np.testing.assert_array_equal(drawn.any(axis=2), expected > 0)
