"""Fit what a body network's scores are worth, on labelled pictures, and check it on others. And
say how much too high it finds people.

    python training/calibrate.py NETWORK --labels LABELS.json --pictures FOLDER --kept held_out

A found person belongs to the labelled one it fits best, from an OKS of 0.3 on. Of its parts that
are labelled, those within an OKS of 0.5 of the truth are right. The curve says how many of the
parts with a score are right; it is fitted so that it never falls, and thinned to a few points. It
is printed as the lines of a manifest, with its error on coco_val in ten bins. How high right parts
lie is what is to be added to the manifest's `lift`, in pixels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from known import held_out

from openpose_ext import PoseEstimator
from openpose_ext.formats.coco import COCO_PARTS
from openpose_ext.run.coco_eval import Annotations
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE

Floats = npt.NDArray[np.float64]

# How far off each part may be, as a share of the root of the person's area. Source: COCO.
SIGMAS = np.array(
    (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89), float
) / 1000  # fmt: skip
MATCHED = 0.3
RIGHT = 0.5
POINTS = 12  # of the curve
BINS = 10

# Which labelled pictures a network is fitted on: such as its training did not see, and of COCO
# alone. With the one large person of each Leeds picture the error on coco_val is .066, not .024.
KEPT: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "held_out": lambda picture: held_out(picture["file_name"]) and picture["labels"] == "coco",
    "val2017": lambda picture: picture.get("coco_split") == "val2017",
    "all": lambda picture: True,
}


def parts_of(
    estimator: PoseEstimator, annotations: Annotations, folder: Path
) -> tuple[Floats, Floats, float]:
    """Scores of the parts that are seen and labelled, whether each is right, and how many pixels
    too high the right ones lie."""
    scores, right, high = [], [], []
    for entry in annotations.pictures:
        people = [p for p in annotations.people if p["image_id"] == entry["id"]]
        labelled = [p for p in people if not p.get("iscrowd") and any(p["keypoints"][2::3])]
        found = estimator(read_picture(folder / entry["file_name"]))
        for row, truth, similar, there in matched(found, labelled):
            seen = there & (row[:, 2] > FILLED_SCORE)
            scores.append(row[seen, 2])
            right.append(similar[seen] >= RIGHT)
            high.append((truth[:, 1] - row[:, 1])[seen & (similar >= RIGHT)])
    return (
        np.concatenate(scores).astype(float),
        np.concatenate(right).astype(float),
        float(np.concatenate(high).mean()),
    )


def matched(
    found: Poses, labelled: list[dict[str, Any]]
) -> Iterator[tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]]:
    """People that are labelled: their points, the true ones, similarities of these, and which are
    labelled."""
    order = [found.topology.parts.index(name) for name in COCO_PARTS]
    rows = found.keypoints[:, order].astype(float)
    pairs = []
    for k, person in enumerate(labelled):
        truth = np.array(person["keypoints"], float).reshape(-1, 3)
        there = truth[:, 2] > 0
        apart = ((rows[..., :2] - truth[:, :2]) ** 2).sum(axis=2)
        similar = np.exp(-apart / (2 * max(person["area"], 1) * (2 * SIGMAS) ** 2))
        similar = np.where(rows[..., 2] > 0, similar, 0)
        pairs += [
            (similar[n, there].mean(), n, k, truth, similar[n], there) for n in range(len(rows))
        ]
    taken: set[tuple[str, int]] = set()
    for value, n, k, truth, similar, there in sorted(pairs, key=lambda pair: -pair[0]):
        if value < MATCHED or ("found", n) in taken or ("labelled", k) in taken:
            continue
        taken |= {("found", n), ("labelled", k)}
        yield rows[n], truth, similar, there


def fitted(scores: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Points of the curve: scores, and shares of right parts, both rising."""
    order = np.argsort(scores)
    scores, right = scores[order], right[order]
    # Pool adjacent violators: (sum of right, of scores, and count) of blocks.
    blocks: list[list[float]] = []
    for score, hit in zip(scores, right, strict=True):
        blocks.append([hit, score, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][2] >= blocks[-1][0] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    shares = np.repeat([b[0] / b[2] for b in blocks], [int(b[2]) for b in blocks])
    # Means over equal numbers of parts, from the fit that never falls: smooth, and never falls.
    groups = np.array_split(np.arange(len(scores)), POINTS)
    x = np.array([scores[group].mean() for group in groups])
    y = np.array([shares[group].mean() for group in groups])
    return x, y


def strictly(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The whole curve, from the least score of a part that is seen to 1, rising at each point."""
    x = np.concatenate([[FILLED_SCORE], x, [1.0]])
    begin = max(FILLED_SCORE + 0.01, y[0] - (y[1] - y[0]) / (x[2] - x[1]) * (x[1] - x[0]))
    y = np.concatenate([[min(begin, y[0])], y, [1.0]]).clip(FILLED_SCORE + 0.01, 1)
    least = 1e-3 * np.arange(len(y))
    y = np.maximum.accumulate(np.minimum(y, 1 - least[::-1]) - least) + least
    return x.round(4), y.round(4)


def error(scores: Floats, right: Floats) -> float:
    """Expected calibration error over ten bins."""
    which = np.minimum((scores * BINS).astype(int), BINS - 1)
    total = 0.0
    for k in range(BINS):
        inside = which == k
        if inside.any():
            total += inside.mean() * abs(scores[inside].mean() - right[inside].mean())
    return total


def reliability(scores: Floats, right: Floats) -> Iterator[str]:
    """A line for each bin: how many parts, their mean score, and how many of them are right."""
    which = np.minimum((scores * BINS).astype(int), BINS - 1)
    for k in range(BINS):
        inside = which == k
        if inside.any():
            yield (
                f"| {k / BINS:.1f} to {(k + 1) / BINS:.1f} | {inside.sum()} "
                f"| {scores[inside].mean():.2f} | {right[inside].mean():.2f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--labels", type=Path, required=True, help="in COCO's form")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--kept", choices=KEPT, required=True, help="which of them")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--height", type=int, default=368)
    arguments = parser.parse_args()
    kept = KEPT[arguments.kept]
    # The fields of train2, which annotations are read without.
    entries = json.loads(arguments.labels.read_text())["images"]
    wanted = [entry["id"] for entry in entries if kept(entry)]
    annotations = Annotations.read(arguments.labels).only(wanted)
    coco = arguments.shared / "data" / "coco_val"
    with PoseEstimator(
        arguments.network, height=arguments.height, precision="f32", raw_scores=True
    ) as estimator:
        *known, high = parts_of(estimator, annotations, arguments.pictures)
        x, y = strictly(*fitted(*known))
        scores, right, high_in_coco = parts_of(
            estimator, Annotations.read(coco / "person_keypoints.json"), coco / "images"
        )
    print(f"# {high:.2f} pixels too high; coco_val: {high_in_coco:.2f}")
    print(f"[calibration]\nscores = {x.tolist()}\nshares = {y.tolist()}")
    calibrated = np.interp(scores, x, y)
    print(
        f"# coco_val: error {error(calibrated, right):.3f}, {error(scores, right):.3f} raw; "
        f"{(calibrated < 0.4).mean():.2f} of parts below 0.4, {(calibrated > 0.8).mean():.2f} "
        "above 0.8"
    )
    for line in reliability(calibrated, right):
        print(f"# {line}")


if __name__ == "__main__":
    main()
