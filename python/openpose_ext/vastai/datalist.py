"""The position of each picture of a datalist in the network's input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpose_ext.io.vamp_files import read_datalist, read_input
from openpose_ext.types.arrays import Size
from openpose_ext.types.geometry import Geometry

__all__ = ["Placed", "even_size", "placed", "places_file"]


@dataclass(frozen=True)
class Placed:
    """The position of a picture in the network's input; sizes are (width, height).

    name     of the picture's file, relative to its folder, or of the input if the datalist does not
             tell it; without suffix
    picture  size of the picture
    network  size of the network's input, or None if unknown: the whole picture was stretched to it
    content  size of the picture's image in it, at the top left, or None as above
    """

    name: str
    picture: Size
    network: Size | None = None
    content: Size | None = None

    def geometry(self, cells: Size) -> Geometry:
        """The geometry of maps with this many cells; the stride is 8 if nothing else is known.

        Raises ValueError if the maps do not fit this input.
        """
        network = self.network or (8 * cells[0], 8 * cells[1])
        content = self.content or network
        stride = max(1, network[0] // cells[0])
        if network != (stride * cells[0], stride * cells[1]):
            raise ValueError(
                f"maps of {cells[0]} x {cells[1]} cells do not fit an input of "
                f"{network[0]} x {network[1]}"
            )
        factor = content[0] / self.picture[0], content[1] / self.picture[1]
        return Geometry(self.picture, network, content, factor, stride=stride)


def even_size(width: int, height: int) -> Size:
    """The size of a picture on a card, whose images have even sides: odd sides lose a pixel."""
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def places_file(datalist: Path) -> Path:
    """The file beside a datalist with the positions of its pictures in their inputs."""
    return datalist.with_suffix(".json")


def placed(datalist: Path) -> list[Placed]:
    """The position of the picture of each input of a datalist.

    For a list without `places_file`, such as VastModelZoo's scripts write, the inputs are read;
    they are whole pictures.

    Raises ValueError, naming the file, if the list or its `places_file` is broken, SourceError for
    a broken input.
    """
    inputs = read_datalist(datalist)
    file = places_file(datalist)
    if not file.is_file():
        sizes = ((path, read_input(path).shape) for path in inputs)
        return [Placed(path.stem, (shape[1], shape[0])) for path, shape in sizes]
    try:
        content = json.loads(file.read_bytes())
        network = _size(content["network"])
        known = {
            one["npz"]: Placed(one["file_name"], _size(one["size"]), network, _size(one["content"]))
            for one in content["pictures"]
        }
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{file} is not what `datalist` writes: {error!r}") from error
    strange = next((path for path in inputs if str(path) not in known), None)
    if strange is not None:
        raise ValueError(f"{datalist} names {strange}, which is missing in {file}")
    return [known[str(path)] for path in inputs]


def _size(values: Any) -> Size:
    width, height = values
    if not all(isinstance(side, int) and side > 0 for side in (width, height)):
        raise ValueError(f"{values} is not a width and height")
    return width, height
