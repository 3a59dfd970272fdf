"""CSV and Parquet as pandas and the standard library read them, against the people written."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from openpose_ext.errors import OutputError
from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.formats.tables import COLUMNS
from openpose_ext.outputs.angles import AnglesWriter
from openpose_ext.outputs.csv import CsvWriter
from openpose_ext.outputs.parquet import ParquetWriter
from openpose_ext.outputs.wide_csv import WideCsvWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, FACE_70, HAND_21, Topology
from random_people import frames, people

Row = tuple[Any, ...]

WRITERS = {"csv": CsvWriter, "parquet": ParquetWriter}
DTYPES = {
    "source": "str", "frame": "int64", "time": "float64", "person": "int64", "id": "Int64",
    "kind": "str", "part": "str", "x": "float32", "y": "float32", "score": "float32",
}  # fmt: skip


def rows_of(frame: Frame, poses: Poses) -> list[Row]:
    """The rows of a frame, one loop a column of its key."""
    rows: list[Row] = []
    for k in range(len(poses)):
        known = None if poses.ids is None else int(poses.ids[k])
        groups = [("body", poses.topology.parts, poses.keypoints[k])]
        if poses.hands is not None:
            groups.append(("left_hand", HAND_21.parts, poses.hands[k, 0]))
            groups.append(("right_hand", HAND_21.parts, poses.hands[k, 1]))
        if poses.faces is not None:
            groups.append(("face", FACE_70.parts, poses.faces[k]))
        for kind, names, points in groups:
            for name, (x, y, score) in zip(names, points, strict=True):
                if score > 0:
                    where = (frame.source, frame.index, frame.time)
                    rows.append((*where, k, known, kind, name, x, y, score))
    return rows


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=DTYPES, keep_default_na=True)


def read_parquet(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).astype({"id": "Int64"})


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {"csv": read_csv, "parquet": read_parquet}


def rows_in(table: pd.DataFrame) -> list[Row]:
    """The rows of a table, what is missing as None."""
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in table.itertuples(index=False)
    ]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("rate", [25.0, None], ids=["video", "pictures"])
@pytest.mark.parametrize("extras", [True, False], ids=["hands, faces and ids", "bodies"])
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_tables_hold_each_part_that_was_found(
    tmp_path: Path, kind: str, topology: Topology, rate: float | None, extras: bool
) -> None:
    file = tmp_path / f"people.{kind}"
    expected: list[Row] = []
    with WRITERS[kind](file) as writer:
        for frame, poses in frames(7, topology, rate=rate, hands=extras, faces=extras, ids=extras):
            writer.write(frame, poses)
            expected += rows_of(frame, poses)
    table = READERS[kind](file)
    assert tuple(table.columns) == COLUMNS
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
    assert rows_in(table) == expected, "every number bit for bit"


def test_both_kinds_of_table_are_the_same_to_pandas(tmp_path: Path) -> None:
    with CsvWriter(tmp_path / "a.csv") as text, ParquetWriter(tmp_path / "a.parquet") as binary:
        for frame, poses in frames(5, hands=True, ids=True):
            text.write(frame, poses)
            binary.write(frame, poses)
    pd.testing.assert_frame_equal(
        read_csv(tmp_path / "a.csv"), read_parquet(tmp_path / "a.parquet")
    )


def test_csv_of_names_that_need_quotes(tmp_path: Path) -> None:
    name = 'a, "b"\nc;é.jpg'
    with CsvWriter(tmp_path / "a.csv") as writer:
        writer.write(Frame(np.zeros((4, 4, 3), np.uint8), name), people(1))
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        head, first, *_ = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert first[0] == name
    assert first[1:5] == ["0", "", "0", ""]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_path_that_is_no_text_is_still_written(tmp_path: Path, kind: str) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    with WRITERS[kind](tmp_path / f"a.{kind}") as writer:
        writer.write(Frame(np.zeros((4, 4, 3), np.uint8), name), people(1))
    assert set(READERS[kind](tmp_path / f"a.{kind}")["source"]) == {
        "caf\N{REPLACEMENT CHARACTER}.jpg"
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_tables_of_nobody_have_their_columns(tmp_path: Path, kind: str) -> None:
    for name, seen in (("none", 0), ("nobody", 1)):
        with WRITERS[kind](tmp_path / name) as writer:
            for frame, poses in frames(seen):
                writer.write(frame, poses)
        table = READERS[kind](tmp_path / name)
        assert tuple(table.columns) == COLUMNS
        assert len(table) == 0


@pytest.mark.parametrize(("count", "times"), [(100, 40), (1, 2500)], ids=["crowd", "alone"])
def test_parquet_is_written_in_groups_that_bound_its_memory(
    tmp_path: Path, count: int, times: int
) -> None:
    crowd = people(count, hands=True)
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "a.jpg")
    rows = times * len(rows_of(frame, crowd))
    with ParquetWriter(tmp_path / "a.parquet") as writer:
        for _ in range(times):
            writer.write(frame, crowd)
    groups = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert groups.num_rows == rows
    sizes = [groups.row_group(k).num_rows for k in range(groups.num_row_groups)]
    assert len(sizes) == math.ceil(rows / sizes[0]) > 2
    assert sizes[0] < 80_000


@pytest.mark.parametrize("extras", [True, False])
def test_a_data_frame_is_the_table_of_one_frame(extras: bool) -> None:
    for frame, poses in frames(4, hands=extras, faces=extras, ids=extras):
        table = poses.to_pandas(frame.source, frame.index, frame.time)
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
        assert rows_in(table) == rows_of(frame, poses)
    tables = [
        p.to_pandas(f.source, f.index, f.time) for f, p in frames(4, hands=extras, faces=extras)
    ]
    wrists = pd.concat(tables).query("kind == 'body' and part == 'RWrist'")
    assert list(wrists["frame"]) == sorted(wrists["frame"])


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
def test_what_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(OutputError, match=r'pip install "openpose_ext\[tables\]"'):
        people(1).to_pandas() if missing == "pandas" else ParquetWriter(tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_angles_are_a_row_a_person_and_frame(tmp_path: Path) -> None:
    many = list(frames(6, BODY_25, ids=True))
    with AnglesWriter(tmp_path / "a.csv") as sink:
        for frame, poses in many:
            sink.write(frame, poses)
    read = pd.read_csv(tmp_path / "a.csv")
    assert len(read) == sum(len(poses) for _, poses in many)
    row = 0
    for frame, poses in many:
        for person, degrees in enumerate(angles(poses.keypoints, BODY_25.parts)):
            found = read.iloc[row]
            assert poses.ids is not None
            assert (found["source"], found["frame"]) == (frame.source, frame.index)
            assert (found["person"], found["id"]) == (person, poses.ids[person])
            np.testing.assert_allclose(found[[*ANGLES]].astype(float), degrees, atol=0.006)
            row += 1


@pytest.mark.parametrize("empty_frames", [True, False])
@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_wide_tables_are_the_long_one_turned(
    tmp_path: Path, topology: Topology, empty_frames: bool
) -> None:
    """pandas turns the long table into what is to be in each person's file."""
    many = list(frames(14, topology, hands=True, faces=True, ids=True))
    with (
        CsvWriter(tmp_path / "a.csv") as long,
        WideCsvWriter(tmp_path / "a_wide.json", empty_frames=empty_frames) as wide,
    ):
        for frame, poses in many:
            long.write(frame, poses)
            wide.write(frame, poses)
    table = read_csv(tmp_path / "a.csv")
    table["point"] = np.where(table.kind == "body", table.part, table.kind + "_" + table.part)
    listed = json.loads((tmp_path / "a_wide.json").read_text())
    assert listed["sources"] == ["a video.mp4"]
    assert [one["id"] for one in listed["people"]] == sorted(table.id.unique())
    for one in listed["people"]:
        assert one["file"] == f"a_person{one['id']}.csv"
        mine = table[table.id == one["id"]]
        file = pd.read_csv(tmp_path / one["file"], dtype={"x": "float32"}).set_index("frame")
        rows = range(14) if empty_frames else range(one["first"], one["last"] + 1)
        assert [*file.index] == [*rows]
        np.testing.assert_allclose(file.time, np.array(rows) / 25)
        points = [*topology.parts]
        points += [f"{side}_hand_{part}" for side in ("left", "right") for part in HAND_21.parts]
        points += [f"face_{part}" for part in FACE_70.parts]
        assert [*file.columns[2:]] == [
            f"{p}_{axis}" for p in points for axis in ("x", "y", "score")
        ]
        for axis in ("x", "y", "score"):
            turned = mine.pivot(index="frame", columns="point", values=axis)
            expected = turned.reindex(index=rows, columns=points)
            found = file[[f"{point}_{axis}" for point in points]].astype("float32")
            np.testing.assert_array_equal(found, expected.astype("float32"))
        assert one["frames"] == mine.frame.nunique()


def test_frames_with_other_points_share_a_wide_table(tmp_path: Path) -> None:
    """OpenPose's files may have hands in some frames only, and either skeleton."""
    body, hands = people(1, BODY_25, ids=True), people(1, COCO_18, hands=True, faces=True, ids=True)
    with WideCsvWriter(tmp_path / "a_wide.json") as sink:
        for number, poses in enumerate([body, hands, people(1, BODY_25, hands=True, ids=True)]):
            sink.write(Frame(np.zeros((4, 4, 3), np.uint8), "j", number, number / 25), poses)
    table = pd.read_csv(tmp_path / "a_person7.csv")
    kinds = [name.split("_")[0] for name in table.columns[3:]]
    assert kinds == sorted(
        kinds,
        key=lambda kind: (
            ["left", "right", "face"].index(kind) + 1 if kind in ("left", "right", "face") else 0
        ),
    )
    for number, poses in enumerate([body, hands]):
        for k, part in enumerate(poses.topology.parts):
            x, y, score = poses.keypoints[0, k]
            found = table.loc[number, [f"{part}_x", f"{part}_y", f"{part}_score"]].astype(float)
            np.testing.assert_allclose(found, (x, y, score) if score else 3 * [np.nan], rtol=1e-6)
    assert np.isnan(table["face_Jaw0_x"][0])


def test_files_a_person_need_ids_and_leave_out_who_has_none(tmp_path: Path) -> None:
    frame, poses = Frame(np.zeros((4, 4, 3), np.uint8), "a.mp4", 0, 0.0), people(3, ids=True)
    with (
        pytest.raises(ValueError, match="people with ids"),
        WideCsvWriter(tmp_path / "a_wide.json") as sink,
    ):
        sink.write(frame, people(3))
    assert list(tmp_path.iterdir()) == []
    with WideCsvWriter(tmp_path / "a_wide.json") as sink:
        sink.write(frame, replace(poses, ids=np.array([4, -1, -1])))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_person4.csv", "a_wide.json"]


def test_a_list_replaces_the_files_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a_person99.csv").write_text("somebody else's")
    for count in (3, 1):
        with WideCsvWriter(tmp_path / "a_wide.json") as sink:
            sink.write(Frame(np.zeros((4, 4, 3), np.uint8), "a.jpg"), people(count, ids=True))
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["a_person7.csv", "a_person99.csv", "a_wide.json"]


@pytest.mark.parametrize("writer", [CsvWriter, AnglesWriter])
def test_frames_in_which_nobody_was_found_have_a_row_if_asked(
    tmp_path: Path, writer: type[CsvWriter] | type[AnglesWriter]
) -> None:
    nothing = replace(people(1), keypoints=np.zeros((1, 18, 3), np.float32))
    for empty in (True, False):
        with writer(tmp_path / "a.csv", empty_frames=empty) as sink:
            for frame, poses in frames(5):
                sink.write(frame, poses)
            if writer is CsvWriter:
                sink.write(Frame(np.zeros((4, 4, 3), np.uint8), "a video.mp4", 5, 0.2), nothing)
        table = pd.read_csv(tmp_path / "a.csv")
        blank = table[table.person.isna()]
        without = [0, 4, 5] if writer is CsvWriter else [0, 4]
        assert [*blank.frame] == (without if empty else [])
        assert blank.drop(columns=["source", "frame", "time"]).isna().all(axis=None)
        assert {*table.frame} == {1, 2, 3} | ({*without} if empty else set())
