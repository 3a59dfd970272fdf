"""Files that appear under their names only when they are whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openpose_ext.errors import OutputError

__all__ = ["PartFile", "make_folder", "write_whole"]


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
    missing = []
    try:
        while not os.path.isdir(folder) and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        while missing:
            folder = missing.pop()
            folder.mkdir(exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if folder.exists() else error.strerror
        raise OutputError(f"the folder {folder} cannot be made: {reason}") from error
