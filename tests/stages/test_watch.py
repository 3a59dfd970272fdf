"""Looking where people are: when the whole frame is looked at, and that threads change nothing."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

import videos
from openpose_ext import infer
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import overlapped
from openpose_ext.stages.watch import Watch
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18

SIZE = 320, 240


def poses(places: list[tuple[float, float]]) -> Poses:
    """People of 40 x 80 pixels around these places."""
    keypoints = np.zeros((len(places), 18, 3), np.float32)
    offsets = np.linspace((-20, -40), (20, 40), 18)
    for person, place in zip(keypoints, places, strict=True):
        person[:, :2] = offsets + place
        person[:, 2] = 0.8
    scores = np.full(len(places), 0.5, np.float32)
    return Poses(keypoints, scores, np.zeros((len(places), 18), np.bool_), COCO_18, SIZE)


@dataclass
class Scene:
    """A film: who is where in each frame, and whoever is looked for is found if near enough."""

    where: Callable[[int], list[tuple[float, float]]]
    brightness: Callable[[int], int] = lambda number: 100
    whole: list[int] = field(default_factory=list)
    near: list[int] = field(default_factory=list)
    looked_for: list[int] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    slow: bool = False

    def frame(self, number: int) -> Frame:
        shade = self.brightness(number)
        picture = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
        return Frame(picture, "a film", number, number / 30)

    def look(self, frame: Frame) -> Poses:
        with self.lock:
            self.whole.append(frame.index)
        if self.slow:
            time.sleep(random.random() / 200)
        return poses(self.where(frame.index))

    def look_near(self, frame: Frame, expected: Poses) -> Poses:
        with self.lock:
            self.near.append(frame.index)
        if self.slow:
            time.sleep(random.random() / 200)
        self.looked_for.append(len(expected))
        middles = expected.keypoints[..., :2].mean(axis=1)
        return poses(
            [
                place
                for place in self.where(frame.index)
                if np.abs(middles - place).max(axis=1).min(initial=np.inf) < 30
            ]
        )

    def run(self, every: int, count: int, workers: int = 1) -> list[int]:
        watch = Watch(every, self.look, self.look_near)
        found = overlapped(range(count), lambda number: watch(number, self.frame(number)), workers)
        return [len(people) for people in found]


def test_the_whole_frame_is_looked_at_every_so_often_and_people_in_between() -> None:
    scene = Scene(lambda number: [(60 + number, 100), (200, 100)])
    assert scene.run(every=10, count=30) == [2] * 30
    assert scene.whole == [0, 10, 20]
    assert len(scene.near) == 27


def test_every_frame_is_looked_at_where_nothing_else_is_asked() -> None:
    scene = Scene(lambda number: [(60, 100)])
    scene.run(every=1, count=7)
    assert scene.whole == list(range(7))
    assert scene.near == []


def test_somebody_new_is_found_with_the_next_whole_frame() -> None:
    scene = Scene(lambda number: [(60, 100)] + [(250, 100)] * (number >= 13))
    assert scene.run(every=10, count=30) == [1] * 20 + [2] * 10


def test_whoever_is_seen_beside_somebody_waits_for_the_next_whole_frame() -> None:
    scene = Scene(lambda number: [(60, 100)] + [(75, 100)] * (number >= 13))
    watch = Watch(10, scene.look, scene.look_near)
    found = [watch(number, scene.frame(number)) for number in range(30)]
    assert [len(people) for people in found] == [1] * 20 + [2] * 10
    assert all(people.keypoints[0, :, 0].mean() == pytest.approx(60) for people in found[:20])


def test_somebody_lost_brings_a_whole_look_at_once_and_one_only() -> None:
    # Jumps to the other side in frame 14.
    scene = Scene(lambda number: [(60, 100)] if number < 14 else [(250, 100)])
    assert scene.run(every=10, count=20) == [1] * 20
    assert 14 in scene.whole
    # Until the frames that tell where people are come from after the jump.
    assert scene.whole[:3] == [0, 10, 14]
    assert len(scene.whole) <= 5


def test_somebody_who_leaves_is_not_looked_for_for_ever() -> None:
    scene = Scene(lambda number: [(60, 100)] * (number < 14))
    assert scene.run(every=30, count=30) == [1] * 14 + [0] * 16
    assert scene.whole == [0, 14]
    assert scene.looked_for[-10:] == [0] * 10


def test_a_cut_brings_a_whole_look_at_once() -> None:
    scene = Scene(
        lambda number: [(60, 100)] if number < 7 else [(60, 100), (200, 100)],
        brightness=lambda number: 50 if number < 7 else 180,
    )
    assert scene.run(every=20, count=20) == [1] * 7 + [2] * 13
    assert scene.whole[:2] == [0, 7]


def test_nobody_is_not_looked_for_until_the_next_whole_frame() -> None:
    scene = Scene(lambda number: [(60, 100)] * (number >= 5))
    assert scene.run(every=10, count=20) == [0] * 10 + [1] * 10
    assert scene.whole == [0, 10]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 24])
def test_the_result_does_not_depend_on_the_number_of_threads(workers: int) -> None:
    def where(number: int) -> list[tuple[float, float]]:
        rng = np.random.default_rng(number // 9)
        count = int(rng.integers(0, 4))
        return [(40 + 80 * k + number % 9, 100) for k in range(count)]

    alone = Scene(where)
    expected = alone.run(every=5, count=80)
    scene = Scene(where, slow=True)
    assert scene.run(every=5, count=80, workers=workers) == expected
    assert sorted(scene.whole) == alone.whole


def test_frames_without_a_time_are_pictures_and_looked_at_whole() -> None:
    scene = Scene(lambda number: [(60, 100)])
    watch = Watch(10, scene.look, scene.look_near)
    for number in range(4):
        watch(number, Frame(scene.frame(number).pixels, f"{number}.jpg", number))
    assert scene.whole == [0, 1, 2, 3]


def test_another_source_is_looked_at_whole() -> None:
    scene = Scene(lambda number: [(60, 100)])
    watch = Watch(10, scene.look, scene.look_near)
    for number in range(6):
        frame = scene.frame(number)
        watch(number, Frame(frame.pixels, "one" if number < 4 else "two", number, frame.time))
    assert scene.whole == [0, 4, 5]


def test_frames_that_fail_or_are_missed_do_not_keep_others_waiting() -> None:
    scene = Scene(lambda number: [(60, 100)])

    def look(frame: Frame) -> Poses:
        if frame.index == 0:
            raise ValueError("no")
        return scene.look(frame)

    watch = Watch(10, look, scene.look_near)
    with pytest.raises(ValueError, match="no"):
        watch(0, scene.frame(0))
    watch.missed(1)
    assert len(watch(2, scene.frame(2))) == 1
    assert len(watch(3, scene.frame(3))) == 1
    assert scene.whole == [2, 3]


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Watch(0, lambda frame: poses([]), lambda frame, expected: None)


# With a network -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A woman who moves slowly to the right, 12 frames."""
    data = pytest.importorskip("skimage.data")
    astronaut = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    pictures = []
    for number in range(12):
        picture = np.full((360, 480, 3), 90, np.uint8)
        picture[40:296, 60 + 3 * number : 316 + 3 * number] = astronaut[::2, ::2]
        pictures.append(picture)
    return videos.write(tmp_path_factory.mktemp("film") / "film.mp4", pictures)


@pytest.mark.parametrize(
    "options",
    [{}, {"refine": True}, {"mirror": True, "scales": (1.0, 0.5)}, {"hand": "lite"}],
)
def test_somebody_is_followed_through_a_film(
    film: Path, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path))
    with PoseEstimator(height=184, threads=2, **options) as estimator:  # type: ignore[arg-type]
        whole = [people for _, people in estimator.stream(film)]
        near = [people for _, people in estimator.stream(film, detect_every=6)]
    nose = COCO_18.parts.index("Nose")
    assert len(whole) == len(near) == 12
    apart = []
    for one, other in zip(whole, near, strict=True):
        assert len(one) >= 1
        assert len(other) >= 1
        assert ("hands" in options) == (other.hands is not None) or "hand" in options
        apart.append(one.keypoints[0, nose, :2] - other.keypoints[0, nose, :2])
    # She is 250 pixels high, and her nose trembles by 3 in whole frames, too.
    assert np.abs(apart).max() < 8
    assert np.abs(np.mean(apart, axis=0)).max() < 2


def test_only_the_fast_decoder_knows_regions() -> None:
    with (
        PoseEstimator(height=184, mode="reference") as estimator,
        pytest.raises(ValueError, match="detect_every needs"),
    ):
        estimator.stream([], detect_every=2)


def test_infer_follows_people_with_everything_else(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path / "cache"))
    words = [str(film), "-o", str(tmp_path / "out"), "--write_json", "--height", "184"]
    words += ["--detect_every", "5", "--refine", "--hand", "--identification", "--smooth"]
    assert infer.main(words) == 0
    files = sorted((tmp_path / "out").rglob("*_keypoints.json"))
    assert len(files) == 12
    ids = {tuple(p["person_id"]) for f in files for p in json.loads(f.read_text())["people"]}
    assert len(ids) == 1


def test_heat_maps_are_of_whole_frames(film: Path, tmp_path: Path) -> None:
    words = [str(film), "-o", str(tmp_path), "--write_heatmaps", "--heatmaps_add_parts"]
    assert infer.main([*words, "--detect_every", "5"]) == 2
