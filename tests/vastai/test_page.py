"""The page of VastModelZoo's OpenPose, step by step: from the public weights to AP.

The networks are thin ones of random weights in the original files' form, the compiler and the card
are stand-ins. Whatever else the page uses is used as it stands there, its slips included.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import cv2
import jsonschema
import numpy as np
import pytest
import yaml

import compiled_networks
import original_networks
import zoo_script
from openpose_ext import datalist, eval, export, infer, perf
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.io.vamp_files import output_file
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.sources.pictures import read_picture

SCHEMAS = Path(__file__).resolve().parents[2] / "vastai"
SIDES = {"body": 184, "hand": 368}
FP16 = "deploy_weights/pytorch_openpose_{}_fp16/mod"
INT8 = "deploy_weights/pytorch_openpose_{}_int8/mod"

# The script's command line: every flag that it has.
SCRIPT = f"""
    --file_path pictures --save_dir {{out}} --batch {{batch}} {{device}}
    --body_prefix_path {INT8.format("body")} --body_vdsp_info body_vdsp_params.json
    --hand_prefix_path {FP16.format("hand")} --hand_vdsp_info hand_vdsp_params.json
"""
# The page's two lines of vamp, the word `p 2` without its dash.
VAMP = "-m {} --vdsp_params {}_vdsp_params.json -i 2 p 2 -b 1 -s [3,184,184]"


def schema_of(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def done(command: ModuleType, line: str) -> None:
    assert command.main(shlex.split(line)) == Exit.DONE, line


@pytest.fixture
def card(vaststreamx: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A folder with weights and pictures, made the current one."""
    monkeypatch.chdir(tmp_path)
    matplotlib = pytest.importorskip("matplotlib.cbook")
    with matplotlib.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        person = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    for name, size in (("a.jpg", (200, 240)), ("b.png", (300, 180))):
        write_picture(tmp_path / "pictures" / name, cv2.resize(person, size))
    return vaststreamx


def annotate(names: list[str]) -> None:
    """Annotations in COCO's form: in each picture a person of one visible part."""
    images, annotations = [], []
    for number, name in enumerate(names, 1):
        height, width = read_picture(Path("pictures", name)).shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        annotations.append(
            {
                "id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 20000,
                "bbox": [0, 0, 100, 150], "num_keypoints": 1,
                "keypoints": [50, 50, 2] + [0, 0, 0] * 16,
            }
        )  # fmt: skip
    categories = [{"id": 1, "name": "person"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    Path("annotations.json").write_text(json.dumps(document))


@pytest.mark.torch
def test_every_step_of_the_page(
    card: ModuleType, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The weights, and their export. int8 for the body, as in the page's yaml; fp16 for both, as in
    # its lines of vamp.
    for kind in SIDES:
        original_networks.write(Path(f"{kind}_pose_model.pth"), kind)
        done(export, f"{kind} --weights {kind}_pose_model.pth -o . --format vamc")
    done(
        export,
        "body --weights body_pose_model.pth -o . --format vamc --dtype int8 --calibrate pictures",
    )

    # The compiler's configuration and the preprocessing are of the vendor's form and compile.
    for name in ("body_int8", "body_fp16", "hand_fp16"):
        kind = name.partition("_")[0]
        config = yaml.safe_load(Path(f"{name}.yaml").read_text())
        schema_of("vamc").validate(config)
        params = json.loads(Path(f"{kind}_vdsp_params.json").read_text())
        schema_of("vdsp_params").validate(params)
        assert params == compiled_networks.params(SIDES[kind], SIDES[kind])
        prefix = compiled_networks.compile(Path(f"{name}.yaml"))
        assert prefix == Path(f"deploy_weights/pytorch_openpose_{name}/mod")

    # The script: its people and hands to the pixel, and the drawn picture under the same name.
    for number, device in enumerate(("--device 0", "--device_id 1")):
        out = Path(f"out{number}")
        done(infer, SCRIPT.format(out=out, batch=1 + number, device=device))
        names = sorted(file.name for file in out.iterdir())
        assert names == [
            "a.jpg", "a.txt", "a_keypoints.json", "b.png", "b.txt", "b_keypoints.json",
        ]  # fmt: skip
        assert read_picture(out / "a.jpg").shape == read_picture(Path("pictures/a.jpg")).shape
    assert_the_scripts_people(card, Path("out0"), ["a.jpg", "b.png"])

    # vamp, as the page has it.
    capsys.readouterr()
    done(perf, VAMP.format(FP16.format("body"), "body") + " --iterations 8")
    report = capsys.readouterr()
    assert "p 2 is ignored; did you mean -p 2?" in report.err
    assert "number of instances in each device: 2" in report.out
    assert re.search(r"throughput \(qps\): [\d.]+", report.out)
    line = VAMP.format(FP16.format("hand"), "hand") + " --iterations 8"
    assert perf.main(shlex.split(line)) == Exit.USAGE  # the page's mistake
    assert "takes pictures of 368 x 368 only, not of 184 x 184: give -s [3,368,368]" in (
        capsys.readouterr().err
    )
    done(perf, line.replace("184", "368"))

    # The accuracy: inputs, vamp on them, AP.
    annotate(["a.jpg", "b.png"])
    done(datalist, "--images pictures --size 184 184 --fit stretch -o data")
    done(
        perf,
        f"-m {INT8.format('body')} --vdsp_params body_vdsp_params.json "
        "--datalist data/datalist.txt --path_output found",
    )
    capsys.readouterr()
    done(
        eval,
        "--npz found --datalist data/datalist.txt --annotations annotations.json --mode reference",
    )
    assert re.search(r"all parts +[\d.-]+", capsys.readouterr().out)


def assert_the_scripts_people(vsx: ModuleType, out: Path, names: list[str]) -> int:
    """Compare what was written with what the script finds; returns how many people that are."""
    vsx.refusals.discard("contiguous arrays")
    body, hand = (
        zoo_script.Network(vsx, Path(prefix), Path(f"{kind}_vdsp_params.json"))
        for kind, prefix in (("body", INT8.format("body")), ("hand", FP16.format("hand")))
    )
    count = 0
    for name in names:
        picture = read_picture(Path("pictures", name))
        people = zoo_script.people(body, picture)
        hands = zoo_script.hands(hand, people, picture)
        found = read_openpose(out / f"{Path(name).stem}_keypoints.json")
        ours = [found.keypoints, found.hands if found.hands is not None else hands[:0]]
        for points, expected in zip(ours, (people, hands), strict=True):
            whole, sought = (
                sorted(one[..., :2].ravel().tolist() for one in some) for some in (points, expected)
            )
            assert whole == sought
        count += len(people)
    return count


@pytest.fixture
def real(card: ModuleType, shared: Path) -> ModuleType:
    """Networks that find people and hands, and pictures with both."""
    from openpose_ext.models import embedded

    hand = Path(next(iter(embedded.__path__))) / "lite_hand.onnx"
    body = shared / "weights" / "human-pose-estimation-0001-fp32.onnx"
    for prefix, onnx, side in ((INT8.format("body"), body, 184), (FP16.format("hand"), hand, 208)):
        compiled_networks.write(
            Path(prefix),
            (side, side),
            onnx=str(onnx),
            undo=True,
            params_file=Path(f"{Path(prefix).parent.name.split('_')[2]}_vdsp_params.json"),
        )
    for number in (294, 192, 241, 328, 474):
        name = f"COCO_val2014_{number:012}.jpg"
        write_picture(Path("pictures", name), read_picture(shared / "data" / "media" / name))
    return card


@pytest.mark.parametrize("mode", ["zoo", "fast"])
def test_two_dies_and_batches_of_four_find_the_same_people(real: ModuleType, mode: str) -> None:
    lines = {"one": ("1", "--device_id 0"), "many": ("4", "--device_id 0,1")}
    for out, (batch, device) in lines.items():
        done(infer, SCRIPT.format(out=out, batch=batch, device=device) + f" --mode {mode}")
    files = sorted(Path("one").glob("*.json"))
    assert len(files) == 7
    for file in files:
        assert file.read_bytes() == Path("many", file.name).read_bytes()
    if mode == "zoo":
        names = ["COCO_val2014_000000000294.jpg", "COCO_val2014_000000000474.jpg"]
        assert assert_the_scripts_people(real, Path("one"), names) == 2
    found = [read_openpose(file) for file in files]
    assert sum(map(len, found)) >= 10
    assert sum((one.hands[..., 2].any(axis=2)).sum() for one in found if one.hands is not None) >= 5


@pytest.mark.parametrize(("kind", "prefix"), [("body", INT8), ("hand", FP16)])
def test_vamp_on_two_dies_in_batches_of_four_gives_the_same_maps(
    real: ModuleType, kind: str, prefix: str
) -> None:
    side = {"body": 184, "hand": 208}[kind]
    done(datalist, f"--images pictures --size {side} {side} -o data")
    line = f"-m {prefix.format(kind)} --vdsp_params {kind}_vdsp_params.json --kind {kind} "
    line += "--datalist data/datalist.txt"
    done(perf, f"{line} --path_output one -b 1 -d 0")
    done(perf, f"{line} --path_output many -b 4 -i 2 -d [0,1]")
    for number in range(7):
        one, many = (np.load(output_file(Path(out), number)) for out in ("one", "many"))
        assert sorted(one.files) == sorted(many.files)
        for name in one.files:
            assert np.array_equal(one[name], many[name])
