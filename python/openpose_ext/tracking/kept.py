"""Selection of people if their number is limited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openpose_ext.types.poses import Poses

__all__ = ["Kept"]


class Kept:
    """Keeps a limited number of people per frame, the same ones as long as they are seen.

    count  maximum number of people

    People who were kept before have priority, the longest kept first. Free places go to the most
    prominent of the others, see `Poses.most_prominent`: first of those with an id, then of those
    without one (-1). Who has no body is kept besides.
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
        bodies = ~poses.bodiless
        known = bodies & (poses.ids >= 0)
        before = sorted(
            (i for i in poses.ids[known].tolist() if i in self._since), key=self._since.__getitem__
        )
        kept = known & np.isin(poses.ids, before[: self._count])
        numbered = replace(poses, ids=np.arange(len(poses)))
        for others in (known & ~kept, bodies & ~known):
            best = numbered[others].most_prominent(self._count - int(kept.sum()))
            assert best.ids is not None
            kept[best.ids] = True
        for one in poses.ids[known & kept].tolist():
            self._since.setdefault(one, self._frame)
        return poses[kept | ~bodies]
