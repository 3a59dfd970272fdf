"""The port, and the server on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from openpose_ext.errors import UsageError

__all__ = ["address_of", "listening", "serving", "web_server"]

_LAST_ANSWERS = 2  # seconds that answers under way have when the server ends
_MOST_CONNECTIONS = 200


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes any free port. Raises UsageError if that fails."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
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


def web_server(app: ASGIApp, ending: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """A server for an app; `run(sockets=[listener])` it.

    ending  called when the server ends, before it waits for unfinished answers
    """
    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    return _Server(config, ending)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


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
