"""Registered files over HTTP: continued where they broke off, checked, and whole or not there.

The bytes go to `<file>.part`, which gets its name when its size and hashes are right. A part that
was left behind is continued, whichever address it came from and whatever changed on the server:
the hashes decide in the end, and what they refuse is fetched once more from the start.
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

from openpose_ext.errors import ModelError, OutputError
from openpose_ext.io.cache import file_digest
from openpose_ext.io.whole import make_folder
from openpose_ext.models.manifest import Registered

try:
    import fcntl
except ImportError:  # Windows: two processes at once may spoil each other's part, not the result
    fcntl = None  # type: ignore[assignment]

__all__ = ["Progress", "download", "fault"]

# Bytes there are, and bytes in all as far as that is known.
Progress = Callable[[int, int | None], None]

# Seconds without a single byte after which a server is given up; a slow one may take hours.
TIMEOUT = 30.0

# Connections to one address, each of which brought something, before the next one is tried.
CONNECTIONS = 20

# Seconds before a broken connection is followed by another one to the same address.
PAUSE = 1.0

# No network is larger: what a server sends for a file of unknown size ends here.
MOST_BYTES = 2**32

_CHUNK = 2**18


class _FailedError(Exception):
    """Why an address did not give the file, as a clause."""


def download(
    entry: Registered,
    folder: Path,
    *,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Fetch a registered file to a folder, unless it is there and right; returns its path.

    progress  called with every piece that came
    note      called with a sentence if another process is waited for or an address fails

    Of two processes that want the same file the second waits for the first. What came before an
    interruption stays in `<file>.part`, and nothing else stays, however the process ends.

    Raises ModelError, saying what each address answered, if none gives the right file, and
    OutputError if it cannot be written.
    """
    if not entry.urls or not entry.hashes:
        lack = "hash" if entry.urls else "address"
        raise ModelError(f"{entry.file} could not be fetched: no {lack} of it is known")
    make_folder(folder)
    target = folder / entry.file
    part = target.with_name(f"{target.name}.part")
    try:
        while not target.is_file() or fault(target, entry) is not None:
            with part.open("ab") as stream:
                _lock(stream, lambda: note(f"another process is fetching {entry.file}; waiting"))
                if not _is(stream, part):
                    continue  # who was waited for has finished it, or dropped it
                _fill(stream, part, entry, progress, note)
                if fcntl is None:
                    stream.close()  # Windows renames no open file
                os.replace(part, target)
                break
    except OSError as error:
        kept = "; what came is kept to be continued" if part.exists() else ""
        raise OutputError(f"{target} cannot be written: {error.strerror or error}{kept}") from error
    return target


def fault(file: Path, entry: Registered) -> str | None:
    """What is wrong with a file that should be the registered one, or None; all of it is read."""
    size = file.stat().st_size
    if entry.size is not None and size != entry.size:
        return f"it has {size} bytes instead of {entry.size}"
    for algorithm, expected in entry.hashes.items():
        found = file_digest(file, algorithm)
        if found != expected:
            return f"its {algorithm} is {found} instead of {expected}"
    return None


def _lock(stream: BinaryIO, waiting: Callable[[], None]) -> None:
    """Hold a file for this process until it is closed; the system lets go for one that dies."""
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
    """Make the part the right file, or raise ModelError; an empty part is dropped."""
    if _length(stream) and fault(part, entry) is None:
        return  # whole, but the process ended before it got its name
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
            with suppress(PermissionError):  # Windows removes no open file
                part.unlink()


def _fill_from(
    url: str, stream: BinaryIO, part: Path, entry: Registered, progress: Progress
) -> None:
    """Make the part the right file from one address, or raise _FailedError."""
    for _ in range(CONNECTIONS):
        before = _length(stream)
        if entry.size is not None and before >= entry.size:
            before = _emptied(stream)  # as long as the file, and not the file
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
        # What was there before may be at fault. If nothing was, the server has another file.
        if before == 0:
            raise _FailedError(wrong)
    raise _FailedError(f"the connection broke {CONNECTIONS} times")


def _receive(url: str, stream: BinaryIO, entry: Registered, progress: Progress) -> None:
    """Continue the part to the end by one connection, or raise _FailedError."""
    there = _length(stream)
    with _opened(url, there) as response:
        begins, total = _extent(response)
        if total is not None and entry.size is not None and total != entry.size:
            raise _FailedError(f"it has {total} bytes instead of {entry.size}")
        if begins != there:
            there = _emptied(stream)  # a server that knows no ranges sends the whole
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
    """The answer to a request for the bytes from `begin` on: those, or the whole file."""
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
        raise _FailedError("it sends a part of the file for the whole")
    return _opened(url, 0)


def _extent(response: HTTPResponse) -> tuple[int | None, int | None]:
    """The first byte that is sent, and bytes of the whole file, as far as the answer says so."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, response.length
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as soon as it comes."""
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
    """HTTP and HTTPS alone: no redirect leads to a file or to FTP."""
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
