"""Vastai's cards, on a stand-in for their runtime that refuses what the vendor never does."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

import compiled_networks
import tiny_networks
from openpose_ext import PoseEstimator
from openpose_ext.backends.engines import ENGINES, describe, exists, open_backend
from openpose_ext.backends.protocol import Backend, InputFormat
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.infer import main as infer
from openpose_ext.models.manifest import ORIGINAL_RANGE, Manifest, read_manifest, write_manifest
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.poses import Poses

WIDTH, HEIGHT = 64, 48
CHANNELS = {"heat": 19, "paf": 38}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    started = {*threading.enumerate()} - before
    started = {thread for thread in started if thread.name != "tqdm_monitor"}
    for thread in started:
        thread.join(5)  # the stand-in's own may be on its way out
    assert not [thread.name for thread in started if thread.is_alive()]


@pytest.fixture
def prefix(vaststreamx: ModuleType, tmp_path: Path) -> Path:
    """A network of one layer, whose answers `tiny_networks` knows; heat first, fields second."""
    size = (1, HEIGHT, WIDTH)
    tiny_networks.write(
        tmp_path / "tiny.onnx", CHANNELS, size=size, output_size=(1, HEIGHT // 8, WIDTH // 8)
    )
    return compiled_networks.write(tmp_path / "mod", (WIDTH, HEIGHT), onnx="tiny.onnx")


def opened(prefix: Path, **options: Any) -> Backend:
    own = {name: options.pop(name) for name in [*options] if name in ENGINES["vsx"].options}
    size = json.loads(prefix.with_name(f"{prefix.name}.json").read_text())["input"][:0:-1]
    return open_backend(
        prefix,
        "vsx",
        input_format=replace(ORIGINAL_RANGE, size=tuple(size)),
        engine_options=own,
        **options,
    )


def noise(count: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)


def assert_answers(outputs: dict[str, np.ndarray], batch: np.ndarray) -> None:
    seen = (batch.astype(np.float64) - 128) / 256
    assert outputs.keys() == {"19", "38"}
    for name, found in outputs.items():
        expected = tiny_networks.answer(seen, int(name))
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()  # float16


# What it computes ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("device", ["0", "0,1"])
def test_any_number_of_pictures_runs_in_batches_of_one_size(
    prefix: Path, device: str, batch: int
) -> None:
    for submits in (False, True):
        with opened(prefix, device=device, batch=batch, instances=2) as backend:
            for count in (1, 2, 3, 7):
                pictures = noise(count)
                if not submits:
                    assert_answers(backend.run(pictures), pictures)
                    continue
                future = backend.submit(pictures, lambda outputs: dict(outputs))
                assert_answers(future.result(), pictures)


def test_pictures_of_several_callers_come_back_to_them(prefix: Path) -> None:
    with (
        opened(prefix, device="0,1", batch=4, instances=2) as backend,
        ThreadPoolExecutor(8) as callers,
    ):
        batches = [noise(1 + k % 3) + np.uint8(k) for k in range(40)]
        for outputs, pictures in zip(callers.map(backend.run, batches), batches, strict=True):
            assert_answers(outputs, pictures)
        futures = [backend.submit(pictures, dict) for pictures in batches]
        for future, pictures in zip(futures, batches, strict=True):
            assert_answers(future.result(), pictures)


def test_waiting_pictures_share_a_run(vaststreamx: ModuleType, tmp_path: Path) -> None:
    prefix = compiled_networks.write(tmp_path / "mod", seconds=0.05)
    with opened(prefix, batch=4) as backend:
        futures = [backend.submit(noise(1, 184, 184), len) for _ in range(9)]
        assert [future.result() for future in futures] == [2] * 9
    # The first may run alone, and the second with what is there by then.
    assert vaststreamx.batches() <= 4


def test_outputs_are_told_apart_by_their_channels(vaststreamx: ModuleType, tmp_path: Path) -> None:
    for order in (["heat", "paf"], ["paf", "heat"]):
        folder = tmp_path / order[0]
        folder.mkdir()
        outputs = {name: CHANNELS[name] for name in order}
        tiny_networks.write(folder / "a.onnx", outputs, size=(1, 48, 64), output_size=(1, 6, 8))
        prefix = compiled_networks.write(folder / "mod", (64, 48), onnx="a.onnx")
        assert read_manifest(prefix).outputs == {"38": "paf", "19": "heat"}
        with opened(prefix) as backend:
            assert_answers(backend.run(noise(2)), noise(2))


def test_outputs_that_cannot_be_told_apart_are_refused(
    vaststreamx: ModuleType, tmp_path: Path
) -> None:
    prefix = compiled_networks.write(tmp_path / "mod", outputs=[[19, 23, 23], [19, 23, 23]])
    with pytest.raises(BackendError, match="a number of channels of its own"):
        opened(prefix)


def test_the_network_says_what_it_is(prefix: Path) -> None:
    assert exists(prefix)
    assert not exists(prefix.with_name("other"))
    graph = describe(prefix, device="1")
    assert graph.input == (1, 3, HEIGHT, WIDTH)
    manifest = read_manifest(prefix)  # warns of nothing: the preprocessing says the range
    assert manifest.input == replace(ORIGINAL_RANGE, size=(WIDTH, HEIGHT))
    with opened(prefix, device="1") as backend:
        assert backend.info.engine == "vsx"
        assert backend.info.device == "1"
        assert backend.info.fixed_size == (WIDTH, HEIGHT)
        with pytest.raises(ValueError, match="takes 64 x 48 pixels only, not 48 x 64"):
            backend.run(noise(1, HEIGHT, WIDTH))


def test_a_manifest_beside_it_is_believed(prefix: Path) -> None:
    manifest = read_manifest(prefix)
    write_manifest(replace(manifest, licence="mine"), prefix)
    assert (prefix.parent / "mod.toml").is_file()
    assert read_manifest(prefix).licence == "mine"
    wrong = replace(manifest.input, size=(8, 8))
    with pytest.raises(BackendError, match=r"takes 64 x 48 pixels, but its manifest says \(8, 8\)"):
        open_backend(prefix, input_format=wrong)


# What the runtime is asked for --------------------------------------------------------------


def test_a_stream_is_built_as_the_vendor_does_and_brought_to_its_end(
    vaststreamx: ModuleType, prefix: Path
) -> None:
    with opened(prefix) as backend:
        backend.submit(noise(1), len).result()
    assert vaststreamx.log == [
        "Model",
        "load_ops_from_json_file",
        "ModelOperator",
        "Graph",
        "add_operators",
        "Stream",
        "register_operator_output",
        "build",
        "close_input",
        "wait_until_done",
    ]


def test_a_network_nobody_asked_is_closed(prefix: Path) -> None:
    backend = opened(prefix, instances=2, device="0,1")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="is closed"):
        backend.run(noise(1))


def test_closing_waits_for_whoever_has_begun(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(prefix) as backend, ThreadPoolExecutor(1) as other:
        closed: list[Future[None]] = []

        class Late(threading.Thread):
            def start(self) -> None:
                if not closed:
                    closed.append(other.submit(backend.close))
                    wait(closed, 0.2)  # long enough to do harm
                super().start()

        monkeypatch.setattr(importlib.import_module("openpose_ext.backends.vsx"), "Thread", Late)
        with pytest.raises(BackendError, match="is closed"):
            backend.run(noise(1))
        closed[0].result()


def test_a_stream_whose_thread_gets_no_card_turns_everybody_away(
    vaststreamx: ModuleType, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = vaststreamx.set_device

    def only_here(die: int) -> int:
        ours = threading.current_thread().name.startswith("openpose_ext-vsx-")
        return 4 if ours else int(select(die))

    monkeypatch.setattr(vaststreamx, "set_device", only_here)
    with opened(prefix) as backend:
        for _ in range(2):
            with pytest.raises(BackendError, match="set_device returned 4"):
                backend.run(noise(1))


# What may be wrong before anything runs -----------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("OimageWidth", 48, "64"),
        ("OimageHeight", 64, "48"),
        ("IimageWidth", 1920, "64"),
        ("IimageHeightPitch", 64, "48"),
        ("IimageFormat", "BGR888", '"RGB_PLANAR"'),
        ("Mean", [0, 0, 0], r"\[128, 128, 128\]"),
        ("Std", [255, 255, 255], r"\[256, 256, 256\]"),
        ("NormaType", "DIV255", '"MINUSMEAN_DIVSTD"'),
        ("ColorCvtCode", "NO_CHANGE", '"RGB2BGR"'),
    ],
)
def test_a_preprocessing_that_does_not_fit_is_refused_by_its_key(
    prefix: Path, key: str, value: object, needed: str
) -> None:
    file = prefix.parent / "other.json"
    file.write_text(json.dumps(compiled_networks.params(WIDTH, HEIGHT, **{key: value})))
    with pytest.raises(BackendError, match=rf"{key} is .* in {file}; the network needs {needed}"):
        opened(prefix, vdsp_params=file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must contain one operation"),
        ('{"OpType": "BERT_EMBEDDING_OP"}', "must contain one operation"),
        ('{"OpType": "SINGLE_OP_RESIZE", "OpConfig": {}}', 'OpType is "SINGLE_OP_RESIZE"'),
        (
            '{"OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR", "OpConfig": {}}',
            "IimageFormat is missing",
        ),
        (b"\xff\xfe", "is not JSON"),
    ],
)
def test_a_preprocessing_that_is_none_is_refused(
    prefix: Path, content: str | bytes, message: str
) -> None:
    file = prefix.parent / "other.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BackendError, match=message):
        opened(prefix, vdsp_params=file)


def test_the_preprocessing_has_to_be_somewhere(prefix: Path) -> None:
    (prefix.parent / "mod.vdsp_params.json").unlink()
    with pytest.raises(BackendError, match=r"there is no .*mod\.vdsp_params\.json"):
        opened(prefix)
    with pytest.raises(BackendError, match=r"none\.json cannot be read"):
        opened(prefix, vdsp_params=prefix.parent / "none.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "GPU"}, "dies are numbers"),
        ({"device": "0,,1"}, "dies are numbers"),
        ({"device": "0,0"}, "named twice"),
        ({"device": "7"}, "cannot use die 7: set_device returned 1"),
        ({"precision": "f32"}, "as mod was compiled"),
        ({"batch": 99}, "batch 99 of at most 32"),
    ],
)
def test_what_a_card_has_not_is_refused(
    prefix: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        opened(prefix, **options)


def test_a_network_that_does_not_load_is_refused(vaststreamx: ModuleType, prefix: Path) -> None:
    vaststreamx.faults.load = "checksum of mod.so is wrong"
    with pytest.raises(BackendError, match=r"vsx cannot open .*checksum of mod\.so is wrong"):
        opened(prefix)


def test_only_prefixes_run_on_a_card(prefix: Path, tmp_path: Path) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"maps": 5})
    with pytest.raises(BackendError, match=r"vsx reads networks compiled by vamc"):
        open_backend(file, "vsx")
    with pytest.raises(BackendError, match=r"is for networks compiled by vamc"):
        open_backend(file, "openvino", engine_options={"vdsp_params": file})
    with pytest.raises(ModelError, match="there is no network file"):
        open_backend(tmp_path / "none", "vsx")
    with pytest.raises(ValueError, match="batch must be a whole number"):
        opened(prefix, batch=0)


def test_without_the_runtime_it_is_said_what_it_is(tmp_path: Path) -> None:
    prefix = compiled_networks.write(tmp_path / "mod")
    said = r"^vsx needs vaststreamx: the Python runtime of Vastai's cards.*vendor's developer site"
    for backend in ("vsx", "auto"):
        with pytest.raises(BackendError, match=said):
            PoseEstimator(prefix, backend=backend)


# What may go wrong later --------------------------------------------------------------------


FAULTS: Sequence[tuple[dict[str, Any], str]] = [
    ({"raise_at": 3}, "device lost"),
    ({"lose_at": 3}, "results for"),
    ({"set_device": 3}, "set_device returned 3"),
    ({"reader": RuntimeError("reader died")}, "reader died"),
    ({"reader": SystemExit()}, "SystemExit"),
    ({"reader": ValueError()}, "the stream has ended"),
]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("fault", "message", "submits"),
    [
        (fault, message, submits)
        for fault, message in FAULTS
        for submits in (False, True)
        if submits or "reader" not in fault  # which the synchronous way does not have
    ],
)
def test_what_fails_midway_reaches_every_caller(
    vaststreamx: ModuleType,
    prefix: Path,
    fault: dict[str, Any],
    message: str,
    batch: int,
    submits: bool,
) -> None:
    with opened(prefix, batch=batch) as backend:

        def ask() -> int:
            if submits:
                return backend.submit(noise(batch), len).result()
            return len(backend.run(noise(batch)))

        assert ask() == 2
        for name, value in fault.items():
            setattr(vaststreamx.faults, name, value)
        with ThreadPoolExecutor(4) as callers:
            futures = [callers.submit(ask) for _ in range(8)]
            errors = [future.exception() for future in futures]
        failed = [error for error in errors if error is not None]
        assert len(failed) >= 7  # one run may come before the third
        for error in failed:
            assert isinstance(error, BackendError)
            assert message in str(error)
        with pytest.raises(BackendError, match=message):
            ask()


@pytest.mark.parametrize("submits", [False, True])
def test_an_answer_that_does_not_come_is_not_waited_for(
    vaststreamx: ModuleType, prefix: Path, monkeypatch: pytest.MonkeyPatch, submits: bool
) -> None:
    monkeypatch.setattr(importlib.import_module("openpose_ext.backends.vsx"), "TIMEOUT", 2.0)
    vaststreamx.faults.stuck_at = 2
    with opened(prefix) as backend:
        if submits:
            futures = [backend.submit(noise(1), len) for _ in range(6)]
            assert futures[0].result() == 2
            for future in futures[1:]:
                with pytest.raises(BackendError, match=r"no answer on die 0 within 2 s"):
                    future.result()
        else:
            backend.run(noise(1))
            for _ in range(2):
                with pytest.raises(BackendError, match=r"no answer on die 0 within 2 s"):
                    backend.run(noise(1))


def test_an_interrupted_caller_leaves_the_order_to_the_others(
    vaststreamx: ModuleType, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(prefix) as backend:
        lane = type(backend._lanes[0])  # type: ignore[attr-defined]
        wait = lane.wait

        def interrupted(*args: Any) -> Any:
            monkeypatch.setattr(lane, "wait", wait)
            raise KeyboardInterrupt

        monkeypatch.setattr(lane, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            backend.run(noise(2))
        assert_answers(backend.run(noise(3)), noise(3))


# The whole way ------------------------------------------------------------------------------

NETWORK = "human-pose-estimation-0001-fp32.onnx"


def agreement(found: Sequence[Poses], expected: Sequence[Poses]) -> tuple[float, int]:
    """Share of the keypoints that are within a pixel of each other, and how many there are."""
    near = total = 0
    for ours, theirs in zip(found, expected, strict=True):
        total += int((ours.keypoints[..., 2] > 0).sum())
        for person in theirs.keypoints:
            there = person[:, 2] > 0
            apart = np.hypot(*np.moveaxis(ours.keypoints[..., :2] - person[:, :2], -1, 0))
            hits = (apart <= 1) & there & (ours.keypoints[..., 2] > 0)
            total += int(there.sum())
            near += 2 * int(hits.sum(axis=1).max(initial=0))
    return near / max(1, total), total


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_people_are_those_of_the_default_engine(
    vaststreamx: ModuleType, shared: Path, tmp_path: Path, fit: Any
) -> None:
    size = (328, 256)
    file = tmp_path / NETWORK
    shutil.copy(shared / "weights" / NETWORK, file)
    known = read_manifest(file)
    # The same size and lift for both engines, so that only they differ.
    known = replace(known, input=replace(known.input, size=size))
    write_manifest(known, file)
    prefix = compiled_networks.write(tmp_path / "mod", size, onnx=NETWORK, undo=True)
    write_manifest(replace(read_manifest(prefix, backend="vsx"), lift=known.lift), prefix)
    folder = shared / "data" / "coco_val" / "images"
    pictures = [read_picture(picture) for picture in sorted(folder.iterdir())[:12]]
    with PoseEstimator(file, precision="f32", fit=fit) as estimator:
        expected = estimator.batch(pictures)
    card: dict[str, Any] = {"backend": "vsx", "device": "0,1", "engine_options": {"batch": 2}}
    with PoseEstimator(prefix, fit=fit, **card) as estimator:
        found = estimator.batch(pictures)
    share, count = agreement(found, expected)
    assert count >= 500
    assert share >= 0.99, f"{share:.4f} of {count} keypoints"


def hand_network(folder: Path) -> Path:
    size = (368, 368)
    tiny_networks.write(
        folder / "hand.onnx", {"heat": 22}, size=(1, *size), output_size=(1, 46, 46)
    )
    return compiled_networks.write(folder / "hand" / "mod", size, onnx="../hand.onnx")


def test_hands_go_in_batches_beside_the_body(
    vaststreamx: ModuleType, shared: Path, tmp_path: Path
) -> None:
    body = compiled_networks.write(
        tmp_path / "body" / "mod", (256, 256), onnx=str(shared / "weights" / NETWORK), undo=True
    )
    picture = read_picture(shared / "data" / "coco_val" / "images" / "000000000785.jpg")
    with PoseEstimator(body, hand=hand_network(tmp_path), engine_options={"batch": 2}) as estimator:
        people = estimator(picture)
        assert estimator.hand_info is not None
        assert estimator.hand_info.engine == "vsx"
        assert people.hands is not None
        before = vaststreamx.batches()
        estimator.hands(picture, np.array([[10.0, 10, 60, 60]] * 6), ["right"] * 6)
        assert vaststreamx.batches() - before == 3


def test_each_network_has_its_own_files_and_the_old_argument_works_for_one_release(
    vaststreamx: ModuleType, tmp_path: Path
) -> None:
    body, hand = compiled_networks.write(tmp_path / "body" / "mod"), hand_network(tmp_path)
    files = {}
    for name, prefix in (("body", body), ("hand", hand)):
        files[name] = tmp_path / f"{name}.json"
        prefix.with_name(f"{prefix.name}.vdsp_params.json").rename(files[name])
    own = {name: {"vdsp_params": str(file)} for name, file in files.items()}
    with PoseEstimator(body, hand=hand, engine_options={"batch": 2, **own}) as estimator:
        assert estimator.info.engine == "vsx"
    with pytest.raises(BackendError, match=r"there is no .*mod\.vdsp_params\.json"):
        PoseEstimator(body, hand=hand, engine_options={"body": own["body"]})
    with (
        pytest.warns(DeprecationWarning, match="engine_options="),
        PoseEstimator(body, backend="vsx", vdsp_params=files["body"]) as estimator,
    ):
        assert estimator.info.engine == "vsx"


def test_the_seeds_command_line_works(
    vaststreamx: ModuleType, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = str(shared / "weights" / NETWORK)
    body_json, hand_json = tmp_path / "body-vdsp_params.json", tmp_path / "hand-vdsp_params.json"
    body = compiled_networks.write(
        tmp_path / "body" / "mod", (256, 256), onnx=onnx, undo=True, params_file=body_json
    )
    hand = hand_network(tmp_path)
    (tmp_path / "hand" / "mod.vdsp_params.json").rename(hand_json)
    source = shared / "data" / "coco_val" / "images"
    for name in ("000000000785.jpg", "000000001000.jpg"):
        write_picture(tmp_path / "in" / name, read_picture(source / name))
    write_picture(tmp_path / "in" / "sub" / "c.png", noise(1)[0])
    (tmp_path / "in" / "notes.md").write_text("no picture")
    for words in (["--device", "0"], ["--device_id", "1", "--batch", "4"]):
        out = tmp_path / words[1]
        line = [
            "--file_path", tmp_path / "in",
            "--body_prefix_path", body, "--body_vdsp_info", body_json,
            "--hand_prefix_path", hand, "--hand_vdsp_info", hand_json,
            "--save_dir", out, *words,
        ]  # fmt: skip
        assert infer([str(word) for word in line]) == Exit.DONE
        assert "2 pictures" in capsys.readouterr().out
        for stem in ("000000000785", "000000001000"):
            drawn, plain = (cv2.imread(str(at / f"{stem}.jpg")) for at in (out, tmp_path / "in"))
            assert drawn.shape == plain.shape
            assert (drawn != plain).any()
            assert len(read_openpose(out / f"{stem}_keypoints.json")) > 0
            assert (out / f"{stem}.txt").read_text().count("body ") > 0
        assert len(list(out.iterdir())) == 6  # no subfolder, nothing but pictures


def test_the_scripts_rules_come_with_its_flags_and_ours_with_one_more(
    vaststreamx: ModuleType, shared: Path, tmp_path: Path
) -> None:
    size, onnx = (256, 256), str(shared / "weights" / NETWORK)
    body = compiled_networks.write(tmp_path / "mod", size, onnx=onnx, undo=True)
    source = shared / "data" / "media" / "COCO_val2014_000000000294.jpg"
    line = ["--file_path", source, "--body_prefix_path", body, "--write_json", tmp_path / "json"]
    for words, mode in (([], "zoo"), (["--mode", "fast"], "fast")):
        assert infer([str(word) for word in [*line, *words]]) == Exit.DONE
        found = read_openpose(tmp_path / "json" / f"{source.stem}_keypoints.json").keypoints
        with PoseEstimator(body, backend="vsx", mode=mode) as estimator:
            expected = estimator(source).keypoints
        seen = expected[..., 2] > 0.05
        assert np.abs(found - expected)[seen].max() < 0.01


@pytest.mark.parametrize(
    ("words", "threshold"),
    [([], 0.05), (["--mode", "fast"], 0.2), (["--hand_render_threshold", "0.2"], 0.2)],
)
def test_the_script_draws_every_point_of_a_hand(
    vaststreamx: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    threshold: float,
) -> None:
    drawing = importlib.import_module("openpose_ext.run.results")
    thresholds = []

    def draw(canvas: np.ndarray, poses: Poses, **options: Any) -> np.ndarray:
        thresholds.append(options["hand_threshold"])
        return canvas

    monkeypatch.setattr(drawing, "draw", draw)
    prefix = compiled_networks.write(tmp_path / "mod")
    write_picture(tmp_path / "a.png", noise(1)[0])
    line = ["--file_path", tmp_path / "a.png", "--body_prefix_path", prefix, "-o", tmp_path / "out"]
    assert infer([str(word) for word in [*line, *words]]) == Exit.DONE
    assert thresholds == [threshold]


def test_drawn_pictures_keep_the_names_of_inputs_that_share_a_stem(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.bmp"):
        write_picture(tmp_path / "in" / name, noise(1)[0])
    line = ["--file_path", tmp_path / "in", "--save_dir", tmp_path / "out"]
    assert infer([str(word) for word in line]) == Exit.DONE
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "a.jpg", "a.jpg.txt", "a.jpg_keypoints.json",
        "a.png", "a.png.txt", "a.png_keypoints.json",
        "b.bmp", "b.txt", "b_keypoints.json",
    ]  # fmt: skip
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    assert infer([str(word) for word in [*line, "--skip_existing"]]) == Exit.DONE
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}


def test_drawn_pictures_do_not_replace_the_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(1)[0])
    line = ["--file_path", str(tmp_path), "--save_dir", str(tmp_path)]
    assert infer(line) == Exit.USAGE
    assert "a.png would replace an input" in capsys.readouterr().err


def test_pictures_share_the_runs_of_a_batch(vaststreamx: ModuleType, tmp_path: Path) -> None:
    prefix = compiled_networks.write(tmp_path / "mod", seconds=0.1)
    for number in range(24):
        write_picture(tmp_path / "in" / f"{number}.png", noise(1)[0])
    words = ["--body", prefix, "--batch", 4, "-o", tmp_path / "out", tmp_path / "in"]
    assert infer([str(word) for word in words]) == Exit.DONE
    assert len(list((tmp_path / "out").glob("*.txt"))) == 24
    assert vaststreamx.batches() <= 12, "6 at best, 24 without"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "openvino"], "cannot run networks compiled for a card"),
        (["--body", "lite"], "--body_prefix_path and --body mean the same"),
        (["--device", "0", "--device_id", "1"], "--device_id and --device mean the same"),
    ],
)
def test_flags_that_contradict_the_seeds_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(["--file_path", ".", "--body_prefix_path", "mod", *words]) == Exit.USAGE
    assert message in capsys.readouterr().err


def test_a_manifest_of_another_range_is_compared_with_the_preprocessing(prefix: Path) -> None:
    manifest = read_manifest(prefix)
    own = InputFormat(size=(WIDTH, HEIGHT))  # pixels, which it normalises itself
    write_manifest(Manifest(manifest.kind, manifest.topology, manifest.outputs, own), prefix)
    with pytest.raises(BackendError, match=r'NormaType is "MINUSMEAN_DIVSTD".* needs "EQUAL"'):
        PoseEstimator(prefix)
    params = compiled_networks.params(WIDTH, HEIGHT, NormaType="EQUAL")
    (prefix.parent / "mod.vdsp_params.json").write_text(json.dumps(params))
    PoseEstimator(prefix).close()


def test_ctrl_c_gives_the_card_back(vaststreamx: ModuleType, tmp_path: Path) -> None:
    prefix = compiled_networks.write(tmp_path / "mod", seconds=0.1)
    for number in range(200):
        write_picture(tmp_path / "in" / f"{number}.png", noise(1)[0])
    out = tmp_path / "out"
    words = ["--body_prefix_path", prefix, "--file_path", tmp_path / "in", "-o", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "openpose_ext.infer", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not list(out.glob("*.txt")) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, stderr
    assert stderr.strip() == "openpose-ext: interrupted"
    assert 1 <= len(list(out.glob("*.txt"))) < 200
