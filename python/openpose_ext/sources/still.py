"""A single picture from the web or the standard input as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from openpose_ext.errors import SourceError
from openpose_ext.sources.pictures import decode_picture
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.types.frame import Frame

__all__ = ["Still"]


class Still(Source):
    """One picture.

    name    `Frame.source` of its frame
    read    returns the bytes of the picture file; raises SourceError if it cannot
    view    whether it is taken, and how it is turned
    report  called if it cannot be read, see `Source`
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], bytes],
        *,
        view: View = AS_IT_IS,
        report: Report | None = None,
    ) -> None:
        super().__init__(name, report)
        self.count = view.count(1)
        self._read = read
        self._view = view

    def close(self) -> None:
        """Do nothing, because nothing is open."""

    def _frames(self) -> Iterator[Frame]:
        if not self._view.takes(0):
            return
        try:
            picture = decode_picture(self._read(), self.name)
        except SourceError as error:
            self._note(error)
            return
        yield Frame(self._view.turned(picture), self.name)
