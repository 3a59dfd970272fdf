"""Print a table of the face networks' accuracy and time.

    python bench/bench_faces.py [NETWORK...]

The error of a face is the mean distance of its 68 points from the truth over the distance of the
outer corners of the eyes. First each face is looked for in its box, 1.6 times as large; then by the
whole cascade, from the picture to bodies to faces: a face is found if its points' box covers the
truth's by an IoU of 0.5. Last come faces found in the places where nobody is. The pictures lie in
../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import csv
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from bench_accuracy import machine

from openpose_ext import PoseEstimator
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.arrays import Picture

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
FACES = SHARED / "data" / "face_val"
BODY = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
NETWORKS: Mapping[str, str | Path] = {
    "landmark": SHARED / "weights" / "face_landmark.tflite",
    "lite": "lite",
}

PRECISION = "f32"
ENLARGED = 1.6
LEAST = 40.0  # pixels: the root of a face's area, of those that shall be found
SAME = 0.5  # IoU of the boxes of two faces that are one
JAW, INNER = slice(0, 17), slice(17, 68)
RIGHT_EYE, LEFT_EYE = 36, 45

Points = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Face:
    """An annotated face.

    picture    its file
    box        x, y, width, height around its points
    keypoints  (68, 2): x, y
    source     the data set
    """

    picture: Path
    box: tuple[float, float, float, float]
    keypoints: npt.NDArray[np.float64]
    source: str

    @property
    def square(self) -> list[float]:
        """The box that is looked at."""
        x, y, width, height = self.box
        side = ENLARGED * max(width, height)
        return [x + (width - side) / 2, y + (height - side) / 2, side, side]

    @property
    def size(self) -> float:
        return float(np.sqrt(self.box[2] * self.box[3]))

    def errors(self, found: Points) -> npt.NDArray[np.float64]:
        """Of the 68 points, in distances of the outer corners of the eyes."""
        apart = np.hypot(*(found[:68, :2] - self.keypoints).T)
        unit = np.hypot(*(self.keypoints[LEFT_EYE] - self.keypoints[RIGHT_EYE]))
        shares: npt.NDArray[np.float64] = apart / unit
        return shares


def read_faces(folder: Path = FACES) -> list[Face]:
    """The annotated faces of a folder with a `faces.json`."""
    return [
        Face(
            folder / entry["image"],
            tuple(entry["box"]),
            np.array(entry["keypoints"], np.float64)[:, :2],
            re.split(r"[,:(]", entry["source"])[0].strip(),
        )
        for entry in json.loads((folder / "faces.json").read_text())
    ]


def nobody() -> Iterator[Picture]:
    """Places in pictures where nobody is."""
    with open(ROOT / "training" / "nobody.tsv", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            picture = read_picture(SHARED / "data" / "train" / "people" / row["file"])
            yield np.ascontiguousarray(picture[y : y + height, x : x + width])


def in_boxes(estimator: PoseEstimator, faces: Sequence[Face]) -> list[Points | None]:
    """The face of each box, None where there is none."""
    found = [estimator.faces(read_picture(face.picture), [face.square])[0] for face in faces]
    return [one if one[:, 2].any() else None for one in found]


def in_pictures(estimator: PoseEstimator, faces: Sequence[Face]) -> list[Points | None]:
    """The face that the whole cascade finds where each is, None where it finds none."""
    matched: list[Points | None] = []
    by_picture: dict[Path, npt.NDArray[np.float32]] = {}
    for face in faces:
        if face.picture not in by_picture:
            seen = estimator(read_picture(face.picture)).faces
            assert seen is not None
            by_picture[face.picture] = seen[seen[..., 2].any(axis=1)]
        overlaps = [_overlap(one[:68], face) for one in by_picture[face.picture]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        there = best >= 0 and overlaps[best] >= SAME
        matched.append(by_picture[face.picture][best] if there else None)
    return matched


def _overlap(points: Points, face: Face) -> float:
    """IoU of the boxes of found and true points."""
    seen = points[points[:, 2] > 0, :2]
    truth = face.keypoints
    low, high = (np.stack([f(p, axis=0) for p in (seen, truth)]) for f in (np.min, np.max))
    common = float(np.maximum(high.min(axis=0) - low.max(axis=0), 0).prod())
    areas = (high - low).prod(axis=1)
    return common / float(areas.sum() - common)


def milliseconds(estimator: PoseEstimator, face: Face, runs: int = 15) -> float:
    """The time of one face in its box, the median of runs."""
    picture, times = read_picture(face.picture), []
    for _ in range(runs):
        start = time.perf_counter()
        estimator.faces(picture, [face.square])
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def _row(
    name: str, faces: Sequence[Face], found: Sequence[Points | None], sources: Sequence[str]
) -> str:
    """Found shares, all and of the larger faces; mean errors of the found, and by source."""
    errors = {k: faces[k].errors(one) for k, one in enumerate(found) if one is not None}
    large = [k for k, face in enumerate(faces) if face.size > LEAST]
    cells = [
        f"{len(errors)} of {len(faces)}",
        f"{np.mean([k in errors for k in large]):.2f}",
        f"{np.mean([e.mean() for e in errors.values()]):.4f}",
        f"{np.mean([e[JAW].mean() for e in errors.values()]):.4f}",
        f"{np.mean([e[INNER].mean() for e in errors.values()]):.4f}",
    ]
    for source in sources:
        mine = [e.mean() for k, e in errors.items() if faces[k].source == source]
        cells.append(f"{np.mean(mine):.4f}" if mine else "-")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables as Markdown."""
    if not FACES.exists():
        print(f"Accuracy is not measured: {os.path.relpath(FACES)} is not here.")
        return
    chosen: dict[str, str | Path] = {name: name for name in sys.argv[1:]} or dict(NETWORKS)
    faces = read_faces()
    sources = list(dict.fromkeys(face.source for face in faces))
    counts = [sum(face.source == source for face in faces) for source in sources]
    print(f"{len(faces)} faces of face_val, {PRECISION}, 1 thread. {machine()}.\n")
    heads = [f"{source} ({count})" for source, count in zip(sources, counts, strict=True)]
    columns = ["network", "found", f"over {LEAST:.0f} px", "error", "jaw", "inner", *heads]
    print("| " + " | ".join(columns) + " |")
    print("| --- " + "| ---: " * (len(columns) - 1) + "|")
    for name, network in chosen.items():
        with PoseEstimator(
            BODY, face=network, refine=True, precision=PRECISION, threads=1, streams=1
        ) as estimator:
            boxed, whole = in_boxes(estimator, faces), in_pictures(estimator, faces)
            print(_row(f"{name}, in boxes", faces, boxed, sources), flush=True)
            print(_row(f"{name}, cascade", faces, whole, sources), flush=True)
            invented = 0
            for picture in nobody():
                seen = estimator(picture).faces
                assert seen is not None
                invented += int(seen[..., 2].any(axis=1).sum())
            time_taken = milliseconds(estimator, faces[0])
        print(f"\n{name}: {invented} faces where nobody is, {time_taken:.1f} ms a face\n")


if __name__ == "__main__":
    main()
