"""Counts the work of a command and the time of its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["Tally"]


@dataclass
class Tally:
    """The work of a run so far.

    pictures, frames  number of each that is done; frames are those of videos and cameras
    people            number of people in them
    failed            number of inputs and frames that could not be read
    existing          number of pictures, videos and frames skipped because their results exist
    outputs           number of inputs skipped because they are results
    seconds           by stage, summed over all pictures and frames; these overlap in time
    """

    begun: float = field(default_factory=time.perf_counter)
    pictures: int = 0
    frames: int = 0
    people: int = 0
    failed: int = 0
    existing: int = 0
    outputs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    _adding: Lock = field(default_factory=Lock)

    def count(self, frame: Frame, poses: Poses | None) -> None:
        """Count a finished frame, or a skipped one (`poses` is None)."""
        if poses is None:
            self.existing += 1
            return
        self.people += len(poses)
        if frame.time is None:
            self.pictures += 1
        else:
            self.frames += 1

    def add(self, timings: Mapping[str, float]) -> None:
        """Add the seconds of some stages; may be called from any thread."""
        with self._adding:
            for stage, seconds in timings.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of a `with` block to a stage."""
        start = time.perf_counter()
        yield
        self.add({stage: time.perf_counter() - start})

    def summary(self) -> str:
        """A summary, with the mean time of each stage per picture or frame."""
        counts = [_counted(self.frames, "frame", "frames")] if self.frames else []
        if self.pictures or not self.frames:
            counts.insert(0, _counted(self.pictures, "picture", "pictures"))
        counts += [
            _counted(self.people, "person", "people"),
            f"{self.failed} failed",
        ]
        counts += [f"{self.existing} done before"] if self.existing else []
        counts += (
            [_counted(self.outputs, "output", "outputs") + " left out"] if self.outputs else []
        )
        total = time.perf_counter() - self.begun
        stages = ", ".join(
            f"{stage} {1e3 * seconds / max(self.pictures + self.frames, 1):.1f}"
            for stage, seconds in self.seconds.items()
        )
        each = "frame" if self.frames else "picture"
        per_picture = f"; ms a {each}: {stages}" if stages else ""
        return f"{', '.join(counts)} in {total:.1f} s{per_picture}"


def _counted(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
