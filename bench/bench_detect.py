"""What `detect_every` gains and costs on two videos.

    python bench/bench_detect.py [--every 10] [--height 256]

A slow look (four scales, mirrored) at frames 5, 15, 25, ... says who is there; none of these is a
frame that `--every 10` looks at whole. AP is COCO's against it, over the parts it sees; people of
whom it is not sure count neither way. Tracks are the ids given over all frames. Rates are those of
finding people alone, each setting in turn, as shares of the plain run's. The videos lie in
../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from openpose_ext import PoseEstimator, Poses
from openpose_ext.run.coco_eval import Annotations, Evaluation, coco_results
from openpose_ext.sources import open_source
from openpose_ext.tracking.ids import Tracker

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOBILENET = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
VIDEOS = ("sports2d_walk.mp4", "openpose_street.avi")
SCALES = (0.5, 1.0, 1.5, 2.0)
SURE = 0.2  # score of people whom the slow look takes for certain


def reference(video: Path, height: int) -> Annotations:
    """Who is in every tenth frame, as the slow look sees it."""
    pictures, people = [], []
    slow = PoseEstimator(MOBILENET, height=height, scales=SCALES, mirror=True, precision="f32")
    with slow, open_source(video) as frames:
        for frame in frames:
            if frame.index % 10 != 5:
                continue
            pictures.append({"id": frame.index, "file_name": video.name})
            people += [labelled(one, frame.index) for one in slow(frame)]
    return Annotations(tuple(pictures), tuple(people), 1)


def labelled(person: Poses, image_id: int) -> dict[str, Any]:
    """A person as COCO annotates one; without parts if the slow look is not sure."""
    (found,) = person.to_coco(image_id)
    points = np.array(found["keypoints"]).reshape(-1, 3)
    seen = points[:, 2] > 0
    low, high = points[seen, :2].min(axis=0), points[seen, :2].max(axis=0)
    width, height = high - low + 1
    sure = found["score"] >= SURE
    points[:, 2] = 2 * seen * sure
    return {
        "image_id": image_id,
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int(seen.sum()) if sure else 0,
        "bbox": [*low.tolist(), float(width), float(height)],
        "area": float(0.6 * width * height),
        "iscrowd": 0,
    }


def followed(
    video: Path, truth: Annotations, every: int, **options: Any
) -> tuple[float, int, float]:
    """AP, tracks, and frames a second."""
    results, ids = [], set()
    wanted = {picture["id"] for picture in truth.pictures}
    with PoseEstimator(MOBILENET, precision="f32", streams=1, **options) as estimator:
        tracker = Tracker(rate=30)
        begun = time.perf_counter()
        count = 0
        for frame, people in estimator.stream(video, detect_every=every):
            count += 1
            ids |= {*tracker(people, frame.time or 0.0).ids.tolist()}
            if frame.index in wanted:
                results += coco_results(people, frame.index)
        rate = count / (time.perf_counter() - begun)
    return Evaluation(results, truth).scores().ap, len(ids), rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--height", type=int, default=256)
    arguments = parser.parse_args()
    if not MOBILENET.exists():
        print("Nothing is measured: ../shared is absent.")
        return
    print("| video | setting | AP | tracks | rate |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name in VIDEOS:
        video = SHARED / "data" / "videos" / name
        truth = reference(video, arguments.height)
        plain = 0.0
        for setting, every, refine in (
            ("whole frames", 1, False),
            (f"detect_every={arguments.every}", arguments.every, False),
            (f"detect_every={arguments.every}, refine", arguments.every, True),
        ):
            ap, tracks, rate = followed(video, truth, every, height=arguments.height, refine=refine)
            plain = plain or rate
            print(f"| {name} | {setting} | {ap:.3f} | {tracks} | {rate / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
