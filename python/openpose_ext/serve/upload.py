"""Receives a file and checks it; its kind is found out by the decoders."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request

from openpose_ext.errors import SourceError
from openpose_ext.serve.budget import Budget
from openpose_ext.serve.cost import Header, first_frame, headers_need, read_header
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.files import Files
from openpose_ext.sources.listing import InputFile
from openpose_ext.sources.source import Source
from openpose_ext.sources.video import Video

__all__ = ["Limits", "checked", "measured", "opened", "reason", "received", "too_much_memory"]

Unwanted = Callable[[], bool]

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    upload    bytes of an upload
    pixels    pixels of a picture, or of a frame of a video
    frame     bytes of a single frame, see `webcam`
    patience  seconds for receiving an upload
    slowest   bytes per second at which an upload must come, on average over `window` seconds
    window    see `slowest`
    receiving  uploads that are received at the same time
    at_once   uploads that are processed at the same time
    uploads   total of uploads waiting and being processed
    each      uploads of one address that are received, waiting and being processed
    results   bytes of an upload's results, and of all kept results
    keep      seconds for which results are kept
    memory    bytes of memory, see `budget`
    """

    upload: int = 200_000_000
    pixels: int = 50_000_000
    frame: int = 8_000_000
    patience: float = 900
    slowest: float = 1000
    window: float = 10
    receiving: int = 64
    at_once: int = 2
    uploads: int = 32
    each: int = 16
    results: int = 2_000_000_000
    keep: float = 1800
    memory: int = 2_000_000_000


async def received(request: Request, file: Path, limits: Limits) -> None:
    """Write the body of a request to a file.

    Raises HTTPException with the reason if it is refused, ClientDisconnect if it breaks off.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the file as it is, not as a form: curl --data-binary @FILE ...",
        )
    if int(request.headers.get("content-length", 0)) > limits.upload:
        raise _too_large(limits)
    clock = asyncio.get_running_loop().time
    size = due = 0
    try:
        with file.open("wb") as out:
            async with asyncio.timeout(limits.patience), asyncio.timeout(limits.window) as window:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limits.upload:
                        raise _too_large(limits)
                    if size >= due:
                        due = size + math.ceil(limits.slowest * limits.window)
                        window.reschedule(clock() + limits.window)
                    out.write(chunk)
    except TimeoutError as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The upload is too slow: {limits.slowest * limits.window / 1000:g} kB have to come "
            f"in {limits.window:g} s, and all of it in {limits.patience:g} s.",
            {"Connection": "close"},
        ) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise HTTPException(
            HTTPStatus.INSUFFICIENT_STORAGE, "There is no room left on this server."
        ) from error
    if not size:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The file is empty.")


def measured(path: Path, limits: Limits, budget: Budget, unwanted: Unwanted) -> Header:
    """Read a file's header, before it is decoded. Raises HTTPException if it is refused."""
    with _telling(path):
        for pixels, needed in headers_need(path, limits.pixels):
            with budget.reserved(min(needed, budget.total), unwanted):
                header = read_header(path, pixels)
            if header is not None:
                break
    if header is None or header.pixels > limits.pixels:
        # Decoders do not report a size that they refuse.
        size = None if header is None else header.size
        found = f"has {size[0]} x {size[1]} pixels" if size else "is too large, or damaged"
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The picture {found}; up to {limits.pixels / 1e6:g} megapixels are taken.",
        )
    return header


def checked(path: Path, header: Header, limits: Limits, budget: Budget, unwanted: Unwanted) -> None:
    """Decode the beginning of a file. Raises HTTPException with the reason if that fails."""
    needed = first_frame(header)
    if needed > budget.total:
        raise too_much_memory(needed, budget.total)
    with (
        _telling(path),
        budget.reserved(needed, unwanted),
        opened(path, header, limits) as source,
    ):
        if next(source, None) is None:
            raise source.errors[0] if source.errors else SourceError("it has no pictures")


def opened(path: Path, header: Header, limits: Limits) -> Source:
    """The frames of a file that was measured. Raises SourceError if it cannot be opened."""
    if header.kind == "video":
        return Video(path, most_pixels=limits.pixels)
    if header.kind == "animation":
        return Animation(path)
    return Files([InputFile(path, path.parent, "picture")])


def reason(path: Path, error: Exception) -> str:
    """The message of an error, without the server's path of the file."""
    return str(error).removeprefix(f"{path}: ")


def too_much_memory(needed: int, there: int) -> HTTPException:
    """The refusal of an upload that does not fit into the memory, even alone."""
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"This would take up to {needed / 1e9:.1f} GB of memory, and the server has "
        f"{there / 1e9:.1f} GB for it; a smaller picture or fewer options help.",
    )


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Refuse a file that cannot be read, with the reason."""
    try:
        yield
    except SourceError as error:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"This is not a readable picture or video: {reason(path, error)}.",
        ) from error


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The file is too large; up to {limits.upload / 1e6:g} MB are taken.",
    )
