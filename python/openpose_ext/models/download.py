"""Registered files over HTTP: continued where they broke off, checked, and whole or not there.

The bytes go to `<file>.part`, which gets its name when its size and hashes are right. A part that
was left behind is continued, whichever address it came from and whatever the server says about
versions: the hashes decide in the end, and what they refuse is fetched once more from the start.
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError

from openpose_ext.backends.cache import file_digest
from openpose_ext.errors import ModelError, OutputError
from openpose_ext.models.lookup import ENVIRONMENT
from openpose_ext.models.manifest import Registered
from openpose_ext.outputs.files import make_folder

try:
    import fcntl
except ImportError:  # Windows: two processes at once may spoil each other's part, not the result
    fcntl = None  # type: ignore[assignment]

__all__ = ["Progress", "by_hand", "download", "fault"]

# Bytes there are, and bytes in all as far as that is known.
Progress = Callable[[int, int | None], None]

# Seconds without a single byte after which a server is given up; slow ones may take hours.
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
    note      called with a sentence when another process is waited for or an address fails

    A second process that wants the same file waits for the first. What came before an
    interruption stays in `<file>.part`; a killed process leaves nothing else behind.

    Raises ModelError, saying what each address answered and which file to put where, if none of
    them gives the right file, and OutputError if it cannot be written.
    """
    target = folder / entry.file
    if not entry.urls or not entry.hashes:
        lack = "address" if not entry.urls else "hash"
        raise ModelError(f"no {lack} of {entry.file} is known. {by_hand(entry, target)}")
    make_folder(folder)
    part = target.with_name(f"{target.name}.part")
    try:
        while not target.is_file() or fault(target, entry) is not None:
            with part.open("ab") as stream:
                _lock(stream, lambda: note(f"another process is fetching {entry.file}; waiting"))
                if not _is(stream, part):
                    continue  # who was waited for has finished it, or given up
                reasons = _fill(stream, part, entry, progress, note)
                if not reasons:
                    _name(stream, part, target)
                    break
                if not _length(stream):
                    part.unlink()
            raise ModelError(
                f"{entry.file} could not be fetched. {'; '.join(reasons)}. {by_hand(entry, target)}"
            )
    except OSError as error:
        kept = "; what came is kept for the next time" if _has_bytes(part) else ""
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


def by_hand(entry: Registered, target: Path) -> str:
    """The sentence that tells a person without network what to do."""
    marks = [f"{algorithm} {digest}" for algorithm, digest in entry.hashes.items()][:1]
    if entry.size is not None:
        marks.insert(0, f"{entry.size} bytes")
    known = f" ({', '.join(marks)})" if marks else ""
    return (
        f"To bring the file yourself{known}, put it to "
        f"{target} or into a folder named by ${ENVIRONMENT}"
    )


def _lock(stream: BinaryIO, wait: Callable[[], None]) -> None:
    """Hold a file for this process until it is closed; the system lets go for one that dies."""
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        wait()
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError:
        return  # a file system without locks: as on Windows


def _is(stream: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of this name."""
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
) -> list[str]:
    """Make the part the right file; returns what kept each address from it, nothing if done."""
    reasons: list[str] = []
    if _length(stream) and fault(part, entry) is None:
        return reasons  # whole, but an end came before it got its name
    for url in entry.urls:
        try:
            _fill_from(url, stream, part, entry, progress)
        except _FailedError as failed:
            reasons.append(f"{url}: {failed}")
            note(reasons[-1])
        else:
            return []
    return reasons


def _fill_from(
    url: str, stream: BinaryIO, part: Path, entry: Registered, progress: Progress
) -> None:
    """Make the part the right file from one address, or raise _FailedError."""
    for _ in range(CONNECTIONS):
        before = _length(stream)
        if entry.size is not None and before >= entry.size:
            before = _emptied(stream)  # none of it was right, as `_fill` has seen
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
        # What was there before may be at fault. If nothing was, the server's file is another one.
        if before == 0:
            raise _FailedError(wrong)
    raise _FailedError(f"the connection broke {CONNECTIONS} times")


def _receive(url: str, stream: BinaryIO, entry: Registered, progress: Progress) -> None:
    """Continue the part by one connection up to the end, or raise _FailedError."""
    start = _length(stream)
    with _opened(url, start) as response:
        total, begins = _extent(response)
        if total is not None and entry.size is not None and total != entry.size:
            raise _FailedError(f"it has {total} bytes instead of {entry.size}")
        if begins != start:
            start = _emptied(stream)  # the server knows no ranges
        if total is None:
            total = entry.size
        progress(start, total)
        for chunk in _chunks(response):
            stream.write(chunk)
            stream.flush()
            start += len(chunk)
            progress(start, total)
            if start > (total or MOST_BYTES):
                _emptied(stream)
                raise _FailedError(f"it sends more than {total or MOST_BYTES} bytes")
    if total is not None and start < total:
        raise _FailedError(f"the connection ended after {start} of {total} bytes")


def _opened(url: str, start: int) -> HTTPResponse:
    """The answer to a request for the bytes from `start`: those, or the whole file."""
    headers = {"User-Agent": "openpose_ext"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = _OPENER.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _opened(url, 0)  # its file is shorter than the part
        raise _FailedError(f"{error.code} {' '.join(str(error.reason).split())}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _FailedError(_reason(error)) from error
    assert isinstance(response, HTTPResponse)
    if response.status == http.client.PARTIAL_CONTENT and _extent(response)[1] != start:
        response.close()  # not what was asked for
        if start:
            return _opened(url, 0)
        raise _FailedError("it sends a part of the file, unasked")
    return response


def _extent(response: HTTPResponse) -> tuple[int | None, int | None]:
    """Bytes of the whole file and the first that is sent, each as far as the answer says so."""
    if response.status == http.client.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
        if found is None:
            return None, None
        return None if found[2] == "*" else int(found[2]), int(found[1])
    return response.length, 0


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes."""
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


def _name(stream: BinaryIO, part: Path, target: Path) -> None:
    """Give the finished part its name, still held where the system allows that."""
    if fcntl is None:
        stream.close()  # Windows renames no open file
    os.replace(part, target)


def _has_bytes(part: Path) -> bool:
    try:
        return part.stat().st_size > 0
    except OSError:
        return False


def _length(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)


def _emptied(stream: BinaryIO) -> int:
    stream.seek(0)
    return stream.truncate(0)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS alone: no redirect may lead to a file or to FTP."""
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
