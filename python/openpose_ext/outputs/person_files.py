"""One file per person, and a list of these files.

The list is JSON and written last. `sources` names the inputs. `people` has an object for each
person: `id`, `file` (its name, null if nothing could be written), the number of `frames` in which
the person was seen, and the `first` and `last` of them. The schema is `schemas/person_files.json`.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from openpose_ext.io.whole import PartFolder
from openpose_ext.outputs.spool import Spool
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.arrays import Floats
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["PersonFiles", "SpooledFile"]

_CUT_SHORT = ".unfinished"


class SpooledFile(FrameWriter):
    """Keeps the people of all frames in a `Spool` until `_finish`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        try:
            self._spool = Spool(self.path)
        except BaseException:
            self._file.discard()
            raise

    @abstractmethod
    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        """N names, and (P, N) float32 values of the people of a frame."""

    def _people(self, poses: Poses) -> Sequence[int]:
        """A number for each person: the id, or without ids the place in the frame."""
        ids = range(len(poses)) if poses.ids is None else poses.ids.tolist()
        return list(ids)

    def _write(self, frame: Frame, poses: Poses) -> None:
        known = poses if poses.ids is None else poses[poses.ids >= 0]
        self._spool.add(frame, self._people(known), *self._values(known))

    def _release(self) -> None:
        self._spool.close()


class PersonFiles(SpooledFile):
    """Writes one file per person after the last frame, and then the list of them.

    path  path of the list, such as `walk_trc.json`; an older list and its files are replaced

    People need ids: `write` raises ValueError without. All files appear together and complete.
    """

    kind: ClassVar[str]  # usual ending of the list's name, such as `_trc`
    ending: ClassVar[str]  # suffix of each file, such as `.trc`

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._mark = ""

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources in its list."""
        return {*json.loads(path.read_bytes())["sources"]}

    def cut_short(self) -> None:
        super().cut_short()
        self._mark = _CUT_SHORT

    def forget_unfinished(self) -> None:
        self._remove(self.path.with_name(f"{self.path.stem}{_CUT_SHORT}{self.path.suffix}"))

    @property
    def _infix(self) -> str:
        """The part of a file's name before `_person`."""
        return ""

    def _name(self, person: int | str) -> str:
        stem = self.path.stem.removesuffix(self._mark).removesuffix(self.kind)
        return f"{stem}{self._infix}_person{person}{self._mark}{self.ending}"

    def _write(self, frame: Frame, poses: Poses) -> None:
        if poses.ids is None and len(poses):
            raise ValueError("files per person need people with ids; see Tracker")
        super()._write(frame, poses)

    def _finish(self) -> None:
        people: list[dict[str, Any]] = []
        with PartFolder(self.path.parent) as made:
            for person in self._spool.people:
                name: str | None = self._name(person)
                if not self._write_person(made.part / self._name(person), person):
                    name = None
                rows = self._spool.rows(person)
                first, last = (self._spool.frames[row].number for row in (rows[0], rows[-1]))
                people.append(
                    {"id": person, "file": name, "frames": len(rows), "first": first, "last": last}
                )
            self._remove(self.path)
            for one in people:
                if one["file"] is not None:
                    made.appear(one["file"])
        sources = [*dict.fromkeys(frame.source for frame in self._spool.frames)]
        self._spool.close()
        text = json.dumps({"sources": sources, "people": people}, separators=(",", ":"))
        self._file.part.write_text(text + "\n", encoding="utf-8")

    def _remove(self, listed: Path) -> None:
        """Remove a list and the files that it names."""
        if not listed.exists():
            return
        try:
            names = [one["file"] for one in json.loads(listed.read_bytes())["people"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            names = []  # another program's file: only this one is replaced
        for name in names:
            if isinstance(name, str) and Path(name).name == name and name.endswith(self.ending):
                (listed.parent / name).unlink(missing_ok=True)
        listed.unlink()

    @abstractmethod
    def _write_person(self, file: Path, person: int) -> bool:
        """Write a person's file; return False if there was nothing to write."""
