"""Empty environments with a CPython of one's choice, and the smoke tests in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["EXTRAS", "PYTHONS", "ROOT", "found", "python_in", "smoke_tests_pass", "uv"]

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("serve", "ray")  # which the page and the batch job need


def found(version: str) -> str | None:
    """A CPython of this machine that runs, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")):
        probe = "import sys; print(*sys.version_info[:2], sep='.')"
        run = candidate and subprocess.run([candidate, "-c", probe], capture_output=True, text=True)
        if run and run.stdout.strip() == version:
            return str(candidate)
    return None


def python_in(environment: Path) -> Path:
    return environment / "bin" / "python"


def smoke_tests_pass(environment: Path) -> bool:
    """Whether all of them pass, none skipped, with a cache of their own."""
    run = subprocess.run(
        [
            *(python_in(environment), "-m", "pytest", "--strict-markers", "-rs"),
            *("-p", "no:cacheprovider", "-o", "filterwarnings=default", ROOT / "tests" / "smoke"),
        ],
        cwd=environment.parent,
        env={**os.environ, "OPENPOSE_EXT_CACHE": str(environment / "cache")},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(run.stdout, flush=True)
    return run.returncode == 0 and " skipped" not in run.stdout


def uv(*words: object) -> None:
    """Run uv. Raises CalledProcessError, for `venv` with what it said."""
    command = [sys.executable, "-m", "uv", *map(str, words)]
    print("+ uv", *command[3:], flush=True)
    subprocess.run(command, check=True, stderr=subprocess.PIPE if words[0] == "venv" else None)
