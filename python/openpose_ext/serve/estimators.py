"""Opens the estimators that visitors' options need, and keeps a few of them open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Condition
from typing import Self

from openpose_ext.serve.budget import Budget, GivenUpError
from openpose_ext.serve.options import Networks
from openpose_ext.stages.estimator import PoseEstimator

__all__ = ["Estimators"]

_MOST = 3
_LOOKS = 0.2  # who waits checks so often, in seconds, whether it is still wanted


class _Open:
    """An estimator, and how many use it now."""

    def __init__(self, opened: ExitStack, estimator: PoseEstimator) -> None:
        self.opened = opened
        self.estimator = estimator
        self.users = 0


class Estimators:
    """Lends estimators; at most three stay open, those that were used last.

    opening  opens the estimator for some networks
    cost     bytes that it needs; they are reserved in the budget while it is open

    A context manager that closes all of them. Thread-safe.
    """

    def __init__(
        self,
        opening: Callable[[Networks], AbstractContextManager[PoseEstimator]],
        cost: Callable[[Networks], int],
        budget: Budget,
    ) -> None:
        self._opening = opening
        self.cost = cost
        self._budget = budget
        budget.spare = self._close_idle
        self._changed = Condition()  # guards the following
        self._open: dict[Networks, _Open | None] = {}  # most recently used last; None: being opened

    @contextmanager
    def lent(
        self, networks: Networks, unwanted: Callable[[], bool] = lambda: False
    ) -> Iterator[PoseEstimator]:
        """The estimator for some networks, for a `with` block; waits while all are in use.

        unwanted  tells whether nobody waits for it any more

        Raises GivenUpError if it becomes unwanted, and the errors of opening it.
        """
        one = self._borrowed(networks, unwanted)
        try:
            yield one.estimator
        finally:
            with self._changed:
                one.users -= 1
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._close_idle():
            pass

    def _borrowed(self, networks: Networks, unwanted: Callable[[], bool]) -> _Open:
        while True:
            with self._changed:
                if (found := self._open.get(networks)) is not None:
                    self._open[networks] = self._open.pop(networks)  # now the most recently used
                    found.users += 1
                    return found
                if networks not in self._open and len(self._open) < _MOST:
                    self._open[networks] = None
                    break
            if unwanted():
                raise GivenUpError
            if not self._close_idle():
                with self._changed:
                    self._changed.wait(_LOOKS)
        return self._opened(networks, unwanted)

    def _opened(self, networks: Networks, unwanted: Callable[[], bool]) -> _Open:
        """Open an estimator whose entry is None already."""
        try:
            with ExitStack() as opened:
                opened.enter_context(self._budget.reserved(self.cost(networks), unwanted))
                estimator = opened.enter_context(self._opening(networks))
                one = _Open(opened.pop_all(), estimator)
        except BaseException:
            with self._changed:
                del self._open[networks]
                self._changed.notify_all()
            raise
        with self._changed:
            one.users = 1
            self._open[networks] = one
            self._changed.notify_all()
        return one

    def _close_idle(self) -> bool:
        """Close the least recently used estimator that is not in use, if any."""
        with self._changed:
            idle = (n for n, one in self._open.items() if one is not None and not one.users)
            networks = next(idle, None)
            one = None if networks is None else self._open.pop(networks)
        if one is None:
            return False
        one.opened.close()
        with self._changed:
            self._changed.notify_all()
        return True
