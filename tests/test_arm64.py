"""The core on arm64 under qemu beside this machine's and the oracle: `make test-arm64`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import openpose_ext as op
import oracle

BUILD = Path(__file__).resolve().parents[1] / "build" / "arm64"
PROGRAM = BUILD / "cpp" / "tests" / "openpose_cases"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PROGRAM.exists() or shutil.which("qemu-aarch64") is None,
        reason="make test-arm64 builds it; needs the cross compiler and qemu-user",
    ),
]


@pytest.mark.parametrize("seed", range(6))
def test_arm64_finds_the_people_of_this_machine_and_of_the_oracle(
    seed: int, workload: ModuleType, tmp_path: Path
) -> None:
    # A cell of two pixels: the original rules smooth, and need people of many cells.
    heat, paf, _ = workload.make_maps(3 + 4 * seed, 160, 240, stride=2, seed=seed)
    if seed == 5:
        paf = np.random.default_rng(seed).uniform(-1, 1, paf.shape).astype(np.float32)
    file = tmp_path / "maps.bin"
    size = np.array(heat.shape[1:], np.int32)
    file.write_bytes(size.tobytes() + heat.tobytes() + paf.tobytes())
    printed = subprocess.run(
        ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", PROGRAM, file],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fast, reference = (part.splitlines() for part in printed.split("reference\n"))

    poses = op.decode_body(heat, paf)
    found = np.array([line.split() for line in fast], np.float32).reshape(-1, 55)
    assert len(poses) > 0 or seed == 5
    # Logarithms locate parts between cells; C libraries may differ in their last bit.
    np.testing.assert_allclose(found[:, 0], poses.scores, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1:].reshape(-1, 18, 3), poses.keypoints, rtol=1e-5)

    expected = oracle.decode(heat, paf)
    rows = [np.array(line.split(), float) for line in reference]
    candidates = np.array([row for row in rows if len(row) == 3]).reshape(-1, 3)
    subset = np.array([row for row in rows if len(row) == 20]).reshape(-1, 20)
    np.testing.assert_array_equal(candidates, expected.candidate.reshape(-1, 4)[:, :3])
    np.testing.assert_array_equal(subset, expected.subset)
