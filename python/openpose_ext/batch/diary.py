"""Finds pictures that kill their workers, by notes on what each worker is doing.

A crashed worker cannot report anything, so it does so before: it writes a note beside the future
shard, and removes it when the shard exists. A worker that finds a note of the same run knows that
another one died at this unit. From then on it processes the pictures one after the other, each with
a note, until the notes name the same picture too often.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

from openpose_ext.batch.places import Place

__all__ = ["MOST_DEATHS", "Diary"]

MOST_DEATHS = 3  # a picture is left out after so many workers died at it

_BEGINNING = ""  # the note of a worker that processes no single picture


class Diary:
    """The note of a unit; reads the notes of earlier workers.

    place  the place of the shards
    shard  name of the unit's shard
    run    name of this run; notes of other runs are ignored, because those were stopped
    """

    def __init__(self, place: Place, shard: str, run: str) -> None:
        self._place = place
        self._name = f"{shard.removesuffix('.parquet')}.begun"
        self._run = run
        self._deaths: Counter[str] = Counter()
        left = place.get(self._name)
        if left is not None:
            with suppress(ValueError, TypeError, KeyError, RecursionError):  # an incomplete note
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
        """Note the picture that is processed next."""
        note = {"run": self._run, "deaths": self._deaths, "at": name}
        self._place.put(self._name, json.dumps(note).encode())

    def deaths(self, name: str = _BEGINNING) -> int:
        """How many workers died at a picture, or before the first picture.

        The first worker that died at the unit's beginning may have been at any of its pictures.
        """
        somewhere = self._deaths[_BEGINNING]
        return somewhere if name == _BEGINNING else self._deaths[name] + min(1, somewhere)

    def close(self) -> None:
        """Remove the note, because the unit is done."""
        self._place.remove(self._name)
