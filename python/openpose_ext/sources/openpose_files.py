"""OpenPose's JSON files as a source: frames whose people are known already."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.formats.openpose_json import LARGEST
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.types.arrays import Box, Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

__all__ = ["OpenPoseFiles", "holds_openpose", "is_openpose", "sources_below"]

# OpenPose's names: <stem>_<12 digits>_keypoints.json for videos, without the digits for pictures.
_NAME = re.compile(r"(?P<stem>.*?)(?:_(?P<number>\d{12}))?_keypoints\.json", re.DOTALL)
# Names by other programs and people, such as cam01.0030.json; only if no file has OpenPose's.
_OTHER_NAME = re.compile(r"(?P<stem>.*?)(?:[._](?P<number>\d+))?\.json", re.DOTALL)

_HEAD = 1 << 12  # bytes that show whether a file holds people


class OpenPoseFiles(Source):
    """OpenPose JSON files, one or those of a folder, sorted by name; each frame has `poses`.

    folder  a folder that OpenPose's `--write_json` wrote, or a single file. In a folder without
            files `*_keypoints.json`, all `*.json` that hold people are read, such as
            `cam01.0030.json`
    size    (width, height) of the pictures, which the files do not tell. None takes the smallest
            even size that holds all points, and reads every file twice for it
    rate    frame rate of the video, which the files do not tell either; None leaves the frames
            without times
    view    which frames are taken; they cannot be turned
    report  called with each error that does not end the source, see `Source`

    A frame's `source` is the folder and the stem of the video or picture, its `index` the number in
    the file's name, its `image` black. Raises ValueError if the view turns frames, SourceError if
    the folder cannot be listed or none of its files can be read.
    """

    size: tuple[int, int]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        view: View = AS_IT_IS,
        report: Report | None = None,
    ) -> None:
        super().__init__(os.fspath(folder), report)
        if view.rotate or view.flip:
            raise ValueError(f"{self.name}: the frames of OpenPose's files cannot be turned")
        self._rate = rate
        self.rate = rate and rate / view.step
        self._files = [file for file in _listed(Path(folder)) if view.takes(file.number)]
        self.count = len(self._files)
        self.size, self._topology = self._survey(size)

    def close(self) -> None:
        """Yield no more frames. No file is open between two frames."""
        self._files = []

    def _frames(self) -> Iterator[Frame]:
        for file in self._files:
            try:
                poses = read_openpose(file.path, size=self.size, topology=self._topology)
                _refuse_far(file.path, _farthest(poses))
            except SourceError as error:
                self._note(error)
                continue
            index = file.number if file.of_video else 0
            time = index / self._rate if self._rate and file.of_video else None
            yield Frame(_Black(self.size), file.source, index, time, poses)

    def _survey(self, size: tuple[int, int] | None) -> tuple[tuple[int, int], Topology]:
        """The size of all frames, and the skeleton for frames without people."""
        damaged: SourceError | None = None
        topology: Topology | None = None
        far = np.zeros(2, np.float32)
        for file in self._files:
            try:
                poses = read_openpose(file.path)
                reach = _farthest(poses)
                _refuse_far(file.path, reach)
            except SourceError as error:
                damaged = error
                continue
            far = np.maximum(far, reach)
            if topology is None or len(poses):
                topology = poses.topology
            if size is not None and len(poses):
                break
        if topology is None:
            raise damaged or SourceError(
                f"{self.name}: no file of OpenPose's JSON is among the frames asked for"
            )
        _refuse_far(Path(self.name), far)
        # All points lie at pixels of it, the farthest up to its last one; even, for encoders.
        width, height = (2 * math.ceil((coordinate + 1) / 2) for coordinate in far)
        return size or (width, height), topology


def sources_below(folder: Path, view: View = AS_IT_IS) -> set[str]:
    """The `Frame.source` of each video and picture in a folder of OpenPose's JSON files.

    Raises SourceError if the folder cannot be listed.
    """
    return {file.source for file in _listed(folder) if view.takes(file.number)}


@dataclass(frozen=True)
class _File:
    path: Path
    source: str
    number: int
    of_video: bool


def holds_openpose(folder: Path) -> bool:
    """Whether a folder has OpenPose's JSON files."""
    try:
        return bool(_listed(folder))
    except SourceError:
        return False


def is_openpose(file: Path) -> bool:
    """Whether a file holds people in OpenPose's form; only its beginning is read."""
    try:
        if not file.is_file():  # a pipe may never end
            return False
        with file.open("rb") as opened:
            head = opened.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (OSError, ValueError):
        return False
    return head.startswith(b"{") and b'"people"' in head


def _named(folder: Path, names: list[str]) -> list[re.Match[str]]:
    """The files with OpenPose's names; if there are none, other files that hold people."""
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    if found:
        return found
    others = [match for name in names if (match := _OTHER_NAME.fullmatch(name))]
    return [match for match in others if is_openpose(folder / match.string)]


def _listed(place: Path) -> list[_File]:
    """The files in order, each with its frame number, or with its place among the pictures."""
    try:
        if place.is_file():
            folder, names = place.parent, [place.name]
        else:
            folder, names = place, sorted(entry.name for entry in place.iterdir())
    except OSError as error:
        raise SourceError(f"{place}: {error.strerror}") from error
    files: list[_File] = []
    pictures = 0
    for match in _named(folder, names):
        number = match["number"]
        source = os.fspath(folder / match["stem"])
        path = folder / match.string
        files.append(_File(path, source, int(number or pictures), number is not None))
        pictures += number is None
    return files


def _farthest(poses: Poses) -> npt.NDArray[np.float32]:
    """The largest x and the largest y of all points."""
    groups = (poses.keypoints, poses.hands, poses.faces)
    points = np.concatenate([group.reshape(-1, 3) for group in groups if group is not None])
    farthest: npt.NDArray[np.float32] = points[:, :2].max(axis=0, initial=0)
    return farthest


def _refuse_far(path: Path, reach: npt.NDArray[np.float32]) -> None:
    """Raise SourceError if a picture that holds all points would be too large for memory."""
    if max(1.0, float(reach[0])) * max(1.0, float(reach[1])) > LARGEST:
        raise SourceError(f"{path}: its points reach as far as {reach[0]:.0f}, {reach[1]:.0f}")


@dataclass(frozen=True)
class _Black:
    """A black picture, for people whose picture is not known; see `Pixels`."""

    size: tuple[int, int]

    def picture(self) -> Picture:
        return self.at_size(*self.size)

    def at_size(self, width: int, height: int) -> Picture:
        return np.zeros((height, width, 3), np.uint8)

    def part_at_size(self, box: Box, width: int, height: int) -> Picture:
        return self.at_size(width, height)

    def glance(self) -> npt.NDArray[np.uint8]:
        return np.zeros((1, 1), np.uint8)
