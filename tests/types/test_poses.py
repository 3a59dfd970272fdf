"""`Poses`: choosing people, comparing them, sending them elsewhere."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

import openpose_ext as op


def some_people(people: int = 4, *, hands: bool = True, ids: bool = True) -> op.Poses:
    """Return random people with everything that `Poses` may hold."""
    rng = np.random.default_rng(people)
    return op.Poses(
        keypoints=rng.random((people, 18, 3), np.float32),
        scores=np.sort(rng.random(people, np.float32))[::-1],
        filled=rng.random((people, 18)) < 0.2,
        topology=op.COCO_18,
        size=(640, 480),
        hands=rng.random((people, 2, 21, 3), np.float32) if hands else None,
        faces=rng.random((people, 70, 3), np.float32) if hands else None,
        ids=np.arange(100, 100 + people) if ids else None,
        timings={"decode": 0.5},
        bridged=rng.random((people, 18)) < 0.2 if ids else None,
    )


def arrays_of(poses: op.Poses) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays by name."""
    names = ("keypoints", "scores", "filled", "hands", "faces", "ids", "bridged")
    return {name: array for name in names if (array := getattr(poses, name)) is not None}


CHOICES: dict[str, Any] = {
    "slice": slice(1, 3),
    "steps": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "nobody": slice(2, 2),
    "beyond the end": slice(3, 99),
    "indices": [2, 0],
    "negative indices": [-1],
    "an index twice": [1, 1, 1],
    "no index": [],
    "mask": np.array([True, False, False, True]),
    "list of bools": [False, True, True, False],
    "empty mask": np.zeros(4, bool),
    "array of indices": np.array([3, 1], np.uint8),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("with_extras", [True, False])
def test_people_are_chosen_with_all_that_belongs_to_them(choice: str, with_extras: bool) -> None:
    poses = some_people(hands=with_extras, ids=with_extras)
    rows = np.arange(4)[CHOICES[choice]]
    chosen = poses[CHOICES[choice]]
    assert len(chosen) == len(rows)
    for name, array in arrays_of(poses).items():
        np.testing.assert_array_equal(getattr(chosen, name), array[rows])
    assert arrays_of(chosen).keys() == arrays_of(poses).keys()
    assert (chosen.size, chosen.topology) == (poses.size, poses.topology)
    assert chosen.timings == poses.timings


@pytest.mark.parametrize("index", [0, 3, -1, -4, np.int64(2)])
def test_one_index_gives_one_person_still_as_poses(index: int) -> None:
    poses = some_people()
    person = poses[index]
    assert isinstance(person, op.Poses)
    assert person.keypoints.shape == (1, 18, 3)
    np.testing.assert_array_equal(person.keypoints[0], poses.keypoints[index])


@pytest.mark.parametrize("index", [4, -5, 1000])
def test_a_person_who_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="only 4 were found"):
        some_people()[index]


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IndexError):
        some_people()[np.ones(3, bool)]


def test_iteration_gives_one_person_at_a_time() -> None:
    poses = some_people()
    people = list(poses)
    assert [len(person) for person in people] == [1] * 4
    np.testing.assert_array_equal(
        np.concatenate([person.keypoints for person in people]), poses.keypoints
    )
    assert list(op.Poses.empty((3, 4))) == []


def test_nobody_has_shapes_too() -> None:
    poses = op.Poses.empty((640, 480), op.BODY_25)
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 25, 3)
    assert len(poses[:]) == len(poses[[]]) == len(poses[np.zeros(0, bool)]) == 0


def assert_read_only(poses: op.Poses) -> None:
    """Check that neither attributes nor arrays can be changed."""
    for name, array in arrays_of(poses).items():
        assert not array.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(FrozenInstanceError):
            setattr(poses, name, array)


def test_arrays_are_read_only_however_they_came() -> None:
    poses = some_people()
    for one in (poses, poses[1:], poses[[0]], poses[0], replace(poses, ids=None)):
        assert_read_only(one)
    heat, paf = np.zeros((19, 4, 4), np.float32), np.zeros((38, 4, 4), np.float32)
    assert_read_only(op.decode_body(heat, paf))
    assert_read_only(op.decode_body(heat, paf, mode="reference"))


def given_arrays() -> dict[str, np.ndarray[Any, Any]]:
    return {
        "keypoints": np.ones((2, 18, 3), np.float32),
        "scores": np.ones(2, np.float32),
        "filled": np.zeros((2, 18), np.bool_),
        "hands": np.ones((2, 2, 21, 3), np.float32),
        "ids": np.arange(2),
    }


@pytest.mark.parametrize(
    "view",
    [lambda a: a, lambda a: a[:], lambda a: a[::-1][::-1], lambda a: np.broadcast_to(a, a.shape)],
    ids=["the array", "a view", "a view of a view", "a read-only view"],
)
def test_a_caller_keeps_his_arrays_and_cannot_change_poses_by_them(
    view: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
) -> None:
    arrays, before = given_arrays(), given_arrays()
    timings = {"decode": 1.0}
    given = {name: view(array) for name, array in arrays.items()}
    poses = op.Poses(**given, topology=op.COCO_18, size=(9, 9), timings=timings)
    assert_read_only(poses)
    for name, array in arrays.items():
        assert array.flags.writeable, name
        array[...] = 7
        np.testing.assert_array_equal(getattr(poses, name), before[name], name)
    timings["decode"] = 2.0
    assert poses.timings == {"decode": 1.0}


def test_a_read_only_view_of_bytes_that_change_is_copied() -> None:
    memory = bytearray(2 * 4)
    arrays = given_arrays() | {"scores": np.frombuffer(memory, np.float32)}
    arrays["scores"].setflags(write=False)
    poses = op.Poses(**arrays, topology=op.COCO_18, size=(9, 9))
    memory[:] = b"\xff" * 8
    assert poses.scores.tolist() == [0, 0]


def test_arrays_that_nobody_can_change_are_kept() -> None:
    poses = some_people()
    assert replace(poses, size=(1, 1)).keypoints is poses.keypoints
    assert poses[1:].keypoints.base is poses.keypoints


def test_people_travel_to_other_processes() -> None:
    poses = some_people()
    for other in (pickle.loads(pickle.dumps(poses)), copy.copy(poses), copy.deepcopy(poses)):
        assert other.allclose(poses, pixels=0, score=0)
        assert other.timings == poses.timings
        assert_read_only(other)
    decoded = op.decode_body(np.zeros((19, 4, 4), np.float32), np.zeros((38, 4, 4), np.float32))
    assert pickle.loads(pickle.dumps(decoded)).allclose(decoded)


def moved(poses: op.Poses, name: str, by: float, column: int = 0) -> op.Poses:
    """Return a copy with one number of an array changed."""
    array = getattr(poses, name).copy()
    array.reshape(-1)[column] += by
    return replace(poses, **{name: array})


def test_allclose_tells_what_differs() -> None:
    poses = some_people()
    assert poses.allclose(replace(poses, timings={}))
    assert poses.allclose(moved(poses, "keypoints", 5e-4))
    assert not poses.allclose(moved(poses, "keypoints", 5e-3))
    assert poses.allclose(moved(poses, "keypoints", 5e-3), pixels=0.01)
    assert not poses.allclose(moved(poses, "keypoints", 5e-4, column=2))
    assert poses.allclose(moved(poses, "keypoints", 5e-4, column=2), score=0.01)
    assert not poses.allclose(moved(poses, "scores", 0.01))
    assert not poses.allclose(moved(poses, "hands", 0.01))
    assert not poses.allclose(moved(poses, "faces", 0.01))
    assert not poses.allclose(moved(poses, "ids", 1))
    assert not poses.allclose(replace(poses, filled=~poses.filled))
    assert not poses.allclose(replace(poses, size=(640, 481)))
    assert not poses.allclose(replace(poses, hands=None))
    assert not poses.allclose(replace(poses, faces=None))
    assert not poses.allclose(replace(poses, ids=None))
    assert not replace(poses, ids=None).allclose(poses)
    assert not poses.allclose(poses[:3])
    assert not poses.allclose(poses[::-1]), "the order counts"
    assert not op.Poses.empty((1, 1)).allclose(op.Poses.empty((1, 1), op.BODY_25))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("keypoints", np.zeros((4, 25, 3), np.float32)),
        ("keypoints", np.zeros((4, 18, 2), np.float32)),
        ("keypoints", np.zeros((4, 18, 3))),
        ("scores", np.zeros(3, np.float32)),
        ("scores", np.zeros((4, 1), np.float32)),
        ("filled", np.zeros((4, 18), np.uint8)),
        ("hands", np.zeros((4, 21, 3), np.float32)),
        ("faces", np.zeros((4, 68, 3), np.float32)),
        ("ids", np.zeros(4, np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_named(name: str, wrong: np.ndarray[Any, Any]) -> None:
    changed: dict[str, Any] = {name: wrong}
    with pytest.raises(ValueError, match=f"{name} must be"):
        replace(some_people(), **changed)


def test_lists_are_no_arrays_and_nobody_is_chosen_less_than_none() -> None:
    with pytest.raises(TypeError, match="keypoints must be a NumPy array, not list"):
        replace(some_people(1), keypoints=[[0, 0, 0]] * 18)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scores must be a NumPy array, not NoneType"):
        replace(some_people(1), scores=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must be 0 or more, not -1"):
        some_people().most_prominent(-1)


def test_repr_is_a_line() -> None:
    assert repr(some_people()) == "Poses(4 people, coco_18, 640x480)"


def test_parts_that_the_decoder_filled_can_be_left_out_and_bridged_ones_stay() -> None:
    keypoints = np.full((1, 18, 3), 0.03, np.float32)
    filled, bridged = np.zeros((2, 1, 18), np.bool_)
    filled[0, 2:6] = True
    bridged[0, 4:6] = True
    poses = op.Poses(keypoints, np.ones(1, np.float32), filled, op.COCO_18, (9, 9), bridged=bridged)
    told = poses.without_filled()
    assert not told.keypoints[0, 2:4].any()
    np.testing.assert_array_equal(np.delete(told.keypoints, [2, 3], 1), keypoints[:, 2:])
    np.testing.assert_array_equal(told.filled, bridged)
    assert not replace(poses, bridged=None).without_filled().filled.any()
    assert told.without_filled() is told
    feet = told.as_topology(op.BODY_25)
    assert feet.bridged is not None
    assert feet.bridged.sum() == 2


def a_hand_alone(size: tuple[int, int] = (640, 480)) -> op.Poses:
    poses = op.Poses.empty(size)
    hands = np.zeros((1, 2, 21, 3), np.float32)
    hands[0, 1] = 5, 6, 0.7
    return replace(
        poses,
        keypoints=np.zeros((1, 18, 3), np.float32),
        scores=np.full(1, 0.7, np.float32),
        filled=np.zeros((1, 18), np.bool_),
        hands=hands,
    )


def test_people_without_a_body_come_last_and_have_no_id() -> None:
    bodies = replace(some_people(3), size=(640, 480))
    alone = a_hand_alone()
    both = bodies.followed_by(alone)
    assert both.bodiless.tolist() == [False] * 3 + [True]
    assert both[:3].allclose(bodies, pixels=0, score=0)
    assert bodies.ids is not None
    assert both.ids is not None
    assert both.ids.tolist() == [*bodies.ids.tolist(), -1]
    assert both.hands is not None
    assert (both.hands[3] == alone.hands).all()
    assert both.faces is not None
    assert not both.faces[3].any()
    assert alone.followed_by(alone).ids is None
    assert bodies.followed_by(alone[:0]) is bodies
    with pytest.raises(ValueError, match="not of one picture and one skeleton"):
        bodies.followed_by(a_hand_alone((5, 5)))


def test_people_without_a_body_do_not_count_among_the_most_prominent() -> None:
    both = replace(some_people(3), size=(640, 480)).followed_by(a_hand_alone())
    for count in range(5):
        kept = both.most_prominent(count)
        assert kept.bodiless.tolist() == [False] * min(count, 3) + [True]
    assert both.to_coco(1) == replace(both[:3]).to_coco(1)


def test_people_come_in_the_order_of_their_ids_and_those_without_last() -> None:
    poses = replace(some_people(4), ids=np.array([9, -1, 2, 5]))
    ordered = poses.by_id()
    assert ordered.ids is not None
    assert ordered.hands is not None
    assert poses.hands is not None
    assert ordered.ids.tolist() == [2, 5, 9, -1]
    np.testing.assert_array_equal(ordered.keypoints, poses.keypoints[[2, 3, 0, 1]])
    np.testing.assert_array_equal(ordered.hands, poses.hands[[2, 3, 0, 1]])
    unknown = some_people(3, ids=False)
    assert unknown.by_id() is unknown
