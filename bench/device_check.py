"""What a machine's devices make of a network: ms, AP, and how far their maps are from the CPU's.

    python bench/device_check.py                    the networks of ../shared, all devices there are
    python bench/device_check.py --weights body_pose_model.pth      torch on weights of yours

One run, under four minutes. A device that cannot be used has a line with the reason. Without
--weights torch runs the original body network with random weights: ms and maps, no AP.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from openpose_ext.errors import OpenPoseExtError
from openpose_ext.models.engines import open_network
from openpose_ext.models.manifest import read_manifest
from openpose_ext.run.coco_eval import Annotations, coco_results, evaluate
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.preprocess import Preprocessing

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT / "tests"))

# (engine, device, precision) in the order of the table, by the file that they read; the first is
# what the others are compared with.
ONNX = (
    ("openvino", "cpu", "f32"),
    ("onnxruntime", "cpu", "f32"),
    ("onnxruntime", "cuda:0", "f32"),
    ("onnxruntime", "tensorrt:0", "f32"),
    ("onnxruntime", "tensorrt:0", "f16"),
)
WEIGHTS = (
    ("torch", "cpu", "f32"),
    ("torch", "cuda:0", "f32"),
    ("torch", "cuda:0", "bf16"),
    ("torch", "cuda:0", "f16"),
)

BUDGET = 200.0  # seconds, after which no further row is begun
SECONDS = 3.0  # of runs that a time is the median of
MOST_RUNS = 50


class Row(NamedTuple):
    ms: float  # median of one picture, maps back on the host
    rate: float  # pictures a second, several in flight, decoded
    ap: float
    difference: float  # largest, in shares of the range of the first row's maps


def main() -> None:
    warnings.filterwarnings("ignore", message=".*taking x / 256.*")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, help="weights of an original body network")
    args = parser.parse_args()
    coco = SHARED / "data/coco_val"
    annotations = Annotations.read(coco / "person_keypoints.json")
    files = [coco / "images" / entry["file_name"] for entry in annotations.pictures]
    pictures = [image for file in files if (image := cv2.imread(str(file))) is not None]
    assert len(pictures) == len(files)
    began = time.monotonic()
    print(f"{platform.processor() or platform.machine()}; {gpus()}")
    print("| network | engine | device | precision | ms | pictures/s | AP | difference |")
    print("| --- | --- | --- | --- | ---: | ---: | ---: | ---: |")
    with weights(args.weights) as (torch_file, is_trained):
        for file, engines, scored in (
            (SHARED / "weights/human-pose-estimation-0001-fp32.onnx", ONNX, True),
            (torch_file, WEIGHTS, is_trained),
        ):
            expected: list[np.ndarray] = []
            for how in engines:
                name = f"| {file.stem} | {' | '.join(how)} |"
                if time.monotonic() - began > BUDGET:
                    print(f"{name} left out: the time is up", flush=True)
                    continue
                try:
                    row = measure(file, how, pictures, annotations if scored else None, expected)
                except OpenPoseExtError as error:
                    print(f"{name} {' '.join(str(error).split())}", flush=True)
                    continue
                ap = "" if np.isnan(row.ap) else f"{row.ap:.3f}"
                print(
                    f"{name} {row.ms:.1f} | {row.rate:.1f} | {ap} | {row.difference:.1e} |",
                    flush=True,
                )
    print(f"{time.monotonic() - began:.0f} s")


def measure(
    file: Path,
    how: tuple[str, str, str],
    pictures: Sequence[np.ndarray],
    annotations: Annotations | None,
    expected: list[np.ndarray],
) -> Row:
    """One row; `expected` is filled by the first."""
    engine, device, precision = how
    batch = Preprocessing()(pictures[0])[0][None]
    given = read_manifest(file).input
    with open_network(
        file, engine, input_format=given, device=device, precision=precision
    ) as backend:
        found = [backend.run(batch)[name] for name in sorted(backend.info.outputs)]
        backend.run(batch)  # a second time with everything prepared
        times: list[float] = []
        while len(times) < MOST_RUNS and sum(times) < SECONDS:
            start = time.perf_counter()
            backend.run(batch)
            times.append(time.perf_counter() - start)
    if not expected:
        expected += found
    differences = [np.abs(a - b).max() / np.ptp(b) for a, b in zip(found, expected, strict=True)]
    # A random network on a CPU is slow, and its people mean nothing.
    few = pictures if annotations is not None else pictures[:4]
    results = []
    with PoseEstimator(file, backend=engine, device=device, precision=precision) as estimator:
        estimator(few[0])
        start = time.perf_counter()
        people = [poses for _, poses in estimator.stream(list(few))]
        rate = len(few) / (time.perf_counter() - start)
    if annotations is not None:
        for entry, poses in zip(annotations.pictures, people, strict=True):
            results += coco_results(poses, entry["id"], annotations.category)
    ap = evaluate(results, annotations).ap if annotations is not None else np.nan
    return Row(1e3 * float(np.median(times)), rate, ap, float(max(differences)))


@contextmanager
def weights(given: Path | None) -> Iterator[tuple[Path, bool]]:
    """A file for torch, and whether it was trained."""
    if given is not None:
        yield given, True
        return
    import original_networks

    with tempfile.TemporaryDirectory() as folder:
        yield original_networks.write(Path(folder) / "random_body.pth", thin=1), False


def gpus() -> str:
    """The GPUs that torch sees."""
    import torch

    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return ", ".join(names) or "no GPU"


if __name__ == "__main__":
    main()
