"""Types of flag values that several commands share."""

from __future__ import annotations

import argparse

__all__ = ["FALSE", "TRUE", "positive"]

# The ways in which OpenPose's users write booleans.
TRUE = ("true", "1", "t", "yes", "y")
FALSE = ("false", "0", "f", "no", "n")


def positive(text: str) -> int:
    """Flag type: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
