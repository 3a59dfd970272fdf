"""Receives a file and checks it; the decoders decide what kind of file it is."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request

from openpose_ext.errors import SourceError
from openpose_ext.io.container import open_container, video_stream
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.files import Files
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.source import Source
from openpose_ext.sources.video import Video

__all__ = ["Limits", "checked", "opened", "reason", "received"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    upload    bytes of an upload
    pixels    of a picture, or of a frame of a video
    patience  seconds for receiving an upload
    at_once   uploads that are processed at the same time
    uploads   total of uploads being received, waiting and being processed
    results   bytes of an upload's results, and of all kept results
    keep      seconds for which results are kept
    """

    upload: int = 200_000_000
    pixels: int = 50_000_000
    patience: float = 300
    at_once: int = 2
    uploads: int = 16
    results: int = 2_000_000_000
    keep: float = 1800


async def received(request: Request, file: Path, limits: Limits) -> None:
    """Write the body of a request to a file.

    Raises HTTPException, which says why, if it is refused, and ClientDisconnect if it breaks off.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the file as it is, not as a form: curl --data-binary @FILE ...",
        )
    if int(request.headers.get("content-length", 0)) > limits.upload:
        raise _too_large(limits)
    size = 0
    try:
        with file.open("wb") as out:
            async with asyncio.timeout(limits.patience):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limits.upload:
                        raise _too_large(limits)
                    out.write(chunk)
    except TimeoutError as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, f"The upload took longer than {limits.patience:.0f} s."
        ) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise HTTPException(
            HTTPStatus.INSUFFICIENT_STORAGE, "There is no room left on this server."
        ) from error
    if not size:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The file is empty.")


def checked(path: Path, limits: Limits) -> None:
    """Decode the beginning of a file. Raises HTTPException with the reason if that fails."""
    try:
        with open_container(str(path), most_pixels=limits.pixels) as container:
            decoder = video_stream(container, str(path)).codec_context
            width, height = decoder.width, decoder.height
        if not 0 < width * height <= limits.pixels:
            # Decoders do not report a size that they refuse.
            found = f"has {width} x {height} pixels" if width else "is too large, or damaged"
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The picture {found}; up to {limits.pixels / 1e6:g} megapixels are taken.",
            )
        with opened(path, limits) as source:
            if next(source, None) is None:
                raise source.errors[0] if source.errors else SourceError("it has no pictures")
    except SourceError as error:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"This is not a readable picture or video: {reason(path, error)}.",
        ) from error


def opened(path: Path, limits: Limits) -> Source:
    """The frames of a file that was checked. Raises SourceError if it cannot be opened."""
    files = find_inputs([path]).files
    if files[0].kind == "video":
        return Video(path, most_pixels=limits.pixels)
    if files[0].kind == "animation":
        return Animation(path)
    return Files(files)


def reason(path: Path, error: Exception) -> str:
    """The message of an error, without the server's path of the file."""
    return str(error).removeprefix(f"{path}: ")


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The file is too large; up to {limits.upload / 1e6:g} MB are taken.",
    )
