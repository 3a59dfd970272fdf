"""Plans a run: its inputs, the files of each, and what an earlier run has done."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from openpose_ext.errors import SourceError
from openpose_ext.io.container import is_address, told
from openpose_ext.run.books import is_whole
from openpose_ext.run.names import drawn_names, output_names
from openpose_ext.run.results import Results
from openpose_ext.sources import open_source
from openpose_ext.sources.camera import webcam
from openpose_ext.sources.files import Files
from openpose_ext.sources.listing import PICTURES, InputFile, find_inputs, kind_at
from openpose_ext.sources.openpose_files import sources_below
from openpose_ext.sources.source import Report, Source, View
from openpose_ext.sources.stdin import is_stdin
from openpose_ext.types.arrays import Size
from openpose_ext.types.frame import Frame

__all__ = ["Plan", "Planned", "plan_camera", "plan_run"]

_PICTURES = Path("pictures")  # name of files that hold all pictures


@dataclass(frozen=True)
class Planned:
    """One input to open (all pictures together are one), and the names of its files.

    name      name of the files that hold all its frames
    open      opens it; gets the function that errors are reported to
    name_of   the name of a frame's own files
    results   what is written
    sources   `Frame.source` of its frames, as far as that is known beforehand
    names     names of frames' own files that are known beforehand: of all pictures, of a video's
              first frame
    count     number of frames, None if it is not known
    known     whether its people are known, so that no network is needed
    sound     the file or address that has the sound, or None
    sequence  whether its frames follow one another in time
    """

    name: Path
    open: Callable[[Report], Source]
    name_of: Callable[[Frame], Path]
    results: Results
    sources: Collection[str] = ()
    names: Sequence[Path] = ()
    count: int | None = None
    known: bool = False
    sound: str | None = None
    sequence: bool = True

    @property
    def files(self) -> dict[str, Path]:
        """Its files that hold many frames, by kind."""
        return self.results.books(self.name)


@dataclass(frozen=True)
class Plan:
    """What is left to do, in order.

    inputs    the inputs to read
    existing  number of pictures, videos and frames that are skipped because their results exist
    outputs   number of files that are skipped because they are results
    folders   folders with results, also of the skipped inputs
    """

    inputs: tuple[Planned, ...]
    existing: int = 0
    outputs: int = 0
    folders: frozenset[Path] = frozenset()

    @cached_property
    def shared(self) -> dict[Path, tuple[str, ...]]:
        """The files that several inputs share, each with its sources."""
        holds: dict[Path, list[str]] = defaultdict(list)
        for planned in self.inputs:
            for file in planned.files.values():
                holds[file] += planned.sources
        return {file: tuple(sources) for file, sources in holds.items() if len(sources) > 1}


def plan_run(
    inputs: Sequence[str],
    *,
    of_pictures: Results,
    of_videos: Results,
    view: View,
    threads: int = 1,
    recursive: bool = True,
    skip_existing: bool = False,
    fps: float | None = None,
) -> Plan:
    """Plan the work on pictures, videos, folders and addresses.

    of_pictures, of_videos  what is written for each
    view           which frames are taken: of each video, and of all pictures as one sequence
    threads        most threads that decode a video
    recursive      whether subfolders are searched
    skip_existing  skip inputs whose files all exist. A file that several inputs share tells which
                   ones it holds; if one is missing there, all of them are processed again
    fps            the true frame rate of videos, None for the file's

    Files of an address are named without its user, password and query; if two names are equal, the
    second gets `_2`. Raises ValueError if an input matches nothing, or if a result would replace an
    input.
    """
    addresses = [name for name in inputs if is_address(name)]
    paths = [name for name in inputs if not is_address(name)]
    folders = dict.fromkeys([*of_pictures.folders, *of_videos.folders])
    found = find_inputs(paths, exclude=[*folders], recursive=recursive)
    named = list(zip(found.files, output_names(found.files), strict=True))
    row = [one for one in named if one[0].kind == "picture"]
    taken = [one for number, one in enumerate(row) if view.takes(number)]
    planned = [_pictures(taken, of_pictures, view)] if taken else []
    planned += [
        _video(*one, of_videos, view, threads, fps) for one in named if one[0].kind != "picture"
    ]
    shown = _distinct([told(address) for address in addresses])
    files = _distinct([_file_name(address) for address in shown])
    for address, source, file in zip(addresses, shown, files, strict=True):
        at = _At(address, source, Path(file))
        is_picture = kind_at(address) == "picture"
        planned.append(
            _web_picture(at, of_pictures, view)
            if is_picture
            else _address(at, of_videos, view, threads, fps)
        )
    _keep_inputs(paths, named, planned)
    places = frozenset(folder for one in planned for folder in _folders(one))
    plan = Plan(tuple(planned), outputs=found.skipped, folders=places)
    return _left(plan, taken, view) if skip_existing else plan


def plan_camera(number: int | str, *, resolution: Size, results: Results, view: View) -> Plan:
    """Plan the work on a webcam, given by its number or its path."""
    name = Path("camera")
    planned = Planned(
        name=name,
        open=lambda report: webcam(number, resolution=resolution, view=view, report=report),
        name_of=lambda frame: _numbered(name, frame.index),
        results=results,
    )
    return Plan((planned,), folders=frozenset(_folders(planned)))


def _folders(planned: Planned) -> set[Path]:
    """The folders of an input's files, as far as its frames are known."""
    below = {name.parent for name in planned.names or [planned.name]}
    of_frames = {place / folder for place in planned.results.folders for folder in below}
    return of_frames | {file.parent for file in planned.files.values()}


def _pictures(named: Sequence[tuple[InputFile, Path]], results: Results, view: View) -> Planned:
    """The pictures that the view takes, as one sequence."""
    names = {os.fspath(file.path): name for file, name in named}
    if results.drawn_as is not None:
        results = replace(results, drawn_as=drawn_names(named))
    files = [file for file, _ in named]
    turned = View(rotate=view.rotate, flip=view.flip)
    return Planned(
        name=_PICTURES,
        open=lambda report: Files(files, view=turned, report=report),
        name_of=lambda frame: names[frame.source],
        results=results,
        sources=tuple(names),
        names=[*names.values()],
        count=len(files),
        sequence=_are_numbered([file.path for file in files]),
    )


def _are_numbered(files: Sequence[Path]) -> bool:
    """Whether pictures are frames of one film: equal names with consecutive numbers."""
    if len(files) < 2:
        return False
    numbers: list[int] = []
    names = set()
    for file in files:
        match = re.fullmatch(r"(.*?)(\d+)", file.stem, re.DOTALL)
        if match is None:
            return False
        numbers.append(int(match[2]))
        names.add((file.parent, match[1], file.suffix))
    steps = {after - before for before, after in pairwise(numbers)}
    return len(names) == 1 and len(steps) == 1 and steps.pop() > 0


def _video(
    file: InputFile,
    name: Path,
    results: Results,
    view: View,
    threads: int,
    fps: float | None,
) -> Planned:
    """A video, or OpenPose's JSON files."""
    known = file.kind == "poses"
    sources = {os.fspath(file.path)}
    if known:
        if view.rotate or view.flip:
            raise ValueError(f"{file.path}: the frames of OpenPose's files cannot be turned")
        with suppress(SourceError):  # reported when the folder is read
            sources = sources_below(file.path, view)
    return Planned(
        name=name,
        open=lambda report: open_source(
            file.path, view=view, threads=threads, report=report, fps=fps
        ),
        name_of=lambda frame: _numbered(name, frame.index),
        results=results,
        sources=tuple(sources),
        names=[_numbered(name, view.first)],
        known=known,
        sound=os.fspath(file.path) if file.kind == "video" and not is_stdin(file.path) else None,
    )


class _At(NamedTuple):
    """An address, its `Frame.source` without secrets, and the name of its files."""

    address: str
    shown: str
    name: Path


def _web_picture(at: _At, results: Results, view: View) -> Planned:
    name = at.name
    name = name.with_suffix("") if name.suffix.lower() in PICTURES else name
    return Planned(
        name=name,
        open=lambda report: open_source(at.address, view=view, report=report, name=at.shown),
        name_of=lambda frame: name,
        results=results,
        sources=(at.shown,),
        names=[name],
        count=view.count(1),
        sequence=False,
    )


def _address(at: _At, results: Results, view: View, threads: int, fps: float | None) -> Planned:
    name = at.name
    return Planned(
        name=name,
        open=lambda report: open_source(
            at.address, view=view, threads=threads, report=report, name=at.shown, fps=fps
        ),
        name_of=lambda frame: _numbered(name, frame.index),
        results=results,
        sources=(at.shown,),
        sound=at.address,
    )


def _file_name(address: str) -> str:
    return re.sub(r"[^\w.-]+", "_", address.partition("://")[2]).strip("_") or "address"


def _distinct(names: Sequence[str]) -> list[str]:
    """The same names; of equal ones the second gets `_2`, the third `_3`, and so on."""
    distinct: list[str] = []
    for name in names:
        tries = (name, *(f"{name}_{number}" for number in range(2, len(names) + 2)))
        distinct.append(next(one for one in tries if one not in distinct))
    return distinct


def _numbered(name: Path, frame: int) -> Path:
    """The name of a video frame's files, as in OpenPose."""
    return name.with_name(f"{name.name}_{frame:012d}")


def _left(plan: Plan, pictures: Sequence[tuple[InputFile, Path]], view: View) -> Plan:
    """What is left of a plan: the inputs, and the pictures, whose files do not all exist."""
    holds = _holds(plan)
    whole = {file: is_whole(kind, file, sources) for file, (kind, sources) in holds.items()}
    todo = {
        number
        for number, planned in enumerate(plan.inputs)
        if not (planned.files and _is_done(planned, whole))
    }
    # A shared file is written again as a whole, and so all inputs that share it are, too.
    anew = -1
    while len(todo) > anew:
        anew = len(todo)
        files = {file for number in todo for file in plan.inputs[number].files.values()}
        todo |= {
            number
            for number, planned in enumerate(plan.inputs)
            if files & {*planned.files.values()}
        }

    left: list[Planned] = []
    existing = 0
    for number, planned in enumerate(plan.inputs):
        if number not in todo:
            existing += len(planned.names)
        elif pictures and number == 0 and not planned.files:
            missing = [(file, name) for file, name in pictures if not planned.results.have(name)]
            existing += len(pictures) - len(missing)
            left += [_pictures(missing, planned.results, view)] if missing else []
        else:
            left.append(planned)  # a video's frames whose files exist are skipped later
    return replace(plan, inputs=tuple(left), existing=existing)


def _holds(plan: Plan) -> dict[Path, tuple[str, Sequence[str]]]:
    """Each file that holds many frames, with its kind and the sources it is to hold."""
    holds: dict[Path, tuple[str, list[str]]] = {}
    for planned in plan.inputs:
        for kind, file in planned.files.items():
            holds.setdefault(file, (kind, []))[1].extend(planned.sources)
    return dict(holds)


def _is_done(planned: Planned, whole: Mapping[Path, bool]) -> bool:
    """Whether all files of an input exist, as far as its frames are known."""
    return all(whole[file] for file in planned.files.values()) and all(
        map(planned.results.have, planned.names)
    )


def _keep_inputs(
    inputs: Sequence[str],
    files: Sequence[tuple[InputFile, Path]],
    planned: Sequence[Planned],
) -> None:
    """Raise ValueError if a result would replace an input, such as a list `a.txt` of `a.jpg`."""
    real_folder = cache(os.path.realpath)

    def place(path: str | Path) -> str:
        return os.path.join(real_folder(os.path.dirname(path)), os.path.basename(path))

    sources = {*map(place, inputs), *(place(file.path) for file, _ in files)}
    for one in planned:
        results = [*one.files.values()]
        for name in one.names:
            results += [file for files in one.results.files(name).values() for file in files]
        for result in results:
            if place(result) in sources:
                raise ValueError(
                    f"the result {result} would replace an input; choose another -o OUT"
                )
