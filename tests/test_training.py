"""The recipe of the embedded networks, in small: it learns, goes on, and exports what it learnt."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

# The exporter that is used is torch's older one, which says so.
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RECIPE = Path(__file__).parents[1] / "training"
SHAPE = {
    "at2": 8, "at4": 12, "at8": 16, "at16": 24,
    "blocks16": 1, "refinement": 1, "maps": 57, "background": 18,
}  # fmt: skip
STEPS = 150
POINTS_STEPS = 500


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the recipe, which are no package."""
    monkeypatch.syspath_prepend(str(RECIPE))
    import train

    yield train
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(RECIPE)):
            del sys.modules[name]


NOSE, WRIST = 0, 4


def square(name: str, x: int, y: int) -> Any:
    """A picture with a bright square, whose middle is somebody's nose."""
    from known import THERE, Known, person

    picture = np.zeros((160, 160, 3), np.uint8)
    picture[y - 16 : y + 17, x - 16 : x + 17] = 255
    points = np.zeros((18, 3))
    points[NOSE] = x, y, THERE
    people = (person(points, (x - 16, y - 16, 33, 33)),)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    return Known(name, jpeg, people, np.zeros((0, 4), np.float32), labelled=True)


def write_squares(file: Path, count: int) -> None:
    """A pack of pictures with a square each."""
    from known import write_pack

    rng = np.random.default_rng(count)
    places = rng.integers(40, 120, (count, 2))
    write_pack(file, (square(f"square_{k}.jpg", *place) for k, place in enumerate(places)))


def training(recipe: Any, folder: Path, out: Path) -> Any:
    from datasets import BodyData
    from networks import Shape

    task = replace(recipe.TASKS["body"], shape=Shape(**SHAPE), batch=4, sides=(128, 128))
    out.mkdir(exist_ok=True)
    data, held_out = (BodyData(folder, held_out=kept) for kept in (False, True))
    return recipe.Training(task, data, held_out, out, seed=1)


def test_the_loss_falls_from_scratch_and_on_from_a_checkpoint_and_an_exported_file(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import export
    import torch

    write_squares(tmp_path / "squares.zip", 40)
    first = training(recipe, tmp_path, tmp_path / "first")
    first.begin(None)
    untrained, _ = first.validate()
    losses = first.run(STEPS, every=10, compiled=False)
    trained, height = first.validate()
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert trained < 0.7 * untrained

    resumed = training(recipe, tmp_path, tmp_path / "first")
    resumed.begin(None)
    resumed.resume()
    assert resumed.validate() == (trained, height)
    assert len(resumed.run(2 * STEPS, every=10, compiled=False)) == STEPS
    better, _ = resumed.validate()
    assert better < trained

    monkeypatch.setitem(export.SHAPES, "body", first.task.shape)
    weights = torch.load(tmp_path / "first" / "ema.pt")
    exported = export.export("body", weights, tmp_path)[1]
    again = training(recipe, tmp_path, tmp_path / "again")
    again.begin(exported)
    assert again.validate()[0] == pytest.approx(better, rel=0.1)
    again.run(STEPS, every=10, compiled=False)
    assert again.validate()[0] < better


def test_a_wider_network_begins_as_the_one_it_was_made_from(recipe: Any) -> None:
    import torch
    from networks import Maps, Shape, fitted

    torch.manual_seed(0)
    small = Maps(Shape(**SHAPE))
    wide = Maps(Shape(**{**SHAPE, "at4": 16, "at8": 24, "refinement": 2}))
    with torch.no_grad():
        small.head2.weight.normal_()
    wide.load_state_dict(fitted(small.state_dict(), wide))
    pictures = torch.rand(1, 3, 64, 72) * 255
    with torch.no_grad():
        expected, found = (net.eval()(pictures) for net in (small, wide))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_pack_returns_what_was_written(recipe: Any, tmp_path: Path) -> None:
    from known import read_pack, write_pack

    written = replace(square("a.jpg", 50, 70), unknown=np.array([(1, 2, 30, 40)], np.float32))
    write_pack(tmp_path / "pack.zip", [written, square("b.jpg", 60, 60)])
    first, second = read_pack(tmp_path / "pack.zip")
    assert (first.name, second.name) == ("a.jpg", "b.jpg")
    np.testing.assert_array_equal(first.image, written.image)
    np.testing.assert_array_equal(first.people[0].points, written.people[0].points)
    np.testing.assert_array_equal(first.unknown, written.unknown)


def test_a_name_alone_decides_whether_a_picture_is_held_out(recipe: Any, tmp_path: Path) -> None:
    from datasets import BodyData
    from known import held_out

    write_squares(tmp_path / "few.zip", 20)
    few = {known.name for known in BodyData(tmp_path, held_out=True)._people}
    write_squares(tmp_path / "more.zip", 60)
    more = {known.name for known in BodyData(tmp_path / "more.zip", held_out=True)._people}
    assert few
    assert few < more
    assert all(map(held_out, more))
    trained = {known.name for known in BodyData(tmp_path / "more.zip", held_out=False)._people}
    assert not trained & more
    assert len(trained | more) == 60


def test_packs_that_come_while_the_training_goes_on_are_read(recipe: Any, tmp_path: Path) -> None:
    from datasets import BodyData

    write_squares(tmp_path / "first.zip", 20)
    data = BodyData(tmp_path, held_out=False)
    before = len(data)
    write_squares(tmp_path / "second.zip", 40)
    assert data.order(np.random.default_rng(0)).max() < len(data)
    assert len(data) > before


def test_a_picture_that_cannot_be_read_ends_the_training(recipe: Any, tmp_path: Path) -> None:
    write_squares(tmp_path / "squares.zip", 20)
    started = training(recipe, tmp_path, tmp_path / "out")
    started.data._people = [replace(known, jpeg=b"") for known in started.data._people]
    with pytest.raises(cv2.error):
        next(started.batches())


def test_people_are_drawn_where_their_points_are(recipe: Any) -> None:
    """Decoded by the package, drawn maps give the points back."""
    from known import THERE, person
    from targets import draw

    from openpose_ext.stages.decode import decode_body

    rng = np.random.default_rng(0)
    stick = np.array(
        [
            (60, 20), (60, 40), (45, 40), (38, 65), (35, 90), (75, 40), (82, 65), (85, 90),
            (50, 95), (48, 130), (47, 165), (70, 95), (72, 130), (73, 165), (56, 15), (64, 15),
            (50, 18), (70, 18),
        ]
    )  # fmt: skip
    for _ in range(5):
        shift = rng.uniform(5, 120, 2)
        points = np.column_stack([stick * 1.2 + shift, np.full(18, THERE)])
        low, high = points.min(axis=0), points.max(axis=0)
        maps = draw([person(points, (*low[:2], *(high - low)[:2]))], [], 40)
        assert np.isfinite(maps).all()
        (found,) = decode_body(maps[:19], maps[19:]).keypoints
        np.testing.assert_allclose(found[:, :2], points[:, :2], atol=1.5)
        np.testing.assert_allclose(maps[18], 1 - maps[:18].max(axis=0))


def test_a_mirrored_canvas_has_the_maps_of_mirrored_people(recipe: Any) -> None:
    from known import THERE, person
    from layout import mirrored
    from targets import draw

    from openpose_ext.types.topology import COCO_18

    points = np.column_stack(
        [np.random.default_rng(1).uniform(20, 300, (18, 2)), np.full(18, THERE)]
    )
    turned = points[list(COCO_18.mirror)] * (-1, 1, 1) + (319, 0, 0)
    maps, expected = (draw([person(p, (0, 0, 320, 320))], [], 40) for p in (points, turned))
    np.testing.assert_allclose(mirrored(maps), expected, atol=1e-4)


def test_nothing_is_learnt_where_nothing_is_known(recipe: Any) -> None:
    """An unknown place blanks all maps, an unknown part its own; what is drawn stays."""
    import torch
    from known import THERE, UNKNOWN, person
    from targets import draw

    points = np.zeros((18, 3))
    points[NOSE] = 100, 100, THERE
    points[WRIST, 2] = UNKNOWN
    place = np.array(((200, 200), (280, 200), (280, 280), (200, 280)), np.float32)
    maps = draw([person(points, (80, 80, 40, 40))], [place], 40)
    assert np.isnan(maps[:, 28, 28]).all()
    assert np.isnan(maps[WRIST, 12, 12])
    assert np.isfinite(maps[WRIST, 36, 4])
    assert maps[NOSE, 12, 12] > 0.9
    assert np.isfinite(maps[NOSE]).sum() == 40 * 40 - 11 * 11

    target = torch.from_numpy(maps)[None]
    found = torch.nan_to_num(target, nan=5.0).requires_grad_()
    total = recipe.TASKS["body"].stage_loss(found, target, 3.0)
    total.backward()
    assert total == 0
    assert torch.isfinite(found.grad).all()


def test_labels_that_are_missing_are_unknown(recipe: Any, tmp_path: Path) -> None:
    """People without points and crowds make a place unknown, a head never labelled its parts."""
    from body_data import annotated
    from known import ABSENT, THERE, UNKNOWN

    keypoints = np.zeros((17, 3))
    keypoints[5:7] = (40, 50, 2), (60, 50, 1)
    image = {"id": 1, "file_name": "one.jpg", "head_labelled": False, "verified": True}
    labelled = {"image_id": 1, "keypoints": keypoints.ravel().tolist(), "bbox": [30, 20, 40, 60]}
    labelled["teacher_head"] = [(50, 30, 0.8), *[(0, 0, 0.1)] * 4]
    crowd = {"image_id": 1, "keypoints": [0] * 51, "bbox": [100, 0, 20, 30], "iscrowd": 1}
    swapped = {"id": 2, "file_name": "two.jpg", "verified": False}
    content = {"images": [image, swapped], "annotations": [labelled, crowd]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    (tmp_path / "one.jpg").write_bytes(square("one.jpg", 50, 50).jpeg)
    (known,) = annotated(tmp_path, tmp_path / "labels.json")
    np.testing.assert_array_equal(known.unknown, [(100, 0, 20, 30)])
    points = known.people[0].points
    np.testing.assert_array_equal(points[1], (50, 50, THERE))  # the neck
    np.testing.assert_array_equal(points[NOSE], (50, 30, THERE))
    assert points[14, 2] == points[9, 2] == UNKNOWN
    assert ABSENT not in points[:, 2]


def test_the_teacher_looks_at_what_is_not_labelled_also_beside_labelled_pictures(
    recipe: Any, tmp_path: Path
) -> None:
    from body_data import measured, unlabelled

    kept_out = min(measured())
    for name in ("one.jpg", "two.jpg", "wrong.jpg", kept_out):
        (tmp_path / name).touch()
    images = [{"file_name": "one.jpg"}, {"file_name": "wrong.jpg", "verified": False}]
    (tmp_path / "labels.json").write_text(json.dumps({"images": images, "annotations": []}))
    assert unlabelled([tmp_path], tmp_path / "labels.json") == [tmp_path / "two.jpg"]
    names = [file.name for file in unlabelled([tmp_path], None)]
    assert sorted(names) == ["one.jpg", "two.jpg", "wrong.jpg"]


FEET = 60  # squares, and as many without


def write_feet(folder: Path) -> None:
    """Squares of feet: a red heel and a green toe, of right feet and left ones."""
    from region_data import Found, Seen, write

    from openpose_ext.stages.box import Box

    rng = np.random.default_rng(0)
    found, colours = Found(), ((0, 0, 255), (0, 255, 0))
    for k in range(2 * FEET):
        picture = np.full((64, 64, 3), 40, np.uint8)
        points, right = None, k % 3 > 0
        if k < FEET:
            heel = rng.uniform(26, 38, 2)
            points = np.array([heel, heel + np.array((12 if right else -12, 8))])
            for (x, y), colour in zip(points.round().astype(int), colours, strict=True):
                cv2.circle(picture, (int(x), int(y)), 5, colour, -1)
        name = f"foot_{k}.jpg"
        found.seen.append((name, Seen(points, Box((31.5, 31.5), 56.0), right)))
        found.jpegs[name] = cv2.imencode(".jpg", picture)[1].tobytes()
    folder.mkdir()
    write(found, "foot", folder)


def points_training(recipe: Any, folder: Path, out: Path) -> Any:
    from datasets import RegionData
    from networks import PointsShape

    shape = PointsShape(8, 8, 16, 16, blocks=(0, 0, 1), flat=16, points=2, side=32)
    task = replace(recipe.TASKS["foot"], shape=shape, batch=16)
    out.mkdir(exist_ok=True)
    data, held_out = (RegionData(folder, "foot", held_out=kept) for kept in (False, True))
    return recipe.Training(task, data, held_out, out, seed=1)


def test_points_are_learnt_exported_and_quantised(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heels and toes end within a tenth of the square; squares without a foot are told apart."""
    import export
    import int8
    import torch

    from openpose_ext.models.convert.quantise import quantise
    from openpose_ext.models.manifest import read_manifest
    from openpose_ext.models.network import FootNetwork

    write_feet(tmp_path / "feet")
    trained = points_training(recipe, tmp_path, tmp_path / "run")
    trained.begin(None)
    trained.run(POINTS_STEPS, every=10, compiled=False)
    apart, seen = trained.validate()
    assert apart < 10
    assert seen > 0.8

    monkeypatch.setitem(export.SHAPES, "foot", trained.task.shape)
    whole, _ = export.export("foot", torch.load(tmp_path / "run" / "ema.pt"), tmp_path)
    manifest = read_manifest(whole)
    small = tmp_path / "int8.onnx"
    batches = int8.regions(tmp_path, manifest)
    quantise(whole, small, batches, manifest.input, float_layers=())
    export.write_manifest(manifest, small)
    pictures, targets = trained.data.batch(np.arange(-8, 24), np.random.default_rng(1), 32)
    batch = pictures.round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    there = np.isfinite(targets.numpy()).all(axis=(1, 2))
    for file in (whole, small):
        with FootNetwork.open(file, precision="f32", threads=1) as network:
            answer = network.run(batch)
        off = (answer.points + 0.5) / 32 - 0.5 - targets.numpy()
        assert np.linalg.norm(off[there], axis=-1).mean() < 0.1
        assert ((answer.presence > 0.5) == there).mean() > 0.8


def test_left_feet_are_learnt_as_right_ones(recipe: Any, tmp_path: Path) -> None:
    from datasets import RegionData

    write_feet(tmp_path / "feet")
    data = RegionData(tmp_path, "foot", held_out=False)
    _, targets = data.batch(np.arange(len(data)), np.random.default_rng(0), 64)
    heels, toes = targets.numpy().transpose(1, 0, 2)
    assert (toes[:, 0] > heels[:, 0]).mean() > 0.95


def test_a_mirrored_face_has_its_points_in_order(recipe: Any) -> None:
    """Of a face mirrored in a picture, each point goes to its own place on the other side."""
    from layout import FACE_MIRROR

    from openpose_ext.types.topology import FACE_70

    order = np.array(FACE_MIRROR)
    np.testing.assert_array_equal(order[order], np.arange(71))
    assert (*order[:68], 69, 68) == FACE_70.mirror


def test_the_mean_of_a_network_with_itself_is_itself_and_lower_maps_are_lower(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import export
    import mean
    import onnx
    import onnxruntime as ort
    import torch
    from networks import Maps, Shape

    torch.manual_seed(0)
    net = Maps(Shape(**SHAPE))
    torch.nn.init.normal_(net.head2.weight)
    monkeypatch.setitem(export.SHAPES, "body", net.shape)
    _, half = export.export("body", net.state_dict(), tmp_path)
    pictures = {"data": np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 64)).astype("f4")}

    def maps(model: Any) -> Any:
        return ort.InferenceSession(model.SerializeToString()).run(["heatmaps", "pafs"], pictures)

    heat, paf = maps(onnx.load(half))
    same = mean.mean([half, half])
    np.testing.assert_allclose(maps(same)[0], heat, atol=1e-4)
    for of_heat, of_paf in ((0.5, 0.7), (0.4, 1.2)):  # the second instead of the first
        mean.lower(same, of_heat, of_paf)
        lower_heat, lower_paf = maps(same)
        np.testing.assert_allclose(lower_paf, of_paf * paf, atol=1e-4)
        np.testing.assert_allclose(lower_heat[:, :18], of_heat * heat[:, :18], atol=1e-4)
        background = of_heat * heat[:, 18] + 1 - of_heat
        np.testing.assert_allclose(lower_heat[:, 18], background, atol=1e-4)
