"""People who are there for a moment only have no id; only pieces of others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from motion import Walker, path
from openpose_ext.tracking.lasting import Lasting
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18

RATE = 25
ARM = ("RShoulder", "RElbow", "RWrist")


def with_ids(ids: Sequence[int]) -> Poses:
    """People with these ids, each in a place of their own."""
    people = len(ids)
    keypoints = np.full((people, 18, 3), 0.5, np.float32)
    for person, one in zip(keypoints, ids, strict=True):
        x = 100 + 200 * one
        person[:, :2] = Walker(path((0, x, 600), (1, x, 600))).points(0, COCO_18)
    return Poses(
        keypoints,
        np.full(people, 0.5, np.float32),
        np.zeros((people, 18), np.bool_),
        COCO_18,
        (1280, 720),
        ids=np.array(ids, np.int64),
    )


def kept(frames: Sequence[Sequence[int]], seconds: float = 0.4) -> list[list[int]]:
    """The ids of each frame, -1 for people who have none any more."""
    lasting = Lasting[int](seconds, rate=RATE)
    out = []
    for number, ids in enumerate(frames):
        out += list(lasting.push(with_ids(ids), number / RATE, number))
    out += list(lasting.flush())
    assert [number for _, number in out] == list(range(len(frames)))
    return [[] if poses.ids is None else poses.ids.tolist() for poses, _ in out]


def present(frames: int, spans: dict[int, Sequence[int]]) -> list[list[int]]:
    return [[one for one, span in spans.items() if number in span] for number in range(frames)]


def test_who_stays_is_there_from_the_first_frame_on() -> None:
    frames = present(60, {0: range(60), 1: range(20, 35), 2: range(40, 45)})
    expected = present(60, {0: range(60), 1: range(20, 35), -1: range(40, 45)})
    assert kept(frames) == expected


def test_who_is_missed_now_and_then_stays_too() -> None:
    blinking = [number for number in range(20, 50) if number % 3]
    frames = present(60, {0: range(60), 1: blinking})
    found = kept(frames)
    assert sum(1 in ids for ids in found) >= len(blinking) - 5
    assert [len(ids) for ids in found] == [len(ids) for ids in frames]
    flicker = [20, 27, 36, 44]
    found = kept(present(60, {0: range(60), 1: flicker}))
    assert found == present(60, {0: range(60), -1: flicker})


def test_a_piece_of_somebody_is_left_out_and_nobody_else() -> None:
    """The arm of 0 is there for a moment, too, once where 0 is and once where 0 is not."""
    lasting = Lasting[int](0.4, rate=RATE)
    frames = present(60, {0: range(50), 1: range(60), 2: (*range(20, 25), *range(52, 55))})
    out = []
    for number, ids in enumerate(frames):
        poses = with_ids(ids)
        keypoints = poses.keypoints.copy()
        keypoints[poses.ids == 2] = with_ids([0]).keypoints[0]
        keypoints[np.ix_(poses.ids == 2, ~np.isin(COCO_18.parts, ARM))] = 0
        out += lasting.push(replace(poses, keypoints=keypoints), number / RATE, number)
    out += lasting.flush()
    found = [[] if poses.ids is None else poses.ids.tolist() for poses, _ in out]
    assert found == present(60, {0: range(50), 1: range(60), -1: range(52, 55)})


def test_short_holes_do_not_count() -> None:
    """A small person in the background, seen every other frame for 12 frames."""
    frames = present(60, {0: range(60), 1: range(20, 32, 2)})
    assert kept(frames) == frames


def test_whoever_the_beginning_or_the_end_cuts_off_is_kept() -> None:
    frames = present(60, {0: range(4), 1: range(55, 60)})
    assert kept(frames) == frames
    short = present(3, {0: range(3), 1: range(1, 3)})
    assert kept(short) == short


def test_no_frame_waits_longer_than_that() -> None:
    lasting = Lasting[int](0.4, rate=RATE)
    for number in range(100):
        ready = list(lasting.push(with_ids([number]), number / RATE, number))
        assert len(ready) == (number >= 10)


def test_people_without_ids_are_refused() -> None:
    lasting = Lasting[None](0.4)
    with pytest.raises(ValueError, match="ids"):
        list(lasting.push(replace(with_ids([1]), ids=None), 0.0, None))
    with pytest.raises(ValueError, match="seconds must be positive"):
        Lasting[None](0)
