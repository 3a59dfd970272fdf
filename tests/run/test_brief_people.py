"""People who are there for a moment, in every kind of result and with options they may meet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import videos
from motion import Walker, path
from openpose_ext import infer
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18
from standin import Standin

FRAMES = 40
BRIEF = range(15, 20)  # frames of somebody else, 0.2 s
PIECE = range(22, 25)  # frames in which an arm is taken for somebody's
ARM = ("RShoulder", "RElbow", "RWrist")
PARTS = len(COCO_18.parts)


class Street(Standin):
    """Somebody stays, and has an arm twice for a moment; before that somebody is seen briefly."""

    def __call__(self, frame: Frame) -> Poses:
        people = [standing(30)]
        if frame.index in BRIEF:
            people.append(standing(100))
        if frame.index in PIECE:
            arm = np.isin(COCO_18.parts, ARM)[:, None]
            people.append(np.where(arm, standing(30), np.float32(0)))
        return replace(
            super().__call__(frame)[:1],
            keypoints=np.stack(people),
            scores=np.full(len(people), 0.5, np.float32),
            filled=np.zeros((len(people), PARTS), np.bool_),
        )


def standing(x: float) -> np.ndarray:
    xy = Walker(path((0, x, 46), (1, x, 46)), 42).points(0, COCO_18)
    return np.column_stack([xy, np.full(len(xy), 0.8)]).astype(np.float32)


@pytest.fixture(autouse=True)
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Street,), {}))
    monkeypatch.chdir(tmp_path)
    videos.write(Path("clip.mp4"), videos.numbered(FRAMES))


def ids_of(*words: str) -> list[list[int]]:
    """The ids of each frame's people in JSON, after checking that CSV and Parquet have the same."""
    kinds = ("--write_json", "j", "--write_csv", "t.csv", "--write_parquet", "t.parquet")
    assert infer.main(["clip.mp4", "--identification", *words, *kinds]) == 0
    files = sorted(Path("j").iterdir())
    people = [json.loads(file.read_text())["people"] for file in files]
    found = [[one["person_id"][0] for one in frame] for frame in people]
    for table in (pd.read_csv("t.csv"), pd.read_parquet("t.parquet")):
        rows = table.drop_duplicates(["frame", "person"])
        assert [*zip(rows.frame, rows.id.fillna(-1), strict=True)] == [
            (number, one) for number, ids in enumerate(found) for one in ids
        ]
    return found


def expected(brief: list[int], piece: list[int] | None = None) -> list[list[int]]:
    return [
        brief if number in BRIEF else [0] if number not in PIECE or piece is None else piece
        for number in range(FRAMES)
    ]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], expected([0, -1])),
        (["--smooth"], expected([0, -1])),
        (["--min_track", "0"], expected([0, 1], [0, 2])),
        (["--min_track", "0.1"], expected([0, 1], [0, 2])),
        (["--min_track", "0.15"], expected([0, 1])),
        (["--number_people_max", "2"], expected([0, -1])),
        (["--number_people_max", "1"], expected([0])),
        (["--keep_id", "0"], expected([0])),
        (["--keep_id", "1"], [[]] * FRAMES),
        (["--threads", "1", "--smooth", "--cutoff", "3", "--keep_id", "0,1"], expected([0])),
    ],
)
def test_who_is_seen_briefly_stays_without_an_id_and_a_piece_goes(
    words: list[str], found: list[list[int]]
) -> None:
    assert ids_of(*words) == found


def test_whoever_is_followed_between_looks_may_be_seen_briefly_too() -> None:
    found = ids_of("--track_every", "2", "--smooth")
    assert [sum(one < 0 for one in ids) for ids in found] == [
        number in range(16, 20) for number in range(FRAMES)
    ]


def test_kinds_with_a_place_for_each_person_leave_out_who_has_no_id() -> None:
    pytest.importorskip("matplotlib")
    pose = pytest.importorskip("pose_format")
    kinds = ("trc", "angle_plots", "deeplabcut", "pose", "angles", "coco_json", "jsonl", "txt")
    words = [word for kind in kinds for word in (f"--write_{kind}", "out")]
    wide = ["--write_csv", "out", "--csv_layout", "wide"]
    assert infer.main(["clip.mp4", "--identification", "--smooth", *words, *wide]) == 0
    names = {file.name for file in Path("out").iterdir() if "person" in file.name}
    assert names == {"clip_px_person0.trc", "clip_angles_person0.png", "clip_person0.csv"}
    table = pd.read_csv("out/clip_dlc.csv", header=[0, 1, 2, 3], index_col=0)
    assert {*table.columns.get_level_values("individuals")} == {"person0"}
    angles = pd.read_csv("out/clip_angles.csv")
    assert angles.id.isna().sum() == len(BRIEF)
    assert len(angles) == FRAMES + len(BRIEF)
    results = json.loads(Path("out/clip_coco.json").read_text())
    assert len(results) == FRAMES + len(BRIEF)
    lines = [json.loads(line) for line in Path("out/clip.jsonl").read_text().splitlines()]
    assert sum(len(line["people"]) for line in lines) == FRAMES + len(BRIEF)
    body = pose.Pose.read(Path("out/clip.pose").read_bytes()).body
    assert body.data.shape[:2] == (FRAMES, 1)


def test_a_person_without_an_id_is_drawn_without_a_number() -> None:
    from openpose_ext.outputs.draw import draw

    picture = np.zeros((48, 128, 3), np.uint8)
    poses = Street()(Frame(picture, index=BRIEF[0]))
    known = replace(poses, ids=np.array([0, -1]))
    plain, marked = draw(picture, known), draw(picture, known, ids=True)
    columns = np.flatnonzero((plain != marked).any(axis=(0, 2)))
    assert len(columns) > 0
    assert columns.max() < 64
