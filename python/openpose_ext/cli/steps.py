"""Shows the progress of long work: as a bar on a terminal, elsewhere as a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from tqdm import tqdm

__all__ = ["Steps"]

_EVERY = 10.0  # seconds between two lines


class Steps:
    """Call it with the name of a step, how many parts of it are done, and the number of parts.

    A context manager, which removes the bar at its end.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._what = ""
        self._told = 0.0
        self._bar: tqdm[Any] | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        new, self._what = what != self._what, what
        if sys.stderr.isatty():
            if new or self._bar is None:
                self._close()
                self._bar = tqdm(total=total, desc=f"{self._work}: {what}", leave=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if new or done == total or now - self._told > _EVERY:
            self._told = now
            print(f"openpose-ext: {self._work}: {what}, {done} of {total}", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
