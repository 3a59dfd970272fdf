"""Files that appear under their names only when they are whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from openpose_ext.errors import OutputError
from openpose_ext.io.leftovers import let_go, new_part

__all__ = ["PartFile", "PartFolder", "make_folder", "write_whole"]


class PartFile:
    """A file that appears under its name only when it is whole.

    path       its final path; an existing file is replaced, and missing folders are made
    part       the file that is written: a hidden one in the same folder, or the final one
    resumable  write `<path>.part` instead, and keep it after a failure, to be continued
    grows      write the final file from the start and keep it, whatever happens: for files that are
               read while they are written

    A hidden part is locked by this process until it has its final name, so that `remove_leftovers`
    can tell it from those of killed processes. Raises OutputError with the reason if it cannot be
    made.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, resumable: bool = False, grows: bool = False
    ) -> None:
        self.path = Path(path)
        self.grows = grows
        make_folder(self.path.parent)
        self._resumable = resumable
        self._held: int | None = None
        self.part = self.path if grows else self.path.with_name(f"{self.path.name}.part")
        if not (resumable or grows):
            with self.failing():
                self.part, self._held = new_part(self.path.parent)

    def appear(self) -> None:
        """Rename the part to its final name."""
        with self.failing():
            if not self.grows:
                os.replace(self.part, self.path)
        self._let_go()

    def discard(self) -> None:
        """Remove the file; one that grows is only removed if it is empty."""
        if not self.grows or (self.part.exists() and not self.part.stat().st_size):
            self.part.unlink(missing_ok=True)
        self._let_go()

    def _let_go(self) -> None:
        let_go(self._held)
        self._held = None

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Turn an OSError, such as a full disk, into an OutputError that names the file."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            if self._resumable and self.part.exists():
                reason += "; the part that was received is kept and will be resumed"
            raise OutputError(f"{self.path} cannot be written: {reason}") from error


class PartFolder:
    """A hidden folder in which a library writes files, each of which then appears whole.

        with PartFolder(folder) as made:
            torch.save(weights, made.part / "a.pth")
            made.appear("a.pth")

    path  the final folder; it is made if it is missing
    part  the hidden folder; it is removed at the end, whatever happens

    Raises OutputError with the reason if a folder cannot be made or a file cannot be moved.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.part = self.path / f".{uuid.uuid4().hex}.part"

    def appear(self, name: str) -> None:
        """Move a file or folder to its place; an existing file is replaced."""
        try:
            os.replace(self.part / name, self.path / name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{self.path / name} cannot be written: {reason}") from error

    def __enter__(self) -> Self:
        make_folder(self.path)
        make_folder(self.part)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.part, ignore_errors=True)


def write_whole(path: str | os.PathLike[str], *pieces: bytes) -> None:
    """Write a file from these pieces so that it appears only when it is whole.

    Replaces an existing file and makes missing folders. Nothing half-written stays, even if the
    write is interrupted.

    Raises OutputError with the reason if it cannot be written.
    """
    file = PartFile(path)
    try:
        with file.failing():
            file.part.write_bytes(b"".join(pieces))
        file.appear()
    except BaseException:
        file.discard()
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and missing ones above it. Raises OutputError if that fails."""
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
