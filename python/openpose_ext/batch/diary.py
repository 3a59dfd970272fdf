"""What a unit's workers were at when they died: how a picture that kills its worker is found.

Nobody can say anything after a crash, so it is said before: a worker leaves a note beside the shard
to be, and takes it away when the shard is there. Whoever finds a note of the same run follows a
worker that has died. From then on pictures are looked at one after the other, each with a note of
its own, until the note names the same one too often.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

from openpose_ext.batch.places import Place

__all__ = ["MOST_DEATHS", "Diary"]

MOST_DEATHS = 3  # of workers at one picture, after which it is left out

_BEGINNING = ""  # what they are at who are at no picture of their own


class Diary:
    """The note of a unit; reads what those before have left.

    place  where shards go
    shard  the name of the unit's
    run    the job's; notes of others are from runs that were ended from outside
    """

    def __init__(self, place: Place, shard: str, run: str) -> None:
        self._place = place
        self._name = f"{shard.removesuffix('.parquet')}.begun"
        self._run = run
        self._deaths: Counter[str] = Counter()
        left = place.get(self._name)
        if left is not None:
            with suppress(ValueError, TypeError, KeyError, RecursionError):  # a note that was cut
                told = json.loads(left)
                if told["run"] == run:
                    self._deaths.update(told["deaths"])
                    self._deaths[told["at"]] += 1
        self.at(_BEGINNING)

    @property
    def careful(self) -> bool:
        """Whether a worker has died at this unit."""
        return bool(self._deaths)

    def at(self, name: str) -> None:
        """Note what comes next."""
        note = {"run": self._run, "deaths": self._deaths, "at": name}
        self._place.put(self._name, json.dumps(note).encode())

    def deaths(self, name: str = _BEGINNING) -> int:
        """How many workers died at something, or before they were at anything.

        The first of those who died at the unit's beginning may have been at any picture of it.
        """
        somewhere = self._deaths[_BEGINNING]
        return somewhere if name == _BEGINNING else self._deaths[name] + min(1, somewhere)

    def close(self) -> None:
        """Take the note away: the unit is done."""
        self._place.remove(self._name)
