"""Every pair of `infer`'s options that meet, in runs with the embedded networks.

The table of runs is `option_pairs.csv`. What a run wrote is read by others' readers, or ours where
the format is ours, and must be the same frames and people in each kind of file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import videos
from openpose_ext import infer
from openpose_ext.sources.txt import read_txt
from openpose_ext.stages.estimator import PoseEstimator
from option_pairs import OPTIONS, RULES, Row, follows, may_meet, pairs, read

ROWS = read()
DEMO = Path(__file__).parents[2] / "docs" / "demo.jpg"
SIZE = (192, 104)
HEIGHT = 96
CHANNELS = 57  # heat maps and fields of COCO_18
# Kinds that go to a file if one is named, and what it ends in; "jsonl" is written in each run.
NAMED = {
    "jsonl": ".jsonl", "csv": ".csv", "parquet": ".parquet", "coco_json": ".json",
    "coco_dataset": "_dataset.json", "angles": "_angles.csv", "video": ".mp4",
}  # fmt: skip


class One(NamedTuple):
    """A frame that a run shall look at: its source, its number there, what its files are called."""

    source: str
    frame: int
    stem: str


def film(source: str, stem: str, count: int) -> list[One]:
    return [One(source, k, f"{stem}_{k:012d}") for k in range(count)]


PICTURE = ("pictures", [One("in/p.png", 0, "p")])
VIDEO = ("walk", film("in/walk.mp4", "walk", 6))
ANIMATION = ("wave", film("in/wave.gif", "wave", 4))
# What is given, and the frames of each file of many frames, in order.
INPUTS: dict[str, tuple[list[str], list[tuple[str, list[One]]]]] = {
    "picture": (["in/p.png"], [PICTURE]),
    "folder": (
        ["in/photos"],
        [("pictures", [One("in/photos/a.png", 0, "a"), One("in/photos/sub/b.jpg", 0, "sub/b")])],
    ),
    "film": (
        ["in/film"],
        [("pictures", [One(f"in/film/f_{k}.png", 0, f"f_{k}") for k in range(4)])],
    ),
    "video": (["in/walk.mp4"], [VIDEO]),
    "animation": (["in/wave.gif"], [ANIMATION]),
    "people": (["in/people"], [("people", film("in/people/walk", "people", 6))]),
    "several": (["in/walk.mp4", "in/p.png", "in/wave.gif"], [PICTURE, VIDEO, ANIMATION]),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two people of the documentation, going to the right."""
    folder = tmp_path_factory.mktemp("inputs")
    demo = cv2.resize(cv2.imread(os.fspath(DEMO)), SIZE, interpolation=cv2.INTER_AREA)
    frames = [np.roll(demo, 2 * k, axis=1) for k in range(6)]
    for name in ("photos/sub", "film"):
        (folder / name).mkdir(parents=True)
    for name in ("p.png", "photos/a.png", "photos/sub/b.jpg"):
        cv2.imwrite(os.fspath(folder / name), demo)
    for k in range(4):
        cv2.imwrite(os.fspath(folder / f"film/f_{k}.png"), frames[k])
    videos.write(folder / "walk.mp4", frames)
    first, *others = [Image.fromarray(frame[..., ::-1].copy()) for frame in frames[:4]]
    first.save(folder / "wave.gif", save_all=True, append_images=others, duration=100)
    words = ["--height", str(HEIGHT), "--threads", "1", "--write_json", str(folder / "people")]
    assert infer.main([str(folder / "walk.mp4"), *words]) == 0
    return folder


@pytest.fixture(scope="module")
def estimators() -> Iterator[Callable[..., AbstractContextManager[PoseEstimator]]]:
    """Give an estimator of these options, the same to all runs that ask for them."""
    with ExitStack() as opened:
        made: dict[str, PoseEstimator] = {}

        def of(**options: Any) -> AbstractContextManager[PoseEstimator]:
            name = repr(sorted(options.items()))
            if name not in made:
                made[name] = opened.enter_context(PoseEstimator(**options))
            return nullcontext(made[name])

        yield of


@pytest.fixture
def place(
    tmp_path: Path,
    inputs: Path,
    estimators: Callable[..., AbstractContextManager[PoseEstimator]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Go to a folder with the inputs in `in`."""
    monkeypatch.setattr(infer, "PoseEstimator", estimators)
    monkeypatch.chdir(tmp_path)
    Path("in").symlink_to(inputs)


def words(row: Row) -> list[str]:
    """The command line of a row."""
    given = [*INPUTS[row["inputs"]][0], "-o", "out", "--height", str(HEIGHT), "--write_jsonl"]
    for name, value in row.items():
        if name not in ("inputs", "place"):
            given += value.split()
    if row["place"] == "folders":
        return given
    named = []
    for word in given:
        kind = word.removeprefix("--write_")
        named += [word, f"all{NAMED[kind]}"] if word.startswith("--") and kind in NAMED else [word]
    return named


def chosen(row: Row) -> list[tuple[str, list[One]]]:
    """The inputs' names and frames, as the row chooses them: all pictures are one row."""
    books = []
    for name, frames in INPUTS[row["inputs"]][1]:
        if "--frame_first" in row["frames"]:
            frames = frames[1:]
        if "--frame_last" in row["frames"]:
            frames = frames[:3:2]
        books += [(name, frames)] if frames else []
    return books


class Seen(NamedTuple):
    """A frame's people, as JSON lines tell them: ids, and (P, n, 3) points of all they have."""

    size: tuple[int, int]
    topology: str
    ids: list[int | None]
    points: np.ndarray


def points_of(person: dict[str, Any]) -> np.ndarray:
    kinds = ("pose", "hand_left", "hand_right", "face")
    return np.concatenate(
        [np.reshape(person.get(f"{kind}_keypoints_2d", []), (-1, 3)) for kind in kinds]
    )


def id_of(person: dict[str, Any]) -> int | None:
    (number,) = person["person_id"]
    return None if number == -1 else number


def seen_in(file: Path) -> dict[tuple[str, int], Seen]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        (line["source"], line["frame"]): Seen(
            tuple(line["size"]),
            line["topology"],
            [id_of(person) for person in line["people"]],
            np.array([points_of(person) for person in line["people"]]),
        )
        for line in lines
    }


def test_every_pair_that_may_be_asked_for_is_in_the_table() -> None:
    """After a change of `OPTIONS` or `RULES`: python tests/option_pairs.py."""
    assert [*ROWS[0]] == [*OPTIONS]
    have = set[Any]().union(*map(pairs, ROWS))
    wanted = {
        ((a, x), (b, y))
        for (a, of_a), (b, of_b) in combinations(OPTIONS.items(), 2)
        for x in of_a
        for y in of_b
    }
    assert have <= wanted
    assert [pair for pair in wanted - have if may_meet(pair)] == []
    assert all(rule.keeps(row) for rule in RULES for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_all_files_of_a_run_hold_the_same_people(
    row: Row, place: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer.main(words(row)) == 0
    said = capsys.readouterr().err
    assert "Traceback" not in said
    books = chosen(row)
    seen: dict[tuple[str, int], Seen] = {}
    if row["place"] == "files" and books:
        seen = seen_in(Path("all.jsonl"))
        assert [*seen] == [(one.source, one.frame) for _, frames in books for one in frames]
        check_named(row, "all", seen)
    for name, frames in books:
        if row["place"] == "folders":
            seen |= seen_in(Path(f"out/{name}.jsonl"))
        of_input = {(one.source, one.frame): seen[one.source, one.frame] for one in frames}
        check_people(row, [*of_input.values()])
        if row["place"] == "folders":
            assert len(seen_in(Path(f"out/{name}.jsonl"))) == len(frames)
            check_named(row, f"out/{name}", of_input)
        check_of_input(row, f"out/{name}", of_input)
        for one in frames:
            check_frame(row, Path("out", one.stem), seen[one.source, one.frame])
    before = files()
    assert not [name for name in before if "unfinished" in name or ".part" in name]
    if row["skip_existing"] and all(tells_sources(row, frames, seen) for _, frames in books):
        assert infer.main(words(row)) == 0
        assert files() == before, "nothing is written twice"


def tells_sources(row: Row, frames: list[One], seen: dict[tuple[str, int], Seen]) -> bool:
    """Whether the files of many frames tell which sources they hold, as `--skip_existing` asks."""
    people = {one.source: False for one in frames}
    for one in frames:
        people[one.source] |= bool(seen[one.source, one.frame].ids)
    tables = row["csv"] or row["angles"]
    rows = row["parquet"] or (tables and not row["csv_empty_frames"])
    lists = "list" in row["controlnet"]
    return len(people) == 1 or not (lists or (rows and not all(people.values())))


def files() -> dict[str, int]:
    """All results, with a number that changes when one is written again."""
    there = (path for path in Path().rglob("*") if path.is_file() and path.parts[0] != "in")
    return {str(path): path.stat().st_ino for path in there}


def check_people(row: Row, frames: list[Seen]) -> None:
    """What JSON lines tell is what the options ask for."""
    known = row["inputs"] == "people"
    width, height = SIZE[::-1] if "90" in row["turn"] else SIZE
    parts = {"body_25": 25, "coco_18": 18}
    for frame in frames:
        assert known or frame.size == (width, height)
        assert known or (frame.topology == "body_25") == bool(row["foot"])
        assert all(one is not None for one in frame.ids) == follows(row) or not frame.ids
        if row["keep_id"]:
            assert {*frame.ids} <= {0}
        if row["number_people_max"]:
            assert len(frame.ids) <= 1
        if row["body"] and not known:
            assert not frame.ids  # no hand is seen
        elif not (follows(row) or row["turn"]):
            assert len(frame.ids) == (1 if row["number_people_max"] else 2)
        if frame.ids and not known:
            closer = (42 + 70) * bool(row["hand"] or row["face"])
            assert frame.points.shape[1] == parts[frame.topology] + closer
        if frame.ids and row["keypoint_scale"] == "--keypoint_scale 3":
            assert frame.points.max() <= 1


def check_named(row: Row, stem: str, seen: dict[tuple[str, int], Seen]) -> None:
    """The kinds that may be one file have the frames and people that JSON lines have."""
    pixels = not row["keypoint_scale"]
    people = sum(len(frame.ids) for frame in seen.values())
    if row["csv"] and "wide" not in row["csv"]:
        check_table(pd.read_csv(f"{stem}.csv"), seen, empty=bool(row["csv_empty_frames"]))
    if row["parquet"]:
        check_table(pd.read_parquet(f"{stem}.parquet"), seen, empty=False)
    coco = stem if row["place"] == "files" else f"{stem}_coco"
    if row["coco_json"]:
        results = json.loads(Path(f"{coco}.json").read_text())
        images = json.loads(Path(f"{coco}_images.json").read_text())["images"]
        assert [(one["file_name"], one.get("frame", 0)) for one in images] == [*seen]
        where = {one["id"]: seen[one["file_name"], one.get("frame", 0)] for one in images}
        for image, frame in where.items():
            of_it = [one for one in results if one["image_id"] == image]
            assert len(of_it) == len(frame.ids)
            for one, points in zip(of_it, frame.points if pixels else (), strict=False):
                assert one["keypoints"][:2] == pytest.approx(points[0, :2], abs=0.01)  # the nose
    if row["coco_dataset"]:
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            dataset = COCO(f"{coco}_dataset.json")
        assert len(dataset.getImgIds()) == len(seen)
        assert len(dataset.getAnnIds()) == people
    if row["angles"]:
        check_angles(pd.read_csv(f"{stem}_angles.csv"), seen, empty=bool(row["csv_empty_frames"]))
    if row["video"]:
        drawn = f"{stem}.mp4" if row["place"] == "files" else f"{stem}_rendered.mp4"
        with av.open(drawn) as container:
            frames = [*container.decode(video=0)]
        assert len(frames) == len(seen)
        assert (frames[0].width, frames[0].height) == next(iter(seen.values())).size


def check_of_input(row: Row, stem: str, seen: dict[tuple[str, int], Seen]) -> None:
    """The kinds of each input alone, likewise."""
    ids = {one for frame in seen.values() for one in frame.ids}
    if "wide" in row["csv"]:
        check_wide(row, stem, seen)
    if row["trc"]:
        for one, file in listed(stem, "trc", seen):
            table = pd.read_csv(file, sep="\t", skiprows=4)
            numbers = [number for number, frame in enumerate(seen.values()) if one in frame.ids]
            assert len(table) == numbers[-1] - numbers[0] + 1
    if row["deeplabcut"]:
        file = Path(f"{stem}_dlc.csv")
        assert len(file.read_text().splitlines()) == 4 + len(seen)
        if ids:
            table = pd.read_csv(file, header=[0, 1, 2, 3], index_col=0)
            assert {column[1] for column in table} == {f"person{one}" for one in ids}
        for one in ids:
            scores = table["openpose_ext"][f"person{one}"].xs("likelihood", axis=1, level=1)
            assert [*(scores > 0).any(axis=1)] == [one in frame.ids for frame in seen.values()]


def check_table(table: pd.DataFrame, seen: dict[tuple[str, int], Seen], *, empty: bool) -> None:
    """A row a point that was seen."""
    groups = dict(iter(table.groupby(["source", "frame"], sort=False)))
    assert [*groups] == [key for key, frame in seen.items() if frame.ids or empty]
    for key, group in groups.items():
        frame = seen[key]
        points = group[group.part.notna()]
        assert sorted(points.person.unique()) == [*range(len(frame.ids))]
        assert [*points.drop_duplicates("person").id.astype(object)] == pytest.approx(
            [np.nan if one is None else one for one in frame.ids], nan_ok=True
        )
        told = [person[person[:, 2] > 0] for person in frame.points]
        assert np.allclose(
            points[["x", "y", "score"]].to_numpy(), np.concatenate([*told, np.zeros((0, 3))]),
            rtol=1e-4, atol=1e-3,
        )  # fmt: skip


def check_angles(table: pd.DataFrame, seen: dict[tuple[str, int], Seen], *, empty: bool) -> None:
    """A row a person."""
    rows = [
        (*key, one)
        for key, frame in seen.items()
        for one in (frame.ids or ([None] if empty else []))
    ]
    told = table[["source", "frame", "id"]].itertuples(index=False, name=None)
    assert [(source, frame, None if np.isnan(one) else one) for source, frame, one in told] == rows


def listed(stem: str, kind: str, seen: dict[tuple[str, int], Seen]) -> Iterator[tuple[int, Path]]:
    """The people of a list of files, and their files; the list tells when each was seen."""
    people = json.loads(Path(f"{stem}_{kind}.json").read_text())["people"]
    assert {one["id"] for one in people} == {k for frame in seen.values() for k in frame.ids}
    for one in people:
        frames = [frame for (_, frame), of_it in seen.items() if one["id"] in of_it.ids]
        assert (one["frames"], one["first"], one["last"]) == (len(frames), frames[0], frames[-1])
        yield one["id"], Path(stem).with_name(one["file"])


def check_wide(row: Row, stem: str, seen: dict[tuple[str, int], Seen]) -> None:
    """A file a person, a row a frame."""
    for one, file in listed(stem, "wide", seen):
        table = pd.read_csv(file)
        there = [key for key, frame in seen.items() if one in frame.ids]
        found = table[table.filter(like="_x").notna().any(axis=1)]
        assert [*zip(found.source, found.frame, strict=True)] == there
        if row["csv_empty_frames"]:
            assert len(table) == len(seen)


def check_frame(row: Row, stem: Path, frame: Seen) -> None:
    """The files of one frame have the people that JSON lines have."""
    if row["json"]:
        people = json.loads(Path(f"{stem}_keypoints.json").read_text())
        assert [id_of(person) for person in people["people"]] == frame.ids
        assert ("part_candidates" in people) == bool(row["part_candidates"])
        body25 = "body25" in row["json"]
        for person, points in zip(people["people"], frame.points, strict=True):
            if not body25:
                assert np.allclose(points_of(person), points, rtol=1e-4, atol=1e-3)
            else:
                assert len(person["pose_keypoints_2d"]) == 75
                assert person["pose_keypoints_2d"][:2] == pytest.approx(points[0, :2], abs=1e-3)
    if row["txt"]:
        poses = read_txt(f"{stem}.txt")
        assert poses.size == frame.size
        assert len(poses) == len(frame.ids)
        for body, points in zip(poses.keypoints, frame.points, strict=True):
            assert np.allclose(body, points[: len(body)], rtol=1e-3, atol=2e-3)
    if row["images"]:
        drawn = cv2.imread(f"{stem}_rendered.{'jpg' if 'jpg' in row['images'] else 'png'}")
        assert drawn.shape[1::-1] == frame.size
    if row["controlnet"]:
        assert min(cv2.imread(f"{stem}_controlnet.png").shape[:2]) == 512
        alone = Path(f"{stem}_controlnet.json")
        of_picture = not stem.name[-12:].isdigit()
        assert alone.exists() == (of_picture and "list" not in row["controlnet"])
        if alone.exists():
            canvas = json.loads(alone.read_text())
            assert len(canvas["people"]) == len(frame.ids)
            assert (canvas["canvas_width"], canvas["canvas_height"]) == frame.size
    if row["heatmaps"]:
        file = f"{stem}_pose_heatmaps.{'npy' if 'npy' in row['heatmaps'] else 'png'}"
        maps = np.load(file) if file.endswith("npy") else cv2.imread(file, cv2.IMREAD_GRAYSCALE)
        assert maps.size
        assert not maps.shape[1] % CHANNELS or maps.shape[0] == CHANNELS


@pytest.mark.parametrize("number", range(len(RULES)))
def test_what_cannot_be_asked_for_together_is_refused_with_the_reason(
    number: int, place: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row that breaks one rule alone when one of the rule's options changes."""
    rule = RULES[number]
    broken = [
        row | {name: value}
        for row in ROWS
        for name in rule.options
        for value in OPTIONS[name]
        if chosen(row)
        and (row["inputs"] != "people" or "inputs" in rule.options)
        and [r for r in RULES if not r.keeps(row | {name: value})] == [rule]
    ]
    assert broken
    for row in broken[:3]:
        assert infer.main(words(row)) == 2
        assert rule.reason in capsys.readouterr().err
        assert not files()
