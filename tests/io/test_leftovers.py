"""Parts of killed processes go, those of living ones stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from openpose_ext.io.leftovers import new_part, remove_leftovers
from openpose_ext.io.whole import PartFile, write_whole

pytest.importorskip("fcntl")

WRITER = """
import sys, time
from openpose_ext.io.whole import PartFile
file = PartFile(sys.argv[1])
file.part.write_bytes(b"half")
print(file.part, flush=True)
time.sleep(60)
"""


def test_parts_of_living_processes_stay_and_those_of_killed_ones_go(tmp_path: Path) -> None:
    mine = PartFile(tmp_path / "mine")
    mine.part.write_bytes(b"begun")
    words = [sys.executable, "-c", WRITER, tmp_path / "a.json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    part = Path(process.stdout.readline().strip())
    remove_leftovers(tmp_path)
    assert part.read_bytes() == b"half"
    assert mine.part.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    remove_leftovers(tmp_path)
    assert [*tmp_path.iterdir()] == [mine.part]
    mine.appear()
    assert (tmp_path / "mine").read_bytes() == b"begun"


def test_other_hidden_files_and_links_stay(tmp_path: Path) -> None:
    name = f".{32 * '0'}.part"
    (tmp_path / "folder").mkdir()
    for other in (".part", ".a.part", "b.part"):
        (tmp_path / "folder" / other).write_bytes(b"")
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "folder" / name).symlink_to(tmp_path / "kept")
    (tmp_path / "folder" / name.replace("0", "1")).mkdir()
    before = sorted((tmp_path / "folder").iterdir())
    remove_leftovers(tmp_path / "folder")
    assert sorted((tmp_path / "folder").iterdir()) == before
    remove_leftovers(tmp_path / "missing")


def test_nothing_is_held_once_a_file_is_written(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        write_whole(tmp_path / f"{number}", b"data")
        PartFile(tmp_path / "never").discard()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len([*tmp_path.iterdir()]) == 5


def test_a_part_is_made_with_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        part, held = new_part(tmp_path)
    finally:
        os.umask(before)
    assert held is not None
    os.close(held)
    assert part.stat().st_mode & 0o777 == 0o640
