"""Which people are kept, and which frames are looked at."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import videos
from openpose_ext import infer
from openpose_ext.tracking.kept import Kept
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from standin import Standin


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)


def of_sizes(poses: Poses, *sizes: float) -> Poses:
    """A person a size, far apart: the parts go round a square with sides of so many pixels."""
    steps = np.linspace(0, 1, 18)
    around = np.stack([np.abs(2 * steps - 1), np.abs((2 * steps + 0.5) % 2 - 1)], axis=1)
    keypoints = np.ones((len(sizes), 18, 3), np.float32)
    for k, size in enumerate(sizes):
        keypoints[k, :, :2] = 40 * k + size * around
    scores = np.linspace(0.9, 0.8, len(sizes), dtype=np.float32)
    filled = np.zeros((len(sizes), 18), np.bool_)
    return replace(poses, keypoints=keypoints, scores=scores, filled=filled)


def finds(monkeypatch: pytest.MonkeyPatch, sizes: Any) -> None:
    """Let the stand-in find people of the sizes that `sizes` gives for a frame."""
    found = Standin.__call__
    monkeypatch.setattr(
        infer.PoseEstimator,
        "__call__",
        lambda self, frame: of_sizes(found(self, frame), *sizes(frame)),
    )


def test_the_most_prominent_person_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in OpenPose: large and sure, not the first."""
    finds(monkeypatch, lambda frame: (4, 30, 8))
    Image.new("RGB", (128, 48)).save("a.png")
    assert infer.main(["a.png", "--write_json", "j", "--number_people_max", "1"]) == 0
    (person,) = json.loads(Path("j/a_keypoints.json").read_text())["people"]
    assert min(person["pose_keypoints_2d"][::3]) >= 40


def test_the_same_person_is_kept_though_another_comes_to_the_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sizes(frame: Frame) -> tuple[float, float]:
        return 10 + frame.index, 20 - frame.index

    finds(monkeypatch, sizes)
    videos.write(Path("clip.mp4"), videos.numbered(20))
    words = ["clip.mp4", "--write_csv", "t.csv", "--identification", "--number_people_max", "1"]
    assert infer.main(words) == 0
    table = pd.read_csv("t.csv")
    assert table.frame.nunique() == 20
    assert table.id.nunique() == 1
    assert table.x.min() >= 40, "the larger one of the first frame"


def with_ids(*ids: int, sizes: tuple[float, ...]) -> Poses:
    poses = of_sizes(Poses.empty((640, 480)), *sizes)
    return replace(poses, ids=np.array(ids, np.int64))


def test_who_was_kept_first_comes_back_to_the_place() -> None:
    kept = Kept(1)
    frames = [
        with_ids(1, 2, sizes=(9, 5)),
        with_ids(2, sizes=(5,)),
        with_ids(2, 1, sizes=(9, 5)),
        with_ids(3, 4, sizes=(5, 9)),
    ]
    found = [kept(poses).ids for poses in frames]
    assert [ids.tolist() for ids in found if ids is not None] == [[1], [2], [1], [4]]
    with pytest.raises(ValueError, match="need ids"):
        kept(Poses.empty((9, 9)))


def test_who_has_no_id_gets_a_place_that_nobody_with_an_id_wants() -> None:
    kept = Kept(2)
    frames = [
        with_ids(-1, -1, 1, sizes=(9, 8, 5)),
        with_ids(-1, -1, sizes=(5, 9)),
        with_ids(-1, 3, 1, sizes=(9, 3, 5)),
        with_ids(-1, -1, -1, sizes=(3, 5, 4)),
    ]
    found = [kept(poses) for poses in frames]
    assert [p.ids.tolist() for p in found if p.ids is not None] == [
        [-1, 1], [-1, -1], [3, 1], [-1, -1]
    ]  # fmt: skip
    boxes = np.ptp(found[3].keypoints[..., 0], axis=1)
    assert boxes.tolist() == np.ptp(frames[3].keypoints[1:, :, 0], axis=1).tolist()


@pytest.mark.parametrize(
    ("names", "looked_at"),
    [
        (("dog.png", "holiday.png", "office.png", "party.png"), 4),
        (("a_0001.png", "a_0003.png", "a_0004.png", "b_0005.png"), 4),
        (("f_0001.png", "f_0002.png", "f_0003.png", "f_0004.png"), 2),
    ],
)
def test_people_are_followed_between_looks_only_where_pictures_are_frames_of_one_film(
    names: tuple[str, ...], looked_at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").mkdir()
    for name in names:
        Image.new("RGB", (40, 30)).save(f"in/{name}")
    assert infer.main(["in", "--write_json", "j", "--track_every", "2", "--threads", "1"]) == 0
    assert Standin.calls == looked_at
    assert len(list(Path("j").iterdir())) == 4
    said = capsys.readouterr().err.count("not numbered frames of one film")
    assert said == (1 if looked_at == 4 else 0)


def test_frames_on_which_nothing_is_drawn_do_not_keep_their_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Smoothing holds back a second of frames, and a frame's pixels are megabytes."""
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []
    found = Standin.__call__

    def look(self: Any, frame: Frame) -> Poses:
        seen.append(weakref.ref(frame.pixels))
        alive.append(sum(one() is not None for one in seen))
        return found(self, frame)

    monkeypatch.setattr(infer.PoseEstimator, "__call__", look)
    videos.write(Path("clip.mp4"), videos.numbered(90))
    assert infer.main(["clip.mp4", "--smooth", "--write_csv", "t.csv"]) == 0
    assert len(seen) == 90
    assert max(alive) <= 16
