"""Passes the newest value from a producing thread to viewers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Event, Lock
from typing import Generic, TypeVar

__all__ = ["Latest"]

T = TypeVar("T")


class Latest(Generic[T]):
    """Keeps only the newest value: slow viewers miss some values and delay nobody.

    looked_at  set when the first viewer starts

    `put` and `end` may be called from any thread, and never wait.
    """

    def __init__(self) -> None:
        self.looked_at = Event()
        self._lock = Lock()
        self._value: T | None = None
        self._number = 0
        self._ended = False
        self._viewers: set[_Viewer] = set()

    def put(self, value: T) -> None:
        """Replace the value."""
        with self._lock:
            self._value = value
            self._number += 1
            self._wake()

    def end(self) -> None:
        """End the viewers' iteration after the newest value."""
        with self._lock:
            self._ended = True
            self._wake()

    async def values(self) -> AsyncGenerator[T]:
        """The newest value whenever there is a new one; the very last one always comes."""
        viewer = _Viewer()
        with self._lock:
            self._viewers.add(viewer)
        self.looked_at.set()
        seen = 0
        try:
            while True:
                viewer.news.clear()
                with self._lock:
                    value, number, ended = self._value, self._number, self._ended
                if value is not None and number > seen:
                    seen = number
                    yield value
                elif ended:
                    return
                else:
                    del value  # a picture: do not keep it while waiting for the next one
                    await viewer.news.wait()
        finally:
            with self._lock:
                self._viewers.discard(viewer)

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.wake()


class _Viewer:
    def __init__(self) -> None:
        self.news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the event loop is closed: the server is ending
            self._loop.call_soon_threadsafe(self.news.set)
