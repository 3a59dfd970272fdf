"""People keep their ids: against known truth, figures by motmetrics, and hostile input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import motmetrics
import numpy as np
import numpy.typing as npt
import pytest

from motion import PICTURE, Moment, Walker, film, path
from openpose_ext.tracking.ids import Tracker
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

Follow = Callable[[Poses, float], npt.NDArray[np.int64]]


def crowd() -> list[Walker]:
    """Ten seconds: people cross, hide, turn around, flicker past one another, leave and come."""
    return [
        # These two cross behind a wall, a second long: each comes out where the other went in.
        Walker(path((0, 60, 600), (10, 2460, 600)), hidden=[(1.5, 2.6)]),
        Walker(path((0, 1040, 610), (10, -1360, 610)), 290, hidden=[(1.5, 2.6)]),
        # These two cross in the open.
        Walker(path((0, 150, 420), (8, 1100, 420)), 220),
        Walker(path((0, 1100, 425), (8, 150, 425)), 215),
        # Behind a pillar for a second.
        Walker(path((0, 300, 300), (10, 1100, 300)), 200, hidden=[(5.0, 6.0)]),
        # Turns around, once seen, once hidden.
        Walker(
            path((0, 500, 690), (4, 900, 690), (5.5, 900, 690), (10, 500, 690)),
            260,
            facing=lambda time: np.cos(time),
        ),
        Walker(path((0, 900, 250), (7.5, 1000, 250), (10, 900, 250)), 180, hidden=[(7.0, 8.0)]),
        # Leaves at the left; later somebody else comes in at the same place.
        Walker(path((0, 300, 500), (2, -100, 500), (10, -900, 500))),
        Walker(path((0, -2000, 500), (5, -100, 500), (10, 600, 500))),
    ]


def nearest_neighbour() -> Follow:
    """Each person gets the id of who was nearest before, with the same memory."""
    known: dict[int, tuple[npt.NDArray[np.float64], float]] = {}
    count = 0

    def follow(poses: Poses, time: float) -> npt.NDArray[np.int64]:
        nonlocal count
        seen = poses.keypoints[..., 2:] > 0
        centres = (poses.keypoints[..., :2] * seen).sum(axis=1) / seen.sum(axis=1)
        ids = np.full(len(poses), -1, np.int64)
        pairs = sorted(
            (float(np.hypot(*(centre - place))), person, i)
            for person, centre in enumerate(centres)
            for i, (place, since) in known.items()
            if time - since <= 2.0
        )
        for distance, person, i in pairs:
            if distance < 250 and ids[person] < 0 and i not in ids:
                ids[person] = i
        for person, centre in enumerate(centres):
            if ids[person] < 0:
                ids[person] = count
                count += 1
            known[int(ids[person])] = (centre, time)
        return ids

    return follow


def figures(moments: Iterable[Moment], follow: Follow) -> tuple[float, int]:
    """IDF1 and the number of id switches, by motmetrics."""
    book = motmetrics.MOTAccumulator(auto_id=True)
    for moment in moments:
        ids = follow(moment.poses, moment.time)
        # Who was seen is known, so a row is at its own walker and at no other.
        same = moment.who[:, None] == moment.who
        book.update(moment.who.tolist(), ids.tolist(), np.where(same, 0.0, np.nan))
    table = motmetrics.metrics.create().compute(book, metrics=["idf1", "num_switches"])
    return float(table["idf1"].iloc[0]), int(table["num_switches"].iloc[0])


def tracker(**options: float) -> Follow:
    track = Tracker(**options)

    def follow(poses: Poses, time: float) -> npt.NDArray[np.int64]:
        ids = track(poses, time).ids
        assert ids is not None
        return ids

    return follow


TIMES = np.arange(0, 10, 1 / 30)
CASES = {
    "clean": (COCO_18, TIMES, {}),
    "body_25": (BODY_25, TIMES, {"missing": 0.1}),
    "noisy": (COCO_18, TIMES, {"noise": 0.02, "missing": 0.3}),
    "flicker": (COCO_18, TIMES, {"missing": 0.1, "flicker": 0.3}),
    "slow": (COCO_18, np.arange(0, 10, 1 / 10), {"missing": 0.1}),
    "fast": (COCO_18, np.arange(0, 10, 1 / 60), {"missing": 0.1}),
    "uneven": (
        COCO_18,
        np.sort(np.random.default_rng(3).uniform(0, 10, 250)),
        {"missing": 0.1},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_people_who_cross_hide_turn_and_leave_keep_their_ids(case: str, seed: int) -> None:
    topology, times, faults = CASES[case]
    moments = list(film(crowd(), times, topology=topology, seed=seed, **faults))
    assert figures(moments, tracker()) == (1.0, 0)
    idf1, switches = figures(moments, nearest_neighbour())
    assert idf1 < 0.95
    assert switches >= 2


# Rules


STANDING = Walker(path((0, 600, 600), (9, 600, 600)))


def people(*walkers: Walker, time: float = 0.0, topology: Topology = COCO_18) -> Poses:
    """These people, exactly as they are."""
    return next(film(walkers, [time], noise=0, topology=topology)).poses


def ids_of(poses: Poses) -> list[int]:
    assert poses.ids is not None
    return poses.ids.tolist()


@pytest.mark.parametrize(("seconds", "same"), [(1.0, True), (1.9, True), (2.1, False)])
def test_a_hidden_person_is_remembered_for_two_seconds(seconds: float, same: bool) -> None:
    track = Tracker()
    for time in np.arange(0, 1, 0.1):
        track(people(STANDING), float(time))
    for time in np.arange(1, 0.9 + seconds, 0.1):
        assert ids_of(track(people(), float(time))) == []
    assert ids_of(track(people(STANDING), 0.9 + seconds)) == [0 if same else 1]


def test_ids_are_never_used_again() -> None:
    track = Tracker(memory=0.5)
    seen: list[int] = []
    for start in range(20):
        at = path((0, 100 + 50 * start, 600), (9, 100 + 50 * start, 600))
        seen += ids_of(track(people(Walker(at)), 5.0 * start))
    assert seen == list(range(20))


def test_a_cut_to_people_elsewhere_makes_them_new() -> None:
    track = Tracker()
    near = [Walker(path((0, x, 700), (9, x, 700)), 600) for x in (300, 900)]
    far = [Walker(path((0, x, 300), (9, x, 300)), 100) for x in (100, 600, 1200)]
    for frame in range(10):
        assert sorted(ids_of(track(people(*near)))) == [0, 1], frame
    for frame in range(10):
        assert sorted(ids_of(track(people(*far)))) == [2, 3, 4], frame


def test_people_are_told_apart_though_they_come_in_any_order() -> None:
    track = Tracker()
    walkers = [Walker(path((0, x, 600), (9, x, 600))) for x in (300, 600, 900)]
    first = people(*walkers)
    ids = np.array(ids_of(track(first)))
    for order in ([2, 0, 1], [1, 0, 2], [0, 2], [1], [2, 1, 0]):
        poses = track(first[order])
        assert ids_of(poses) == ids[order].tolist()
        np.testing.assert_array_equal(poses.keypoints, first.keypoints[order])


def test_the_upper_and_the_lower_half_are_one_person_to_whom_has_seen_both() -> None:
    track = Tracker()
    whole = people(STANDING)
    track(whole)
    for parts in (range(8), range(8, 14)):
        keypoints = np.zeros_like(whole.keypoints)
        keypoints[:, parts] = whole.keypoints[:, parts]
        assert ids_of(track(replace(whole, keypoints=keypoints))) == [0]


def test_people_are_predicted_where_they_will_be() -> None:
    walker = Walker(path((0, 100, 600), (10, 2000, 600)))
    track = Tracker()
    moments = list(film([walker], np.arange(0, 3, 1 / 10), noise=0))
    for moment in moments:
        hands = np.ones((1, 2, 21, 3), np.float32)
        hands[..., :2] = moment.poses.keypoints[:, :1, None, :2]
        faces = hands.reshape(1, 42, 3)[:, np.arange(70) % 42]
        poses = track(replace(moment.poses, hands=hands, faces=faces), moment.time)
    between = track.predict(2.95)
    assert ids_of(between) == [0]
    moved = between.keypoints - poses.keypoints
    np.testing.assert_allclose(moved[..., 0], 0.05 * 190, atol=1)
    np.testing.assert_allclose(moved[..., 1:], 0, atol=1)
    assert between.hands is not None
    np.testing.assert_allclose(between.hands[..., 0], between.keypoints[0, 0, 0], atol=1)
    assert between.faces is not None
    np.testing.assert_allclose(between.faces[..., 0], between.keypoints[0, 0, 0], atol=1)
    assert track.predict(60.0).keypoints[..., 0].max() == PICTURE[0] - 1
    # It changes nothing.
    assert ids_of(track(moments[-1].poses, 3.0)) == [0]


def test_who_is_missing_is_predicted_missing() -> None:
    track = Tracker()
    with pytest.raises(ValueError, match="before its first frame"):
        track.predict(0.0)
    keypoints = people(STANDING).keypoints.copy()
    keypoints[:, 3] = 0
    track(replace(people(STANDING), keypoints=keypoints), 0.0)
    assert not track.predict(0.1).keypoints[0, 3].any()
    track(people(), 0.2)
    assert len(track.predict(0.3)) == 0


# Hostile input


def test_a_time_that_goes_back_begins_anew() -> None:
    track = Tracker()
    assert ids_of(track(people(STANDING), 5.0)) == [0]
    assert ids_of(track(people(STANDING), 5.0)) == [0]
    assert ids_of(track(people(STANDING), 1.0)) == [1]
    assert ids_of(track(people(STANDING), 1.1)) == [1]
    assert ids_of(track(people(STANDING), 1e300)) == [2]
    assert ids_of(track(people(STANDING), -1e300)) == [3]


@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf])
def test_times_must_be_numbers(time: float) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        Tracker()(people(), time)


@pytest.mark.parametrize("option", ["rate", "memory"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_options_must_be_positive(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} must be positive"):
        Tracker(**{option: value})


def test_another_skeleton_needs_another_tracker() -> None:
    track = Tracker()
    track(people(STANDING, topology=BODY_25))
    assert ids_of(track(Poses.empty(PICTURE))) == []  # nobody has no skeleton
    assert ids_of(track(people(STANDING, topology=BODY_25))) == [0]
    with pytest.raises(ValueError, match="coco_18 came after others of body_25"):
        track(people(STANDING))


def test_a_skeleton_of_parts_unheard_of_is_tracked() -> None:
    names = tuple(f"Joint{part}" for part in range(18))
    topology = replace(COCO_18, name="robot", parts=names)
    track = Tracker()
    for moment in film([STANDING], TIMES[:20]):
        assert ids_of(track(replace(moment.poses, topology=topology), moment.time)) == [0]


def test_crowds_of_two_hundred_keep_their_ids() -> None:
    places = [(x, y) for x in range(20, 1270, 62) for y in range(60, 710, 65)]
    crowd = [Walker(path((0, x, y), (9, x + 50, y)), 55) for x, y in places]
    assert len(crowd) > 200
    track = Tracker()
    for moment in film(crowd, TIMES[:10], missing=0.1):
        ids = np.array(ids_of(track(moment.poses, moment.time)))
        if moment.time == 0:
            name = dict(zip(moment.who.tolist(), ids.tolist(), strict=True))
        assert ids.tolist() == [name[who] for who in moment.who.tolist()]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_nowhere_harm_nobody(value: float) -> None:
    track = Tracker()
    for frame in range(5):
        poses = people(STANDING, Walker(path((0, 200, 500), (9, 200, 500))))
        keypoints = poses.keypoints.copy()
        keypoints[0, 3, frame % 3] = value
        keypoints[0, 4] = value
        tracked = track(replace(poses, keypoints=keypoints))
        assert sorted(ids_of(tracked)) == [0, 1]
        assert np.isfinite(tracked.keypoints).all()
        assert np.isfinite(track.predict(1.0).keypoints).all()
