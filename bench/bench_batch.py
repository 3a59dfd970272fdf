"""What the batch command keeps of the single-process command, and where a cluster's limit lies.

    python bench/bench_batch.py [--frames 2000] [--rounds 3]

Each round runs, one after the other on the same machine: two `infer` processes, each pinned to a
core, on halves of the pictures, started together; `batch` with two workers of one core on all; the
two again, as the machine's speed drifts; and one `infer` on all. Each writes OpenPose JSON, and
batch its shards besides. The first frames are start-up, while Ray begins processes of its own on
the same cores; the time is that of those behind them, from JSON file to JSON file. CPU seconds of
Ray's own processes are told beside it. The table for more machines is computed from rates that are
measured here.

Needs ../shared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av

from openpose_ext.sources.pictures import read_picture

SHARED = Path(__file__).resolve().parents[2] / "shared"
PICTURES = sorted((SHARED / "data/media").glob("COCO*.jpg"))
VIDEO = SHARED / "data/videos/sports2d_walk.mp4"
NETWORK = ("--height", "128", "--precision", "f32")
NETWORK_BITS = 1e9  # a second between a machine and the store: assumed, not measured
START_UP = 1072  # frames: with 2,000 behind them, twelve shards of the usual size
STORE_BITS = 100e9  # a second of the store to all machines together: assumed


def folder_of(place: Path, name: str, frames: int, mark: int = 0) -> Path:
    """A folder of so many pictures, by links; the mark tells folders' pictures apart."""
    folder = place / name
    folder.mkdir()
    for number in range(frames):
        (folder / f"{mark}{number:06d}.jpg").symlink_to(PICTURES[number % len(PICTURES)])
    return folder


def infer(folder: Path, json: Path, core: int | None) -> subprocess.Popen[bytes]:
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    words = [str(folder), "--write_json", str(json), *NETWORK]
    command = [*pinned, sys.executable, "-m", "openpose_ext.infer", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def rate_of(json: Path, *started: subprocess.Popen[bytes]) -> float:
    """Frames a second behind those of the start-up; the files are removed."""
    for process in started:
        if process.wait():
            raise SystemExit("infer failed")
    times = sorted(file.stat().st_mtime for file in json.iterdir())[START_UP:]
    shutil.rmtree(json)
    return (len(times) - 1) / (times[-1] - times[0])


class RaySeconds(threading.Thread):
    """Watches the CPU seconds of Ray's processes below this one, but for the workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.of: dict[int, float] = {}

    def run(self) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        while not self.ended.wait(2):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    name = (entry / "cmdline").read_bytes()
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if b"ray" in name and b"_Actor" not in name and b"bench_batch" not in name:
                    self.of[int(entry.name)] = (int(fields[11]) + int(fields[12])) / ticks


def batch(folder: Path, json: Path) -> tuple[float, float]:
    """Frames a second without start-up, and the CPU seconds of Ray's processes."""
    output = folder.with_suffix(".batch")
    shutil.rmtree(output, ignore_errors=True)
    words = [str(folder), "-o", str(output), "--write_json", str(json), "--workers", "2"]
    watch = RaySeconds()
    watch.start()
    command = [sys.executable, "-m", "openpose_ext.batch", *words, *NETWORK]
    subprocess.run(command, capture_output=True, check=True)
    watch.ended.set()
    watch.join()
    return rate_of(json), sum(watch.of.values())


def rates(frames_a_second: float) -> None:
    """The table for 1, 10 and 1000 machines of as many cores as this one."""
    files = PICTURES * 5
    begun = time.perf_counter()
    for file in files:
        read_picture(file)
    decode = len(files) / (time.perf_counter() - begun)
    size = statistics.mean(file.stat().st_size for file in PICTURES)
    begun = time.perf_counter()
    with av.open(str(VIDEO)) as container:
        number = sum(1 for _ in container.decode(video=0))
    video = number / (time.perf_counter() - begun)
    with tempfile.NamedTemporaryFile() as written:
        begun = time.perf_counter()
        written.write(bytes(64 << 20))
        written.flush()
        os.fsync(written.fileno())
        write = 64 / (time.perf_counter() - begun)
    row = 18 * 3 * 12  # bytes of a frame's people in Parquet, about
    print(f"\nmeasured: JPEG {decode:.0f} pictures a core-second, {size / 1e3:.0f} kB each; ")
    print(f"video {video:.0f} frames a core-second; write {write:.0f} MB a second")
    print("| machines | frames a second | network in, MB/s | out, MB/s | what limits it |")
    print("|---|---|---|---|---|")
    for machines in (1, 10, 1000):
        bounds = {
            "the network's arithmetic (cores)": machines * frames_a_second,
            "a machine's link": machines * NETWORK_BITS / 8 / size,
            "the store's link": STORE_BITS / 8 / size,
            "writing": machines * write * 1e6 / row,
        }
        limit = min(bounds, key=lambda name: bounds[name])
        total = bounds[limit]
        data = f"{total * size / 1e6:.0f} | {total * row / 1e6:.1f}"
        print(f"| {machines} | {total:.0f} | {data} | {limit} |")


def pair(halves: list[Path], json: Path) -> float:
    """Frames a second of two `infer`, a core each."""
    return rate_of(json, *[infer(folder, json, core) for core, folder in enumerate(halves)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pairs, singles, batches, rays = [], [], [], []
    with tempfile.TemporaryDirectory() as place:
        json = Path(place, "json")
        frames = START_UP + args.frames
        halves = [folder_of(Path(place), f"half{k}", frames // 2, k) for k in range(2)]
        whole = folder_of(Path(place), "whole", frames)
        for _ in range(args.rounds):
            before = pair(halves, json)
            rate, ray = batch(whole, json)
            pairs.append((before + pair(halves, json)) / 2)
            batches.append(rate)
            rays.append(ray)
            singles.append(rate_of(json, infer(whole, json, None)))
            print(
                f"two pinned infer {pairs[-1]:.1f}, batch {rate:.1f}, infer {singles[-1]:.1f} "
                f"frames a second; Ray's own processes {ray:.1f} CPU seconds",
                flush=True,
            )
    to_pair = statistics.median(b / p for b, p in zip(batches, pairs, strict=True))
    to_single = statistics.median(b / s for b, s in zip(batches, singles, strict=True))
    print(f"batch to two pinned infer: {to_pair:.2f}; to infer on the same cores: {to_single:.2f}")
    rates(statistics.median(batches))


if __name__ == "__main__":
    main()
