"""Removes unfinished files that a killed process left behind, but not those of running processes.

Such a file is called a part. Its writer holds a lock on it, which the system releases when the
process ends, however it ends. On systems without such locks nothing is removed.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["let_go", "new_part", "remove_leftovers"]

_PART = re.compile(r"\.[0-9a-f]{32}\.part")


def new_part(folder: Path) -> tuple[Path, int | None]:
    """Make a part in a folder and lock it for this process, until `let_go` of the second value.

    Raises OSError if it cannot be made.
    """
    while True:
        part = folder / f".{uuid.uuid4().hex}.part"
        if fcntl is None:
            return part, None
        held = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(held).st_nlink:
            return part, held
        os.close(held)  # another process took it for a leftover before it was locked


def let_go(held: int | None) -> None:
    """Unlock a part."""
    if held is not None:
        os.close(held)


def remove_leftovers(folder: Path) -> None:
    """Remove the parts in a folder that no running process has locked, as far as possible."""
    if fcntl is None:
        return
    with suppress(OSError):
        names = [name for name in os.listdir(folder) if _PART.fullmatch(name)]
        for name in names:
            with suppress(OSError):
                _remove(folder / name)


def _remove(part: Path) -> None:
    opened = os.open(part, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError if it is held
        part.unlink()
    finally:
        os.close(opened)
