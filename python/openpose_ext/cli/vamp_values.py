"""Types of the values of vamp's flags. Ranges include both ends; vamp's own rule is unknown."""

from __future__ import annotations

import argparse
import json
import math
import re
from typing import Any

__all__ = ["count", "devices", "instances", "percentiles", "rate", "seconds", "shape"]


def _range(text: str) -> tuple[int, ...] | None:
    """The numbers of "2" or "0:3", including the 3; None for anything else."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return tuple(range(first, last + 1)) or None


def _numbers(text: str) -> list[Any] | None:
    """The numbers of "[0,2]" or "0,2"; None for anything else."""
    try:
        values = json.loads(text if text.startswith("[") else f"[{text}]")
    except ValueError:
        return None
    return values if isinstance(values, list) and values else None


def devices(text: str) -> tuple[int | str, ...]:
    dies = _range(text) or _numbers(text)
    if dies is None:
        return (text,)
    if not all(type(die) is int and die >= 0 for die in dies) or len({*dies}) < len(dies):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of dies such as 0, 0:3 or [0,2]")
    return tuple(dies)


def instances(text: str) -> tuple[int, ...]:
    numbers = _range(text)
    if numbers is None or 0 in numbers:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number such as 2 or a range such as 1:4"
        )
    return numbers


def shape(text: str) -> tuple[int, int, int]:
    shape = _numbers(text)
    if shape is not None and len(shape) == 1 and isinstance(shape[0], list):
        shape = shape[0]  # a list of the shapes of each input
    if (
        shape is None
        or len(shape) != 3
        or not all(type(side) is int and side > 0 for side in shape)
        or shape[0] != 3
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [3,H,W]: a picture's channels, height and width, without the batch"
        )
    return shape[0], shape[1], shape[2]


def percentiles(text: str) -> tuple[float, ...]:
    values = _numbers(text)
    if values is None or not all(
        type(value) in (int, float) and 0 <= value <= 100 for value in values
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of percentiles such as [50,90,95,99]"
        )
    return tuple(values)


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def rate(text: str) -> float:
    rate = seconds(text)
    if rate == 0:
        raise argparse.ArgumentTypeError("the number of requests per second must be above 0")
    return rate
