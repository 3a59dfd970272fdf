"""Knee angles of the person in a video: gait_table.py VIDEO TABLE.csv PLOT.png

The person who is seen in most frames is taken. An angle is that between thigh and shank, in
degrees: 180 is a straight leg. It lies in the picture's plane, so film from the side.
"""

import collections
import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import openpose_ext as op

LEGS = {side: [f"{side}{part}" for part in ("Hip", "Knee", "Ankle")] for side in "RL"}


def knee(person: np.ndarray, leg: list[str]) -> float:
    """Degrees at the knee, NaN where a part is missing."""
    hip, middle, ankle = (person[op.COCO_18.parts.index(part)] for part in leg)
    if min(hip[2], middle[2], ankle[2]) == 0:
        return float("nan")
    a, b = hip[:2] - middle[:2], ankle[:2] - middle[:2]
    return float(np.degrees(np.arccos(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))))


def main(video: str, table: str, plot: str) -> None:
    rows = collections.defaultdict(list)
    with op.open_source(video) as source, op.PoseEstimator() as estimator:
        rate = getattr(source, "rate", None) or 25
        track, smooth, times = op.Tracker(rate=rate), op.TwoPass(rate=rate), []
        for frame, poses in estimator.stream(source):
            times.append(frame.time)
            for calm in smooth.push(track(poses, frame.time), frame.time):
                add(rows, times.pop(0), calm)
        for calm in smooth.flush():
            add(rows, times.pop(0), calm)
    walker = max(rows.values(), key=len, default=[])
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([("time", "right_knee", "left_knee"), *walker])
    time, right, left = np.array(walker, float).reshape(-1, 3).T
    plt.plot(time, right, label="right knee")
    plt.plot(time, left, label="left knee")
    plt.xlabel("s"), plt.ylabel("degrees"), plt.legend()
    plt.savefig(plot)


def add(rows: dict[int, list[tuple[float, ...]]], time: float, poses: op.Poses) -> None:
    for person, keypoints in zip(poses.ids, poses.keypoints, strict=True):
        rows[person].append((time, knee(keypoints, LEGS["R"]), knee(keypoints, LEGS["L"])))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
