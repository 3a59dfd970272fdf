"""What there is for `infer` to do: a job for each source, all pictures being one."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from openpose_ext.errors import UsageError
from openpose_ext.io.container import is_address
from openpose_ext.run.names import output_names
from openpose_ext.run.results import KINDS, Results
from openpose_ext.run.tally import Tally
from openpose_ext.sources import open_source
from openpose_ext.sources.camera import RESOLUTION, webcam
from openpose_ext.sources.files import Files
from openpose_ext.sources.listing import InputFile, find_inputs
from openpose_ext.sources.source import Report, Source, View
from openpose_ext.types.frame import Frame

__all__ = ["Job", "find_jobs"]

# What is written where nobody says it. Flags that begin with --write_ name kinds.
_OF_PICTURES = ("images", "json", "txt")
_OF_VIDEOS = ("video", "json", "csv")

_PICTURES = Path("pictures")  # what files are called that hold all pictures


@dataclass(frozen=True)
class Job:
    """One source, and what its files are called.

    name     of the files of all its frames
    open     opens the source; what goes wrong while it goes on is told to the report
    of       the name of a frame's files
    results  what is written
    names    of the files of frames that are known beforehand: all pictures, a video's first frame
    count    how many frames there are, where that is known
    known    people need not be looked for
    sound    the file that has the sound, or None
    """

    name: Path
    open: Callable[[Report], Source]
    of: Callable[[Frame], Path]
    results: Results
    names: Sequence[Path] = ()
    count: int | None = None
    known: bool = False
    sound: Path | None = None


def find_jobs(args: argparse.Namespace, results: Results, streams: int, tally: Tally) -> list[Job]:
    """What is to be done, without what was done before.

    args     the command's flags
    results  what is written, for all kinds of inputs
    streams  pictures that the network looks at at once
    tally    counts what is left out

    Raises UsageError where the flags make no sense, or a result would replace an input.
    """
    inputs = [*args.inputs]
    for flag in ("image_dir", "video", "ip_camera"):
        given = getattr(args, flag)
        if not given:
            continue
        if flag == "image_dir" and not os.path.isdir(given):
            raise UsageError(f"--image_dir {given} is no folder")
        if flag == "ip_camera" and not is_address(given):
            raise UsageError(f"--ip_camera {given} is no address such as rtsp://host/stream")
        inputs.append(given)
    try:
        view = View(
            first=args.frame_first,
            last=args.frame_last,
            step=args.frame_step,
            rotate=args.frame_rotate,
            flip=args.frame_flip,
        )
        if args.camera is not None and (args.camera >= 0 or not inputs):
            if inputs:
                raise ValueError("a camera has no end: give it alone, without other inputs")
            return [_camera(args, results, view)]
        if not inputs:
            raise ValueError("no INPUT given; --help shows examples")
        addresses = [name for name in inputs if is_address(name)]
        paths = [name for name in inputs if not is_address(name)]
        found = find_inputs(paths, exclude=results.folders, recursive=not args.flat)
        names = output_names(found.files)
    except ValueError as error:
        raise UsageError(error) from error
    tally.outputs = found.skipped
    threads = max(1, streams // 4)  # decoding takes less than the rest
    # Where nobody says what is written, it depends on the input.
    asked = any(getattr(args, f"write_{kind}") is not None for kind in KINDS)
    of_videos = results if asked else results.only(_OF_VIDEOS)
    of_pictures = results if asked else results.only(_OF_PICTURES)
    named = list(zip(found.files, names, strict=True))
    pictures = [one for one in named if one[0].kind == "picture"]
    jobs = [_pictures(pictures, of_pictures, view)] if pictures else []
    jobs += [_video(*one, of_videos, view, threads) for one in named if one[0].kind != "picture"]
    jobs += [_address(name, of_videos, view, threads) for name in addresses]
    _keep_inputs(paths, named, jobs)
    if args.skip_existing:
        jobs = _not_done(jobs, pictures, view, tally)
    if len(jobs) > 1:
        jobs = [replace(job, results=job.results.apart) for job in jobs]
    return jobs


def _pictures(named: Sequence[tuple[InputFile, Path]], results: Results, view: View) -> Job:
    """All pictures, as one row."""
    names = {os.fspath(file.path): name for file, name in named}
    files = [file for file, _ in named]
    return Job(
        name=_PICTURES,
        open=lambda report: Files(files, view=view, report=report),
        of=lambda frame: names[frame.source],
        results=results,
        names=[*names.values()],
        count=view.count(len(files)),
    )


def _video(file: InputFile, name: Path, results: Results, view: View, threads: int) -> Job:
    """A video, or a folder of OpenPose's JSON files."""
    known = file.kind == "poses"
    return Job(
        name=name,
        open=lambda report: open_source(file.path, view=view, threads=threads, report=report),
        of=lambda frame: _numbered(name, frame.index),
        results=results,
        names=[_numbered(name, view.first)],
        known=known,
        sound=None if known else file.path,
    )


def _address(address: str, results: Results, view: View, threads: int) -> Job:
    name = Path(re.sub(r"[^\w.-]+", "_", address.partition("://")[2]).strip("_") or "address")
    return Job(
        name=name,
        open=lambda report: open_source(address, view=view, threads=threads, report=report),
        of=lambda frame: _numbered(name, frame.index),
        results=results,
    )


def _camera(args: argparse.Namespace, results: Results, view: View) -> Job:
    resolution = RESOLUTION
    if args.camera_resolution != "-1x-1":
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", args.camera_resolution)
        if match is None:
            raise ValueError(f"--camera_resolution {args.camera_resolution}: give WxH, in pixels")
        resolution = int(match[1]), int(match[2])
    name = Path("camera")
    return Job(
        name=name,
        open=lambda report: webcam(args.camera, resolution=resolution, view=view, report=report),
        of=lambda frame: _numbered(name, frame.index),
        results=results,
    )


def _numbered(name: Path, frame: int) -> Path:
    """What a frame of a video is called, as in OpenPose."""
    return name.with_name(f"{name.name}_{frame:012d}")


def _not_done(
    jobs: Sequence[Job], pictures: Sequence[tuple[InputFile, Path]], view: View, tally: Tally
) -> list[Job]:
    """The jobs that have something left to do; of pictures those without their files."""
    todo = []
    for job in jobs:
        results = job.results
        if not results.of_frames_only:
            if results.have_books(job.name) and all(map(results.have, job.names)):
                tally.existing += len(job.names)
            else:
                todo.append(job)
        elif job.names and job.name == _PICTURES:
            left = [(file, name) for file, name in pictures if not results.have(name)]
            tally.existing += len(pictures) - len(left)
            todo += [_pictures(left, results, view)] if left else []
        else:
            todo.append(job)  # its frames are left out as they come
    return todo


def _keep_inputs(
    inputs: Sequence[str], files: Sequence[tuple[InputFile, Path]], jobs: Sequence[Job]
) -> None:
    """Raise UsageError if a result would replace an input, such as a list `a.txt` of `a.jpg`."""
    real_folder = cache(os.path.realpath)

    def place(path: str | Path) -> str:
        return os.path.join(real_folder(os.path.dirname(path)), os.path.basename(path))

    sources = {*map(place, inputs), *(place(file.path) for file, _ in files)}
    for job in jobs:
        results = [*job.results.books(job.name).values()]
        for name in job.names:
            results += [file for files in job.results.files(name).values() for file in files]
        for result in results:
            if place(result) in sources:
                raise UsageError(
                    f"the result {result} would replace an input; choose another -o OUT"
                )
