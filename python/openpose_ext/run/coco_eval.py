"""COCO's keypoint evaluation."""

from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import BackendError, UsageError
from openpose_ext.formats.coco import COCO_PARTS, FOOT_PARTS
from openpose_ext.types.poses import Poses

__all__ = [
    "MAX_DETECTIONS",
    "Annotations",
    "Evaluation",
    "Result",
    "Scores",
    "coco_results",
    "evaluate",
    "percentile_interval",
]

Result = Mapping[str, Any]


# COCO scores only the best 20 people of a picture.
MAX_DETECTIONS = 20


# COCO's names of its parts, in its order; an annotation file may define its own.
_COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


# Tolerance of each of `FOOT_PARTS`, like COCO's sigmas. Source: COCO-WholeBody.
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)


# No picture is larger. Larger or non-finite numbers are errors.
_LARGEST = 1e12


@dataclass(frozen=True)
class Scores:
    """COCO's ten scores, 0 to 1; NaN if no person of that size is annotated.

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
    """The annotated people of a set of pictures, from COCO's keypoint annotations.

    pictures  `id` (a number), `file_name`, and `width` and `height` if known
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

        Raises ValueError with the file and the place and reason of the fault.
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
        """The annotations of some pictures only, given by their ids."""
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
            raise ValueError("no person has keypoints: there is nothing to score")
        return cls(pictures, people, category)


class Evaluation:
    """Matches results with annotations, picture by picture, and scores them.

    results      COCO keypoint results from any program: `image_id`, `category_id`, `keypoints`
                 (17 * x, y, anything) and `score`
    annotations  of all processed pictures; pictures without results count, too
    sigmas       tolerance of each keypoint, if they are not COCO's 17

    Raises ValueError if there are no pictures, or if a result belongs to another picture or is
    malformed; BackendError if pycocotools is not installed.
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
                # Copies, because pycocotools modifies them. Ids start at 1, because it treats a
                # match with the annotation of id 0 as no match.
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
        """The annotations of COCO-WholeBody's `foot_kpts` only; None if there are none.

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
        """COCO's ten scores."""
        with redirect_stdout(io.StringIO()):
            self._coco.accumulate()
            self._coco.summarize()
        return Scores(*(float(s) if s >= 0 else np.nan for s in self._coco.stats))

    def ap_of(self, pictures: npt.ArrayLike) -> float:
        """AP of a sample of the pictures; NaN if nobody is annotated in it.

        pictures  indices into the pictures sorted by id, as many as there are pictures; a repeated
                  index counts its picture repeatedly
        """
        coco = self._coco
        # `accumulate` uses only the per-picture results of `evaluate`, so another list of them is
        # another set of pictures. The list begins with the results for people of all sizes.
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
        """AP of bootstrap samples of the pictures (drawn with replacement, of the same size).

        With the same seed, the n-th samples of two evaluations of the same pictures are the same.
        So their difference tells which one is better with much less noise than each value has.
        """
        draws = np.random.default_rng(seed).integers(self._pictures, size=(samples, self._pictures))
        return np.array([self.ap_of(draw) for draw in draws], np.float64)


def check_files(annotations: Annotations, folder: Path, of: object) -> None:
    """Raise UsageError, naming one, if pictures of the annotation file `of` are not in a folder."""
    names = [picture["file_name"] for picture in annotations.pictures]
    missing = [name for name in names if not os.path.isfile(folder / name)]
    if missing:
        raise UsageError(
            f"{of} names {missing[0]}, which is not in {folder}"
            + (f"; {len(missing)} of {len(names)} pictures are missing" if missing[1:] else "")
        )


def check_size(entry: Mapping[str, Any], width: int, height: int) -> None:
    """Raise UsageError for a picture that was resized or turned since: its points lie elsewhere."""
    expected = entry.get("width") or width, entry.get("height") or height
    if expected != (width, height):
        raise UsageError(
            f"{entry['file_name']} is {width} x {height}, but it was annotated at "
            f"{expected[0]} x {expected[1]}"
        )


def evaluate(results: Sequence[Result], annotations: Annotations) -> Scores:
    """COCO's ten scores of keypoint results; see `Evaluation`."""
    return Evaluation(results, annotations).scores()


def percentile_interval(values: npt.ArrayLike, share: float = 0.95) -> tuple[float, float]:
    """The central interval that contains the given share of bootstrapped values.

    NaN values (samples without people) are left out; returns NaN if none is left.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return np.nan, np.nan
    low, high = np.quantile(numbers, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def coco_results(poses: Poses, image_id: int, category: int = 1) -> list[dict[str, Any]]:
    """The results of a picture that COCO scores: its best people, with all 17 parts."""
    people = poses.to_coco(image_id)[:MAX_DETECTIONS]
    return [{**person, "category_id": category} for person in people]


def _pycocotools() -> tuple[Any, Any]:
    """The classes COCO and COCOeval."""
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
        raise ValueError(f"its keypoints are {parts}; only COCO's 17 in its order can be scored")
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
