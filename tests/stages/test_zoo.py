"""Mode "zoo": the people and hands of VastModelZoo's script, whose rules `zoo_script` tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import compiled_networks
import tiny_networks
import zoo_script
from openpose_ext import PoseEstimator
from openpose_ext.sources.pictures import read_picture
from openpose_ext.types.poses import Poses

BODY = "human-pose-estimation-0001-fp32.onnx"
HAND = "lite_hand.onnx"
PICTURES = (
    "COCO_val2014_000000000192.jpg", "COCO_val2014_000000000241.jpg",
    "COCO_val2014_000000000294.jpg", "COCO_val2014_000000000328.jpg",
    "COCO_val2014_000000000474.jpg",
)  # fmt: skip


@pytest.fixture
def networks(vaststreamx: ModuleType, shared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A body network of 184 x 184 pixels, as on the script's page, and one of hands."""
    import openpose_ext.models.embedded as embedded

    hand = Path(embedded.__path__[0]) / HAND
    return (
        compiled_networks.write(
            tmp_path / "body" / "mod", (184, 184), onnx=str(shared / "weights" / BODY), undo=True
        ),
        compiled_networks.write(tmp_path / "hand" / "mod", (208, 208), onnx=str(hand), undo=True),
    )


@pytest.fixture
def estimator(networks: tuple[Path, Path]) -> Iterator[PoseEstimator]:
    body, hand = networks
    with PoseEstimator(body, hand=hand, backend="vsx", mode="zoo") as made:
        yield made


def by_parts(people: np.ndarray, hands: np.ndarray) -> list[bytes]:
    """People in an order that does not depend on their scores: whole pixels, as bytes."""
    places = [
        np.concatenate([body[:, :2].ravel(), pair[..., :2].ravel()]).astype(np.int32).tobytes()
        for body, pair in zip(people, hands, strict=True)
    ]
    return sorted(places)


def assert_the_scripts(ours: Poses, people: np.ndarray, hands: np.ndarray) -> None:
    assert ours.hands is not None
    assert by_parts(ours.keypoints, ours.hands) == by_parts(people, hands)


def test_people_and_hands_are_the_scripts_point_by_point(
    vaststreamx: ModuleType, shared: Path, networks: tuple[Path, Path], estimator: PoseEstimator
) -> None:
    people_seen = hands_seen = 0
    for name in PICTURES:
        picture = read_picture(shared / "data" / "media" / name)
        ours = estimator(picture)
        vaststreamx.refusals.discard("contiguous arrays")
        body, hand = (
            zoo_script.Network(vaststreamx, prefix, compiled_networks.params_beside(prefix))
            for prefix in networks
        )
        people = zoo_script.people(body, picture)
        hands = zoo_script.hands(hand, people, picture)
        assert_the_scripts(ours, people, hands)
        people_seen += len(people)
        hands_seen += int(hands[..., 2].any(axis=2).sum())
    assert people_seen >= 10
    assert hands_seen >= 10


def test_a_batch_on_two_dies_changes_nobody(
    vaststreamx: ModuleType, shared: Path, networks: tuple[Path, Path], estimator: PoseEstimator
) -> None:
    body, hand = networks
    pictures = [read_picture(shared / "data" / "media" / name) for name in PICTURES]
    one = estimator.batch(pictures)
    with PoseEstimator(
        body, hand=hand, backend="vsx", mode="zoo", device="0,1", engine_options={"batch": 4}
    ) as made:
        for ours, expected in zip(made.batch(pictures), one, strict=True):
            assert ours.allclose(expected, pixels=0, score=0)


def test_a_network_of_any_size_gets_the_scripts_input(tmp_path: Path) -> None:
    tiny_networks.write(tmp_path / "a.onnx", {"heat": 19, "paf": 38})
    for height in (96, 368):
        with PoseEstimator(
            tmp_path / "a.onnx", mode="zoo", height=height, normalise=(128, 256)
        ) as made:
            (preprocess,) = made._body._preprocessings
            seen, geometry = preprocess(np.zeros((100, 333, 3), np.uint8))
            assert seen.shape == (184, 184, 3)
            assert geometry.content == (184, 184)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (0.5, 1)}, "looks at a picture once"),
        ({"mirror": True}, "looks at a picture once"),
        ({"hand": "lite", "hand_scales": (0.8, 1.2)}, "hands at one scale"),
    ],
)
def test_what_the_script_does_not_do_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseEstimator(mode="zoo", **options)


def test_there_is_nothing_to_look_inside() -> None:
    with (
        PoseEstimator(mode="zoo") as made,
        pytest.raises(ValueError, match=r'stages\(\) needs mode="fast"'),
    ):
        made.stages(np.zeros((64, 64, 3), np.uint8))
