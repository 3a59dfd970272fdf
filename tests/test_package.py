"""The package as others get it: its public names, its stub, its archives."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import openpose_ext
from openpose_ext import __main__ as console
from openpose_ext import _core

ROOT = Path(__file__).resolve().parents[1]
STUB = ROOT / "python" / "openpose_ext" / "_core.pyi"

# What a user does first, without an engine: maps in, people out; then with the embedded network.
FIRST_STEPS = """
import numpy as np, openpose_ext as op
assert len(op.decode_body(np.zeros((19, 4, 4), np.float32), np.zeros((38, 4, 4), np.float32))) == 0
with op.PoseEstimator(height=64) as estimator:
    assert estimator(np.full((64, 64, 3), 128, np.uint8)).size == (64, 64)
print(op.__file__)
"""


def test_the_public_names_are_sorted_and_there() -> None:
    assert sorted(openpose_ext.__all__, key=lambda name: (not name.isupper(), name)) == (
        openpose_ext.__all__
    )
    for name in openpose_ext.__all__:
        assert getattr(openpose_ext, name).__doc__, name


def test_what_is_not_public_is_said_so_by_every_module() -> None:
    for file in (ROOT / "python" / "openpose_ext").rglob("*.py"):
        if file.name == "__main__.py" and file.parent.name in ("serve", "batch"):
            continue  # a call, and nothing else
        tree = ast.parse(file.read_text())
        listed = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert len(listed) == 1 or not tree.body[1:], file


def test_the_version_is_the_package_s() -> None:
    assert openpose_ext.__version__ == importlib.metadata.version("openpose_ext")
    for words in (["-m", "openpose_ext", "--version"], ["-m", "openpose_ext"]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        if words[-1] == "--version":
            assert (done.returncode, done.stdout.strip()) == (0, openpose_ext.__version__)
        else:
            assert done.returncode == 2
            assert "usage: openpose-ext COMMAND" in done.stderr


@pytest.mark.parametrize("command", ["infer", "eval", "export", "weights", "perf", "datalist"])
def test_every_command_is_a_word_behind_the_package(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.main([command, "--help"]) == 0
    assert "usage: " in capsys.readouterr().out


def test_names_that_are_not_there_are_attribute_errors_and_all_others_are_listed() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PoseEstimater'"):
        _ = openpose_ext.PoseEstimater
    assert {*openpose_ext.__all__, "__version__"} <= {*dir(openpose_ext)}
    assert {*openpose_ext.__all__} == {*openpose_ext._MODULES}


def test_importing_it_brings_no_engine_and_nothing_that_not_everybody_needs() -> None:
    heavy = ("numpy", "cv2", "openvino", "av", "pandas", "importlib.metadata", "yaml")
    code = f"import sys, openpose_ext; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_people_of_a_picture_are_found_without_importing_what_others_need() -> None:
    heavy = ("av", "ssl", "openpose_ext.tracking.ids", "openpose_ext.stages.cascade")
    code = (
        "import sys, numpy, openpose_ext\n"
        "openpose_ext.PoseEstimator(height=64)(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_brings_nothing_for_the_web_before_there_is_an_address() -> None:
    code = (
        "import sys, openpose_ext.infer\n"
        "print([m for m in ('ssl', 'http.client', 'urllib.request') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def stub_parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    return [one.arg for one in (*arguments.args, *arguments.kwonlyargs)]


def module_parameters(function: object) -> list[str]:
    """Parameter names from the signature that pybind11 writes into the docstring."""
    signature = str(function.__doc__).splitlines()[0]
    return re.findall(r"(\w+): ", signature[signature.index("(") : signature.rindex("->")])


def test_the_stub_names_what_the_module_has() -> None:
    tree = ast.parse(STUB.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    public = {name for name in dir(_core) if not name.startswith("_")}
    assert public == functions.keys() | classes.keys()
    for name, node in functions.items():
        assert stub_parameters(node) == module_parameters(getattr(_core, name)), name
    for name, node in classes.items():
        (constructor,) = (one for one in node.body if isinstance(one, ast.FunctionDef))
        assert stub_parameters(constructor) == module_parameters(getattr(_core, name).__init__)


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that pip builds from it before it installs it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT, cwd=folder)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", *folder.glob("*.tar.gz"), cwd=folder)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.mark.slow
def test_the_archives_hold_what_they_should(archives: dict[str, Path]) -> None:
    names = zipfile.ZipFile(archives["wheel"]).namelist()
    wanted = (
        "py.typed",
        "_core.pyi",
        "models/registry.toml",
        "schemas/openpose.json",
        "models/embedded/lite_body.onnx",
        "models/embedded/lite_hand.onnx",
        "models/embedded/lite_face.onnx",
        "models/embedded/lite_foot.onnx",
    )
    for name in wanted:
        assert f"openpose_ext/{name}" in names
    assert not [
        name for name in names if not name.startswith(("openpose_ext/", "openpose_ext-"))
    ], "the wheel writes outside its package"
    assert not [name for name in names if name.endswith((".hpp", ".a", ".cmake"))]
    with tarfile.open(archives["sdist"]) as archive:
        held = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"CMakeLists.txt", "LICENSE", "cpp/src/peaks.cpp", "tests/oracle.py"} <= held


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [[], ["opencv-python"]],  # the latter writes the same folder cv2 as our headless one
)
def test_the_wheel_installs_into_an_environment_of_its_own(
    archives: dict[str, Path], before: list[str], tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    for what in (*before, archives["wheel"]):
        run(python, "-m", "pip", "install", "--quiet", what, cwd=tmp_path)
    where = run(python, "-c", FIRST_STEPS, cwd=tmp_path)
    assert str(tmp_path) in where
    assert "infer" in run(tmp_path / "env" / "bin" / "openpose-ext", "--help", cwd=tmp_path)
