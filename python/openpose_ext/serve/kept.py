"""Results that visitors may fetch, for a while."""

from __future__ import annotations

import secrets
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
    """The results of uploads, each under a key that nobody guesses.

    seconds  that they are kept
    most     bytes of all together; the oldest go first

    May be used from any thread.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._results: dict[str, _Result] = {}  # oldest first
        self._lock = Lock()

    def add(self, folder: Path, files: Mapping[str, tuple[Path, str]]) -> str:
        """Keep a folder, which is ours from now on; the key of its files.

        files  by kind: where it lies, and what it is called when it is fetched
        """
        key = secrets.token_urlsafe(16)
        result = _Result(folder, files, monotonic() + self._seconds, size_of(folder))
        with self._lock:
            self._results[key] = result
        self.sweep()
        return key

    def file(self, key: str, kind: str) -> tuple[Path, str] | None:
        """A file and its name, or None where there is none, or none any more."""
        with self._lock:
            result = self._results.get(key)
        if result is None or result.until <= monotonic():
            return None
        return result.files.get(kind)

    def sweep(self) -> None:
        """Remove what is too old or, from the oldest on, too much."""
        now = monotonic()
        with self._lock:
            total = sum(result.size for result in self._results.values())
            for key, result in list(self._results.items()):
                if result.until <= now or total > self._most:
                    total -= result.size
                    del self._results[key]
                    shutil.rmtree(result.folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, while nobody renames one."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
