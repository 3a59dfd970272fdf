"""Selection of people if their number is limited."""

from __future__ import annotations

import numpy as np

from openpose_ext.types.poses import Poses

__all__ = ["Kept"]


class Kept:
    """Keeps a limited number of people per frame, the same ones as long as they are seen.

    count  maximum number of people

    People who were kept before have priority, the longest kept first. Free places go to the most
    prominent of the others; see `Poses.most_prominent`. Who has no body is kept besides.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._since: dict[int, int] = {}  # id: number of the frame in which it was first kept
        self._frame = 0

    def __call__(self, poses: Poses) -> Poses:
        """The people of the next frame who are kept, in their order.

        Raises ValueError if people have no ids.
        """
        if poses.ids is None:
            raise ValueError("people need ids to be kept from frame to frame")
        self._frame += 1
        bodiless = poses.bodiless  # nobody's id tells who they are
        ids = poses.ids[~bodiless].tolist()
        before = sorted((i for i in ids if i in self._since), key=self._since.__getitem__)
        chosen = before[: self._count]
        others = poses[~bodiless & ~np.isin(poses.ids, before)]
        free = others.most_prominent(self._count - len(chosen))
        assert free.ids is not None
        chosen += free.ids.tolist()
        for one in chosen:
            self._since.setdefault(one, self._frame)
        return poses[bodiless | np.isin(poses.ids, chosen)]
