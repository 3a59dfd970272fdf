"""The progress messages to a visitor: one line of JSON each (NDJSON).

    {"state":"waiting","ahead":2}
    {"state":"working","frames":17,"count":250,"frame":{...},"picture":"/9j/4AAQ..."}
    {"state":"done","frames":250,"count":250,"frame":{...},"files":{"video":"..."},"problems":[]}
    {"state":"failed","error":"..."}

Each line contains the complete state, so lines that come too fast can be skipped. `frame` is the
newest frame as in `outputs.json_lines`; `picture` is the drawn frame, reduced, a JPEG in base64.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import cv2
from anyio import to_thread

from openpose_ext.io.resize import resized
from openpose_ext.outputs.json_lines import as_line
from openpose_ext.serve.latest import Latest
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["MEDIA_TYPE", "Progress", "Shown", "told"]

MEDIA_TYPE = "application/x-ndjson"

State = Literal["waiting", "working", "done", "failed"]

_PAUSE = 1 / 15  # seconds from line to line
_LONGEST_SIDE = 960  # pixels of a reduced picture
_QUALITY = 80


@dataclass(frozen=True)
class Shown:
    """A frame, its people if they are sent, and the drawing."""

    frame: Frame
    poses: Poses | None
    drawn: Picture


@dataclass(frozen=True)
class Progress:
    """The progress of an upload or of a run of `infer`.

    ahead     uploads before this one
    frames    processed so far
    count     expected number of frames, if known
    shown     the newest frame
    files     addresses of the results, by kind
    problems  errors that did not end it
    error     reason of a failure
    """

    state: State
    ahead: int = 0
    frames: int = 0
    count: int | None = None
    shown: Shown | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    error: str = ""

    def line(self, *, pictures: bool) -> bytes:
        """The progress as a line in the format above."""
        content: dict[str, object] = {"state": self.state}
        if self.state == "waiting":
            content["ahead"] = self.ahead
        elif self.state == "failed":
            content["error"] = self.error
        else:
            content |= {"frames": self.frames, "count": self.count}
        if self.shown is not None:
            if self.shown.poses is not None:
                content["frame"] = as_line(self.shown.frame, self.shown.poses)
            if pictures:
                content["picture"] = base64.b64encode(_reduced(self.shown.drawn)).decode()
        if self.state == "done":
            content |= {"files": self.files, "problems": self.problems}
        return json.dumps(content, separators=(",", ":")).encode() + b"\n"


async def told(latest: Latest[Progress], *, pictures: bool) -> AsyncIterator[bytes]:
    """The lines for one visitor, no faster than they are taken."""
    async for progress in latest.values():
        yield await to_thread.run_sync(partial(progress.line, pictures=pictures))
        await asyncio.sleep(_PAUSE)


def _reduced(picture: Picture) -> bytes:
    height, width = picture.shape[:2]
    factor = min(1.0, _LONGEST_SIDE / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    _, data = cv2.imencode(".jpg", resized(picture, size), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
