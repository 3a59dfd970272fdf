"""Pictures and videos on disk, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import count

from openpose_ext.errors import SourceError
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.listing import InputFile
from openpose_ext.sources.openpose_files import OpenPoseFiles
from openpose_ext.sources.pictures import read_picture
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.sources.stdin import is_stdin, open_stdin
from openpose_ext.sources.video import Video
from openpose_ext.types.frame import Frame

__all__ = ["Files"]


class Files(Source):
    """The frames of several files; `Frame.source` tells each frame's file.

    files    as `find_inputs` returns them
    view     which frames are taken, and how they are turned: it applies to each video, and to all
             pictures together as one sequence
    threads  most threads that decode a video
    report   called with each error that does not end the source, see `Source`
    fps      the true frame rate of the videos, see `Video`

    A file that cannot be read is one of the `errors`. Each file is opened when its turn comes, so
    `size` and `rate` are None, and so is `count` unless all files are pictures.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        *,
        view: View = AS_IT_IS,
        threads: int = 1,
        report: Report | None = None,
        fps: float | None = None,
    ) -> None:
        name = os.fspath(files[0].path) if len(files) == 1 else f"{len(files)} files"
        super().__init__(name, report)
        self._files = files
        self._view = view
        self._threads = threads
        self._fps = fps
        self._opened: Source | None = None
        if all(file.kind == "picture" for file in files):
            self.count = view.count(len(files))

    def close(self) -> None:
        """Close the open file and open no more."""
        self._files = ()
        if self._opened is not None:
            self._opened.close()

    def _frames(self) -> Iterator[Frame]:
        numbers = count()
        for file in self._files:
            if not self._files:
                return
            try:
                if file.error:
                    raise SourceError(f"{file.path}: {file.error}")
                if file.kind != "picture" or is_stdin(file.path):
                    yield from self._of(file)
                elif self._view.takes(next(numbers)):
                    path = os.fspath(file.path)
                    yield Frame(self._view.turned(read_picture(path)), path)
            except SourceError as error:
                self._note(error)

    def _of(self, file: InputFile) -> Iterator[Frame]:
        if is_stdin(file.path):
            opened: Source = open_stdin(view=self._view, threads=self._threads, report=self._note)
        elif file.kind == "animation":
            opened = Animation(file.path, view=self._view, report=self._note)
        elif file.kind == "video":
            opened = Video(
                file.path,
                view=self._view,
                threads=self._threads,
                report=self._note,
                fps=self._fps,
            )
        else:
            opened = OpenPoseFiles(file.path, view=self._view, report=self._note, rate=self._fps)
        with opened as self._opened:
            yield from opened
