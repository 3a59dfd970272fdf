"""The code of Ray's actors; each opens its estimator when the first picture arrives."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from openpose_ext.batch.diary import MOST_DEATHS, Diary
from openpose_ext.batch.inputs import BatchRequest, Failure, Item, Unit
from openpose_ext.batch.places import Place, open_address, read
from openpose_ext.errors import BackendError, ModelError, OutputError, SourceError
from openpose_ext.io.container import is_address
from openpose_ext.io.cpus import use_a_core_for_each_frame
from openpose_ext.io.opencv import silence_opencv
from openpose_ext.outputs.openpose_json import openpose_bytes
from openpose_ext.outputs.parquet import table
from openpose_ext.outputs.tables import rows
from openpose_ext.sources.animation import Animation, is_animated
from openpose_ext.sources.pictures import decode_picture, read_picture
from openpose_ext.sources.source import View
from openpose_ext.sources.video import Video
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import overlapped
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["Outcome", "PoseActor", "Shards"]

# Parallel reads from an object store, which is slow to answer but serves many at once.
_READERS = 8

# The errors that a picture may cause.
_BAD_PICTURE = (SourceError, ValueError, MemoryError, cv2.error)

_METADATA = b"openpose_ext"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a unit.

    shard    its name; empty if there was nothing to write
    inputs   number of files; a video counts with its first unit
    frames   number of processed frames
    people   number of people found
    errors   inputs that could not be read
    done     whether its shard existed before
    begun    start of the work, and
    ended    its end, in seconds since 1970
    cpu      CPU seconds
    fatal    the reason for ending the whole job, with the name of the error, or None
    note     a sentence for the user, or ""
    """

    shard: str = ""
    inputs: int = 0
    frames: int = 0
    people: int = 0
    errors: tuple[Failure, ...] = ()
    done: bool = False
    begun: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    fatal: tuple[str, str] | None = None
    note: str = ""


class _Moving(NamedTuple):
    """A frame of a video or an animated picture, and what finds its people."""

    item: Item
    frame: Frame
    find: Callable[[Frame], Poses]


_Fetched = tuple[Item, bytes | Exception]  # a file's content, or why there is none


class _DamagedError(Exception):
    """A shard is not what was written."""


class Shards:
    """Turns units into shards.

    job      the request
    threads  number of cores it may use

    Used as an actor of Ray Data, or called directly; one call at a time.
    """

    def __init__(self, job: BatchRequest, threads: int = 1) -> None:
        use_a_core_for_each_frame()
        silence_opencv()
        self._job = job
        self._threads = threads
        self._output = Place(job.output)
        self._json = None if job.json is None else Place(job.json)

    def __call__(self, unit: Unit) -> Outcome:
        """Process a unit unless it is done. An error that ends the job is part of the outcome."""
        if unit.failure is not None:
            return Outcome(inputs=1, errors=(unit.failure,))
        shard = unit.shard(self._job)
        try:
            note = ""
            try:
                found = self._found(shard)
            except _DamagedError as error:
                found, note = None, f"{self._output.name}/{shard} is damaged ({error}); done again"
            if found is not None:
                return found
            diary = Diary(self._output, shard, self._job.run)
            if diary.deaths() >= MOST_DEATHS:
                raise BackendError(
                    f"{MOST_DEATHS} workers died before their first picture; is there enough "
                    "memory for the network?"
                )
            made = self._made(unit, shard, diary)
            diary.close()
            return replace(made, note=note)
        except (ModelError, BackendError, OutputError) as error:
            return Outcome(fatal=(type(error).__name__, str(error)))

    @cached_property
    def _estimator(self) -> PoseEstimator:
        try:
            return PoseEstimator(**self._job.network, threads=self._threads, streams=self._threads)
        except ValueError as error:
            raise ModelError(str(error)) from error

    def _found(self, shard: str) -> Outcome | None:
        """The outcome of an existing shard, None if there is none. Raises _DamagedError if it is
        not complete."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self._output.get(shard)
        if data is None:
            return None
        try:
            # Read all of it, which checks each page's checksum.
            with pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True) as file:
                file.read()
                told = json.loads(file.schema_arrow.metadata[_METADATA])
            told["errors"] = tuple(Failure(*error) for error in told["errors"])
            return Outcome(shard=shard, done=True, **told)
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise _DamagedError(" ".join(str(error).split())[:100] or "no rows") from error

    def _made(self, unit: Unit, shard: str, diary: Diary) -> Outcome:
        import pyarrow.parquet as pq

        _ = self._estimator  # open it now, so that its time is not counted
        begun, cpu = time.time(), time.process_time()
        errors: list[Failure] = []
        found = []
        with closing(self._looked_at(unit, errors, diary)) as looked_at:
            for frame, poses in looked_at:
                found.append((poses, frame.source, frame.index, frame.time))
        told: dict[str, Any] = {
            "inputs": 0 if unit.start else len(unit.items),
            "frames": len(found),
            "people": sum(len(poses) for poses, *_ in found),
            "errors": errors,
        }
        metadata = {_METADATA: json.dumps(told).encode()}
        buffer = io.BytesIO()
        # All rows at once: converting each frame's rows by itself takes 5 % of the frame's time.
        shard_rows = table([rows(*one) for one in found])
        pq.write_table(
            shard_rows.replace_schema_metadata(metadata), buffer, write_page_checksum=True
        )
        self._output.put(shard, buffer.getvalue())
        told["errors"] = tuple(errors)
        return Outcome(
            shard=shard,
            begun=begun,
            ended=time.time(),
            cpu=time.process_time() - cpu,
            **told,
        )

    def _looked_at(
        self, unit: Unit, errors: list[Failure], diary: Diary
    ) -> Generator[tuple[Frame, Poses], None, None]:
        """The frames of a unit with their people; also writes the JSON."""
        work = self._video(unit, errors, diary) if unit.is_video else self._pictures(unit, diary)
        try:
            for found in work:
                if isinstance(found, Failure):
                    errors.append(found)
                else:
                    yield found
        except SourceError as error:  # a video that cannot be opened
            errors.append(Failure.of(unit.items[0].name, error))

    def _pictures(self, unit: Unit, diary: Diary) -> Iterator[tuple[Frame, Poses] | Failure]:
        def fetch(item: Item) -> _Fetched:
            try:
                return item, read(item.name)
            except SourceError as error:
                return item, error

        def apart(fetched: Iterable[_Fetched]) -> Iterator[_Fetched | _Moving]:
            for item, data in fetched:
                if isinstance(data, bytes) and is_animated(io.BytesIO(data)):
                    yield from self._moving(item, data)
                else:
                    yield item, data

        def look(one: _Fetched | _Moving) -> tuple[Frame, Poses] | Failure:
            if isinstance(one, _Moving):
                return self._found_in(one)
            item, data = one
            try:
                if isinstance(data, Exception):
                    raise data
                frame = Frame(decode_picture(data, item.name), item.name)
                return self._written(frame, self._estimator(frame), item.outputs)
            except _BAD_PICTURE as error:
                return Failure.of(item.name, error)

        if diary.careful:
            for item in unit.items:
                if diary.deaths(item.name) >= MOST_DEATHS:
                    yield Failure(
                        item.name, f"{MOST_DEATHS} workers died while processing it; left out"
                    )
                    continue
                diary.at(item.name)
                yield from map(look, apart([fetch(item)]))
            return
        readers = _READERS if is_address(unit.items[0].name) else 1
        with closing(overlapped(unit.items, fetch, readers)) as fetched:
            yield from overlapped(apart(fetched), look, self._threads)

    def _moving(self, item: Item, data: bytes) -> Iterator[_Fetched | _Moving]:
        """The frames of an animated picture, and what is wrong with it."""
        errors: list[Exception] = []
        watch = self._estimator.watch(self._job.detect_every)
        try:
            with Animation(item.name, data=data, report=errors.append) as frames:
                for number, frame in enumerate(frames):
                    yield _Moving(item, frame, partial(watch, number))
        except _BAD_PICTURE as error:
            errors.append(error)
        yield from ((item, error) for error in errors)

    def _found_in(self, one: _Moving) -> tuple[Frame, Poses] | Failure:
        try:
            poses = one.find(one.frame)
            return self._written(one.frame, poses, f"{one.item.outputs}_{one.frame.index:012d}")
        except _BAD_PICTURE as error:
            return Failure(one.item.name, f"frame {one.frame.index}: {error}")

    def _video(
        self, unit: Unit, errors: list[Failure], diary: Diary
    ) -> Iterator[tuple[Frame, Poses] | Failure]:
        (item,) = unit.items
        if diary.deaths(item.name) >= MOST_DEATHS:
            first = unit.start.number if unit.start else 0
            last = "its end" if unit.last is None else unit.last
            yield Failure(
                item.name,
                f"{MOST_DEATHS} workers died while processing it; left out from frame {first} "
                f"to {last}",
            )
            return
        diary.at(item.name)
        watch = self._estimator.watch(self._job.detect_every)

        def look(numbered: tuple[int, Frame]) -> tuple[Frame, Poses] | Failure:
            number, frame = numbered
            return self._found_in(_Moving(item, frame, partial(watch, number)))

        source = Video(
            item.name,
            view=View(first=unit.start.number if unit.start else 0, last=unit.last),
            report=lambda error: errors.append(Failure.of(item.name, error)),
            start=unit.start,
            opened=partial(open_address, item.name) if is_address(item.name) else None,
        )
        with source:
            yield from overlapped(enumerate(source), look, self._threads)

    def _written(self, frame: Frame, poses: Poses, name: str) -> tuple[Frame, Poses]:
        if not self._job.keep_filled:
            poses = poses.without_filled()
        if self._json is not None:
            self._json.put(f"{name}_keypoints.json", openpose_bytes(poses))
        return frame, poses


class PoseActor:
    """Finds people in the batches of a pipeline: a class for `ray.data.Dataset.map_batches`.

    network  arguments for `PoseEstimator`; `threads` defaults to the actor's CPUs

    A batch has pictures in the column "image" (RGB, from `ray.data.read_images`), whole files in
    "bytes" (from `ray.data.read_binary_files`), or names of files in "path". The result has the
    rows of `outputs.tables`, one per part. `source` comes from the column "path" if it exists,
    `frame` from a column "frame" (otherwise 0), and `time` from a column "time".

    Raises SourceError for a picture that cannot be read.
    """

    def __init__(self, **network: Any) -> None:
        import ray

        use_a_core_for_each_frame()
        context: Any = ray.get_runtime_context()
        cpus = context.get_assigned_resources().get("CPU", 1)
        self._estimator = PoseEstimator(**{"threads": max(1, int(cpus)), **network})

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        found = self._estimator.stream(_frames(batch))
        seen = [(frame, poses.without_filled()) for frame, poses in found]
        return table([rows(p, frame.source, frame.index, frame.time) for frame, p in seen])


def _frames(batch: Mapping[str, Any]) -> Iterator[Frame]:
    """The pictures of a batch, from any of these columns."""
    kind = next((name for name in ("image", "bytes", "path") if name in batch), None)
    if kind is None:
        raise ValueError(f'a batch needs a column "image", "bytes" or "path", not {list(batch)}')
    for row, given in enumerate(batch[kind]):
        source = str(batch["path"][row]) if "path" in batch else ""
        if kind == "image":
            picture = np.ascontiguousarray(np.asarray(given, np.uint8)[..., ::-1])
        elif kind == "bytes":
            picture = decode_picture(bytes(given), source or f"picture {row} of the batch")
        else:
            picture = read_picture(source)
        frame = int(batch["frame"][row]) if "frame" in batch else 0
        yield Frame(picture, source, frame, float(batch["time"][row]) if "time" in batch else None)
