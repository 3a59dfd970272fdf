"""GPUs, as far as a machine without one can tell: what is asked of them, and what is missing."""

from __future__ import annotations

import ctypes
import gc
import importlib
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tiny_networks
from openpose_ext import infer
from openpose_ext.backends.engines import open_backend
from openpose_ext.backends.page_locked import PageLocked
from openpose_ext.backends.protocol import InputFormat
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.errors import BackendError
from openpose_ext.outputs.pictures import write_picture

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", "off")
    return tiny_networks.write(tmp_path / "tiny.onnx", {"heat": 19, "paf": 38})


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def has_gpu() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


# What is missing ----------------------------------------------------------------------------


@pytest.mark.skipif(has_gpu(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        (
            "openvino",
            "cuda:0",
            "devices of the backends onnxruntime (cuda:0, tensorrt:0) and torch",
        ),
        ("openvino", "tensorrt", "devices of the backends onnxruntime"),
        ("onnxruntime", "cuda:0", 'pip install "onnxruntime-gpu[cuda,cudnn]"'),
        ("onnxruntime", "tensorrt:0", 'pip install "onnxruntime-gpu[cuda,cudnn]" tensorrt'),
        ("auto", "cuda:0", 'pip install "onnxruntime-gpu[cuda,cudnn]"'),
        ("torch", "cuda:0", "not lite_body.onnx. On an NVIDIA GPU --backend onnxruntime runs it"),
        ("vsx", "tensorrt", "not lite_body.onnx. On an NVIDIA GPU --backend onnxruntime runs it"),
    ],
)
def test_without_a_gpu_the_command_says_what_is_missing(
    backend: str,
    device: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_picture(tmp_path / "a.png", noise(16, 16, 3))
    words = ["--body", "lite", "--backend", backend, "--device", device]
    assert infer.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *words]) == Exit.MODEL
    assert said in capsys.readouterr().err


def test_a_session_that_would_quietly_compute_on_the_cpu_is_refused(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    # What onnxruntime-gpu does where a library of CUDA is missing: it leaves the provider out.
    has = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: has)
    with (
        pytest.warns(UserWarning, match="not in available provider"),
        pytest.raises(BackendError, match="would compute on the CPU"),
    ):
        open_backend(network, "onnxruntime", device="cuda:0")


def test_convolutions_that_are_left_to_the_cpu_are_refused(network: Path) -> None:
    from openpose_ext.backends.onnxruntime import _check_place

    def part(provider: str, *kinds: str) -> Any:
        nodes = [SimpleNamespace(name="", op_type=kind) for kind in kinds]
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)

    def session(*parts: Any) -> Any:
        return SimpleNamespace(
            get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
            get_provider_graph_assignment_info=lambda: parts,
        )

    gpu = part("CUDAExecutionProvider", "Conv", "Relu")
    shapes = part("CPUExecutionProvider", "Shape", "Gather")
    _check_place(session(gpu, shapes), "CUDAExecutionProvider", "cuda:0", network)
    left = session(gpu, part("CPUExecutionProvider", "QLinearConv"))
    with pytest.raises(BackendError, match=r"would run 1 convolutions .* such as QLinearConv"):
        _check_place(left, "CUDAExecutionProvider", "cuda:0", network)


def test_sessions_note_where_their_nodes_run(network: Path) -> None:
    from openpose_ext.backends.onnxruntime import _CONVOLUTIONS, _NOTES

    options = ort.SessionOptions()
    options.add_session_config_entry(_NOTES, "1")
    session = ort.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip("this onnxruntime does not tell")
    nodes = [
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == "CPUExecutionProvider"
        for node in part.get_nodes()
    ]
    assert any(kind in _CONVOLUTIONS for kind in nodes)


def test_what_a_gpu_cannot_compute_in_is_refused(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: has)
    with pytest.raises(BackendError, match=r"not in f16 \(f16 on tensorrt\)"):
        open_backend(network, "onnxruntime", device="cuda:0", precision="f16")
    with pytest.raises(BackendError, match="not in bf16"):
        open_backend(network, "onnxruntime", device="tensorrt:0", precision="bf16")
    with pytest.raises(BackendError, match="'cuda:first' is no device of onnxruntime"):
        open_backend(network, "onnxruntime", device="cuda:first")


def test_providers_are_asked_for_exact_products_on_the_device_that_was_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from openpose_ext.backends.onnxruntime import _providers

    has = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: has)
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path))
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0", "device_id": "1"})
    assert _providers("cuda:1", "f32") == [cuda]
    (name, options), rest = _providers("tensorrt:1", "f16")
    assert (name, rest) == ("TensorrtExecutionProvider", cuda)
    assert (options["trt_fp16_enable"], options["device_id"]) == ("True", "1")
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path)
    assert _providers("cpu", "auto") == [("CPUExecutionProvider", {})]


# Memory that a GPU reads by itself ----------------------------------------------------------


class Runtime:
    """In place of CUDA's runtime library: ordinary memory, which is counted."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.full = False

    def cudaMallocHost(self, place: Any, size: ctypes.c_size_t) -> int:  # noqa: N802
        if self.full:
            return 2  # cudaErrorMemoryAllocation
        memory = ctypes.create_string_buffer(size.value)
        address = ctypes.addressof(memory)
        place._obj.value = address
        self.held[address] = memory
        return 0

    def cudaFreeHost(self, place: ctypes.c_void_p) -> int:  # noqa: N802
        del self.held[place.value or 0]
        return 0


def test_page_locked_arrays_are_given_back_with_their_last_view() -> None:
    runtime = Runtime()
    make = PageLocked(runtime).array
    array = make((2, 3, 5), np.float32)
    array[...] = np.arange(30).reshape(2, 3, 5)
    assert (array.shape, array.dtype, array.flags.writeable) == ((2, 3, 5), np.float32, True)
    view = array[1, 2]
    del array
    gc.collect()
    assert len(runtime.held) == 1
    assert np.array_equal(view, np.arange(25, 30))
    del view
    gc.collect()
    assert not runtime.held
    runtime.full = True
    with pytest.raises(OSError, match="no 4 bytes of page-locked memory: error 2"):
        make((1,), np.float32)


@pytest.fixture
def session(network: Path) -> Any:
    from openpose_ext.backends.onnxruntime import _extended

    graph = _extended(network, InputFormat())
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


def test_bound_runs_give_what_runs_give_and_keep_their_memory(session: Any) -> None:
    from openpose_ext.backends.onnx_graph import INPUT
    from openpose_ext.backends.onnxruntime import _BoundRun

    made: list[tuple[int, ...]] = []

    def array(shape: Any, kind: Any) -> np.ndarray:
        made.append(tuple(shape))
        return PageLocked(Runtime()).array(shape, kind)

    run = _BoundRun(session, array)
    for shape in [(1, 16, 24, 3)] * 3 + [(2, 32, 8, 3)] * 2 + [(1, 16, 24, 3)]:
        batch = np.random.default_rng(len(made)).integers(0, 256, shape, np.uint8)
        for _ in range(2):
            found = [output.copy() for output in run(batch)]
            expected = session.run(None, {INPUT: batch})
            for one, other in zip(found, expected, strict=True):
                assert np.array_equal(one, other)
    assert made == [
        *((1, 16, 24, 3), (1, 19, 2, 3), (1, 38, 2, 3)),
        *((2, 32, 8, 3), (2, 19, 4, 1), (2, 38, 4, 1)),
        *((1, 16, 24, 3), (1, 19, 2, 3), (1, 38, 2, 3)),
    ]


# torch ----------------------------------------------------------------------------------------


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    return importlib.import_module("torch")


@pytest.mark.parametrize(
    ("cuda", "count", "device", "said"),
    [
        (None, 0, "cuda:0", "is a build for the CPU alone. Install one with CUDA"),
        ("13.0", 0, "cuda:0", "has CUDA 13.0, but no NVIDIA GPU is found. `nvidia-smi` must list"),
        ("13.0", 2, "cuda:2", "there are 2 GPUs, cuda:0 to cuda:1"),
        (None, 0, "tensorrt:0", "devices of the backends onnxruntime (cuda:0, tensorrt:0)"),
    ],
)
@pytest.mark.torch
def test_torch_says_what_it_misses(
    cuda: str | None,
    count: int,
    device: str,
    said: str,
    torch: Any,
    monkeypatch: Any,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    (tmp_path / "a.pth").touch()
    with pytest.raises(BackendError) as refusal:
        open_backend(tmp_path / "a.pth", "torch", device=device)
    assert f"torch cannot use the device '{device}'" in str(refusal.value)
    assert said in str(refusal.value)


@pytest.fixture
def no_streams(torch: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run on a GPU asks of torch, done by the CPU; says what was waited for."""
    waited: list[str] = []
    whole = torch.empty

    class Stream:
        def __init__(self, device: Any) -> None: ...

        def synchronize(self) -> None:
            waited.append("stream")

    def empty(shape: Any, *, dtype: Any, pin_memory: bool = False) -> Any:
        assert pin_memory
        return whole(shape, dtype=dtype)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch, "empty", empty)
    return waited


@pytest.mark.torch
def test_runs_on_cuda_bring_pixels_there_and_maps_back(torch: Any, no_streams: list[str]) -> None:
    from openpose_ext.backends.torch import _OnCuda, _Prepared, _Request

    given = InputFormat(channels="RGB", mean=(1.0, 2.0, 3.0), divisor=(4.0, 5.0, 6.0))
    cpu = torch.device("cpu")
    prepared = _Prepared(given, cpu, torch.float32)
    seen: list[bool] = []

    def network(pixels: Any) -> Any:
        seen.append(torch.backends.cudnn.allow_tf32)
        return pixels[:, :, ::8, ::8], pixels.mean((2, 3))

    run, plain = _OnCuda(network, prepared, cpu), _Request(network, prepared, cpu)
    before = torch.backends.cudnn.allow_tf32
    for shape in [(1, 16, 24, 3), (1, 16, 24, 3), (2, 8, 8, 3)]:
        batch = noise(*shape)
        for one, other in zip(run.run(batch), plain.run(batch), strict=True):
            assert np.array_equal(one, other)
    assert no_streams == ["stream"] * 3
    assert seen[::2] == [False] * 3
    assert torch.backends.cudnn.allow_tf32 == before
