"""To other libraries and back from other tools' files: ControlNet, the original, supervision."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv

import openpose_ext as op
from openpose_ext.errors import OutputError, SourceError
from openpose_ext.outputs.controlnet_canvas import controlnet_canvas
from openpose_ext.outputs.controlnet_json import (
    ControlNetWriter,
    to_controlnet,
    write_controlnet,
)
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, frames, people

# ControlNet ----------------------------------------------------------------------------------


def present(numbers: list[float] | None, parts: int) -> list[tuple[float, float] | None]:
    """The points of a group as readers of the format take them: all or nothing below 1."""
    if not numbers:
        return [None] * parts
    triples = zip(*[iter(numbers)] * 3, strict=True)
    points = [(x, y) if score >= 1.0 else None for x, y, score in triples]
    if all(abs(v) <= 1 for point in points if point for v in point):
        points = [point and (point[0] * SIZE[0], point[1] * SIZE[1]) for point in points]
    assert len(points) == parts
    return points


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_controlnet_s_readers_see_what_was_seen(tmp_path: Path, topology: Topology) -> None:
    poses = people(3, topology, hands=True, faces=True)
    assert poses.faces is not None
    write_controlnet(tmp_path / "a.json", poses)
    frame = json.loads((tmp_path / "a.json").read_text())
    assert (frame["canvas_width"], frame["canvas_height"]) == SIZE
    assert poses.hands is not None
    for k, person in enumerate(frame["people"]):
        assert person.keys() == {
            "pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d",
            "hand_right_keypoints_2d",
        }  # fmt: skip
        body = poses.as_topology(COCO_18).keypoints[k]
        for key, points, threshold in (
            ("pose_keypoints_2d", body, 0.05),
            ("hand_left_keypoints_2d", poses.hands[k, 0], 0.2),
            ("hand_right_keypoints_2d", poses.hands[k, 1], 0.2),
            ("face_keypoints_2d", poses.faces[k], 0.4),
        ):
            for found, (x, y, score) in zip(
                present(person[key], len(points)), points.tolist(), strict=True
            ):
                assert (found is not None) is (score > threshold)
                assert found is None or found == pytest.approx((x, y), abs=1e-3)


def test_controlnet_groups_without_a_point_are_null() -> None:
    poses = people(2, hands=True)
    assert poses.hands is not None
    hands = poses.hands.copy()
    hands[0, 1, :, 2] *= 0.2 / max(hands[0, 1, :, 2].max(), 0.2)
    keypoints = poses.keypoints.copy()
    keypoints[1] = 0
    hands[1] = 0
    frame = to_controlnet(replace(poses, keypoints=keypoints, hands=hands))
    (person,) = frame["people"]
    assert person["hand_left_keypoints_2d"] is not None
    assert person["hand_right_keypoints_2d"] is None


def test_the_thresholds_of_controlnet_are_those_of_drawing() -> None:
    poses = people(3, hands=True)
    frame = to_controlnet(poses, threshold=0.5, hand_threshold=0.9)
    for k, person in enumerate(frame["people"]):
        assert sum(person["pose_keypoints_2d"][2::3]) == (poses.keypoints[k, :, 2] > 0.5).sum()
        assert poses.hands is not None
        assert (
            sum((person["hand_left_keypoints_2d"] or [])[2::3])
            == (poses.hands[k, 0, :, 2] > 0.9).sum()
        )


def test_controlnet_needs_the_size_of_the_canvas() -> None:
    with pytest.raises(ValueError, match="picture size is unknown"):
        to_controlnet(replace(people(1), size=(0, 0)))


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_controlnet_json_is_read_back(tmp_path: Path, topology: Topology) -> None:
    poses = people(3, topology, hands=True)
    write_controlnet(tmp_path / "a.json", poses, threshold=0, hand_threshold=0)
    back = op.read_openpose(tmp_path / "a.json")
    body = poses.as_topology(COCO_18).keypoints
    assert (back.size, back.topology) == (SIZE, COCO_18)
    assert poses.hands is not None
    assert back.hands is not None
    for found, written in ((back.keypoints, body), (back.hands, poses.hands)):
        np.testing.assert_allclose(found[..., :2], written[..., :2], atol=1e-3)
        np.testing.assert_array_equal(found[..., 2], written[..., 2] > 0)


def controlnet(person: dict[str, Any], width: object = 200, height: object = 100) -> str:
    frame = {"people": [person], "canvas_width": width, "canvas_height": height}
    return json.dumps([frame])


def test_controlnet_json_in_shares_of_the_canvas_is_read(tmp_path: Path) -> None:
    """The classic detector writes shares, the other pixels; each group is told apart."""
    shares = [0.25, 0.5, 1.0] + [0, 0, 0] * 16 + [1.0, 1.0, 1.0]
    pixels = [5.0, 0.5, 1.0] * 21
    text = controlnet({"pose_keypoints_2d": shares, "hand_left_keypoints_2d": pixels})
    (tmp_path / "a.json").write_text(text)
    poses = op.read_openpose(tmp_path / "a.json")
    assert poses.size == (200, 100)
    assert poses.keypoints[0, 0].tolist() == [50, 50, 1]
    assert poses.keypoints[0, 17].tolist() == [200, 100, 1]
    assert poses.hands is not None
    assert poses.hands[0, 0, 0].tolist() == [5, 0.5, 1]
    assert (poses.hands[0, 1] == 0).all()
    assert op.read_openpose(tmp_path / "a.json", size=(7, 8)).size == (7, 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (controlnet({}, width=None), "canvas is None x 100"),
        (controlnet({}, height=0), "canvas is 200 x 0"),
        (controlnet({}, height=1 << 40), "canvas is 200 x"),
        (controlnet({}, width="3"), "canvas is .3. x 100"),
        ('[{"people":[]},{"people":[]}]', "needs a list `people`"),
        ("[]", "needs a list `people`"),
        (
            '[{"people":[{"pose_keypoints_2d":[1,2,1]}],"canvas_width":1,"canvas_height":1}]',
            "1 parts",
        ),
    ],
)
def test_hostile_controlnet_json_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(SourceError, match=f"bad.json is not OpenPose JSON: .*{reason}"):
        op.read_openpose(tmp_path / "bad.json")


# The original's files ------------------------------------------------------------------------

# Where OpenPose's documentation of its output puts the parts: the index in a file, by name.
ORIGINAL_25 = {
    0: "Nose", 1: "Neck", 2: "RShoulder", 3: "RElbow", 4: "RWrist", 5: "LShoulder", 6: "LElbow",
    7: "LWrist", 8: "MidHip", 9: "RHip", 10: "RKnee", 11: "RAnkle", 12: "LHip", 13: "LKnee",
    14: "LAnkle", 15: "REye", 16: "LEye", 17: "REar", 18: "LEar", 19: "LBigToe", 20: "LSmallToe",
    21: "LHeel", 22: "RBigToe", 23: "RSmallToe", 24: "RHeel",
}  # fmt: skip
ORIGINAL_18 = {
    0: "Nose", 1: "Neck", 2: "RShoulder", 3: "RElbow", 4: "RWrist", 5: "LShoulder", 6: "LElbow",
    7: "LWrist", 8: "RHip", 9: "RKnee", 10: "RAnkle", 11: "LHip", 12: "LKnee", 13: "LAnkle",
    14: "REye", 15: "LEye", 16: "REar", 17: "LEar",
}  # fmt: skip


@pytest.mark.parametrize(
    ("order", "version", "keys"),
    [
        (ORIGINAL_25, 1.3, ("person_id", "pose_keypoints_3d", "face_keypoints_2d")),
        (ORIGINAL_25, 1.2, ("pose_keypoints_3d", "face_keypoints_2d")),
        (ORIGINAL_18, 1.1, ("face_keypoints_2d",)),
        (ORIGINAL_18, 1.0, ()),
    ],
)
@pytest.mark.parametrize("hands", [True, False])
def test_files_of_the_original_give_each_part_its_place(
    tmp_path: Path, order: dict[int, str], version: float, keys: tuple[str, ...], hands: bool
) -> None:
    flat = [value for k in range(len(order)) for value in (10 * k + 0.5, 200 - k, 0.5 + k / 100)]
    left = [value for k in range(21) for value in (k, 2 * k, 0.3)] if hands else []
    person: dict[str, Any] = {key: [-1] if key == "person_id" else [] for key in keys}
    person |= {
        "pose_keypoints_2d": flat,
        "hand_left_keypoints_2d": left,
        "hand_right_keypoints_2d": [0] * 63 if hands else [],
    }
    file = tmp_path / "walk_000000000012_keypoints.json"
    file.write_text(json.dumps({"version": version, "people": [person]}, separators=(",", ":")))
    poses = op.read_openpose(file)
    assert poses.topology.parts == tuple(order[k] for k in range(len(order)))
    for k, name in order.items():
        place = poses.topology.parts.index(name)
        np.testing.assert_allclose(
            poses.keypoints[0, place], [10 * k + 0.5, 200 - k, 0.5 + k / 100], rtol=1e-6
        )
    assert (poses.hands is not None) is hands
    assert poses.ids is None
    assert poses.size == (0, 0)


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
@pytest.mark.parametrize("hands", [True, False])
def test_what_was_read_is_written_again_byte_for_byte(
    tmp_path: Path, topology: Topology, hands: bool
) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(
        json.dumps(people(4, topology, hands=hands, ids=True).to_openpose(), separators=(",", ":"))
    )
    poses = op.read_openpose(first, size=SIZE)
    second.write_text(json.dumps(poses.to_openpose(), separators=(",", ":")))
    assert second.read_bytes() == first.read_bytes()


def test_other_tools_files_can_be_drawn_and_scored(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(people(3, BODY_25, hands=True).to_openpose()))
    poses = op.read_openpose(file, size=SIZE)
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for style in ("openpose", "controlnet", "seed"):
        assert op.draw(picture, poses, style).any()
    assert len(poses.to_coco(1)) == 3
    assert len(poses.to_pandas()) == sum(
        (array[..., 2] > 0).sum() for array in (poses.keypoints, poses.hands) if array is not None
    )


# supervision ---------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_supervision_draws_what_was_seen(topology: Topology, count: int) -> None:
    poses = people(count, topology, ids=True)
    points = poses.to_supervision()
    assert isinstance(points, sv.KeyPoints)
    assert len(points) == count
    np.testing.assert_array_equal(points.xy, poses.keypoints[..., :2])
    np.testing.assert_array_equal(points.keypoint_confidence, poses.keypoints[..., 2])
    np.testing.assert_array_equal(points.detection_confidence, poses.scores)
    np.testing.assert_array_equal(points.data["tracker_id"], poses.ids)
    assert points.visible is not None
    assert (points.visible == ((poses.keypoints[..., 2] > 0) & ~poses.filled)).all()

    scene = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    dots = sv.VertexAnnotator(color=sv.Color.WHITE, radius=1).annotate(scene.copy(), points)
    for visible, (x, y) in zip(points.visible.ravel(), points.xy.reshape(-1, 2), strict=True):
        assert not visible or dots[int(y), int(x)].all()
    assert dots.any() == (count > 0)
    edges = [(a + 1, b + 1) for a, b in topology.limbs]
    assert sv.EdgeAnnotator(edges=edges).annotate(scene.copy(), points).any() == (count > 0)


def test_supervision_takes_some_of_the_people() -> None:
    poses = people(4, ids=True)
    some = poses.to_supervision()[np.array([True, False, True, False])]
    np.testing.assert_array_equal(some.data["tracker_id"], [7, 9])
    assert set(some.data["class_name"]) == {"person"}
    assert "tracker_id" not in people(4).to_supervision().data


def test_what_is_handed_over_may_be_changed() -> None:
    poses = people(2)
    poses.to_supervision().xy[:] = -1
    assert (poses.keypoints >= 0).all()


def test_supervision_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(OutputError, match=r'pip install "openpose_ext\[interop\]"'):
        people(1).to_supervision()


def test_frames_of_a_video_are_one_list(tmp_path: Path) -> None:
    many = list(frames(6, hands=True))
    with ControlNetWriter(tmp_path / "a.json") as sink:
        for frame, poses in many:
            sink.write(frame, poses)
    listed = json.loads((tmp_path / "a.json").read_text())
    assert listed == [to_controlnet(poses) for _, poses in many]


@pytest.mark.parametrize(("size", "side"), [((4032, 3024), 512), ((300, 700), 512), ((97, 64), 0)])
def test_controlnets_canvas_has_the_size_its_models_know(size: tuple[int, int], side: int) -> None:
    """A part comes out where a resize of the picture puts it, as thick as ever."""
    keypoints = np.zeros((1, 18, 3), np.float32)
    x, y = size[0] * 0.75, size[1] * 0.25
    keypoints[0, 4] = (x, y, 1)
    poses = op.Poses(keypoints, np.ones(1, np.float32), np.zeros((1, 18), bool), COCO_18, size)
    thresholds = {"threshold": 0.05, "hand_threshold": 0.2, "face_threshold": 0.4}
    canvas = controlnet_canvas(poses, side=side, **thresholds)
    assert min(canvas.shape[:2]) == (side or min(size))
    assert canvas.shape[1] / canvas.shape[0] == pytest.approx(size[0] / size[1], abs=0.01)
    rows, columns = np.nonzero(canvas.any(axis=2))
    factor = canvas.shape[1] / size[0]
    assert columns.mean() == pytest.approx((x + 0.5) * factor - 0.5, abs=1)
    assert rows.mean() == pytest.approx((y + 0.5) * factor - 0.5, abs=1)
    assert np.ptp(columns) == 8
