"""The memory that all uploads may use together, reserved before it is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

__all__ = ["Budget", "GivenUpError"]

_LOOKS = 0.2  # who waits checks so often, in seconds, whether the memory is still wanted


class GivenUpError(Exception):
    """Something was waiting, for memory for example, and nobody wants it any more."""


class Budget:
    """Bytes of pictures, frames, drawings, encoders and networks, together at most `total`.

    The memory is estimated (see `cost`) and reserved before it is allocated; a reservation that
    does not fit waits. Reserve only once for each piece of work: waiting for more memory while
    holding some could wait for ever.

    spare  called while a reservation waits: frees memory that is only a cache, and returns whether
           there was any

    Thread-safe.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.spare: Callable[[], bool] = lambda: False
        self._used = 0
        self._changed = Condition()

    @property
    def used(self) -> int:
        """Bytes that are reserved."""
        return self._used

    def take(self, size: int, unwanted: Callable[[], bool] = lambda: False) -> None:
        """Reserve bytes; wait until they are free.

        unwanted  tells whether nobody waits for them any more

        Raises GivenUpError if they become unwanted, ValueError for more than the whole budget.
        """
        if size > self.total:
            raise ValueError(f"{size} bytes are more than the whole budget, {self.total}")
        while not self._taken(size):
            if unwanted():
                raise GivenUpError
            if not self.spare():
                with self._changed:
                    self._changed.wait(_LOOKS)

    def give(self, size: int) -> None:
        """Give reserved bytes back."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    @contextmanager
    def reserved(self, size: int, unwanted: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Reserve bytes for a `with` block; see `take`."""
        self.take(size, unwanted)
        try:
            yield
        finally:
            self.give(size)

    def _taken(self, size: int) -> bool:
        with self._changed:
            fits = self._used + size <= self.total
            if fits:
                self._used += size
            return fits
