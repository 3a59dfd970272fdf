"""From pictures to accuracy on a card: `datalist`, `perf` in vamp's place, `eval --npz`.

What comes out is compared with what the same network finds in the pictures themselves.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest

from openpose_ext import PoseEstimator, datalist, perf
from openpose_ext import eval as command
from openpose_ext.models.manifest import Manifest, read_manifest, write_manifest
from openpose_ext.run.coco_eval import coco_results, evaluate
from openpose_ext.types.poses import Poses

HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
EMBEDDED = Path(datalist.__file__).parent / "models" / "embedded" / "lite_body.onnx"
SIDE = 184


def of_fixed_size(network: Path, folder: Path) -> Path:
    """A copy of the network that takes squares only, as a card's does."""
    file = Path(shutil.copy(network, folder / "fixed.onnx"))
    known = read_manifest(network)
    outputs = {name: role for name, role in known.outputs.items() if role in ("heat", "paf")}
    source = type(known.input)(
        known.input.layout, known.input.channels, known.input.mean, known.input.divisor,
        (SIDE, SIDE),
    )  # fmt: skip
    write_manifest(Manifest("body", known.topology, outputs, source), file)
    return file


def done(main: Callable[[list[str]], int], *words: object) -> None:
    assert main([str(word) for word in words]) == 0


@dataclass
class Flow:
    """A folder with pictures in `images`, annotations, a network, and what was made of them."""

    folder: Path
    network: Path

    def record(self, fit: str) -> Path:
        """Make inputs and outputs in `<folder>/<fit>`; returns that folder."""
        out = self.folder / fit
        size = ("--size", SIDE, SIDE)
        done(datalist.main, "--images", self.folder / "images", *size, "--fit", fit, "-o", out)
        done(
            perf.main, "-m", self.network, "--precision", "f32", "-b", 2, "--datalist",
            out / "datalist.txt", "--path_output", out / "found",
        )  # fmt: skip
        return out

    def words(self, recorded: Path, *more: object) -> list[str]:
        words = (
            "--npz", recorded / "found", "--datalist", recorded / "datalist.txt",
            "--annotations", self.folder / "annotations.json", *more,
        )  # fmt: skip
        return [str(word) for word in words]

    def results(self, recorded: Path, *more: object) -> list[dict[str, Any]]:
        """COCO results of what was recorded."""
        file = self.folder / "results.json"
        assert command.main(self.words(recorded, "--json", file, *more)) == 0
        return json.loads(file.read_bytes())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """Three pictures, one of nobody; in each other one the best person is the truth."""
    folder = tmp_path_factory.mktemp("flow")
    images = folder / "images"
    (images / "sub").mkdir(parents=True)
    portrait = cv2.resize(cv2.imread(str(HOPPER)), (255, 301), interpolation=cv2.INTER_AREA)
    pictures = {
        "portrait.png": portrait,
        "sub/mirrored.png": np.ascontiguousarray(portrait[:, ::-1]),
        "nobody.png": np.full((160, 200, 3), 90, np.uint8),
    }
    network = of_fixed_size(EMBEDDED, folder)
    entries: dict[str, Any] = {
        "images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    with PoseEstimator(network, precision="f32") as estimator:
        for number, (name, picture) in enumerate(pictures.items(), start=1):
            cv2.imwrite(str(images / name), picture)
            height, width = picture.shape[:2]
            entries["images"].append(
                {"id": number, "file_name": name, "width": width, "height": height}
            )
            for person in coco_results(estimator(picture), number)[:1]:
                seen = sum(v > 0 for v in person["keypoints"][2::3])
                person |= {"id": number, "num_keypoints": seen, "area": 5000.0, "iscrowd": 0}
                entries["annotations"].append({"bbox": [0, 0, width, height], **person})
    assert len(entries["annotations"]) == 2
    (folder / "annotations.json").write_text(json.dumps(entries))
    return Flow(folder, network)


@pytest.fixture(scope="module")
def padded(flow: Flow) -> Path:
    return flow.record("pad")


def test_what_was_recorded_scores_as_the_network_itself(
    flow: Flow, padded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = flow.results(padded)
    table = capsys.readouterr().out.splitlines()[2:]
    file = flow.folder / "straight.json"
    done(
        command.main, "--images", flow.folder / "images", "--body", flow.network,
        "--precision", "f32", "--annotations", flow.folder / "annotations.json", "--json", file,
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines()[2:] == table
    assert recorded == json.loads(file.read_bytes())
    assert {entry["image_id"] for entry in recorded} >= {1, 2}
    assert table[1].split()[2] == "1.000", "the best person of each picture is the truth"


def test_the_lift_of_the_network_that_is_named_holds_for_what_was_recorded(
    flow: Flow, padded: Path, tmp_path: Path
) -> None:
    lifted = Path(shutil.copy(flow.network, tmp_path / "lifted.onnx"))
    write_manifest(replace(read_manifest(flow.network), lift=2.5), lifted)
    plain, lower = (
        np.array([person["keypoints"] for person in flow.results(padded, *more)]).reshape(-1, 17, 3)
        for more in ((), ("--body", lifted))
    )
    there = plain[..., 2] > 0
    assert there.any()
    np.testing.assert_allclose((lower - plain)[there], [[0, 2.5, 0]] * there.sum(), atol=0.06)


def test_whole_pictures_are_squashed_as_the_zoos_are(flow: Flow) -> None:
    """With what lies beside the list and without, as a list of the zoo's scripts."""
    recorded = flow.record("stretch")
    picture = cv2.imread(str(flow.folder / "images" / "portrait.png"))
    even = cv2.resize(picture, (254, 300), interpolation=cv2.INTER_AREA)
    with PoseEstimator(flow.network, precision="f32") as estimator:
        poses = estimator(cv2.resize(even, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    expected = poses.keypoints[0, :, :2] + 0.5
    expected = np.where(expected == 0.5, 0, expected * [255 / SIDE, 301 / SIDE] - 0.5)
    best = next(entry for entry in flow.results(recorded) if entry["image_id"] == 1)
    nose_and_left_wrist = np.reshape(best["keypoints"], (17, 3))[[0, 9], :2]
    np.testing.assert_allclose(nose_and_left_wrist, expected[[0, 7]], atol=0.06)

    before = flow.results(recorded)
    (recorded / "datalist.json").unlink()
    assert flow.results(recorded) == before


def test_options_of_the_decoder_hold_for_what_was_recorded(flow: Flow, padded: Path) -> None:
    assert flow.results(padded, "--mode", "reference") != flow.results(padded)
    limited = flow.results(padded, "--limit", 1)
    assert {entry["image_id"] for entry in limited} == {1}


def swapped(paf: np.ndarray, heat: np.ndarray) -> list[np.ndarray]:
    return [heat, paf]


def bare(paf: np.ndarray, heat: np.ndarray) -> list[np.ndarray]:
    return [paf[0], heat[0]]


def channels_last(paf: np.ndarray, heat: np.ndarray) -> list[np.ndarray]:
    return [paf.transpose(0, 2, 3, 1), heat.transpose(0, 2, 3, 1)]


def in_stages(paf: np.ndarray, heat: np.ndarray) -> list[np.ndarray]:
    return [0 * paf, 0 * heat, paf, heat]


@pytest.mark.parametrize("form", [swapped, bare, channels_last, in_stages])
def test_outputs_are_told_apart_by_their_channels(
    flow: Flow, padded: Path, tmp_path: Path, form: Callable[..., list[np.ndarray]]
) -> None:
    shutil.copytree(padded, tmp_path / "copy")
    for file in (tmp_path / "copy" / "found").iterdir():
        with np.load(file) as archive:
            by_channels = {archive[name].shape[1]: archive[name] for name in archive.files}
        arrays = form(by_channels[38], by_channels[19])
        np.savez(file, **{f"output_{k}": array for k, array in enumerate(arrays)})
    assert flow.results(tmp_path / "copy") == flow.results(padded)


def test_float16_as_a_card_gives_it_finds_the_same_people(
    flow: Flow, padded: Path, tmp_path: Path
) -> None:
    shutil.copytree(padded, tmp_path / "copy")
    for file in (tmp_path / "copy" / "found").iterdir():
        with np.load(file) as archive:
            arrays = {name: archive[name].astype(np.float16) for name in archive.files}
        np.savez(file, **arrays)
    found, expected = flow.results(tmp_path / "copy"), flow.results(padded)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours["keypoints"], theirs["keypoints"], atol=0.5)


MAPS = {"output_0": np.zeros((1, 38, 23, 23)), "output_1": np.zeros((1, 19, 23, 23))}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"output_0": np.zeros((1, 22, 23, 23))}, "the outputs of a hand network"),
        ({"output_0": np.zeros((1, 5, 23, 23))}, "expected a picture in and 38 + 19"),
        ({"output_0": np.zeros((1, 57, 23, 23))}, "nothing tells which come first"),
        ({name: maps[:, :, :20] for name, maps in MAPS.items()}, "maps of 23 x 20 cells do not"),
        ({name: np.repeat(maps, 2, 0) for name, maps in MAPS.items()}, "begin with 1, not"),
        ({"found": np.zeros(3)}, "is not an npz with output_0"),
    ],
)
def test_outputs_of_anything_else_are_named_and_not_scored(
    flow: Flow,
    padded: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arrays: dict[str, np.ndarray],
    reason: str,
) -> None:
    shutil.copytree(padded, tmp_path / "copy")
    file = tmp_path / "copy" / "found" / "output_000001.npz"
    np.savez(file, **arrays)  # type: ignore[arg-type]
    assert command.main(flow.words(tmp_path / "copy")) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"openpose-ext: {file}")
    assert reason in said.err
    assert said.err.endswith("it is not scored\n")
    assert "\n2 pictures, " in said.out


def test_what_does_not_belong_together_is_refused(
    flow: Flow, padded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(recorded: Path, *more: object) -> str:
        assert command.main(flow.words(recorded, *more)) == 2
        return capsys.readouterr().err

    assert "--height cannot be used with --npz" in refused(padded, "--height", 256)
    assert "--images cannot be used with --npz" in refused(padded, "--images", "x")
    assert "--mirror cannot be used with --npz" in refused(padded, "--mirror")
    assert "found is not a folder" in refused(tmp_path)
    assert command.main(flow.words(padded)[2:]) == 2
    assert "--npz DIR, --datalist FILE and --annotations FILE" in capsys.readouterr().err

    copy = Path(shutil.copytree(padded, tmp_path / "copy"))
    os.rename(copy / "found" / "output_000002.npz", copy / "found" / "output_000002")
    assert "holds outputs of 2 inputs, but" in refused(copy)
    (copy / "datalist.txt").unlink()
    assert "datalist.txt: No such file" in refused(copy)

    # A list of the zoo's scripts names whole pictures: these are of the network's size.
    shutil.rmtree(copy)
    shutil.copytree(padded, copy)
    (copy / "datalist.json").unlink()
    assert "portrait.png is 184 x 184, but it was annotated at 255 x 301" in refused(copy)


def test_a_name_that_may_be_two_pictures_is_refused(
    flow: Flow, padded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(padded, tmp_path / "copy"))
    (copy / "datalist.json").unlink()
    entries = json.loads((flow.folder / "annotations.json").read_bytes())
    entries["images"].append({"id": 9, "file_name": "other/portrait.jpg"})
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    words = flow.words(copy)[:-1]
    assert command.main([*words, str(tmp_path / "annotations.json")]) == 2
    assert "portrait may be portrait.png or other/portrait.jpg" in capsys.readouterr().err


def test_real_pictures_have_the_ap_that_the_network_has_itself(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    data = shared / "data" / "coco_val"
    (tmp_path / "images").symlink_to(data / "images")
    shutil.copy(data / "person_keypoints.json", tmp_path / "annotations.json")
    real = Flow(tmp_path, of_fixed_size(weights, tmp_path))
    recorded = real.results(real.record("pad"))
    table = capsys.readouterr().out.splitlines()[-2:]

    truth = command.Annotations.read(tmp_path / "annotations.json")
    with PoseEstimator(real.network, precision="f32") as estimator:
        found: list[tuple[Poses, int]] = [
            (estimator(data / "images" / entry["file_name"]), entry["id"])
            for entry in truth.pictures
        ]
    expected = [entry for poses, k in found for entry in coco_results(poses, k)]
    assert recorded == expected
    ap = evaluate(expected, truth).ap
    assert table[0].split()[2] == f"{ap:.3f}"
    assert ap > 0.1
