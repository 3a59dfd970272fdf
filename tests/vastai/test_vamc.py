"""What `vamc compile` gets: files that fit its schemas, and say what the network was made for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import yaml

import compiled_networks
import original_networks
from openpose_ext.backends.vdsp import vdsp_params
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.export import main as export
from openpose_ext.infer import main as infer
from openpose_ext.models.manifest import ORIGINAL_RANGE, Manifest, read_manifest
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.vastai.vamc import to_yaml, vamc_config

SCHEMAS = Path(__file__).resolve().parents[2] / "vastai"


def check(kind: str, document: Any) -> None:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


def vendors_config(kind: str, side: int) -> dict[str, Any]:
    """The vendor's configuration of OpenPose's networks, its own calibration included."""
    return {
        "name": f"pytorch_openpose_{kind}_int8",
        "frontend": {
            "shape": {"input": [1, 3, side, side]},
            "type": "onnx",
            "dtype": "fp32",
            "checkpoint": f"{kind}.onnx",
        },
        "backend": {
            "type": "tvm_vacc",
            "dtype": "int8",
            "compile": {"data_transport_mode": 1, "cluster_mode": 0},
            "quantize": {"calibrate_mode": "max", "quantize_per_channel": True},
        },
        "dataset": {
            "type": "tvm",
            "path": "pictures",
            "sampler": {"suffix": "jpg", "get_data_num": 50},
            "process_ops": [
                {"type": "DecodeImage"},
                {"type": "Resize", "size": [side, side]},
                {
                    "type": "Normalize",
                    "div255": False,
                    "mean": [128, 128, 128],
                    "std": [256, 256, 256],
                },
                {"type": "ToTensor"},
            ],
        },
        "workspace": {"path": "./deploy_weights/"},
    }


SIDES = {"body": 184, "hand": 368}


def manifest(kind: str) -> Manifest:
    side = SIDES[kind]
    outputs = {"body": {"a": "paf", "b": "heat"}, "hand": {"a": "heat"}}[kind]
    topology = {"body": "coco_18", "hand": "hand_21"}[kind]
    return Manifest(kind, topology, outputs, replace(ORIGINAL_RANGE, size=(side, side)))


# What the files say -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIDES)
def test_the_vendors_values_are_ours_but_for_the_swap_of_colours(kind: str) -> None:
    vendors = vendors_config(kind, SIDES[kind])
    check("vamc", vendors)
    assert yaml.safe_load(to_yaml(vendors)) == vendors
    ours = vamc_config(
        vendors["name"],
        f"{kind}.onnx",
        "input",
        manifest(kind),
        "int8",
        calibration="pictures",
        count=50,
        suffix="jpg",
    )
    swap = ours["dataset"]["process_ops"].pop(2)
    assert swap == {"type": "CvtColor", "code": "COLOR_RGB2BGR"}
    assert ours == vendors


@pytest.mark.parametrize("kind", SIDES)
def test_the_vendors_preprocessing_is_ours(kind: str) -> None:
    vendors = compiled_networks.params(SIDES[kind], SIDES[kind])
    check("vdsp_params", vendors)
    ours = vdsp_params(manifest(kind).input)
    assert json.loads(json.dumps(ours)) == vendors
    assert json.dumps(ours["OpConfig"]["Mean"]) == "[128, 128, 128]"  # whole, as the vendor's


def _without(path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for key in way:
            document = document[key]
        del document[last]

    return change


def _with(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for key in way:
            document = document[key]
        document[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without("workspace.path"),
        _without("frontend.checkpoint"),
        _without("name"),
        _with("backend.dtype", "bf16"),
        _with("backend.quantize.calibrate_mode", "median"),
        _with("backend.quantize.alibrate_mode", "max"),
        _with("dataset.process_ops", [{"type": "Resize", "size": [184]}]),
        _with("dataset.process_ops", [{"type": "Swap"}]),
        _with("frontend.shape.input", ["1", "3", "184", "184"]),
    ],
)
def test_the_schema_refuses_broken_configurations(
    change: Callable[[dict[str, Any]], None],
) -> None:
    document = vendors_config("body", 184)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        check("vamc", document)


@pytest.mark.parametrize(
    "change",
    [
        _without("OpConfig"),
        _without("OpConfig.Mean"),
        _with("OpType", "resize"),
        _with("OpConfig.Mean", [128, 128]),
        _with("OpConfig.OimageWidth", "184"),
        _with("OpConfig.NormaType", "DIV256"),
        _with("OpConfig.Padded", 1),
    ],
)
def test_the_schema_refuses_broken_preprocessing(
    change: Callable[[dict[str, Any]], None],
) -> None:
    document = compiled_networks.params(184, 184)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        check("vdsp_params", document)


def test_yaml_holds_whatever_names_there_are() -> None:
    document: Mapping[str, Any] = {
        "no": {"on": "yes", "input:0": [1, 2.5, None, True], "日本": 'a "quote"', "": {}},
        "false": "1.0",
        "list": [{"a": 1, "b": {"c": []}}, {"d": "# none"}, ["nested", ["lists"]], 3],
    }
    assert yaml.safe_load(to_yaml(document)) == document


# What the command writes --------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    import torch

    folder = tmp_path_factory.mktemp("weights")
    # Layers as small as these lose more by waiting for each other than they win.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {kind: original_networks.write(folder / f"{kind}.pth", kind) for kind in SIDES}
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    matplotlib = pytest.importorskip("matplotlib.cbook")
    with matplotlib.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def pictures(tmp_path: Path, person: np.ndarray) -> Path:
    for k, width in enumerate((300, 360)):
        write_picture(tmp_path / "pictures" / f"{k}.jpg", cv2.resize(person, (width, 400)))
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path / "pictures"


def exported(kind: str, weights: Mapping[str, Path], out: Path, *words: object) -> int:
    line = [kind, "--weights", weights[kind], "-o", out, "--format", "vamc", *words]
    return export([str(word) for word in line])


def document(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.torch
def test_fp16_needs_no_pictures(kind: str, weights: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    out, side = tmp_path / "out", SIDES[kind]
    assert exported(kind, weights, out) == Exit.DONE
    assert sorted(os.listdir(out)) == sorted(
        [
            f"README_{kind}.md",
            f"{kind}.onnx",
            f"{kind}.onnx.toml",
            f"{kind}_fp16.yaml",
            f"{kind}_mod.toml",
            f"{kind}_vdsp_params.json",
        ]
    )
    model = onnx.load(out / f"{kind}.onnx")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [10]
    onnx.checker.check_model(model)

    config = document(out / f"{kind}_fp16.yaml")
    check("vamc", config)
    assert config["backend"]["dtype"] == "fp16"
    assert "dataset" not in config
    assert config["frontend"]["shape"] == {model.graph.input[0].name: [1, 3, side, side]}
    assert (out / config["frontend"]["checkpoint"]).is_file()
    params = json.loads((out / f"{kind}_vdsp_params.json").read_text())
    check("vdsp_params", params)
    assert params == compiled_networks.params(side, side)
    compiled = read_manifest(out / f"{kind}_mod")
    roles = {"body": {"38": "paf", "19": "heat"}, "hand": {"22": "heat"}}
    assert compiled.outputs == roles[kind]
    assert compiled.input.size == (side, side)


@pytest.mark.torch
def test_int8_calibrates_the_body_on_what_it_will_see(
    weights: dict[str, Path],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # the second replaces the first
        words = ["--size", 96, 96, "--dtype", "int8", "--calibrate", pictures]
        assert exported("body", weights, out, *words) == Exit.DONE
    assert "broken.jpg" in capsys.readouterr().err
    text = (out / "body_int8.yaml").read_text()
    config = yaml.safe_load(text)
    check("vamc", config)
    calibration = sorted((out / config["dataset"]["path"]).iterdir())
    sampler = config["dataset"]["sampler"]
    assert sampler["get_data_num"] == len(calibration) == 2
    for file in calibration:
        assert file.suffix == f".{sampler['suffix']}"
        picture = cv2.imread(str(file))
        assert picture.shape == (96, 96, 3)
        assert (picture[:, -5:] == 128).all()  # padded, as the network will see it
    ops = [op["type"] for op in config["dataset"]["process_ops"]]
    assert ops == ["DecodeImage", "Resize", "CvtColor", "Normalize", "ToTensor"]
    assert re.search(r"#.*swaps RGB to BGR", text)


@pytest.mark.torch
def test_int8_calibrates_the_hand_on_hands(
    weights: dict[str, Path], shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data" / "coco_val" / "images"
    (tmp_path / "in").mkdir()
    for name in ("000000000785.jpg", "000000001000.jpg"):
        shutil.copy(folder / name, tmp_path / "in")
    out = tmp_path / "out"
    words = ["--size", 64, 64, "--dtype", "int8", "--calibrate", tmp_path / "in"]
    assert exported("hand", weights, out, *words) == Exit.DONE
    config = document(out / "hand_int8.yaml")
    check("vamc", config)
    crops = [cv2.imread(str(file)) for file in sorted((out / "hand_calibration").iterdir())]
    assert len(crops) == config["dataset"]["sampler"]["get_data_num"] >= 4
    whole = [cv2.resize(cv2.imread(str(file)), (64, 64)) for file in (tmp_path / "in").iterdir()]
    for crop in crops:
        assert crop.shape == (64, 64, 3)
        assert all(np.abs(crop.astype(int) - picture).mean() > 10 for picture in whole)


@pytest.mark.torch
def test_pictures_without_hands_are_refused(
    weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "in" / "grey.png", np.full((64, 64, 3), 90, np.uint8))
    out = tmp_path / "out"
    words = ["--size", 64, 64, "--dtype", "int8", "--calibrate", tmp_path / "in"]
    assert exported("hand", weights, out, *words) == Exit.USAGE
    assert "no hands were found" in capsys.readouterr().err
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dtype", "int8"], "INT8 needs --calibrate DIR"),
        (["--dynamic"], "a card's network has a fixed size"),
        (["--opset", "13"], "the compiler is known to read opset 10 only"),
        (["--size", "184", "368"], "hand and face networks take squares"),
    ],
)
@pytest.mark.torch
def test_what_the_card_cannot_have_is_refused(
    weights: dict[str, Path],
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exported("hand", weights, tmp_path / "out", *words) == Exit.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.torch
def test_the_next_commands_lead_to_people(
    vaststreamx: ModuleType,
    weights: dict[str, Path],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    assert exported("body", weights, out, "--size", 96, 96) == Exit.DONE
    monkeypatch.chdir(out)
    readme = (out / "README_body.md").read_text()
    blocks = re.findall(r"```\n(.*?)```", readme, re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert [line[0] for line in lines] == ["vamc", "cp", "cp", "python", "vamp"]

    compiled = compiled_networks.compile(out / lines[0][2])
    for line in lines[1:3]:
        assert Path(line[2]).parent == compiled.parent
        shutil.copy(line[1], line[2])
    words = [str(pictures) if word == "PICTURES" else word for word in lines[3]]
    assert words[1:3] == ["-m", "openpose_ext.infer"]
    assert infer(words[3:]) == Exit.SOME_FAILED  # the broken picture
    assert len(list((out / "out").glob("*_keypoints.json"))) == 2
    assert Path(lines[4][2]) == compiled
