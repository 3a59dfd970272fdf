"""Engines: the same numbers whichever runs, at any size, on any number of threads."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tiny_networks
from openpose_ext.backends import engines
from openpose_ext.backends import openvino as openvino_backend
from openpose_ext.backends.engines import ENGINES, describe, open_backend
from openpose_ext.backends.protocol import Backend, InputFormat
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io import cache
from openpose_ext.io.cache import BlobCache, user_cache, user_folder
from openpose_ext.io.cpus import cpu_flags
from openpose_ext.models.network import BodyNetwork

pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=[name for name in ENGINES if ".onnx" in ENGINES[name].suffixes])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_networks.write(tmp_path / "tiny.onnx", {"maps": 5})


@pytest.fixture
def opened(engine: str, tiny: Path) -> Iterator[Backend]:
    with open_backend(tiny, engine, precision="f32") as backend:
        yield backend


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_any_size_runs_on_one_opened_network(opened: Backend) -> None:
    for shape in [(1, 8, 8, 3), (2, 16, 40, 3), (1, 64, 24, 3), (2, 16, 40, 3)]:
        batch = noise(*shape)
        assert_close(opened.run(batch)["maps"], tiny_networks.answer(batch, 5))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["BGR", "RGB"])
@pytest.mark.parametrize(
    ("mean", "divisor"),
    [
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ((128.0, 128.0, 128.0), (256.0, 256.0, 256.0)),
        ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),
    ],
)
def test_the_graph_converts_the_picture(
    engine: str,
    tmp_path: Path,
    layout: str,
    channels: str,
    mean: tuple[float, float, float],
    divisor: tuple[float, float, float],
) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"maps": 4}, layout=layout)
    batch = noise(2, 16, 24, 3)
    seen = batch if channels == "BGR" else batch[..., ::-1]
    expected = tiny_networks.answer((seen.astype(np.float64) - mean) / divisor, 4)
    given = InputFormat(layout, channels, mean, divisor)
    with open_backend(file, engine, input_format=given, precision="f32") as backend:
        assert_close(backend.run(batch)["maps"], expected)


def test_a_network_of_fixed_size_is_made_to_take_any(engine: str, tmp_path: Path) -> None:
    file = tiny_networks.write(
        tmp_path / "a.onnx", {"maps": 4}, size=(1, 16, 24), output_size=(1, 2, 3)
    )
    with open_backend(file, engine, precision="f32") as backend:
        assert backend.info.fixed_size is None
        batch = noise(2, 32, 8, 3)
        assert_close(backend.run(batch)["maps"], tiny_networks.answer(batch, 4))


def test_a_fixed_size_is_kept_and_its_batch_run_one_by_one(engine: str, tmp_path: Path) -> None:
    file = tiny_networks.write(
        tmp_path / "a.onnx", {"maps": 4}, size=(1, 16, 24), output_size=(1, 2, 3)
    )
    given = InputFormat(size=(24, 16))
    with open_backend(file, engine, input_format=given, precision="f32") as backend:
        assert (backend.info.fixed_size, backend.info.batch) == ((24, 16), 1)
        batch = noise(3, 16, 24, 3)
        assert_close(backend.run(batch)["maps"], tiny_networks.answer(batch, 4))
        with pytest.raises(ValueError, match="takes 24 x 16 pixels only, not 16 x 24"):
            backend.run(noise(1, 24, 16, 3))


def test_outputs_are_the_callers_own(opened: Backend) -> None:
    first, second = noise(1, 16, 16, 3), 255 - noise(1, 16, 16, 3)
    found = opened.run(first)["maps"]
    kept = found.copy()
    opened.run(second)
    assert np.array_equal(found, kept)
    found[:] = 0
    assert_close(opened.run(first)["maps"], kept)


def test_batches_of_equal_size_are_single_runs(opened: Backend) -> None:
    batch = noise(4, 24, 32, 3)
    singles = [opened.run(one[None])["maps"] for one in batch]
    assert np.array_equal(opened.run(batch)["maps"], np.concatenate(singles))


def test_odd_memory_is_taken(opened: Backend) -> None:
    batch = noise(2, 32, 32, 3)
    batch.setflags(write=False)
    for view in (batch, batch[:, ::-1], batch[::-1, :, ::2, ::-1]):
        assert_close(opened.run(view)["maps"], tiny_networks.answer(view, 5))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"\(N, H, W, 3\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), r"not \(1, 3, 8, 8\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"not \(0, 8, 8, 3\)"),
        (np.zeros((1, 8, 8, 3), np.float32), "uint8 array, not float32"),
        ([[[[1, 2, 3]]]], "uint8 array, not list"),
    ],
)
def test_what_is_no_batch_is_refused(opened: Backend, batch: object, message: str) -> None:
    for use in (opened.run, lambda b: opened.submit(b, len)):
        with pytest.raises(ValueError, match=message):
            use(batch)  # type: ignore[operator]


def test_what_fails_inside_is_a_backend_error_and_frees_the_request(
    engine: str, tmp_path: Path
) -> None:
    only_this_size = ("Add", np.zeros((1, 3, 16, 16)))
    file = tiny_networks.write(tmp_path / "a.onnx", {"maps": 5}, first=only_this_size)
    with open_backend(file, engine, precision="f32") as backend:
        with pytest.raises(BackendError, match=r"failed on a batch of \(1, 24, 24, 3\) with a\.on"):
            backend.run(noise(1, 24, 24, 3))
        batch = noise(1, 16, 16, 3)
        assert_close(backend.run(batch)["maps"], tiny_networks.answer(batch, 5))


def test_what_is_submitted_is_handed_on(opened: Backend) -> None:
    batch = noise(1, 16, 16, 3)
    future = opened.submit(batch, lambda outputs: outputs["maps"].copy())
    assert_close(future.result(20), tiny_networks.answer(batch, 5))


def test_an_error_in_what_follows_reaches_the_future_and_frees_the_request(
    opened: Backend,
) -> None:
    def fail(outputs: object) -> None:
        raise ZeroDivisionError("then")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="then"):
            opened.submit(noise(1, 8, 8, 3), fail).result(20)
    opened.run(noise(1, 8, 8, 3))


@pytest.mark.parametrize("streams", [1, 3])
def test_no_more_than_the_streams_are_in_flight(engine: str, tiny: Path, streams: int) -> None:
    inside, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def then(outputs: object) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go.wait(20)
        with lock:
            inside -= 1

    with open_backend(tiny, engine, streams=streams) as backend:
        assert backend.info.streams == streams
        held = [backend.submit(noise(1, 8, 8, 3), then) for _ in range(streams)]
        late = threading.Thread(target=lambda: held.append(backend.submit(noise(1, 8, 8, 3), then)))
        late.start()
        late.join(0.2)
        assert late.is_alive()  # waits for a request
        go.set()
        late.join(20)
        for future in held:
            future.result(20)
    assert most <= streams


def test_a_cancelled_future_gives_its_request_back(opened: Backend) -> None:
    for _ in range(20):
        future = opened.submit(noise(1, 8, 8, 3), lambda outputs: None)
        future.cancel()
        with suppress(CancelledError):
            future.result(20)
    opened.run(noise(1, 8, 8, 3))


@pytest.mark.parametrize("streams", [1, 2])
def test_many_threads_get_their_own_answers(engine: str, tiny: Path, streams: int) -> None:
    batches = [noise(1, 8 * (1 + k % 5), 8 * (1 + k % 3), 3) for k in range(60)]
    with (
        open_backend(tiny, engine, precision="f32", streams=streams) as backend,
        ThreadPoolExecutor(6) as threads,
    ):
        for batch, found in zip(batches, threads.map(backend.run, batches), strict=True):
            assert_close(found["maps"], tiny_networks.answer(batch, 5))


def test_closing_finishes_what_is_in_flight_and_refuses_the_rest(engine: str, tiny: Path) -> None:
    backend = open_backend(tiny, engine)
    started, go = threading.Event(), threading.Event()

    def then(outputs: object) -> str:
        started.set()
        go.wait(20)
        return "done"

    future = backend.submit(noise(1, 8, 8, 3), then)
    started.wait(20)
    closing = threading.Thread(target=backend.close)
    closing.start()
    go.set()
    closing.join(20)
    assert future.result(0) == "done"
    backend.close()
    for _ in range(2):
        with pytest.raises(BackendError, match=r"tiny\.onnx is closed"):
            backend.run(noise(1, 8, 8, 3))
    with pytest.raises(BackendError, match="closed"):
        backend.submit(noise(1, 8, 8, 3), len)


def test_what_was_opened_is_told(engine: str, tiny: Path) -> None:
    with open_backend(tiny, engine, precision="f32", threads=1) as backend:
        info = backend.info
    assert (info.engine, info.precision, info.threads, info.streams) == (engine, "f32", 1, 1)
    assert info.device.lower() == "cpu"
    assert info.model == tiny
    assert info.outputs["maps"][:2] == (None, 5)
    assert info.version


def test_auto_takes_the_first_that_reads_the_file(tiny: Path, tmp_path: Path) -> None:
    with open_backend(tiny) as backend:
        first = next(name for name in ENGINES if importlib.util.find_spec(name))
        assert backend.info.engine == first


def test_auto_goes_on_to_the_next_when_the_first_is_not_there(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "openvino" else True)
    with open_backend(tiny) as backend:
        assert backend.info.engine == "onnxruntime"


def test_a_missing_engine_is_named_with_what_installs_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "openpose_ext\[onnxruntime\]"'):
        open_backend(tiny, "onnxruntime")
    with pytest.raises(BackendError, match=r"(?s)no engine runs.*openvino needs.*onnxruntime need"):
        open_backend(tiny)


def test_an_engine_that_does_not_load_is_told_apart(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpose_ext.backends.onnxruntime", None)
    with pytest.raises(BackendError, match="installed but cannot be loaded"):
        open_backend(tiny, "onnxruntime")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backend": "tensorflow"}, "openvino, onnxruntime, torch, vsx, not 'tensorflow'"),
        ({"precision": "int8"}, "one of auto, f32, bf16, f16, not 'int8'"),
        ({"threads": 0}, "threads must be a whole number of at least 1"),
        ({"threads": "2"}, "threads must be a whole number"),
        ({"streams": 0}, "streams must be"),
        ({"streams": None}, "streams must be"),
        ({"engine_options": {"batch": 0}}, "batch must be a whole number of at least 1"),
        ({"engine_options": {"instances": "2"}}, "instances must be a whole number"),
        ({"engine_options": {"bach": 4}}, r"no engine has an option 'bach'; there are .*batch"),
    ],
)
def test_arguments_out_of_range_are_refused(
    tiny: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        open_backend(tiny, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "CHW"},
        {"channels": "GRB"},
        {"mean": (1.0, 2.0)},
        {"divisor": (1.0, 0.0, 1.0)},
        {"divisor": (1.0, float("nan"), 1.0)},
        {"size": (0, 8)},
        {"size": (8.5, 8)},
    ],
)
def test_input_formats_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        InputFormat(**wrong)  # type: ignore[arg-type]


def test_a_missing_file_is_a_model_error(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no network file .*none\.onnx"):
        open_backend(tmp_path / "none.onnx", engine)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07" * 500])
def test_a_file_that_is_no_network_is_refused(engine: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(content)
    for use in (open_backend, describe):
        with pytest.raises(BackendError, match=r"a\.onnx"):
            use(file, engine)


def test_a_file_cut_short_is_refused(engine: str, tiny: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:-40])
    with pytest.raises(BackendError, match=r"tiny\.onnx"):
        open_backend(tiny, engine)


def test_files_that_no_engine_reads_are_refused_with_what_they_read(tmp_path: Path) -> None:
    (tmp_path / "a.weights").write_bytes(b"weights")
    with pytest.raises(BackendError, match=r"(?s)openvino reads \.onnx, \.xml.*onnxruntime reads"):
        open_backend(tmp_path / "a.weights")


def test_unknown_devices_are_refused_with_those_there_are(engine: str, tiny: Path) -> None:
    with pytest.raises(BackendError, match=r"(?i)no device 'abacus', only .*cpu"):
        open_backend(tiny, engine, device="abacus")


def test_the_wrong_layout_is_refused(engine: str, tiny: Path) -> None:
    with pytest.raises(BackendError, match=r"tiny\.onnx"):
        open_backend(tiny, engine, input_format=InputFormat(layout="NHWC"))


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_a_precision_is_had_or_refused(engine: str, tiny: Path, precision: str) -> None:
    try:
        backend = open_backend(tiny, engine, precision=precision)
    except BackendError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert precision in refusal
        return
    batch = noise(1, 64, 64, 3)
    with backend:
        assert backend.info.precision == precision
        found, expected = backend.run(batch)["maps"], tiny_networks.answer(batch, 5)
        assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()


_AVX2 = frozenset(("sse4_1", "avx", "avx2", "fma"))
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512_vnni"}


@pytest.mark.parametrize(
    ("flags", "cap", "precision"),
    [
        (_AVX2, "", "f32"),
        (_AVX512, "", "f32"),
        (_AVX512 | {"avx512_bf16"}, "", "f32"),  # Zen 4 and Cooper Lake: the type, but no tiles
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "", "bf16"),
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "ALL", "bf16"),
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "avx512_core_amx", "bf16"),
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "AVX512_CORE_BF16", "f32"),
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "AVX512_CORE_VNNI", "f32"),
        (_AVX512 | {"avx512_bf16", "amx_tile", "amx_bf16"}, "AVX2", "f32"),
    ],
)
def test_auto_takes_bf16_only_where_tiles_multiply_it(
    flags: frozenset[str], cap: str, precision: str
) -> None:
    assert openvino_backend._auto(flags, cap) == precision


@pytest.mark.parametrize("cap", ["", "AVX2", "SSE41"])
def test_auto_is_right_and_says_what_it_chose_under_a_cap(
    cap: str, tiny: Path, tmp_path: Path
) -> None:
    batch = noise(1, 64, 64, 3)
    np.save(tmp_path / "batch.npy", batch)
    script = (
        "import sys, numpy as np\n"
        "from openpose_ext.backends.engines import open_backend\n"
        "with open_backend(sys.argv[1], 'openvino') as backend:\n"
        "    np.save(sys.argv[3], backend.run(np.load(sys.argv[2]))['maps'])\n"
        "    print(backend.info.precision)\n"
    )
    files = [os.fspath(tmp_path / name) for name in ("batch.npy", "maps.npy")]
    run = subprocess.run(
        [sys.executable, "-c", script, os.fspath(tiny), *files],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": cap, "OPENPOSE_EXT_CACHE": "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = openvino_backend._auto(cpu_flags(), cap)
    assert run.stdout.strip() == (wanted if cpu_flags() else run.stdout.strip())
    found, expected = np.load(files[1]), tiny_networks.answer(batch, 5)
    assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()


class TestDescribe:
    def test_shapes_and_names(self, engine: str, tmp_path: Path) -> None:
        file = tiny_networks.write(tmp_path / "a.onnx", {"pafs": 38, "heat": 19})
        graph = describe(file, engine)
        assert graph.input == (None, 3, None, None)
        assert {name: shape[:2] for name, shape in graph.outputs.items()} == {
            "pafs": (None, 38),
            "heat": (None, 19),
        }
        fixed = tiny_networks.write(
            tmp_path / "b.onnx", {"maps": 3}, layout="NHWC", size=(1, 16, 24), output_size=(1, 2, 3)
        )
        assert describe(fixed, engine).input == (1, 16, 24, 3)
        assert describe(fixed, engine).outputs == {"maps": (1, 3, 2, 3)}

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    @pytest.mark.parametrize("first", ["Mul", "Add", "Sub", "Div"])
    def test_constant_arithmetic_at_the_input_is_seen(
        self, engine: str, tmp_path: Path, first: str, layout: str
    ) -> None:
        file = tiny_networks.write(
            tmp_path / "a.onnx", {"maps": 3}, first=(first, 0.5), layout=layout
        )
        assert describe(file, engine).normalises
        plain = tiny_networks.write(tmp_path / "b.onnx", {"maps": 3}, layout=layout)
        assert not describe(plain, engine).normalises


class TestCompiledCache:
    def run(self, file: Path, engine: str, batch: np.ndarray) -> np.ndarray:
        with open_backend(file, engine, precision="f32") as backend:
            return backend.run(batch)["maps"]

    def test_the_second_opening_uses_what_the_first_left(
        self, engine: str, tiny: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch = noise(1, 16, 16, 3)
        first = self.run(tiny, engine, batch)
        (blob,) = (own_cache / "compiled").iterdir()
        stamp = blob.stat().st_ino

        def compile_again(*_: object) -> None:
            raise AssertionError("compiled though it is in the cache")

        adapter = sys.modules[f"openpose_ext.backends.{engine}"]
        name = "_model" if engine == "openvino" else "extended_graph"
        monkeypatch.setattr(adapter, name, compile_again)
        assert np.array_equal(self.run(tiny, engine, batch), first)
        assert blob.stat().st_ino == stamp

    def test_off_leaves_nothing(
        self, engine: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENPOSE_EXT_CACHE", "OFF")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        assert user_cache() is None
        batch = noise(1, 16, 16, 3)
        assert_close(self.run(tiny, engine, batch), tiny_networks.answer(batch, 5))
        assert not (tmp_path / "home").exists()

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
    def test_damaged_files_are_compiled_anew(
        self, engine: str, tiny: Path, own_cache: Path, damage: str
    ) -> None:
        batch = noise(1, 16, 16, 3)
        expected = self.run(tiny, engine, batch)
        (blob,) = (own_cache / "compiled").iterdir()
        whole = blob.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) * 3 // 4] ^= 1
        blob.write_bytes(
            {
                "cut": whole[: len(whole) // 2],
                "flipped": bytes(flipped),
                "empty": b"",
                "other": b"x" * len(whole),
            }[damage]
        )
        assert np.array_equal(self.run(tiny, engine, batch), expected)
        assert BlobCache(blob.parent).load(blob.stem) is not None

    def test_what_another_build_left_whole_is_compiled_anew(
        self, tiny: Path, own_cache: Path
    ) -> None:
        batch = noise(1, 16, 16, 3)
        expected = self.run(tiny, "openvino", batch)
        (blob,) = (own_cache / "compiled").iterdir()
        BlobCache(blob.parent).store(blob.stem, b"a compiled model of the future")
        assert np.array_equal(self.run(tiny, "openvino", batch), expected)

    def test_streams_read_one_copy_of_the_weights_which_lives_as_long_as_they_do(
        self, tiny: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """OpenVINO's models read the bytes that they are made of, and do not keep them alive."""
        batch = noise(1, 16, 16, 3)
        with open_backend(tiny, "openvino", precision="f32", streams=2) as backend:
            expected = backend.run(batch)["maps"]
        kept: list[weakref.ref[np.ndarray]] = []
        load = BlobCache.load

        def loaded(store: BlobCache, key: str) -> np.ndarray:
            blob = load(store, key)
            assert blob is not None
            kept.append(weakref.ref(blob))
            return blob

        monkeypatch.setattr(BlobCache, "load", loaded)
        with open_backend(tiny, "openvino", precision="f32", streams=2) as backend:
            gc.collect()
            (blob,) = kept
            assert blob() is not None
            for _ in range(2):
                assert np.array_equal(backend.run(batch)["maps"], expected)
        del backend
        gc.collect()
        assert blob() is None

    def test_another_network_under_the_same_name_is_not_mistaken(
        self, engine: str, tmp_path: Path
    ) -> None:
        file, batch = tmp_path / "a.onnx", noise(1, 16, 16, 3)
        tiny_networks.write(file, {"maps": 5})
        before = file.stat()
        self.run(file, engine, batch)
        tiny_networks.write(file, {"maps": 5}, gain=3.0)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size
        assert_close(self.run(file, engine, batch), 3 * tiny_networks.answer(batch, 5))

    def test_formats_do_not_share_a_file(self, engine: str, tiny: Path) -> None:
        batch = noise(1, 16, 16, 3)
        for mean in (0.0, 128.0):
            given = InputFormat(mean=(mean, mean, mean))
            with open_backend(tiny, engine, input_format=given, precision="f32") as backend:
                expected = tiny_networks.answer(batch.astype(np.float64) - mean, 5)
                assert_close(backend.run(batch)["maps"], expected)

    def test_a_folder_that_cannot_be_written_does_no_harm(
        self, engine: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("not a folder")
        monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path / "file" / "below"))
        batch = noise(1, 16, 16, 3)
        assert_close(self.run(tiny, engine, batch), tiny_networks.answer(batch, 5))

    def test_two_processes_may_fill_it_at_once(self, tiny: Path, own_cache: Path) -> None:
        code = (
            "from openpose_ext.backends.engines import open_backend; "
            f"open_backend({str(tiny)!r}).close()"
        )
        processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        assert [process.wait(60) for process in processes] == [0, 0]
        names = [file.name for file in (own_cache / "compiled").iterdir()]
        assert len(names) == 1
        assert names[0].endswith(".blob")

    def test_the_least_recently_used_go_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = BlobCache(tmp_path)
        store.store("probe", bytes(1000))
        monkeypatch.setattr(cache, "MOST_BYTES", 3 * (tmp_path / "probe.blob").stat().st_size)
        for age, key in enumerate(("probe", "a", "b"), start=1):
            store.store(key, bytes(1000))
            os.utime(tmp_path / f"{key}.blob", (age, age))
        assert store.load("probe") is not None  # now the most recently used
        store.store("c", bytes(1000))
        assert store.load("a") is None
        assert {file.stem for file in tmp_path.iterdir()} == {"probe", "b", "c"}

    def test_the_users_folder_is_the_systems_without_a_choice(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENPOSE_EXT_CACHE")
        assert user_folder().name == "openpose_ext"
        monkeypatch.setenv("OPENPOSE_EXT_CACHE", "~/elsewhere")
        assert user_folder() == Path.home() / "elsewhere"


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no SIGUSR1")
def test_a_signal_is_handled_after_another_thread_closed_a_network(engine: str, tiny: Path) -> None:
    code = (
        "import os, signal, threading\n"
        "import numpy as np\n"
        "from openpose_ext.backends.engines import open_backend\n"
        f"held = [open_backend({str(tiny)!r}, {engine!r})]\n"
        "held[0].run(np.zeros((1, 32, 32, 3), np.uint8))\n"
        "closing = threading.Thread(target=lambda: held.pop().close())\n"
        "closing.start()\n"
        "closing.join()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled', flush=True))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_openvino_is_whole_for_others_in_the_process(tiny: Path) -> None:
    code = (
        "from openpose_ext.backends.engines import describe\n"
        f"describe({str(tiny)!r}, 'openvino')\n"
        "import openvino, sys\n"
        "assert 'openvino.tools.ovc' not in sys.modules\n"
        f"print(openvino.convert_model({str(tiny)!r}).inputs[0].any_name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["picture"]


def test_engines_agree_on_a_real_network(shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = shared / "weights" / "human-pose-estimation-0001-fp32.onnx"
    cv2 = pytest.importorskip("cv2")
    picture = cv2.imread(str(shared / "data" / "media" / "pytorch_openpose_ski.jpg"))
    batch = cv2.resize(picture, (256, 248), interpolation=cv2.INTER_AREA)[None]
    outputs = []
    for name in ("openvino", "onnxruntime"):
        with open_backend(file, name, precision="f32") as backend:
            outputs.append(backend.run(batch))
    for name, first in outputs[0].items():
        assert np.abs(first - outputs[1][name]).max() <= 1e-4 * np.ptp(first)


def test_a_real_network_gives_batches_as_single_runs(shared: Path) -> None:
    file = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    batch = noise(3, 96, 128, 3)
    with open_backend(file, "openvino") as backend:
        together = backend.run(batch)
        for index, one in enumerate(batch):
            alone = backend.run(one[None])
            for name, output in together.items():
                assert np.array_equal(output[index], alone[name][0])


def test_streams_of_an_int8_network_give_the_maps_of_one_stream(shared: Path) -> None:
    file = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    picture = noise(1, 128, 160, 3)
    with BodyNetwork.open(file, backend="openvino", precision="f32", threads=1) as network:
        expected = network.run(picture).heat
    # One compilation in a few was right with a model that the streams shared.
    for _ in range(3):
        with BodyNetwork.open(
            file, backend="openvino", precision="f32", threads=2, streams=2
        ) as network:
            np.testing.assert_allclose(network.run(picture).heat, expected, atol=1e-5)
