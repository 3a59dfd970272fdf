"""Single frames from visitors' webcams; only the newest of each visitor is processed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from time import monotonic

from openpose_ext.serve.budget import Budget
from openpose_ext.serve.cost import Header, plan
from openpose_ext.serve.estimators import Estimators
from openpose_ext.serve.options import Options
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.pipeline import followed
from openpose_ext.tracking.kept import Kept
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["OvertakenError", "Webcams"]

_KEEP = 5.0  # seconds for which people's places are remembered
_SOURCE = "webcam"


class OvertakenError(Exception):
    """A newer frame of the same visitor has come."""


class Webcams:
    """Finds the people in visitors' frames, and gives them ids if asked to. Thread-safe."""

    def __init__(self, estimators: Estimators, budget: Budget) -> None:
        self._estimators = estimators
        self._budget = budget
        self._lock = Lock()
        self._cameras: dict[str, _Camera] = {}

    def came(self, visitor: str) -> int:
        """Note that a frame has come; returns its number, for `people`."""
        with self._lock:
            now = monotonic()
            for old in [v for v, one in self._cameras.items() if now - one.newest_at > _KEEP]:
                del self._cameras[old]
            return self._cameras.setdefault(visitor, _Camera()).came(now) if visitor else 0

    def people(
        self, file: Path, header: Header, options: Options, visitor: str, number: int
    ) -> tuple[Frame, Poses]:
        """The people of a frame in a file. Raises OvertakenError if a newer frame has come,
        SourceError if the file cannot be decoded."""
        with self._lock:
            camera = self._cameras.get(visitor) or _Camera()

        def overtaken() -> bool:
            return bool(visitor) and camera.newest != number

        with camera.lock:
            if overtaken():
                raise OvertakenError
            needed = plan(header, self._budget.total, 1, plain=False).bytes
            with (
                self._estimators.lent(options.of_networks, overtaken) as estimator,
                self._budget.reserved(needed, overtaken),
            ):
                frame = Frame(read_picture(file), _SOURCE, number, camera.age)
                return camera.follow(frame, estimator(frame), options)


class _Camera:
    """The people's places in a visitor's frames.

    newest     number of the newest frame
    newest_at  time at which it came
    lock       held while a frame is processed
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.newest = 0
        self._since = self.newest_at = monotonic()
        self._options: Options | None = None
        self._next: tuple[Frame, Poses, None] | None = None

    @property
    def age(self) -> float:
        """Seconds since the first frame."""
        return monotonic() - self._since

    def came(self, now: float) -> int:
        self.newest += 1
        self.newest_at = now
        return self.newest

    def follow(self, frame: Frame, poses: Poses, options: Options) -> tuple[Frame, Poses]:
        """A frame and its people, with ids or smoothed if the options say so."""
        most = options.number_people_max
        if not options.follows:
            return frame, poses.most_prominent(most) if most else poses
        if options != self._options:
            self._options = options
            self._kept = Kept(most) if most else None
            self._following = followed(self._pushed(), rate=None, smooth=options.smooth, live=True)
        self._next = frame, poses, None
        _, people, _ = next(self._following)
        return frame, (people if self._kept is None else self._kept(people)).by_id()

    def _pushed(self) -> Iterator[tuple[Frame, Poses, None]]:
        while self._next is not None:
            pushed, self._next = self._next, None
            yield pushed
