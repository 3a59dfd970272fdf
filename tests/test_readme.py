"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest

from openpose_ext import infer

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def holiday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name, made the current one."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as picture:
        content = picture.read()
    for name in ("holiday.jpg", "folder/one.jpg", "more/two.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_examples_run(holiday: Path) -> None:
    rng = np.random.default_rng(0)
    known = {
        "heat": rng.random((19, 8, 8), np.float32),
        "paf": rng.random((38, 8, 8), np.float32),
        "heat_full": rng.random((19, 64, 64), np.float32),
        "paf_full": rng.random((38, 64, 64), np.float32),
    }
    examples = blocks("python")
    assert len(examples) >= 2
    for example in examples:
        exec(example, known)
    assert known["poses"].size == (64, 64)


def test_the_command_writes_what_is_said(holiday: Path) -> None:
    (line,) = re.findall(r"^python -m openpose_ext\.infer (holiday.*)$", README, re.MULTILINE)
    assert infer.main(shlex.split(line)) == 0
    for name in ("holiday_rendered.png", "holiday_keypoints.json", "holiday.txt"):
        assert f"out/{name}" in README
        assert (holiday / "out" / name).stat().st_size > 0


def test_its_pictures_and_pages_exist() -> None:
    root = Path(__file__).resolve().parents[1]
    links = re.findall(r"\]\(([^):]+)\)", README)
    assert links
    for link in links:
        assert (root / link).exists(), link
