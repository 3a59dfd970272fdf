"""The smoke tests with every CPython and dependency that the package says it runs with.

    python tests/smoke/versions.py [3.12 ...]      what `make test-versions` runs

For each CPython that is on this machine, or that uv can bring, the wheel is built once and
installed twice with the extras of the tests: with the newest dependencies there are, and with the
oldest that pyproject.toml allows. A CPython that cannot be had is skipped with the reason.
Everything lies in build/versions.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from environments import EXTRAS, PYTHONS, ROOT, found, python_in, smoke_tests_pass, uv

WORK = ROOT / "build" / "versions"
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}


def main(pythons: list[str]) -> int:
    rows: list[tuple[str, str]] = []
    for version in pythons or PYTHONS:
        builder = WORK / f"{version}-build"
        try:
            uv("venv", "--clear", "--python", found(version) or version, builder)
        except subprocess.CalledProcessError as error:
            rows.append((version, f"skipped: {(error.stderr or b'').decode().strip()[-300:]}"))
            continue
        wheels = WORK / f"{version}-wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        uv("build", "--wheel", "--python", python_in(builder), "-o", wheels, ROOT)
        (wheel,) = wheels.glob("*.whl")
        for name, resolution in RESOLUTIONS.items():
            place = f"{version}-{name}"
            passed = tested(WORK / place, builder, wheel, resolution)
            rows.append((place, "passed" if passed else "FAILED"))
    for place, how in rows:
        print(f"{place:14} {how}")
    return any(how == "FAILED" for _, how in rows)


def tested(environment: Path, builder: Path, wheel: Path, resolution: str) -> bool:
    """Whether the smoke tests pass, all of them, with these dependencies."""
    uv("venv", "--clear", "--python", python_in(builder), environment)
    # Dependencies as wheels only: what has none for a CPython is not what people get there.
    # They are read from pyproject.toml: of a wheel's own, uv takes the newest in any case.
    install = ("pip", "install", "--python", python_in(environment))
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    allowed = ("--resolution", resolution, "--only-binary", ":all:")
    uv(*install, *allowed, "-r", ROOT / "pyproject.toml", *extras, "pytest>=8.3")
    uv(*install, "--no-deps", wheel)
    uv("pip", "list", "--python", python_in(environment))
    print(f"== {environment.name}", flush=True)
    return smoke_tests_pass(environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
