"""What tests share: the data beside the checkout and the synthetic maps."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


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

    A shell starts its background jobs with SIGINT ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
