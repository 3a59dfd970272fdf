"""The core in somebody else's program: built and installed without Python, found by CMake."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_decode import HEIGHT, WIDTH, crowd

import openpose_ext as op

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="CMake is not installed"),
]


def run(*command: str | Path) -> str:
    """Run a command without this environment's Python and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the core was installed."""
    build, target = tmp_path_factory.mktemp("core"), tmp_path_factory.mktemp("prefix")
    run("cmake", "-S", ROOT, "-B", build, "-DCMAKE_DISABLE_FIND_PACKAGE_Python=ON")
    run("cmake", "--build", build, "--parallel", "2")
    run("cmake", "--install", build, "--component", "core", "--prefix", target)
    return target


def test_the_core_installs_headers_a_library_and_its_cmake_package(prefix: Path) -> None:
    installed = {path.relative_to(prefix) for path in prefix.rglob("*") if path.is_file()}
    headers = {path.name for path in (ROOT / "cpp" / "include" / "openpose_ext").iterdir()}
    folder = Path("include", "openpose_ext")
    assert {path.name for path in installed if path.parent == folder} == headers
    names = {path.name for path in installed}
    assert {"libopenpose_ext.a", "openpose_ext-config.cmake"} <= names
    assert not [path for path in installed if path.suffix in (".py", ".so")]


@pytest.fixture(scope="module")
def example(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, built against the installed core alone."""
    build = tmp_path_factory.mktemp("example")
    run("cmake", "-S", ROOT / "cpp" / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    return build / "decode_maps"


def test_the_example_finds_the_people_that_decode_body_finds(example: Path, tmp_path: Path) -> None:
    heat, paf = crowd()
    file = tmp_path / "maps.bin"
    file.write_bytes(np.array([HEIGHT, WIDTH], np.int32).tobytes() + heat.tobytes() + paf.tobytes())
    found = np.array([line.split() for line in run(example, file).splitlines()], np.float32)
    poses = op.decode_body(heat, paf)
    assert len(poses) == 3
    np.testing.assert_array_equal(found[:, 0], poses.scores)
    np.testing.assert_array_equal(found[:, 1:].reshape(-1, 18, 3), poses.keypoints)


def test_programs_of_the_old_names_still_build(prefix: Path, tmp_path: Path) -> None:
    example = (ROOT / "cpp" / "examples" / "decode_maps.cpp").read_text()
    old = example.replace("openpose_ext/", "openpose/").replace("openpose_ext::", "openpose::")
    assert "openpose_ext" not in old
    (tmp_path / "decode_maps.cpp").write_text(old)
    recipe = (ROOT / "cpp" / "examples" / "CMakeLists.txt").read_text()
    old_target = recipe.replace("openpose_ext::openpose_ext", "openpose_ext::openpose")
    (tmp_path / "CMakeLists.txt").write_text(old_target)
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\x05\0\0\0", b"\xff" * 100])
def test_the_example_refuses_what_are_no_maps(
    example: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "maps.bin"
    file.write_bytes(content)
    done = subprocess.run([example, file], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
