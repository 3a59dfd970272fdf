"""Kinds with a file a person, in runs: every option that may meet them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import videos
from openpose_ext import infer
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from standin import Standin
from webcam import Webcam

FRAMES = {"a": 30, "b": 20}
# Flags, the end of the list's name, and what a person's file is called after the input's name.
KINDS: dict[str, tuple[list[str], str, str]] = {
    "csv_wide": (["--write_csv", "out", "--csv_layout", "wide"], "_wide.json", "_person{}.csv"),
    "trc": (["--write_trc", "out"], "_trc.json", "_px_person{}.trc"),
    "angle_plots": (
        ["--write_angle_plots", "out"],
        "_angle_plots.json",
        "_angles_person{}.png",
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
FOLLOWED = ["--identification", "--min_track", "0", "--threads", "1"]


class Walkers(Standin):
    """Two people; the second is there from frame 5 to 14, but not in 8 and 9."""

    def __call__(self, frame: Frame) -> Poses:
        poses = super().__call__(frame)
        keypoints = poses.keypoints.copy()
        keypoints[..., :2] += np.array([[[0, 0]], [[40, 20]]], np.float32)
        both = 5 <= frame.index < 15 and frame.index not in (8, 9)
        return replace(poses, keypoints=keypoints)[: 2 if both else 1]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Walkers,), {}))
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name, count in FRAMES.items():
        videos.write(Path(f"in/{name}.mp4"), videos.numbered(count, videos.SIZE))


def words(kind: str, *more: str) -> list[str]:
    return [*KINDS[kind][0], *FOLLOWED, *more]


def listed(kind: str, name: str, folder: str = "out") -> list[dict[str, object]]:
    """The people in a list, once their files are found to be those beside it."""
    people = json.loads(Path(folder, f"{name}{KINDS[kind][1]}").read_text())["people"]
    before, after = KINDS[kind][2].split("{}")
    expected = [f"{name}{before}{one['id']}{after}" for one in people]
    assert [one["file"] for one in people] == expected
    there = {p.name for p in Path(folder).glob(f"{name}{before}*") if "unfinished" not in p.name}
    assert there == {*expected}
    return list(people)


def there() -> dict[str, int]:
    """All results, with a number that changes when one is written again."""
    return {str(p): p.stat().st_ino for p in Path("out").rglob("*")}


@every_kind
def test_each_input_has_its_people(kind: str) -> None:
    assert infer.main(words(kind, "in/a.mp4", "in/b.mp4")) == 0
    for name, count in FRAMES.items():
        first, second = listed(kind, name)
        assert (first["first"], first["last"], first["frames"]) == (0, count - 1, count)
        assert (second["first"], second["last"], second["frames"]) == (5, 14, 8)
    assert not [*Path("out").glob(".*")]


@every_kind
def test_what_is_done_is_left_alone(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer.main(words(kind, "in/a.mp4")) == 0
    before = there()
    assert infer.main(words(kind, "in/a.mp4", "in/b.mp4", "--skip_existing")) == 0
    after = there()
    assert before.items() <= after.items(), "nothing is written twice"
    assert len(listed(kind, "b")) == 2
    capsys.readouterr()
    assert infer.main(words(kind, "in/a.mp4", "in/b.mp4", "--skip_existing")) == 0
    assert there() == after
    assert "2 done before" in capsys.readouterr().out
    Path(f"out/a{KINDS[kind][1]}").unlink()  # a run that was killed writes no list
    assert infer.main(words(kind, "in/a.mp4", "--skip_existing")) == 0
    assert len(listed(kind, "a")) == 2


@every_kind
def test_a_signal_leaves_what_there_is_under_other_names(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(self: Walkers, frame: Frame) -> Poses:
        if frame.index == 17:
            os.kill(os.getpid(), signal.SIGTERM)
        return Walkers.__call__(self, frame)

    with monkeypatch.context() as patched:
        patched.setattr(infer, "PoseEstimator", type("Ending", (Walkers,), {"__call__": ending}))
        assert infer.main(words(kind, "in/a.mp4")) == 143
    _, end, name = KINDS[kind]
    unfinished = Path("out", f"a{end}").with_suffix(".unfinished.json")
    people = json.loads(unfinished.read_text())["people"]
    assert 17 <= people[0]["frames"] < 30
    for one in people:
        mark = Path(name.format(one["id"]))
        assert one["file"] == f"a{mark.stem}.unfinished{mark.suffix}"
        assert Path("out", one["file"]).exists()
    assert not Path("out", f"a{end}").exists()
    assert infer.main(words(kind, "in/a.mp4", "--skip_existing")) == 0
    assert len(listed(kind, "a")) == 2
    assert not [p for p in Path("out").iterdir() if "unfinished" in p.name]


@every_kind
def test_pictures_are_one_row_of_frames(kind: str) -> None:
    for number in range(6):
        Image.new("RGB", videos.SIZE[:2], (90, 90, 90)).save(f"in/p{number}.png")
    pictures = [f"in/p{number}.png" for number in range(6)]
    assert infer.main(words(kind, *pictures)) == 0
    before = there()
    assert len(listed(kind, "pictures")) == 1
    assert infer.main(words(kind, *pictures, "--skip_existing")) == 0
    assert there() == before
    Image.new("RGB", videos.SIZE[:2], (90, 90, 90)).save("in/p6.png")
    assert infer.main(words(kind, *pictures, "in/p6.png", "--skip_existing")) == 0
    (one,) = listed(kind, "pictures")
    assert one["frames"] == 7


@every_kind
def test_nobody_is_a_list_without_people_and_done(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody: Callable[[Walkers, Frame], Poses] = lambda self, frame: Poses.empty(frame.size)  # noqa: E731
    monkeypatch.setattr(infer, "PoseEstimator", type("None", (Walkers,), {"__call__": nobody}))
    assert infer.main(words(kind, "in/b.mp4")) == 0
    assert listed(kind, "b") == []
    before = there()
    assert infer.main(words(kind, "in/b.mp4", "--skip_existing")) == 0
    assert there() == before


@every_kind
def test_segments_of_a_camera_have_their_own_people(kind: str) -> None:
    assert infer.main(words(kind, "--camera", "0", "--frame_last", "40", "--segment", "0.2")) == 0
    lists = sorted(Path("out").glob(f"camera_*{KINDS[kind][1]}"))
    assert len(lists) >= 2
    last = -1
    for number, file in enumerate(lists):
        name = f"camera_{number:03d}"
        assert file.name == f"{name}{KINDS[kind][1]}"
        people = listed(kind, name)
        assert people[0]["first"] > last  # a camera may drop frames
        last = people[0]["last"]
    assert not [*Path("out").glob(".*")]


@every_kind
def test_people_without_ids_are_refused_before_anything_runs(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer.main([*KINDS[kind][0], "in/a.mp4"]) == 2
    assert "follows each person through the frames; add --identification" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_wide_table_is_no_single_file(capsys: pytest.CaptureFixture[str]) -> None:
    layout = ["--csv_layout", "wide", *FOLLOWED]
    assert infer.main(["in/a.mp4", "--write_csv", "all.csv", *layout]) == 2
    assert "give --write_csv a folder, not all.csv" in capsys.readouterr().err
    assert infer.main(["in/a.mp4", "--write_json", "j", *layout]) == 2
    assert "--csv_layout wide applies to --write_csv" in capsys.readouterr().err
    assert infer.main(["in/a.mp4", "--write_json", "j", "--csv_empty_frames"]) == 2
    assert "--csv_empty_frames applies to --write_csv" in capsys.readouterr().err
    assert infer.main(["in/b.mp4", "-o", "out", *layout]) == 0  # what a video gets unasked
    assert {"b_person0.csv", "b_rendered.mp4"} <= {p.name for p in Path("out").iterdir()}


def test_rows_of_a_wide_table_are_frames(capsys: pytest.CaptureFixture[str]) -> None:
    units = ["--keypoint_scale", "3"]
    for more, rows in (([], range(5, 15)), (["--csv_empty_frames"], range(30))):
        assert infer.main(words("csv_wide", "in/a.mp4", *units, *more)) == 0
        table = pd.read_csv("out/a_person1.csv")
        assert [*table.frame] == [*rows]
        assert [*table.frame[table.Nose_x.notna()]] == [5, 6, 7, 10, 11, 12, 13, 14]
        assert table.Nose_x.max() <= 1
        assert pd.read_csv("out/a_person0.csv").Nose_x.notna().all()


def test_trc_is_in_metres_with_a_height_and_in_pixels_whatever_the_scale() -> None:
    scale = ["--keypoint_scale", "3"]
    assert infer.main(words("trc", "in/a.mp4", *scale)) == 0
    pixels = pd.read_csv("out/a_px_person0.trc", sep="\t", skiprows=4)
    assert pixels.X2[0] == pytest.approx(1.5)
    assert [*pixels.iloc[:, 1]] == pytest.approx([row / 25 for row in range(30)], abs=1e-6)
    slow = ["--person_height", "1.8", "--fps", "100"]
    assert infer.main(words("trc", "in/a.mp4", *scale, *slow)) == 0
    assert {p.name for p in Path("out").iterdir()} == {
        "a_trc.json", "a_m_person0.trc", "a_m_person1.trc",
    }  # fmt: skip
    metres = Path("out/a_m_person0.trc").read_text().splitlines()
    assert metres[2].split("\t")[:5] == ["100", "100", "30", "18", "m"]
    assert metres[6].split("\t")[:2] == ["1", "0.01"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--write_trc", "a.trc", *FOLLOWED], "--write_trc a.trc: give a folder"),
        (["--write_deeplabcut", "a.csv", *FOLLOWED], "--write_deeplabcut a.csv: give a folder"),
        (["--write_deeplabcut", "d"], "--write_deeplabcut follows each person"),
        (["--write_json", "j", "--person_height", "1.8"], "--person_height applies to --write_trc"),
        (["--write_trc", "t", "--person_height", "0", *FOLLOWED], "--person_height"),
    ],
    ids=["a file", "another file", "no ids", "a height for nothing", "no height"],
)
def test_what_cannot_be_is_refused(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer.main(["in/a.mp4", *words]) == 2
    assert reason in capsys.readouterr().err


def test_files_of_all_people_hold_each_frame_of_each_input() -> None:
    """DeepLabCut's and, if its library is there, pose-format's; neither shares a file."""
    pose = ["--write_pose", "out"] if importlib.util.find_spec("pose_format") else []
    for name in range(2):
        Image.new("RGB", videos.SIZE[:2], (90, 90, 90)).save(f"in/p{name}.png")
    inputs = ["in/a.mp4", "in/b.mp4", "in/p0.png", "in/p1.png"]
    asked = [*inputs, "--write_deeplabcut", "out", *pose, *FOLLOWED, "--keypoint_scale", "3"]
    assert infer.main(asked) == 0
    names = {"a_dlc.csv", "b_dlc.csv", "pictures_dlc.csv"}
    names |= {"a.pose", "b.pose", "pictures.pose"} if pose else set()
    assert {p.name for p in Path("out").iterdir()} == names
    for name, count in FRAMES.items():
        table = pd.read_csv(f"out/{name}_dlc.csv", header=[0, 1, 2, 3], index_col=0)["openpose_ext"]
        assert [*table.index] == [*range(count)]
        assert table["person0"]["Neck"]["x"].max() == 1.5, "pixels, whatever the scale"
        seen = table["person1"]["Neck"]["likelihood"] > 0
        assert [*table.index[seen]] == [5, 6, 7, 10, 11, 12, 13, 14]
    table = pd.read_csv("out/pictures_dlc.csv", header=[0, 1, 2, 3], index_col=0)
    assert [*table.index] == ["in/p0.png", "in/p1.png"]
    if not pose:
        before = there()
        assert infer.main([*asked, "--skip_existing"]) == 0
        assert there() == before
