"""`python -m openpose_ext.datalist`: converts pictures to input files for vamp.

vamp (one of Vastai's tools) and `openpose_ext.perf` run networks on files:

- an input is an npz with `input_0`: a picture as (3, H, W) uint8 RGB
- a datalist has the path of one input per line; the order counts
- outputs are `output_000000.npz`, ..., in the order of the datalist, with `output_0`, ...: the
network's outputs in its own order, each with a leading 1

A file beside the list stores the position of each picture in its input, for `openpose_ext.eval
--npz`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.flags import Flags
from openpose_ext.cli.parser import command_parser, parse
from openpose_ext.cli.values import positive
from openpose_ext.errors import SourceError, UsageError
from openpose_ext.io.opencv import silence_opencv
from openpose_ext.io.resize import resized
from openpose_ext.io.vamp_files import write_input
from openpose_ext.io.whole import write_whole
from openpose_ext.run.names import output_names
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.vastai.datalist import even_size, places_file

__all__ = ["main"]


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
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _datalist(sys.argv[1:] if argv is None else argv))


def _datalist(argv: Sequence[str]) -> int:
    args = parse(_parser(), argv, ())
    silence_opencv()
    if None in (args.images, args.size, args.output):
        raise UsageError("--images DIR, --size W H and -o OUT are needed; --help shows examples")
    if not os.path.isdir(args.images):
        raise UsageError(f"--images {args.images} is not a folder")
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
                        f"{picture_file.path}: a datalist cannot contain names with a line break"
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
    parser = command_parser(
        "datalist",
        "--images DIR --size W H -o OUT [--fit pad|stretch]",
        "Convert pictures to input files for vamp, and write the list of them.",
        _EXAMPLES,
    )
    flags = Flags(parser)
    flags.value("--images DIR", "Folder of the pictures; subfolders are searched")
    parser.add_argument(
        "--size",
        type=positive,
        nargs=2,
        metavar=("W", "H"),
        help="Size of the network's input in pixels",
    )
    flags.value("-o --output OUT", "Output folder for the inputs, datalist.txt and datalist.json")
    flags.choice(
        "--fit",
        "pad writes inputs of the network's size and keeps the aspect ratio; stretch writes whole "
        "pictures, which the device resizes",
        ("pad", "stretch"),
        "pad",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
