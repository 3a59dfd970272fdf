"""`python -m openpose_ext.eval`: score a network on annotated pictures, as COCO does."""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from openpose_ext.cli import Exit, UsageError, exit_code
from openpose_ext.decode import DecodeOptions
from openpose_ext.errors import BackendError, SourceError
from openpose_ext.estimator import PoseEstimator
from openpose_ext.flags import (
    DEFAULT_BODY,
    NETWORK_BOOLEANS,
    add_network_flags,
    network_flags,
    parse,
    positive,
)
from openpose_ext.outputs.coco_json import COCO_PARTS, FOOT_PARTS, to_coco
from openpose_ext.outputs.files import make_folder, write_whole
from openpose_ext.poses import Poses
from openpose_ext.preprocess import HEIGHT
from openpose_ext.recorded import Record, find_records
from openpose_ext.sources.pictures import read_picture
from openpose_ext.tally import Tally

__all__ = [
    "MAX_DETECTIONS",
    "Annotations",
    "Evaluation",
    "Scores",
    "coco_results",
    "evaluate",
    "main",
    "percentile_interval",
    "seen_only",
]

Result = Mapping[str, Any]

# COCO scores the best 20 people of a picture; more are not looked at.
MAX_DETECTIONS = 20

# COCO's names of its parts, in its order; an annotation file may say its own.
_COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

# How far off each of `FOOT_PARTS` may be, as COCO says it of its parts. Source: COCO-WholeBody.
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)

# No picture is larger: numbers beyond it, and those that are not finite, are errors.
_LARGEST = 1e12

_EXAMPLES = """\
examples:
  python -m openpose_ext.eval --images val2017 --annotations person_keypoints_val2017.json
  python -m openpose_ext.eval ... --body mobilenet --precision f32 --height 256
  python -m openpose_ext.eval ... --mode reference         the original rules
  python -m openpose_ext.eval ... --scales 0.5,1,1.5,2 --mirror
  python -m openpose_ext.eval ... --bootstrap 1000         with a confidence interval
  python -m openpose_ext.eval ... --json results.json      results for COCO's own tools
  python -m openpose_ext.eval --npz card/found --datalist card/datalist.txt --annotations FILE

The last decodes what vamp or `openpose_ext.perf` wrote for the inputs of `openpose_ext.datalist`.
AP and AR are means over OKS 0.50:0.05:0.95; 50 and 75 stand for one threshold, M and L for people
of 32^2 to 96^2 pixels and larger. "seen" counts filled parts as missing. "feet" stands where both
the network and the annotations (COCO-WholeBody's) have them, and looks at nothing else.

exit codes: 0 done; 1 some pictures failed; 2 usage, annotation file; 3 network, engine,
pycocotools; 4 output; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.Exit`)."""
    return exit_code(lambda: _eval(sys.argv[1:] if argv is None else argv))


# The library ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """COCO's ten numbers, 0 to 1; NaN where no person of that size is annotated.

    ap, ar   average precision and recall, mean over OKS 0.50, 0.55, ... 0.95
    50, 75   at OKS 0.50 and 0.75
    medium   people of an area of 32^2 to 96^2 pixels
    large    larger people
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    ar50: float
    ar75: float
    ar_medium: float
    ar_large: float


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a set of pictures, as COCO's key point annotations give them.

    pictures  `id` (a number), `file_name`, and `width` and `height` where they are known
    people    `image_id`, `keypoints` (17 * x, y, visibility), `num_keypoints`, `area`, `bbox`,
              `iscrowd`, and in COCO-WholeBody `foot_kpts` (6 * x, y, visibility)
    category  the id of the category "person"
    """

    pictures: tuple[dict[str, Any], ...]
    people: tuple[dict[str, Any], ...]
    category: int

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Annotations:
        """Read a file such as `person_keypoints_val2017.json`.

        Raises ValueError, naming the file, what is wrong in it and where.
        """
        try:
            content = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        try:
            return cls._checked(content)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def only(self, pictures: Iterable[int]) -> Annotations:
        """The same for some of the pictures, given by their ids."""
        kept = set(pictures)
        return replace(
            self,
            pictures=tuple(p for p in self.pictures if p["id"] in kept),
            people=tuple(p for p in self.people if p["image_id"] in kept),
        )

    @classmethod
    def _checked(cls, content: object) -> Annotations:
        if isinstance(content, list):
            raise ValueError("it is a list, as results are; annotations are an object")
        if not isinstance(content, dict):
            raise ValueError("it is not an object with images, annotations and categories")
        for name in ("images", "annotations", "categories"):
            entries = content.get(name)
            if not isinstance(entries, list):
                raise ValueError(f'it has no list "{name}"')
            for k, entry in enumerate(entries):
                if not isinstance(entry, dict):
                    raise ValueError(f"{name}[{k}] is not an object")
        category = _person_category(content["categories"])
        pictures = tuple(_picture(k, entry) for k, entry in enumerate(content["images"]))
        ids = {picture["id"] for picture in pictures}
        if len(ids) < len(pictures):
            raise ValueError("two of the images have the same id")
        people = tuple(
            _person(k, entry, ids)
            for k, entry in enumerate(content["annotations"])
            if entry.get("category_id") == category
        )
        if not any(person["num_keypoints"] for person in people):
            raise ValueError("no person has key points: there is nothing to score")
        return cls(pictures, people, category)


class Evaluation:
    """Results matched with annotations, picture by picture, and scored.

    results      COCO key point results of any origin: `image_id`, `category_id`, `keypoints`
                 (17 * x, y, anything) and `score`
    annotations  of all pictures that were looked at; those without results count as such
    sigmas       how far off each key point may be, if these are not COCO's 17

    Raises ValueError for no pictures, and for results of other pictures or of another form;
    BackendError if pycocotools is not installed.
    """

    def __init__(
        self,
        results: Sequence[Result],
        annotations: Annotations,
        *,
        sigmas: Sequence[float] = (),
    ) -> None:
        coco, coco_eval = _pycocotools()
        pictures = sorted(picture["id"] for picture in annotations.pictures)
        if not pictures:
            raise ValueError("there are no pictures to score")
        _check_results(results, set(pictures), len(sigmas) or len(COCO_PARTS))
        with redirect_stdout(io.StringIO()):  # pycocotools prints what it does
            truth, found = coco(), coco()
            truth.dataset = {
                "images": list(annotations.pictures),
                "categories": [{"id": annotations.category, "name": "person"}],
                # Copies, for pycocotools adds to them; ids from 1, for it takes a match with the
                # annotation of id 0 for none.
                "annotations": [
                    {**person, "id": k, "category_id": annotations.category}
                    for k, person in enumerate(annotations.people, start=1)
                ],
            }
            truth.createIndex()
            if results:  # it cannot load none
                found = truth.loadRes([dict(result) for result in results])
            self._coco = coco_eval(truth, found, "keypoints")
            self._coco.params.imgIds = pictures
            self._coco.params.catIds = [annotations.category]
            if len(sigmas):
                self._coco.params.kpt_oks_sigmas = np.array(sigmas)
            self._coco.evaluate()
        self._pictures = len(pictures)

    @classmethod
    def of_feet(cls, results: Sequence[Result], annotations: Annotations) -> Evaluation | None:
        """The same of COCO-WholeBody's `foot_kpts` alone; None if nobody is annotated with any.

        People without feet count neither for nor against a result, nor do results without feet.
        """
        missing = [0] * (3 * len(FOOT_PARTS))
        points = [person.get("foot_kpts", missing) for person in annotations.people]
        people = tuple(
            {**person, "keypoints": feet, "num_keypoints": sum(v > 0 for v in feet[2::3])}
            for person, feet in zip(annotations.people, points, strict=True)
        )
        if not any(person["num_keypoints"] for person in people):
            return None
        found = [{**r, "keypoints": r["foot_kpts"]} for r in results if any(r.get("foot_kpts", ()))]
        return cls(found, replace(annotations, people=people), sigmas=_FOOT_SIGMAS)

    def scores(self) -> Scores:
        """COCO's ten numbers."""
        with redirect_stdout(io.StringIO()):
            self._coco.accumulate()
            self._coco.summarize()
        return Scores(*(float(s) if s >= 0 else np.nan for s in self._coco.stats))

    def ap_of(self, pictures: npt.ArrayLike) -> float:
        """AP of a sample of the pictures; NaN if nobody is annotated in it.

        pictures  as many indices as there are pictures, of these by ascending id; an index may
                  occur several times, and its picture then counts as often
        """
        coco = self._coco
        # What `evaluate` found in each picture is all that `accumulate` looks at: another list
        # of it is another set of pictures. It begins with those of people of all sizes.
        everybody = copy.copy(coco.params)
        everybody.areaRng = coco.params.areaRng[:1]
        sample = copy.copy(coco)
        sample.evalImgs = [coco.evalImgs[k] for k in np.asarray(pictures, np.intp)]
        if len(sample.evalImgs) != self._pictures:
            raise ValueError(f"{self._pictures} indices are needed, not {len(sample.evalImgs)}")
        with redirect_stdout(io.StringIO()):
            sample.accumulate(everybody)
        precision = sample.eval["precision"]
        counted = precision[precision > -1]
        return float(counted.mean()) if counted.size else np.nan

    def bootstrap(self, samples: int, *, seed: int = 0) -> npt.NDArray[np.float64]:
        """AP of random samples of the pictures, each drawn with replacement and as large as all.

        The n-th samples of two evaluations of the same pictures, with the same seed, are the
        same: their difference tells whether one is better, with much less noise than each has.
        """
        draws = np.random.default_rng(seed).integers(self._pictures, size=(samples, self._pictures))
        return np.array([self.ap_of(draw) for draw in draws], np.float64)


def evaluate(results: Sequence[Result], annotations: Annotations) -> Scores:
    """COCO's ten numbers of key point results; see `Evaluation`."""
    return Evaluation(results, annotations).scores()


def percentile_interval(values: npt.ArrayLike, share: float = 0.95) -> tuple[float, float]:
    """The interval that holds a share of bootstrapped values, cut equally at both ends.

    Values that are not numbers (samples without people) are left out; NaN if nothing stays.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return np.nan, np.nan
    low, high = np.quantile(numbers, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def coco_results(poses: Poses, image_id: int, category: int = 1) -> list[dict[str, Any]]:
    """The results of a picture that COCO counts: its best people, with all 17 parts."""
    people = to_coco(poses, image_id)[:MAX_DETECTIONS]
    return [{**person, "category_id": category} for person in people]


def seen_only(poses: Poses) -> Poses:
    """The same people with the filled parts missing."""
    keypoints = np.where(poses.filled[..., None], np.float32(0), poses.keypoints)
    return replace(poses, keypoints=keypoints, filled=np.zeros_like(poses.filled))


def _pycocotools() -> tuple[Any, Any]:
    """Its classes COCO and COCOeval."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise BackendError(
            'COCO\'s scores need pycocotools: pip install "openpose_ext[eval]"'
        ) from error
    return COCO, COCOeval


def _check_results(results: Sequence[Result], pictures: set[int], points: int) -> None:
    for k, result in enumerate(results):
        if result.get("image_id") not in pictures:
            raise ValueError(
                f"results[{k}] is of picture {result.get('image_id')!r}, which is none of the "
                f"{len(pictures)} annotated ones"
            )
        if not _are_numbers(result.get("keypoints"), 3 * points):
            raise ValueError(f"results[{k}] has no keypoints of {points} * (x, y, v)")
        if not _are_numbers([result.get("score")], 1):
            raise ValueError(f"results[{k}] has no score")


def _person_category(categories: list[dict[str, Any]]) -> int:
    person = next((entry for entry in categories if entry.get("name") == "person"), None)
    if person is None:
        names = ", ".join(str(entry.get("name")) for entry in categories) or "none at all"
        raise ValueError(f'there is no category "person" among the categories: {names}')
    if type(person.get("id")) is not int:
        raise ValueError(f'the id of the category "person" is {person.get("id")!r}, not a number')
    parts = person.get("keypoints", list(_COCO_NAMES))
    if parts != list(_COCO_NAMES):
        raise ValueError(f"its key points are {parts}; COCO's 17 can be scored, in COCO's order")
    return int(person["id"])


def _picture(k: int, entry: dict[str, Any]) -> dict[str, Any]:
    if type(entry.get("id")) is not int:
        raise ValueError(f"the id of images[{k}] is {entry.get('id')!r}, not a whole number")
    if not isinstance(entry.get("file_name"), str) or not entry["file_name"]:
        raise ValueError(f"images[{k}] (id {entry['id']}) has no file_name")
    return {name: entry[name] for name in ("id", "file_name", "width", "height") if name in entry}


def _person(k: int, entry: dict[str, Any], pictures: set[int]) -> dict[str, Any]:
    where = f"annotations[{k}] (id {entry.get('id')})"
    picture = entry.get("image_id")
    if type(picture) is not int or picture not in pictures:
        raise ValueError(f"{where} is of picture {picture!r}, which is not among the images")
    expected = {"keypoints": 3 * len(COCO_PARTS), "bbox": 4, "foot_kpts": 3 * len(FOOT_PARTS)}
    names = ["keypoints", "num_keypoints", "area", "bbox", "iscrowd"]
    names += ["foot_kpts"] if "foot_kpts" in entry else []
    for name in names:
        if name not in entry:
            hint = "; is this a file of boxes and outlines?" if name == "keypoints" else ""
            raise ValueError(f"{where} has no {name}{hint}")
        values = entry[name] if name in expected else [entry[name]]
        count = expected.get(name, 1)
        if not _are_numbers(values, count):
            numbers = f"{count} numbers" if count > 1 else "a number"
            raise ValueError(f"{name} of {where} must be {numbers}, not {_short(entry[name])}")
    return {name: entry[name] for name in ("image_id", *names)}


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, (int, float)) and abs(value) < _LARGEST for value in values)
    )


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} values"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# The command ---------------------------------------------------------------------------------


def _eval(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, NETWORK_BOOLEANS)
    # OpenCV's own words on damaged files; the reason is ours to give.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    recorded = args.npz is not None or args.datalist is not None
    annotations = _annotations(args, recorded)
    if recorded:
        records = _records(args, parser, annotations)
        annotations = annotations.only(records)
    else:
        folder = _folder(args, annotations)
    output = _output(args)
    _pycocotools()  # rather missed now than after an hour of pictures
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
            _check_size(entry, picture.shape[1], picture.shape[0])
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
    """The people of each picture that can be read, and its id."""
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


def _check_size(entry: Mapping[str, Any], width: int, height: int) -> None:
    """Points of a picture that was resized or turned since would lie elsewhere."""
    expected = entry.get("width") or width, entry.get("height") or height
    if expected != (width, height):
        raise UsageError(
            f"{entry['file_name']} is {width} x {height}, but it was annotated at "
            f"{expected[0]} x {expected[1]}"
        )


def _report(
    found: Sequence[tuple[Poses, int]], annotations: Annotations, samples: int | None
) -> None:
    header = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
    last = "  AP, 95 % of samples" if samples else ""
    print(" " * 9 + "".join(f"{name:>6}" for name in header) + last)
    kinds = {"all parts": found}
    if any(poses.filled.any() for poses, _ in found):
        kinds["seen"] = [(seen_only(poses), k) for poses, k in found]
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
    return (
        f"{info.model.name} on {info.engine} {info.version} ({info.device}, {info.precision}), "
        f"{size}, fit {args.fit}, {_rules(args)}"
    )


def _rules(args: argparse.Namespace) -> str:
    return f"mode {args.mode}, {args.assignment}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openpose_ext.eval",
        usage="%(prog)s (--images DIR | --npz DIR --datalist FILE) --annotations FILE [option ...]",
        description="Score a network on annotated pictures: COCO's AP and AR of key points.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--images", metavar="DIR", help="folder of the pictures")
    add("--annotations", metavar="FILE", help="COCO's key point annotations of them")
    add("--npz", metavar="DIR", help="instead: outputs of a network for the inputs of a datalist")
    add("--datalist", metavar="FILE", help="the list of those inputs")
    add("--limit", type=positive, metavar="N", help="only the first N pictures of the file")

    group = parser.add_argument_group("network")
    add_network_flags(group)
    group.add_argument(
        "--assignment",
        default="greedy",
        choices=("greedy", "hungarian"),
        help="how peaks are paired to limbs (default greedy)",
    )

    add = parser.add_argument_group("results").add_argument
    add("--json", metavar="OUT", help="write COCO results of the people found to this file")
    add(
        "--bootstrap",
        type=positive,
        metavar="N",
        help="confidence interval of AP from N random samples of the pictures",
    )
    return parser


def _annotations(args: argparse.Namespace, recorded: bool) -> Annotations:
    """The annotations of what is to be scored, which is given."""
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
    """The folder of the pictures, all of which are there."""
    folder = Path(args.images)
    if not folder.is_dir():
        raise UsageError(f"--images {folder} is no folder")
    names = [picture["file_name"] for picture in annotations.pictures]
    missing = [name for name in names if not os.path.isfile(folder / name)]
    if missing:
        raise UsageError(
            f"{args.annotations} names {missing[0]}, which is not in {folder}"
            + (f"; {len(missing)} of {len(names)} pictures are missing" if missing[1:] else "")
        )
    return folder


def _records(
    args: argparse.Namespace, parser: argparse.ArgumentParser, annotations: Annotations
) -> dict[int, Record]:
    """What a network has given for the annotated pictures, by their ids."""
    given = {"images": args.images, "body": args.body, "height": args.height, **network_flags(args)}
    for name, value in given.items():
        if name != "mode" and value != parser.get_default(name):
            raise UsageError(f"--{name} does not go with --npz: the network has run already")
    folder = Path(args.npz)
    if not folder.is_dir():
        raise UsageError(f"--npz {folder} is no folder")
    try:
        records = find_records(folder, Path(args.datalist), annotations.pictures)
    except (SourceError, ValueError) as error:
        raise UsageError(error) from error
    if not records:
        raise UsageError(f"none of the pictures of {args.datalist} is in {args.annotations}")
    for entry in annotations.only(records).pictures:
        _check_size(entry, *records[entry["id"]].place.picture)
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
    options = DecodeOptions.reference() if args.mode == "reference" else DecodeOptions()
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
