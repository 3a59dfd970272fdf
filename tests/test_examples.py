"""Each program in `examples/` runs, and does what it says."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import matplotlib
import matplotlib.cbook
import numpy as np
import pytest

import tiny_networks
import videos

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture of one person."""
    folder = tmp_path_factory.mktemp("pictures")
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as picture:
        (folder / "17.jpg").write_bytes(picture.read())
    return folder


@pytest.fixture
def video(folder: Path, tmp_path: Path) -> Path:
    return videos.write(tmp_path / "clip.mp4", [cv2.imread(str(folder / "17.jpg"))] * 12)


def test_a_folder_becomes_coco_results(folder: Path, tmp_path: Path) -> None:
    example("folder_to_coco").main(str(folder), str(tmp_path / "people.json"))
    (person,) = json.loads((tmp_path / "people.json").read_text())
    assert person["image_id"] == 17
    assert len(person["keypoints"]) == 51


def test_a_video_becomes_a_table_and_a_plot_of_knees(video: Path, tmp_path: Path) -> None:
    table, plot = tmp_path / "knees.csv", tmp_path / "knees.png"
    example("gait_table").main(str(video), str(table), str(plot))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 12
    assert [float(row["time"]) for row in rows] == sorted(float(row["time"]) for row in rows)
    assert cv2.imread(str(plot)) is not None


def test_the_angle_of_a_knee_is_that_between_thigh_and_shank() -> None:
    gait = example("gait_table")
    person = np.zeros((18, 3), np.float32)
    person[[8, 9, 10]] = [[0, 0, 1], [0, 10, 1], [10, 10, 1]]  # right hip, knee, ankle
    assert gait.knee(person, gait.LEGS["R"]) == pytest.approx(90)
    assert np.isnan(gait.knee(person, gait.LEGS["L"]))


def test_a_live_source_is_followed(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("live_camera").main(str(video))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert len({line.rpartition("people")[2] for line in lines[6:]}) == 1


def test_a_network_of_ones_own_is_described(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = tiny_networks.write(tmp_path / "own.onnx", {"heat": 19, "paf": 38})
    example("own_network").main(str(network), str(folder / "17.jpg"))
    assert (tmp_path / "own.onnx.toml").is_file()


def test_a_skeleton_of_ones_own_is_decoded() -> None:
    poses = example("own_skeleton").main()
    assert sorted(poses.keypoints[:, 0, 0]) == pytest.approx([8 * 8 + 3.5, 28 * 8 + 3.5], abs=2)
    assert (poses.keypoints[..., 2] > 0).all()


@pytest.mark.torch
def test_maps_of_torch_are_decoded() -> None:
    assert len(example("torch_maps").main()) == 4


def test_conditioning_pictures_are_skeletons_on_black(folder: Path, tmp_path: Path) -> None:
    example("controlnet_batch").main(str(folder), str(tmp_path / "pose"))
    canvas = cv2.imread(str(tmp_path / "pose" / "17.png"))
    assert canvas.shape == cv2.imread(str(folder / "17.jpg")).shape
    assert 0 < np.count_nonzero(canvas.any(axis=2)) < canvas[..., 0].size / 5


@pytest.mark.ray
def test_a_ray_pipeline_writes_rows(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    shutil.copytree(folder, tmp_path / "in")
    command = [sys.executable, EXAMPLES / "ray_pipeline.py", tmp_path / "in", tmp_path / "out"]
    subprocess.run(command, check=True, capture_output=True)  # Ray's warnings are its own
    assert {"Nose"} <= {*pandas.read_parquet(tmp_path / "out")["part"]}


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_the_notebook_runs() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    matplotlib.use("Agg")
    notebook = json.loads((EXAMPLES / "first_look.ipynb").read_text())
    known: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are not committed"
            exec("".join(cell["source"]), known)
    assert len(known["poses"]) == 1


def test_programs_are_short_and_say_what_they_take() -> None:
    programs = sorted(EXAMPLES.glob("*.py"))
    listed = (EXAMPLES / "README.md").read_text()
    for program in programs:
        lines = program.read_text().splitlines()
        assert len(lines) <= 60, program.name
        assert lines[0].startswith('"""')
        assert f"({program.name})" in listed
