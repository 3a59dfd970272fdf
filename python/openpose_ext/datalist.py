"""`python -m openpose_ext.datalist`: pictures as the files that vamp runs, and the way back.

vamp (of Vastai's tools) and `openpose_ext.perf` run networks on files. What is known of them:

- an input is an npz with `input_0`: a picture as (3, H, W) uint8 RGB
- a datalist has the path of one input a line; the order counts
- outputs are `output_000000.npz`, ..., in the order of the datalist, with `output_0`, ...: what the
  network gives, in its own order, each with a leading 1

Where a picture lies in its input is written beside the list, for `openpose_ext.eval --npz`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from openpose_ext.cli import Exit, UsageError, exit_code
from openpose_ext.errors import SourceError
from openpose_ext.flags import parse, positive
from openpose_ext.geometry import Geometry
from openpose_ext.outputs.files import output_names, write_whole
from openpose_ext.preprocess import Picture, Preprocessing, resized
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.pictures import read_picture

__all__ = [
    "Placed",
    "even_size",
    "main",
    "output_file",
    "placed",
    "read_datalist",
    "read_input",
    "read_outputs",
    "write_outputs",
]

Size = tuple[int, int]

_EXAMPLES = """\
examples:
  python -m openpose_ext.datalist --images val2017 --size 184 184 -o card
  vamp -m deploy_weights/body/mod --vdsp_params body-vdsp_params.json -s [3,184,184] \\
      --datalist card/datalist.txt --path_output card/found
  python -m openpose_ext.eval --npz card/found --datalist card/datalist.txt \\
      --annotations person_keypoints_val2017.json

`python -m openpose_ext.perf` takes vamp's place on any engine. With --fit pad, the default, inputs
have the network's size and keep the aspect ratio of pictures; with --fit stretch they are whole
pictures, which the card squashes into the network's square, as the zoo's do.

exit codes: 0 done; 1 some pictures failed; 2 usage; 4 output; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.Exit`)."""
    return exit_code(lambda: _datalist(sys.argv[1:] if argv is None else argv))


# vamp's files --------------------------------------------------------------------------------


def read_datalist(path: str | os.PathLike[str]) -> list[Path]:
    """The inputs that a datalist names. ValueError, naming it, if it cannot be read or is empty."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    inputs = [Path(os.fsdecode(line.strip())) for line in lines if line.strip()]
    if not inputs:
        raise ValueError(f"{path} names no inputs")
    return inputs


def read_input(path: str | os.PathLike[str]) -> Picture:
    """The picture of an input, (H, W, 3) uint8 BGR.

    Raises SourceError, naming the file, if it cannot be read or holds anything else.
    """
    planes, *others = _arrays(path, "input_")
    if others:
        raise SourceError(f"{path} has {1 + len(others)} inputs; a pose network has one")
    if planes.dtype != np.uint8 or planes.ndim != 3 or planes.shape[0] != 3 or not planes.size:
        raise SourceError(
            f"input_0 of {path} is {planes.dtype} of {planes.shape}; a picture of (3, H, W) uint8, "
            "RGB, is needed"
        )
    return np.ascontiguousarray(planes.transpose(1, 2, 0)[..., ::-1])


def write_input(path: Path, picture: Picture) -> None:
    """Write a picture, (H, W, 3) uint8 BGR, as an input."""
    _write_arrays(path, "input_", [np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))])


def output_file(folder: Path, index: int) -> Path:
    """Where the outputs of a datalist's input go; the first is 0."""
    return folder / f"output_{index:06d}.npz"


def read_outputs(path: str | os.PathLike[str]) -> list[npt.NDArray[Any]]:
    """What a network gave for one input, in its order.

    Raises SourceError, naming the file, if it cannot be read or holds anything else.
    """
    arrays = _arrays(path, "output_")
    for k, array in enumerate(arrays):
        if not np.issubdtype(array.dtype, np.floating):
            raise SourceError(f"output_{k} of {path} is {array.dtype}; floats are needed")
    return arrays


def write_outputs(path: Path, outputs: Sequence[npt.NDArray[Any]]) -> None:
    """Write what a network gave for one input, each with its leading 1."""
    _write_arrays(path, "output_", outputs)


def _arrays(path: str | os.PathLike[str], prefix: str) -> list[npt.NDArray[Any]]:
    """The arrays <prefix>0, <prefix>1, ... of an npz; at least one."""
    try:
        # Opened here: NumPy leaves a file open that is no zip archive.
        with open(path, "rb") as stream, np.load(stream) as archive:
            names = {*archive.files}
            count = next(k for k in range(len(names) + 1) if f"{prefix}{k}" not in names)
            if not count:
                raise ValueError(f"it holds {', '.join(sorted(names)) or 'nothing'}")
            arrays = [archive[f"{prefix}{k}"] for k in range(count)]
            if not all(isinstance(array, np.ndarray) for array in arrays):
                raise ValueError("they are no arrays")
            return arrays
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, EOFError, MemoryError, BadZipFile, zlib.error) as error:
        raise SourceError(f"{path} is no npz of {prefix}0, ...: {error}") from error


def _write_arrays(path: Path, prefix: str, arrays: Sequence[npt.NDArray[Any]]) -> None:
    stream = io.BytesIO()
    named: dict[str, Any] = {f"{prefix}{k}": array for k, array in enumerate(arrays)}
    np.savez(stream, **named)
    write_whole(path, stream.getvalue())


# Where pictures lie in their inputs --------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """Where the picture of an input lies in what the network saw; sizes are (width, height).

    name     of the picture's file, below the folder it came from; where the datalist does not say,
             the input's, both without suffix
    picture  its size
    network  of the network's input, or None where the datalist does not say: the whole picture was
             squashed into it
    content  of the picture's image in it, at the top left, or None alike
    """

    name: str
    picture: Size
    network: Size | None = None
    content: Size | None = None

    def geometry(self, cells: Size) -> Geometry:
        """How maps of so many cells lie in the picture; of a stride of 8 where nothing says more.

        Raises ValueError if such maps cannot be of this input.
        """
        network = self.network or (8 * cells[0], 8 * cells[1])
        content = self.content or network
        stride = max(1, network[0] // cells[0])
        if network != (stride * cells[0], stride * cells[1]):
            raise ValueError(
                f"maps of {cells[0]} x {cells[1]} cells are not of an input of "
                f"{network[0]} x {network[1]}"
            )
        factor = content[0] / self.picture[0], content[1] / self.picture[1]
        return Geometry(self.picture, network, content, factor, stride=stride)


def even_size(width: int, height: int) -> Size:
    """The size of a whole picture on a card, whose images have even sides: a pixel less, if odd."""
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def places_file(datalist: Path) -> Path:
    """What lies beside a datalist and says where its pictures are in their inputs."""
    return datalist.with_suffix(".json")


def placed(datalist: Path) -> list[Placed]:
    """Where the picture of each input of a datalist lies.

    Of a list without `places_file`, such as the zoo's scripts make, the inputs are read: they are
    whole pictures.

    Raises ValueError, naming the file, if the list or what lies beside it is broken, SourceError
    for a broken input.
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
        raise ValueError(f"{datalist} names {strange}, of which {file} says nothing")
    return [known[str(path)] for path in inputs]


def _size(values: Any) -> Size:
    width, height = values
    if not all(isinstance(side, int) and side > 0 for side in (width, height)):
        raise ValueError(f"{values} is no width and height")
    return width, height


# The command -------------------------------------------------------------------------------------


def _datalist(argv: Sequence[str]) -> int:
    args = parse(_parser(), argv, ())
    # OpenCV's own words on damaged files; the reason is ours to give.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if None in (args.images, args.size, args.output):
        raise UsageError("--images DIR, --size W H and -o OUT are needed; --help shows examples")
    if not os.path.isdir(args.images):
        raise UsageError(f"--images {args.images} is no folder")
    network = args.size[0], args.size[1]
    if any(side % 2 for side in network):
        raise UsageError(f"--size {network[0]} {network[1]}: a card's images have even sides")
    output = Path(os.path.abspath(args.output))
    try:
        pictures = find_inputs([args.images], exclude=[output], videos=False).files
        names = output_names(pictures)
    except ValueError as error:
        raise UsageError(error) from error

    preprocess = Preprocessing(fit=args.fit, fixed_size=network)
    entries: list[dict[str, Any]] = []
    silent = not sys.stderr.isatty()
    with tqdm(pictures, unit="picture", disable=silent, leave=False) as progress:
        for picture_file, name in zip(progress, names, strict=True):
            npz = output / f"{name}.npz"
            try:
                if len(os.fsencode(npz).splitlines()) > 1:
                    raise SourceError(
                        f"{picture_file.path}: a line break cannot stand in a datalist"
                    )
                picture = read_picture(picture_file.path)
            except SourceError as error:
                progress.write(f"openpose-ext: {error}; it is left out", file=sys.stderr)
                continue
            if args.fit == "pad":
                given, geometry = preprocess(picture)
                content = geometry.content
            else:
                given = resized(picture, even_size(picture.shape[1], picture.shape[0]))
                content = network
            write_input(npz, given)
            entries.append(
                {
                    "npz": str(npz),
                    "file_name": picture_file.relative.as_posix(),
                    "size": [picture.shape[1], picture.shape[0]],
                    "content": content,
                }
            )
    if not entries:
        raise UsageError(f"none of the pictures of {args.images} can be read")
    datalist = output / "datalist.txt"
    places = {"fit": args.fit, "network": network, "pictures": entries}
    write_whole(places_file(datalist), json.dumps(places, indent=1).encode())
    write_whole(datalist, b"".join(os.fsencode(entry["npz"]) + b"\n" for entry in entries))
    failed = len(pictures) - len(entries)
    print(f"{len(entries)} inputs, {failed} failed: {datalist}")
    return Exit.SOME_FAILED if failed else Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openpose_ext.datalist",
        usage="%(prog)s --images DIR --size W H -o OUT [--fit pad|stretch]",
        description="Write pictures as inputs of vamp, the list of them, and where they lie.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--images", metavar="DIR", help="folder of the pictures, searched with its subfolders")
    add("--size", type=positive, nargs=2, metavar=("W", "H"), help="of the network's input, pixels")
    add("-o", "--output", metavar="OUT", help="folder for the inputs, datalist.txt, datalist.json")
    add(
        "--fit",
        default="pad",
        choices=("pad", "stretch"),
        help="inputs of the network's size, keeping the aspect ratio; or whole pictures, which the "
        "device squashes (default pad)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
