"""Time of pytorch-openpose's drop-in beside the original rules in NumPy, SciPy and scikit-image.

    python bench/bench_compat.py

Picture in, people or points out, but for the network, whose answers are recorded: the same maps for
both, and results that must be equal. One thread; the two take turns, the ratio is the median over
the turns. Resizing is OpenCV's in both. The oracle stands for the original, which is not timed: it
loops in Python where the oracle has whole arrays. Hands need ../shared.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from bench_accuracy import machine
from bench_decode import ROOT
from bench_hands import HANDS, read_hands

from openpose_ext.compat.pytorch_openpose import HAND_SCALES, Body, Hand
from openpose_ext.types.arrays import Picture

sys.path.insert(0, str(ROOT / "tests"))
import hand_oracle
import oracle

CROPS = (120, 368)  # sides of a hand's square, picture pixels
RUNS = 7

Batch = npt.NDArray[np.uint8]


class Recorded:
    """A network that remembers what it answered to each size of picture."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._answers: dict[tuple[int, ...], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def run(self, batch: Batch) -> Any:
        """The answer to the first batch of this shape."""
        if batch.shape not in self._answers:
            self._answers[batch.shape] = self._network.run(batch)
        return self._answers[batch.shape]


def body_by_the_oracle(network: Recorded, picture: Picture) -> tuple[Any, ...]:
    """Candidate and subset."""
    normalised, content, size = prepared(picture, 0.5)
    heat, paf = network.run(normalised)
    heat_full = oracle.full_size(np.maximum(heat[0], 0), content, size)
    heats, pafs = oracle.average([heat_full], [oracle.full_size(paf[0], content, size)])
    result = oracle.decode(heats, pafs)
    return result.candidate, result.subset


def hand_by_the_oracle(network: Recorded, crop: Picture) -> tuple[Any, ...]:
    """The 21 points."""
    mean = np.zeros((22, *crop.shape[:2]))
    for scale in HAND_SCALES:
        normalised, content, size = prepared(crop, scale)
        heat = network.run(normalised).heat[0]
        mean += oracle.full_size(heat, content, size) / np.float32(len(HAND_SCALES))
    return (hand_oracle.points(mean)[:, :2].astype(int),)


def prepared(picture: Picture, scale: float) -> tuple[Any, tuple[int, int], tuple[int, int]]:
    """A network input (1, h, w, 3) for `Recorded`, the content's size and the picture's."""
    normalised, down, right = oracle.preprocess(picture, scale)
    height, width = normalised.shape[2:]
    # Only its shape is asked for.
    shown = normalised.transpose(0, 2, 3, 1)
    return shown, (width - right, height - down), (picture.shape[1], picture.shape[0])


def cases() -> Iterator[tuple[str, Body | Hand, Picture, Callable[..., tuple[Any, ...]]]]:
    """Name, ours, what it is shown, and the oracle's."""
    one = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    with Body("lite", threads=1) as body:
        for name, picture in (("1 person", one), ("6 people", np.tile(one, (2, 3, 1)))):
            height, width = picture.shape[:2]
            yield f"`Body`, {width} x {height}, {name}", body, picture, body_by_the_oracle
    if not HANDS.exists():
        return
    hand = read_hands()[0]
    x, y, side, _ = (max(0, int(value)) for value in hand.square)
    with Hand("lite", threads=1) as look:
        for size in CROPS:
            crop = cv2.resize(hand.picture[y : y + side, x : x + side], (size, size))
            shown = np.asarray(crop, np.uint8)
            yield f"`Hand`, {size} x {size}", look, shown, hand_by_the_oracle


def main() -> None:
    """Print the table as Markdown."""
    cv2.setNumThreads(1)
    print(f"Without the network, 1 thread, {RUNS} turns. {machine()}.\n")
    print("| | ours, ms | oracle, ms | ratio |\n| --- | ---: | ---: | ---: |")
    for name, ours, picture, theirs in cases():
        recorded = Recorded(ours._network)
        ours._network = recorded  # type: ignore[assignment]
        found, expected = ours(picture), theirs(recorded, picture)
        for one, other in zip(
            found if isinstance(found, tuple) else (found,), expected, strict=True
        ):
            assert len(one) > 0
            assert np.array_equal(one, other), f"{name}: results differ"
        times: list[tuple[float, float]] = []
        for _ in range(RUNS):
            start = time.perf_counter()
            ours(picture)
            middle = time.perf_counter()
            theirs(recorded, picture)
            times.append((middle - start, time.perf_counter() - middle))
        mine, its = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(f"| {name} | {mine:.0f} | {its:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
