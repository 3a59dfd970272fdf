"""Finds the pictures and videos that files, folders, glob patterns and lists stand for."""

from __future__ import annotations

import errno
import glob
import io
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from warnings import warn

from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.io.web import is_web, local_path, opened_at
from openpose_ext.sources.animation import ANIMATIONS, is_animated
from openpose_ext.sources.openpose_files import holds_openpose, is_openpose
from openpose_ext.sources.picture_files import format_of
from openpose_ext.sources.stdin import STDIN, is_stdin, stdin_kind

__all__ = [
    "PICTURES",
    "VIDEOS",
    "FoundInputs",
    "InputFile",
    "Kind",
    "each_input",
    "find_inputs",
    "kind_at",
]

Kind = Literal["picture", "video", "animation", "poses"]

# Suffixes that a folder is searched for. HEIC cannot be decoded, but a folder of a telephone's
# pictures should give an error that says so, rather than count as empty.
PICTURES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif",
        ".apng", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
    )
)  # fmt: skip
VIDEOS = frozenset(
    (
        ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".ts",
        ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".y4m",
        ".mjpeg", ".mjpg", ".h264", ".264", ".hevc", ".h265", ".265", ".insv", ".lrv",
    )
)  # fmt: skip

_STREAMS = (".m3u8", ".mpd", ".sdp")  # playlists of videos at addresses
_HEAD = 1 << 16  # bytes that tell whether it is a picture, and mostly whether it is animated

# Numbered pictures, as FFmpeg and OpenCV name them.
_NUMBERED = re.compile(r"%(?:0(\d+))?d")


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    path  its path
    root  the folder that was searched; for a file that was named itself the folder it lies in
    kind  "picture", "video", "animation" (a picture file of several frames), or "poses" (an
          OpenPose JSON file or a folder of them)
    error why it cannot be read, if that is known beforehand: a folder that may not be opened stands
          for all files in it
    """

    path: Path
    root: Path
    kind: Kind = "picture"
    error: str = ""

    @property
    def relative(self) -> Path:
        """The path below the root."""
        return self.path.relative_to(self.root)


@dataclass(frozen=True)
class FoundInputs:
    """The result of `find_inputs`.

    files    in the order of the inputs, sorted within a folder or pattern, each once
    skipped  number of files that were left out because they are outputs
    """

    files: tuple[InputFile, ...]
    skipped: int = 0


def find_inputs(
    inputs: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str | os.PathLike[str]] = (),
    videos: bool = True,
    recursive: bool = True,
) -> FoundInputs:
    """Find the pictures and videos that files, folders, glob patterns and lists stand for.

    inputs     A file is taken whatever its name is; a folder with its subfolders, without hidden
               entries. A glob pattern (`**` included) gives the files and folders it matches, and
               `frame_%04d.png` the pictures of that name in the order of their numbers. A `.txt`
               file is a list with one path per line, relative to the list's folder. A folder
               without pictures and videos, but with OpenPose's JSON files, is one input. `-` is the
               standard input, `file:///path` a path.
    exclude    output folders. Files below one that lies inside a searched folder are skipped; if
               the searched folder lies inside one, its files `*_rendered.*` are skipped
    videos     False finds pictures only
    recursive  False does not search subfolders

    A folder that may not be opened is one of the files, with its `error`. A pipe or device found in
    a folder is left out with a warning (`SourceWarning`).

    Raises ValueError if an input matches nothing, or a list cannot be read.
    """
    real_folder = cache(os.path.realpath)
    search = _Search(PICTURES | VIDEOS if videos else PICTURES, recursive, None)
    outputs = {os.path.realpath(folder) for folder in exclude}
    found: dict[str, InputFile] = {}
    skipped: set[str] = set()
    for given in inputs:
        matched = False
        for file, named in search.expand(_path_of(given)):
            path = os.path.abspath(file.path)
            root = real_folder(file.root)
            if not named and any(_is_output(file, root, folder) for folder in outputs):
                skipped.add(path)
            else:
                found.setdefault(path, file)
                matched = True
        if not matched:
            hint = f" ({len(skipped)} files skipped as outputs)" if skipped else ""
            if os.path.isdir(_path_of(given)):
                what = "pictures or videos" if videos else "pictures"
                raise ValueError(f"the folder {os.fspath(given)!r} holds no {what}{hint}")
            raise ValueError(f"nothing matches the input {os.fspath(given)!r}{hint}")
    return FoundInputs(tuple(found.values()), len(skipped - found.keys()))


def each_input(given: str, unlisted: Callable[[OSError], None]) -> Iterator[InputFile]:
    """Find the files of one input, one after the other, so that any number needs little memory.

    unlisted  called with the error of each folder that cannot be listed; the search goes on

    Raises ValueError if a list cannot be read.
    """
    search = _Search(PICTURES | VIDEOS, True, unlisted)
    return (file for file, _ in search.expand(_path_of(given)))


def kind_at(address: str) -> Kind:
    """The kind of file at an address: "picture" or "animation" on the web, otherwise "video".

    If the name does not tell, the first bytes are fetched. An address that cannot be reached counts
    as a video; opening it gives the error.
    """
    if not is_web(address):
        return "video"
    suffix = posixpath.splitext(urlsplit(address).path)[1].lower()
    if suffix in VIDEOS or suffix in _STREAMS:
        return "video"
    try:
        with opened_at(address) as file:
            head = file.read(16)  # more may take a camera a long time
            if format_of(head) is None:
                return "video"
            head += file.read(_HEAD)
    except SourceError:
        return "picture" if suffix in PICTURES else "video"
    return "animation" if is_animated(io.BytesIO(head)) else "picture"


def _path_of(given: str | os.PathLike[str]) -> Path:
    return Path(local_path(os.fspath(given)))


@dataclass(frozen=True)
class _Search:
    """A search. `unlisted` gets the error of each folder that cannot be listed; if it is None, the
    folder becomes a file with that error."""

    suffixes: frozenset[str]
    recursive: bool
    unlisted: Callable[[OSError], None] | None

    def expand(self, given: Path) -> Iterator[tuple[InputFile, bool]]:
        """The files that one input stands for, and whether each was named itself."""
        try:
            named = self._named_kind(given)
        except OSError as error:
            yield from ((file, True) for file in self._failed(given, given.parent, error))
            return
        if named == "folder":
            empty = True
            for file in self._in_folder(given, given):
                empty = False
                yield file, False
            if empty and self.suffixes > PICTURES and holds_openpose(given):
                yield InputFile(given, given.parent, "poses"), True
        elif named == "list":
            yield from ((file, True) for file in self._in_list(given))
        elif named == "file":
            yield self._named(given, given.parent), True
        elif named == "stdin":
            yield InputFile(STDIN, STDIN.parent, stdin_kind()), True
        elif _NUMBERED.search(given.name):
            yield from ((file, False) for file in self._in_sequence(given))
        elif glob.has_magic(os.fspath(given)):
            yield from ((file, False) for file in self._in_pattern(given))

    def _named_kind(self, given: Path) -> str:
        """The input's kind: "folder", "list", "file", or "" if it is missing. Raises OSError."""
        if is_stdin(given) and self.suffixes > PICTURES:
            return "stdin"
        try:
            mode = given.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return "file" if os.path.lexists(given) else ""
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and glob.has_magic(os.fspath(given)):
                return ""
            raise
        if stat.S_ISDIR(mode):
            return "folder"
        return "list" if given.suffix.lower() == ".txt" and stat.S_ISREG(mode) else "file"

    def _failed(self, path: Path, root: Path, error: OSError) -> Iterator[InputFile]:
        if self.unlisted is not None:
            self.unlisted(error)
        else:
            yield InputFile(path, root, error=error.strerror or str(error))

    def _in_folder(self, top: Path, root: Path) -> Iterator[InputFile]:
        """The files of a folder and its subfolders, in the order of sorted paths."""
        waiting: list[Iterator[tuple[Path, os.DirEntry[str] | None]]] = [iter([(top, None)])]
        while waiting:
            path, entry = next(waiting[-1], (None, None))
            if path is None:
                waiting.pop()
                continue
            try:
                if entry is None or self._enters(entry):
                    with os.scandir(path) as listed:
                        entries = sorted(listed, key=lambda entry: entry.name)
                    waiting.append(iter([(path / entry.name, entry) for entry in entries]))
                elif self._takes(path, entry):
                    yield self._named(path, root)
            except OSError as error:
                if entry is None or entry.is_dir(follow_symlinks=False) or self._looks_for(path):
                    yield from self._failed(path, root, error)

    def _enters(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a folder to search. Raises OSError if that cannot be found out."""
        hidden = entry.name.startswith(".")
        return not hidden and self.recursive and entry.is_dir(follow_symlinks=False)

    def _takes(self, path: Path, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a file to read. A broken link is one: reading it gives the error.

        Raises OSError if that cannot be found out."""
        if not self._looks_for(path) or entry.is_dir():
            return False
        if entry.is_file() or (entry.is_symlink() and not os.path.exists(path)):
            return True
        warn(f"{path} is left out: it is no regular file", SourceWarning, stacklevel=2)
        return False

    def _in_pattern(self, pattern: Path) -> Iterator[InputFile]:
        fixed = list(pattern.parts)
        while any(glob.has_magic(part) for part in fixed):
            fixed.pop()
        root = Path(*fixed)
        seen: set[str] = set()  # `**` gives a folder and also the files in it
        for match in sorted(map(Path, glob.glob(os.fspath(pattern), recursive=True))):
            for file in self._of_match(match, root):
                path = os.path.abspath(file.path)
                if path not in seen:
                    seen.add(path)
                    yield file

    def _of_match(self, match: Path, root: Path) -> Iterator[InputFile]:
        if os.path.isdir(match):
            yield from self._in_folder(match, root)
        elif self._looks_for(match):
            yield self._named(match, root)

    def _in_sequence(self, pattern: Path) -> Iterator[InputFile]:
        before, digits, after = _NUMBERED.split(pattern.name, maxsplit=1)
        name = re.compile(rf"{re.escape(before)}(\d{{{digits or 1},}}){re.escape(after)}")
        try:
            found = [
                match for entry in os.listdir(pattern.parent) if (match := name.fullmatch(entry))
            ]
        except OSError:
            return
        for match in sorted(found, key=lambda match: (int(match[1]), match[0])):
            yield self._named(pattern.parent / match[0], pattern.parent)

    def _in_list(self, file: Path) -> Iterator[InputFile]:
        try:
            text = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        except OSError as error:
            raise ValueError(f"{file}: {error.strerror}") from error
        for line in map(bytes.strip, text.splitlines()):
            if line:
                path = file.parent / os.fsdecode(line)
                below = path.is_relative_to(file.parent) and ".." not in path.parts
                yield self._named(path, file.parent if below else path.parent)

    def _looks_for(self, path: Path) -> bool:
        return not path.name.startswith(".") and path.suffix.lower() in self.suffixes

    def _named(self, path: Path, root: Path) -> InputFile:
        suffix = path.suffix.lower()
        kind: Kind = "picture"
        if suffix in VIDEOS:
            kind = "video"
        elif self.suffixes == PICTURES:  # animations are read as their first frame
            pass
        elif (suffix in ANIMATIONS or suffix not in PICTURES) and _is_animated(path):
            kind = "animation"
        elif suffix == ".json" and is_openpose(path):
            kind = "poses"
        elif suffix not in PICTURES and _holds_video(path):
            kind = "video"
        return InputFile(path, root, kind)


def _is_animated(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe may never end
            return False
        with path.open("rb") as file:
            return is_animated(file)
    except (OSError, ValueError):  # reading it later gives the error
        return False


def _holds_video(path: Path) -> bool:
    """Whether a file is a video, if its name does not tell."""
    if not os.path.isfile(path):
        return False
    import cv2

    if cv2.haveImageReader(os.fspath(path)):
        return False
    from openpose_ext.io.container import open_container, video_stream

    try:
        with open_container(os.fspath(path)) as container:
            video_stream(container, os.fspath(path))
    except SourceError:
        return False
    return True


def _is_output(file: InputFile, root: str, folder: str) -> bool:
    """Whether a file is a result in an output folder. Root and folder are resolved paths."""
    if not _is_below(os.path.join(root, file.relative), folder):
        return False
    inside = folder != root and _is_below(folder, root)
    return inside or file.path.stem.endswith("_rendered")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
