"""Smoothing: against formulas written anew and scipy's filters, known truth, and hostile input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal

from motion import PICTURE, Moment, Walker, film, path, seen_poses
from openpose_ext.tracking.one_euro import OneEuro
from openpose_ext.tracking.two_pass import TwoPass, smooth_tracks
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

Floats = npt.NDArray[np.float64]
Smooth = Callable[[list[tuple[float, Poses]]], list[Poses]]

RATE = 30.0
TIMES = np.arange(0, 8, 1 / RATE)
PARTS = {name: part for part, name in enumerate(COCO_18.parts)}
WALK = Walker(path((0, 100, 650), (10, 1200, 650)))


def causal(frames: list[tuple[float, Poses]]) -> list[Poses]:
    smooth = OneEuro(rate=RATE)
    return [smooth(poses, time) for time, poses in frames]


def two_pass(frames: list[tuple[float, Poses]]) -> list[Poses]:
    return smooth_tracks(frames, rate=RATE)


both = pytest.mark.parametrize("smooth", [causal, two_pass])


def named(moment: Moment) -> tuple[float, Poses]:
    """Time and people of a moment, whose ids are those of their walkers."""
    return moment.time, replace(moment.poses, ids=moment.who)


def one_person(keypoints: Floats, topology: Topology = COCO_18, **fields: object) -> Poses:
    """Person 7 with these parts (K, 3)."""
    return replace(seen_poses([keypoints], topology), ids=np.array([7]), **fields)


def line(track: Floats, part: str = "Nose", score: float = 1.0) -> list[Poses]:
    """A person of whom one part moves as `track` (T, 2), and both ankles tell the size."""
    frames = []
    for xy in track:
        keypoints = np.zeros((18, 3))
        keypoints[PARTS["RAnkle"]] = 600, 700, 1
        keypoints[PARTS["LAnkle"]] = 620, 700, 1
        keypoints[PARTS[part]] = *xy, score
        frames.append(one_person(keypoints))
    return frames


def of_part(frames: list[Poses], part: str = "Nose") -> Floats:
    """(T, 3): a part of the only person."""
    return np.array([poses.keypoints[0, PARTS[part]] for poses in frames], np.float64)


def jitter(track: Floats) -> float:
    """Mean length of the second differences of (T, ..., 2)."""
    return float(np.hypot(*np.moveaxis(np.diff(track, 2, axis=0), -1, 0)).mean())


# Formulas


def test_two_passes_are_the_zero_lag_butterworth_filter() -> None:
    random = np.random.default_rng(0)
    noisy = np.column_stack([TIMES * 20 + 300, np.full(len(TIMES), 300.0)])
    noisy += random.normal(0, 20, noisy.shape)
    for cutoff in (2.0, 4.0):
        smoother = TwoPass(cutoff=cutoff, rate=RATE)
        frames = [p for poses in line(noisy) for p in smoother.push(poses)] + smoother.flush()
        filtered = scipy.signal.filtfilt(*scipy.signal.butter(2, cutoff, fs=RATE), noisy, axis=0)
        inner = slice(30, -30)
        apart = of_part(frames)[inner, :2] - filtered[inner]
        # filtfilt's frequencies are warped a little, ours are sampled.
        assert np.sqrt((apart**2).mean()) < 0.05 * np.sqrt((noisy - filtered)[inner].var())


def test_windows_give_what_all_frames_at_once_give() -> None:
    # The most probable motion of the whole video, by one system of linear equations.
    random = np.random.default_rng(1)
    times = np.sort(random.uniform(0, 8, 200))
    noisy = random.normal((400, 300), 30, (200, 2))
    scores = random.uniform(0.2, 1, 200)
    cutoff, interval = 3.0, 1 / 25
    frames = []
    for xy, score in zip(noisy, scores, strict=True):
        frames += line(xy[None], score=float(score))
    smoothed = smooth_tracks(zip(times, frames, strict=True), cutoff=cutoff, rate=1 / interval)

    noise = (2 * math.pi * cutoff) ** -4 / interval
    system, right = np.zeros((400, 400)), np.zeros((400, 2))
    system[1, 1] = 1 / (100 * noise / interval**2)  # at first at rest, more or less
    for frame in range(200):
        system[2 * frame, 2 * frame] += scores[frame] / noise
        right[2 * frame] += noisy[frame] * scores[frame] / noise
    for frame, step in enumerate(np.diff(times)):
        walk = np.linalg.inv([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        change = np.array([[-1, -step, 1, 0], [0, -1, 0, 1]])
        rows = slice(2 * frame, 2 * frame + 4)
        system[rows, rows] += change.T @ walk @ change
    expected = np.linalg.solve(system, right)[::2]
    # Noise of 30 pixels, of which the ends of the windows lose a little.
    np.testing.assert_allclose(of_part(smoothed)[:, :2], expected, atol=0.1)


def test_the_causal_filter_is_the_papers() -> None:
    random = np.random.default_rng(2)
    times = np.cumsum(random.uniform(0.01, 0.06, 200))
    noisy = np.column_stack([300 + 200 * np.sin(times), np.full(200, 300.0)])
    noisy += random.normal(0, 3, noisy.shape)
    smooth = OneEuro(min_cutoff=1.2, beta=3.0)
    frames = line(noisy)
    smoothed = [smooth(poses, time) for time, poses in zip(times, frames, strict=True)]

    def alpha(cutoff: float, step: float) -> float:
        return 1 / (1 + 1 / (2 * math.pi * cutoff) / step)

    # From nose to ankles it is 0.89 of a person's height, a size is 0.45 of it.
    expected = [noisy[0]]
    speed = np.zeros(2)
    for frame in range(1, 200):
        step = times[frame] - times[frame - 1]
        box = np.ptp([noisy[frame], (600, 700), (620, 700)], axis=0).max()
        slope = (noisy[frame] - expected[-1]) / step
        speed = alpha(1.0, step) * slope + (1 - alpha(1.0, step)) * speed
        cutoff = 1.2 + 3.0 * np.hypot(*speed) / (0.45 * box / 0.89)
        share = alpha(cutoff, step)
        expected.append(share * noisy[frame] + (1 - share) * expected[-1])
    np.testing.assert_allclose(of_part(smoothed)[:, :2], expected, atol=0.01)


# Jitter and lag


@pytest.mark.parametrize(
    ("smooth", "calmer", "lag"),
    [(causal, 2.3, 0.035), (two_pass, 6.0, 0.003)],
)
def test_jitter_falls_and_the_lag_of_a_walk_stays_small(
    smooth: Smooth, calmer: float, lag: float
) -> None:
    moments = list(film([WALK], TIMES, noise=0.01))
    smoothed = np.array([poses.keypoints[0, :, :2] for poses in smooth([*map(named, moments)])])
    seen = np.array([moment.poses.keypoints[0, :, :2] for moment in moments])
    truth = np.array([moment.truth[0] for moment in moments])
    assert jitter(seen) > calmer * jitter(smoothed)
    # Of parts that move evenly: so many pixels behind, at 110 pixels a second.
    behind = (truth - smoothed)[15:-15, [PARTS["Nose"], PARTS["Neck"], PARTS["RHip"]], 0].mean()
    assert abs(behind) / 110 < lag
    # All parts, swinging legs included.
    error = np.hypot(*np.moveaxis((smoothed - truth)[15:-15], -1, 0))
    before = np.hypot(*np.moveaxis((seen - truth)[15:-15], -1, 0))
    assert error.mean() < (1.15 if smooth is causal else 0.6) * before.mean()


@both
@pytest.mark.parametrize("group", ["hands", "faces"])
def test_hands_and_faces_are_smoothed_too(smooth: Smooth, group: str) -> None:
    random = np.random.default_rng(4)
    moments = list(film([WALK], TIMES))
    shape = random.uniform(-40, 40, {"hands": (2, 21, 2), "faces": (70, 2)}[group])
    frames = []
    for time, poses in map(named, moments):
        points = np.ones((1, *shape.shape[:-1], 3), np.float32)
        points[0, ..., :2] = np.add(shape, (600, 300)) + random.normal(0, 3, shape.shape)
        frames.append((time, replace(poses, **{group: points})))
    seen = np.array([getattr(poses, group)[0, ..., :2] for _, poses in frames])
    smoothed = np.array([getattr(poses, group)[0, ..., :2] for poses in smooth(frames)])
    assert jitter(seen) > 2.5 * jitter(smoothed)


@both
def test_scores_of_what_was_seen_are_kept(smooth: Smooth) -> None:
    frames = [named(moment) for moment in film([WALK], TIMES[:60], missing=0.2)]
    for (_, seen), smoothed in zip(frames, smooth(frames), strict=True):
        there = seen.keypoints[..., 2] > 0
        np.testing.assert_array_equal(
            smoothed.keypoints[..., 2][there], seen.keypoints[..., 2][there]
        )
        np.testing.assert_array_equal(smoothed.scores, seen.scores)
        assert not smoothed.filled[there].any()


# Gaps


def test_short_gaps_of_parts_are_filled_and_long_ones_are_not() -> None:
    moments = list(film([WALK], TIMES, noise=0.002))
    frames = [named(moment) for moment in moments]
    short, long = range(60, 72), range(60, 80)  # 0.4 and 0.67 seconds
    for part, gap in (("LWrist", short), ("RWrist", long)):
        for frame in gap:
            time, poses = frames[frame]
            keypoints = poses.keypoints.copy()
            keypoints[0, PARTS[part]] = 0
            frames[frame] = (time, replace(poses, keypoints=keypoints))
    smoothed = two_pass(frames)
    filled = of_part(smoothed, "LWrist")[short]
    assert ((filled[:, 2] > 0) & (filled[:, 2] <= np.float32(FILLED_SCORE))).all()
    truth = np.array([moments[frame].truth[0, PARTS["LWrist"]] for frame in short])
    assert np.hypot(*(filled[:, :2] - truth).T).max() < 0.05 * WALK.height
    assert all(smoothed[frame].filled[0, PARTS["LWrist"]] for frame in short)
    assert all(smoothed[frame].bridged[0, PARTS["LWrist"]] for frame in short)
    assert sum(int(poses.bridged.sum()) for poses in smoothed) == len(short)
    assert not of_part(smoothed, "RWrist")[long].any()
    assert sum(int(poses.filled.sum()) for poses in smoothed) == len(short)


def test_what_the_decoder_filled_counts_as_bridged_only_in_short_gaps() -> None:
    frames = [named(moment) for moment in film([WALK], TIMES, noise=0.002)]
    short, long = range(60, 72), range(60, 80)  # 0.4 and 0.67 seconds
    for part, gap in (("LWrist", short), ("RWrist", long)):
        for frame in gap:
            time, poses = frames[frame]
            keypoints, filled = poses.keypoints.copy(), poses.filled.copy()
            keypoints[0, PARTS[part], 2] = 0.03
            filled[0, PARTS[part]] = True
            frames[frame] = (time, replace(poses, keypoints=keypoints, filled=filled))
    smoothed = two_pass(frames)
    assert all(smoothed[frame].bridged[0, PARTS["LWrist"]] for frame in short)
    assert all(smoothed[frame].filled[0, PARTS["RWrist"]] for frame in long)
    assert not any(smoothed[frame].bridged[0, PARTS["RWrist"]] for frame in long)


def test_people_who_are_missing_for_a_moment_are_filled_in() -> None:
    others = Walker(path((0, 1200, 500), (10, 100, 500)), 200)
    moments = list(film([WALK, others], TIMES, noise=0.002))
    frames = [named(moment) for moment in moments]
    for frame in range(100, 110):
        time, poses = frames[frame]
        frames[frame] = (time, poses[poses.ids != 0])
    smoothed = two_pass(frames)
    for frame in range(100, 110):
        assert smoothed[frame].ids.tolist() == [1, 0]  # who was seen comes first
        person = smoothed[frame][1]
        assert person.filled.all()
        assert person.bridged.all()
        assert 0 < person.scores[0] <= FILLED_SCORE
        truth = moments[frame].truth[moments[frame].who == 0][0]
        assert np.hypot(*(person.keypoints[0, :, :2] - truth).T).max() < 0.05 * WALK.height


def test_frames_the_network_did_not_look_at_get_people_with_scores() -> None:
    moments = list(film([WALK], TIMES, noise=0.002, topology=BODY_25))
    frames = [
        (time, poses if frame % 3 == 0 else None)
        for frame, (time, poses) in enumerate(map(named, moments))
    ]
    smoothed = smooth_tracks(frames, rate=RATE)
    assert len(smoothed) == len(moments)
    for frame, (moment, poses) in enumerate(zip(moments[:238], smoothed[:238], strict=True)):
        assert poses.ids.tolist() == [0], frame
        assert not poses.filled.any()
        there = poses.keypoints[0, :, 2] > 0
        assert there.all()
        assert (poses.keypoints[0, :, 2] > 0.25).all()
        apart = poses.keypoints[0, :, :2] - moment.truth[0]
        assert np.hypot(*apart.T).max() < 0.03 * WALK.height


def test_missing_parts_do_not_freeze_and_come_back_where_they_are() -> None:
    there = np.repeat([[300.0, 300.0]], 30, axis=0)
    frames = [*line(there), *line(there[:1], "Neck") * 30, *line(there[:10] + np.array([500, 0]))]
    smooth = OneEuro(rate=RATE)
    smoothed = [smooth(poses) for poses in frames]
    assert not of_part(smoothed)[30:60].any()
    np.testing.assert_allclose(of_part(smoothed)[60:, :2], there[:10] + np.array([500, 0]))


# Sides


def swapped(poses: Poses, parts: tuple[str, ...]) -> Poses:
    """The same people with these parts exchanged for their other side's."""
    keypoints = poses.keypoints.copy()
    for part in parts:
        right, left = PARTS[f"R{part}"], PARTS[f"L{part}"]
        keypoints[:, [right, left]] = keypoints[:, [left, right]]
    return replace(poses, keypoints=keypoints)


@both
def test_legs_and_arms_that_swap_sides_for_a_moment_are_put_right(smooth: Smooth) -> None:
    moments = list(film([WALK], TIMES, noise=0.004))
    frames = [named(moment) for moment in moments]
    # Single frames, two in a row, single joints, and sides of which one is missing.
    for frame in (40, 55, 56, 90, 120, 121, 180):
        time, poses = frames[frame]
        parts = ("Ankle",) if frame == 90 else ("Hip", "Knee", "Ankle", "Wrist", "Elbow")
        poses = swapped(poses, parts)
        if frame == 180:
            keypoints = poses.keypoints.copy()
            keypoints[0, PARTS["RAnkle"]] = 0
            poses = replace(poses, keypoints=keypoints)
        frames[frame] = (time, poses)
    legs = [PARTS[f"{side}{part}"] for side in "LR" for part in ("Knee", "Ankle")]
    for moment, poses in zip(moments[5:], smooth(frames)[5:], strict=True):
        seen = poses.keypoints[0, legs, 2] > 0
        apart = np.hypot(*(poses.keypoints[0, legs, :2] - moment.truth[0, legs]).T)
        assert apart[seen].max() < 0.06 * WALK.height, moment.time


@both
def test_legs_that_pass_one_another_are_left_alone(smooth: Smooth) -> None:
    # From the side, as fast as in a run.
    times = np.arange(0, 4, 1 / RATE)
    runner = Walker(path((0, 100, 650), (4, 1200, 650)), facing=lambda time: 0.05)
    moments = list(film([runner], times * 1.5, noise=0.004))
    frames = [(time, named(moment)[1]) for time, moment in zip(times, moments, strict=True)]
    ankles = [PARTS["LAnkle"], PARTS["RAnkle"]]
    for moment, poses in zip(moments, smooth(frames), strict=True):
        found, truth = poses.keypoints[0, ankles, :2], moment.truth[0, ankles]
        if abs(truth[0, 0] - truth[1, 0]) > 0.15 * runner.height:
            straight = np.hypot(*(found - truth).T).sum()
            assert straight < np.hypot(*(found - truth[::-1]).T).sum(), moment.time


@both
def test_hands_that_swap_sides_for_a_frame_are_put_right(smooth: Smooth) -> None:
    hands = np.ones((1, 2, 21, 3), np.float32)
    hands[0, 0, :, :2] = np.add((700, 300), np.arange(42).reshape(21, 2))
    hands[0, 1, :, :2] = np.add((500, 300), np.arange(42).reshape(21, 2))
    body = one_person(np.column_stack([WALK.points(0.0, COCO_18), np.ones(18)]))
    frames = [
        (float(time), replace(body, hands=hands[:, ::-1] if frame == 20 else hands))
        for frame, time in enumerate(TIMES[:40])
    ]
    for poses in smooth(frames):
        np.testing.assert_allclose(poses.hands, hands, atol=0.01)


@both
def test_sides_that_stay_exchanged_are_believed(smooth: Smooth) -> None:
    # A network that held the right for the left at first, and then sees it.
    keypoints = np.column_stack([WALK.points(0.3, COCO_18), np.ones(18)])
    poses = one_person(keypoints)
    other = swapped(poses, ("Ankle",))
    frames = [(float(time), poses if time < 2 else other) for time in TIMES[:120]]
    smoothed = smooth(frames)
    np.testing.assert_allclose(smoothed[59].keypoints, poses.keypoints, atol=0.01)
    np.testing.assert_allclose(smoothed[70].keypoints, other.keypoints, atol=0.01)


# Streams


def test_frames_come_back_in_order_and_few_are_held() -> None:
    smoother = TwoPass(rate=RATE)
    returned = 0
    for frame, moment in enumerate(film([WALK], np.arange(0, 20, 1 / RATE))):
        time, poses = named(moment)
        for ready in smoother.push(replace(poses, timings={"frame": returned + 0.0}), time):
            returned += 1
            assert ready.ids.tolist() == [0]
        assert frame + 1 - returned <= 1.25 * RATE
        assert len(smoother._window) <= 2 * RATE
    assert returned + len(smoother.flush()) == frame + 1


def test_frames_that_all_have_one_time_are_not_held_for_ever() -> None:
    smoother = TwoPass()
    body = one_person(np.column_stack([WALK.points(0.0, COCO_18), np.ones(18)]))
    returned = sum(len(smoother.push(body, 0.0)) for _ in range(1500))
    assert returned > 750
    assert len(smoother._window) <= 1050
    assert returned + len(smoother.flush()) == 1500


def hostile() -> Iterator[tuple[float, Poses]]:
    """Crowds, nobody, jumps of time and space, other skeletons and sizes, points that are not."""
    random = np.random.default_rng(5)

    def crowd(people: int, topology: Topology = COCO_18, size: tuple[int, int] = PICTURE) -> Poses:
        keypoints = random.uniform(0, 700, (people, len(topology.parts), 3)).astype(np.float32)
        keypoints[..., 2] = random.uniform(0, 1, keypoints.shape[:2])
        keypoints[random.random(keypoints.shape[:2]) < 0.3] = 0
        poses = seen_poses(list(keypoints), topology)
        return replace(poses, ids=random.permutation(1000)[:people], size=size)

    yield 0.0, crowd(200)
    yield 0.0, crowd(200)
    yield 0.1, Poses.empty(PICTURE)
    yield 0.2, crowd(3)
    yield 1e9, crowd(3)
    yield 1e9, crowd(0)
    yield 5.0, crowd(2)
    yield 5.1, crowd(2, BODY_25)
    yield 5.2, Poses.empty(PICTURE)
    yield 5.3, crowd(2, BODY_25)
    yield 5.4, crowd(2, BODY_25, (640, 480))
    for value in (np.nan, np.inf, -np.inf, 1e30):
        poses = crowd(2)
        keypoints = poses.keypoints.copy()
        keypoints[0, 3, 0] = keypoints[1, :, 2] = value
        hands = np.full((2, 2, 21, 3), value, np.float32)
        yield 6.0, replace(poses, keypoints=keypoints, hands=hands)
    yield 6.1, one_person(np.zeros((18, 3)))
    yield -1e300, one_person(np.full((18, 3), 1.0))
    yield 1e300, one_person(np.full((18, 3), 1.0))


@both
def test_hostile_frames_give_finite_people(smooth: Smooth) -> None:
    frames = list(hostile())
    smoothed = smooth(frames)
    assert len(smoothed) == len(frames)
    for (_, before), poses in zip(frames, smoothed, strict=True):
        assert set(before.ids.tolist() if before.ids is not None else ()) <= set(
            poses.ids.tolist() if poses.ids is not None else ()
        )
        assert poses.size == before.size
        for points in (poses.keypoints, poses.hands):
            if points is not None:
                assert np.isfinite(points).all()
                assert (points[points[..., 2] <= 0] == 0).all()
                assert (points[..., 0] <= poses.size[0] - 1).all()


@pytest.mark.parametrize("smoother", [OneEuro().__call__, TwoPass().push])
def test_people_need_ids_of_their_own(smoother: Callable[[Poses], object]) -> None:
    body = one_person(np.ones((18, 3)))
    with pytest.raises(ValueError, match="use a Tracker first"):
        smoother(replace(body, ids=None))
    with pytest.raises(ValueError, match="the same id"):
        smoother(body[[0, 0]])


@pytest.mark.parametrize("smoother", [OneEuro().__call__, TwoPass().push])
@pytest.mark.parametrize("time", [np.nan, np.inf])
def test_times_must_be_numbers(smoother: Callable[[Poses, float], object], time: float) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        smoother(Poses.empty(PICTURE), time)


@pytest.mark.parametrize(
    ("make", "option"),
    [
        *((OneEuro, option) for option in ("min_cutoff", "beta", "rate")),
        *((TwoPass, option) for option in ("cutoff", "max_gap", "rate")),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_options_must_be_positive(make: type, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} must be positive"):
        make(**{option: value})


def test_the_first_frame_has_to_be_looked_at() -> None:
    with pytest.raises(ValueError, match="first frame"):
        TwoPass().push(None)
