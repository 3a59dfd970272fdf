"""A network that is none: it finds people at once, always the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18


class Standin:
    """Finds as many people as told, and remembers how it was made."""

    made: dict[str, Any]
    info = SimpleNamespace(streams=1)
    people = 2
    refusal: Exception | None = None
    interrupt_after = 1000
    calls = 0

    def __init__(self, **options: Any) -> None:
        if self.refusal:
            raise self.refusal
        Standin.made = options
        Standin.calls = 0

    def __enter__(self) -> Standin:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, frame: Frame) -> Poses:
        Standin.calls += 1
        if Standin.calls > self.interrupt_after:
            raise KeyboardInterrupt
        keypoints = np.full((self.people, 18, 3), 0.75, np.float32)
        keypoints[..., :2] *= np.arange(1, 19, dtype=np.float32)[:, None]
        scores = np.linspace(1, 0.5, self.people, dtype=np.float32)
        filled = np.zeros((self.people, 18), np.bool_)
        timings = {"preprocess": 0.001, "network": 0.01, "decode": 0.0001}
        return Poses(keypoints, scores, filled, COCO_18, frame.size, timings=timings)
