"""Print how well ids stay and how calm smoothed people are; draw contact sheets of videos.

    python bench/bench_track.py [FOLDER]

On synthetic motion the truth is known: IDF1 and id switches by motmetrics, beside a nearest-
neighbour tracker; jitter (mean second difference), lag and error of a walk. On the videos of
../shared, if they are there: the time beside that of the network, and, with a FOLDER, a sheet of
every tenth frame for each, whose switches are for the eye to count.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from bench_accuracy import machine

from openpose_ext import PoseEstimator, draw
from openpose_ext.sources import open_source
from openpose_ext.tracking.ids import Tracker
from openpose_ext.tracking.one_euro import OneEuro
from openpose_ext.tracking.two_pass import TwoPass, smooth_tracks
from openpose_ext.types.arrays import Picture
from openpose_ext.types.poses import Poses

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "tracking")]
from test_track import CASES, crowd, figures, nearest_neighbour, tracker  # noqa: E402

from motion import Walker, film, path  # noqa: E402

SHARED = ROOT.parent / "shared"
VIDEOS = ("openpose_street.avi", "sports2d_walk.mp4")
SEEDS = 5
EVERY, COLUMNS, WIDTH = 10, 4, 640  # of a contact sheet: frames, pictures, pixels

TRUNK = (0, 1, 8, 11)  # nose, neck, hips

Timed = list[tuple[float | None, Poses]]
Points = npt.NDArray[np.float64]


def print_ids() -> None:
    """Mean IDF1 and sum of the switches over seeds."""
    print(f"\n{SEEDS} films each   IDF1, switches   nearest neighbour")
    for name, (topology, times, faults) in CASES.items():
        films = [
            list(film(crowd(), times, topology=topology, seed=seed, **faults))
            for seed in range(SEEDS)
        ]
        cells = []
        for make in (tracker, nearest_neighbour):
            results = np.array([figures(moments, make()) for moments in films])
            cells.append(f"{results[:, 0].mean():.4f} {results[:, 1].sum():4.0f}")
        print(f"{name:12} {cells[0]:>19} {cells[1]:>19}")


def print_smoothing() -> None:
    """Jitter, lag and error of a walk and of a run, as seen and smoothed."""
    smoothers: dict[str, Callable[[Timed], list[Poses]]] = {
        "as seen": lambda frames: [poses for _, poses in frames],
        "one euro": one_euro,
        "two passes": smooth_tracks,
    }
    print("\nnoise 1% of the height     jitter, pixels   lag, ms   error, pixels")
    for pace, speed in (("walk", 110), ("run", 440)):
        walker = Walker(path((0, 60, 650), (10, 60 + 10 * speed, 650)))
        moments = list(film([walker], np.arange(0, 1150 / speed, 1 / 30)))
        frames: Timed = [(m.time, replace(m.poses, ids=m.who)) for m in moments]
        truth = np.array([moment.truth[0] for moment in moments])
        for name, smooth in smoothers.items():
            found = np.array([poses.keypoints[0, :, :2] for poses in smooth(frames)])
            wrong = (found - truth)[15:-15]
            lag = -1e3 * wrong[:, TRUNK, 0].mean() / speed
            print(
                f"{pace:5} {name:20} {lengths(np.diff(found, 2, axis=0)):14.2f}"
                f" {lag:9.1f} {lengths(wrong):15.2f}"
            )


def one_euro(frames: Timed) -> list[Poses]:
    """Smoothed causally."""
    smooth = OneEuro()
    return [smooth(poses, time) for time, poses in frames]


def lengths(vectors: Points) -> float:
    """Their mean."""
    return float(np.hypot(vectors[..., 0], vectors[..., 1]).mean())


def print_video(name: str, sheets: Path | None) -> None:
    """Follow and smooth the people of a video; draw those that were seen."""
    stages = ("network", "ids", "one euro", "two passes")
    spent = np.zeros(len(stages))
    pictures: list[Picture] = []
    people: list[int] = []
    with (
        open_source(SHARED / "data" / "videos" / name) as source,
        PoseEstimator("mobilenet", height=368) as estimator,
    ):
        rate = source.rate or 30.0
        track, causal, smoother = Tracker(rate=rate), OneEuro(rate=rate), TwoPass(rate=rate)
        for frame in source:
            picture = frame.image
            moments = [time.perf_counter()]
            seen = estimator(picture)
            moments.append(time.perf_counter())
            poses = track(seen, frame.time)
            moments.append(time.perf_counter())
            causal(poses, frame.time)
            moments.append(time.perf_counter())
            smoother.push(poses, frame.time)
            moments.append(time.perf_counter())
            spent += np.diff(moments)
            assert poses.ids is not None
            people += poses.ids.tolist()
            if frame.index % EVERY == 0 and sheets is not None:
                pictures.append(labelled(picture, poses, f"frame {frame.index}"))
    frames = frame.index + 1
    print(
        f"\n{name}: {frames} frames, {len(people) / frames:.1f} people in each, "
        f"{len(set(people))} ids; milliseconds a frame: "
        + ", ".join(
            f"{stage} {1e3 * seconds / frames:.2f}"
            for stage, seconds in zip(stages, spent, strict=True)
        )
    )
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(sheets / f"{Path(name).stem}.png"), contact_sheet(pictures))


def labelled(picture: Picture, poses: Poses, title: str) -> Picture:
    """The people drawn, each with the id over the head."""
    assert poses.ids is not None
    drawn = draw(picture, poses)
    write(drawn, title, (10, 50))
    for keypoints, name in zip(poses.keypoints, poses.ids, strict=True):
        x, y, _ = keypoints[keypoints[:, 2] > 0].min(axis=0)
        write(drawn, str(name), (int(x), int(y) - 5))
    scale = WIDTH / drawn.shape[1]
    smaller = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def write(picture: Picture, text: str, at: tuple[int, int]) -> None:
    """White on black."""
    for colour, thickness in (((0, 0, 0), 9), ((255, 255, 255), 3)):
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.5, colour, thickness)


def contact_sheet(pictures: list[Picture]) -> Picture:
    """Row by row."""
    blank = [np.zeros_like(pictures[0])] * (-len(pictures) % COLUMNS)
    cells = pictures + blank
    rows: Iterator[Picture] = (
        np.hstack(cells[first : first + COLUMNS]) for first in range(0, len(cells), COLUMNS)
    )
    return np.vstack([*rows])


def main() -> None:
    """Everything."""
    print(machine())
    print_ids()
    print_smoothing()
    if (SHARED / "data" / "videos").is_dir():
        os.environ.setdefault("OPENPOSE_EXT_MODELS", str(SHARED / "weights"))
        for name in VIDEOS:
            print_video(name, Path(sys.argv[1]) if len(sys.argv) > 1 else None)


if __name__ == "__main__":
    main()
