"""Print how much of a card's time `submit` leaves unused, with the stand-in for its runtime.

    python bench/bench_vsx.py

The stand-in sleeps 25 ms a batch instead of computing, so a stream allows 40 batches a second and
nothing else takes time worth speaking of. Ready arrays of 184 x 184 are submitted as fast as they
are taken, which keeps every queue full. What is missing of 100 % is what the backend makes the card
wait. A second column gives what as many threads reach that do nothing but sleep, in turns with it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from bench_accuracy import machine

from openpose_ext.backends.engines import open_backend
from openpose_ext.models.manifest import read_manifest

TESTS = Path(__file__).resolve().parents[1] / "tests"
SLEEP = 0.025
BATCHES = 400  # of each measurement
ROUNDS = 3


def submitted(prefix: Path, instances: int, device: str, batch: int) -> float:
    """Batches a second."""
    pictures = np.zeros((batch, 184, 184, 3), np.uint8)
    with open_backend(
        prefix,
        "vsx",
        input_format=read_manifest(prefix).input,
        device=device,
        engine_options={"instances": instances, "batch": batch},
    ) as backend:
        backend.submit(pictures, len).result()
        start = time.perf_counter()
        futures = [backend.submit(pictures, len) for _ in range(BATCHES)]
        for future in futures:
            future.result()
        return BATCHES / (time.perf_counter() - start)


def slept(threads: int) -> float:
    """Sleeps a second."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(time.sleep, [SLEEP] * BATCHES))
        return BATCHES / (time.perf_counter() - start)


def main() -> None:
    sys.path[:0] = [str(TESTS), str(TESTS / "stand_in")]
    import compiled_networks

    print(machine())
    print(
        "\n| instances a die | dies | pictures a batch | of what the sleep allows | sleeping only |"
    )
    print("| ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        prefix = compiled_networks.write(Path(folder) / "mod", seconds=SLEEP)
        for instances, device, batch in [(1, "0", 1), (2, "0", 1), (2, "0,1", 1), (2, "0", 4)]:
            dies = len(device.split(","))
            allowed = instances * dies / SLEEP
            rounds = [
                (submitted(prefix, instances, device, batch), slept(instances * dies))
                for _ in range(ROUNDS)
            ]
            ours, theirs = (
                sorted(column)[ROUNDS // 2] / allowed for column in zip(*rounds, strict=True)
            )
            print(f"| {instances} | {dies} | {batch} | {ours:.1%} | {theirs:.1%} |", flush=True)


if __name__ == "__main__":
    main()
