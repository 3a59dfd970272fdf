"""What a run has to do: its inputs, the files of each, and what was done before."""

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

_PICTURES = Path("pictures")  # what files are called that hold all pictures


@dataclass(frozen=True)
class Planned:
    """One input to open (all pictures together are one), and what its files are called.

    name      of the files of all its frames
    open      opens it; what goes wrong while it goes on is told to the report
    name_of   the name of a frame's own files
    results   what is written
    sources   what its frames name as their source, as far as that is known beforehand
    names     of the files of frames that are known beforehand: all pictures, a video's first frame
    count     how many frames there are, where that is known
    known     people need not be looked for
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
        """Its files of many frames, by kind."""
        return self.results.books(self.name)


@dataclass(frozen=True)
class Plan:
    """What is left to do, in order.

    inputs    those that are read
    existing  pictures, videos and frames left out because their results exist
    outputs   files left out because they are results
    folders   where results are, those of what is done among them
    """

    inputs: tuple[Planned, ...]
    existing: int = 0
    outputs: int = 0
    folders: frozenset[Path] = frozenset()

    @cached_property
    def shared(self) -> dict[Path, tuple[str, ...]]:
        """The files that hold several sources, and which."""
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

    of_pictures, of_videos  what is written of each
    view           which frames are taken: of each video by itself, of all pictures as one row
    threads        of the decoding of a video
    recursive      whether subfolders are searched
    skip_existing  leave out what is done: inputs whose files all exist. A file that several inputs
                   share tells which it holds; if one is missing there, all of them are done again.
    fps            the true frame rate of videos, None for what they say

    Addresses are called by what may be told of them; of two that are then alike the second gets
    `_2`. Raises ValueError if an input matches nothing, or a result would replace an input.
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
    """Plan the work on a webcam, by its number or its path, which has no end."""
    name = Path("camera")
    planned = Planned(
        name=name,
        open=lambda report: webcam(number, resolution=resolution, view=view, report=report),
        name_of=lambda frame: _numbered(name, frame.index),
        results=results,
    )
    return Plan((planned,), folders=frozenset(_folders(planned)))


def _folders(planned: Planned) -> set[Path]:
    """Where the files of an input are, as far as its frames are known."""
    below = {name.parent for name in planned.names or [planned.name]}
    of_frames = {place / folder for place in planned.results.folders for folder in below}
    return of_frames | {file.parent for file in planned.files.values()}


def _pictures(named: Sequence[tuple[InputFile, Path]], results: Results, view: View) -> Planned:
    """Pictures, as one row: those that the view takes."""
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
    """Whether pictures are the frames of one film: one name, numbers one after another."""
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
        with suppress(SourceError):  # it is told when the folder's turn comes
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
    """An address, what is told of it as the source, and what its files are called."""

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
    """The same names; of those that are alike the second gets `_2`, the third `_3`, ..."""
    distinct: list[str] = []
    for name in names:
        tries = (name, *(f"{name}_{number}" for number in range(2, len(names) + 2)))
        distinct.append(next(one for one in tries if one not in distinct))
    return distinct


def _numbered(name: Path, frame: int) -> Path:
    """What a frame of a video is called, as in OpenPose."""
    return name.with_name(f"{name.name}_{frame:012d}")


def _left(plan: Plan, pictures: Sequence[tuple[InputFile, Path]], view: View) -> Plan:
    """What is left of a plan: inputs that have something to do; of pictures those without files."""
    holds = _holds(plan)
    whole = {file: is_whole(kind, file, sources) for file, (kind, sources) in holds.items()}
    todo = {
        number
        for number, planned in enumerate(plan.inputs)
        if not (planned.files and _is_done(planned, whole))
    }
    # A file is made anew as a whole: whoever shares one with an input that is done again is, too.
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
            left.append(planned)  # frames of a video that have all their files are left out later
    return replace(plan, inputs=tuple(left), existing=existing)


def _holds(plan: Plan) -> dict[Path, tuple[str, Sequence[str]]]:
    """Each file of many frames, its kind, and the sources it is to hold."""
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
