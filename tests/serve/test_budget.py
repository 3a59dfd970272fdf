"""What is shared by all uploads: the budget of memory, and the estimators that are kept open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from openpose_ext.serve.budget import Budget, GivenUpError
from openpose_ext.serve.estimators import Estimators
from openpose_ext.serve.options import Networks, Options

LONG = 60.0


def networks(height: int) -> Networks:
    return Options(height=height).of_networks


class Opened:
    """In place of networks: notes which are open."""

    def __init__(self) -> None:
        self.now: list[int] = []

    @contextmanager
    def __call__(self, networks: Networks) -> Iterator[Any]:
        self.now.append(networks.height)
        yield networks.height
        self.now.remove(networks.height)


def test_what_does_not_fit_waits_until_it_does() -> None:
    budget = Budget(10)
    took = threading.Event()

    def second() -> None:
        with budget.reserved(6):
            took.set()

    with budget.reserved(6):
        waiting = threading.Thread(target=second)
        waiting.start()
        with budget.reserved(4):  # what fits beside it does not wait
            assert budget.used == 10
        assert not took.is_set()
    waiting.join(LONG)
    assert took.is_set()
    assert budget.used == 0


def test_what_never_fits_is_refused_and_what_nobody_wants_is_given_up() -> None:
    budget = Budget(10)
    with pytest.raises(ValueError, match="more than the whole budget"):
        budget.take(11)
    with budget.reserved(6), pytest.raises(GivenUpError):
        budget.take(6, lambda: True)
    assert budget.used == 0


def test_three_estimators_stay_open_and_the_one_not_used_the_longest_goes() -> None:
    opened, budget = Opened(), Budget(1000)
    with Estimators(opened, lambda _: 100, budget) as estimators:
        for height in (100, 200, 300, 100, 400):
            with estimators.lent(networks(height)) as estimator:
                assert estimator == height
        assert opened.now == [100, 300, 400]
        assert budget.used == 300
    assert opened.now == []
    assert budget.used == 0


def test_estimators_in_use_are_not_closed_and_another_waits() -> None:
    opened, budget = Opened(), Budget(1000)
    with Estimators(opened, lambda _: 100, budget) as estimators:
        with ExitStack() as used:
            for height in (100, 200, 300):
                used.enter_context(estimators.lent(networks(height)))
            with pytest.raises(GivenUpError), estimators.lent(networks(400), lambda: True):
                pass
            with estimators.lent(networks(200)):  # is there
                assert opened.now == [100, 200, 300]
        with estimators.lent(networks(400)):
            assert len(opened.now) == 3


def test_an_estimator_that_nobody_uses_makes_room_for_a_picture() -> None:
    opened, budget = Opened(), Budget(1000)
    with Estimators(opened, lambda _: 300, budget) as estimators:
        with estimators.lent(networks(100)):
            pass
        with estimators.lent(networks(200)), budget.reserved(700):
            assert opened.now == [200]


def test_an_estimator_that_cannot_be_opened_leaves_nothing_behind() -> None:
    @contextmanager
    def broken(networks: Networks) -> Iterator[Any]:
        raise RuntimeError("no network")
        yield

    budget = Budget(1000)
    with Estimators(broken, lambda _: 300, budget) as estimators:
        for _ in range(5):
            with pytest.raises(RuntimeError, match="no network"), estimators.lent(networks(100)):
                pass
        assert budget.used == 0
