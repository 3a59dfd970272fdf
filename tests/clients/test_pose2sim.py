"""Pose2Sim's own code on our files: its demo from the videos, TRC, heights and angles.

Skipped where Pose2Sim is not installed: `make test-clients` installs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import motion
import openpose_ext as op
from openpose_ext import infer

pytestmark = pytest.mark.clients

ROOT = Path(__file__).resolve().parents[2]
WALK = ROOT / "../shared/data/videos/sports2d_walk.mp4"
FRAMES = 30


@pytest.fixture(scope="module")
def pose2sim() -> Path:
    """The folder of the package."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    specification = importlib.util.find_spec("Pose2Sim")
    if specification is None or not specification.submodule_search_locations:
        pytest.skip("Pose2Sim is not installed: make test-clients")
    return Path(specification.submodule_search_locations[0])


@pytest.fixture(scope="module")
def common(pose2sim: Path) -> ModuleType:
    logging.disable(logging.WARNING)  # it asks for a window system
    try:
        return importlib.import_module("Pose2Sim.common")
    finally:
        logging.disable(logging.NOTSET)


# From the videos of four cameras to markers in space ----------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_its_demo_runs_from_the_videos(
    pose2sim: Path, common: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each marker lies where the cameras saw it, and the person has a person's size."""
    demo = pose2sim / "Demo_SinglePerson"
    if not demo.is_dir():
        pytest.skip("this version of Pose2Sim comes without its demo")
    project = Path(shutil.copytree(demo, tmp_path / "demo"))
    specification = importlib.util.spec_from_file_location(
        "pose2sim_cameras", ROOT / "examples" / "pose2sim_cameras.py"
    )
    assert specification is not None
    assert specification.loader is not None
    program = importlib.util.module_from_spec(specification)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    specification.loader.exec_module(program)
    markers = program.main(str(project), "--frame_last", str(FRAMES - 1))

    table, numbers, _, names, _ = common.read_trc(str(markers))
    assert [*numbers] == [*range(FRAMES)]
    feet = {f"{side}{part}" for side in "RL" for part in ("Heel", "BigToe", "Ankle")}
    assert feet <= {*names}
    assert np.isfinite(table[[*feet]].to_numpy(float)).all()
    assert 1.5 < common.compute_height(table) < 2.0

    projections = common.computeP(project / "calibration" / "Calib_qualisys.toml")
    ours = {{"MidHip": "CHip"}.get(part, part): k for k, part in enumerate(op.BODY_25.parts)}
    far: dict[str, list[float]] = {name: [] for name in ours}
    for camera, projection in enumerate(projections, 1):
        for number in range(FRAMES):
            (file,) = (project / "pose" / f"cam0{camera}_json").glob(f"*_{number:012d}_*.json")
            seen = [
                np.reshape(person["pose_keypoints_2d"], (25, 3))
                for person in json.loads(file.read_text())["people"]
            ]
            for name in names:
                x, y, z = table[name].iloc[number]
                u, v, w = projection @ (z, x, y, 1)  # TRC has y upwards, the calibration z
                away = [
                    float(np.hypot(u / w - person[ours[name], 0], v / w - person[ours[name], 1]))
                    for person in seen
                    if person[ours[name], 2] > 0.3
                ]
                far[name] += [min(away)] if away and np.isfinite(away).all() else []
    medians = {name: float(np.median(all_of_it)) for name, all_of_it in far.items() if all_of_it}
    assert feet <= medians.keys()
    assert max(medians.values()) < 20, medians  # of 1080 x 1920; a person is 900 tall


# TRC, heights and angles --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk() -> list[tuple[op.Frame, op.Poses]]:
    """Two who walk for 60 frames; one is not seen in a few of them."""
    walkers = [
        motion.Walker(motion.path((0, 300, 650), (2.4, 600, 650)), 400),
        motion.Walker(motion.path((0, 900, 500), (2.4, 700, 500)), 300, hidden=[(0.8, 0.95)]),
    ]
    picture = np.zeros((*motion.PICTURE[::-1], 3), np.uint8)
    return [
        (op.Frame(picture, "walk.mp4", number, moment.time), replace(moment.poses, ids=moment.who))
        for number, moment in enumerate(
            motion.film(walkers, np.arange(60) / 25, topology=op.BODY_25, noise=0.002)
        )
    ]


def written(
    folder: Path, walk: list[tuple[op.Frame, op.Poses]], height: float | None = None
) -> dict[int, Path]:
    """The TRC files of people, by their ids."""
    with op.TrcWriter(folder / "walk_trc.json", rate=25, height=height) as sink:
        for frame, poses in walk:
            sink.write(frame, poses)
    listed = json.loads((folder / "walk_trc.json").read_text())["people"]
    return {one["id"]: folder / one["file"] for one in listed}


def test_it_reads_every_marker_of_trc_where_it_belongs(
    common: ModuleType, tmp_path: Path, walk: list[tuple[op.Frame, op.Poses]]
) -> None:
    files = written(tmp_path, walk)
    assert [*files] == [0, 1]
    for person, file in files.items():
        table, numbers, times, names, _ = common.read_trc(str(file))
        assert [*numbers] == [*range(60)]
        np.testing.assert_allclose(times, np.arange(60) / 25)
        assert names == [{"MidHip": "CHip"}.get(part, part) for part in op.BODY_25.parts]
        read = table.to_numpy(float).reshape(60, 25, 3)
        expected = np.full((60, 25, 3), np.nan)
        for number, (_, poses) in enumerate(walk):
            assert poses.ids is not None
            for one in np.flatnonzero(poses.ids == person):
                seen = poses.keypoints[one, :, 2] > 0
                expected[number, seen, :2] = poses.keypoints[one, seen, :2]
                expected[number, seen, 2] = 0
        np.testing.assert_allclose(read, expected, atol=1e-5)


def test_heights_in_metres_are_what_was_asked_for(
    common: ModuleType, tmp_path: Path, walk: list[tuple[op.Frame, op.Poses]]
) -> None:
    for file in written(tmp_path, walk, height=1.75).values():
        table = common.read_trc(str(file))[0]
        assert common.compute_height(table) == pytest.approx(1.75, rel=0.01)
        lowest = table[["RHeel", "LHeel"]].to_numpy(float).reshape(60, 2, 3)[..., 1]
        assert abs(np.nanmedian(lowest)) < 0.05, "y goes up from the ground"


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written of a real walk."""
    if not WALK.exists():
        pytest.skip("../shared/data/videos is not there")
    folder = tmp_path_factory.mktemp("walk")
    asked = ["--frame_first", "40", "--frame_last", "69", "--height", "256", "--identification"]
    for kind in ("json", "trc", "angles"):
        asked += [f"--write_{kind}", str(folder)]
    assert infer.main([str(WALK), *asked]) == 0
    return folder


@pytest.mark.parametrize("joint", ["knee", "elbow"])
def test_angles_of_a_walk_are_those_it_measures_in_our_trc(
    common: ModuleType, filmed: Path, joint: str
) -> None:
    """It counts from the straight limb, and clockwise; a table of angles has 180 there."""
    table = pd.read_csv(filmed / "sports2d_walk_angles.csv").set_index(["id", "frame"])
    compared = 0
    for one in json.loads((filmed / "sports2d_walk_trc.json").read_text())["people"]:
        markers, numbers, *_ = common.read_trc(str(filmed / one["file"]))
        for side in ("right", "left"):
            parts = common.angle_dict[f"{side} {joint}"][0]
            if not {*parts} <= {*markers.columns}:
                continue
            theirs = common.fixed_angles([markers[part] for part in parts], f"{side} {joint}")
            ours = table.loc[one["id"]][f"{side}_{joint}"].reindex(numbers)
            assert np.array_equal(np.isnan(theirs), ours.isna())
            np.testing.assert_allclose(np.abs(theirs), 180 - ours, atol=0.02)
            compared += int(ours.notna().sum())
    assert compared > 30


def test_knees_of_a_walk_are_those_of_the_law_of_cosines(filmed: Path) -> None:
    table = pd.read_csv(filmed / "sports2d_walk_angles.csv").set_index(["id", "frame"])
    compared = 0
    for file in sorted(filmed.glob("*_keypoints.json")):
        number = int(file.stem.split("_")[-2])
        for person in json.loads(file.read_text())["people"]:
            if person["person_id"] == [-1]:  # too brief for an id, by which the table is read
                continue
            points = np.reshape(person["pose_keypoints_2d"], (18, 3)).astype(float)
            for side in "RL":
                hip, knee, ankle = (
                    points[op.COCO_18.parts.index(f"{side}{part}")]
                    for part in ("Hip", "Knee", "Ankle")
                )
                name = f"{ {'R': 'right', 'L': 'left'}[side] }_knee"
                ours = table.loc[person["person_id"][0], number][name]
                if min(hip[2], knee[2], ankle[2]) == 0:
                    assert np.isnan(ours)
                    continue
                a, b, c = (
                    np.hypot(*(one - other)[:2])
                    for one, other in ((hip, knee), (knee, ankle), (hip, ankle))
                )
                expected = np.degrees(np.arccos((a * a + b * b - c * c) / (2 * a * b)))
                assert ours == pytest.approx(expected, abs=0.1)  # JSON has two or three decimals
                compared += 1
    assert compared > 30
