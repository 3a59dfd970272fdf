"""The processors that this process may use: how many, and of what kind.

Everything that counts threads, or chooses by the processor, asks here.
"""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["cpu_flags", "limited", "own_cores"]


def own_cores() -> int:
    """The cores this process may use: those it may run on (affinity), as far as its container's
    share of time lasts (`docker run --cpus 1.5` is two), at least one."""
    quota = _quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _all_cores()
    return max(1, min(cores, math.ceil(quota)) if quota else cores)


def limited() -> bool:
    """Whether that is fewer than the machine has; engines that count for themselves do not know."""
    return own_cores() < _all_cores()


def _all_cores() -> int:
    return os.cpu_count() or 1


def _quota(mounted: Path, groups: Path) -> float | None:
    """The cores' worth of time that a process may use, the smallest of its control groups'; None
    for all.

    mounted  where the control groups are
    groups   the process's own: a line "0::/path" (version 2), or "4:cpu,cpuacct:/path" (1)
    """
    quotas: list[float] = []
    with suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            names = controllers.split(",")
            if number != "0" and "cpu" not in names:
                continue
            root = mounted if number == "0" else mounted / controllers
            inner = Path(path.lstrip("/"))
            for group in (root / inner, *(root / parent for parent in inner.parents)):
                quotas += _quota_of(group)
    return min(quotas, default=None)


def _quota_of(group: Path) -> list[float]:
    """What one control group allows, in cores; nothing where it does not say."""
    with suppress(OSError, ValueError):
        allowed, period = (group / "cpu.max").read_text().split()
        return [int(allowed) / int(period)] if allowed != "max" else []
    with suppress(OSError, ValueError):
        allowed, period = (
            (group / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period")
        )
        return [int(allowed) / int(period)] if int(allowed) > 0 else []
    return []


@cache
def cpu_flags() -> frozenset[str]:
    """What an x86 processor can, in Linux's words such as "avx2"; empty where nothing tells."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return frozenset()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()
