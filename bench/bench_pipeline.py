"""How much of the network's own speed the way from a video to JSON keeps.

    python bench/bench_pipeline.py [--frames 500] [--rounds 3] [--loop 20]
    python bench/bench_pipeline.py --accuracy        what frames straight from YUV cost
    python bench/bench_pipeline.py --memory 500      peak memory of so many frames, in MB

Each round takes all measures one after the other, so that what else the machine does hits all
alike; the medians of the rounds are printed. The videos are repeated until there are enough frames.

network    the network alone, on inputs made before, with as many requests as the pipeline has
bound      T_net / (T_net + T_video + T_resize): seconds of a core a frame for the network alone
           (cores / frames a second), for decoding the video, and for its frame at the network's
           size, each measured by itself. No order of work on these cores does better.
JSON       the pipeline, OpenPose JSON of each frame written
plain      a loop of cv2.VideoCapture, cv2.resize, the same network and tests/oracle.py, the
           original rules in NumPy, on fewer frames

Needs ../shared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np

from openpose_ext.io.cpus import own_cores
from openpose_ext.io.resize import at_size
from openpose_ext.models.network import BodyNetwork
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.run.coco_eval import Annotations, Evaluation, coco_results, percentile_interval
from openpose_ext.run.results import Drawing
from openpose_ext.sources import open_source
from openpose_ext.sources.pictures import read_picture
from openpose_ext.sources.pixels import VideoPixels
from openpose_ext.sources.source import AS_IT_IS
from openpose_ext.sources.video import Video
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import ahead, overlapped, workers_for
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
VIDEOS = [SHARED / "data/videos" / name for name in ("sports2d_walk.mp4", "openpose_street.avi")]
NETWORK = SHARED / "weights/human-pose-estimation-0001-int8-qdq.onnx"
HEIGHT = 256
CORES = own_cores()
SAMPLES = 1000  # of the bootstrap


def looped(video: Path, frames: int) -> Iterator[Frame]:
    """The first frames of a video that begins again at its end."""
    number = 0
    while number < frames:
        with open_source(video) as source:
            for frame in islice(source, frames - number):
                yield replace(frame, index=number, time=number / 30)
                number += 1


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes, and the seconds of cores that all threads use."""
    start, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cores


def drained(frames: Iterable[object]) -> None:
    for _ in frames:
        pass


def networks_alone(network: BodyNetwork, inputs: list[np.ndarray], frames: int) -> None:
    drained(overlapped(islice(cycle(inputs), frames), lambda x: network.run(x[None]), CORES))


def json_written(estimator: PoseEstimator, frames: Iterator[Frame], place: Path) -> None:
    # A folder of its own: replacing a file makes the file system wait for the disk.
    folder = tempfile.mkdtemp(dir=place)

    def work(frame: Frame) -> None:
        write_openpose(f"{folder}/{frame.index:012d}_keypoints.json", estimator(frame))

    with closing(ahead(frames, Video.ahead)) as taken:
        drained(overlapped(taken, work, workers_for(CORES)))


def video_written(estimator: PoseEstimator, frames: Iterator[Frame], file: Path) -> None:
    draw = Drawing(True, threshold=0.05, hand_threshold=0.2, face_threshold=0.4, black=False)

    def work(frame: Frame) -> tuple[Frame, np.ndarray]:
        return frame, draw(frame, estimator(frame))

    with VideoWriter(file, rate=30) as writer, closing(ahead(frames, Video.ahead)) as taken:
        for frame, drawn in overlapped(taken, work, workers_for(CORES)):
            writer.add(drawn, frame.time)


def plain_loop(network: BodyNetwork, video: Path, frames: int) -> None:
    """What one writes at first."""
    sys.path.insert(0, str(ROOT / "tests"))
    import oracle

    capture = cv2.VideoCapture(str(video))
    for _ in range(frames):
        read, picture = capture.read()
        if not read:
            break
        height, width = picture.shape[:2]
        columns = round(width * HEIGHT / height)
        small = cv2.resize(picture, (columns, HEIGHT), interpolation=cv2.INTER_CUBIC)
        padded = np.pad(small, ((0, 0), (0, -columns % 8), (0, 0)), constant_values=128)
        maps = network.run(np.asarray(padded[None], np.uint8))
        content = columns, HEIGHT
        heat, paf = (oracle.full_size(one[0], content, (width, height)) for one in maps)
        oracle.decode(heat, paf)
    capture.release()


def bench(video: Path, frames: int, rounds: int, loop: int) -> None:
    estimator = partial(PoseEstimator, NETWORK, height=HEIGHT, threads=CORES, streams=CORES)
    times: dict[str, list[float]] = {}
    cores: dict[str, list[float]] = {}
    with (
        estimator() as body,
        estimator(hand="lite") as hands,
        BodyNetwork.open(NETWORK, threads=CORES, streams=CORES) as network,
        BodyNetwork.open(NETWORK, threads=CORES) as single,
        tempfile.TemporaryDirectory() as place,
    ):
        folder = Path(place)
        preprocess = Preprocessing(height=HEIGHT)
        first = list(looped(video, 16))
        inputs = [preprocess(frame)[0] for frame in first]
        width, height = round(first[0].size[0] * HEIGHT / first[0].size[1]), HEIGHT
        part = frames // 4
        work: dict[str, tuple[int, Callable[[int], object]]] = {
            "network": (frames, lambda n: networks_alone(network, inputs, n)),
            "JSON": (frames, lambda n: json_written(body, looped(video, n), folder)),
            "video": (part, lambda n: drained(looped(video, n))),
            "video, resized": (
                part,
                lambda n: drained(at_size(f, (width, height)) for f in looped(video, n)),
            ),
            "hands": (part, lambda n: json_written(hands, looped(video, n), folder)),
            "rendered": (part, lambda n: video_written(body, looped(video, n), folder / "a.mp4")),
            "plain": (loop, lambda n: plain_loop(single, video, n)),
        }
        for _, call in work.values():
            call(min(8, loop))  # warm
        for _ in range(rounds):
            for name in (*work, "JSON", "network"):  # those that are compared twice
                count, call = work[name]
                taken, spent = seconds(partial(call, count))
                times.setdefault(name, []).append(taken / count)
                cores.setdefault(name, []).append(spent / count)
    median = {name: statistics.median(values) for name, values in times.items()}
    used = {name: 1e3 * statistics.median(values) for name, values in cores.items()}
    net, resized = median["network"], median["video, resized"]
    bound = net / (net + resized / CORES)
    reached = net / median["JSON"]
    worst = min(times["network"]) / max(times["JSON"])
    best = max(times["network"]) / min(times["JSON"])
    size = "{} x {}".format(*first[0].size)
    print(f"\n{video.name}, {size}, {frames} frames, {rounds} rounds")
    print("| what | frames a second | of the network alone | ms of cores a frame |")
    print("| --- | ---: | ---: | ---: |")
    for name in ("network", "video", "video, resized", "JSON", "hands", "rendered", "plain"):
        rate = f"{1 / median[name]:.1f} | {net / median[name]:.3f}"
        print(f"| {name} | {rate} | {used[name]:.2f} |")
    print(f"bound {bound:.3f}; JSON reaches {reached / bound:.3f} of it ", end="")
    print(f"(extremes of the rounds: {worst:.2f} to {best:.2f} of the network)")
    least = used["network"] + used["video, resized"]
    print(f"of cores: bound {used['network'] / least:.3f}; ", end="")
    print(f"JSON uses {used['JSON'] / least:.3f} of the sum of its parts", flush=True)


def accuracy(heights: tuple[int, ...] = (HEIGHT, 368)) -> None:
    """AP and pixels of the way straight from YUV, beside that through the full picture.

    Each picture of coco_val becomes a frame of 4:2:0, as a video's are, and goes both ways.
    """
    annotations = Annotations.read(SHARED / "data/coco_val/person_keypoints.json")
    pairs: list[tuple[int, tuple[Frame, Frame]]] = []
    for entry in annotations.pictures:
        picture = read_picture(SHARED / "data/coco_val/images" / entry["file_name"])
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        yuv = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "bgr24")
        pixels = VideoPixels(yuv.reformat(format="yuv420p"), AS_IT_IS)
        pairs.append((entry["id"], (Frame(pixels), Frame(pixels.picture()))))
    print("| height | AP, full picture | AP, straight | difference (95 %) | pixels apart, mean |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for height in heights:
        apart = [
            np.abs(np.subtract(*(Preprocessing(height=height)(f)[0] for f in two), dtype=float))
            for _, two in pairs
        ]
        with PoseEstimator(NETWORK, height=height, precision="f32") as estimator:
            ways = []
            for way in (0, 1):
                found: list[Poses] = [estimator(two[way]) for _, two in pairs]
                results = [
                    result
                    for (image_id, _), poses in zip(pairs, found, strict=True)
                    for result in coco_results(poses, image_id, annotations.category)
                ]
                ways.append(Evaluation(results, annotations))
        straight, full = ways
        low, high = percentile_interval(straight.bootstrap(SAMPLES) - full.bootstrap(SAMPLES))
        a, b = full.scores().ap, straight.scores().ap
        mean = np.mean([difference.mean() for difference in apart])
        change = f"{b - a:+.4f} ({low:+.4f} to {high:+.4f})"
        print(f"| {height} | {a:.3f} | {b:.3f} | {change} | {mean:.2f} |")


def memory(frames: int) -> None:
    """Peak memory of this process after so many frames."""
    with (
        PoseEstimator(NETWORK, height=HEIGHT) as estimator,
        tempfile.TemporaryDirectory() as place,
        closing(estimator.stream(looped(VIDEOS[0], frames))) as stream,
    ):
        for frame, poses in stream:
            write_openpose(Path(place) / f"{frame.index % 100}.json", poses)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{frames} frames: peak {peak:.0f} MB")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=20, help="frames of the plain loop")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--memory", type=int, metavar="FRAMES")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        print(f"skipped: {SHARED} (videos, networks) is not there")
        return
    cv2.setNumThreads(1)
    if arguments.accuracy:
        accuracy()
    elif arguments.memory:
        memory(arguments.memory)
    else:
        print(f"{CORES} cores, {os.uname().machine}, {NETWORK.name}, height {HEIGHT}")
        for video in VIDEOS:
            bench(video, arguments.frames, arguments.rounds, arguments.loop)


if __name__ == "__main__":
    main()
