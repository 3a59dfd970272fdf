"""`openpose_ext.perf` beside OpenVINO's own `benchmark_app`, on the same file in one run.

    python bench/bench_perf.py [--file FILE] [--rounds 3] [--seconds 4]

They take turns; the figures are medians of the rounds. Latency: one request after the other, one
stream. Throughput: two streams with their requests, one thread each. Both get pictures as bytes and
compute in float32.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
NETWORK = SHARED / "weights/human-pose-estimation-0001-fp32.onnx"
SIDE = 184


def ours(file: Path, seconds: float, streams: int) -> tuple[float, float]:
    """(median latency in ms, requests a second)"""
    mode = ["--forward_mode", "1"] if streams == 1 else []
    words = [
        *(sys.executable, "-m", "openpose_ext.perf", "-m", file, "--backend", "openvino", "--json"),
        *("-s", f"[3,{SIDE},{SIDE}]", "-t", seconds, "-i", streams, "--threads", streams),
        *("--precision", "f32", "--percentiles", "[50]", *mode),
    ]
    told = json.loads(run(words).splitlines()[-1])
    return told["model_latency_us"]["p50"] / 1e3, told["throughput_qps"]


def theirs(file: Path, seconds: float, streams: int) -> tuple[float, float]:
    api = "sync" if streams == 1 else "async"
    words = [
        *(sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()"),
        *("-m", file, "-d", "CPU", "-api", api),
        *("-hint", "none", "-nstreams", streams, "-nthreads", streams, "-infer_precision", "f32"),
        *("-t", max(1, round(seconds)), "-shape", f"[1,3,{SIDE},{SIDE}]", "-ip", "u8"),
        *(() if streams == 1 else ("-nireq", 2 * streams)),
    ]
    text = run(words)
    median = re.search(r"Median:\s+([\d.]+) ms", text)
    rate = re.search(r"Throughput:\s+([\d.]+) FPS", text)
    assert median is not None, text
    assert rate is not None, text
    return float(median[1]), float(rate[1])


def run(words: list[object]) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, default=NETWORK)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    print("| | perf | benchmark_app | ratio | spread of the rounds |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, streams, which in (("latency, ms", 1, 0), ("requests a second", 2, 1)):
        found = np.array(
            [
                [tool(args.file, args.seconds, streams)[which] for tool in (ours, theirs)]
                for _ in range(args.rounds)
            ]
        )
        one, other = np.median(found, axis=0)
        each = found[:, 0] / found[:, 1]
        spread = f"{each.min():.3f} to {each.max():.3f}"
        print(f"| {name} | {one:.2f} | {other:.2f} | {one / other:.3f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
