"""What the README calls passes the strict type checkers of its users."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """\
import cv2
import numpy as np

import openpose_ext as op

picture = cv2.imread("holiday.jpg")
with op.PoseEstimator(hand="lite", options=op.DecodeOptions(max_people=5)) as estimator:
    poses = estimator("holiday.jpg")
    again = estimator(picture)
    lost: list[str] = []
    with op.CsvWriter("people.csv") as sink:
        for frame, people in estimator.stream(
            ["clip.mp4", "holiday.jpg"], on_error=lambda path, error: lost.append(str(error))
        ):
            sink.write(frame, people)
    tracker, smooth = op.Tracker(rate=25), op.TwoPass(rate=25)
    view = op.View(step=2)
    with op.open_source("clip.mp4", view=view) as source, op.VideoWriter("a.mp4") as video:
        for frame, people in estimator.stream(source):
            for calm in smooth.push(tracker(people, frame.time), frame.time):
                print(calm.ids, len(calm))
            video.add(op.draw(frame.image, people), frame.time)
drawn = op.draw(picture, poses, style="controlnet")
points: float = float(poses.keypoints[0, 0, 2]) + float(np.mean(poses.scores)) + len(again)
scores = op.evaluate(poses.to_coco(image_id=1), op.Annotations.read("person_keypoints.json"))
print(scores.ap, drawn.shape, op.read_openpose("a.json").as_topology(op.BODY_25), op.__version__)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def checked(*command: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_calls_of_the_readme_pass_mypy_strict(program: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    # Strict, as pyproject.toml says; what `make check` knows of the package is not found out again.
    checked("mypy", program)


def test_the_calls_of_the_readme_pass_pyright(program: Path, tmp_path: Path) -> None:
    # It is pyright, with the program that runs it in the wheel: it downloads nothing.
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": ["program.py"],
                "extraPaths": [str(ROOT / "python")],
                "typeCheckingMode": "standard",
            }
        )
    )
    checked("basedpyright", "--project", settings, "--pythonpath", sys.executable)
