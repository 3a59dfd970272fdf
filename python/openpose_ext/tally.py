"""What a command has done so far, and what took how long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Tally"]


@dataclass
class Tally:
    """What a run has done so far.

    pictures, people  done, and found in them
    failed            inputs that could not be read
    existing          inputs left out because their results exist
    outputs           inputs left out because they are results
    seconds           by stage, over all pictures done
    """

    begun: float = field(default_factory=time.perf_counter)
    pictures: int = 0
    people: int = 0
    failed: int = 0
    existing: int = 0
    outputs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, timings: Mapping[str, float]) -> None:
        """Count the seconds of stages."""
        for stage, seconds in timings.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time of a `with` block for a stage."""
        start = time.perf_counter()
        yield
        self.add({stage: time.perf_counter() - start})

    def summary(self) -> str:
        """What was done, and the mean time of each stage for a picture."""
        counts = [
            _counted(self.pictures, "picture", "pictures"),
            _counted(self.people, "person", "people"),
            f"{self.failed} failed",
        ]
        counts += [f"{self.existing} done before"] if self.existing else []
        counts += (
            [_counted(self.outputs, "output", "outputs") + " left out"] if self.outputs else []
        )
        total = time.perf_counter() - self.begun
        stages = ", ".join(
            f"{stage} {1e3 * seconds / max(self.pictures, 1):.1f}"
            for stage, seconds in self.seconds.items()
        )
        per_picture = f"; ms a picture: {stages}" if stages else ""
        return f"{', '.join(counts)} in {total:.1f} s{per_picture}"


def _counted(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
