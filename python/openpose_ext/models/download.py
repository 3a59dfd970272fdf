"""Downloads of registered files over HTTP: resumed, checked, and complete or absent.

The bytes go to `<file>.part`, which is renamed once its size and hashes are right. An existing part
is resumed, no matter which address it came from or what changed on the server. The hashes decide in
the end; if they do not match, the file is fetched again from the start.
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError

from openpose_ext.errors import ModelError
from openpose_ext.io.cache import file_digest
from openpose_ext.io.whole import PartFile
from openpose_ext.models.manifest import Registered

try:
    import fcntl
except ImportError:  # Windows: two processes at once may spoil each other's part, not the result
    fcntl = None  # type: ignore[assignment]

__all__ = ["Progress", "download", "fault"]

# Bytes received so far, and the total if it is known.
Progress = Callable[[int, int | None], None]

# Seconds without a single byte before a server is given up; a slow one may take hours.
TIMEOUT = 30.0

# Broken connections to one address, each with progress, before the next address is tried.
CONNECTIONS = 20

# Seconds to wait before reconnecting to the same address.
PAUSE = 1.0

# No network is larger. Limits a download whose size is unknown.
MOST_BYTES = 2**32

_CHUNK = 2**18


class _FailedError(Exception):
    """The reason why an address did not deliver the file, as a clause."""


def download(
    entry: Registered,
    folder: Path,
    *,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Fetch a registered file to a folder, unless a correct copy is there; return its path.

    progress  called after every piece received
    note      called with a sentence when waiting for another process or when an address fails

    If two processes want the same file, the second waits for the first. After an interruption, the
    bytes received so far stay in `<file>.part`, and nothing else stays.

    Raises ModelError with the answer of each address if none delivers the right file, and
    OutputError if it cannot be written.
    """
    if not entry.urls or not entry.hashes:
        lack = "hash" if entry.urls else "address"
        raise ModelError(f"{entry.file} could not be fetched: its {lack} is unknown")
    target = folder / entry.file
    file = PartFile(target, resumable=True)
    with file.failing():
        while not target.is_file() or fault(target, entry) is not None:
            with file.part.open("ab") as stream:
                _lock(stream, lambda: note(f"another process is fetching {entry.file}; waiting"))
                if not _is(stream, file.part):
                    continue  # the other process has finished it, or given it up
                _fill(stream, file.part, entry, progress, note)
                if fcntl is None:
                    stream.close()  # Windows cannot rename an open file
                file.appear()
                break
    return target


def fault(file: Path, entry: Registered) -> str | None:
    """Compare a whole file with its registry entry; return what is wrong, or None."""
    size = file.stat().st_size
    if entry.size is not None and size != entry.size:
        return f"it has {size} bytes instead of {entry.size}"
    for algorithm, expected in entry.hashes.items():
        found = file_digest(file, algorithm)
        if found != expected:
            return f"its {algorithm} is {found} instead of {expected}"
    return None


def _lock(stream: BinaryIO, waiting: Callable[[], None]) -> None:
    """Lock a file for this process until it is closed; the system unlocks it if the process
    dies."""
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError:
        return  # a file system without locks: as on Windows


def _is(stream: BinaryIO, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fill(
    stream: BinaryIO,
    part: Path,
    entry: Registered,
    progress: Progress,
    note: Callable[[str], None],
) -> None:
    """Complete the part, or raise ModelError; remove an empty part."""
    if _length(stream) and fault(part, entry) is None:
        return  # complete, but the process ended before renaming it
    reasons: list[str] = []
    try:
        for url in entry.urls:
            if reasons:
                note(f"{reasons[-1]}; trying the next address")
            try:
                _fill_from(url, stream, part, entry, progress)
            except _FailedError as failed:
                reasons.append(f"{url}: {failed}")
            else:
                return
        raise ModelError(f"{entry.file} could not be fetched: {'; '.join(reasons)}")
    finally:
        if not _length(stream):
            with suppress(PermissionError):  # Windows cannot remove an open file
                part.unlink()


def _fill_from(
    url: str, stream: BinaryIO, part: Path, entry: Registered, progress: Progress
) -> None:
    """Complete the part from one address, or raise _FailedError."""
    for _ in range(CONNECTIONS):
        before = _length(stream)
        if entry.size is not None and before >= entry.size:
            before = _emptied(stream)  # as long as the file, but with other bytes
        try:
            _receive(url, stream, entry, progress)
        except _FailedError:
            if _length(stream) <= before:
                raise
            time.sleep(PAUSE)
            continue
        wrong = fault(part, entry)
        if wrong is None:
            return
        _emptied(stream)
        # The earlier part may be wrong. If there was none, the server has another file.
        if before == 0:
            raise _FailedError(wrong)
    raise _FailedError(f"the connection broke {CONNECTIONS} times")


def _receive(url: str, stream: BinaryIO, entry: Registered, progress: Progress) -> None:
    """Resume the part over one connection up to its end, or raise _FailedError."""
    there = _length(stream)
    with _opened(url, there) as response:
        begins, total = _extent(response)
        if total is not None and entry.size is not None and total != entry.size:
            raise _FailedError(f"it has {total} bytes instead of {entry.size}")
        if begins != there:
            there = _emptied(stream)  # a server without ranges sends the whole file
        if total is None:
            total = entry.size
        most = MOST_BYTES if total is None else total
        progress(there, total)
        for chunk in _chunks(response):
            there += len(chunk)
            if there > most:
                _emptied(stream)
                raise _FailedError(f"it sends more than {most} bytes")
            stream.write(chunk)
            stream.flush()
            progress(there, total)
    if total is not None and there < total:
        raise _FailedError(f"the connection ended after {there} of {total} bytes")


def _opened(url: str, begin: int) -> HTTPResponse:
    """The response to a request for the bytes from `begin` on: these bytes, or the whole file."""
    headers = {"User-Agent": "openpose_ext"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    try:
        response = _OPENER.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
            return _opened(url, 0)  # the server's file is shorter
        raise _FailedError(f"{error.code} {' '.join(str(error.reason).split())}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _FailedError(_reason(error)) from error
    assert isinstance(response, HTTPResponse)
    if _extent(response)[0] in (0, begin):
        return response
    response.close()
    if not begin:
        raise _FailedError("it sends only a part of the file")
    return _opened(url, 0)


def _extent(response: HTTPResponse) -> tuple[int | None, int | None]:
    """The position of the first byte sent and the size of the whole file, if the response states
    it."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, response.length
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The pieces of the response, as they arrive."""
    try:
        while chunk := response.read1(_CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _FailedError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, HTTPException):
        return f"the connection broke ({type(error).__name__})"
    return str(getattr(error, "strerror", None) or error)


def _length(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)


def _emptied(stream: BinaryIO) -> int:
    stream.seek(0)
    return stream.truncate(0)


def _opener() -> urllib.request.OpenerDirector:
    """Opens HTTP and HTTPS only, so that no redirect leads to a local file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()
