"""Videos, as far as the vendor's samples show how they are read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from ._devices import die_of_thread, is_int
from ._enums import CaptureMode, ImageFormat
from ._images import Image, of_rgb


@dataclass(frozen=True)
class FrameAttr:
    index: int


class VideoCapture:
    def __init__(self, uri: str, mode: CaptureMode, device_id: int, flag: bool = False) -> None:
        die_of_thread("VideoCapture")
        is_int(device_id, "device_id")
        CaptureMode(mode)
        self._die, self._count = device_id, 0
        self._capture = cv2.VideoCapture(uri)

    def read(self) -> tuple[bool, Image | None, FrameAttr]:
        ok, picture = self._capture.read()
        attributes = FrameAttr(self._count)
        self._count += 1
        if not ok:
            return False, None, attributes
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2].copy()
        return True, of_rgb(even, ImageFormat.YUV_NV12, self._die), attributes
