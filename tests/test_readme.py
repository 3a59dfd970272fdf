"""What the README shows runs as it stands there."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
from pathlib import Path
from types import ModuleType

import cv2
import matplotlib.cbook
import numpy as np
import pytest

import compiled_networks
import original_networks
import videos
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
    picture = cv2.imread(str(tmp_path / "holiday.jpg"))
    videos.write(tmp_path / "clip.mp4", [picture] * 3)
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
    assert len(known["rest"]) == 3
    assert set.intersection(*(set(poses.ids.tolist()) for poses in known["rest"]))


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


def annotate(file: Path, picture: str) -> None:
    """Annotations in COCO's form: one person of one visible part."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 200], "area": 20000}
    person |= {"iscrowd": 0, "num_keypoints": 1, "keypoints": [50, 50, 2] + [0, 0, 0] * 16}
    image = {"id": 1, "file_name": picture, "width": 512, "height": 600}
    categories = [{"id": 1, "name": "person"}]
    file.write_text(
        json.dumps({"images": [image], "annotations": [person], "categories": categories})
    )


def test_the_commands_for_a_card_lead_to_poses(
    holiday: Path, vaststreamx: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    section = README.partition("## On a Vastai card\n")[2].partition("\n## ")[0]
    commands = "".join(re.findall(r"```\n(.*?)```", section, re.DOTALL)).replace("\\\n", "")
    for kind in ("body", "hand"):
        original_networks.write(holiday / f"{kind}_pose_model.pth", kind)
    annotate(holiday / "person_keypoints.json", "one.jpg")
    for words in map(shlex.split, commands.splitlines()):
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[0] == "vamc":
            compiled_networks.compile(Path(words[2]))
        else:
            assert words[:2] == ["python", "-m"]
            command = importlib.import_module(words[2])
            if words[2].endswith(".perf") and "--datalist" not in words:
                words += ["--iterations", "8"]  # 1024, as in vamp, are for a card
            assert command.main(words[3:]) == 0, words
    assert sorted(os.listdir(holiday / "poses")) == ["one.jpg", "one.txt", "one_keypoints.json"]
