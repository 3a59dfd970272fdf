"""COCO data sets of the people found; see `formats.coco_dataset`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openpose_ext.formats.coco_dataset import CATEGORIES, encode
from openpose_ext.outputs.coco_json import ImageIds, append_entry, in_video
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["CocoDatasetWriter"]


class CocoDatasetWriter(FrameWriter):
    """Writes one file of pictures, annotations and categories.

    A picture's `file_name` is its path within the folder that all pictures lie in, which annotation
    tools ask for; `source` is its path as it was given. Frames of a video are named as if they were
    files, `clip_000000000012.png`, and also have `source`, `frame` and `time`. Ids are those of
    `CocoWriter`. The entries of pictures stay in memory until the end, some 200 bytes each.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._ids = ImageIds()
        self._images: list[dict[str, Any]] = []
        self._annotations = 0
        with self._file.failing():
            self._out = self._file.part.open("wb")
            self._out.write(b'{"annotations":[')

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its pictures."""
        return {image["source"] for image in json.loads(path.read_bytes())["images"]}

    def _write(self, frame: Frame, poses: Poses) -> None:
        width, height = frame.size
        image: dict[str, Any] = {"id": self._ids.next(frame), "width": width, "height": height}
        image["source"] = frame.source
        image |= in_video(frame)
        if "frame" in image:
            image["file_name"] = f"{Path(frame.source).stem}_{frame.index:012d}.png"
        self._images.append(image)
        for annotation in encode(
            poses.keypoints,
            poses.filled,
            poses.scores,
            poses.topology.parts,
            image["id"],
            self._annotations + 1,
        ):
            append_entry(self._out, annotation, first=self._annotations == 0)
            self._annotations += 1

    def _finish(self) -> None:
        pictures = [image for image in self._images if "file_name" not in image]
        names = _within_their_folder([image["source"] for image in pictures])
        for image, name in zip(pictures, names, strict=True):
            image["file_name"] = name
        rest = {"images": self._images, "categories": CATEGORIES}
        text = json.dumps(rest, separators=(",", ":"))
        self._out.write(b"\n],\n" + text.removeprefix("{").encode() + b"\n")
        self._out.close()

    def _release(self) -> None:
        self._out.close()


def _within_their_folder(paths: Sequence[str]) -> list[str]:
    """The paths as seen from the deepest folder that holds them all, with slashes."""
    whole = [os.path.abspath(path) for path in paths]
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in whole])
    except ValueError:  # there are none, or they are on several drives
        return list(paths)
    return [Path(path).relative_to(folder).as_posix() for path in whole]
