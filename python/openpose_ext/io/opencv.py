"""Settings of OpenCV for the whole process, also if it is imported later.

Importing it takes 16 MB and 40 ms, and a video of which only tables are written needs none of it.
So modules that such a run imports import OpenCV where they use it.
"""

from __future__ import annotations

import os
import sys

__all__ = ["silence_opencv", "use_one_thread"]


def silence_opencv() -> None:
    """Silence its messages on damaged files; this package reports the reason."""
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    if "cv2" in sys.modules:
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def use_one_thread() -> None:
    """Give it no threads of its own."""
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(1)
