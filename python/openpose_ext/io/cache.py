"""A cache of compiled models on disk, so that a new process need not compile them again.

The cache never breaks a run: an entry that cannot be read or written is ignored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError
from openpose_ext.io.whole import write_whole

__all__ = [
    "BlobCache",
    "digest",
    "file_digest",
    "user_cache",
    "user_folder",
    "weight_files",
]

ENVIRONMENT = "OPENPOSE_EXT_CACHE"

# One network, compiled for one engine with one set of options, takes 3 to 200 MB.
MOST_BYTES = 2**30

Blob = npt.NDArray[np.uint8]

_MAGIC = b"openpose_ext blob 1\n"
_HASH_BYTES = 32


@dataclass(frozen=True)
class BlobCache:
    """Stores byte strings by key in a folder, and checks them when they are read.

    Files appear whole or not at all, so any number of processes may share the folder. The least
    recently used files are removed when all together exceed `MOST_BYTES`.
    """

    folder: Path

    def load(self, key: str) -> Blob | None:
        """The bytes stored under `key` (N,), or None if there are none or they are damaged."""
        file = self._file(key)
        try:
            with file.open("rb") as stream:
                head = stream.read(len(_MAGIC) + _HASH_BYTES)
                blob = np.fromfile(stream, np.uint8)
            os.utime(file)  # used just now
        except OSError:
            return None
        return blob if head == _head(blob.data) else None

    def store(self, key: str, blob: bytes) -> None:
        """Store `blob` under `key` if the folder is writable."""
        with suppress(OSError, OutputError):
            write_whole(self._file(key), _head(blob), blob)
            self._prune()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.blob"

    def _prune(self) -> None:
        files = [(file.stat(), file) for file in self.folder.glob("*.blob")]
        total = sum(stat.st_size for stat, _ in files)
        for stat, file in sorted(files, key=lambda entry: entry[0].st_mtime):
            if total <= MOST_BYTES:
                return
            file.unlink(missing_ok=True)
            total -= stat.st_size


def _head(blob: bytes | memoryview) -> bytes:
    return _MAGIC + hashlib.sha256(blob).digest()


def user_cache() -> BlobCache | None:
    """The user's cache of compiled models, or None where OPENPOSE_EXT_CACHE is "off"."""
    if os.environ.get(ENVIRONMENT, "").lower() == "off":
        return None
    return BlobCache(user_folder() / "compiled")


def user_folder() -> Path:
    """The user's cache folder: OPENPOSE_EXT_CACHE, or the system's default.

    "off" turns only the compiled models off.
    """
    chosen = os.environ.get(ENVIRONMENT, "")
    if chosen and chosen.lower() != "off":
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("openpose_ext", appauthor=False))


def digest(parts: Iterable[object]) -> str:
    """A cache key for objects that their `repr` describes completely."""
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()


def file_digest(file: Path, algorithm: str = "sha256") -> str:
    """Hash of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def weight_files(file: Path) -> list[Path]:
    """A network's file and the files with its weights: IR's .bin, ONNX's external data."""
    beside = (file.with_suffix(".bin"), Path(f"{file}.data"), Path(f"{file}_data"))
    return [file, *(part for part in beside if part.is_file())]
