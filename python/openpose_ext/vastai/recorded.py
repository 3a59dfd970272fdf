"""Reads a network's recorded outputs and decodes people, to measure the accuracy of a card.

vamp, or `openpose_ext.perf` in its place, ran the network and wrote its outputs to files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import Graph
from openpose_ext.errors import SourceError
from openpose_ext.io.vamp_files import read_outputs
from openpose_ext.models.manifest import TOPOLOGIES, sniff
from openpose_ext.models.network import body_maps
from openpose_ext.stages.decode import DecodeOptions, Mode, decode_body
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology
from openpose_ext.vastai.datalist import Placed, even_size, placed

__all__ = ["Record", "find_records"]

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Record:
    """The recorded outputs of a network for a picture.

    outputs  the file of the outputs
    place    position of the picture in the network's input
    lift     that of the network's manifest
    """

    outputs: Path
    place: Placed
    lift: float = 0.0

    def people(self, mode: Mode, options: DecodeOptions) -> Poses:
        """The people of the picture, in its own pixels, with `timings` of "read" and "decode".

        Raises SourceError, naming the file, if the outputs are not a body network's or belong to an
        input of another size.
        """
        start = perf_counter()
        try:
            heat, paf, topology = _maps(read_outputs(self.outputs))
            geometry = self.place.geometry((heat.shape[2], heat.shape[1]))
            geometry = replace(geometry, lift=self.lift)
        except ValueError as error:
            raise SourceError(f"{self.outputs}: {error}") from error
        read = perf_counter()
        poses = decode_body(
            heat, paf, topology=topology, geometry=geometry, mode=mode, options=options
        )
        return replace(poses, timings={"read": read - start, "decode": perf_counter() - read})


def find_records(
    folder: Path, datalist: Path, pictures: Sequence[Mapping[str, Any]], lift: float = 0.0
) -> dict[int, Record]:
    """The records of the annotated pictures in the datalist, by the picture's id.

    Outputs sorted by name belong to the inputs in the list's order, as with vamp.

    folder    folder of the outputs
    pictures  `id`, `file_name`, and perhaps `width` and `height` of each picture
    lift      that of the network's manifest

    Raises ValueError if the numbers of outputs and inputs differ, or a picture is ambiguous, and
    the errors of `placed`.
    """
    places = placed(datalist)
    files = sorted(folder.glob("*.npz"))
    if len(files) != len(places):
        raise ValueError(
            f"{folder} holds outputs of {len(files)} inputs, but {datalist} names {len(places)}; "
            "was the run cut short, or of another list?"
        )
    by_name: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for picture in pictures:
        name = Path(picture["file_name"])
        for known_as in {name.as_posix(), name.stem}:
            by_name[known_as].append(picture)
    records: dict[int, Record] = {}
    for file, place in zip(files, places, strict=True):
        meant = by_name.get(place.name, [])
        if len(meant) > 1:
            raise ValueError(
                f"{place.name} may be {' or '.join(p['file_name'] for p in meant)}; make the "
                "datalist with openpose_ext.datalist, which says which"
            )
        for picture in meant:
            size = picture.get("width", 0), picture.get("height", 0)
            if place.network is None and place.picture == even_size(*size):
                place = replace(place, picture=size)
            records[picture["id"]] = Record(file, place, lift)
    return records


def _maps(arrays: Sequence[npt.NDArray[Any]]) -> tuple[Maps, Maps, Topology]:
    """(heat, paf, topology) from the outputs for one picture, recognised by their channels.

    Raises ValueError for anything else.
    """
    outputs = {
        f"output_{k}": np.asarray(array[None] if array.ndim == 3 else array, np.float32)
        for k, array in enumerate(arrays)
    }
    shapes = {name: output.shape for name, output in outputs.items()}
    manifest = sniff(Graph((1, 3, None, None), shapes, normalises=True))
    if manifest.kind != "body":
        raise ValueError("these are the outputs of a hand network; a body's are needed")
    if any(len(outputs[name]) != 1 for name in manifest.outputs):
        raise ValueError(f"outputs for one picture have shapes that begin with 1, not {shapes}")
    maps = body_maps(outputs, manifest)
    return maps.heat[0], maps.paf[0], TOPOLOGIES[manifest.topology]
