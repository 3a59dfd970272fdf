"""Types of flag values that several commands share."""

from __future__ import annotations

import argparse
import math

__all__ = ["FALSE", "TRUE", "above_zero", "at_least_zero", "positive", "truth"]

# The ways in which OpenPose's users write booleans.
TRUE = ("true", "1", "t", "yes", "y")
FALSE = ("false", "0", "f", "no", "n")


def positive(text: str) -> int:
    """Flag type: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def above_zero(text: str) -> float:
    """A number above 0, as the type of a flag."""
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def at_least_zero(text: str) -> float:
    """A number that is 0 or above, as the type of a flag."""
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return number


def truth(text: str) -> bool:
    """True or false, as OpenPose's users write it, as the type of a flag."""
    if text.lower() not in (*TRUE, *FALSE):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in TRUE


def _number(text: str) -> float:
    """A finite number; NaN for any other text."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
