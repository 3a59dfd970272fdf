"""The page of `infer --display`, which shows frames when they have been drawn."""

from __future__ import annotations

import os
import secrets
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route

from openpose_ext.serve.app import page_routes, refuse
from openpose_ext.serve.guard import Guard
from openpose_ext.serve.latest import Latest
from openpose_ext.serve.lines import MEDIA_TYPE, Progress, Shown, told
from openpose_ext.serve.listen import address_of, listening, serving
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame

__all__ = ["live_app", "preview"]

_HOST = "127.0.0.1"
_PATIENCE = 5.0  # seconds that a short run waits at its end for a browser to connect


@contextmanager
def preview() -> Iterator[Callable[[Frame, Picture | None], None]]:
    """Serve the page while the `with` block runs; yields a function that shows a drawn frame.

    A slow browser skips frames and does not delay the run.
    """
    latest: Latest[Progress] = Latest()
    frames = 0

    def show(frame: Frame, drawn: Picture | None) -> None:
        nonlocal frames
        frames += 1
        if drawn is not None:
            latest.put(Progress("working", frames=frames, shown=Shown(drawn)))

    # Other users of this machine can reach its ports, but they do not know the key.
    key = secrets.token_urlsafe(16)
    listener = listening(_HOST, 0)
    with serving(live_app(latest, key), listener):
        address = f"{address_of(listener, _HOST)}{key}/"
        print(f"watch at {address}", file=sys.stderr, flush=True)
        opened = _has_screen() and webbrowser.open(address)
        try:
            yield show
            if opened:
                latest.looked_at.wait(_PATIENCE)
        finally:
            latest.end()


def live_app(latest: Latest[Progress], key: str) -> Starlette:
    """The app of the page, below the address /KEY/."""

    async def live(request: Request) -> Response:
        return StreamingResponse(told(latest, pictures=True), media_type=MEDIA_TYPE)

    return Starlette(
        routes=[Mount(f"/{key}", routes=[*page_routes("live.html"), Route("/live", live)])],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: refuse},
    )


def _has_screen() -> bool:
    """Whether a browser would open a window instead of running in the terminal."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
