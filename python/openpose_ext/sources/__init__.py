"""Sources of frames, one module for each kind; `open_source` chooses the module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpose_ext.sources.source import Report, Source, View

__all__ = ["open_source"]


def open_source(
    inputs: str | os.PathLike[str] | int | Sequence[str | os.PathLike[str]],
    *,
    view: View | None = None,
    threads: int = 1,
    report: Report | None = None,
    name: str | None = None,
    fps: float | None = None,
) -> Source:
    """Open pictures, videos, cameras or OpenPose's JSON files as one source of frames.

    inputs   pictures, videos, folders, glob patterns and `.txt` lists (see `find_inputs`), one or
             several; OpenPose's JSON files, or a folder of them; `-`, the standard input; an
             address (rtsp://..., https://...); a webcam's number, -1 for the first that opens
    view     which frames are taken, and how they are turned
    threads  most threads that decode a video
    report   called with each error that does not end the source, see `Source`
    name     what an address is called in messages and in `Frame.source`; None takes the address
             without user, password and query
    fps      the true frame rate of a video, or of the video that OpenPose's JSON files belong to;
             None takes the file's. Ignored for cameras, which have their own clock.

    Raises ValueError if nothing matches, SourceError if a single input cannot be opened. If one of
    several inputs cannot be opened, that is one of the source's `errors`.
    """
    from openpose_ext.errors import SourceError
    from openpose_ext.io.container import is_address
    from openpose_ext.sources.animation import Animation
    from openpose_ext.sources.camera import open_address, webcam
    from openpose_ext.sources.files import Files
    from openpose_ext.sources.listing import find_inputs
    from openpose_ext.sources.openpose_files import OpenPoseFiles
    from openpose_ext.sources.source import AS_IT_IS, View
    from openpose_ext.sources.stdin import is_stdin, open_stdin
    from openpose_ext.sources.video import Video

    if not isinstance(inputs, (int, str, os.PathLike, Sequence)):
        raise TypeError(
            "inputs must be a path, an address, a webcam's number or a list of paths, not "
            f"{type(inputs).__name__}"
        )
    if view is not None and not isinstance(view, View):
        raise TypeError(f"view must be a View or None, not {type(view).__name__}")
    view = view or AS_IT_IS
    if isinstance(inputs, int):
        return webcam(inputs, view=view, report=report)
    if isinstance(inputs, (str, os.PathLike)):
        given = os.fspath(inputs)
        if is_address(given):
            return open_address(
                given, view=view, threads=threads, report=report, name=name, fps=fps
            )
        inputs = [given]
    if not inputs:
        raise ValueError("there is nothing to open: the list of inputs is empty")
    files = find_inputs(inputs).files
    if len(files) > 1:
        return Files(files, view=view, threads=threads, report=report, fps=fps)
    if files[0].error:
        raise SourceError(f"{files[0].path}: {files[0].error}")
    if is_stdin(files[0].path):
        return open_stdin(view=view, threads=threads, report=report)
    match files[0].kind:
        case "animation":
            return Animation(files[0].path, view=view, report=report)
        case "video":
            return Video(files[0].path, view=view, threads=threads, report=report, fps=fps)
        case "poses":
            return OpenPoseFiles(files[0].path, view=view, report=report, rate=fps)
        case "picture":
            return Files(files, view=view, report=report)
