"""Time of the decoder, maps in to people out, beside a yardstick in the same run.

    python bench/bench_decode.py [--assignment hungarian] [--reference]

The yardstick is 57 calls of `cv2.resize(channel, None, fx=4, fy=4, INTER_CUBIC)`, what decoders
that enlarge their maps pay before they begin. Hot is call after call; cold is one call after the 57
resizes, which have pushed the maps and the code out of the processor's nearer caches. One thread;
every decoded result is checked against the people the maps were drawn from. Needs ../shared.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt

import openpose_ext as op

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
CROWDS = ("crowd5", "crowd20", "crowd100", "crowd20_hd")
HOSTILE = ("noise", "constant", "ones", "nan")

Maps = npt.NDArray[np.float32]


def load_module(path: Path) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def resize_all(heat: Maps, paf: Maps) -> None:
    """The yardstick: every channel enlarged four times."""
    for channel in (*heat, *paf):
        cv2.resize(channel, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def seconds(call: Callable[[], object], least: float = 0.5, most: int = 300) -> list[float]:
    """Times of repeated calls, for at least `least` seconds or `most` calls."""
    call()
    times: list[float] = []
    while len(times) < 5 or (sum(times) < least and len(times) < most):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def make_maps(maps: ModuleType, name: str) -> tuple[Maps, Maps, Maps]:
    """A workload by name: heat, paf and the people that were drawn."""
    if name != "constant":
        return maps.workload(name)  # type: ignore[no-any-return]
    # The worst that is known: peaks everywhere, and a field that joins every other pair.
    heat, paf, truth = maps.workload("noise")
    paf[0::2] = 1
    paf[1::2] = 0
    return heat, paf, truth


def seconds_after(before: Callable[[], object], call: Callable[[], object]) -> list[float]:
    """Times of a call after another one, as a network's maps come: not in the processor's cache."""
    times: list[float] = []
    for _ in range(20):
        before()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def bench_workloads(maps: ModuleType, options: op.DecodeOptions, oracle: ModuleType | None) -> None:
    """One row a workload."""
    reference = " reference rules (oracle) |" if oracle else ""
    print(
        "| workload | best | median | hot, of 57 resizes | cold | recall | precision | error |"
        + reference
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |" + (" --- |" if oracle else ""))
    for name in (*CROWDS, *HOSTILE):
        heat, paf, truth = make_maps(maps, name)
        resize = partial(resize_all, heat, paf)
        decode = partial(op.decode_body, heat, paf, options=options)
        resizes, times, cold = seconds(resize), seconds(decode), seconds_after(resize, decode)
        poses = op.decode_body(heat, paf, options=options)
        assert np.isfinite(poses.keypoints).all()
        assert np.isfinite(poses.scores).all()
        ratio = statistics.median(times) / statistics.median(resizes)
        ratio_cold = statistics.median(cold) / statistics.median(resizes)
        checked: tuple[str, ...] = ("-", "-", "-")
        if len(truth):
            found = maps.evaluate(poses.keypoints, truth)
            checked = tuple(f"{found[key]:.3f}" for key in ("recall", "precision", "error"))
        row = [name, micro(min(times)), micro(statistics.median(times))]
        row += [f"{ratio:.4f}", f"{ratio_cold:.4f}", *checked]
        if oracle:
            row.append(
                f"{time_oracle(oracle, heat, paf) / statistics.median(resizes):.0f}"
                if len(truth)
                else "-"
            )
        print("| " + " | ".join(row) + " |", flush=True)


def time_oracle(oracle: ModuleType, heat: Maps, paf: Maps) -> float:
    """Seconds of the reference rules in NumPy and SciPy, the enlarging included."""
    size = (heat.shape[2] * 8, heat.shape[1] * 8)
    start = time.perf_counter()
    oracle.decode(oracle.full_size(heat, size, size), oracle.full_size(paf, size, size))
    return time.perf_counter() - start


def bench_threads(maps: ModuleType, pictures: int = 64, threads: int = 2) -> None:
    """What `decode_bodies` gains from threads, beside what the yardstick gains."""
    many = [maps.workload("crowd20", seed=seed)[:2] for seed in range(pictures)]

    def resize_in(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda one: resize_all(*one), many))

    decode = [min(seconds(partial(op.decode_bodies, many, threads=n))) for n in (1, threads)]
    resize = [min(seconds(partial(resize_in, n), 2.0)) for n in (1, threads)]
    together = op.decode_bodies(many, threads=threads)
    same = all(
        np.array_equal(op.decode_body(*one).keypoints, poses.keypoints)
        for one, poses in zip(many, together, strict=True)
    )
    print(
        f"{pictures} crowd20 on {threads} threads: decode_bodies gains "
        f"{decode[0] / decode[1]:.2f}, the resizes {resize[0] / resize[1]:.2f}; "
        f"people {'equal' if same else 'DIFFER'}"
    )


def micro(value: float) -> str:
    """Seconds as microseconds."""
    return f"{value * 1e6:.0f} us"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="time of the decoder beside a yardstick")
    parser.add_argument("--assignment", choices=("greedy", "hungarian"), default="greedy")
    parser.add_argument("--reference", action="store_true", help="time the NumPy oracle too")
    arguments = parser.parse_args()
    path = SHARED / "tools" / "maps_workload.py"
    if not path.exists():
        print(f"skipped: {path} is not there; it makes the maps")
        return
    cv2.setNumThreads(1)
    maps = load_module(path)
    oracle = load_module(ROOT / "tests" / "oracle.py") if arguments.reference else None
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, assignment {arguments.assignment}\n"
    )
    bench_workloads(maps, op.DecodeOptions(assignment=arguments.assignment), oracle)
    print()
    bench_threads(maps)


if __name__ == "__main__":
    main()
