"""Many Python threads decode at once while the core watches for data races.

    python tests/python_threads.py BUILD [SECONDS]

BUILD has a `_core` built with ThreadSanitizer, whose runtime must be preloaded; see `make
test-python-threads`, which does both. Every result is compared with what one thread finds. A race
ends the program with exit code 66.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "stages"))


def load_core(build: Path) -> None:
    """Make `openpose_ext._core` the module in that folder."""
    (path,) = build.glob("_core*.so")
    spec = importlib.util.spec_from_file_location("openpose_ext._core", path)
    assert spec is not None
    assert spec.loader is not None
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    sys.modules["openpose_ext._core"] = core


def main() -> None:
    """Run the threads and say how often they decoded."""
    load_core(Path(sys.argv[1]))
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    from test_decode import crowd

    import openpose_ext as op

    heat, paf = crowd()
    maps = [(heat, paf), (heat[:, :, ::-1], paf[:, :, ::-1]), (heat[:, 8:], paf[:, 8:])]
    maps += [(one.astype(np.float16), other.astype(np.float16)) for one, other in maps]
    hand = np.tile(heat, (2, 1, 1))[:21]
    hungarian = op.DecodeOptions(assignment="hungarian", max_people=2)
    expected = [op.decode_body(*one) for one in maps]
    best = [op.decode_body(*one, options=hungarian) for one in maps]
    points = op.decode_hand(hand)
    until = time.monotonic() + seconds
    rounds: list[int] = []

    def decode(threads: int) -> None:
        count = 0
        while time.monotonic() < until:
            for one, poses, two in zip(maps, expected, best, strict=True):
                assert op.decode_body(*one).allclose(poses, pixels=0, score=0)
                assert op.decode_body(*one, options=hungarian).allclose(two, pixels=0, score=0)
            together = op.decode_bodies(maps, threads=threads)
            assert all(
                one.allclose(other, pixels=0, score=0)
                for one, other in zip(together, expected, strict=True)
            )
            assert np.array_equal(op.decode_hand(hand), points)
            count += 1
        rounds.append(count)

    workers = [threading.Thread(target=decode, args=(1 + i % 3,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(rounds) == len(workers), "a thread has failed"
    print(f"{sum(rounds)} rounds of {len(maps)} pictures on {len(workers)} threads, no race")


if __name__ == "__main__":
    main()
