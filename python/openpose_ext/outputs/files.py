"""Writing files whole, and choosing their names."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from openpose_ext.errors import OutputError
from openpose_ext.sources.pictures import PictureFile

__all__ = ["make_folder", "output_names", "write_whole"]


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that it appears under its name only when it is whole.

    The data go to a hidden file in the same folder, which is then renamed; an existing file is
    replaced. Folders are made. Whatever interrupts, nothing half-written stays.

    Raises OutputError with the reason if it cannot be written.
    """
    path = Path(path)
    make_folder(path.parent)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            part.write_bytes(data)
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; OutputError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if folder.exists() else error.strerror
        raise OutputError(f"the folder {folder} cannot be made: {reason}") from error


def output_names(pictures: Sequence[PictureFile]) -> list[Path]:
    """What the outputs of each picture are called, without their ends such as `_keypoints.json`.

    The name is the path below the root without suffix (`dir/a`). Pictures that would share one
    keep their suffix (`dir/a.jpg`); if that is still shared, the name of the root is put in front
    (`root/dir/a.jpg`).

    Raises ValueError naming two pictures that share even that.
    """
    level = [0] * len(pictures)
    while True:
        names = [_name(picture, k) for picture, k in zip(pictures, level, strict=True)]
        users = Counter(names)
        shared = [i for i, name in enumerate(names) if users[name] > 1]
        if not shared:
            return names
        raised = [i for i in shared if level[i] < 2]
        if not raised:
            first, second = [i for i in shared if names[i] == names[shared[0]]][:2]
            raise ValueError(
                f"{pictures[first].path} and {pictures[second].path} would write the same files "
                f"({names[first]}); run them with different output folders"
            )
        for i in raised:
            level[i] += 1


def _name(picture: PictureFile, level: int) -> Path:
    if level == 0:
        return picture.relative.with_suffix("")
    root = picture.root.resolve().name if level == 2 else ""
    return Path(root) / picture.relative
