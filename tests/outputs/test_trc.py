"""TRC files: what is in them, against made-up people whose height and ground are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from openpose_ext.formats.body_height import body_height
from openpose_ext.outputs.trc import TrcWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, frames, people

PICTURE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
# A body that stands sideways on y = 400, in pixels: 10 from heel to ankle, 40 shank, 45 thigh, 50
# trunk, and a nose 20 above the shoulders: 10 + 40 + 45 + 50 + 1.5 * 20 = 175.
STANDING = {
    "Nose": (100, 235), "Neck": (100, 255), "MidHip": (100, 305),
    **{f"{side}{part}": (x, y) for side in "RL" for part, x, y in (
        ("Shoulder", 100, 255), ("Hip", 100, 305), ("Knee", 100, 350), ("Ankle", 100, 390),
        ("Heel", 100, 400), ("BigToe", 120, 400),
    )},
}  # fmt: skip


def standing(topology: Topology, **moved: tuple[float, float]) -> Poses:
    keypoints = np.zeros((1, len(topology.parts), 3), np.float32)
    for part, xy in (STANDING | moved).items():
        if part in topology.parts:
            keypoints[0, topology.parts.index(part)] = (*xy, 0.8)
    none = np.zeros(keypoints.shape[:2], np.bool_)
    return Poses(keypoints, np.ones(1, np.float32), none, topology, SIZE, ids=np.array([3]))


def read(file: Path) -> tuple[list[list[str]], pd.DataFrame]:
    """The five lines of heading, and the table by marker and axis."""
    lines = [line.rstrip("\n").split("\t") for line in file.read_text().splitlines()]
    markers = lines[3][2::3]
    assert markers[-1] == ""
    columns = [(m, axis) for m in markers[:-1] for axis in "XYZ"]
    rows = [[float(cell or "nan") for cell in line] for line in lines[5:]]
    table = pd.DataFrame(
        [row[2:] for row in rows],
        index=pd.MultiIndex.from_tuples([(int(row[0]), row[1]) for row in rows]),
        columns=pd.MultiIndex.from_tuples(columns),
    )
    return lines[:5], table


def write(file: Path, many: list[Poses], rate: float | None = 50, **options: float) -> list[str]:
    """The files written of these people."""
    with TrcWriter(file, rate=rate, **options) as sink:
        for number, poses in enumerate(many):
            sink.write(Frame(PICTURE, "walk.mp4", number, rate and number / rate), poses)
    return [one["file"] for one in json.loads(file.read_text())["people"]]


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_pixels_are_those_of_the_people(tmp_path: Path, topology: Topology) -> None:
    many = list(frames(14, topology, ids=True))
    with TrcWriter(tmp_path / "a_trc.json", rate=25) as sink:
        for frame, poses in many:
            sink.write(frame, poses)
    for one in json.loads((tmp_path / "a_trc.json").read_text())["people"]:
        assert one["file"] == f"a_px_person{one['id']}.trc"
        heading, table = read(tmp_path / one["file"])
        rows = range(one["first"], one["last"] + 1)
        assert heading[0] == ["PathFileType", "4", "(X/Y/Z)", one["file"]]
        assert heading[2][:5] == ["25", "25", str(len(rows)), str(table.shape[1] // 3), "px"]
        assert [*table.index] == [(row, row / 25) for row in rows]
        seen = set()
        for row in rows:
            found = table.loc[row].iloc[0]
            poses = many[row][1]
            assert poses.ids is not None
            at = np.flatnonzero(poses.ids == one["id"])
            for k, part in enumerate(topology.parts):
                x, y, score = poses.keypoints[at[0], k] if len(at) else (0, 0, 0)
                marker = {"MidHip": "CHip"}.get(part, part)
                if score:
                    seen.add(marker)
                    np.testing.assert_allclose(found[marker], (x, y, 0), atol=1e-5)
                elif marker in found:
                    assert found[marker].isna().all()
        assert seen == {*table.columns.get_level_values(0)}, "a marker never seen has no columns"


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_metres_go_up_from_the_ground(tmp_path: Path, topology: Topology) -> None:
    """Without feet the ankles are 3.9 % of the height above the ground."""
    jump = standing(topology, RAnkle=(100, 350), RKnee=(100, 310), RHeel=(100, 360))
    many = 20 * [standing(topology)] + [jump]
    assert write(tmp_path / "a_trc.json", many, height=1.75) == ["a_m_person3.trc"]
    heading, table = read(tmp_path / "a_m_person3.trc")
    assert heading[2][4] == "m"
    tall = 175.0 if topology is BODY_25 else 165 / (1 - 0.039)
    metre = tall / 1.75
    ground = 400 if topology is BODY_25 else 390 + 0.039 * tall
    for part, (x, y) in STANDING.items():
        if part in topology.parts:
            marker = {"MidHip": "CHip"}.get(part, part)
            expected = (x / metre, (ground - y) / metre, 0)
            np.testing.assert_allclose(table[marker].iloc[0], expected, atol=1e-4)
    assert table["RAnkle"]["Y"].iloc[20] == pytest.approx(
        table["RAnkle"]["Y"].iloc[0] + 40 / metre, abs=1e-4
    )


def test_whoever_cannot_be_measured_has_no_file_in_metres(tmp_path: Path) -> None:
    headless = standing(COCO_18)
    headless = replace(
        headless, keypoints=headless.keypoints * (np.arange(18) > 0)[:, None].astype(np.float32)
    )
    assert write(tmp_path / "a_trc.json", [headless], height=1.75) == [None]
    assert [p.name for p in tmp_path.iterdir()] == ["a_trc.json"]
    assert write(tmp_path / "b_trc.json", [headless]) == ["b_px_person3.trc"]


def test_frames_in_which_somebody_crouches_do_not_make_them_smaller() -> None:
    def points(*many: Poses) -> dict[str, np.ndarray]:
        joined = np.stack([poses.keypoints[0, :, :2] for poses in many])
        return {part: joined[:, k] for k, part in enumerate(BODY_25.parts) if part in STANDING}

    bent = {f"{s}{part}": (x, y) for s in "RL" for part, x, y in (
        ("Hip", 60, 390), ("Knee", 100, 370), ("Shoulder", 90, 360),
    )}  # fmt: skip
    crouching = standing(BODY_25, Nose=(90, 355), **bent)
    assert body_height(points(standing(BODY_25))) == pytest.approx(175, abs=1e-3)
    alone = body_height(points(crouching))
    assert alone is not None
    assert alone < 140
    assert body_height(points(*20 * [crouching], standing(BODY_25))) == pytest.approx(175, abs=1e-3)


def test_pictures_are_counted_one_a_second(tmp_path: Path) -> None:
    with TrcWriter(tmp_path / "a_trc.json") as sink:
        for number in range(4):
            sink.write(Frame(PICTURE, f"{number}.jpg"), people(2, ids=True))
    _, table = read(tmp_path / "a_px_person7.trc")
    assert [*table.index] == [(number, number) for number in range(4)]
