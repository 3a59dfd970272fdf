"""The core in somebody else's program: built and installed without Python, found by CMake."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import openpose_ext as op
from drawn_maps import HEIGHT, WIDTH, crowd

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


@pytest.fixture(scope="module", params=["static", "shared"])
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the core was installed, as a static or as a shared library."""
    build, target = tmp_path_factory.mktemp("core"), tmp_path_factory.mktemp("prefix")
    shared = "ON" if request.param == "shared" else "OFF"
    run("cmake", "-S", ROOT, "-B", build, f"-DOPENPOSE_EXT_SHARED={shared}")
    run("cmake", "--build", build, "--parallel", "2")
    run("cmake", "--install", build, "--component", "core", "--prefix", target)
    return target


def library(prefix: Path) -> Path:
    """Return the one library that was installed."""
    (found,) = (path for path in prefix.rglob("libopenpose_ext.*") if not path.is_symlink())
    return found


def test_the_core_installs_headers_a_library_and_its_packages(prefix: Path) -> None:
    installed = {path.relative_to(prefix) for path in prefix.rglob("*") if path.is_file()}
    headers = {path.name for path in (ROOT / "cpp" / "include" / "openpose_ext").iterdir()}
    folder = Path("include", "openpose_ext")
    assert {path.name for path in installed if path.parent == folder} == headers
    names = {path.name for path in installed}
    assert {"openpose_ext-config.cmake", "openpose_ext.pc"} <= names
    assert not [path for path in installed if path.suffix == ".py"]


def test_a_shared_library_shows_only_its_api(prefix: Path) -> None:
    if library(prefix).suffix == ".a":
        pytest.skip("a static library")
    lines = run("nm", "-DC", "--defined-only", library(prefix)).splitlines()
    symbols = [line.split(maxsplit=2)[2] for line in lines]
    shown = [symbol for symbol in symbols if "openpose_ext::" in symbol and "std::" not in symbol]
    assert "openpose_ext::coco_18()" in shown
    inner = ("openpose_ext::unchecked", "openpose_ext::detail", "openpose_ext::PairBatch")
    assert not [symbol for symbol in symbols if symbol.startswith(inner)]


@pytest.fixture(scope="module")
def example(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, built against the installed core alone."""
    build = tmp_path_factory.mktemp("example")
    run("cmake", "-S", ROOT / "cpp" / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    return build / "decode_maps"


def check_people(program: Path, tmp_path: Path) -> None:
    """Assert that the program prints the people that decode_body finds."""
    heat, paf = crowd()
    file = tmp_path / "maps.bin"
    file.write_bytes(np.array([HEIGHT, WIDTH], np.int32).tobytes() + heat.tobytes() + paf.tobytes())
    found = np.array([line.split() for line in run(program, file).splitlines()], np.float32)
    poses = op.decode_body(heat, paf)
    assert len(poses) == 3
    np.testing.assert_array_equal(found[:, 0], poses.scores)
    np.testing.assert_array_equal(found[:, 1:].reshape(-1, 18, 3), poses.keypoints)


def test_a_program_that_finds_the_package_decodes_alike(example: Path, tmp_path: Path) -> None:
    check_people(example, tmp_path)


def test_a_program_that_builds_the_core_along_decodes_alike(tmp_path: Path) -> None:
    """Without optimisation, too, which takes less time to build."""
    build = tmp_path / "build"
    source = ROOT / "cpp" / "examples" / "subdirectory"
    run("cmake", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "--build", build, "--parallel", "2")
    check_people(build / "decode_maps", tmp_path)


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_a_program_of_pkg_config_decodes_alike(prefix: Path, tmp_path: Path) -> None:
    (package,) = prefix.rglob("openpose_ext.pc")
    asked = ["--cflags", "--libs", "openpose_ext"]
    flags = run("env", f"PKG_CONFIG_PATH={package.parent}", "pkg-config", *asked).split()
    program = tmp_path / "decode_maps"
    source = ROOT / "cpp" / "examples" / "decode_maps.cpp"
    run("c++", "-std=c++20", source, "-o", program, *flags, f"-Wl,-rpath,{library(prefix).parent}")
    check_people(program, tmp_path)


SKELETONS = """
#include <cstdio>
#include "openpose_ext/openpose_ext.hpp"
int main() {
    using namespace openpose_ext;
    for (const Topology& one : {coco_18(), body_25(), hand_21()}) {
        for (const auto name : one.names) std::printf("%s ", name.data());
        for (const Limb& limb : one.limbs)
            std::printf("%d,%d,%d,%d,%d,%.2f ", limb.a, limb.b, limb.paf_x, limb.paf_y,
                        limb.redundant, limb.length);
        for (const int foot : one.feet) std::printf("%d ", foot);
        for (const float sigma : one.sigmas) std::printf("%.3f ", sigma);
        std::printf("\\n");
    }
}
"""


def test_the_skeletons_are_those_of_python(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "decode_maps.cpp").write_text(SKELETONS)
    shutil.copy(ROOT / "cpp" / "examples" / "CMakeLists.txt", tmp_path)
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    for line, topology in zip(
        run(build / "decode_maps").splitlines(), (op.COCO_18, op.BODY_25, op.HAND_21), strict=True
    ):
        channels = topology.paf_channels or [(-1, -1)] * len(topology.limbs)
        lengths = topology.lengths or [0] * len(topology.limbs)
        limbs = [
            f"{a},{b},{x},{y},{int(limb in topology.redundant)},{lengths[limb]:.2f}"
            for limb, ((a, b), (x, y)) in enumerate(zip(topology.limbs, channels, strict=True))
        ]
        sigmas = [f"{sigma:.3f}" for sigma in topology.sigmas]
        assert line.split() == [*topology.parts, *limbs, *map(str, topology.feet), *sigmas]


def test_programs_of_the_old_names_still_build(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "decode_maps.cpp").write_text(
        '#include "openpose/decode.hpp"\n'
        '#include "openpose/topology.hpp"\n'
        "int main() { openpose::Decoder decoder; return openpose::Topology{2, {}}.parts - 2; }\n"
    )
    recipe = (ROOT / "cpp" / "examples" / "CMakeLists.txt").read_text()
    old_target = recipe.replace("openpose_ext::openpose_ext", "openpose_ext::openpose")
    (tmp_path / "CMakeLists.txt").write_text(old_target)
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    run(build / "decode_maps")


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\x05\0\0\0", b"\xff" * 100])
def test_the_example_refuses_what_are_no_maps(
    example: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "maps.bin"
    file.write_bytes(content)
    done = subprocess.run([example, file], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
