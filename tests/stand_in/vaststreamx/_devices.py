"""Dies, which belong to threads; what goes wrong on them; and what was called."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ._strictness import refused

DIES = 2  # of the one card


@dataclass
class Faults:
    """What goes wrong from now on. Batches are counted over all streams, the first is 1.

    set_device   what it returns
    load         text of the error on loading a network
    raise_at     the batch whose computation raises
    stuck_at     the batch whose answer never comes, until the input is closed
    reader       an exception for the next reader of results
    lose_at      the batch that has one result too few
    """

    set_device: int = 0
    load: str = ""
    raise_at: int = 0
    stuck_at: int = 0
    reader: BaseException | None = None
    lose_at: int = 0


faults = Faults()
log: list[str] = []  # what was called, in order: to be read, and cleared

_thread = threading.local()
_last: int | None = None


def set_device(device_id: int) -> int:
    global _last
    is_int(device_id, "device_id")
    if faults.set_device:
        return faults.set_device
    if not 0 <= device_id < DIES:
        return 1
    _thread.die = _last = int(device_id)
    return 0


def die_of_thread(what: str) -> int:
    die = getattr(_thread, "die", None)
    if die is None and not refused("own device"):
        die = _last
    if die is None:
        raise RuntimeError(f"{what}: set_device was not called in this thread")
    return int(die)


def is_int(value: object, name: str) -> None:
    plain = refused("plain numbers")
    if type(value) is not int and (plain or not hasattr(value, "__index__")):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")


@dataclass(frozen=True)
class Die:
    device_id: int

    @property
    def temperature(self) -> dict[str, list[int]]:
        return {"temperature": [4200]}  # hundredths of a degree

    @property
    def power(self) -> dict[str, list[int]]:
        return {"power": [0, 0, 0, 20_000_000]}  # microwatts

    @property
    def memory(self) -> dict[str, float]:
        return {"total": 8 << 30, "free": 7 << 30, "used": 1 << 30, "usage_rate": 12.5}

    @property
    def utilization(self) -> dict[str, int]:
        return {"ai": 0, "vdsp": 0, "vdmcu": 0, "vemcu": 0}


@dataclass(frozen=True)
class Card:
    uuid: str = "stand-in"
    card_type: str = "VA1-16G"
    dies: list[Die] = field(default_factory=lambda: [Die(die) for die in range(DIES)])


def get_all_cards() -> list[Card]:
    return [Card()]


def get_all_cards_count() -> int:
    return 1
