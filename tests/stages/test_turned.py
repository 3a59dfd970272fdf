"""Pictures turned by quarters: people who lie or are upside down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.io

from openpose_ext import COCO_18, PoseEstimator, Poses
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.infer import main
from openpose_ext.stages.turned import direction, turn_people
from openpose_ext.types.frame import Frame

# As wide as high, so that people are as large in it when it is turned.
PICTURE = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


def people(keypoints: np.ndarray, size: tuple[int, int]) -> Poses:
    count = len(keypoints)
    return Poses(
        np.asarray(keypoints, np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, 18), np.bool_),
        COCO_18,
        size,
    )


def standing(x: float, y: float) -> np.ndarray:
    """Everything above the waist above everything below it."""
    points = np.zeros((18, 3), np.float32)
    for part, name in enumerate(COCO_18.parts):
        below = name[1:] in ("Hip", "Knee", "Ankle")
        points[part] = x + part, y + (40 if below else 0), 0.8
    return points


@pytest.mark.parametrize("turn", [-3, -2, -1, 0, 1, 2, 3, 5])
def test_points_turn_with_their_picture(turn: int) -> None:
    """The picture's corner pixels say where they have gone."""
    picture = np.zeros((5, 8), np.int64)
    places = [(0, 0), (7, 0), (2, 3), (7, 4)]
    keypoints = np.zeros((1, 18, 3), np.float32)
    for part, (x, y) in enumerate(places):
        picture[y, x] = part + 1
        keypoints[0, part] = x, y, 0.7
    moved = turn_people(people(keypoints, (8, 5)), turn)
    after = np.rot90(picture, turn)
    assert moved.size == after.shape[::-1]
    for part in range(len(places)):
        ((y, x),) = np.argwhere(after == part + 1)
        assert moved.keypoints[0, part].tolist() == [x, y, np.float32(0.7)]
    assert not moved.keypoints[0, len(places) :].any(), "missing parts stay at 0, 0"
    assert turn_people(moved, -turn).allclose(people(keypoints, (8, 5)))


def test_the_direction_is_that_in_which_people_stand() -> None:
    upright = people(np.stack([standing(50, 20), standing(90, 30)]), (200, 100))
    for turn in range(4):
        assert direction(turn_people(upright, -turn)).tolist() == [turn, turn]
    head = standing(50, 20)
    head[2:] = 0
    assert direction(people(head[None], (200, 100))).tolist() == [0], "no legs tell it"
    assert direction(Poses.empty((200, 100))).tolist() == []


@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"refine": True}, {"mirror": True, "scales": (1.0, 1.5)}, {"fit": "stretch"}],
    ids=str,
)
def test_somebody_turned_is_found_as_if_they_stood(turn: int, options: dict[str, Any]) -> None:
    with PoseEstimator(height=184, precision="f32", **options) as estimator:
        upright = estimator(PICTURE)
    assert len(upright) == 1
    with PoseEstimator(height=184, precision="f32", turned=True, **options) as estimator:
        found = estimator(np.ascontiguousarray(np.rot90(PICTURE, turn)))
        assert estimator(PICTURE).allclose(upright), "whoever stands is found as before"
    assert len(found) == 1
    assert 0 < found.scores[0] < upright.scores[0]
    # Regions and the halves of pixels of a mirror image lie a little differently.
    near = 3 if options else 1e-3
    np.testing.assert_allclose(
        turn_people(found, -turn).keypoints[..., :2], upright.keypoints[..., :2], atol=near
    )


def test_a_picture_without_anybody_stays_empty() -> None:
    with PoseEstimator(height=184, turned=True, refine=True) as estimator:
        found = estimator(np.full((60, 90, 3), 128, np.uint8))
    assert len(found) == 0
    assert found.size == (90, 60)


def test_between_whole_frames_people_are_looked_for_as_they_lie() -> None:
    lying = np.ascontiguousarray(np.rot90(PICTURE))
    canvas = np.full((600, 900, 3), 128, np.uint8)
    canvas[: lying.shape[0], : lying.shape[1]] = lying
    frames = [Frame(canvas, "film", number, number / 30) for number in range(3)]
    with PoseEstimator(height=256, turned=True, streams=1) as estimator:
        watch = estimator.watch(3)
        _, *others = [watch(number, frame) for number, frame in enumerate(frames)]
    for found in others:
        assert len(found) == 1
        assert found.timings["decode"] == 0, "only a region was looked at"
        assert direction(found).tolist() == [3]


def test_modes_that_follow_others_turn_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match='turned needs mode="fast"'):
        PoseEstimator(turned=True, mode="reference")
    skimage.io.imsave(tmp_path / "picture.png", PICTURE)
    words = [str(tmp_path), "--turned", "--mode", "zoo", "-o", str(tmp_path / "out")]
    assert main(words) == Exit.USAGE
    assert "turned needs mode" in capsys.readouterr().err
