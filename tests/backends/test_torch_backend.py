"""torch as an engine: weights and scripts, the same numbers as the other engines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import original_networks
from openpose_ext import PoseEstimator
from openpose_ext.backends import engines
from openpose_ext.backends.protocol import Backend, InputFormat
from openpose_ext.errors import BackendError
from openpose_ext.models.engines import describe_network, open_network
from openpose_ext.models.manifest import ORIGINAL_RANGE, read_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.torch


class Means(torch.nn.Module):  # type: ignore[misc]
    """Mean colours of cells, weighted: what `tiny_networks` is in ONNX."""

    def __init__(self, *, nhwc: bool = False) -> None:
        super().__init__()
        self.nhwc = nhwc
        self.weights = torch.nn.Parameter(torch.tensor([[1.0, 2.0, -3.0], [0.5, 0.0, 1.0]]))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.nhwc:
            pictures = pictures.permute(0, 3, 1, 2)
        cells = torch.nn.functional.avg_pool2d(pictures, 8)
        maps = torch.einsum("nchw,kc->nkhw", cells, self.weights)
        return maps.permute(0, 2, 3, 1) if self.nhwc else maps


def means(pictures: np.ndarray) -> np.ndarray:
    n, height, width, _ = pictures.shape
    cells = pictures.astype(np.float64).reshape(n, height // 8, 8, width // 8, 8, 3).mean((2, 4))
    return np.einsum("nhwc,kc->nkhw", cells, [[1.0, 2.0, -3.0], [0.5, 0.0, 1.0]])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return traced(Means(), tmp_path / "means.pt")


def traced(module: torch.nn.Module, file: Path, *shape: int) -> Path:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.trace(module.eval(), torch.zeros(shape or (1, 3, 16, 16))).save(str(file))
    return file


@pytest.fixture
def opened(script: Path) -> Iterator[Backend]:
    with open_network(script, "torch") as backend:
        yield backend


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def test_a_script_takes_any_size_and_its_outputs_have_numbers(opened: Backend) -> None:
    assert opened.info.outputs == {"0": (None, 2, None, None)}
    for shape in [(1, 8, 8, 3), (2, 16, 40, 3), (1, 64, 24, 3)]:
        found = opened.run(noise(*shape))["0"]
        assert found.dtype == np.float32
        assert np.allclose(found, means(noise(*shape)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("channels", ["BGR", "RGB"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_picture_is_converted_as_the_format_says(
    tmp_path: Path, layout: str, channels: str
) -> None:
    nhwc = layout == "NHWC"
    shape = (1, 16, 24, 3) if nhwc else (1, 3, 16, 24)
    file = traced(Means(nhwc=nhwc), tmp_path / "a.pt", *shape)
    given = InputFormat(layout, channels, (10.0, 20.0, 30.0), (2.0, 3.0, 4.0))
    batch = noise(2, 16, 24, 3)
    batch.setflags(write=False)
    seen = batch if channels == "BGR" else batch[..., ::-1]
    expected = means((seen - np.array(given.mean)) / given.divisor)
    with open_network(file, "torch", input_format=given) as backend:
        found = backend.run(batch)["0"]
    assert np.allclose(found.transpose(0, 3, 1, 2) if nhwc else found, expected, atol=1e-3)
    assert describe_network(file).input == (
        (None, None, None, 3) if nhwc else (None, 3, None, None)
    )


def test_what_is_submitted_is_handed_on(opened: Backend) -> None:
    batch = noise(1, 16, 16, 3)
    found = opened.submit(batch, lambda outputs: outputs["0"].copy()).result(20)
    assert np.array_equal(found, opened.run(batch)["0"])


def test_a_size_the_network_does_not_take_is_refused(script: Path) -> None:
    with open_network(script, "torch", input_format=InputFormat(size=(24, 16))) as backend:
        assert backend.run(noise(1, 16, 24, 3))["0"].shape == (1, 2, 2, 3)
        with pytest.raises(ValueError, match="takes 24 x 16 pixels only"):
            backend.run(noise(1, 24, 16, 3))


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_lower_precision_is_near(tmp_path: Path, precision: str) -> None:
    file = original_networks.write(tmp_path / "body.pth")
    batch = noise(1, 64, 64, 3)
    maps = {}
    for name in ("f32", precision):
        with open_network(file, "torch", input_format=ORIGINAL_RANGE, precision=name) as backend:
            assert backend.info.precision == name
            maps[name] = backend.run(batch)["heat"]
    assert maps[precision].dtype == np.float32
    difference = np.abs(maps[precision] - maps["f32"]).max() / np.ptp(maps["f32"])
    assert 0 < difference < (0.1 if precision == "bf16" else 0.02)


def test_threads_are_bounded_for_the_work_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counts(torch.nn.Module):  # type: ignore[misc]
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.new_full((1, 1), torch.get_num_threads())

        def to(self, *_: object) -> Counts:
            return self

    from openpose_ext.backends import torch as adapter

    monkeypatch.setattr(adapter, "_load", lambda file, weights: (["threads"], Counts()))
    (tmp_path / "a.pth").touch()
    before = torch.get_num_threads()
    for threads, each in ((1, 1), (6, 3)):  # shared by the two streams
        with open_network(tmp_path / "a.pth", "torch", threads=threads, streams=2) as backend:
            batch = noise(1, 8, 8, 3)
            assert backend.run(batch)["threads"] == each
            assert backend.submit(batch, lambda out: out["threads"].item()).result(20) == each
    assert torch.get_num_threads() == before


def test_many_threads_may_run_one_network(opened: Backend) -> None:
    batches = [noise(1, 8 * (1 + k % 5), 8 * (1 + k % 3), 3) for k in range(30)]
    with ThreadPoolExecutor(4) as threads:
        for batch, found in zip(batches, threads.map(opened.run, batches), strict=True):
            assert np.allclose(found["0"], means(batch), rtol=1e-4, atol=1e-3)


def test_auto_comes_to_torch_for_its_files(script: Path, tmp_path: Path) -> None:
    for file in (script, original_networks.write(tmp_path / "hand.pth", "hand")):
        with open_network(file) as backend:
            assert backend.info.engine == "torch"


def test_weights_say_what_they_are(tmp_path: Path) -> None:
    graph = describe_network(original_networks.write(tmp_path / "body.pth"))
    assert graph.outputs == {"paf": (None, 38, None, None), "heat": (None, 19, None, None)}
    with pytest.warns(UserWarning, match="x / 256 - 0.5 is assumed"):
        manifest = read_manifest(tmp_path / "body.pth")
    assert manifest.outputs == {"paf": "paf", "heat": "heat"}
    assert manifest.input == ORIGINAL_RANGE


def test_the_estimator_runs_weights_by_their_path(tmp_path: Path) -> None:
    file = original_networks.write(tmp_path / "body.pth")
    with pytest.warns(UserWarning, match="x / 256 - 0.5 is assumed"):
        estimator = PoseEstimator(file, height=64)
    with estimator:
        assert estimator.info.engine == "torch"
        assert estimator(noise(64, 80, 3)).size == (80, 64)


def test_files_and_devices_that_will_not_do_are_refused(tmp_path: Path, script: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BackendError, match="does not hold the original COCO network"):
        open_network(tmp_path / "other.pth", "torch")
    (tmp_path / "cut.pt").write_bytes(script.read_bytes()[:2000])
    with pytest.raises(BackendError, match=r"cut\.pt cannot be read"):
        open_network(tmp_path / "cut.pt", "torch")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(BackendError, match=r"torch reads \.pth, .*, not a\.onnx"):
        open_network(tmp_path / "a.onnx", "torch")
    for device in ("cuda:99", "abacus"):
        with pytest.raises(BackendError, match=f"torch cannot use the device '{device}'"):
            open_network(script, "torch", device=device)


def test_a_script_that_fails_is_a_backend_error_and_frees_the_request(tmp_path: Path) -> None:
    class OnlySquares(torch.nn.Module):  # type: ignore[misc]
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.matmul(pictures, pictures)

    file = traced(OnlySquares(), tmp_path / "a.pt", 1, 3, 16, 16)
    with open_network(file, "torch", input_format=InputFormat(size=(16, 16))) as backend:
        backend.run(noise(1, 16, 16, 3))
    with pytest.raises(BackendError, match="does not run on pictures"):
        open_network(file, "torch")


def test_without_torch_the_extra_is_named(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "openpose_ext\[torch\]"'):
        open_network(script)


def test_importing_the_package_leaves_torch_alone() -> None:
    import subprocess

    code = (
        "import sys, openpose_ext; openpose_ext.PoseEstimator(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_cuda_gives_the_same_maps(tmp_path: Path) -> None:
    file = original_networks.write(tmp_path / "body.pth")
    batch, maps = noise(2, 64, 72, 3), {}
    for device in ("cpu", "cuda:0"):
        with open_network(
            file, "torch", input_format=ORIGINAL_RANGE, device=device, precision="f32"
        ) as backend:
            assert backend.info.device == device
            maps[device] = backend.run(batch)["heat"]
    assert np.abs(maps["cuda:0"] - maps["cpu"]).max() <= 1e-3 * np.ptp(maps["cpu"])
