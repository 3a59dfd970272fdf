"""Calibration: from a network's own scores to the share of parts that are right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE

__all__ = ["Calibration"]


@dataclass(frozen=True)
class Calibration:
    """A curve from the scores of seen parts to the share of such parts that are right.

    A part is right within an OKS of 0.5 of the truth. The curve is linear between its points.

    scores  of parts as the maps give them, rising from 0.05 to 1
    shares  of the parts with each score that are right, rising in (0.05, 1]

    Raises ValueError if the lengths differ, the scores do not rise, or a value is out of range.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        scores, shares = np.asarray(self.scores, float), np.asarray(self.shares, float)
        if scores.ndim != 1 or scores.shape != shares.shape or len(scores) < 2:
            raise ValueError(
                "a calibration needs the same number of scores and shares, at least two, not "
                f"{len(self.shares)} and {len(self.scores)}"
            )
        for name, values in (("scores", scores), ("shares", shares)):
            if not (np.diff(values) > 0).all():
                raise ValueError(f"{name} of a calibration must rise: {values.tolist()}")
        if (scores[0], scores[-1]) != (FILLED_SCORE, 1):
            raise ValueError(
                f"scores of a calibration must go from {FILLED_SCORE} to 1: {scores.tolist()}"
            )
        if not (shares[0] > FILLED_SCORE and shares[-1] <= 1):
            raise ValueError(
                f"shares of a calibration must lie in ({FILLED_SCORE}, 1]: {shares.tolist()}"
            )

    def __call__(self, poses: Poses) -> Poses:
        """Return the same people with calibrated scores for seen parts; filled parts keep
        theirs."""
        keypoints = poses.keypoints.copy()
        seen = (keypoints[..., 2] > 0) & ~poses.filled
        keypoints[seen, 2] = np.interp(keypoints[seen, 2], self.scores, self.shares)
        return replace(poses, keypoints=keypoints)
