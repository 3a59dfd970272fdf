"""What inputs amount to: the pictures and videos that files, folders, patterns and lists name."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["PICTURES", "VIDEOS", "Found", "InputFile", "Kind", "each_input", "find_inputs"]

Kind = Literal["picture", "video", "poses"]

# What a folder is searched for. HEIC cannot be decoded, but a folder of a telephone's pictures
# had better be refused by name than found empty.
PICTURES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif",
        ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
    )
)  # fmt: skip
VIDEOS = frozenset(
    (
        ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".ts",
        ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".y4m",
    )
)  # fmt: skip

# What OpenPose calls the files of its key points.
_KEYPOINTS = "_keypoints.json"


@dataclass(frozen=True)
class InputFile:
    """A file to read, and the root it was found under.

    path  as it can be opened
    root  the folder that was searched, or the one that holds a file which was named itself
    kind  "picture", "video", or "poses": a folder of OpenPose's JSON files
    """

    path: Path
    root: Path
    kind: Kind = "picture"

    @property
    def relative(self) -> Path:
        """The path below the root."""
        return self.path.relative_to(self.root)


@dataclass(frozen=True)
class Found:
    """What the inputs amount to.

    files    in the order of the inputs, sorted within a folder or pattern, each once
    skipped  how many files were left out because they are outputs
    """

    files: tuple[InputFile, ...]
    skipped: int = 0


def find_inputs(
    inputs: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str | os.PathLike[str]] = (),
    videos: bool = True,
    recursive: bool = True,
) -> Found:
    """The pictures and videos that files, folders, glob patterns and lists stand for.

    inputs     A file is taken whatever its name, a folder with all below it, without hidden
               entries. A glob pattern (`**` included) gives the files and folders it matches. A
               file `.txt` is a list: one path a line, relative to the list. A folder without
               pictures and videos, but with files `*_keypoints.json`, is one input.
    exclude    output folders. What lies below one inside a searched folder is skipped; where the
               output folder holds the searched folder, files `*_rendered.*` are.
    videos     False looks for pictures only
    recursive  False takes of a folder what lies in it, and nothing below

    Raises ValueError if an input matches nothing or cannot be listed.
    """
    real_folder = cache(os.path.realpath)
    search = _Search(PICTURES | VIDEOS if videos else PICTURES, recursive, _refuse)
    outputs = {os.path.realpath(folder) for folder in exclude}
    found: dict[str, InputFile] = {}
    skipped: set[str] = set()
    for given in inputs:
        matched = False
        for file, named in search.expand(Path(given)):
            path = os.path.abspath(file.path)
            root = real_folder(file.root)
            if not named and any(_is_output(file, root, folder) for folder in outputs):
                skipped.add(path)
            else:
                found.setdefault(path, file)
                matched = True
        if not matched:
            hint = f" ({len(skipped)} files skipped as outputs)" if skipped else ""
            raise ValueError(f"nothing matches the input {os.fspath(given)!r}{hint}")
    return Found(tuple(found.values()), len(skipped - found.keys()))


def each_input(given: str, unlisted: Callable[[OSError], None]) -> Iterator[InputFile]:
    """The same of one input, while its folders are searched: any number of files in little memory.

    unlisted  told of a folder that cannot be listed; the others go on

    Raises ValueError if a list cannot be read.
    """
    search = _Search(PICTURES | VIDEOS, True, unlisted)
    return (file for file, _ in search.expand(Path(given)))


def _refuse(error: OSError) -> None:
    raise ValueError(f"{error.filename}: {error.strerror}") from error


@dataclass(frozen=True)
class _Search:
    suffixes: frozenset[str]
    recursive: bool
    unlisted: Callable[[OSError], None]

    def expand(self, given: Path) -> Iterator[tuple[InputFile, bool]]:
        """The files one input stands for, each with whether it was named itself."""
        if given.is_dir():
            empty = True
            for file in self._in_folder(given, given):
                empty = False
                yield file, False
            if empty and next(given.glob(f"*{_KEYPOINTS}"), None):
                yield InputFile(given, given.parent, "poses"), True
        elif given.suffix.lower() == ".txt" and given.is_file():
            yield from ((file, True) for file in self._in_list(given))
        elif os.path.lexists(given):
            yield self._named(given, given.parent), True
        elif glob.has_magic(os.fspath(given)):
            yield from ((file, False) for file in self._in_pattern(given))

    def _in_folder(self, folder: Path, root: Path) -> Iterator[InputFile]:
        """What lies in a folder and below, a folder at a time, in the order of sorted paths."""
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            self.unlisted(error)
            return
        for entry in entries:
            if entry.is_dir():
                hidden = entry.name.startswith(".")
                if self.recursive and not hidden and not entry.is_symlink():
                    yield from self._in_folder(folder / entry.name, root)
            elif self._looks_for(entry.name):
                yield self._named(folder / entry.name, root)

    def _in_pattern(self, pattern: Path) -> Iterator[InputFile]:
        fixed = list(pattern.parts)
        while any(glob.has_magic(part) for part in fixed):
            fixed.pop()
        root = Path(*fixed)
        seen: set[str] = set()  # `**` gives a folder, and what lies in it once more
        for match in sorted(map(Path, glob.glob(os.fspath(pattern), recursive=True))):
            for file in self._of_match(match, root):
                path = os.path.abspath(file.path)
                if path not in seen:
                    seen.add(path)
                    yield file

    def _of_match(self, match: Path, root: Path) -> Iterator[InputFile]:
        if match.is_dir():
            yield from self._in_folder(match, root)
        elif self._looks_for(match.name):
            yield self._named(match, root)

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

    def _looks_for(self, name: str) -> bool:
        return not name.startswith(".") and os.path.splitext(name)[1].lower() in self.suffixes

    def _named(self, path: Path, root: Path) -> InputFile:
        suffix = path.suffix.lower()
        known = suffix in PICTURES or suffix in VIDEOS
        is_video = suffix in VIDEOS if known else self.suffixes > PICTURES and _holds_video(path)
        return InputFile(path, root, "video" if is_video else "picture")


def _holds_video(path: Path) -> bool:
    """Whether a file whose name does not tell is a video."""
    if not path.is_file():
        return False
    import cv2

    if cv2.haveImageReader(os.fspath(path)):
        return False
    from openpose_ext.errors import SourceError
    from openpose_ext.io.container import open_container, video_stream

    try:
        with open_container(os.fspath(path)) as container:
            video_stream(container, os.fspath(path))
    except SourceError:
        return False
    return True


def _is_output(file: InputFile, root: str, folder: str) -> bool:
    """Whether a file is a result in an output folder; root, folder: without links."""
    if not _is_below(os.path.join(root, file.relative), folder):
        return False
    inside = folder != root and _is_below(folder, root)
    return inside or file.path.stem.endswith("_rendered")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
