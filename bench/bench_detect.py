"""What `detect_every` gains and costs on two videos.

    python bench/bench_detect.py [--every 10] [--height 256] [--rounds 2] [--videos NAME ...]
    python bench/bench_detect.py --memory whole|closer|near|refined --videos NAME   peak memory

A slow look (four scales, mirrored) at frames 5, 15, 25, ... says who is there; none of these is a
frame that `--every 10` looks at whole. AP is COCO's against it, over the parts it sees; people of
whom it is not sure count neither way. Tracks are the ids given over all frames; a switch is a
person of the slow look who has another id than ten frames ago. Times are processor time with
OpenPose's JSON written, as shares of the plain run's, each setting in turn, by an estimator that
was just opened, for which all sizes of inputs are new, and in its second pass. Frames a second
are those of first passes by the clock on the wall, as multiples of the plain run's: the median of
the rounds, and least and most; they say something on a machine that does nothing else. The videos
lie in ../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from openpose_ext import PoseEstimator, Poses
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.run.coco_eval import Annotations, Evaluation, coco_results
from openpose_ext.sources import open_source
from openpose_ext.tracking.ids import Tracker

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOBILENET = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
VIDEOS = ("sports2d_walk.mp4", "openpose_street.avi")
SCALES = (0.5, 1.0, 1.5, 2.0)
SURE = 0.2  # score of people whom the slow look takes for certain
NEAR = 0.25  # of their height: two people no further apart are one


@dataclass
class Truth:
    """Who is in every tenth frame, as the slow look sees it: annotations, and people with ids."""

    annotations: Annotations
    people: dict[int, Poses]


@dataclass
class Setting:
    """One way to look, and what came of it: processor seconds of first and second passes, and
    seconds on the wall of first ones."""

    name: str
    every: int
    options: dict[str, Any]
    people: dict[int, Poses] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def settings_of(every: int) -> dict[str, Setting]:
    return {
        "whole": Setting("whole frames", 1, {}),
        "closer": Setting("whole frames, refine", 1, {"refine": True}),
        "near": Setting(f"detect_every={every}", every, {}),
        "refined": Setting(f"detect_every={every}, refine", every, {"refine": True}),
    }


def reference(video: Path, height: int) -> Truth:
    pictures, annotated, people = [], [], {}
    slow = PoseEstimator(MOBILENET, height=height, scales=SCALES, mirror=True, precision="f32")
    with slow, open_source(video) as frames:
        tracker = Tracker(rate=(frames.rate or 30) / 10)
        for frame in frames:
            if frame.index % 10 != 5:
                continue
            found = slow(frame)
            pictures.append({"id": frame.index, "file_name": video.name})
            annotated += [labelled(one, frame.index) for one in found]
            known = tracker(found, frame.time or 0.0)
            people[frame.index] = known[known.scores >= SURE]
    return Truth(Annotations(tuple(pictures), tuple(annotated), 1), people)


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


def run(setting: Setting, estimator: PoseEstimator, video: Path) -> float:
    """Processor time of a pass over the video, JSON written."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        for frame, people in estimator.stream(video, detect_every=setting.every):
            write_openpose(f"{folder}/{frame.index:012d}_keypoints.json", people)
            setting.people[frame.index] = people
        return time.process_time() - begun


def judged(people: Mapping[int, Poses], truth: Truth, rate: float) -> tuple[float, int, int]:
    """AP, tracks and switches."""
    tracker = Tracker(rate=rate)
    ids: set[int] = set()
    before: dict[int, int] = {}
    results, switches = [], 0
    for index in sorted(people):
        known = tracker(people[index], index / rate)
        assert known.ids is not None
        ids |= {*known.ids.tolist()}
        if index not in truth.people:
            continue
        results += coco_results(people[index], index)
        for person in truth.people[index]:
            now = id_of(person, known)
            if now is not None:
                assert person.ids is not None
                switches += before.get(int(person.ids[0]), now) != now
                before[int(person.ids[0])] = now
    return Evaluation(results, truth.annotations).scores().ap, len(ids), switches


def id_of(person: Poses, others: Poses) -> int | None:
    """The id of the nearest of the others, by the median distance of common parts."""
    assert others.ids is not None
    one = person.keypoints[0]
    best, least = None, NEAR * float(np.ptp(one[one[:, 2] > 0, 1]))
    for other, name in zip(others.keypoints, others.ids, strict=True):
        both = (one[:, 2] > 0) & (other[:, 2] > 0)
        if both.sum() < 3:
            continue
        apart = float(np.median(np.hypot(*(one[both, :2] - other[both, :2]).T)))
        if apart < least:
            best, least = int(name), apart
    return best


def compare(video: Path, every: int, height: int, rounds: int) -> None:
    truth = reference(video, height)
    with open_source(video) as frames:
        rate = frames.rate or 30.0
    settings = [*settings_of(every).values()]
    for _ in range(rounds):
        for setting in settings:
            options = {"precision": "f32", "height": height, **setting.options}
            with PoseEstimator(MOBILENET, **options) as estimator:
                estimator._for_many()  # opening is no part of the time
                begun = time.perf_counter()
                setting.first.append(run(setting, estimator, video))
                setting.wall.append(time.perf_counter() - begun)
                setting.second.append(run(setting, estimator, video))
    for setting in settings:
        ap, tracks, switches = judged(setting.people, truth, rate)
        first, second = (
            sum(getattr(setting, which)) / sum(getattr(settings[0], which))
            for which in ("first", "second")
        )
        faster = sorted(
            plain / own for plain, own in zip(settings[0].wall, setting.wall, strict=True)
        )
        print(
            f"| {video.name} | {setting.name} | {ap:.3f} | {tracks} | {switches} "
            f"| {first:.2f} | {second:.2f} | {faster[len(faster) // 2]:.2f} "
            f"({faster[0]:.2f} to {faster[-1]:.2f}) |",
            flush=True,
        )


def memory(video: Path, setting: Setting, height: int) -> None:
    """Peak memory of this process after a pass over the video."""
    with PoseEstimator(MOBILENET, precision="f32", height=height, **setting.options) as estimator:
        for _ in estimator.stream(video, detect_every=setting.every):
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{video.name}, {setting.name}: peak {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--videos", nargs="+", default=VIDEOS)
    parser.add_argument("--memory", choices=[*settings_of(1)])
    arguments = parser.parse_args()
    if not MOBILENET.exists():
        print("Nothing is measured: ../shared is absent.")
        return
    cv2.setNumThreads(1)
    videos = [SHARED / "data" / "videos" / name for name in arguments.videos]
    if arguments.memory:
        memory(videos[0], settings_of(arguments.every)[arguments.memory], arguments.height)
        return
    print("| video | setting | AP | tracks | switches | time at first | time | frames a second |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for video in videos:
        compare(video, arguments.every, arguments.height, arguments.rounds)


if __name__ == "__main__":
    main()
