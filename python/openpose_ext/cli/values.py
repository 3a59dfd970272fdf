"""Values of flags that are read alike."""

from __future__ import annotations

import argparse

__all__ = ["FALSE", "TRUE", "positive"]

# OpenPose's users write booleans in all these ways.
TRUE = ("true", "1", "t", "yes", "y")
FALSE = ("false", "0", "f", "no", "n")


def positive(text: str) -> int:
    """A whole number above 0, as the type of a flag."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
