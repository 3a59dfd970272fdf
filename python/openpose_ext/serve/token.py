"""The token that visitors need if other machines can reach the server.

A program sends it with each request, `Authorization: Bearer TOKEN`; a browser opens the address
with `?token=TOKEN`, which sets a cookie and leads to the same address without the token. Cookies
are shared by all ports of a machine, so the cookie's name has the port in it.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Token"]

_OPEN = ("/api/health",)


class Token:
    """Passes a request on to an app only if it has the token.

    token  None passes all requests
    port   the server's port
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int) -> None:
        self._app = app
        self._token = token
        self._cookie = f"openpose_ext_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._token is None or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        answer: ASGIApp
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        told = dict(query).get("token")
        if told is not None and scope["method"] == "GET" and self._is_it(told):
            answer = self._welcome(scope["path"], [pair for pair in query if pair[0] != "token"])
        elif any(map(self._is_it, self._shown(Headers(scope=scope)))):
            answer = self._app
        else:
            answer = JSONResponse(
                {"error": "This server wants its token: open the address that it printed."},
                HTTPStatus.UNAUTHORIZED,
                {"WWW-Authenticate": "Bearer"},
            )
        await answer(scope, receive, send)

    def _is_it(self, told: str) -> bool:
        assert self._token is not None
        return secrets.compare_digest(told.encode(), self._token.encode())

    def _shown(self, headers: Headers) -> list[str]:
        """The tokens in a request's headers."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [bearer.strip()] if scheme.lower() == "bearer" else []
        kept = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        return shown if kept is None else [*shown, kept]

    def _welcome(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Set the cookie and redirect to the address without the token."""
        assert self._token is not None
        # A path with two slashes at its start would redirect to another server.
        place = "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
        answer = RedirectResponse(place, HTTPStatus.SEE_OTHER)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
        return answer
