"""Many frames -> their people, in order; those that cannot be read are reported in their place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from os import PathLike
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from openpose_ext.errors import SourceError
from openpose_ext.sources.pictures import PictureLike, as_picture
from openpose_ext.stages.pipeline import overlapped
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

if TYPE_CHECKING:
    from openpose_ext.stages.inputs import Inputs, Unread

__all__ = ["OnError", "Streamed", "as_frame", "people_of", "streamed"]

Streamed: TypeAlias = tuple[Frame, Poses]
OnError: TypeAlias = Callable[["str | PathLike[str]", SourceError], object]


def streamed(
    inputs: Inputs,
    find: Callable[[int, Frame], Poses],
    missed: Callable[[int], None],
    workers: int,
    on_error: OnError | None,
) -> Generator[Streamed, None, None]:
    """The frames of the inputs with their people, in order.

    find      finds the people of a frame; also gets the frame's number in the stream
    missed    called with the number of each frame that `find` does not get
    on_error  called in order with inputs that cannot be read; without it they raise SourceError,
              and flaws of inputs whose other frames are there become warnings
    """
    from openpose_ext.stages.inputs import Unread  # imports PyAV, which single pictures do not need

    def work(numbered: tuple[int, Frame | PictureLike | Unread]) -> Streamed | Unread:
        number, one = numbered
        if isinstance(one, Unread):
            missed(number)
            return one
        try:
            return people_of(one, find, missed, number)
        except SourceError as error:
            return Unread(_name_of(one), error)

    with (
        closing(iter(inputs)) as items,
        closing(overlapped(enumerate(items), work, workers, stop=inputs.stop)) as results,
    ):
        for result in results:
            if not isinstance(result, Unread):
                yield result
            elif on_error is not None:
                on_error(result.name, result.error)
            elif result.partly:
                warnings.warn(str(result.error), stacklevel=2)
            else:
                raise result.error


def people_of(
    picture: PictureLike | Frame,
    find: Callable[[int, Frame], Poses],
    missed: Callable[[int], None] = lambda number: None,
    number: int = 0,
) -> Streamed:
    """A picture as a frame, and its people; a frame whose people are known keeps them.

    number  index of the frame if the picture has no file and is no frame

    The seconds of reading the picture are added to the timing "preprocess".
    """
    start = perf_counter()
    try:
        frame = as_frame(picture, number)
    except BaseException:
        missed(number)
        raise
    if frame.poses is not None:
        missed(number)
        return frame, frame.poses
    reading = perf_counter() - start
    people = find(number, frame)
    timings = dict(people.timings)
    timings["preprocess"] += reading
    return frame, replace(people, timings=timings)


def as_frame(picture: PictureLike | Frame, index: int = 0) -> Frame:
    """The picture as a frame. Raises TypeError, ValueError or SourceError if it is none."""
    if isinstance(picture, Frame):
        return picture
    if isinstance(picture, (str, PathLike)):
        return Frame(as_picture(picture), os.fspath(picture))
    return Frame(as_picture(picture), index=index)


def _name_of(picture: PictureLike | Frame) -> str | PathLike[str]:
    if isinstance(picture, Frame):
        return picture.source
    return picture if isinstance(picture, (str, PathLike)) else ""
