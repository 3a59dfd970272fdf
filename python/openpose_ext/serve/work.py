"""Takes an upload's frames through all steps to its results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from openpose_ext.errors import OutputError, SourceError
from openpose_ext.outputs.json_lines import as_line
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.run.books import Books
from openpose_ext.run.frames import MIN_TRACK
from openpose_ext.run.results import Aside, Drawing, HeatmapChoice, Results
from openpose_ext.serve.cost import PLAIN_SIDE, Header, Plan
from openpose_ext.serve.kept import size_of
from openpose_ext.serve.lines import LONGEST_SIDE, Shown, reduced
from openpose_ext.serve.options import Options
from openpose_ext.serve.upload import Limits, opened, reason
from openpose_ext.sources.source import Source
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import followed, overlapped
from openpose_ext.tracking.kept import Kept
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["FILES", "Files", "Task", "seconds_ahead", "work"]

FILES = Path("people")  # name of the files here; visitors get them under other names
Files = dict[str, tuple[Path, str]]  # by kind, a file and its name for the visitor

_OF_PICTURES = ("images", "json", "csv")
_OF_VIDEOS = ("video", "jsonl", "csv")
_MOST_PROBLEMS = 20  # problems that a visitor is told
_OFTEN = 50  # the size of the results is checked every so many frames
_SMOOTHING = 1.3  # seconds of frames that wait for smoothing, see `TwoPass`
_LASTING = 0.2  # seconds of frames that wait besides `MIN_TRACK`

T = TypeVar("T")
R = TypeVar("R")
Found = tuple[Frame, Poses]


@dataclass(frozen=True)
class Task:
    """What is to be done with an upload.

    name     the visitor's name for the file
    file     the file
    header   its header
    results  the folder of its results
    options  how people are found and drawn
    plain    whether pictures without skeletons are kept, too
    """

    name: str
    file: Path
    header: Header
    results: Path
    options: Options
    plain: bool


def seconds_ahead(options: Options) -> float:
    """Seconds of frames that wait for later ones."""
    if not options.follows:
        return 0.0
    return MIN_TRACK + _LASTING + (_SMOOTHING if options.smooth else 0.0)


def work(
    task: Task,
    estimator: PoseEstimator,
    plan: Plan,
    limits: Limits,
    begin: Callable[[int | None], None],
    show: Callable[[int, Shown], None],
) -> tuple[Files, tuple[str, ...]]:
    """Find the people of all frames and write the results.

    begin  called with the number of frames, or None if it is not known
    show   called with the number of finished frames and the newest one; an exception ends the work

    Returns the files, and the errors that did not end the work. Raises SourceError if there is no
    frame, OutputError if results cannot be written.
    """
    with ExitStack() as opening:
        source = opening.enter_context(opened(task.file, task.header, limits))
        moves = task.header.kind != "picture"
        results = _results(task, quick=plan.quick, moves=moves)
        begin(source.count)
        sound = task.file if task.header.kind == "video" else None
        books = opening.enter_context(Books())
        refused: list[SourceError] = []
        book = books.begin(results, FILES, refused.append, rate=source.rate, sound=sound)
        plain = _Plain(task, source, sound, quick=plan.quick) if task.plain else None
        if plain is not None:
            opening.callback(plain.discard)
        done = 0
        with closing(_drawn(task, source, estimator, plan, results)) as finished:
            for frame, poses, drawn in finished:
                done += 1
                book.write(frame, poses, drawn, Aside())
                if plain is not None:
                    plain.add(frame)
                if done % _OFTEN == 0 and size_of(task.results) > limits.results:
                    raise OutputError("The results become too large for this server.")
                # Reduced, because slow visitors may hold it for long.
                show(done, Shown(reduced(drawn, LONGEST_SIDE), as_line(frame, poses)))
                del frame, drawn  # they are large
        errors = [reason(task.file, one) for one in [*source.errors, *refused]]
        problems = tuple(errors[:_MOST_PROBLEMS])
        if not done:
            raise SourceError(problems[0] if problems else "there is no frame in it")
        more = {} if plain is None else {"plain": plain.close()}
    written = {kind: files[0] for kind, files in results.files(FILES).items()}
    written |= {k: file for k, file in results.books(FILES).items() if file.exists()} | more
    stem = Path(task.name).stem
    return {k: (f, stem + f.name.removeprefix(FILES.name)) for k, f in written.items()}, problems


def _drawn(
    task: Task, source: Source, estimator: PoseEstimator, plan: Plan, results: Results
) -> Generator[tuple[Frame, Poses, Picture], None, None]:
    """The frames in order, each with its people and its drawing."""
    options = task.options
    moves = task.header.kind != "picture"
    every = options.detect_every if moves else 1
    watch = estimator.watch(every) if every > 1 else None
    keep = Kept(options.number_people_max) if options.number_people_max else None

    def look(numbered: tuple[int, Frame]) -> Found:
        number, frame = numbered
        poses = estimator(frame) if watch is None else watch(number, frame)
        if options.number_people_max and not follows:
            poses = poses.most_prominent(options.number_people_max)
        return frame, poses

    def identified(found: Iterable[Found]) -> Iterator[Found]:
        with_ids = followed(
            ((frame, poses, None) for frame, poses in found),
            rate=source.rate,
            smooth=options.smooth,
            min_track=MIN_TRACK,
        )
        with closing(with_ids):
            for frame, poses, _ in with_ids:
                yield frame, (poses if keep is None else keep(poses)).by_id()

    def finish(found: Found) -> tuple[Frame, Poses, Picture]:
        frame, poses = found
        drawn, _ = results.write(FILES, frame, poses, Aside(), _refuse, draws=True)
        assert drawn is not None
        return frame, poses, drawn

    follows = moves and options.follows
    # Visitors see their own name of the file instead of the server's.
    frames = enumerate(replace(frame, source=task.name) for frame in source)
    carried = partial(_carried, at_once=plan.frames)
    with closing(carried(frames, look)) as looked:
        found = identified(looked) if follows else looked
        with closing(carried(found, finish)) as finished:
            yield from finished


def _carried(
    items: Iterable[T], work: Callable[[T], R], *, at_once: int
) -> Generator[R, None, None]:
    """`map`, with several items at once, or one after the other if they are large."""
    if at_once > 1:
        yield from overlapped(items, work, at_once, ahead=at_once)
        return
    for item in items:
        result = work(item)
        del item  # it is large
        yield result
        del result


class _Plain:
    """A small picture or video without skeletons, on which the page draws them."""

    def __init__(self, task: Task, source: Source, sound: Path | None, *, quick: bool) -> None:
        moves = task.header.kind != "picture"
        self._file = task.results / f"{FILES}_plain.{'mp4' if moves else 'jpg'}"
        self._video: VideoWriter | None = None
        if moves:
            self._video = VideoWriter(self._file, rate=source.rate, sound=sound, quick=quick)

    def add(self, frame: Frame) -> None:
        picture = reduced(frame.image, PLAIN_SIDE)
        if self._video is None:
            write_picture(self._file, picture)
        else:
            self._video.add(picture, frame.time)

    def close(self) -> Path:
        if self._video is not None:
            self._video.close()
        return self._file

    def discard(self) -> None:
        """Remove the unfinished file."""
        if self._video is not None:
            self._video.discard()


def _refuse(error: SourceError) -> None:
    raise OutputError(str(error))


def _results(task: Task, *, quick: bool, moves: bool) -> Results:
    options = task.options
    return Results(
        places=dict.fromkeys(_OF_VIDEOS if moves else _OF_PICTURES, task.results),
        formats={"images": "png"},
        drawing=Drawing(
            skeletons=True,
            threshold=options.render_threshold,
            hand_threshold=options.hand_render_threshold,
            face_threshold=options.face_render_threshold,
            black=options.disable_blending,
            ids=moves and options.follows,
        ),
        maps=HeatmapChoice(parts=False, background=False, pafs=False, scale=0),
        quick_video=quick,
    )
