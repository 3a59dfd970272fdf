"""Listens on a port and runs the server there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from openpose_ext.errors import UsageError
from openpose_ext.serve.connections import Connection

__all__ = ["address_of", "listening", "serving", "web_server"]

_LAST_ANSWERS = 2  # seconds that unfinished answers have when the server ends
_LOOKS = 0.05  # while the server ends, it checks so often, in seconds, whether the work is done


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes any free port. Raises UsageError if that fails."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(place[:2], family=family)
        # Without this, the second packet of an answer waits 40 ms for the first one's receipt.
        # asyncio does not set it, because it cannot tell that such a listener is TCP.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on port {port} of {host}: {error}; choose another with --port, 0 for "
            "any free one"
        ) from error


def address_of(listener: socket.socket, host: str) -> str:
    """The address for a browser on this machine."""
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"


class Ending(Protocol):
    """Work that is ended before the server."""

    def end(self) -> None:
        """Begin no new work."""

    def count(self) -> Mapping[str, int]:
        """How many pieces of work are "working" still."""

    def give_all_up(self) -> None:
        """Cancel all work that is not done."""


def web_server(app: ASGIApp, ending: Ending | None = None, grace: float = 0.0) -> uvicorn.Server:
    """A server for an app; start it with `run(sockets=[listener])`.

    ending  work that is ended before the server waits for unfinished answers
    grace   seconds that this work has to finish
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    return _Server(config, ending, grace)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ending: Ending | None, grace: float) -> None:
        super().__init__(config)
        self._ending = ending
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._ending is not None:
            await self._end(self._ending)
        await super().shutdown(sockets)

    async def _end(self, ending: Ending) -> None:
        ending.end()
        until = time.monotonic() + self._grace
        while ending.count()["working"] and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(_LOOKS)
        ending.give_all_up()


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve in the background while the `with` block runs."""
    server = web_server(app)
    thread = Thread(target=server.run, args=([listener],), name="openpose_ext-serve", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
