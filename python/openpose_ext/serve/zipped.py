"""Several files as one ZIP, made while it is sent."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

__all__ = ["zipped"]

_PIECE = 1 << 18  # bytes
_PACKED = (".png", ".jpg", ".mp4")  # compressed already


def zipped(files: Iterable[tuple[Path, str]]) -> Iterator[bytes]:
    """The bytes of a ZIP archive of files under the given names, piece by piece."""
    out = _Out()
    with ZipFile(out, "w") as archive:
        for path, name in files:
            entry = ZipInfo.from_file(path, name)
            entry.compress_type = ZIP_STORED if path.suffix in _PACKED else ZIP_DEFLATED
            with archive.open(entry, "w") as into, path.open("rb") as file:
                while piece := file.read(_PIECE):
                    into.write(piece)
                    yield out.taken()
    yield out.taken()


class _Out(io.RawIOBase):
    """Keeps written bytes until they are taken; cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
