"""`python -m openpose_ext.eval`: scores a network on annotated pictures with COCO's evaluation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.flags import Flags
from openpose_ext.cli.network_flags import (
    DEFAULT_BODY,
    NETWORK_BOOLEANS,
    add_network_flags,
    network_flags,
    refuse_detect_every,
)
from openpose_ext.cli.parser import command_parser, parse
from openpose_ext.cli.values import positive
from openpose_ext.errors import SourceError, UsageError
from openpose_ext.io.opencv import silence_opencv
from openpose_ext.io.whole import make_folder, write_whole
from openpose_ext.models.lookup import find_model
from openpose_ext.models.manifest import read_manifest
from openpose_ext.run.coco_eval import (
    Annotations,
    Evaluation,
    _pycocotools,
    check_files,
    check_size,
    coco_results,
    percentile_interval,
)
from openpose_ext.run.tally import Tally
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.decode import DecodeOptions
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.poses import Poses
from openpose_ext.vastai.recorded import Record, find_records

__all__ = ["main"]


_EXAMPLES = """\
examples:
  python -m openpose_ext.eval --images val2017 --annotations person_keypoints_val2017.json
  python -m openpose_ext.eval ... --body mobilenet --precision f32 --height 256
  python -m openpose_ext.eval ... --mode reference         the original rules
  python -m openpose_ext.eval ... --scales 0.5,1,1.5,2 --mirror
  python -m openpose_ext.eval ... --bootstrap 1000         with a confidence interval
  python -m openpose_ext.eval ... --json results.json      results for COCO's own tools
  python -m openpose_ext.eval --npz card/found --datalist card/datalist.txt --annotations FILE

The last one decodes outputs that vamp or `openpose_ext.perf` wrote for the inputs of
`openpose_ext.datalist`; name the network with --body if its manifest has a `lift`.

AP and AR are means over OKS 0.50:0.05:0.95; 50 and 75 are those at one threshold, M and L those of
people of 32^2 to 96^2 pixels and of larger people. "seen" counts filled parts as missing. "feet"
scores the feet alone, if both the network and the annotations (COCO-WholeBody's) have them.

exit codes: 0 done; 1 some pictures failed; 2 usage, annotation file; 3 network, engine,
pycocotools; 4 output; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _eval(sys.argv[1:] if argv is None else argv))


def _eval(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, NETWORK_BOOLEANS)
    silence_opencv()
    recorded = args.npz is not None or args.datalist is not None
    annotations = _annotations(args, recorded)
    if recorded:
        records = _records(args, parser, annotations)
        annotations = annotations.only(records)
    else:
        folder = _folder(args, annotations)
    output = _output(args)
    _pycocotools()  # fail now instead of after an hour of pictures
    tally = Tally()
    with ExitStack() as opened:
        if recorded:
            options = _options(args)
            setting = f"outputs in {args.npz}, {_rules(args)}"
        else:
            estimator = opened.enter_context(_estimator(args))
            setting = _setting(args, estimator)

        def look(entry: Mapping[str, Any]) -> Poses:
            if recorded:
                return records[entry["id"]].people(args.mode, options)
            with tally.timed("read"):
                picture = read_picture(folder / entry["file_name"])
            check_size(entry, picture.shape[1], picture.shape[0])
            return estimator(picture)

        if output is not None:
            make_folder(output.parent)
        print(setting, flush=True)
        found = _find(look, annotations, tally)
    if output is not None:
        results = [r for poses, k in found for r in coco_results(poses, k, annotations.category)]
        write_whole(output, json.dumps(results, separators=(",", ":")).encode())
    print(tally.summary(), flush=True)
    if found:
        _report(found, annotations.only(k for _, k in found), args.bootstrap)
    return Exit.SOME_FAILED if tally.failed else Exit.DONE


def _find(
    look: Callable[[Mapping[str, Any]], Poses], annotations: Annotations, tally: Tally
) -> list[tuple[Poses, int]]:
    """Yield the people and the id of each picture that can be read."""
    found: list[tuple[Poses, int]] = []
    silent = not sys.stderr.isatty()
    with tqdm(annotations.pictures, unit="picture", disable=silent, leave=False) as progress:
        for entry in progress:
            try:
                poses = look(entry)
            except SourceError as error:
                tally.failed += 1
                progress.write(f"openpose-ext: {error}; it is not scored", file=sys.stderr)
                continue
            tally.add(poses.timings)
            tally.pictures += 1
            tally.people += len(poses)
            found.append((poses, entry["id"]))
    return found


def _report(
    found: Sequence[tuple[Poses, int]], annotations: Annotations, samples: int | None
) -> None:
    header = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
    last = "  AP, 95 % of samples" if samples else ""
    print(" " * 9 + "".join(f"{name:>6}" for name in header) + last)
    kinds = {"all parts": found}
    if any(poses.filled.any() for poses, _ in found):
        kinds["seen"] = [(poses.without_filled(), k) for poses, k in found]
    results = {
        kind: [r for poses, k in people for r in coco_results(poses, k, annotations.category)]
        for kind, people in kinds.items()
    }
    evaluations = {kind: Evaluation(found, annotations) for kind, found in results.items()}
    if any(poses.topology.feet for poses, _ in found):
        feet = Evaluation.of_feet(results["all parts"], annotations)
        evaluations |= {} if feet is None else {"feet": feet}
    for kind, evaluation in evaluations.items():
        line = f"{kind:9}" + "".join(f"{_number(s):>6}" for s in astuple(evaluation.scores()))
        if samples:
            low, high = percentile_interval(evaluation.bootstrap(samples))
            line += f"  {_number(low)} to {_number(high)}"
        print(line, flush=True)


def _number(score: float) -> str:
    return f"{score:.3f}" if np.isfinite(score) else "-"


def _setting(args: argparse.Namespace, estimator: PoseEstimator) -> str:
    info = estimator.info
    size = f"height {args.height or HEIGHT}"
    if info.fixed_size is not None:
        size = "input {} x {}".format(*info.fixed_size)
    if args.scales != (1.0,):
        size += f", scales {', '.join(f'{scale:g}' for scale in args.scales)}"
    if args.mirror:
        size += ", mirrored too"
    if args.turned:
        size += ", turned by quarters too"
    if args.refine:
        size += ", refined" if args.refine is True else f", refined at {args.refine}"
    return (
        f"{info.model.name} on {info.engine} {info.version} ({info.device}, {info.precision}), "
        f"{size}, fit {args.fit}, {_rules(args)}"
    )


def _rules(args: argparse.Namespace) -> str:
    return f"mode {args.mode}, {args.assignment}"


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "eval",
        "(--images DIR | --npz DIR --datalist FILE) --annotations FILE [option ...]",
        "Measure a network on annotated pictures: COCO keypoint AP and AR.",
        _EXAMPLES,
    )
    flags = Flags(parser)
    flags.value("--images DIR", "Folder of the pictures")
    flags.value("--annotations FILE", "File with COCO keypoint annotations of the pictures")
    flags.value(
        "--npz DIR",
        "Instead of --images: folder of recorded network outputs for the inputs of a datalist",
    )
    flags.value("--datalist FILE", "List of those inputs")
    flags.value("--limit N", "Use only the first N pictures of the annotation file", positive)

    group = parser.add_argument_group("network")
    add_network_flags(group)
    refuse_detect_every(group)
    Flags(group).choice(
        "--assignment",
        "How peaks are matched to form limbs",
        ("greedy", "hungarian"),
        "greedy",
    )

    flags = Flags(parser.add_argument_group("results"))
    flags.value("--json OUT", "Write COCO results of the people found to this file")
    flags.value(
        "--bootstrap N",
        "Compute a confidence interval of AP from N random samples of the pictures",
        positive,
    )
    return parser


def _annotations(args: argparse.Namespace, recorded: bool) -> Annotations:
    """The annotations to score against."""
    needed = ("npz", "datalist", "annotations") if recorded else ("images", "annotations")
    if any(getattr(args, name) is None for name in needed):
        words = {"images": "DIR", "npz": "DIR", "datalist": "FILE", "annotations": "FILE"}
        flags = [f"--{name} {words[name]}" for name in needed]
        raise UsageError(
            f"{', '.join(flags[:-1])} and {flags[-1]} are needed; --help shows examples"
        )
    try:
        annotations = Annotations.read(args.annotations)
    except ValueError as error:
        raise UsageError(error) from error
    if args.limit is not None:
        annotations = annotations.only(p["id"] for p in annotations.pictures[: args.limit])
    return annotations


def _folder(args: argparse.Namespace, annotations: Annotations) -> Path:
    """The folder of the pictures, after checking that none is missing."""
    folder = Path(args.images)
    if not folder.is_dir():
        raise UsageError(f"--images {folder} is not a folder")
    check_files(annotations, folder, args.annotations)
    return folder


def _records(
    args: argparse.Namespace, parser: argparse.ArgumentParser, annotations: Annotations
) -> dict[int, Record]:
    """The recorded outputs for the annotated pictures, by picture id."""
    given = {"images": args.images, "height": args.height, **network_flags(args)}
    for name, value in given.items():
        if name != "mode" and value != parser.get_default(name):
            raise UsageError(
                f"--{name} cannot be used with --npz, because the network has already run"
            )
    if args.mode == "zoo":
        raise UsageError("--mode zoo has its own preprocessing; with --npz use --mode reference")
    folder = Path(args.npz)
    if not folder.is_dir():
        raise UsageError(f"--npz {folder} is not a folder")
    try:
        lift = 0.0 if args.body is None else read_manifest(find_model(args.body)).lift or 0.0
        records = find_records(folder, Path(args.datalist), annotations.pictures, lift)
    except (SourceError, ValueError) as error:
        raise UsageError(error) from error
    if not records:
        raise UsageError(f"none of the pictures of {args.datalist} is in {args.annotations}")
    for entry in annotations.only(records).pictures:
        check_size(entry, *records[entry["id"]].place.picture)
    return records


def _output(args: argparse.Namespace) -> Path | None:
    if args.json is None:
        return None
    output = Path(args.json)
    if output.is_dir():
        raise UsageError(f"--json {output} is a folder, not a file")
    if os.path.realpath(output) == os.path.realpath(args.annotations):
        raise UsageError(f"--json {output} would replace the annotations")
    return output


def _options(args: argparse.Namespace) -> DecodeOptions:
    options = DecodeOptions() if args.mode == "fast" else DecodeOptions.reference()
    return replace(options, assignment=args.assignment)


def _estimator(args: argparse.Namespace) -> PoseEstimator:
    try:
        return PoseEstimator(
            args.body or DEFAULT_BODY,
            height=args.height or HEIGHT,
            options=_options(args),
            **network_flags(args),
        )
    except ValueError as error:
        raise UsageError(error) from error


if __name__ == "__main__":
    sys.exit(main())
