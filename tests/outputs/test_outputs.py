"""Files as other programs read them, and back again; conversions; whole files; names."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from openpose_ext.errors import OutputError, SourceError
from openpose_ext.formats.coco import COCO_PARTS
from openpose_ext.io.whole import write_whole
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.pictures import can_write, write_picture
from openpose_ext.outputs.txt import write_txt
from openpose_ext.run.names import output_names
from openpose_ext.sources.listing import InputFile
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.txt import read_txt
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, HAND_21, Topology
from random_people import SIZE, people


def opened(file: str | Path) -> Image.Image:
    """A picture as Pillow reads it; the file is closed."""
    return Image.open(io.BytesIO(Path(file).read_bytes()))


# OpenPose JSON -------------------------------------------------------------------------------

PERSON_KEYS = [
    "person_id",
    "pose_keypoints_2d",
    "face_keypoints_2d",
    "hand_left_keypoints_2d",
    "hand_right_keypoints_2d",
    "pose_keypoints_3d",
    "face_keypoints_3d",
    "hand_left_keypoints_3d",
    "hand_right_keypoints_3d",
]


def test_json_has_openpose_s_very_characters(tmp_path: Path) -> None:
    """One line without spaces, six significant digits, no trailing zeros, the keys in order."""
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, 0] = 467.5, 300, 0.94521299
    keypoints[0, 1] = 1234.5678, 0.000012, 1
    poses = Poses(
        keypoints, np.ones(1, np.float32), np.zeros((1, 18), np.bool_), COCO_18, (2000, 1000)
    )
    write_openpose(tmp_path / "a.json", poses)
    assert (tmp_path / "a.json").read_bytes().decode() == (
        '{"version":1.3,"people":[{"person_id":[-1],'
        '"pose_keypoints_2d":[467.5,300,0.945213,1234.57,1.2e-05,1' + 48 * ",0" + "],"
        '"face_keypoints_2d":[],"hand_left_keypoints_2d":[],"hand_right_keypoints_2d":[],'
        '"pose_keypoints_3d":[],"face_keypoints_3d":[],'
        '"hand_left_keypoints_3d":[],"hand_right_keypoints_3d":[]}]}'
    )


def test_json_of_nobody() -> None:
    text = json.dumps(Poses.empty(SIZE).to_openpose(), separators=(",", ":"))
    assert text == '{"version":1.3,"people":[]}'


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_json_read_by_an_independent_reader(tmp_path: Path, topology: Topology) -> None:
    poses = people(3, topology, hands=True, faces=True, ids=True)
    assert poses.hands is not None
    assert poses.faces is not None
    write_openpose(tmp_path / "a.json", poses)
    text = (tmp_path / "a.json").read_text()
    assert not re.search(r"\s", text)
    assert not re.search(r"\d\.\d*0[,\]]", text), "a trailing zero"
    content = json.loads(text)
    assert list(content) == ["version", "people"]
    assert content["version"] == 1.3
    for k, person in enumerate(content["people"]):
        assert list(person) == PERSON_KEYS
        assert person["person_id"] == [7 + k]
        for key, expected in (
            ("pose_keypoints_2d", poses.keypoints[k]),
            ("face_keypoints_2d", poses.faces[k]),
            ("hand_left_keypoints_2d", poses.hands[k, 0]),
            ("hand_right_keypoints_2d", poses.hands[k, 1]),
        ):
            flat = np.array(person[key])
            assert flat.shape == (expected.size,)
            np.testing.assert_allclose(flat, expected.ravel(), rtol=5e-6)
            assert ((flat == 0) == (expected.ravel() == 0)).all()
        for key in PERSON_KEYS[5:]:
            assert person[key] == []


@pytest.mark.parametrize(("hands", "faces"), [(True, False), (False, True)])
def test_json_has_all_groups_of_hands_and_faces_or_none(hands: bool, faces: bool) -> None:
    """Readers count by length: pose-format takes hands for a face where that is empty."""
    (person,) = people(1, hands=hands, faces=faces).to_openpose()["people"]
    lengths = {key: len(person[key]) // 3 for key in PERSON_KEYS[1:5]}
    assert list(lengths.values()) == [18, 70, 21, 21]
    assert any(person["face_keypoints_2d"]) is faces
    assert any(person["hand_left_keypoints_2d"]) is hands


@pytest.mark.clients
def test_pose_format_puts_every_component_where_it_belongs(tmp_path: Path) -> None:
    """The library of sign language's tools tells hands from faces by what is there."""
    pytest.importorskip("pose_format")
    from pose_format.utils.openpose import load_openpose_directory

    poses = people(1, BODY_25, hands=True, faces=True)
    assert poses.hands is not None
    assert poses.faces is not None
    write_openpose(tmp_path / "a_000000000000_keypoints.json", poses)
    read = load_openpose_directory(str(tmp_path), fps=25, width=SIZE[0], height=SIZE[1])
    data = read.body.data[0, 0].filled(0)
    names = [component.name for component in read.header.components]
    ends = np.cumsum([len(component.points) for component in read.header.components])
    groups = dict(zip(names, np.split(data, ends[:-1]), strict=True))
    for name, points in (
        ("pose_keypoints_2d", poses.keypoints[0]),
        ("face_keypoints_2d", poses.faces[0]),
        ("hand_left_keypoints_2d", poses.hands[0, 0]),
        ("hand_right_keypoints_2d", poses.hands[0, 1]),
    ):
        np.testing.assert_allclose(groups[name], points[:, :2], rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize(
    ("hands", "faces"), [(False, False), (True, False), (False, True), (True, True)]
)
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_json_comes_back_equal(
    tmp_path: Path, topology: Topology, hands: bool, faces: bool, count: int
) -> None:
    poses = people(count, topology, hands=hands, faces=faces, ids=True)
    write_openpose(tmp_path / "a.json", poses)
    back = read_openpose(tmp_path / "a.json", size=SIZE, topology=topology)
    if count:
        poses = replace(poses, scores=back.scores)  # the format has none
        assert back.allclose(poses, pixels=1e-3, score=1e-6)
        assert back.scores[0] == pytest.approx(
            poses.keypoints[0, poses.keypoints[0, :, 2] > 0, 2].mean(), rel=1e-4
        )
    else:
        assert len(back) == 0
        assert back.topology == topology
        assert back.hands is None
        assert back.faces is None


FLAT_18 = [10.0, 20.0, 0.5] * 18
POINT = [10, 20, 0.5]


@pytest.mark.parametrize(
    ("text", "parts", "hands", "ids"),
    [
        (json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": FLAT_18}]}), 18, False, None),
        (
            json.dumps({"version": "1.2", "people": [{"pose_keypoints_2d": FLAT_18}]}, indent=2),
            18,
            False,
            None,
        ),
        (json.dumps({"version": 1, "people": [{"pose_keypoints": FLAT_18}]}), 18, False, None),
        (json.dumps({"people": [{"pose_keypoints_2d": POINT * 25}]}), 25, False, None),
        (
            json.dumps(
                {
                    "people": [
                        {"person_id": [-1], "pose_keypoints_2d": FLAT_18},
                        {"person_id": [4], "pose_keypoints_2d": []},
                    ]
                }
            ),
            18,
            False,
            [-1, 4],
        ),
        (
            json.dumps(
                {
                    "people": [
                        {
                            "pose_keypoints_2d": FLAT_18,
                            "hand_left_keypoints_2d": None,
                            "hand_right_keypoints_2d": POINT * 21,
                            "face_keypoints_2d": POINT * 70,
                        }
                    ],
                    "part_candidates": [{"0": POINT}],
                }
            ),
            18,
            True,
            None,
        ),
    ],
    ids=["no ids or 3d", "text version, spaces", "old keys", "25", "ids", "hands, null, more keys"],
)
def test_json_of_other_versions_is_read(
    tmp_path: Path, text: str, parts: int, hands: bool, ids: list[int] | None
) -> None:
    (tmp_path / "a.json").write_text(text)
    poses = read_openpose(tmp_path / "a.json")
    assert poses.keypoints.shape[1:] == (parts, 3)
    assert (poses.keypoints[0] == POINT).all()
    assert poses.size == (0, 0)
    assert (poses.hands is not None) is hands
    if poses.hands is not None:
        assert (poses.hands[0, 0] == 0).all()
        assert (poses.hands[0, 1] == POINT).all()
        assert poses.faces is not None
        assert (poses.faces[0] == POINT).all()
    assert (None if poses.ids is None else poses.ids.tolist()) == ids


def test_a_face_of_68_points_has_no_pupils(tmp_path: Path) -> None:
    person = {"pose_keypoints_2d": FLAT_18, "face_keypoints_2d": POINT * 68}
    (tmp_path / "a.json").write_text(json.dumps({"people": [person]}))
    faces = read_openpose(tmp_path / "a.json").faces
    assert faces is not None
    assert (faces[0, :68] == POINT).all()
    assert not faces[0, 68:].any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not OpenPose JSON"),
        ("[]", "people"),
        ('{"people":{}}', "people"),
        ('{"people":[3]}', "people"),
        ('{"people":[{"pose_keypoints_2d":[1,2]}]}', "flat list"),
        ('{"people":[{"pose_keypoints_2d":[[1,2,3]]}]}', "flat list"),
        ('{"people":[{"pose_keypoints_2d":["a",2,3]}]}', "numbers"),
        ('{"people":[{"pose_keypoints_2d":{"a":1}}]}', "numbers"),
        ('{"people":[{"pose_keypoints_2d":[NaN,2,3]}]}', "finite"),
        ('{"people":[{"pose_keypoints_2d":[1,2,3]}]}', "1 parts; 18"),
        ('{"people":[{"hand_left_keypoints_2d":[1,2,3]}]}', "hand"),
        ('{"people":[{"face_keypoints_2d":[1,2,3]}]}', "a face has 1 points, not 70"),
        ("[" * 100000, "not OpenPose JSON"),
        ('{"people":[{"person_id":[' + "9" * 30 + "]}]}", "more than 64 bits"),
        ('{"people":[{"pose_keypoints_2d":[' + "9" * 400 + ",2,3]}]}", "numbers"),
        (
            '{"people":[],"canvas_width":99999999,"canvas_height":99999999}',
            "its canvas is 99999999",
        ),
    ],
)
def test_what_is_not_openpose_json_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(SourceError, match=reason) as caught:
        read_openpose(tmp_path / "bad.json")
    assert "bad.json" in str(caught.value)


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.json: No such file"):
        read_openpose(tmp_path / "gone.json")


def test_json_cannot_hold_what_is_not_finite() -> None:
    poses = people(1)
    keypoints = poses.keypoints.copy()
    keypoints[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        replace(poses, keypoints=keypoints).to_openpose()


# COCO ----------------------------------------------------------------------------------------

# Which part of each skeleton COCO's parts are, as OpenPose's own COCO writer has it.
COCO_FROM_18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
COCO_FROM_25 = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)


@pytest.mark.parametrize(("topology", "order"), [(COCO_18, COCO_FROM_18), (BODY_25, COCO_FROM_25)])
def test_coco_results(topology: Topology, order: tuple[int, ...]) -> None:
    poses = people(4, topology)
    results = json.loads(json.dumps(poses.to_coco(42)))
    assert len(results) == 4
    for k, result in enumerate(results):
        feet = {"foot_kpts"} if topology is BODY_25 else set()
        assert result.keys() == {"image_id", "category_id", "keypoints", "score"} | feet
        assert (result["image_id"], result["category_id"]) == (42, 1)
        assert result["score"] == pytest.approx(float(poses.scores[k]))
        for j, part in enumerate(order):
            x, y, score = poses.keypoints[k, part].tolist()
            expected = (pytest.approx(x, abs=0.006), pytest.approx(y, abs=0.006), 1)
            assert tuple(result["keypoints"][3 * j : 3 * j + 3]) == (
                expected if score > 0 else (0, 0, 0)
            )


def test_coco_whole_body_stands_beside_where_feet_or_hands_were_looked_for() -> None:
    body = np.zeros((1, 25, 3), np.float32)
    body[0, BODY_25.parts.index("Nose")] = 5, 6, 0.5
    body[0, BODY_25.parts.index("LHeel")] = 7.125, 8, 0.25
    hands = np.zeros((1, 2, 21, 3), np.float32)
    hands[0, 0, 20] = 1.5, 2.5, 0.75  # the left hand's last point
    hands[0, 1, 0] = 3.5, 4.5, 1.0
    poses = Poses(
        body, np.ones(1, np.float32), np.zeros((1, 25), np.bool_), BODY_25, (20, 20), hands
    )
    (result,) = poses.to_coco(3)
    lengths = {
        "keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21,
    }  # fmt: skip
    assert {key: len(result[key]) / 3 for key in lengths} == lengths
    assert result["foot_kpts"] == [0] * 6 + [7.12, 8, 0.25] + [0] * 9
    assert result["lefthand_kpts"] == [0] * 60 + [1.5, 2.5, 0.75]
    assert result["righthand_kpts"] == [3.5, 4.5, 1.0] + [0] * 60
    assert not any(result["face_kpts"])
    json.dumps(result)
    faces = np.zeros((1, 70, 3), np.float32)
    faces[0, 67] = 4.5, 5.5, 0.5  # the last point that COCO-WholeBody has
    faces[0, 68] = 6.5, 7.5, 0.5
    (with_face,) = replace(poses, hands=None, faces=faces).to_coco(3)
    assert with_face["face_kpts"] == [0] * 201 + [4.5, 5.5, 0.5]
    assert not any(with_face["lefthand_kpts"])
    (without,) = replace(poses, hands=None).to_coco(3)
    assert without["foot_kpts"] == result["foot_kpts"]
    assert without.keys().isdisjoint({"face_kpts", "lefthand_kpts", "righthand_kpts"})


def test_coco_leaves_out_people_it_has_no_part_of() -> None:
    keypoints = np.zeros((2, 18, 3), np.float32)
    keypoints[0, 1] = 5, 5, 1  # a neck alone
    keypoints[1, 0] = 9, 9, 1
    poses = replace(people(2), keypoints=keypoints, filled=np.zeros((2, 18), np.bool_))
    assert [r["keypoints"][:3] for r in poses.to_coco(1)] == [[9, 9, 1]]


def test_coco_of_a_hand_is_refused() -> None:
    with pytest.raises(ValueError, match="has no Nose"):
        Poses.empty(SIZE, HAND_21).to_coco(1)
    assert len(COCO_PARTS) == 17


# Text ----------------------------------------------------------------------------------------


def test_txt_lines(tmp_path: Path) -> None:
    poses = people(2, hands=True)
    write_txt(tmp_path / "a.txt", poses)
    header, *lines, end = (tmp_path / "a.txt").read_text().split("\n")
    assert header == "# openpose_ext 1 coco_18 640 480"
    assert end == ""
    assert [line.split()[0] for line in lines] == ["body", "left_hand", "right_hand"] * 2
    assert [len(line.split()) for line in lines] == [2 + 54, 2 + 63, 2 + 63] * 2
    assert all(re.fullmatch(r"\d+\.\d{3}", n) for line in lines for n in line.split()[1:])
    x, y = poses.keypoints[0, 0, :2]
    assert lines[0].split()[1:4] == [f"{poses.scores[0]:.3f}", f"{x:.3f}", f"{y:.3f}"]
    write_txt(tmp_path / "a.txt", people(2, hands=True, faces=True))
    lines = (tmp_path / "a.txt").read_text().splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["body", "left_hand", "right_hand", "face"] * 2
    assert len(lines[3].split()) == 2 + 210


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("hands", [False, True])
@pytest.mark.parametrize("faces", [False, True])
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_txt_comes_back_equal(
    tmp_path: Path, topology: Topology, hands: bool, faces: bool, count: int
) -> None:
    poses = people(count, topology, hands=hands and count > 0, faces=faces and count > 0)
    write_txt(tmp_path / "a.txt", poses)
    assert read_txt(tmp_path / "a.txt").allclose(poses, pixels=6e-4, score=1.1e-3)


OWN = replace(
    COCO_18,
    name="robot",
    parts=COCO_18.parts[:4],
    limbs=((0, 1), (1, 2)),
    paf_channels=((0, 1), (2, 3)),
    redundant=(),
    mirror=(0, 1, 2, 3),
    colours=COCO_18.colours[:4],
    lengths=(),
    sigmas=(),
)


@pytest.mark.parametrize("topology", [OWN, replace(COCO_18, name="coco_18_gazes")])
def test_a_skeleton_of_ones_own_comes_back(tmp_path: Path, topology: Topology) -> None:
    poses = people(3, topology)
    write_txt(tmp_path / "a.txt", poses)
    back = read_txt(tmp_path / "a.txt", topology=topology)
    assert back.allclose(poses, pixels=6e-4, score=1.1e-3)
    with pytest.raises(SourceError, match=r"skeleton '.*'; known are coco_18, body_25, and"):
        read_txt(tmp_path / "a.txt")
    write_openpose(tmp_path / "a.json", poses)
    back = read_openpose(tmp_path / "a.json", topology=topology)
    assert back.topology == topology
    np.testing.assert_allclose(back.keypoints, poses.keypoints, rtol=1e-5)


def test_json_of_an_unknown_skeleton_says_what_to_give(tmp_path: Path) -> None:
    write_openpose(tmp_path / "a.json", people(3, OWN))
    with pytest.raises(SourceError, match=r"people have 4 parts; .* given as `topology`"):
        read_openpose(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("coco_18", "rename yours"), ("my robot", "single word"), ("", "single word")],
)
def test_a_name_that_could_not_be_read_back_is_refused_before_a_file_is_there(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(OutputError, match=reason):
        write_txt(tmp_path / "a.txt", people(1, replace(OWN, name=name)))
    assert not list(tmp_path.iterdir())


def test_txt_keeps_weak_parts_apart_from_missing_and_seen_ones(tmp_path: Path) -> None:
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, 1:5, 2] = 0.0001, 0.05, 0.0502, 0.9
    filled = (keypoints[..., 2] > 0) & (keypoints[..., 2] <= np.float32(0.05))
    poses = Poses(keypoints, np.ones(1, np.float32), filled, COCO_18, SIZE)
    write_txt(tmp_path / "a.txt", poses)
    back = read_txt(tmp_path / "a.txt")
    assert (back.filled == filled).all()
    assert ((back.keypoints[..., 2] > 0) == (keypoints[..., 2] > 0)).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line"),
        ("hello", "first line"),
        ("# openpose_ext 1 coco_17 3 4", "skeleton 'coco_17'; known are coco_18"),
        ("# openpose_ext 1 coco_18 3", "first line"),
        ("# openpose_ext 1 coco_18 3 x", "not text of"),
        ("# openpose_ext 1 coco_18 3 4\nbody 1 2 3", "line 2 has 3 numbers"),
        ("# openpose_ext 1 coco_18 3 4\nbody", "line 2"),
        ("# openpose_ext 1 coco_18 3 4\n\n", "line 2"),
        ("# openpose_ext 1 coco_18 3 4\nleft_hand 0" + " 0" * 63, "left_hand"),
        ("# openpose_ext 1 coco_18 3 4\nbody 0" + " 0" * 54 + "\nright_hand 0", "right_hand"),
        ("# openpose_ext 1 coco_18 3 4\nbody 0" + " nan" * 54, "finite"),
        (
            "# openpose_ext 1 coco_18 3 4\nbody 0" + " 0" * 54 + "\nleft_hand 0" + " 0" * 63,
            "have no lines for their hands",
        ),
    ],
)
def test_what_is_not_our_txt_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(SourceError, match=reason):
        read_txt(tmp_path / "bad.txt")


# Skeletons -----------------------------------------------------------------------------------

# BODY_25's parts that COCO_18 has, in COCO_18's order, as OpenPose defines them.
BODY_25_TO_18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]


def test_coco_18_as_body_25_and_back() -> None:
    poses = people(20, hands=True, ids=True)
    wide = poses.as_topology(BODY_25)
    assert (wide.keypoints[:, BODY_25_TO_18] == poses.keypoints).all()
    assert (wide.filled[:, BODY_25_TO_18] == poses.filled).all()
    assert (wide.keypoints[:, 19:] == 0).all(), "feet are not known"
    hips = poses.keypoints[:, [8, 11]]
    both = (hips[..., 2] > 0).all(axis=1)
    assert both.any()
    assert not both.all()
    assert (wide.keypoints[~both, 8] == 0).all()
    np.testing.assert_allclose(wide.keypoints[both, 8, :2], hips[both, :, :2].mean(axis=1))
    assert (wide.keypoints[both, 8, 2] == hips[both, :, 2].min(axis=1)).all()
    assert (wide.filled[:, 8] == (poses.filled[:, [8, 11]].any(axis=1) & both)).all()
    assert wide.as_topology(COCO_18).allclose(poses, pixels=0, score=0)
    assert poses.as_topology(BODY_25).allclose(wide, pixels=0, score=0)


def test_nobody_and_the_same_skeleton_convert() -> None:
    assert Poses.empty(SIZE).as_topology(BODY_25).keypoints.shape == (0, 25, 3)
    poses = people(2)
    assert poses.as_topology(COCO_18) is poses


def test_skeletons_without_a_common_part_do_not_convert() -> None:
    with pytest.raises(ValueError, match="coco_18 and hand_21 have no part in common"):
        people(1).as_topology(HAND_21)


# Files ---------------------------------------------------------------------------------------


def test_files_are_written_whole_into_folders_made_for_them(tmp_path: Path) -> None:
    file = tmp_path / "a/b/c.json"
    write_whole(file, b"old")
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert os.listdir(file.parent) == ["c.json"]
    plain = tmp_path / "plain"
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode, "the umask decides, as for any file"


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["replace", "write"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, failure: BaseException
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    write = Path.write_bytes

    def fail(*args: object) -> None:
        if where == "write":
            write(args[0], b"hal")  # type: ignore[arg-type]
        raise failure

    monkeypatch.setattr(*((os, "replace") if where == "replace" else (Path, "write_bytes")), fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_whole(file, b"new")
    if expected is OutputError:
        assert re.search(r"a\.json cannot be written: No space left", str(caught.value))
    assert os.listdir(tmp_path) == ["a.json"]
    assert file.read_bytes() == b"old"


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match=r"out cannot be made: a file of that name"):
        write_whole(tmp_path / "out/a.json", b"")
    with pytest.raises(OutputError, match=r"out cannot be made: a file of that name"):
        write_whole(tmp_path / "out/b/a.json", b"")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OutputError, match="directory"):
        write_whole(tmp_path / "folder.json", b"")
    assert sorted(os.listdir(tmp_path)) == ["folder.json", "out"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_pictures_are_written_in_the_format_of_their_suffix(tmp_path: Path, suffix: str) -> None:
    picture = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    file = tmp_path / f"bild é.{suffix}"
    assert can_write(suffix)
    write_picture(file, picture)
    back = np.asarray(opened(file).convert("RGB"))[..., ::-1]
    assert np.abs(back.astype(int) - picture).max() <= 3


def test_pictures_that_a_format_cannot_hold_are_named(tmp_path: Path) -> None:
    wide = np.zeros((1, 70000, 3), np.uint8)
    for suffix in ("jpg", "webp"):
        with pytest.raises(OutputError, match=f"wide.{suffix}.*70000 x 1 pixels"):
            write_picture(tmp_path / f"wide.{suffix}", wide)
    write_picture(tmp_path / "wide.png", wide)
    assert os.listdir(tmp_path) == ["wide.png"]
    assert not can_write("xyz")
    assert not can_write("")
    assert not can_write("txt")
    assert cv2.imread(os.fspath(tmp_path / "wide.png")).shape == wide.shape


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["r/a.jpg", "r/d/a.jpg", "r/d.e/b.c.png"], ["a", "d/a", "d.e/b.c"]),
        (["r/a.jpg", "r/a.png", "r/b.png"], ["a.jpg", "a.png", "b"]),
        (["r/a.jpg", "s/a.jpg", "r/b.jpg"], ["r/a.jpg", "s/a.jpg", "b"]),
        (["r/a.jpg", "r/a.png", "s/a.jpg"], ["r/a.jpg", "a.png", "s/a.jpg"]),
        (["r/a.jpg", "r/a.png", "r/a.jpg.bmp"], ["r/a.jpg", "a.png", "a.jpg.bmp"]),
        (["r/a", "r/a.png"], ["a", "a.png"]),
    ],
)
def test_names_of_results(files: list[str], expected: list[str]) -> None:
    """Folders are kept; what would collide keeps its suffix, then gets its root in front."""
    pictures = [InputFile(Path(file), Path(file.split("/")[0])) for file in files]
    assert [name.as_posix() for name in output_names(pictures)] == expected


def test_results_that_cannot_be_told_apart_are_refused() -> None:
    pictures = [InputFile(Path(p, "x/a.jpg"), Path(p, "x")) for p in ("one", "two")]
    with pytest.raises(ValueError, match=r"one/x/a.jpg and two/x/a.jpg would write the same"):
        output_names(pictures)
