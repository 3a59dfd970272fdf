"""The processors that this process may use: their number and their features.

Everything that counts threads or depends on the processor uses this module.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

from openpose_ext.io.opencv import use_one_thread

__all__ = ["cpu_flags", "limited", "own_cores", "use_a_core_for_each_frame"]

_ARENA_MAX = -8  # glibc's number for this option of `mallopt`


def own_cores() -> int:
    """The number of cores this process may use: its CPU affinity, limited by its container's quota
    (`docker run --cpus 1.5` counts as two); at least one."""
    quota = _quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _all_cores()
    return max(1, min(cores, math.ceil(quota)) if quota else cores)


def limited() -> bool:
    """Whether the process may use fewer cores than the machine has, which engines do not know."""
    return own_cores() < _all_cores()


def use_a_core_for_each_frame() -> None:
    """Prepare the whole process for several frames at once, each on one core.

    OpenCV then uses no threads of its own, and threads share one heap per core. Left alone, glibc
    gives up to eight per core, and each grows to the largest need of its threads: 14 MB of 265 with
    two cores.
    """
    use_one_thread()
    with suppress(AttributeError, OSError, TypeError):  # the system has another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, own_cores())


def _all_cores() -> int:
    return os.cpu_count() or 1


def _quota(mounted: Path, groups: Path) -> float | None:
    """The CPU quota in cores, the smallest of the process's control groups; None if unlimited.

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
    """The quota of one control group, in cores; nothing if it sets none."""
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
    """The features of an x86 processor by Linux's names, such as "avx2"; empty if unknown."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return frozenset()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()
