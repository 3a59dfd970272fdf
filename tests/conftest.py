"""What tests share: the data beside the checkout, the synthetic maps, a card that is none."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

NEEDS = {"torch": ("torch", "onnx", "onnxruntime"), "ray": ("ray", "pyarrow")}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what reads ../shared, which a test says by its fixtures."""
    if {"shared", "workload"} & {*getattr(item, "fixturenames", ())}:
        item.add_marker("shared")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked with a package that is not installed."""
    for marker in item.iter_markers():
        for package in NEEDS.get(marker.name, ()):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed: make test-{marker.name} installs it")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with pictures, weights and tools; skip where the checkout stands alone."""
    if not SHARED.is_dir():
        pytest.skip("../shared (pictures, weights, tools) is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def workload(shared: Path) -> ModuleType:
    """Import the generator of synthetic maps, ../shared/tools/maps_workload.py."""
    path = shared / "tools" / "maps_workload.py"
    if not path.is_file():
        pytest.skip("../shared/tools/maps_workload.py is not there")
    spec = importlib.util.spec_from_file_location("maps_workload", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let Ctrl-C reach the commands under test, which inherit what the test run does with it.

    A shell starts its background jobs with SIGINT ignored, and nohup everything with SIGHUP.
    For the session, because commands that tests share are started before the first of them.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _terminable() -> None:
    """Let a command under test handle SIGTERM itself: Ray leaves a handler behind."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def vaststreamx(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give the stand-in for the runtime of Vastai's cards, fresh and strict, to this test alone."""
    pytest.importorskip("onnxruntime", reason="the stand-in for a card computes with onnxruntime")
    folder = str(Path(__file__).with_name("stand_in"))
    monkeypatch.syspath_prepend(folder)
    # Processes that the test starts find it, too.
    monkeypatch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
    monkeypatch.setenv("VASTSTREAMX_REFUSES", "all")
    _forget_vaststreamx()
    yield importlib.import_module("vaststreamx")
    _forget_vaststreamx()


def _forget_vaststreamx() -> None:
    for name in [*sys.modules]:
        if name.split(".")[0] == "vaststreamx" or name == "openpose_ext.backends.vsx":
            del sys.modules[name]
