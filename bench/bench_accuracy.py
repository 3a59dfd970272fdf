"""Print the README's table of accuracy: COCO AP of our decoder and of the original rules.

    python bench/bench_accuracy.py

Pictures and the network `human-pose-estimation-0001` lie in ../shared; without it there is
nothing to measure.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from openpose_ext import DecodeOptions, PoseEstimator, Poses, decode_body
from openpose_ext.models.network import BodyNetwork
from openpose_ext.run.coco_eval import (
    Annotations,
    Evaluation,
    coco_results,
    percentile_interval,
)
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.arrays import Picture

SHARED = Path(__file__).resolve().parents[2] / "shared"
COCO = SHARED / "data" / "coco_val"
MOBILENET = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"

# Accuracy is stated for float32, whatever the processor would rather do.
PRECISION = "f32"
SAMPLES = 1000
SCALES = (0.5, 1.0, 1.5, 2.0)

Network = str | Path

COLUMNS = (
    "network",
    "height",
    "original rules",
    "original rules and resize",
    "ours",
    "ours, seen parts only",
    "ours, Hungarian",
    "Hungarian, seen parts only",
    "ours - original (95 % of samples)",
    "ours, 4 scales, mirrored",
)


def main() -> None:
    """Print the table as Markdown, a row at a time."""
    missing = [path for path in (COCO, MOBILENET) if not path.exists()]
    if missing:
        print(f"Accuracy is not measured: ../{missing[0].relative_to(SHARED.parent)} is absent.")
        return
    annotations = Annotations.read(COCO / "person_keypoints.json")
    pictures = {
        p["id"]: read_picture(COCO / "images" / p["file_name"]) for p in annotations.pictures
    }
    print(f"COCO AP on {len(pictures)} pictures of coco_val, {PRECISION}, fit pad, one pass;")
    print(f"4 scales are {', '.join(f'{scale:g}' for scale in SCALES)}. {machine()}.\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- " + "| ---: " * (len(COLUMNS) - 1) + "|")
    for name, network, height in (
        ("mobilenet", MOBILENET, 368),
        ("mobilenet", MOBILENET, 256),
        ("lite", "lite", 368),
    ):
        cells = row(network, height, pictures, annotations)
        print(f"| {name} | {height} | {' | '.join(cells)} |", flush=True)


def row(
    network: Network, height: int, pictures: dict[int, Picture], annotations: Annotations
) -> Iterator[str]:
    """The cells of one network at one height."""

    def evaluation(people: Iterable[Poses]) -> Evaluation:
        results = [
            result
            for image_id, poses in zip(pictures, people, strict=True)
            for result in coco_results(poses, image_id, annotations.category)
        ]
        return Evaluation(results, annotations)

    def found(**options: Any) -> list[Poses]:
        with PoseEstimator(network, height=height, precision=PRECISION, **options) as estimator:
            return [estimator(picture) for picture in pictures.values()]

    original = evaluation(found(mode="reference"))
    greedy = found()
    hungarian = found(options=DecodeOptions(assignment="hungarian"))
    ours = evaluation(greedy)
    for scored in (
        original,
        evaluation(original_rules_and_resize(network, height, pictures.values())),
        ours,
        evaluation(map(Poses.without_filled, greedy)),
        evaluation(hungarian),
        evaluation(map(Poses.without_filled, hungarian)),
    ):
        yield f"{scored.scores().ap:.3f}"
    # Both on the same samples of the pictures: what is common to them cancels.
    gain = ours.bootstrap(SAMPLES) - original.bootstrap(SAMPLES)
    low, high = percentile_interval(gain)
    yield f"{ours.scores().ap - original.scores().ap:+.3f} ({low:+.3f} to {high:+.3f})"
    yield f"{evaluation(found(scales=SCALES, mirror=True)).scores().ap:.3f}"


def original_rules_and_resize(
    network: Network, height: int, pictures: Iterable[Picture]
) -> Iterator[Poses]:
    """The people as pytorch-openpose finds them, its cubic resize of the picture included."""
    preprocess = Preprocessing(height=height, resize="seed")
    with BodyNetwork.open(network, precision=PRECISION) as opened:
        for picture in pictures:
            image, geometry = preprocess(picture)
            heat, paf = opened.run(image[None])
            yield decode_body(
                heat[0],
                paf[0],
                topology=opened.topology,
                geometry=geometry,
                mode="reference",
            )


def machine() -> str:
    """Processor and versions, for a table that others are to compare with."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ("openpose_ext", "openvino", "opencv-python-headless", "numpy", "pycocotools")
    return ", ".join(
        [
            f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores",
            f"Python {platform.python_version()}",
            *(f"{package} {version(package)}" for package in packages),
        ]
    )


if __name__ == "__main__":
    main()
