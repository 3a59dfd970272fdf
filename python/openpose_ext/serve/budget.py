"""The memory that uploads may take together, counted before it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

__all__ = ["Budget", "GivenUpError"]

_LOOKS = 0.2  # seconds from one look whether anybody still waits for it to the next


class GivenUpError(Exception):
    """Nobody wants any more what waits for memory, or for anything else."""


class Budget:
    """Bytes of pictures, frames, drawings, encoders and networks, together at most `total`.

    What they take is estimated (see `cost`) and reserved before it is allocated; where it does not
    fit beside the others, it waits. Reserve once for one piece of work: who waits for more while he
    holds some may wait for himself.

    spare  called while something waits: frees what is kept for later only, and returns whether
           there was anything

    May be used from any thread.
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
        """Reserve bytes; waits until there are so many.

        unwanted  whether nobody waits for it any more

        Raises GivenUpError then, and ValueError for more than there are at all.
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
