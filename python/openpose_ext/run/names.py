"""The names of the files of each input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from openpose_ext.outputs.pictures import can_write
from openpose_ext.sources.listing import InputFile

__all__ = ["drawn_names", "output_names"]


def output_names(pictures: Sequence[InputFile]) -> list[Path]:
    """The names of the outputs of each picture, without endings such as `_keypoints.json`.

    The name is the path below the root without suffix (`dir/a`). Pictures with the same name keep
    their suffix (`dir/a.jpg`); if names are still equal, the name of the root is put in front
    (`root/dir/a.jpg`).

    Raises ValueError, naming two pictures, if even these names are equal.
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


def drawn_names(named: Sequence[tuple[InputFile, Path]]) -> dict[Path, Path]:
    """The names of drawn pictures that keep the inputs' names, by `output_names`.

    The suffix gives the format; if it cannot be written, the name becomes `a.heic.png`.

    Raises ValueError naming two pictures that would be drawn to the same file.
    """
    drawn: dict[Path, Path] = {}
    users: dict[Path, InputFile] = {}
    for picture, name in named:
        own = picture.path.name
        if not can_write(picture.path.suffix.removeprefix(".").lower()):
            own += ".png"
        drawn[name] = name.with_name(own)
        other = users.setdefault(drawn[name], picture)
        if other is not picture:
            raise ValueError(
                f"{other.path} and {picture.path} would be drawn to the same file "
                f"({drawn[name]}); run them with different output folders"
            )
    return drawn


def _name(picture: InputFile, level: int) -> Path:
    if level == 0:
        return picture.relative.with_suffix("")
    root = picture.root.resolve().name if level == 2 else ""
    return Path(root) / picture.relative
