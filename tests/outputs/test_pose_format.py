""".pose files, read by pose-format."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from openpose_ext import infer
from openpose_ext.errors import OutputError
from openpose_ext.outputs.pose_format import PoseFormatWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, frames, people

pytestmark = pytest.mark.clients


def write(file: Path, many: list[tuple[Frame, Poses]], rate: float | None = 25) -> None:
    with PoseFormatWriter(file, rate=rate) as sink:
        for frame, poses in many:
            sink.write(frame, poses)


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_every_point_is_where_it_belongs(tmp_path: Path, topology: Topology, ids: bool) -> None:
    library = pytest.importorskip("pose_format", reason="pose-format is not installed")
    many = list(frames(9, topology, hands=True, faces=True, ids=ids))
    write(tmp_path / "a.pose", many)
    pose = library.Pose.read((tmp_path / "a.pose").read_bytes())
    assert (pose.header.dimensions.width, pose.header.dimensions.height) == SIZE
    assert pose.body.fps == 25
    assert [c.name for c in pose.header.components] == [
        "pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d",
        "hand_right_keypoints_2d",
    ]  # fmt: skip
    assert pose.header.components[0].points == [*BODY_25.parts]
    assert pose.body.data.shape == (9, 3, 137, 2)
    for frame, poses in many:
        expected = np.zeros((3, 137, 3), np.float32)
        if len(poses):
            assert poses.hands is not None
            assert poses.faces is not None
            points = [
                poses.as_topology(BODY_25).keypoints,
                poses.faces,
                *poses.hands.swapaxes(0, 1),
            ]
            expected[: len(poses)] = np.concatenate(points, axis=1)
        np.testing.assert_array_equal(pose.body.confidence[frame.index], expected[..., 2])
        read = pose.body.data[frame.index]
        seen = expected[..., 2] > 0
        np.testing.assert_array_equal(~read.mask[..., 0], seen)
        np.testing.assert_array_equal(read.data[seen], expected[seen, :2])


def test_people_keep_their_places_by_id_and_bodies_alone_are_enough(tmp_path: Path) -> None:
    library = pytest.importorskip("pose_format", reason="pose-format is not installed")
    two = people(2, BODY_25, ids=True)
    picture = np.zeros((*SIZE[::-1], 3), np.uint8)
    many = [(Frame(picture, "a", k, k / 25), shown) for k, shown in enumerate([two, two[1], two])]
    write(tmp_path / "a.pose", many)
    confidence = library.Pose.read((tmp_path / "a.pose").read_bytes()).body.confidence
    np.testing.assert_array_equal(confidence[1, 1, :25], two.keypoints[1, :, 2])
    assert not confidence[1, 0].any()
    assert not confidence[..., 25:].any()


def test_nobody_and_pictures(tmp_path: Path) -> None:
    library = pytest.importorskip("pose_format", reason="pose-format is not installed")
    picture = np.zeros((4, 6, 3), np.uint8)
    write(tmp_path / "a.pose", [(Frame(picture, "a.jpg"), Poses.empty((6, 4)))], rate=None)
    pose = library.Pose.read((tmp_path / "a.pose").read_bytes())
    assert (pose.body.data.shape, pose.body.fps) == ((1, 0, 137, 2), 1)


def test_without_the_library_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pose_format", None)
    with pytest.raises(OutputError, match=r'pip install "openpose_ext\[pose\]"'):
        PoseFormatWriter(tmp_path / "a.pose")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer.main(["a.mp4", "--write_pose", str(tmp_path / "a.pose")]) == 2
    assert "give a folder; names follow the inputs" in capsys.readouterr().err
