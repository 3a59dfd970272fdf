"""What the README and the documentation show runs as it stands there."""

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

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")),
]
# What only parses here: it would need a camera, a card, other networks, or never end.
ELSEWHERE = (
    "--camera", "rtsp://", "--body mobilenet", "landmark", "--body_prefix_path", "--display",
    "openpose_json",
)  # fmt: skip


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a page; "" for those without a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^```(\S*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [code for name, code in fences if name == language]


def commands(page: str) -> list[list[str]]:
    """Words of each `python -m openpose_ext.COMMAND ...` of a page, comments left out."""
    text = "".join(blocks(page, "text") + blocks(page, "")).replace("\\\n", "")
    lines = re.findall(r"^python -m openpose_ext\.(.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name, made the current one."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as picture:
        content = picture.read()
    for name in ("holiday.jpg", "folder/one.jpg", "more/two.png", "clips/three.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    videos.write(tmp_path / "clip.mp4", [cv2.imread(str(tmp_path / "holiday.jpg"))] * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs(page: str, files: Path) -> None:
    rng = np.random.default_rng(0)
    known: dict[str, object] = {
        "heat": rng.random((19, 8, 8), np.float32),
        "paf": rng.random((38, 8, 8), np.float32),
        "heat_full": rng.random((19, 64, 64), np.float32),
        "paf_full": rng.random((38, 64, 64), np.float32),
    }
    for example in blocks(page, "python"):
        exec(compile(example, page, "exec"), known)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_are_understood_and_run(page: str, files: Path) -> None:
    for command, *words in commands(page):
        if command == "infer" and not any(word in " ".join(words) for word in ELSEWHERE):
            assert infer.main(words) == 0, words
        else:
            where = f"{command}.command" if command in ("batch", "serve") else command
            module = importlib.import_module(f"openpose_ext.{where}")
            module._parser().parse_intermixed_args(words)  # ends the process if one is unknown


def test_the_readme_names_the_files_that_its_first_command_writes(files: Path) -> None:
    words = next(words for words in commands("README.md") if words[0] == "infer")[1:]
    assert infer.main(words) == 0
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("holiday_rendered.png", "holiday_keypoints.json", "holiday.txt"):
        assert f"out/{name}" in readme
        assert (files / "out" / name).stat().st_size > 0


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_pages_and_pictures_that_are_linked_exist(page: str) -> None:
    """Those of `docs/` are checked when it is built."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert ((ROOT / page).parent / link.partition("#")[0]).exists(), link


def annotate(file: Path, picture: str) -> None:
    """Annotations in COCO's form: one person of one visible part."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 200], "area": 20000}
    person |= {"iscrowd": 0, "num_keypoints": 1, "keypoints": [50, 50, 2] + [0, 0, 0] * 16}
    image = {"id": 1, "file_name": picture, "width": 512, "height": 600}
    categories = [{"id": 1, "name": "person"}]
    file.write_text(
        json.dumps({"images": [image], "annotations": [person], "categories": categories})
    )


@pytest.mark.torch
def test_the_commands_for_a_card_lead_to_poses(
    files: Path, vaststreamx: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## On a Vastai card\n")[2].partition("\n## ")[0]
    shown = "".join(re.findall(r"```\n(.*?)```", section, re.DOTALL)).replace("\\\n", "")
    for kind in ("body", "hand"):
        original_networks.write(files / f"{kind}_pose_model.pth", kind)
    annotate(files / "person_keypoints.json", "one.jpg")
    for words in map(shlex.split, shown.splitlines()):
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
    assert sorted(os.listdir(files / "poses")) == ["one.jpg", "one.txt", "one_keypoints.json"]
