"""Decides which requests are allowed, and what a browser may do with the answers.

Every page open in a visitor's browser can send requests to the server, which needs no login on the
visitor's own machine (otherwise see `token`). So, for each request:


- Its `Host` must be a numeric address or one of our names, not a foreign name that was made to
  point here (DNS rebinding).
- It is refused if the browser reports another origin (`Origin`, `Sec-Fetch-Site`); only the page
  itself may be linked from anywhere.
- The answer may not be framed, sniffed or read by other sites, and loads nothing from elsewhere.
- The page may ask for the camera, and for nothing else. That needs no exception in the content
  policy: the page's video element gets the camera's stream as an object instead of an address, and
  frames go to this server by POST.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """Applies these rules in front of an app.

    names  further names of this server, besides localhost and the machine's own
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        own = socket.gethostname()
        self._names = {name.lower() for name in ("localhost", own, f"{own}.local", *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        reason = self._refusal(Headers(scope=scope))
        if reason is None:
            await self._app(scope, receive, send_guarded)
        else:
            refusal = JSONResponse({"error": reason}, HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str | None:
        """The reason why a request is refused, or None."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return f"This server is not called {host!r}; use the address that it printed."
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        linked = headers.get("sec-fetch-mode") == "navigate"
        if (origin is not None and urlsplit(origin).netloc != host) or (
            site not in ("same-origin", "none") and not linked
        ):
            return "Pages from elsewhere may not use this server."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
