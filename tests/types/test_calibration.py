"""Scores of parts become shares of right ones; people, places and filled parts stay."""

from __future__ import annotations

import numpy as np
import pytest

from openpose_ext.types.calibration import Calibration
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import COCO_18

CURVE = Calibration((FILLED_SCORE, 0.2, 0.6, 1.0), (0.1, 0.5, 0.9, 1.0))


def people(scores: list[float], filled: list[bool]) -> Poses:
    """Somebody whose first parts have these scores."""
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, : len(scores)] = [(10 * k, 20, score) for k, score in enumerate(scores)]
    marked = np.zeros((1, 18), np.bool_)
    marked[0, : len(filled)] = filled
    return Poses(keypoints, np.array([0.7], np.float32), marked, COCO_18, (200, 100))


def test_the_curve_is_straight_between_its_points() -> None:
    found = CURVE(people([0.05001, 0.2, 0.4, 0.6, 0.8, 1.0], [False] * 6)).keypoints[0, :6, 2]
    np.testing.assert_allclose(found, [0.1, 0.5, 0.7, 0.9, 0.95, 1.0], atol=1e-4)


def test_everything_but_the_scores_of_seen_parts_stays() -> None:
    before = people([0.4, 0.03], [False, True])
    after = CURVE(before)
    np.testing.assert_array_equal(after.keypoints[..., :2], before.keypoints[..., :2])
    np.testing.assert_array_equal(after.keypoints[0, 1:], before.keypoints[0, 1:])
    np.testing.assert_array_equal(after.scores, before.scores)
    np.testing.assert_array_equal(after.filled, before.filled)
    assert before.keypoints[0, 0, 2] == np.float32(0.4)


def test_seen_parts_keep_their_order_and_stay_seen() -> None:
    scores = np.linspace(FILLED_SCORE, 1, 19)[1:].tolist()
    found = CURVE(people(scores, [])).keypoints[0, :, 2]
    assert (np.diff(found) > 0).all()
    assert found.min() > FILLED_SCORE
    assert found.max() == 1


def test_nobody_stays_nobody() -> None:
    assert len(CURVE(people([0.4], [])[:0])) == 0


@pytest.mark.parametrize(
    ("scores", "shares", "message"),
    [
        ((0.05, 1), (0.5,), "same number of scores and shares"),
        ((0.05,), (0.5,), "at least two"),
        ((0.05, 0.5, 0.5, 1), (0.1, 0.2, 0.3, 0.4), "scores of a calibration must rise"),
        ((0.05, 0.5, 1), (0.1, 0.3, 0.3), "shares of a calibration must rise"),
        ((0.05, float("nan"), 1), (0.1, 0.3, 0.4), "must rise"),
        ((0.1, 1), (0.1, 0.3), r"go from 0\.05 to 1"),
        ((0.05, 0.9), (0.1, 0.3), r"go from 0\.05 to 1"),
        ((0.05, 1), (0.05, 0.3), "must lie in"),
        ((0.05, 1), (0.1, 1.1), "must lie in"),
    ],
)
def test_what_is_no_calibration_is_refused(
    scores: tuple[float, ...], shares: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Calibration(scores, shares)
