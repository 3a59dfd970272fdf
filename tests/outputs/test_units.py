"""OpenPose's `--keypoint_scale`, `--number_people_max`, `--part_candidates` and heat maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openpose_ext.errors import OutputError
from openpose_ext.formats.heatmaps import heatmaps
from openpose_ext.outputs.heatmaps import write_heatmaps
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.scale import KEYPOINT_SCALES, scaled
from openpose_ext.sources.openpose_json import read_openpose
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import SIZE, people

# Key points ----------------------------------------------------------------------------------


def one_person(*points: tuple[float, float, float], size: tuple[int, int] = SIZE) -> Poses:
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, : len(points)] = points
    return Poses(keypoints, np.ones(1, np.float32), np.zeros((1, 18), np.bool_), COCO_18, size)


@pytest.mark.parametrize("scale", [0, 2])
def test_scales_0_and_2_are_pixels_of_the_picture(scale: int) -> None:
    poses = people(3)
    assert scaled(poses, scale) is poses


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (3, [[0, 0], [1, 1], [0.5, 0.5], [100 / 639, 479 / 479]]),
        (4, [[-1, -1], [1, 1], [0, 0], [200 / 639 - 1, 1]]),
    ],
)
def test_scales_3_and_4_go_from_the_first_pixel_to_the_last(
    scale: int, expected: list[list[float]]
) -> None:
    poses = one_person((0, 0, 0.5), (639, 479, 1), (319.5, 239.5, 0.01), (100, 479, 0.9))
    found = scaled(poses, scale)
    np.testing.assert_allclose(found.keypoints[0, :4, :2], expected, atol=1e-6)
    assert (found.keypoints[..., 2] == poses.keypoints[..., 2]).all()
    assert (found.keypoints[0, 4:] == 0).all(), "what is missing stays 0, 0, 0"
    assert found.size == SIZE


@pytest.mark.parametrize("height", [184, 368])
def test_scale_1_is_pixels_of_the_network_s_input(height: int) -> None:
    """A dot in the picture is where the same point's dot lies in the input."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[300:321, 400:421] = 255
    image, geometry = Preprocessing(height=height)(picture)
    rows, columns = np.nonzero(image[..., 0] * (image[..., 0] != 128) > 127)
    found = scaled(one_person((410, 310, 1)), 1, geometry).keypoints[0, 0]
    np.testing.assert_allclose(found[:2], [columns.mean(), rows.mean()], atol=0.3)


@pytest.mark.parametrize("scale", KEYPOINT_SCALES)
def test_hands_and_faces_are_scaled_as_bodies_are(scale: int) -> None:
    poses = people(3, hands=True, ids=True)
    assert poses.hands is not None
    geometry = Geometry(SIZE, (496, 368), (491, 368), (491 / 640, 368 / 480))
    hands = np.zeros((3, 2, 21, 3), np.float32)
    hands[:, 0, :18] = poses.keypoints
    faces = np.zeros((3, 70, 3), np.float32)
    faces[:, :18] = poses.keypoints
    found = scaled(replace(poses, hands=hands, faces=faces), scale, geometry)
    assert found.hands is not None
    assert found.faces is not None
    np.testing.assert_array_equal(found.faces[:, :18], found.keypoints)
    np.testing.assert_array_equal(found.hands[:, 0, :18], found.keypoints)
    assert found.ids is poses.ids


def test_pictures_of_a_pixel_s_width_divide_by_nothing() -> None:
    poses = one_person((0, 3, 1), size=(1, 5))
    np.testing.assert_allclose(scaled(poses, 3).keypoints[0, 0], [0, 0.75, 1])
    np.testing.assert_allclose(scaled(poses, 4).keypoints[0, 0], [-1, 0.5, 1])
    two = one_person((1, 3, 1), size=(2, 5))  # the original scales neither axis here
    np.testing.assert_allclose(scaled(two, 3).keypoints[0, 0], [1, 0.75, 1])


def test_scales_that_lack_something_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 4, not 5"):
        scaled(people(1), 5)
    with pytest.raises(ValueError, match="needs the geometry"):
        scaled(people(1), 1)
    with pytest.raises(ValueError, match="needs the size of the picture"):
        scaled(one_person((1, 1, 1), size=(0, 0)), 3)
    assert len(scaled(Poses.empty(SIZE), 4)) == 0


# People --------------------------------------------------------------------------------------


def squares(*sides_and_scores: tuple[float, float]) -> Poses:
    """People who span squares; a part that was only filled lies far out."""
    keypoints = np.zeros((len(sides_and_scores), 18, 3), np.float32)
    for k, (side, _) in enumerate(sides_and_scores):
        keypoints[k, :2] = (10, 10, 0.9), (10 + side, 10 + side, 0.9)
        keypoints[k, 2] = 600, 400, 0.05
    scores = np.array([score for _, score in sides_and_scores], np.float32)
    filled = np.zeros(keypoints.shape[:2], np.bool_)
    filled[:, 2] = True
    return Poses(keypoints, scores, filled, COCO_18, SIZE)


@pytest.mark.parametrize(
    ("count", "kept"),
    [(0, []), (1, [2]), (2, [0, 2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 4])],
)
def test_the_most_prominent_are_the_surest_and_largest_in_their_order(
    count: int, kept: list[int]
) -> None:
    """Score by side: 50, 30, 60, 40, 30; of the equal ones the first."""
    poses = squares((50, 1.0), (60, 0.5), (150, 0.4), (200, 0.2), (300, 0.1))
    for more in (count, count + 100 * (count == 5)):
        assert poses.most_prominent(more).scores.tolist() == poses.scores[kept].tolist()


def test_people_without_a_body_do_not_count_and_stay() -> None:
    poses = squares((50, 0.1), (50, 1.0))
    keypoints = poses.keypoints.copy()
    keypoints[1] = 0
    kept = replace(poses, keypoints=keypoints).most_prominent(1)
    assert kept.scores.tolist() == poses.scores.tolist()
    assert len(Poses.empty(SIZE).most_prominent(0)) == 0


# Candidates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_candidates_stand_by_number_of_their_part(tmp_path: Path, topology: Topology) -> None:
    poses = people(2).as_topology(topology)
    hips = np.array([[1.25, 2.5, 0.5], [30, 4, 0.0625]], np.float32)
    peaks = {"LHip": hips, "Nose": np.zeros((0, 3), np.float32), "LBigToe": hips[:1]}
    write_openpose(tmp_path / "a.json", poses, candidates=peaks)
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content) == ["version", "people", "part_candidates"]
    (found,) = content["part_candidates"]
    assert list(found) == [str(k) for k in range(len(topology.parts))]
    hip = {"coco_18": "11", "body_25": "12"}[topology.name]
    toe = {"19": [1.25, 2.5, 0.5]} if topology is BODY_25 else {}
    assert {k: v for k, v in found.items() if v} == {hip: [1.25, 2.5, 0.5, 30, 4, 0.0625], **toe}
    assert read_openpose(tmp_path / "a.json").keypoints.shape == poses.keypoints.shape
    assert "part_candidates" not in poses.to_openpose()


# Heat maps -----------------------------------------------------------------------------------

LEVELS = np.array([-1.5, -1, -0.25, 0, 0.25, 1 / 3, 0.5, 1, 1.5], np.float32)


def levels(channels: int) -> np.ndarray:
    """Maps of one row with the levels; channel c begins with the c-th of them."""
    return np.stack([np.roll(LEVELS, -c) for c in range(channels)])[:, None]


@pytest.mark.parametrize(
    ("scale", "heat", "field"),
    [
        (0, [-1, -1, -1, -1, -0.5, -1 / 3, 0, 1, 1], [-1, -1, -0.25, 0, 0.25, 1 / 3, 0.5, 1, 1]),
        (1, [0, 0, 0, 0, 0.25, 1 / 3, 0.5, 1, 1], [0, 0, 0.375, 0.5, 0.625, 2 / 3, 0.75, 1, 1]),
        (2, [0, 0, 0, 0, 64, 85, 128, 255, 255], [0, 0, 96, 129, 161, 171, 193, 257, 257]),
        (3, LEVELS.tolist(), LEVELS.tolist()),
    ],
)
def test_units_of_heat_maps(scale: int, heat: list[float], field: list[float]) -> None:
    maps = heatmaps(levels(19), levels(38), COCO_18, parts=True, pafs=True, scale=scale, stride=1)
    assert maps.dtype == np.float32
    assert maps.shape == (18 + 38, 1, 9)
    np.testing.assert_allclose(maps[0, 0], heat, atol=1e-6)
    np.testing.assert_allclose(maps[18, 0], field, atol=1e-6)


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_maps_stand_in_the_order_parts_background_fields(topology: Topology) -> None:
    parts, fields = len(topology.parts), topology.paf_count
    heat = np.arange(parts + 1, dtype=np.float32)[:, None, None] / 100 + np.zeros((1, 4, 5))
    paf = np.arange(fields, dtype=np.float32)[:, None, None] / 100 + np.zeros((1, 4, 5)) + 0.5

    def numbers(**which: bool) -> list[float]:
        maps = heatmaps(heat.astype(np.float32), paf.astype(np.float32), topology, scale=3, **which)
        assert maps.shape[1:] == (32, 40), "as large as the network's input"
        return (maps[:, 16, 20] * 100).round().tolist()

    of_parts, of_fields = list(range(parts)), [50 + k for k in range(fields)]
    assert numbers(parts=True) == of_parts
    assert numbers(background=True) == [parts]
    assert numbers(pafs=True) == of_fields
    assert numbers(parts=True, pafs=True) == of_parts + of_fields
    assert numbers(parts=True, background=True, pafs=True) == [*of_parts, parts, *of_fields]


def test_a_peak_stays_where_it_is_when_maps_are_enlarged() -> None:
    heat = np.zeros((19, 6, 9), np.float32)
    heat[4, 2, 5] = 1
    maps = heatmaps(heat, np.zeros((38, 6, 9), np.float32), COCO_18, parts=True)
    rows, columns = np.nonzero(maps[4] > 200)
    geometry = Geometry.of_maps(9, 6)
    expected = geometry.from_maps(np.array([5.0, 2.0]))
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=1e-6)


@pytest.fixture
def maps() -> np.ndarray:
    rng = np.random.default_rng(0)
    heat, paf = rng.random((19, 3, 5), np.float32), rng.random((38, 3, 5), np.float32) * 2 - 1
    return heatmaps(heat, paf, COCO_18, parts=True, background=True, pafs=True)


def test_heat_maps_as_a_picture_lie_side_by_side(tmp_path: Path, maps: np.ndarray) -> None:
    write_heatmaps(tmp_path / "a.png", maps)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.size) == ("L", (57 * 40, 24))
        found = np.asarray(picture)
    for k in range(57):
        np.testing.assert_array_equal(found[:, 40 * k : 40 * (k + 1)], maps[k].clip(0, 255))


def test_heat_maps_as_floats(tmp_path: Path, maps: np.ndarray) -> None:
    write_heatmaps(tmp_path / "a.npy", maps)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), maps)
    write_heatmaps(tmp_path / "a.float", maps)
    numbers = np.frombuffer((tmp_path / "a.float").read_bytes(), "<f4")
    assert numbers[:4].tolist() == [3, 57, 24, 40]
    np.testing.assert_array_equal(numbers[4:].reshape(57, 24, 40), maps)


def test_heat_maps_that_cannot_be_are_refused(tmp_path: Path, maps: np.ndarray) -> None:
    heat, paf = np.zeros((18, 2, 2), np.float32), np.zeros((38, 2, 2), np.float32)
    with pytest.raises(ValueError, match="no maps are requested"):
        heatmaps(heat, paf, COCO_18)
    with pytest.raises(ValueError, match="no background"):
        heatmaps(heat, paf, COCO_18, background=True)
    with pytest.raises(ValueError, match="0 to 3, not 4"):
        heatmaps(heat, paf, COCO_18, parts=True, scale=4)
    for channels in ((heat, paf[:30]), (heat[:17], paf)):
        with pytest.raises(ValueError, match="do not fit coco_18"):
            heatmaps(*channels, COCO_18, parts=True)
    with pytest.raises(ValueError, match=r"written as png, npy, float"):
        write_heatmaps(tmp_path / "a.xyz", maps)
    with pytest.raises(OutputError, match=r"a\.jpg"):
        write_heatmaps(tmp_path / "a.jpg", np.zeros((57, 2, 2000), np.float32))
    assert list(tmp_path.iterdir()) == []
