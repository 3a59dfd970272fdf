"""The progress messages to a visitor: one line of JSON each (NDJSON).

    {"key":KEY,"state":"waiting","ahead":2}
    {"key":KEY,"state":"working","frames":17,"count":250,"frame":{...},"picture":"/9j/4AAQ..."}
    {"key":KEY,"state":"done","frames":250,"count":250,"frame":{...},"files":{"video":"..."},
     "problems":[]}
    {"key":KEY,"state":"failed","error":"..."}

Each line contains the complete state, so lines that come too fast can be skipped. KEY finds the
upload again; lines of a run of `infer` have no key. `frame` is the newest frame as in
`outputs.json_lines`; `picture` is the drawn frame, reduced, a JPEG in base64.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import cv2
from anyio import to_thread

from openpose_ext.io.resize import resized
from openpose_ext.serve.latest import Latest
from openpose_ext.types.arrays import Picture

__all__ = ["LONGEST_SIDE", "MEDIA_TYPE", "Progress", "Shown", "reduced", "told"]

MEDIA_TYPE = "application/x-ndjson"

State = Literal["waiting", "working", "done", "failed"]

_PAUSE = 1 / 15  # seconds from line to line
LONGEST_SIDE = 960  # pixels of a reduced picture
_QUALITY = 80


@dataclass(frozen=True)
class Shown:
    """The drawing of a frame, and its people, as in `outputs.json_lines`, if they are sent."""

    drawn: Picture
    people: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """The progress of an upload or of a run of `infer`.

    key       of the upload
    ahead     uploads before this one
    frames    processed so far
    count     expected number of frames, if known
    shown     the newest frame
    files     addresses of the results, by kind
    problems  errors that did not end it
    error     reason of a failure
    """

    state: State
    key: str = ""
    ahead: int = 0
    frames: int = 0
    count: int | None = None
    shown: Shown | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    error: str = ""

    def line(self, *, pictures: bool) -> bytes:
        """The progress as a line in the format above."""
        return json.dumps(self.told(pictures=pictures), separators=(",", ":")).encode() + b"\n"

    def told(self, *, pictures: bool) -> dict[str, object]:
        """The progress as an object, before it becomes a line."""
        content: dict[str, object] = {"key": self.key} if self.key else {}
        content["state"] = self.state
        if self.state == "waiting":
            content["ahead"] = self.ahead
        elif self.state == "failed":
            content["error"] = self.error
        else:
            content |= {"frames": self.frames, "count": self.count}
        if self.shown is not None:
            if self.shown.people is not None:
                content["frame"] = self.shown.people
            if pictures:
                content["picture"] = base64.b64encode(_jpeg(self.shown.drawn)).decode()
        if self.state == "done":
            content |= {"files": self.files, "problems": self.problems}
        return content


async def told(latest: Latest[Progress], *, pictures: bool) -> AsyncIterator[bytes]:
    """The lines for one visitor, no faster than the visitor reads them."""
    async for progress in latest.values():
        yield await to_thread.run_sync(partial(progress.line, pictures=pictures))
        await asyncio.sleep(_PAUSE)


def reduced(picture: Picture, side: int) -> Picture:
    """The picture, made smaller if its longer side has more than so many pixels."""
    height, width = picture.shape[:2]
    factor = min(1.0, side / max(width, height))
    return resized(picture, (max(1, round(width * factor)), max(1, round(height * factor))))


def _jpeg(picture: Picture) -> bytes:
    small = reduced(picture, LONGEST_SIDE)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
