"""Lists the inputs and cuts them into units of work, incrementally."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from openpose_ext.batch.places import open_address, read, resolved, steadily
from openpose_ext.errors import SourceError
from openpose_ext.io.container import is_address
from openpose_ext.sources.listing import PICTURES, VIDEOS, Kind, each_input
from openpose_ext.sources.video import KeyFrame, key_frames

__all__ = ["BatchRequest", "Failure", "Item", "Unit", "cut", "units"]


class Failure(NamedTuple):
    """An input, or a part of it, that cannot be read, with the reason."""

    source: str
    reason: str

    @classmethod
    def of(cls, source: str, error: Exception) -> Failure:
        return cls(source, str(error).removeprefix(f"{source}: "))


@dataclass(frozen=True)
class BatchRequest:
    """A request: everything that the results depend on, and the place of the results.

    inputs   files, folders, patterns, lists and addresses
    output   folder or address of the shards
    network  arguments for `PoseEstimator`
    frames   maximum number of pictures in a shard, and minimum number of frames of a video
    json     folder or address of OpenPose's JSON, or None
    detect_every  the network sees every so many frames of a video as a whole, from the shard's
             first frame on
    keep_filled  whether parts that the decoder filled are written, too
    run      a name for this run; results do not depend on it
    """

    inputs: tuple[str, ...]
    output: str
    network: dict[str, Any]
    frames: int
    json: str | None = None
    detect_every: int = 1
    keep_filled: bool = False
    run: str = ""

    def claim(self) -> bytes:
        """The text that is stored in the output for later commands."""
        asked = {
            "inputs": self.inputs,
            "network": self.network,
            "shard_frames": self.frames,
            "write_json": self.json,
            "detect_every": self.detect_every,
            "keep_filled": self.keep_filled,
        }
        return (json.dumps(asked, indent=1, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Item:
    """A file.

    name     path or address
    stamp    its size and time of change
    outputs  name of its results, without suffixes
    """

    name: str
    stamp: str
    outputs: str


@dataclass(frozen=True)
class Unit:
    """The work that a worker does at a time.

    items     pictures, of which some may be animated; or one video
    is_video  whether it is a video
    start     the key frame of the video to start at, None for its beginning
    last      the last frame of the video, None for its end
    failure   reason why there is nothing to do, usually None
    """

    items: tuple[Item, ...] = ()
    is_video: bool = False
    start: KeyFrame | None = None
    last: int | None = None
    failure: Failure | None = None

    def shard(self, job: BatchRequest) -> str:
        """The name of its shard, which is the same for the same work."""
        said = repr((job.network, job.json, job.detect_every, job.keep_filled, self))
        return f"shards/{hashlib.blake2b(said.encode(), digest_size=12).hexdigest()}.parquet"


def units(job: BatchRequest) -> Iterator[Unit]:
    """The units of a job, videos whole, while its inputs are listed.

    The pictures of a unit come from one folder, so that new pictures in other folders do not change
    it. Each file occurs once, even if several inputs name it.
    """
    names = _Names()
    seen: set[int] = set()
    several = len(job.inputs) > 1 or job.inputs[0].endswith(".txt")
    for given in job.inputs:
        group: list[Item] = []
        for found in _Listing(given):
            if isinstance(found, Failure):
                yield Unit(failure=found)
                continue
            if several and _is_known(hash(found.name), seen):
                continue
            folder = posixpath.dirname(found.name)
            if group and (len(group) == job.frames or posixpath.dirname(group[-1].name) != folder):
                yield Unit(tuple(group))
                group.clear()
            outputs = names.of(found.relative, found.root) if job.json else ""
            item = Item(found.name, found.stamp, outputs)
            if found.kind == "video":
                yield Unit((item,), is_video=True)
            elif found.kind in ("picture", "animation"):  # told apart when they are read
                group.append(item)
            else:
                yield Unit(failure=Failure(found.name, "key points of OpenPose, no pictures"))
        if group:
            yield Unit(tuple(group))


def cut(unit: Unit, frames: int) -> Iterator[Unit]:
    """Cut the unit of a video at key frames, into units with a minimum number of frames."""
    if not unit.is_video:
        yield unit
        return
    (item,) = unit.items
    opened = partial(open_address, item.name) if is_address(item.name) else None
    try:
        keys = key_frames(item.name, frames, opened)
    except SourceError as error:
        yield Unit(failure=Failure.of(item.name, error))
        return
    starts = (None, *keys)
    for start, following in zip(starts, (*keys, None), strict=True):
        last = following.number - 1 if following else None
        yield Unit(unit.items, is_video=True, start=start, last=last)


class _ListedFile(NamedTuple):
    name: str
    stamp: str
    kind: Kind
    relative: str  # below the root, with `/`
    root: str


@dataclass(frozen=True)
class _Listing:
    """The files of one input; iterate over it once."""

    given: str
    failures: list[Failure] = field(default_factory=list)

    def __iter__(self) -> Iterator[_ListedFile | Failure]:
        found = False
        try:
            for file in self._remote() if is_address(self.given) else self._local():
                found = True
                yield from self._failures()
                yield file
        except (ValueError, SourceError) as error:
            self.failures.append(Failure.of(self.given, error))
        except OSError as error:
            self._unlisted(error)
        if not found and not self.failures:
            self.failures.append(Failure(self.given, "nothing matches it"))
        yield from self._failures()

    def _failures(self) -> Iterator[Failure]:
        while self.failures:
            yield self.failures.pop(0)

    def _unlisted(self, error: OSError) -> None:
        place = os.fspath(error.filename or self.given)
        self.failures.append(Failure(place, f"it cannot be listed: {error.strerror or error}"))

    def _local(self) -> Iterator[_ListedFile]:
        for file in each_input(self.given, self._unlisted):
            try:
                status = file.path.stat()
                stamp = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:
                stamp = ""  # reading it gives the error
            relative, root = file.relative.as_posix(), file.root.name
            yield _ListedFile(os.fspath(file.path), stamp, file.kind, relative, root)

    def _remote(self) -> Iterator[_ListedFile]:
        system, path = resolved(self.given)
        if path.endswith(".txt"):
            for line in filter(None, map(str.strip, read(self.given).decode().splitlines())):
                address = line if is_address(line) else posixpath.dirname(self.given) + "/" + line
                yield from _Listing(address)._remote()
            return
        if any(sign in path for sign in "*?["):
            matches = steadily(lambda: system.glob(path, detail=True))
            fixed = path[: min(path.index(sign) for sign in "*?[" if sign in path)]
            yield from self._of(system, sorted(matches.items()), posixpath.dirname(fixed))
            return
        status = _status(system, path)
        if status is None:
            return
        if status["type"] == "file":
            yield self._file(system, path, status, posixpath.dirname(path))
            return
        yield from self._below(system, path)

    def _below(self, system: Any, root: str) -> Iterator[_ListedFile]:
        folders = [root]
        while folders:
            folder = folders.pop()
            try:
                listed = steadily(partial(system.ls, folder, detail=True))
            except Exception as error:  # each file system has its own
                self._unlisted(OSError(0, str(error), system.unstrip_protocol(folder)))
                continue
            entries = {entry["name"].rstrip("/"): entry for entry in listed}
            entries.pop(folder.rstrip("/"), None)  # the entry of the folder itself
            yield from self._of(system, sorted(entries.items()), root)
            inner = (name for name, entry in entries.items() if entry["type"] == "directory")
            folders += sorted(inner, reverse=True)

    def _of(
        self, system: Any, listed: Sequence[tuple[str, dict[str, Any]]], root: str
    ) -> Iterator[_ListedFile]:
        for path, status in listed:
            name = posixpath.basename(path)
            known = posixpath.splitext(name)[1].lower() in PICTURES | VIDEOS
            if status["type"] == "file" and known and not name.startswith("."):
                yield self._file(system, path, status, root)

    def _file(self, system: Any, path: str, status: dict[str, Any], root: str) -> _ListedFile:
        changed = next((status[key] for key in ("ETag", "mtime", "created") if key in status), "")
        is_video = posixpath.splitext(path)[1].lower() in VIDEOS
        return _ListedFile(
            system.unstrip_protocol(path),
            f"{status['size']} {changed}",
            "video" if is_video else "picture",
            posixpath.relpath(path, root),
            posixpath.basename(root),
        )


def _status(system: Any, path: str) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = steadily(lambda: system.info(path))
        return status
    except FileNotFoundError:
        return None
    except Exception as error:
        raise SourceError(str(error)) from error


class _Names:
    """The names of results, as in `run.names.output_names`, but incrementally: the first of several
    files with the same name gets it."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def of(self, relative: str, root: str) -> str:
        short = Path(relative).with_suffix("").as_posix()
        names = (short, relative, f"{root}/{relative}")
        number = 2
        for name in names:
            if not _is_known(hash(name), self._taken):
                return name
        while _is_known(hash(f"{names[-1]}_{number}"), self._taken):
            number += 1
        return f"{names[-1]}_{number}"


def _is_known(digest: int, known: set[int]) -> bool:
    """Whether a number occurred before; records it."""
    before = digest in known
    known.add(digest)
    return before
