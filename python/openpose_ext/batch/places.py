"""Folders on disk, and those of any file system that fsspec knows (s3://, gs://, hdfs://, ...).

An object store may fail for a moment, so requests are repeated a few times, unless the answer is
that a file does not exist or that access is denied.

fsspec takes credentials and end points from environment variables (AWS_..., FSSPEC_S3_...) or from
its configuration, which must be the same on every machine.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from openpose_ext.errors import OutputError, SourceError
from openpose_ext.io.container import is_address
from openpose_ext.io.whole import write_whole

__all__ = ["Place", "open_address", "read", "resolved", "steadily"]

T = TypeVar("T")

_TRIES = 6
_WAIT = 0.2  # seconds before the second try; twice as long before each further one
# Answers that would be the same again.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError)


def steadily(ask: Callable[[], T]) -> T:
    """The answer of a store, asked again where it fails; its last error if it always does."""
    for number in range(_TRIES - 1):
        try:
            return ask()
        except _FINAL:
            raise
        except Exception:  # each file system has errors of its own
            # A random wait, so that not all workers ask again at once.
            time.sleep(_WAIT * 2**number * random.uniform(0.5, 1.5))
    return ask()


def resolved(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises ValueError if it is unknown."""
    import fsspec

    try:
        # Listings change while a job runs.
        found: tuple[Any, str] = fsspec.core.url_to_fs(address, use_listings_cache=False)
        return found
    except (ImportError, ValueError) as error:
        raise ValueError(f"{address}: {error}") from error


def read(name: str) -> bytes:
    """The content of a file or address. Raises SourceError with the reason if it cannot be read."""
    with _failing(name, SourceError):
        if not is_address(name):
            return Path(name).read_bytes()
        system, path = resolved(name)
        content: bytes = steadily(lambda: system.cat_file(path))
        return content


def open_address(address: str) -> IO[bytes]:
    """Open a file for reading in pieces. Opening and reading raise SourceError with the reason if
    they fail."""
    with _failing(address, SourceError):
        system, path = resolved(address)
        return io.BufferedReader(_SteadyFile(address, steadily(lambda: system.open(path, "rb"))))


class _SteadyFile(io.RawIOBase):
    """A file of a store; a piece that cannot be read is requested again."""

    def __init__(self, address: str, file: IO[bytes]) -> None:
        self._address = address
        self._file = file
        self._at = 0

    def readinto(self, buffer: Any) -> int:
        def ask() -> bytes:
            self._file.seek(self._at)
            return self._file.read(len(buffer))

        with _failing(self._address, SourceError):
            data = steadily(ask)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = self._at + offset, os.SEEK_SET
        self._at = self._file.seek(offset, whence)
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


class Place:
    """A folder for results. Files appear in it whole: by a rename, or by one PUT.

    Raises OutputError, naming the file and the reason, if something cannot be written or read.
    """

    def __init__(self, name: str) -> None:
        self.name = name.rstrip("/") or name
        self._remote = is_address(name)
        if self._remote:
            self._system, self._path = resolved(self.name)

    def put(self, name: str, data: bytes) -> None:
        """Write a file, replacing an existing one."""
        if not self._remote:
            write_whole(Path(self.name, name), data)
            return
        with _failing(f"{self.name}/{name} cannot be written", OutputError):
            folder = os.path.dirname(self._of(name))
            steadily(lambda: self._system.makedirs(folder, exist_ok=True))
            steadily(lambda: self._system.pipe_file(self._of(name), data))

    def get(self, name: str) -> bytes | None:
        """The content of a file, or None if it does not exist."""
        with _failing(f"{self.name}/{name}", OutputError):
            try:
                if not self._remote:
                    return Path(self.name, name).read_bytes()
                content: bytes = steadily(lambda: self._system.cat_file(self._of(name)))
                return content
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder; empty if the folder does not exist."""
        with _failing(f"{self.name}/{folder}", OutputError):
            try:
                if not self._remote:
                    return os.listdir(Path(self.name, folder))
                listed = steadily(lambda: self._system.ls(self._of(folder), detail=False))
                return [os.path.basename(path) for path in listed]
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        """Remove a file."""
        with _failing(f"{self.name}/{name}", OutputError):
            if not self._remote:
                Path(self.name, name).unlink(missing_ok=True)
            else:
                with suppress(FileNotFoundError):  # removed by an earlier try or another process
                    steadily(lambda: self._system.rm_file(self._of(name)))

    def _of(self, name: str) -> str:
        return f"{self._path}/{name}"


@contextmanager
def _failing(what: str, kind: type[Exception]) -> Iterator[None]:
    """Turn the errors of a file system, which are different for each, into this package's."""
    try:
        yield
    except (FileNotFoundError, kind) as error:
        if kind is OutputError or isinstance(error, kind):
            raise
        raise kind(f"{what}: No such file or directory") from error
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}") from error
    except Exception as error:
        raise kind(f"{what}: {error}") from error
