"""`python -m openpose_ext.eval`: score a network on annotated pictures, as COCO does."""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
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
from openpose_ext.outputs.coco_json import COCO_PARTS, to_coco
from openpose_ext.outputs.files import make_folder, write_whole
from openpose_ext.poses import Poses
from openpose_ext.preprocess import HEIGHT
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

AP and AR are means over OKS 0.50:0.05:0.95; 50 and 75 stand for one threshold, M and L for people
of 32^2 to 96^2 pixels and larger. "seen" counts filled parts as missing.

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
              `iscrowd`
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

    Raises ValueError for no pictures, and for results of other pictures or of another form;
    BackendError if pycocotools is not installed.
    """

    def __init__(self, results: Sequence[Result], annotations: Annotations) -> None:
        coco, coco_eval = _pycocotools()
        pictures = sorted(picture["id"] for picture in annotations.pictures)
        if not pictures:
            raise ValueError("there are no pictures to score")
        _check_results(results, set(pictures))
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
            self._coco.evaluate()
        self._pictures = len(pictures)

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


def _check_results(results: Sequence[Result], pictures: set[int]) -> None:
    for k, result in enumerate(results):
        if result.get("image_id") not in pictures:
            raise ValueError(
                f"results[{k}] is of picture {result.get('image_id')!r}, which is none of the "
                f"{len(pictures)} annotated ones"
            )
        if not _are_numbers(result.get("keypoints"), 3 * len(COCO_PARTS)):
            raise ValueError(f"results[{k}] has no keypoints of 17 * (x, y, v)")
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
    expected = {"keypoints": 3 * len(COCO_PARTS), "bbox": 4}
    for name in ("keypoints", "num_keypoints", "area", "bbox", "iscrowd"):
        if name not in entry:
            hint = "; is this a file of boxes and outlines?" if name == "keypoints" else ""
            raise ValueError(f"{where} has no {name}{hint}")
        values = entry[name] if name in expected else [entry[name]]
        count = expected.get(name, 1)
        if not _are_numbers(values, count):
            numbers = f"{count} numbers" if count > 1 else "a number"
            raise ValueError(f"{name} of {where} must be {numbers}, not {_short(entry[name])}")
    names = ("image_id", "keypoints", "num_keypoints", "area", "bbox", "iscrowd")
    return {name: entry[name] for name in names}


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
    args = parse(_parser(), argv, NETWORK_BOOLEANS)
    # OpenCV's own words on damaged files; the reason is ours to give.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    folder, annotations = _inputs(args)
    output = _output(args)
    _pycocotools()  # rather missed now than after an hour of pictures
    tally = Tally()
    with _estimator(args) as estimator:
        if output is not None:
            make_folder(output.parent)
        print(_setting(args, estimator), flush=True)
        found = _find(estimator, folder, annotations, tally)
    if output is not None:
        results = [r for poses, k in found for r in coco_results(poses, k, annotations.category)]
        write_whole(output, json.dumps(results, separators=(",", ":")).encode())
    print(tally.summary(), flush=True)
    if found:
        _report(found, annotations.only(k for _, k in found), args.bootstrap)
    return Exit.SOME_FAILED if tally.failed else Exit.DONE


def _find(
    estimator: PoseEstimator, folder: Path, annotations: Annotations, tally: Tally
) -> list[tuple[Poses, int]]:
    """The people of each picture that can be read, and its id."""
    found: list[tuple[Poses, int]] = []
    silent = not sys.stderr.isatty()
    with tqdm(annotations.pictures, unit="picture", disable=silent, leave=False) as progress:
        for entry in progress:
            try:
                with tally.timed("read"):
                    picture = read_picture(folder / entry["file_name"])
            except SourceError as error:
                tally.failed += 1
                progress.write(f"openpose-ext: {error}; it is not scored", file=sys.stderr)
                continue
            _check_size(entry, picture)
            poses = estimator(picture)
            tally.add(poses.timings)
            tally.pictures += 1
            tally.people += len(poses)
            found.append((poses, entry["id"]))
    return found


def _check_size(entry: Mapping[str, Any], picture: npt.NDArray[np.uint8]) -> None:
    """Points of a picture that was resized or turned since would lie elsewhere."""
    height, width = picture.shape[:2]
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
    for kind, people in kinds.items():
        results = [r for poses, k in people for r in coco_results(poses, k, annotations.category)]
        evaluation = Evaluation(results, annotations)
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
        f"{size}, fit {args.fit}, mode {args.mode}, {args.assignment}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openpose_ext.eval",
        usage="%(prog)s --images DIR --annotations FILE [option ...]",
        description="Score a network on annotated pictures: COCO's AP and AR of key points.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--images", metavar="DIR", help="folder of the pictures")
    add("--annotations", metavar="FILE", help="COCO's key point annotations of them")
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


def _inputs(args: argparse.Namespace) -> tuple[Path, Annotations]:
    if args.images is None or args.annotations is None:
        raise UsageError("--images DIR and --annotations FILE are needed; --help shows examples")
    folder = Path(args.images)
    if not folder.is_dir():
        raise UsageError(f"--images {folder} is no folder")
    try:
        annotations = Annotations.read(args.annotations)
    except ValueError as error:
        raise UsageError(error) from error
    if args.limit is not None:
        annotations = annotations.only(p["id"] for p in annotations.pictures[: args.limit])
    names = [picture["file_name"] for picture in annotations.pictures]
    missing = [name for name in names if not os.path.isfile(folder / name)]
    if missing:
        raise UsageError(
            f"{args.annotations} names {missing[0]}, which is not in {folder}"
            + (f"; {len(missing)} of {len(names)} pictures are missing" if missing[1:] else "")
        )
    return folder, annotations


def _output(args: argparse.Namespace) -> Path | None:
    if args.json is None:
        return None
    output = Path(args.json)
    if output.is_dir():
        raise UsageError(f"--json {output} is a folder, not a file")
    if os.path.realpath(output) == os.path.realpath(args.annotations):
        raise UsageError(f"--json {output} would replace the annotations")
    return output


def _estimator(args: argparse.Namespace) -> PoseEstimator:
    options = DecodeOptions.reference() if args.mode == "reference" else DecodeOptions()
    try:
        return PoseEstimator(
            args.body or DEFAULT_BODY,
            height=args.height or HEIGHT,
            options=replace(options, assignment=args.assignment),
            **network_flags(args),
        )
    except ValueError as error:
        raise UsageError(error) from error


if __name__ == "__main__":
    sys.exit(main())
