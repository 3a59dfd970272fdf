"""Writing files whole, and choosing their names."""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from openpose_ext.errors import OutputError
from openpose_ext.poses import Frame, Poses
from openpose_ext.sources.listing import InputFile

__all__ = ["FrameWriter", "PartFile", "make_folder", "output_names", "write_whole"]


class PartFile:
    """A file that appears under its name only when it is whole.

    path  where it will be; an existing file is replaced. Its folder is made.
    part  where it is written: a hidden file in the same folder

    Raises OutputError with the reason if the folder cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        make_folder(self.path.parent)
        self.part = self.path.with_name(f".{uuid.uuid4().hex}.part")

    def appear(self) -> None:
        """Give what was written its name."""
        with self.failing():
            os.replace(self.part, self.path)

    def discard(self) -> None:
        """Remove what was written."""
        self.part.unlink(missing_ok=True)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Turn an OSError, such as a full disk, into an OutputError that names the file."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{self.path} cannot be written: {reason}") from error


class FrameWriter(ABC):
    """Writes the people of many frames, in order, into one file.

    A context manager: `close` at the end of the block, `discard` if it is left by an exception.
    The file appears under its name when it is closed; until then, and whatever interrupts,
    nothing stands there, or what stood there before. One thread at a time; no call may be cut
    short by an exception from outside if `close` is to follow.

    Raises OutputError, naming the file and the reason, if it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = PartFile(path)
        self._open = True

    @property
    def path(self) -> Path:
        """Where the file will be."""
        return self._file.path

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add the people of a frame. Frames come in the order of their source."""
        with self._file.failing():
            self._write(frame, poses)

    def close(self) -> None:
        """End the file and give it its name. Closing again does nothing."""
        if not self._open:
            return
        try:
            with self._file.failing():
                self._finish()
            self._file.appear()
        except BaseException:
            self.discard()
            raise
        self._open = False

    def discard(self) -> None:
        """Remove what was written. Does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        with suppress(OSError):  # a full disk refuses what is still in a buffer
            self._release()
        self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @abstractmethod
    def _write(self, frame: Frame, poses: Poses) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Write what ends the file, and let go of it."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the file, whatever state it is in."""


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that it appears under its name only when it is whole.

    An existing file is replaced. Folders are made. Whatever interrupts, nothing half-written
    stays.

    Raises OutputError with the reason if it cannot be written.
    """
    file = PartFile(path)
    try:
        with file.failing():
            file.part.write_bytes(data)
        file.appear()
    except BaseException:
        file.discard()
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; OutputError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if folder.exists() else error.strerror
        raise OutputError(f"the folder {folder} cannot be made: {reason}") from error


def output_names(pictures: Sequence[InputFile]) -> list[Path]:
    """What the outputs of each picture are called, without their ends such as `_keypoints.json`.

    The name is the path below the root without suffix (`dir/a`). Pictures that would share one
    keep their suffix (`dir/a.jpg`); if that is still shared, the name of the root is put in front
    (`root/dir/a.jpg`).

    Raises ValueError naming two pictures that share even that.
    """
    level = [0] * len(pictures)
    while True:
        names = [_name(picture, k) for picture, k in zip(pictures, level, strict=True)]
        users = Counter(names)
        shared = [i for i, name in enumerate(names) if users[name] > 1]
        if not shared:
            return names
        raised = [i for i in shared if level[i] < 2]
        if not raised:
            first, second = [i for i in shared if names[i] == names[shared[0]]][:2]
            raise ValueError(
                f"{pictures[first].path} and {pictures[second].path} would write the same files "
                f"({names[first]}); run them with different output folders"
            )
        for i in raised:
            level[i] += 1


def _name(picture: InputFile, level: int) -> Path:
    if level == 0:
        return picture.relative.with_suffix("")
    root = picture.root.resolve().name if level == 2 else ""
    return Path(root) / picture.relative
