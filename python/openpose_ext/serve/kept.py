"""Results that visitors can fetch for a limited time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic

__all__ = ["Kept", "size_of"]


@dataclass(frozen=True)
class _Result:
    folder: Path
    files: Mapping[str, tuple[Path, str]]
    until: float
    size: int


class Kept:
    """The results of uploads, each under its key.

    seconds  how long they are kept
    most     limit in bytes of all together; the oldest are removed first

    May be used from any thread.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._results: dict[str, _Result] = {}  # oldest first
        self._lock = Lock()

    def add(self, key: str, folder: Path, files: Mapping[str, tuple[Path, str]]) -> None:
        """Keep a folder, which belongs to this object from now on, under a key.

        files  by kind: the file, and its name for downloads
        """
        result = _Result(folder, files, monotonic() + self._seconds, size_of(folder))
        with self._lock:
            self._results[key] = result
        self.sweep()

    def left(self, key: str) -> float:
        """Seconds for which results will still be kept; 0 if there are none."""
        with self._lock:
            result = self._results.get(key)
        return 0.0 if result is None else max(0.0, result.until - monotonic())

    def files(self, key: str) -> Mapping[str, tuple[Path, str]]:
        """All files under a key, as they were added; empty if they have been removed."""
        with self._lock:
            result = self._results.get(key)
        return {} if result is None or result.until <= monotonic() else result.files

    def remove(self, key: str) -> None:
        """Remove results before their time."""
        with self._lock:
            result = self._results.pop(key, None)
        if result is not None:
            shutil.rmtree(result.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove results that are too old, and the oldest ones while all exceed the limit."""
        now = monotonic()
        with self._lock:
            total = sum(result.size for result in self._results.values())
            for key, result in list(self._results.items()):
                if result.until <= now or total > self._most:
                    total -= result.size
                    del self._results[key]
                    shutil.rmtree(result.folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """The size in bytes of all files below a folder; no file may be renamed meanwhile."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
