"""The meaning of part scores throughout the package."""

from __future__ import annotations

__all__ = ["FACE_THRESHOLD", "FILLED_SCORE", "HAND_THRESHOLD"]

# Scores of filled parts lie in (0, FILLED_SCORE], those of seen parts above it. It is OpenPose's
# own render threshold, so its readers and our drawing skip parts that were not seen.
FILLED_SCORE = 0.05

HAND_THRESHOLD = 0.2  # OpenPose's: a hand network always answers, so weak points are many
FACE_THRESHOLD = 0.4  # OpenPose's, likewise
