"""Opens, fills and closes the files that hold many frames.

Such a file may hold one input, like a video's CSV, or several: all pictures together, or everything
if `--write_csv FILE` is given. It is opened when the first of its inputs begins and closed when the
last one has ended, even if that could not be read.

The files of cameras can be used while the camera runs: JSON lines, CSV (except files per person)
and videos grow under their own names. They are finished however the run ends, and with segments
every so many seconds.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openpose_ext.errors import OutputError, SourceError
from openpose_ext.outputs.angle_plots import AnglePlotsWriter
from openpose_ext.outputs.angles import AnglesWriter
from openpose_ext.outputs.coco_dataset import CocoDatasetWriter
from openpose_ext.outputs.coco_json import CocoWriter
from openpose_ext.outputs.controlnet_json import ControlNetWriter
from openpose_ext.outputs.csv import CsvFile, CsvWriter
from openpose_ext.outputs.deeplabcut import DeepLabCutWriter
from openpose_ext.outputs.json_lines import JsonLinesWriter
from openpose_ext.outputs.parquet import ParquetWriter
from openpose_ext.outputs.pose_format import PoseFormatWriter
from openpose_ext.outputs.trc import TrcWriter
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.outputs.wide_csv import WideCsvWriter
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.run.results import Aside, Results, ends_run
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["Book", "Books", "is_whole"]

_WRITERS: Mapping[str, type[FrameWriter]] = {
    "video": VideoWriter,
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
    "coco_json": CocoWriter,
    "coco_dataset": CocoDatasetWriter,
    "angles": AnglesWriter,
    "csv_wide": WideCsvWriter,
    "trc": TrcWriter,
    "angle_plots": AnglePlotsWriter,
    "deeplabcut": DeepLabCutWriter,
    "pose": PoseFormatWriter,
    "controlnet": ControlNetWriter,
}

# These formats have pixels only, and their own mark for parts that were not seen.
_AS_FOUND = ("coco_json", "coco_dataset", "controlnet")

# These are in pixels, whatever `--keypoint_scale` says.
_IN_PIXELS = ("angles", "trc", "angle_plots", "deeplabcut", "pose")

# Tables that can be read while they are written, like JSON lines and videos.
_GROWING: Mapping[str, type[CsvFile]] = {"csv": CsvWriter, "angles": AnglesWriter}


def is_whole(kind: str, file: Path, sources: Collection[str]) -> bool:
    """Whether a file exists and holds all these sources.

    sources  `Frame.source` of its frames; a single source need not be named in the file
    """
    if not file.exists():
        return False
    if len(sources) <= 1:
        return True
    try:
        return _WRITERS[kind].sources_in(file) >= {*sources}
    except Exception:  # damaged, or written by another program: write it again
        return False


@dataclass(eq=False)
class _Open:
    """A file that is being filled.

    kind, writer  its kind, and what writes it
    live          whether its source only ends by an interruption
    held          sources whose frames are all in it
    given_up      whether a frame could not be written: it gets no more frames and is discarded
    """

    kind: str
    writer: FrameWriter
    live: bool
    held: set[str] = field(default_factory=set)
    given_up: bool = False

    def give_up(self) -> None:
        self.given_up = True
        self.writer.discard()

    def close(self, *, interrupted: bool = False) -> None:
        if self.given_up:
            return
        short = interrupted and not self.live
        if short:
            self.writer.cut_short()
        if isinstance(self.writer, VideoWriter):
            for source in self.held:
                self.writer.hold(source)
        self.writer.close()
        if not short:
            self.writer.forget_unfinished()


class Books:
    """All files of a run that hold many frames; a context manager.

    planned  for each input, the files it is written to
    sources  for each file that several inputs share, the sources it is to hold

    After Ctrl-C the open files are kept with the frames they have; those of inputs that were not
    finished are called `a.unfinished.csv`, and `--skip_existing` processes these inputs again.
    After any other exception only the files of cameras are kept.

    Use it from one thread at a time, in which no signal raises an exception.
    """

    def __init__(
        self,
        planned: Iterable[Collection[Path]] = (),
        sources: Mapping[Path, Collection[str]] | None = None,
    ) -> None:
        self._to_come = Counter(file for files in planned for file in files)
        self._sources = sources or {}
        self._open: dict[Path, _Open] = {}

    def begin(
        self,
        results: Results,
        name: Path,
        report: Callable[[SourceError], object],
        *,
        rate: float | None = None,
        true_rate: float | None = None,
        sound: str | os.PathLike[str] | None = None,
        live: bool = False,
        segment: float | None = None,
    ) -> Book:
        """Begin an input: open those of its files that are not open yet.

        results  what is written, and how
        name     name of its files
        report   called with the error of each of its own files that cannot be written, and once per
                 source for frames that cannot be added
        rate     frames per second at which the source is played, None if it has none
        true_rate  frames per second at which it was recorded, if that differs: slow motion
        sound    the video to take the sound from, or None; files of several inputs have no sound
        live     whether it is a camera, whose files grow
        segment  begin new files every so many seconds: `<name>_000`, `<name>_001`, ..., starting
                 with the first number that no earlier run has used

        Raises OutputError if a file of several inputs cannot be written, or nothing at all.
        """
        files = results.books(name)
        number = None if segment is None else _next_number(results, name)

        def opened(kind: str, number: int | None) -> FrameWriter:
            file = files[kind] if number is None else _segment(results, name, kind, number)
            if kind != "video":
                return _opened(results, kind, file, true_rate or rate, live)
            return self._film(results, file, rate, None if live else sound, live)

        for kind, file in files.items():
            if file not in self._open:
                with self._failing_alone(file, report):
                    self._open[file] = _Open(kind, opened(kind, number), live)
            elif isinstance(writer := self._open[file].writer, VideoWriter):
                writer.next_clip(results.video_rate or rate)
        mine = [self._open[file] for file in files.values() if file in self._open]
        segments = None
        if segment is not None:
            segments = Segments(segment, opened, lambda: _next_number(results, name))
        return Book(results, mine, report, segments)

    def end(self, files: Mapping[str, Path], report: Callable[[SourceError], object]) -> None:
        """End an input, whether it was read or not: close the files that no later input goes to.

        report  called with the error of each of its own files that cannot be written
        """
        for file in files.values():
            self._to_come[file] -= 1
            if self._to_come[file] <= 0 and file in self._open:
                opened = self._open[file]
                with self._failing_alone(file, report):
                    opened.close()
                del self._open[file]

    @contextmanager
    def _failing_alone(self, file: Path, report: Callable[[SourceError], object]) -> Iterator[None]:
        """Report a file that cannot be written. Raise the OutputError if several inputs share the
        file, if a library is missing, or if nothing else can be written either."""
        try:
            yield
        except OutputError as error:
            of_a_file = isinstance(error.__cause__, OSError) and not ends_run(error)
            if file in self._sources or not of_a_file:
                raise
            report(SourceError(str(error)))

    def __enter__(self) -> Books:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        with ExitStack() as last:
            for opened in self._open.values():
                last.callback(opened.writer.discard)  # does nothing if it is closed already
            for opened in self._open.values():
                if kind is None or interrupted or opened.live:
                    last.callback(opened.close, interrupted=interrupted)

    def _film(
        self,
        results: Results,
        file: Path,
        rate: float | None,
        sound: str | os.PathLike[str] | None,
        live: bool,
    ) -> VideoWriter:
        """Open a video."""
        sources = self._sources.get(file, ())
        fixed = results.video_rate
        return VideoWriter(
            file,
            rate=fixed or rate,
            sound=None if fixed or sources else sound,
            sources=sources,
            threads=results.threads,
            quick=results.quick_video,
            grows=live,
        )


def _opened(results: Results, kind: str, file: Path, rate: float | None, live: bool) -> FrameWriter:
    """Open a file of any kind but "video"."""
    if kind == "controlnet":
        return ControlNetWriter(file, **results.drawing.thresholds)
    if kind in _GROWING:
        return _GROWING[kind](file, grows=live, empty_frames=results.empty_frames)
    if kind == "jsonl":
        return JsonLinesWriter(file, grows=live)
    if kind == "csv_wide":
        return WideCsvWriter(file, empty_frames=results.empty_frames)
    if kind == "trc":
        return TrcWriter(file, rate=rate, height=results.person_height)
    if kind == "pose":
        return PoseFormatWriter(file, rate=rate)
    return _WRITERS[kind](file)


def _segment(results: Results, name: Path, kind: str, number: int) -> Path:
    """The file of a kind for one of the segments of an input called `name`."""
    end = f"_{number:03d}"
    file = results.books(name.with_name(name.name + end))[kind]
    named = results.is_file(kind, results.places[kind])
    return file.with_stem(file.stem + end) if named else file


def _next_number(results: Results, name: Path) -> int:
    """The number after the last segment of an input that has files; 0 if there are none.

    Smaller numbers whose files were removed are not used again: names stay in order of time.
    """
    last = -1
    for kind in results.books(name):
        file = _segment(results, name, kind, 0)
        before, _, after = file.name.rpartition("_000")
        numbered = re.compile(f"{re.escape(before)}_([0-9]{{3,}}){re.escape(after)}")
        found = map(numbered.fullmatch, os.listdir(file.parent) if file.parent.is_dir() else ())
        last = max([last, *(int(match[1]) for match in found if match)])
    return last + 1


@dataclass
class Segments:
    """When a camera's next files begin, and which ones.

    seconds      length of each segment
    opened       opens the file of a kind for a segment
    next_number  the number of a new segment, once the files of earlier ones exist
    end          time at which the current segment ends; None before the first frame
    """

    seconds: float
    opened: Callable[[str, int], FrameWriter]
    next_number: Callable[[], int]
    end: float | None = None

    def is_over(self, time: float | None) -> bool:
        """Whether a frame at this time begins the next segment; call it once per frame."""
        if time is None:
            return False
        if self.end is None:
            self.end = time + self.seconds
        if time < self.end:
            return False
        while self.end <= time:  # no empty files for the time in which a camera was lost
            self.end += self.seconds
        return True


class Book:
    """The open files of one input."""

    def __init__(
        self,
        results: Results,
        files: list[_Open],
        report: Callable[[SourceError], object],
        segments: Segments | None = None,
    ) -> None:
        self._results = results
        self._files = files
        self._report = report
        self._segments = segments

    def write(self, frame: Frame, poses: Poses, drawn: Picture | None, aside: Aside) -> None:
        """Add a frame; frames come in the order of their source. Raises OutputError on failure."""
        if self._segments is not None and self._segments.is_over(frame.time):
            for opened in self._files:
                opened.close()
            number = self._segments.next_number()
            for opened in self._files:
                opened.writer = self._segments.opened(opened.kind, number)
                opened.given_up = False
        in_units = self._results.in_units(poses, aside)
        for opened in self._files:
            if opened.given_up:
                continue
            if isinstance(opened.writer, VideoWriter):
                if not self._film(opened, opened.writer, frame, drawn):
                    opened.held.discard(frame.source)
                    continue
            elif opened.kind in _IN_PIXELS:
                opened.writer.write(frame, self._results.told(poses))
            else:
                opened.writer.write(frame, poses if opened.kind in _AS_FOUND else in_units)
            opened.held.add(frame.source)

    def __len__(self) -> int:
        return len(self._files)

    def _film(
        self, opened: _Open, writer: VideoWriter, frame: Frame, drawn: Picture | None
    ) -> bool:
        """Add a picture to a video; return whether the encoder could take it."""
        assert drawn is not None
        time = frame.time if frame.played is None else frame.played
        try:
            writer.add(drawn, None if self._results.video_rate else time)
        except OutputError as error:
            if ends_run(error):
                raise
            # No encoder takes pictures of every size.
            opened.give_up()
            self._report(SourceError(f"{frame.source}: {error}"))
            return False
        return True
