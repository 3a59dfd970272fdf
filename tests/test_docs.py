"""What the documentation shows runs as it stands there."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import cv2
import matplotlib.cbook
import pytest

import videos
from openpose_ext import infer

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
# What only parses here: it would need a camera, a cluster, a card, the network, or never end.
ELSEWHERE = ("--camera", "rtsp://", "--body mobilenet", "--hand landmark", "--body_prefix_path")


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """Words of each `python -m openpose_ext.COMMAND ...` of a page, comments left out."""
    text = "".join(blocks(page, "text")).replace("\\\n", "")
    lines = re.findall(r"^python -m openpose_ext\.(.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name, made the current one."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as picture:
        content = picture.read()
    for name in ("holiday.jpg", "folder/one.jpg", "more/two.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    videos.write(tmp_path / "clip.mp4", [cv2.imread(str(tmp_path / "holiday.jpg"))] * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs(page: str, files: Path) -> None:
    for example in blocks(page, "python"):
        exec(compile(example, page, "exec"), {})


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_are_understood_and_run(page: str, files: Path) -> None:
    for command, *words in commands(page):
        if command == "infer" and not any(word in " ".join(words) for word in ELSEWHERE):
            assert infer.main(words) == 0, words
        else:
            where = f"{command}.command" if command in ("batch", "serve") else command
            module = importlib.import_module(f"openpose_ext.{where}")
            module._parser().parse_intermixed_args(words)  # ends the process if one is unknown


def test_the_pages_are_found() -> None:
    assert {"index.md", "start.md", "reference/flags.md"} <= {*PAGES}
