"""The smoke tests with every CPython and dependency that the package says it runs with.

    python tests/smoke/versions.py [3.12 ...]      what `make test-versions` runs

For each CPython that is on this machine, or that uv can bring, the wheel is built once and
installed twice with the extras of the tests: with the newest dependencies there are, and with the
oldest that pyproject.toml allows. A CPython that cannot be had is skipped with the reason.
Everything lies in build/versions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "versions"
PYTHONS = ("3.11", "3.12", "3.13")
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}
EXTRAS = ("serve", "ray")


def main(pythons: list[str]) -> int:
    rows: list[tuple[str, str]] = []
    for version in pythons or PYTHONS:
        try:
            uv("venv", "--clear", "--python", found(version), WORK / f"{version}-build")
        except subprocess.CalledProcessError as error:
            rows.append((version, f"skipped: {(error.stderr or b'').decode().strip()[-300:]}"))
            continue
        wheels = WORK / f"{version}-wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        uv("build", "--wheel", "--python", python(f"{version}-build"), "-o", wheels, ROOT)
        (wheel,) = wheels.glob("*.whl")
        for name, resolution in RESOLUTIONS.items():
            place = f"{version}-{name}"
            rows.append((place, "passed" if tested(place, wheel, resolution) else "FAILED"))
    for place, how in rows:
        print(f"{place:14} {how}")
    return any(how == "FAILED" for _, how in rows)


def found(version: str) -> str:
    """A CPython of this machine that runs, or the bare version, for uv to bring."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")):
        probe = "import sys; print(*sys.version_info[:2], sep='.')"
        run = candidate and subprocess.run([candidate, "-c", probe], capture_output=True, text=True)
        if run and run.stdout.strip() == version:
            return str(candidate)
    return version


def tested(place: str, wheel: Path, resolution: str) -> bool:
    """Whether the smoke tests pass, all of them, with these dependencies."""
    uv("venv", "--clear", "--python", python(f"{place.split('-')[0]}-build"), WORK / place)
    # Dependencies as wheels only: what has none for a CPython is not what people get there.
    # They are read from pyproject.toml: of a wheel's own, uv takes the newest in any case.
    install = ("pip", "install", "--python", python(place))
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    allowed = ("--resolution", resolution, "--only-binary", ":all:")
    uv(*install, *allowed, "-r", ROOT / "pyproject.toml", *extras, "pytest>=8.3")
    uv(*install, "--no-deps", wheel)
    uv("pip", "list", "--python", python(place))
    print(f"== {place}", flush=True)
    run = subprocess.run(
        [
            *(python(place), "-m", "pytest", "--strict-markers", "-rs", "-p", "no:cacheprovider"),
            *("-o", "filterwarnings=default", ROOT / "tests" / "smoke"),
        ],
        cwd=WORK,
        env={**os.environ, "OPENPOSE_EXT_CACHE": str(WORK / place / "cache")},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(run.stdout, flush=True)
    return run.returncode == 0 and " skipped" not in run.stdout


def python(place: str) -> Path:
    return WORK / place / "bin" / "python"


def uv(*words: object) -> None:
    command = [sys.executable, "-m", "uv", *map(str, words)]
    print("+ uv", *command[3:], flush=True)
    subprocess.run(command, check=True, stderr=subprocess.PIPE if words[0] == "venv" else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
