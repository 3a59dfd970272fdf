"""The inputs of a stream as one sequence of frames and pictures; errors stand in their place.

The workers of `pipeline` take from it, one at a time. Files are opened when their turn comes.
Pictures are passed on as paths, so that each worker reads its own while the others work.
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np

from openpose_ext.errors import SourceError
from openpose_ext.sources import open_source
from openpose_ext.sources.listing import each_input
from openpose_ext.sources.pictures import PictureLike
from openpose_ext.sources.source import Source
from openpose_ext.stages.pipeline import ahead
from openpose_ext.types.frame import Frame

__all__ = ["Given", "Inputs", "Unread"]

Name: TypeAlias = "str | PathLike[str]"
Given: TypeAlias = "Name | int | Source | Iterable[PictureLike | Frame]"


@dataclass(frozen=True)
class Unread:
    """An input that could not be read.

    name    the input as it was given, or the file that was found in it
    error   the reason
    partly  whether it is only a flaw of an input whose other frames can be read
    """

    name: Name
    error: SourceError
    partly: bool = False


class Inputs:
    """The frames of a stream's inputs, in order; an input that is given twice comes twice.

    given  a path, an address, a webcam's number, a `Source`, or any iterable of paths, addresses,
           pictures and frames; a path may be a folder, a pattern or a list
    apart  whether a source may have a separate thread that decodes frames before they are needed

    Iterate over it once: it yields frames, pictures, paths of pictures, and `Unread` for what
    cannot be read.
    Raises TypeError if `given` is none of these.
    """

    def __init__(self, given: Given, *, apart: bool = True) -> None:
        if isinstance(given, np.ndarray) and given.ndim < 4:
            raise TypeError("a single picture is no source of frames: put it in a list")
        if not isinstance(given, (str, PathLike, int, Iterable)):
            raise TypeError(
                "a source of frames must be a path, an address, a webcam's number, a Source or an "
                f"iterable of pictures, not {type(given).__name__}"
            )
        self._given = given
        self._apart = apart
        self._opened: Source | None = None

    def __iter__(self) -> Generator[Frame | PictureLike | Unread]:
        given = self._given
        if isinstance(given, Source):
            yield from self._of_source(given, given.name)
        elif isinstance(given, (str, PathLike, int)):
            yield from self._of_name(given)
        else:
            for one in given:
                if isinstance(one, (str, PathLike)):
                    yield from self._of_name(one)
                else:
                    yield one

    def stop(self) -> None:
        """End the wait for a source's next frame; may be called from another thread."""
        if self._opened is not None:
            self._opened.stop()

    def _of_name(self, name: Name | int) -> Iterator[Frame | PictureLike | Unread]:
        from openpose_ext.io.container import is_address

        if isinstance(name, int):
            yield from self._of_file(str(name), name)
            return
        if is_address(os.fspath(name)):
            yield from self._of_file(name, name)
            return
        unlisted: deque[OSError] = deque()
        empty = True
        try:
            for file in each_input(os.fspath(name), unlisted.append):
                yield from _not_listed(unlisted)
                empty = False
                own = name if Path(name) == file.path else os.fspath(file.path)
                if file.kind == "picture":
                    yield own
                else:
                    yield from self._of_file(own, file.path)
        except ValueError as error:  # a list that cannot be read
            yield Unread(name, SourceError(str(error)))
            return
        if empty and not unlisted:
            yield Unread(name, SourceError(f"{os.fspath(name)}: {_without_files(name)}"))
        yield from _not_listed(unlisted)

    def _of_file(self, name: Name, place: Name | int) -> Iterator[Frame | Unread]:
        flaws: deque[SourceError] = deque()
        try:
            source = open_source(place, report=flaws.append)
        except SourceError as error:
            yield Unread(name, error)
        else:
            yield from self._of_source(source, name, flaws)

    def _of_source(
        self, source: Source, name: Name, flaws: deque[SourceError] | None = None
    ) -> Iterator[Frame | Unread]:
        """The frames of a source, which is closed afterwards; its flaws come near their frames."""
        told = 0

        def news() -> Iterator[Unread]:
            nonlocal told
            if flaws is not None:
                while flaws:
                    yield Unread(name, flaws.popleft(), partly=True)
            elif not source.reports:
                while told < len(source.errors):
                    told += 1
                    yield Unread(name, source.errors[told - 1], partly=True)

        with source as self._opened:
            count = source.ahead if self._apart else 0
            frames = ahead(source, count) if count else (frame for frame in source)
            with closing(frames):
                for frame in frames:
                    yield from news()
                    yield frame
            yield from news()


def _not_listed(errors: deque[OSError]) -> Iterator[Unread]:
    while errors:
        error = errors.popleft()
        yield Unread(error.filename, SourceError(f"{error.filename}: {error.strerror}"))


def _without_files(name: Name) -> str:
    if Path(name).is_dir():
        return "the folder has no pictures and no videos"
    if Path(name).is_file():
        return "the list is empty"
    if glob.has_magic(os.fspath(name)):
        return "the pattern matches no picture and no video"
    return "there is no such file or folder"
