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
    """The frames of several files, each with the name of its own.

    files    as `find_inputs` gives them
    view     which frames are taken, and how they are turned: of each video by itself, and of the
             pictures as one row
    threads  bound on the threads that decode a video
    report   gets what goes wrong, see `Source`
    fps      the true frame rate of the videos, see `Video`

    A file that cannot be read is among the errors. Files are opened when their turn comes, so
    there is no size and no rate; nor a count, unless all are pictures.
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
        """Close the file that is open; no more are opened."""
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
