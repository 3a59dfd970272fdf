"""The command `python -m openpose_ext.eval`: COCO's scores.

Scores that can be worked out by hand; then the command, run as a user runs it on pictures whose
annotations are what the network finds in them; then everything around it in this process with a
stand-in for the network; then the accuracy that the real pictures are known to give.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from openpose_ext import PoseEstimator
from openpose_ext import __main__ as console
from openpose_ext import eval as command
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.run.coco_eval import (
    Annotations,
    Evaluation,
    coco_results,
    evaluate,
    percentile_interval,
)
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, HAND_21

# COCO's constants, from its evaluation: the spread of each of its 17 parts.
SIGMAS = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
)  # fmt: skip
AREA = 5000.0  # between 32^2 and 96^2: a person of medium size

# A person of 17 points, all visible, in COCO's order.
POINTS = np.stack([np.linspace(40, 90, 17), np.linspace(30, 180, 17), np.full(17, 2.0)], axis=1)
FAR = POINTS + np.array([1000, 0, 0])


def person(picture: int, points: np.ndarray = POINTS, **other: Any) -> dict[str, Any]:
    """One annotation."""
    return {
        "id": 7,
        "image_id": picture,
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "area": AREA,
        "bbox": [40, 30, 50, 150],
        "iscrowd": 0,
        **other,
    }


def result(picture: int, points: np.ndarray = POINTS, score: float = 1.0) -> dict[str, Any]:
    return {
        "image_id": picture,
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


def content(*people: dict[str, Any], pictures: int = 1) -> dict[str, Any]:
    """An annotation file of pictures 1, 2, ..."""
    return {
        "images": [{"id": k, "file_name": f"{k}.png"} for k in range(1, pictures + 1)],
        "annotations": [{**p, "id": k} for k, p in enumerate(people)],
        "categories": [{"id": 1, "name": "person"}],
    }


def annotated(folder: Path, *people: dict[str, Any], pictures: int = 1) -> Annotations:
    file = folder / "annotations.json"
    file.write_text(json.dumps(content(*people, pictures=pictures)))
    return Annotations.read(file)


def shifted_to(oks: float) -> np.ndarray:
    """The person with every part moved so far that its OKS is this."""
    points = POINTS.copy()
    points[:, 0] += np.sqrt(-2 * AREA * (2 * SIGMAS) ** 2 * np.log(oks))
    return points


# Scores by hand ------------------------------------------------------------------------------


def test_the_truth_itself_scores_one(tmp_path: Path) -> None:
    truth = annotated(tmp_path, person(1), person(2), person(2, FAR), pictures=2)
    scores = evaluate([result(1), result(2), result(2, FAR)], truth)
    expected = dict.fromkeys(asdict(scores), 1.0) | {"ap_large": np.nan, "ar_large": np.nan}
    assert asdict(scores) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("oks", "thresholds"), [(0.49, 0), (0.51, 1), (0.72, 5), (0.76, 6), (0.951, 10)]
)
def test_a_shifted_person_passes_the_thresholds_below_its_oks(
    tmp_path: Path, oks: float, thresholds: int
) -> None:
    """Thresholds are 0.50, 0.55, ... 0.95."""
    scores = evaluate([result(1, shifted_to(oks))], annotated(tmp_path, person(1)))
    assert (scores.ap, scores.ar) == pytest.approx((thresholds / 10, thresholds / 10))
    assert scores.ap50 == pytest.approx(float(oks > 0.5))
    assert scores.ap75 == pytest.approx(float(oks > 0.75))


def test_a_person_who_is_missed_halves_the_recall(tmp_path: Path) -> None:
    scores = evaluate([result(1)], annotated(tmp_path, person(1), person(1, FAR)))
    assert scores.ar == pytest.approx(1 / 2)
    assert scores.ap == pytest.approx(51 / 101), "precision 1 at recall 0, 0.01, ... 0.50"


def test_nobody_found_scores_zero(tmp_path: Path) -> None:
    scores = evaluate([], annotated(tmp_path, person(1)))
    assert (scores.ap, scores.ar) == (0, 0)


@pytest.mark.parametrize(("score", "ap"), [(0.5, 1), (2, 1 / 2)])
def test_an_invented_person_costs_only_where_it_ranks_above_a_true_one(
    tmp_path: Path, score: float, ap: float
) -> None:
    found = [result(1), result(1, FAR, score)]
    assert evaluate(found, annotated(tmp_path, person(1))).ap == pytest.approx(ap)


def test_the_best_twenty_people_of_a_picture_count(tmp_path: Path) -> None:
    truth = annotated(tmp_path, person(1))
    crowd = [result(1, FAR, 2)] * 20
    assert evaluate([*crowd[1:], result(1)], truth).ar == 1
    assert evaluate([*crowd, result(1)], truth).ar == 0


def test_a_missing_part_is_a_point_far_off(tmp_path: Path) -> None:
    """It is scored by its place, 0, 0, whatever its third value says."""
    points = POINTS.copy()
    points[:5] = 0
    truth = annotated(tmp_path, person(1))
    assert evaluate([result(1, points)], truth).ap == pytest.approx(5 / 10), "OKS is 12 / 17"
    points[:5, :2] = POINTS[:5, :2]
    assert evaluate([result(1, points)], truth).ap == pytest.approx(1)


def test_crowds_and_people_without_key_points_are_neither_missed_nor_invented(
    tmp_path: Path,
) -> None:
    unseen = POINTS * [1, 1, 0]
    truth = annotated(
        tmp_path, person(1), person(1, unseen), person(1, unseen, iscrowd=1), person(1, FAR)
    )
    scores = evaluate([result(1), result(1, score=0.5), result(1, FAR)], truth)
    assert (scores.ap, scores.ar) == pytest.approx((1, 1))


def test_the_annotation_of_id_0_counts_and_equal_ids_are_different_people(tmp_path: Path) -> None:
    """For pycocotools a match with id 0 is none, and equal ids are one."""
    entries = content(person(1), person(1, FAR))
    for ids in ((0, 1), (5, 5)):
        for entry, number in zip(entries["annotations"], ids, strict=True):
            entry["id"] = number
        (tmp_path / "a.json").write_text(json.dumps(entries))
        truth = Annotations.read(tmp_path / "a.json")
        assert evaluate([result(1), result(1, FAR)], truth).ar == pytest.approx(1)


def test_results_and_annotations_are_left_as_they_are(tmp_path: Path) -> None:
    truth, found = annotated(tmp_path, person(1)), [result(1)]
    before = json.dumps([truth.people, found])
    evaluate(found, truth)
    assert json.dumps([truth.people, found]) == before


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation([result(1)], annotated(tmp_path, person(1)))
    evaluation.scores()
    evaluation.bootstrap(2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (result(9), "results[1] is of picture 9, which is none of the 1 annotated ones"),
        ({**result(1), "keypoints": [1, 2]}, "results[1] has no keypoints of 17 * (x, y, v)"),
        ({**result(1), "keypoints": [np.nan] * 51}, "results[1] has no keypoints"),
        ({**result(1), "score": None}, "results[1] has no score"),
    ],
)
def test_results_of_another_form_are_refused(
    tmp_path: Path, found: dict[str, Any], reason: str
) -> None:
    truth = annotated(tmp_path, person(1))
    with pytest.raises(ValueError, match=r"^results") as raised:
        evaluate([result(1), found], truth)
    assert reason in str(raised.value)
    with pytest.raises(ValueError, match="no pictures"):
        evaluate([], truth.only([]))


# What is scored ------------------------------------------------------------------------------

# Where each of COCO's parts stands among OpenPose's 18 and 25, by COCO's order.
ORDER = {
    COCO_18: [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10],
    BODY_25: [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11],
}


def people(n: int, topology: Any = COCO_18) -> Poses:
    """People whose x is the number of the part, with scores that fall, the last part filled."""
    parts = len(topology.parts)
    keypoints = np.full((n, parts, 3), 0.5, np.float32)
    keypoints[..., 0] = np.arange(parts) + 1
    keypoints[:, -1, 2] = 0.03
    filled = np.zeros((n, parts), np.bool_)
    filled[:, -1] = True
    return Poses(keypoints, np.linspace(1, 0.5, n, dtype=np.float32), filled, topology, (64, 48))


@pytest.mark.parametrize("topology", ORDER, ids=lambda topology: topology.name)
def test_parts_are_in_cocos_order(topology: Any) -> None:
    (entry,) = coco_results(people(1, topology), 12, category=3)
    assert entry["keypoints"][::3] == [k + 1 for k in ORDER[topology]]
    assert (entry["image_id"], entry["category_id"], entry["score"]) == (12, 3, 1.0)
    with pytest.raises(ValueError, match="has no Nose"):
        coco_results(people(1, HAND_21), 12)


def test_no_more_people_are_given_than_count() -> None:
    scores = [entry["score"] for entry in coco_results(people(30), 1)]
    assert scores == people(30).scores[:20].tolist()


def test_filled_parts_can_be_left_out() -> None:
    """LEar, the last of the 18, is COCO's fourth."""
    poses = people(1)
    assert coco_results(poses, 1)[0]["keypoints"][9:12] == [18, 0.5, 1]
    seen = poses.without_filled()
    assert coco_results(seen, 1)[0]["keypoints"][9:12] == [0, 0, 0]
    assert not seen.filled.any()
    assert np.array_equal(seen.keypoints[:, :-1], poses.keypoints[:, :-1])


# Feet ----------------------------------------------------------------------------------------

# COCO-WholeBody's: big toe, small toe, heel, left first.
FOOT_SIGMAS = np.array([68, 66, 66, 92, 94, 94]) / 1000
FEET = np.stack([np.linspace(40, 90, 6), np.full(6, 200.0), np.full(6, 2.0)], axis=1)


def feet_at(oks: float) -> np.ndarray:
    feet = FEET.copy()
    feet[:, 0] += np.sqrt(-2 * AREA * (2 * FOOT_SIGMAS) ** 2 * np.log(oks))
    return feet


def with_feet(entry: dict[str, Any], feet: np.ndarray = FEET) -> dict[str, Any]:
    return {**entry, "foot_kpts": feet.ravel().tolist()}


@pytest.mark.parametrize(("oks", "thresholds"), [(0.49, 0), (0.72, 5), (0.951, 10)])
def test_feet_are_scored_with_the_sigmas_of_coco_wholebody(
    tmp_path: Path, oks: float, thresholds: int
) -> None:
    truth = annotated(tmp_path, with_feet(person(1)))
    evaluation = Evaluation.of_feet([with_feet(result(1, POINTS + 300), feet_at(oks))], truth)
    assert evaluation is not None
    assert evaluation.scores().ap == pytest.approx(thresholds / 10)


def test_people_without_feet_are_neither_missed_nor_invented(tmp_path: Path) -> None:
    nothing = np.zeros((6, 3))
    truth = annotated(
        tmp_path, with_feet(person(1)), with_feet(person(2), nothing), person(3), pictures=3
    )
    found = [with_feet(result(1)), with_feet(result(2), nothing), with_feet(result(3), nothing)]
    found.append(result(1, FAR))  # of a network that knows no feet
    evaluation = Evaluation.of_feet(found, truth)
    assert evaluation is not None
    assert (evaluation.scores().ap, evaluation.scores().ar) == pytest.approx((1, 1))
    assert Evaluation.of_feet(found, annotated(tmp_path, person(1), pictures=3)) is None


def test_the_feet_of_body_25_are_those_of_coco_wholebody() -> None:
    (entry,) = coco_results(people(1, BODY_25), 1)
    assert entry["foot_kpts"][::3] == [20, 21, 22, 23, 24, 25]
    assert entry["foot_kpts"][2::3] == [0.5] * 5 + [0.03]


# Samples of the pictures ---------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Evaluation:
    """Six pictures of which two have nobody, with people found, missed, shifted and invented."""
    truth = annotated(tmp_path, person(1), person(2), person(3), person(3, FAR), pictures=6)
    shifts = [(1, 0.9, 0.7), (2, 0.6, 0.9), (3, 0.8, 0.8)]
    found = [result(k, shifted_to(oks), score) for k, oks, score in shifts]
    return Evaluation([*found, result(3, POINTS + 500, 0.85), result(5, POINTS, 0.75)], truth)


def test_the_sample_of_every_picture_once_is_the_whole(mixed: Evaluation) -> None:
    whole = mixed.scores().ap
    assert mixed.ap_of(range(6)) == whole
    assert mixed.ap_of([3, 1, 5, 0, 4, 2]) == whole
    assert 0.2 < whole < 0.8
    assert mixed.scores().ap == whole, "samples leave the evaluation as it was"


def test_a_picture_drawn_twice_counts_twice(mixed: Evaluation, tmp_path: Path) -> None:
    """As if there were two of it."""
    sample = [0, 0, 1, 2, 2, 4]
    truth = annotated(
        tmp_path, *[person(k) for k in (1, 2, 3, 4, 5)], *[person(k, FAR) for k in (4, 5)],
        pictures=6,
    )  # fmt: skip
    found = [
        *[result(k, shifted_to(0.9), 0.7) for k in (1, 2)],
        result(3, shifted_to(0.6), 0.9),
        *[result(k, shifted_to(0.8), 0.8) for k in (4, 5)],
        *[result(k, POINTS + 500, 0.85) for k in (4, 5)],
        result(6, POINTS, 0.75),
    ]
    assert mixed.ap_of(sample) == pytest.approx(evaluate(found, truth).ap)


def test_samples_depend_on_the_seed_alone(mixed: Evaluation) -> None:
    first = mixed.bootstrap(20)
    np.testing.assert_array_equal(first, mixed.bootstrap(20))
    np.testing.assert_array_equal(first[:7], mixed.bootstrap(7), "more samples go on from fewer")
    assert not np.array_equal(first, mixed.bootstrap(20, seed=1))


def test_the_interval_of_the_samples_holds_the_score(mixed: Evaluation) -> None:
    low, high = percentile_interval(mixed.bootstrap(200))
    assert 0 <= low < mixed.scores().ap < high <= 1


def test_a_sample_without_people_has_no_ap(mixed: Evaluation) -> None:
    assert np.isnan(mixed.ap_of([4] * 6))
    assert np.isnan(mixed.ap_of([3] * 6))
    with pytest.raises(ValueError, match="6 indices are needed, not 2"):
        mixed.ap_of([0, 1])


def test_intervals_are_cut_equally_at_both_ends_and_skip_what_is_no_number() -> None:
    assert percentile_interval([*range(101), np.nan], 0.9) == pytest.approx((5, 95))
    assert np.isnan(percentile_interval([np.nan])).all()


# Annotation files ----------------------------------------------------------------------------


def changed(*path: Any, value: Any) -> str:
    """An annotation file in which one thing is another; `...` removes it."""
    entries: Any = content(person(1), person(2), pictures=2)
    place = entries
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(entries)


BROKEN = {
    "": "is not JSON: Expecting value",
    "{": "is not JSON: Expecting property name",
    "\xff": "is not JSON: ",
    "[" * 100_000: "is not JSON: ",
    "[]": "it is a list, as results are; annotations are an object",
    "3": "it is not an object with images, annotations and categories",
    changed("images", value=...): 'it has no list "images"',
    changed("annotations", value=...): 'it has no list "annotations"',
    changed("categories", value={}): 'it has no list "categories"',
    changed("annotations", 1, value=3): "annotations[1] is not an object",
    changed("categories", value=[]): 'no category "person" among the categories: none at all',
    changed("categories", 0, "name", value="cat"): "among the categories: cat",
    changed("categories", 0, "id", value="1"): "the id of the category \"person\" is '1'",
    changed("categories", 0, "keypoints", value=["nose"]): "its keypoints are ['nose']",
    changed("images", 1, "id", value="2"): "the id of images[1] is '2', not a whole number",
    changed("images", 1, "id", value=1): "two of the images have the same id",
    changed("images", 1, "file_name", value=...): "images[1] (id 2) has no file_name",
    changed("annotations", 1, "image_id", value=9): (
        "annotations[1] (id 1) is of picture 9, which is not among the images"
    ),
    changed("annotations", 1, "image_id", value=[2]): "is of picture [2], which is not among",
    changed("annotations", 1, "keypoints", value=...): (
        "annotations[1] (id 1) has no keypoints; is this a file of boxes and outlines?"
    ),
    changed("annotations", 1, "area", value=...): "annotations[1] (id 1) has no area",
    changed("annotations", 1, "iscrowd", value=...): "annotations[1] (id 1) has no iscrowd",
    changed("annotations", 1, "keypoints", value=[0] * 54): (
        "keypoints of annotations[1] (id 1) must be 51 numbers, not 54 values"
    ),
    changed("annotations", 1, "keypoints", value=["x"] * 51): "must be 51 numbers, not 51 values",
    changed("annotations", 1, "foot_kpts", value=[0] * 6): (
        "foot_kpts of annotations[1] (id 1) must be 18 numbers, not 6 values"
    ),
    changed("annotations", 1, "area", value=np.nan): "area of annotations[1] (id 1) must be a",
    changed("annotations", 1, "area", value="9" * 99): f"not '{'9' * 39}...",
    changed("annotations", 1, "area", value=10**400): f"not {'1' + '0' * 39}...",
    changed("annotations", value=[]): "no person has keypoints: there is nothing to score",
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.items(), ids=[*BROKEN.values()])
def test_a_broken_file_is_refused_with_what_is_wrong_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text.encode("latin-1"))
    assert command.main(["--images", str(tmp_path), "--annotations", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"openpose-ext: {file}")
    assert reason in said.err
    assert not said.out


def test_annotations_of_other_things_are_left_out(tmp_path: Path) -> None:
    entries = content(person(1), {"category_id": 17, "id": 4})
    entries["categories"].append({"id": 17, "name": "cat"})
    (tmp_path / "a.json").write_text(json.dumps(entries))
    assert len(Annotations.read(tmp_path / "a.json").people) == 1


def test_some_of_the_pictures(tmp_path: Path) -> None:
    truth = annotated(tmp_path, person(1), person(2), person(3), pictures=3)
    some = truth.only([3, 1])
    assert [picture["id"] for picture in some.pictures] == [1, 3]
    assert [entry["image_id"] for entry in some.people] == [1, 3]


# The real thing ------------------------------------------------------------------------------

HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, and as annotations of two of them the people the network finds there."""
    folder = tmp_path_factory.mktemp("dataset")
    portrait = Image.open(io.BytesIO(HOPPER.read_bytes())).convert("RGB")
    portrait.thumbnail((256, 300))
    pictures = folder / "images"
    (pictures / "sub").mkdir(parents=True)
    portrait.save(pictures / "portrait.png")
    portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(pictures / "sub" / "mirrored.png")
    Image.new("RGB", (200, 160), (90, 90, 90)).save(pictures / "nobody.png")

    entries = content()
    entries["categories"][0]["id"] = 4
    entries["images"] = [
        {"id": 30, "file_name": "portrait.png", "width": portrait.width},
        {"id": 20, "file_name": "sub/mirrored.png", "height": portrait.height},
        {"id": 10, "file_name": "nobody.png"},
    ]
    with PoseEstimator(height=184, precision="f32") as estimator:
        for picture in entries["images"]:
            found = coco_results(estimator(pictures / picture["file_name"]), picture["id"])
            entries["annotations"] += [
                person(picture["id"], np.reshape(entry["keypoints"], (17, 3)), category_id=4)
                for entry in found[:1]
            ]
    for number, entry in enumerate(entries["annotations"], start=1):
        entry["id"] = number
    assert len(entries["annotations"]) == 2
    (folder / "annotations.json").write_text(json.dumps(entries))
    return folder


def test_the_command(dataset: Path, tmp_path: Path) -> None:
    """Run as a user runs it: the best person of each picture is the truth."""
    output = tmp_path / "new" / "results.json"
    argv = [
        sys.executable, "-m", "openpose_ext.eval",
        "--images", str(dataset / "images"), "--annotations", str(dataset / "annotations.json"),
        "--height", "184", "--precision", "f32", "--bootstrap", "10", "--json", str(output),
    ]  # fmt: skip
    run = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stderr == "", "no progress bar without a terminal, no words of the libraries"
    setting, summary, header, *rows = run.stdout.splitlines()
    assert setting.startswith("lite_body.onnx on openvino ")
    assert setting.endswith("(CPU, f32), height 184, fit pad, mode fast, greedy")
    assert summary.startswith("3 pictures, ")
    for stage in ("read", "preprocess", "network", "decode"):
        assert f"{stage} " in summary
    names = ["AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L"]
    assert header.split()[:10] == names
    assert rows[0].split()[:12] == (["all", "parts", *["1.000"] * 4, "-", *["1.000"] * 4, "-"]), (
        "every person is annotated to be of medium size"
    )
    assert rows[0].endswith("1.000 to 1.000")
    assert [row[:9].strip() for row in rows] in (["all parts"], ["all parts", "seen"])

    written = json.loads(output.read_bytes())
    assert {entry["image_id"] for entry in written} == {20, 30}
    assert {entry["category_id"] for entry in written} == {4}
    assert [file.name for file in output.parent.iterdir()] == ["results.json"]
    # As COCO's own tools take it.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset / "annotations.json"))
        official = COCOeval(truth, truth.loadRes(str(output)), "keypoints")
        official.evaluate()
        official.accumulate()
        official.summarize()
    assert official.stats[0] == pytest.approx(1)


def test_help_shows_examples_and_needs_no_pycocotools() -> None:
    script = (
        "import sys; sys.modules['pycocotools'] = None; from openpose_ext.eval import main; "
        "sys.exit(main(['--help']))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.returncode == 0
    assert not shown.stderr
    assert "python -m openpose_ext.eval --images val2017" in shown.stdout


# With a stand-in for the network -------------------------------------------------------------


class Standin:
    """Finds the person of POINTS in every picture, and remembers how it was made."""

    made: dict[str, Any]
    refusal: Exception | None = None
    interrupt_after = 1000
    calls = 0

    def __init__(self, body: str, **options: Any) -> None:
        if self.refusal:
            raise self.refusal
        type(self).made = {"body": body, **options}

    class info:  # noqa: N801
        model, engine, version, device, precision = Path("net.onnx"), "e", "1", "cpu", "f32"
        fixed_size = None

    def __enter__(self) -> Standin:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, picture: np.ndarray) -> Poses:
        type(self).calls += 1
        if self.calls > self.interrupt_after:
            raise KeyboardInterrupt
        poses = people(1)
        keypoints = poses.keypoints.copy()
        keypoints[:, ORDER[COCO_18], :2] = POINTS[:, :2]
        timings = {"preprocess": 0.001, "network": 0.01, "decode": 0.0001}
        return replace(poses, keypoints=keypoints, timings=timings)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two annotated pictures in `in`, and the stand-in."""
    monkeypatch.setattr(command, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for k in (1, 2):
        Image.new("RGB", (40, 30)).save(tmp_path / "in" / f"{k}.png")
    annotated(tmp_path, person(1), person(2), pictures=2)
    return tmp_path


def run_here(*words: str) -> int:
    return command.main(["--images", "in", "--annotations", "annotations.json", *words])


def rows(out: str) -> dict[str, list[str]]:
    """What the table says, by its rows."""
    return {line[:9].strip(): line[9:].split() for line in out.splitlines()[3:]}


def test_scores_are_printed_with_filled_parts_and_without(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here() == 0
    table = rows(capsys.readouterr().out)
    assert [*table] == ["all parts", "seen"]
    assert table["all parts"][0] == "1.000"
    assert table["seen"][0] == "0.900", "one of 17 parts was filled: OKS is 16 / 17"


def test_feet_are_scored_where_the_network_and_the_annotations_have_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(place, with_feet(person(1)), with_feet(person(2), FEET + 500), pictures=2)
    assert run_here() == 0
    assert "feet" not in rows(capsys.readouterr().out), "18 parts have none"

    class OfBody25(Standin):
        def __call__(self, picture: np.ndarray) -> Poses:
            poses = super().__call__(picture).as_topology(BODY_25)
            keypoints = poses.keypoints.copy()
            keypoints[:, 19:] = FEET * [1, 1, 0.25]
            return replace(poses, keypoints=keypoints, filled=np.zeros((1, 25), np.bool_))

    monkeypatch.setattr(command, "PoseEstimator", OfBody25)
    assert run_here() == 0
    table = rows(capsys.readouterr().out)
    assert table["all parts"][0] == "1.000"
    assert table["feet"][5] == "0.500", "one of two pairs"
    annotated(place, person(1), person(2), pictures=2)
    assert run_here() == 0
    assert "feet" not in rows(capsys.readouterr().out)


def test_pictures_have_no_frames_in_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--images", str(tmp_path), "--annotations", "a.json", "--detect_every", "5"]
    assert command.main(words) == 2
    assert "it applies to videos only" in capsys.readouterr().err


def test_the_first_pictures_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.remove("in/2.png")
    assert run_here("--limit", "1") == 0
    assert "\n1 picture, 1 person, 0 failed" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_named_and_not_scored(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in/2.png").write_bytes(Path("in/1.png").read_bytes()[:40])
    assert run_here("--json", "out.json") == 1
    said = capsys.readouterr()
    assert said.err == "openpose-ext: in/2.png: truncated or damaged PNG; it is not scored\n"
    assert "\n1 picture, 1 person, 1 failed" in said.out
    assert rows(said.out)["all parts"][0] == "1.000"
    assert [entry["image_id"] for entry in json.loads(Path("out.json").read_text())] == [1]


def test_no_picture_that_can_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (1, 2):
        Path(f"in/{k}.png").write_bytes(b"")
    assert run_here("--json", "out.json", "--bootstrap", "5") == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("0 pictures, 0 people, 2 failed")
    assert json.loads(Path("out.json").read_text()) == []


def test_pictures_without_annotated_people_have_no_scores(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(place, person(2), pictures=2)
    assert run_here("--limit", "1", "--bootstrap", "3") == 0
    assert rows(capsys.readouterr().out)["all parts"] == ["-"] * 10 + ["-", "to", "-"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"body": "lite", "height": 368, "threads": None, "mode": "fast", "fit": "pad"}),
        (["--body", "net.onnx", "--height", "256"], {"body": "net.onnx", "height": 256}),
        (["--mode", "reference", "--fit", "stretch"], {"mode": "reference", "fit": "stretch"}),
        ([], {"refine": False}),
        (["--refine", "--threads=2"], {"refine": True, "threads": 2}),
        (["--refine", "240"], {"refine": 240}),
        (["--refine=false"], {"refine": False}),
        (["--scales", "0.5,1", "--mirror"], {"scales": (0.5, 1.0), "mirror": True}),
        (
            ["--backend", "onnxruntime", "--device=cuda:0", "--precision", "f16", "--threads=2"],
            {"backend": "onnxruntime", "device": "cuda:0", "precision": "f16", "threads": 2},
        ),
    ],
)
def test_network_flags_reach_the_estimator(
    place: Path, words: list[str], expected: dict[str, Any]
) -> None:
    assert run_here(*words) == 0
    made = command.PoseEstimator.made
    assert {name: made[name] for name in expected} == expected


def test_the_assignment_reaches_the_decoder(place: Path) -> None:
    made: Callable[[], Any] = lambda: command.PoseEstimator.made["options"]  # noqa: E731
    run_here()
    assert made().assignment == "greedy"
    run_here("--assignment", "hungarian")
    assert made().assignment == "hungarian"
    run_here("--mode", "reference")
    assert made() == command.DecodeOptions.reference()


def test_the_original_rules_have_one_assignment(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PoseEstimator", PoseEstimator)
    assert run_here("--mode", "reference", "--assignment", "hungarian") == 2
    assert 'assignment has no meaning in mode="reference"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--annotations", "gone.json"], "gone.json: No such file or directory"),
        (["--images", "gone"], "--images gone is not a folder"),
        (["--image", "in"], "unknown flag --image; did you mean --images?"),
        (["--hieght", "256"], "unknown flag --hieght; did you mean --height?"),
        (["in"], "'in' is neither a flag nor the value of one"),
        (["--bootstrap", "0"], "'0' is not a whole number above 0"),
        (["--limit", "some"], "'some' is not a whole number above 0"),
        (["--assignment", "best"], "invalid choice"),
        (["--json", "in"], "--json in is a folder"),
        (["--json", "in/../annotations.json"], "would replace the annotations"),
    ],
)
def test_usage_errors_say_what_is_wrong(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert run_here(*words) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert not said.out


def test_images_and_annotations_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "--images DIR and --annotations FILE are needed" in capsys.readouterr().err


def test_pictures_that_are_not_there_are_counted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.remove("in/2.png")
    assert run_here() == 2
    assert "annotations.json names 2.png, which is not in in\n" in capsys.readouterr().err
    os.remove("in/1.png")
    assert run_here() == 2
    assert "1.png, which is not in in; 2 of 2 pictures are missing" in capsys.readouterr().err


def test_a_picture_of_another_size_than_annotated_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = content(person(1))
    entries["images"][0] |= {"width": 80, "height": 60}
    Path("annotations.json").write_text(json.dumps(entries))
    assert run_here() == 2
    assert "1.png is 40 x 30, but it was annotated at 80 x 60" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ModelError("no network"), BackendError("no engine")])
def test_a_missing_network_or_engine_is_exit_3(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    monkeypatch.setattr(command.PoseEstimator, "refusal", error)
    assert run_here() == 3
    assert capsys.readouterr().err == f"openpose-ext: {error}\n"


def test_missing_pycocotools_are_named_with_the_extra(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    assert run_here() == 3
    assert 'pip install "openpose_ext[eval]"' in capsys.readouterr().err
    assert command.PoseEstimator.calls == 0, "before any work"


def test_a_place_that_cannot_be_written_is_exit_4(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert run_here("--json", "file/out.json") == 4
    assert "the folder file cannot be made" in capsys.readouterr().err
    assert command.PoseEstimator.calls == 0, "before any work"

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert run_here("--json", "new/out.json") == 4
    assert "new/out.json cannot be written: No space left on device" in capsys.readouterr().err
    assert [*Path("new").iterdir()] == []


def test_an_interrupted_run_writes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.PoseEstimator, "interrupt_after", 1)
    assert run_here("--json", "out.json") == 130
    assert capsys.readouterr().err == "openpose-ext: interrupted\n"
    assert not Path("out.json").exists()


def test_the_console_script_runs_the_same_command(place: Path) -> None:
    assert console.main(["eval", "--images", "in", "--annotations", "annotations.json"]) == 0


# Accuracy on real pictures -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "expected"), [pytest.param(368, 0.466, marks=pytest.mark.slow), (256, 0.358)]
)
def test_the_reference_rules_have_their_known_ap_and_the_default_is_not_below(
    shared: Path, height: int, expected: float
) -> None:
    """pytorch-openpose's rules on this network's maps, measured apart from this package."""
    network = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    pictures = shared / "data" / "coco_val" / "images"
    truth = Annotations.read(shared / "data" / "coco_val" / "person_keypoints.json")

    def found(**options: Any) -> list[Poses]:
        with PoseEstimator(network, height=height, precision="f32", **options) as estimator:
            return [estimator(pictures / picture["file_name"]) for picture in truth.pictures]

    def ap(people: Iterable[Poses]) -> float:
        ids = [picture["id"] for picture in truth.pictures]
        found = [coco_results(poses, k) for poses, k in zip(people, ids, strict=True)]
        return evaluate([entry for entries in found for entry in entries], truth).ap

    reference = ap(found(mode="reference"))
    # Processors without VNNI saturate 8-bit products: 0.461 there at 368.
    assert reference == pytest.approx(expected, abs=0.008)
    ours = found()
    assert ap(ours) >= reference
    assert ap(map(Poses.without_filled, ours)) >= reference
