"""The folder of uploads and results; it is removed with the server, or after it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Folder"]

_PREFIX = "openpose_ext-serve-"
_LOCK = "lock"


class Folder:
    """A new temporary folder; folders of killed servers are removed first.

    A server locks a file in its folder; the system releases the lock when the process ends, however
    it ends. Close it to remove the folder.
    """

    def __init__(self) -> None:
        for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _remove_if_left(old)
        while not self._made():
            pass

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)

    def _made(self) -> bool:
        """Make a folder and lock it; False if another server removed it in that moment."""
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = not os.fstat(self._held).st_nlink
        except BlockingIOError:
            taken = True
        except OSError:  # a file system without locks: no server removes anything there
            taken = False
        if taken:
            os.close(self._held)
        return not taken


def _remove_if_left(folder: Path) -> None:
    """Remove a server's folder. Raises OSError if the server is still running."""
    if fcntl is None or folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    held = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)
