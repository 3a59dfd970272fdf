"""The processors that this process may use."""

from __future__ import annotations

import os

__all__ = ["own_cores"]


def own_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
