"""People who are there for a moment only are left out, and nobody who stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from openpose_ext.tracking.lasting import Lasting
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18

RATE = 25


def with_ids(ids: Sequence[int]) -> Poses:
    people = len(ids)
    return Poses(
        np.full((people, 18, 3), 0.5, np.float32),
        np.full(people, 0.5, np.float32),
        np.zeros((people, 18), np.bool_),
        COCO_18,
        (64, 48),
        ids=np.array(ids, np.int64),
    )


def kept(frames: Sequence[Sequence[int]], seconds: float = 0.4) -> list[list[int]]:
    """The ids of each frame that are kept."""
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
    expected = present(60, {0: range(60), 1: range(20, 35)})
    assert kept(frames) == expected


def test_who_is_missed_now_and_then_stays_too() -> None:
    blinking = [number for number in range(20, 50) if number % 3]
    frames = present(60, {0: range(60), 1: blinking})
    found = kept(frames)
    assert sum(1 in ids for ids in found) >= len(blinking) - 5
    flicker = [20, 27, 36, 44]
    assert not any(1 in ids for ids in kept(present(60, {0: range(60), 1: flicker})))


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
