"""The drop-in for pytorch-openpose, against the original rules in NumPy on the same maps."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import hand_oracle
import oracle
import original_networks
import tiny_networks
from openpose_ext.compat.pytorch_openpose import (
    Body,
    Hand,
    draw_bodypose,
    draw_handpose,
    handDetect,
)
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.models.lookup import EMBEDDED
from openpose_ext.models.manifest import ORIGINAL_RANGE, Manifest, write_manifest
from openpose_ext.models.network import BodyNetwork, CropMaps, HandNetwork

LITE = EMBEDDED / "lite_body.onnx"

BODY = Manifest("body", "coco_18", {"heat": "heat", "paf": "paf"}, ORIGINAL_RANGE)
HAND = Manifest("hand", "hand_21", {"heat": "heat"}, ORIGINAL_RANGE)


def astronaut(width: int = 301, height: int = 333) -> np.ndarray:
    """A picture of a person, of a size that is no multiple of anything."""
    rgb = skimage.data.astronaut()
    return np.ascontiguousarray(cv2.resize(rgb, (width, height))[..., ::-1])


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured clouds, which networks of mean colours answer with hills and valleys."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 255, (7, 7, 3)).astype(np.float32)
    clouds = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(clouds), 0, 255).astype(np.uint8)


def pixels(normalised: np.ndarray) -> np.ndarray:
    """What the oracle's preprocessing gives (1, 3, h, w) -> pictures (1, h, w, 3) uint8."""
    values = (normalised + 0.5) * 256
    assert (values == np.rint(values)).all()
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).astype(np.uint8))


def people_by_the_oracle(file: Path, picture: np.ndarray) -> oracle.Result:
    """The whole of the original: only the network is ours."""
    normalised, down, right = oracle.preprocess(picture)
    content = normalised.shape[3] - right, normalised.shape[2] - down
    size = picture.shape[1], picture.shape[0]
    with BodyNetwork.open(file, precision="f32") as network:
        heat, paf = network.run(pixels(normalised))
    full = [oracle.full_size(maps, content, size) for maps in (np.maximum(heat[0], 0), paf[0])]
    return oracle.decode(*oracle.average([full[0]], [full[1]]))


def points_by_the_oracle(file: Path, crop: np.ndarray) -> np.ndarray:
    size = crop.shape[1], crop.shape[0]
    mean = np.zeros((22, *crop.shape[:2]))
    with HandNetwork.open(file, precision="f32") as network:
        for scale in (0.5, 1.0, 1.5, 2.0):
            normalised, down, right = oracle.preprocess(crop, scale)
            content = normalised.shape[3] - right, normalised.shape[2] - down
            answer = network.run(pixels(normalised))
            assert isinstance(answer, CropMaps)
            mean += oracle.full_size(answer.heat[0], content, size) / np.float32(4)
    return hand_oracle.points(mean)[:, :2]


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """Peaks everywhere: a network of COCO's 18 parts."""
    file = tiny_networks.write(tmp_path / "body.onnx", {"heat": 19, "paf": 38}, gain=2)
    write_manifest(BODY, file)
    return file


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    file = tiny_networks.write(tmp_path / "hand.onnx", {"heat": 22})
    write_manifest(HAND, file)
    return file


# Body ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(301, 333), (640, 480), (150, 500)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_people_are_the_originals(size: tuple[int, int]) -> None:
    picture = astronaut(*size)
    expected = people_by_the_oracle(LITE, picture)
    with Body(LITE) as find:
        candidate, subset = find(picture)
    np.testing.assert_array_equal(candidate, expected.candidate)
    np.testing.assert_array_equal(subset, expected.subset)
    assert candidate.dtype == subset.dtype == np.float64
    assert subset.shape == (len(expected.subset), 20)
    if size != (150, 500):
        assert candidate.shape[1] == 4
        assert len(subset) > 0


def test_crowds_of_peaks_are_the_originals(body: Path) -> None:
    with Body(body) as find:
        for seed, (height, width) in enumerate([(97, 133), (184, 184), (200, 61)]):
            picture = noise(height, width, seed)
            candidate, subset = find(picture)
            expected = people_by_the_oracle(body, picture)
            assert len(candidate) > 18
            np.testing.assert_array_equal(candidate, expected.candidate)
            np.testing.assert_array_equal(subset, expected.subset)


def test_an_empty_picture_has_no_candidates() -> None:
    with Body(LITE) as find:
        candidate, subset = find(np.full((120, 90, 3), 128, np.uint8))
    assert candidate.shape == (0,)
    assert subset.shape == (0, 20)
    assert handDetect(candidate, subset, np.zeros((9, 9, 3), np.uint8)) == []


@pytest.mark.torch
def test_the_public_weights_files_are_read(tmp_path: Path) -> None:
    weights = original_networks.write(tmp_path / "body_pose_model.pth")
    picture = noise(60, 50)
    with Body(weights) as find:
        candidate, subset = find(picture)
        (made,) = tmp_path.glob("*.onnx")
        assert find.info.model == made
        assert find.info.precision == "f32"
    expected = people_by_the_oracle(made, picture)
    np.testing.assert_array_equal(candidate, expected.candidate)
    np.testing.assert_array_equal(subset, expected.subset)

    weights = original_networks.write(tmp_path / "hand_pose_model.pth", "hand")
    with Hand(weights) as look:
        found = look(picture)
        np.testing.assert_array_equal(found, points_by_the_oracle(look.info.model, picture))
    with pytest.raises(ModelError, match="is a hand network, not a body network"):
        Body(weights)


@pytest.mark.torch
def test_torch_and_the_default_engine_see_the_same(tmp_path: Path) -> None:
    """The seed's own network, a ReLU at its end, in torch."""
    import torch

    from openpose_ext.models.convert.original_weights import load_body

    weights = original_networks.write(tmp_path / "body_pose_model.pth")
    picture = noise(80, 70)
    normalised, down, right = oracle.preprocess(picture)
    with torch.inference_mode():
        paf, heat = load_body(weights, relu_heat=True)(torch.from_numpy(normalised))
    content = normalised.shape[3] - right, normalised.shape[2] - down
    full = [oracle.full_size(maps[0].numpy(), content, (70, 80)) for maps in (heat, paf)]
    expected = oracle.decode(*full)
    with Body(weights) as find:
        candidate, _ = find(picture)
    assert candidate.shape == expected.candidate.shape
    np.testing.assert_array_equal(candidate[:, [0, 1, 3]], expected.candidate[:, [0, 1, 3]])
    np.testing.assert_allclose(candidate[:, 2], expected.candidate[:, 2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((40, 40), np.uint8), ValueError, "grey"),
        (np.zeros((40, 40, 4), np.uint8), ValueError, "alpha"),
        (np.zeros((0, 40, 3), np.uint8), ValueError, "empty"),
        (np.zeros((40, 40, 3), np.float32), TypeError, "uint8"),
        (None, TypeError, "there is no picture"),
        (np.zeros((400, 6, 3), np.uint8), ValueError, "too narrow: 6 x 400 becomes 3 x 184"),
        (np.zeros((300, 12, 3), np.uint8), ValueError, "too narrow"),
        (np.zeros((4000, 2, 3), np.uint8), ValueError, "too narrow"),
    ],
    ids=["gray", "four channels", "empty", "float", "None", "6", "12", "2"],
)
def test_what_breaks_the_original_is_refused(
    picture: np.ndarray, error: type, message: str, hand: Path
) -> None:
    with Body(LITE) as find, pytest.raises(error, match=message):
        find(picture)
    with Hand(hand) as look, pytest.raises(error, match=message):
        look(picture)


def test_a_low_picture_is_none_that_breaks_it(body: Path) -> None:
    picture = noise(3, 20)
    with Body(body) as find:
        candidate, _ = find(picture)
    np.testing.assert_array_equal(candidate, people_by_the_oracle(body, picture).candidate)


def test_networks_that_do_not_fit_are_refused(tmp_path: Path, hand: Path, body: Path) -> None:
    with pytest.raises(ModelError, match="there is no network file"):
        Body(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="is a hand network, not a body network"):
        Body(hand)
    with pytest.raises(ModelError, match="is a body network, not a hand network"):
        Hand(body)

    fixed = tiny_networks.write(
        tmp_path / "fixed.onnx",
        {"heat": 19, "paf": 38},
        size=(1, 184, 184),
        output_size=(1, 23, 23),
    )
    sized = Manifest("body", "coco_18", BODY.outputs, type(ORIGINAL_RANGE)(size=(184, 184)))
    write_manifest(sized, fixed)
    with pytest.raises(ModelError, match=r"takes pictures of 184 x 184 only.*--dynamic"):
        Body(fixed)

    more = tiny_networks.write(tmp_path / "body25.onnx", {"heat": 26, "paf": 52})
    write_manifest(Manifest("body", "body_25", BODY.outputs, ORIGINAL_RANGE), more)
    with pytest.raises(ModelError, match=r"finds body_25, but the seed's arrays are of coco_18"):
        Body(more)


def test_a_network_of_landmarks_is_refused(shared: Path) -> None:
    with pytest.raises(ModelError, match="gives points, but the seed's rules are for maps"):
        Hand(shared / "weights" / "hand_landmark_full.tflite")


def test_weights_without_torch_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpose_ext.models.convert.formats.find_spec", lambda name: None)
    weights = tmp_path / "body_pose_model.pth"
    weights.write_bytes(b"weights")
    with pytest.raises(BackendError, match=r'pip install "openpose_ext\[torch\]"'):
        Body(weights)


# Hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(40, 40), (97, 97), (211, 211), (61, 90), (90, 61)])
def test_a_hands_points_are_the_originals(hand: Path, height: int, width: int) -> None:
    crop = noise(height, width, seed=height)
    with Hand(hand) as look:
        found = look(crop)
    assert found.shape == (21, 2)
    assert found.dtype == np.int64
    assert found.any()
    np.testing.assert_array_equal(found, points_by_the_oracle(hand, crop))


def test_no_hand_is_all_zero(hand: Path) -> None:
    with Hand(hand) as look:
        assert not look(np.full((50, 50, 3), 128, np.uint8)).any()


# Boxes ---------------------------------------------------------------------------------------

RIGHT = {2: (50, 60), 3: (60, 100), 4: (64, 130)}
LEFT = {5: (90, 62), 6: (100, 100), 7: (118, 126)}
BLANK = np.zeros((200, 150, 3), np.uint8)


def body_of(*people: dict[int, tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """(candidate, subset) of people whose parts are at these places."""
    candidate, subset = [], np.full((len(people), 20), -1.0)
    for row, parts in zip(subset, people, strict=True):
        for part, (x, y) in parts.items():
            row[part] = len(candidate)
            candidate.append([x, y, 0.5, len(candidate)])
        row[18:] = len(parts), len(parts)
    return np.array(candidate, np.float64), subset


def test_the_published_boxes() -> None:
    assert handDetect(*body_of(RIGHT | LEFT), BLANK) == [[97, 108, 52, True], [37, 112, 55, False]]
    both = handDetect(*body_of(RIGHT, LEFT), BLANK)
    assert both == [[37, 112, 55, False], [97, 108, 52, True]], "person by person"
    assert all(isinstance(number, int) for number in both[0])


@pytest.mark.parametrize("part", [2, 3, 4])
def test_an_arm_that_is_not_whole_has_no_box(part: int) -> None:
    arm = {k: at for k, at in RIGHT.items() if k != part}
    assert handDetect(*body_of(arm | LEFT), BLANK) == [[97, 108, 52, True]]


def test_boxes_are_shifted_and_shrunk_as_the_originals_are() -> None:
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(500):
        steps = np.vstack([rng.integers(0, (150, 200)), rng.integers(-30, 31, (2, 2))])
        shoulder, elbow, wrist = np.cumsum(steps, axis=0).tolist()
        x, y, side = hand_oracle.box(shoulder, elbow, wrist)
        x, y = max(x, 0), max(y, 0)
        side = min(side, 150 - x if x + side > 150 else side, 200 - y if y + side > 200 else side)
        expected = [[int(x), int(y), int(side), True]] if side >= 20 else []
        kept += len(expected)
        assert handDetect(*body_of({5: shoulder, 6: elbow, 7: wrist}), BLANK) == expected
    assert 100 < kept < 500


def test_arrays_of_another_form_are_refused() -> None:
    candidate, subset = body_of(RIGHT)
    with pytest.raises(ValueError, match=r"candidate must be \(P, 4\)"):
        handDetect(candidate[:, :3], subset, BLANK)
    with pytest.raises(ValueError, match=r"subset must be \(N, 20\)"):
        handDetect(candidate, subset[:, :19], BLANK)
    with pytest.raises(ValueError, match="subset names candidate 2 of 2"):
        handDetect(candidate[:2], subset, BLANK)
    with pytest.raises(TypeError, match="there is no picture"):
        handDetect(candidate, subset, None)


# Drawing -------------------------------------------------------------------------------------


def test_joints_and_limbs_have_the_originals_colours() -> None:
    canvas = np.full((200, 300, 3), 100, np.uint8)
    # Of the ear's limb to the shoulder, which is not drawn, only its ends are seen.
    candidate, subset = body_of({1: (60, 100), 2: (160, 100), 16: (160, 20), 11: (30, 180)})
    drawn = draw_bodypose(canvas, candidate, subset)
    assert drawn.shape == canvas.shape
    assert drawn.dtype == np.uint8
    assert drawn is not canvas
    assert (canvas == 100).all()
    assert np.abs(drawn[100, 110] - (0.4 * 100 + 0.6 * np.array([255, 0, 0]))).max() <= 1
    assert drawn[20, 160].tolist() == [255, 0, 170]
    assert drawn[60, 160].tolist() == [100, 100, 100]
    # The limb from neck to hip, 9, in its own colour.
    assert np.abs(drawn[140, 45] - (0.4 * 100 + 0.6 * np.array([0, 255, 255]))).max() <= 1
    assert drawn[0, 0].tolist() == [100, 100, 100]


def test_bodies_are_drawn_as_the_rules_say() -> None:
    """Against the rules once more, written out."""
    canvas = astronaut()
    with Body(LITE) as find:
        candidate, subset = find(canvas)
    ramp = [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
        (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
        (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ]  # fmt: skip
    expected = canvas.copy()
    for part in range(18):
        for row in subset[subset[:, part] >= 0]:
            x, y = candidate[int(row[part]), :2]
            cv2.circle(expected, (int(x), int(y)), 4, ramp[part], -1)
    for limb, (a, b) in enumerate(oracle.COCO_18.limbs[:17]):
        for row in subset[(subset[:, [a, b]] >= 0).all(axis=1)]:
            (xa, ya), (xb, yb) = candidate[row[[a, b]].astype(int), :2].tolist()
            painted = expected.copy()
            axes = (int(math.hypot(xa - xb, ya - yb) / 2), 4)
            turn = int(math.degrees(math.atan2(ya - yb, xa - xb)))
            middle = (int((xa + xb) / 2), int((ya + yb) / 2))
            cv2.fillConvexPoly(painted, cv2.ellipse2Poly(middle, axes, turn, 0, 360, 1), ramp[limb])
            expected = cv2.addWeighted(expected, 0.4, painted, 0.6, 0)
    assert (expected != canvas).any()
    np.testing.assert_array_equal(draw_bodypose(canvas, candidate, subset), expected)


def test_nobody_leaves_the_canvas_as_it_was() -> None:
    canvas = noise(40, 50)
    np.testing.assert_array_equal(draw_bodypose(canvas, np.zeros(0), np.zeros((0, 20))), canvas)
    np.testing.assert_array_equal(draw_handpose(canvas, []), canvas)


def test_hands_are_drawn_on_a_canvas_of_the_same_size() -> None:
    canvas = np.full((200, 300, 3), 100, np.uint8)
    hands = np.zeros((3, 21, 2), int)
    for row, points in enumerate(hands):
        points[[0, 5, 6]] = [(60, 40 + 60 * row), (100, 40 + 60 * row), (140, 40 + 60 * row)]
    drawn = draw_handpose(canvas, list(hands))
    assert drawn.shape == canvas.shape
    assert drawn.dtype == np.uint8
    assert (canvas == 100).all()
    for y in (40, 100, 160):
        assert drawn[y, 80].tolist() == [203, 255, 0], "edge 4"
        assert drawn[y, 120].tolist() == [127, 255, 0], "edge 5"
        assert drawn[y, 60].tolist() == drawn[y, 140].tolist() == [0, 0, 255]
    assert drawn[0, 0].tolist() == [100, 100, 100], "what is missing is not in the corner"
    numbered = draw_handpose(canvas, list(hands), show_number=True)
    assert (numbered != drawn).any()
    assert (numbered[:30] == 100).all()


def test_points_on_one_edge_of_the_canvas_are_there() -> None:
    points = np.zeros((21, 2), int)
    points[[0, 1]] = [(0, 40), (50, 40)]
    assert draw_handpose(BLANK, [points])[40, 25].tolist() == [255, 0, 0]


def test_what_cannot_be_drawn_on_is_refused() -> None:
    for canvas in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"\(height, width, 3\)"):
            draw_bodypose(canvas, *body_of(RIGHT))
        with pytest.raises(ValueError, match=r"\(height, width, 3\)"):
            draw_handpose(canvas, [])
    with pytest.raises(ValueError, match=r"peaks of a hand must be \(21, 2\)"):
        draw_handpose(BLANK, [np.zeros((20, 2))])
