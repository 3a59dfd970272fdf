"""A webcam that is none: it shows a picture every hundredth of a second."""

from __future__ import annotations

import time
from typing import ClassVar

import cv2
import numpy as np


def picture(number: int) -> np.ndarray:
    return np.full((48, 64, 3), number % 200, np.uint8)


class Webcam:
    """cv2.VideoCapture of a camera of 100 frames a second."""

    opened: ClassVar[list[int | str]] = []

    def __init__(self, name: int | str) -> None:
        self.opened.append(name)
        self.number = 0

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, key: int, value: float) -> None:
        pass

    def get(self, key: int) -> float:
        return 100.0 if key == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.01)
        self.number += 1
        return True, picture(self.number)

    def release(self) -> None:
        pass
