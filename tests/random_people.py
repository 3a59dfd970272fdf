"""People as no network finds them: random, with everything that `Poses` may hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18, Topology

SIZE = (640, 480)


def people(
    count: int,
    topology: Topology = COCO_18,
    *,
    hands: bool = False,
    faces: bool = False,
    ids: bool = False,
) -> Poses:
    """Random people: a third of the parts missing, some filled."""
    rng = np.random.default_rng(count)

    def points(*shape: int) -> np.ndarray:
        made = rng.uniform((0, 0, 0.06), (*SIZE, 1), (*shape, 3)).astype(np.float32)
        made[rng.random(shape) < 0.33] = 0
        return made

    keypoints = points(count, len(topology.parts))
    filled = (rng.random(keypoints.shape[:2]) < 0.2) & (keypoints[..., 2] > 0)
    keypoints[filled, 2] *= np.float32(0.05)
    return Poses(
        keypoints=keypoints,
        scores=np.sort(rng.random(count, np.float32))[::-1].copy(),
        filled=filled,
        topology=topology,
        size=SIZE,
        hands=points(count, 2, 21) if hands else None,
        ids=np.arange(count) + 7 if ids else None,
        faces=points(count, 70) if faces else None,
    )


def frames(
    count: int, topology: Topology = COCO_18, *, rate: float | None = 25, **extras: bool
) -> Iterator[tuple[Frame, Poses]]:
    """Frames of a video, or pictures if `rate` is None, with 0, 1, 2, 3, 0, ... people."""
    for index in range(count):
        picture = np.full((SIZE[1], SIZE[0], 3), index % 200, np.uint8)
        if rate is None:
            frame = Frame(picture, f"photos/{index}.jpg")
        else:
            frame = Frame(picture, "a video.mp4", index, index / rate)
        yield frame, people(index % 4, topology, **extras)
