"""Print how whole people are found in the five pictures that COCO-WholeBody labels.

    python bench/bench_whole.py

Bodies, hands, faces and feet come from one call. People are matched by their boxes; a point is
right within 0.1 of the longer side of its group's labelled box (of feet: 0.05 of the height of the
person's). 26 people, and faces of 18 to 39 pixels: the figures compare, they do not rate. The
pictures lie in ../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench_accuracy import MOBILENET, SHARED, machine

from openpose_ext import BODY_25, PoseEstimator, Poses
from openpose_ext.sources.pictures import read_picture

LABELS = SHARED / "data" / "wholebody_val" / "coco_wholebody_val_5pictures.json"
PICTURES = SHARED / "data" / "coco_val" / "images"
WEIGHTS = SHARED / "weights"
NETWORKS: Mapping[str, Mapping[str, str | Path]] = {
    "lite hands, landmark faces and feet": {
        "hand": "lite",
        "face": WEIGHTS / "face_landmark.tflite",
        "foot": WEIGHTS / "pose_landmark_full.tflite",
    },
    "landmark": {
        "hand": WEIGHTS / "hand_landmark_full.tflite",
        "face": WEIGHTS / "face_landmark.tflite",
        "foot": WEIGHTS / "pose_landmark_full.tflite",
    },
}
# Heels and big toes among COCO-WholeBody's feet, which are BODY_25's last parts.
SOUGHT = (0, 2, 3, 5)
GROUPS = ("lefthand", "righthand", "face", "foot")
NEAR, NEAR_FOOT = 0.1, 0.05
SAME = 0.3

Points = npt.NDArray[np.floating]


def group(poses: Poses, person: int, name: str) -> Points:
    """The found points of a group of COCO-WholeBody's, (n, 3)."""
    assert poses.hands is not None
    assert poses.faces is not None
    found: Mapping[str, Points] = {
        "lefthand": poses.hands[person, 0],
        "righthand": poses.hands[person, 1],
        "face": poses.faces[person, :68],
        "foot": poses.keypoints[person, BODY_25.parts.index("LBigToe") :],
    }
    return found[name]


def whose(poses: Poses, box: npt.NDArray[np.float64]) -> int | None:
    """The person whose parts' box is most like the labelled one, if one is."""
    overlaps = []
    for keypoints in poses.keypoints:
        seen = keypoints[keypoints[:, 2] > 0, :2]
        ends = np.array([box[:2], box[:2] + box[2:]])
        low, high = (np.stack([f(p, axis=0) for p in (seen, ends)]) for f in (np.min, np.max))
        common = np.maximum(high.min(axis=0) - low.max(axis=0), 0).prod()
        overlaps.append(float(common / ((high - low).prod(axis=1).sum() - common)))
    best = int(np.argmax(overlaps)) if overlaps else -1
    return best if best >= 0 and overlaps[best] > SAME else None


def counts(poses: Poses, label: Mapping[str, Any], name: str) -> tuple[int, int, int] | None:
    """Labelled points, those found, and those that are right; None where none are labelled."""
    if not label[f"{name}_valid"]:
        return None
    truth = np.array(label[f"{name}_kpts"], np.float64).reshape(-1, 3)
    chosen = np.array([k for k in range(len(truth)) if truth[k, 2] > 0])
    if name == "foot":
        chosen = np.intersect1d(chosen, SOUGHT)
        reach = NEAR_FOOT * label["bbox"][3]
    else:
        reach = NEAR * max(label[f"{name}_box"][2:])
    person = whose(poses, np.array(label["bbox"], np.float64))
    if person is None:
        return len(chosen), 0, 0
    found = group(poses, person, name)[chosen]
    there = found[:, 2] > 0
    apart = np.hypot(*(found[:, :2] - truth[chosen, :2]).T)
    return len(chosen), int(there.sum()), int((there & (apart < reach)).sum())


def main() -> None:
    """Print the table as Markdown."""
    if not LABELS.exists():
        print(f"Nothing is measured: {os.path.relpath(LABELS)} is not here.")
        return
    content = json.loads(LABELS.read_text())
    pictures = {entry["id"]: PICTURES / entry["file_name"] for entry in content["images"]}
    print(f"26 people of wholebody_val, float32, mobilenet refined. {machine()}.\n")
    print("| networks | " + " | ".join(GROUPS) + " |\n| --- " + "| ---: " * len(GROUPS) + "|")
    for name, networks in NETWORKS.items():
        with PoseEstimator(
            MOBILENET,
            hand=networks["hand"],
            face=networks["face"],
            foot=networks["foot"],
            refine=True,
            precision="f32",
            threads=1,
            streams=1,
        ) as estimator:
            found = {key: estimator(read_picture(Path(file))) for key, file in pictures.items()}
        cells = []
        for kind in GROUPS:
            rows = [
                counts(found[label["image_id"]], label, kind) for label in content["annotations"]
            ]
            labelled, seen, right = np.sum([row for row in rows if row is not None], axis=0)
            cells.append(f"{right} right of {labelled}, {seen} found")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
