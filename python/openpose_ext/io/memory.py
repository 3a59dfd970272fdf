"""The memory that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["own_memory"]

_GROUPS = (  # of control groups, version 2 and 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@cache
def own_memory() -> int | None:
    """The machine's memory in bytes, or the container's limit if it is lower; None if unknown."""
    limits = []
    with suppress(AttributeError, OSError, ValueError):  # Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in _GROUPS:
        with suppress(OSError, ValueError):  # "max"
            limits.append(int(file.read_text()))
    return min(limits, default=None)
