"""The base class of all writers of many frames into one file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from openpose_ext.io.whole import PartFile
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["FrameWriter"]


class FrameWriter(ABC):
    """Writes the people of many frames, in order, into one file.

        with CsvWriter(path) as sink:
            for frame, poses in estimator.stream(source):
                sink.write(frame, poses)

    A context manager: it closes the file at the end of the block, and discards it if the block is
    left by an exception. The file appears under its name when it is closed; until then, whatever
    happens, there is no file of that name, or the older one stays. A kind of file that may grow
    exists from the start, with `grows`, and keeps all frames that were written, whatever happens.

    Use it from one thread at a time. If a signal interrupts a call with an exception, discard the
    file instead of closing it. Raises OutputError, naming the file and the reason, if it cannot be
    written.
    """

    def __init__(self, path: str | os.PathLike[str], *, grows: bool = False) -> None:
        self._file = PartFile(path, grows=grows)
        self._open = True

    @property
    def path(self) -> Path:
        """The path of the finished file."""
        return self._file.path

    @property
    def _files(self) -> Sequence[PartFile]:
        """All files that it writes."""
        return (self._file,)

    def cut_short(self) -> None:
        """Say before `close` that frames are missing, so the name becomes `a.unfinished.csv`."""
        for file in self._files:
            file.path = _unfinished(file.path)

    def forget_unfinished(self) -> None:
        """Remove the unfinished file of an interrupted run, now that the whole file exists."""
        for file in self._files:
            _unfinished(file.path).unlink(missing_ok=True)

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
        """Remove the file. Does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        with suppress(OSError):  # on a full disk, writing the rest of the buffer fails
            self._release()
        self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @staticmethod
    @abstractmethod
    def sources_in(path: Path) -> set[str]:
        """The sources whose frames a file of this kind holds, as far as the format stores them.

        May raise any exception for a file that is damaged or comes from another program.
        """

    @abstractmethod
    def _write(self, frame: Frame, poses: Poses) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Write the end of the file and close it."""

    @abstractmethod
    def _release(self) -> None:
        """Close the file, whatever state it is in."""


def _unfinished(file: Path) -> Path:
    """The name of a file that lacks frames."""
    return file.with_name(f"{file.stem}.unfinished{file.suffix}")
