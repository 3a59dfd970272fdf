"""COCO keypoint results, as COCO's evaluation reads them.

A file of results is a list of objects, one per person; see `formats.coco`. It identifies pictures
only by numbers, so a second file `<stem>_images.json` lists them: `{"images": [{"id", "file_name",
"width", "height"}, ...]}`, as in COCO's annotations; frames of a video also have `frame` and
`time`, which is null where nobody knows it. The schemas are `schemas/coco_results.json` and
`schemas/coco_images.json`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from openpose_ext.io.whole import PartFile
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["CocoWriter", "ImageIds", "append_entry", "in_video"]

_LARGEST_ID = 2**53  # whole numbers up to here are the same in every reader of JSON


def in_video(frame: Frame) -> dict[str, Any]:
    """Return `frame` and `time` of a video's frame; nothing for a picture.

    The first of frames without times, which OpenPose's files are, looks like a picture.
    """
    if frame.time is None and not frame.index:
        return {}
    return {"frame": frame.index, "time": frame.time}


class ImageIds:
    """Gives pictures their ids.

    The id of a picture is the last number in its name, as in OpenPose (COCO's own pictures are
    named by their ids). The id of a video frame is its number. If a name has no number, or the id
    is already used, it is one above all ids so far.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._next = 1

    def next(self, frame: Frame) -> int:
        """The id of the next picture."""
        if in_video(frame):
            image_id = frame.index
        else:
            numbers = re.findall(r"[0-9]+", Path(frame.source).stem)
            image_id = int(numbers[-1]) if numbers else self._next
        if image_id in self._taken or image_id > _LARGEST_ID:
            image_id = self._next
        self._taken.add(image_id)
        self._next = max(self._next, image_id + 1)
        return image_id


class CocoWriter(FrameWriter):
    """Writes results and the list of their pictures; their ids are those of `ImageIds`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._images = PartFile(_images_beside(self.path))
        self._ids = ImageIds()
        self._first, self._empty = True, True
        with self._file.failing():
            self._results = self._file.part.open("wb")
            self._results.write(b"[")
            self._pictures = self._images.part.open("wb")
            self._pictures.write(b'{"images":[')

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its pictures and frames, from the list beside it."""
        images = json.loads(_images_beside(path).read_bytes())["images"]
        return {image["file_name"] for image in images}

    @property
    def _files(self) -> Sequence[PartFile]:
        return self._file, self._images

    def _write(self, frame: Frame, poses: Poses) -> None:
        width, height = frame.size
        image_id = self._ids.next(frame)
        image = {"id": image_id, "file_name": frame.source, "width": width, "height": height}
        image |= in_video(frame)
        append_entry(self._pictures, image, first=self._first)
        self._first = False
        for result in poses.to_coco(image_id):
            append_entry(self._results, result, first=self._empty)
            self._empty = False

    def _finish(self) -> None:
        self._results.write(b"\n]\n")
        self._results.close()
        self._pictures.write(b"\n]}\n")
        self._pictures.close()
        self._images.appear()

    def _release(self) -> None:
        with closing(self._pictures):
            self._results.close()

    def discard(self) -> None:
        super().discard()
        self._images.discard()


def _images_beside(results: Path) -> Path:
    """The file with the list of pictures, for a file of results."""
    return results.with_name(f"{results.stem}_images.json")


def append_entry(file: IO[bytes], entry: dict[str, Any], *, first: bool) -> None:
    """Append an entry to a list, on its own line."""
    file.write(b"\n" if first else b",\n")
    file.write(json.dumps(entry, separators=(",", ":")).encode())
