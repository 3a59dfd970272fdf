"""Limits connections, so that slow and greedy clients do not keep others out.

A request's head, and the next request on the same connection, must come within `_HEAD` seconds. A
client must take at least `_BUFFER` bytes of an answer in `_STUCK` seconds. (`upload` limits how
slow an upload may be.) An address may have `_EACH` connections, all addresses together
`MOST_CONNECTIONS`; one more replaces the connection that has been silent the longest.

The base class is uvicorn's own protocol on httptools.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MOST_CONNECTIONS", "Connection"]

MOST_CONNECTIONS = 200
_EACH = 64  # connections per address; a browser opens six, and several may share an address
_HEAD = 10.0
_STUCK = 30.0
_LOOKS = 1.0  # each connection is checked every so many seconds


class Connection(HttpToolsProtocol):
    """A connection with these limits."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._pieces: list[bytes] = []
        self._silent_since = self._stuck_since = self.loop.time()
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no request is open on it."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        others = [cast("Connection", one) for one in self.connections]
        super().connection_made(transport)
        mine = [one for one in others if one._address == self._address]
        crowd = mine if len(mine) >= _EACH else others if len(others) >= MOST_CONNECTIONS else []
        if crowd:
            silent = [one for one in crowd if one.is_silent]
            min(silent, key=lambda one: one._silent_since, default=self).drop()
        self._look = self.loop.call_later(_LOOKS, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Break the connection off."""
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._hand_on()

    def on_body(self, body: bytes) -> None:
        # Without this, chunks of one byte each would be joined one by one to a growing text.
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._hand_on()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._silent_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _hand_on(self) -> None:
        if self._pieces:
            body = b"".join(self._pieces)
            self._pieces.clear()
            super().on_body(body)

    def _check(self) -> None:
        now = self.loop.time()
        if self.flow.write_paused:
            late = now - self._stuck_since > _STUCK
        else:
            late = self.is_silent and now - self._silent_since > _HEAD
        if late:
            self.drop()
        else:
            self._look = self.loop.call_later(_LOOKS, self._check)
