"""The machine that carries frames: order, bounds, errors, and that nothing stays behind.

Where several threads must meet, they meet at barriers and events; nothing waits for time to pass.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import videos
from openpose_ext.errors import BackendError, SourceError
from openpose_ext.sources.source import Source
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.pipeline import ahead, followed, overlapped
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18

LONG = 30.0  # seconds after which a thread that should have come is taken for lost


class Counter:
    """An iterator that knows how far it was read, from where, and whether it was closed."""

    def __init__(self, most: int = 10**9) -> None:
        self.taken = 0
        self.most = most
        self.closed = False
        self.inside = 0

    def __iter__(self) -> Counter:
        return self

    def __next__(self) -> int:
        self.inside += 1
        assert self.inside == 1, "two threads take an item at once"
        try:
            if self.taken == self.most:
                raise StopIteration
            self.taken += 1
            return self.taken - 1
        finally:
            self.inside -= 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [t.name for t in set(threading.enumerate()) - before if "openpose_ext-" in t.name]
    # The engines' own threads end with them; workers are called by number.
    assert not [name for name in left if name.removeprefix("openpose_ext-").isdecimal()]


# The machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_order_whichever_is_ready_first(workers: int, count: int) -> None:
    items = Counter(count)
    assert list(overlapped(items, lambda n: n * n, workers)) == [n * n for n in range(count)]
    assert items.closed


def test_a_late_result_holds_back_those_behind_it() -> None:
    second_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_done.wait(LONG)
        if number == 1:
            second_done.set()
        return number

    assert list(overlapped(range(5), work, 2)) == list(range(5))


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=LONG)
    assert len(list(overlapped(range(9), lambda _: together.wait(), 3))) == 9


def test_no_more_is_read_than_a_few_items_ahead_of_the_consumer() -> None:
    items = Counter()
    results = overlapped(items, lambda n: n, 3)
    for number in range(100):
        assert next(results) == number
        assert items.taken <= number + 1 + 2 * 3
    results.close()  # type: ignore[attr-defined]


def test_a_thread_of_its_own_takes_items_before_they_are_wanted_and_no_further() -> None:
    items = Counter()
    far = threading.Event()

    def counted() -> Iterator[int]:
        for number in items:
            if number == 5:
                far.set()
            yield number

    taking = ahead(counted(), 5)
    assert next(taking) == 0
    assert far.wait(LONG)
    for number in range(1, 100):
        assert next(taking) == number
        assert items.taken <= number + 1 + 5
    taking.close()


def test_a_source_is_taken_ahead_as_far_as_it_says_unless_one_thread_is_all() -> None:
    class Film(Source):
        ahead = 20

        def __init__(self) -> None:
            super().__init__("film")
            self.far = threading.Event()

        def _frames(self) -> Iterator[Frame]:
            for index in range(60):
                if index == 20:
                    self.far.set()
                yield Frame(np.zeros((16, 16, 3), np.uint8), index=index)

        def close(self) -> None:
            pass

    for threads in (1, 2):
        with PoseEstimator(height=32, threads=threads) as estimator:
            film = Film()
            stream = estimator.stream(film)
            next(stream)
            # With two threads there are six frames at most on their way but for those taken ahead.
            assert film.far.wait(LONG if threads > 1 else 0.2) == (threads > 1)
            assert [frame.index for frame, _ in stream] == list(range(1, 60))


def test_nothing_is_read_before_the_first_result_is_asked_for() -> None:
    items = Counter()
    results = overlapped(items, lambda n: n, 2)
    assert items.taken == 0
    next(results)
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [ValueError("seven"), KeyboardInterrupt(), StopIteration()])
def test_an_error_in_the_work_comes_in_the_place_of_its_result(error: BaseException) -> None:
    def work(number: int) -> int:
        if number == 7:
            raise error
        return number

    items = Counter()
    results = overlapped(items, work, 3)
    assert [next(results) for _ in range(7)] == list(range(7))
    # A StopIteration must not pass for the end of the items.
    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected):
        next(results)
    assert items.closed


def test_what_comes_before_an_error_of_the_items_is_delivered() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    results = overlapped(items(), lambda n: n, 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk is gone"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("how", ["close", "forget", "throw"])
def test_a_consumer_that_leaves_ends_everything(how: str) -> None:
    items = Counter()
    results = overlapped(items, lambda n: n, 3)
    next(results)
    if how == "close":
        results.close()  # type: ignore[attr-defined]
    elif how == "throw":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    del results
    gc.collect()
    assert items.closed
    read = items.taken
    assert read <= 1 + 2 * 3


def test_work_in_hand_is_finished_when_the_consumer_leaves() -> None:
    begun, go_on = threading.Event(), threading.Event()
    finished = []

    def work(number: int) -> int:
        if number == 1:
            begun.set()
            assert go_on.wait(LONG)
        finished.append(number)
        return number

    results = overlapped(range(2), work, 2)
    next(results)
    assert begun.wait(LONG)
    threading.Timer(0.01, go_on.set).start()
    results.close()  # type: ignore[attr-defined]
    assert finished == [0, 1]


def test_a_source_that_waits_is_told_to_stop() -> None:
    stopped = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert stopped.wait(LONG)

    results = overlapped(items(), lambda n: n, 2, stop=stopped.set)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]


def test_machines_work_behind_each_other() -> None:
    def in_order(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
        total = 0
        for number in numbers:
            total += number
            yield number, total

    items = Counter(40)
    squares = overlapped(items, lambda n: n * n, 3)
    results = overlapped(in_order(squares), lambda pair: pair, 2)
    got = list(results)
    assert [square for square, _ in got] == [n * n for n in range(40)]
    assert [total for _, total in got] == np.cumsum([n * n for n in range(40)]).tolist()
    assert items.closed


def test_leaving_the_last_of_several_machines_ends_the_first() -> None:
    items = Counter()
    first = overlapped(items, lambda n: n, 3)
    last = overlapped((n for n in first), lambda n: n, 2)
    next(last)
    last.close()  # type: ignore[attr-defined]
    del first, last
    gc.collect()
    assert items.closed


# The stages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite() -> Iterator[PoseEstimator]:
    with PoseEstimator(height=96, precision="f32", threads=2) as estimator:
        yield estimator


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """A picture with a person on it, (300, 256, 3)."""
    data = pytest.importorskip("matplotlib").get_data_path()
    picture = cv2.imread(f"{data}/sample_data/grace_hopper.jpg")
    assert picture is not None
    return np.asarray(cv2.resize(picture, (256, 300), interpolation=cv2.INTER_AREA), np.uint8)


def moved(picture: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.roll(picture, 3 * k, axis=1) for k in range(count)]


def test_a_stream_finds_what_calls_find_in_order(lite: PoseEstimator, people: np.ndarray) -> None:
    pictures = moved(people, 12)
    streamed = list(lite.stream(iter(pictures)))
    assert [frame.index for frame, _ in streamed] == list(range(12))
    for picture, (frame, poses) in zip(pictures, streamed, strict=True):
        assert frame.image is picture
        assert poses.allclose(lite(picture), pixels=0.01, score=1e-3)


def test_pictures_of_all_sizes_and_kinds_go_together(
    lite: PoseEstimator, people: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), people)
    wide = np.zeros((20, 200, 3), np.uint8)
    mixed = [people, wide, file, Frame(people, "camera", 77, 1.5)]
    frames, found = zip(*lite.stream(iter(mixed)), strict=True)
    assert [frame.size for frame in frames] == [(256, 300), (200, 20), (256, 300), (256, 300)]
    assert [poses.size for poses in found] == [frame.size for frame in frames]
    assert frames[2].source == os.fspath(file)
    assert frames[3] is mixed[3]
    assert len(found[0]) > 0
    assert found[0].allclose(found[2])
    assert found[0].allclose(found[3])


def test_people_that_are_known_are_not_looked_for(lite: PoseEstimator, people: np.ndarray) -> None:
    known = Poses.empty((256, 300))
    ((_, poses),) = lite.stream([Frame(people, poses=known)])
    assert poses is known
    assert lite(Frame(people, poses=known)) is known


def test_a_bad_picture_is_told_where_it_stands(lite: PoseEstimator, people: np.ndarray) -> None:
    stream = lite.stream(iter([people, "none.jpg", people]))
    next(stream)
    with pytest.raises(SourceError, match=r"none\.jpg"):
        next(stream)


@pytest.fixture
def files(people: np.ndarray, tmp_path: Path) -> dict[str, Path]:
    """A picture, another, a video of three frames, and three inputs that cannot be read."""
    found = {name: tmp_path / name for name in ("a.png", "b.png", "c.mp4", "damaged.png")}
    for name, picture in zip(("a.png", "b.png"), moved(people, 2), strict=True):
        cv2.imwrite(str(found[name]), picture)
    videos.write(found["c.mp4"], [people] * 3)
    found["damaged.png"].write_bytes(b"\x89PNG\r\n\x1a\n")
    found["nothing.mp4"] = tmp_path / "sub" / "nothing.mp4"
    found["nothing.mp4"].parent.mkdir()
    found["nothing.mp4"].write_bytes(b"no video")
    return found | {"none.jpg": tmp_path / "none.jpg"}


@pytest.mark.parametrize("form", [list, tuple, iter], ids=["a list", "a tuple", "an iterator"])
def test_every_input_gives_its_frames_each_time_it_is_named(
    lite: PoseEstimator, files: dict[str, Path], form: Callable[[list[Path]], Any]
) -> None:
    names = [files[name] for name in ("b.png", "a.png", "c.mp4", "a.png", "c.mp4", "b.png")]
    frames = [(frame.source, frame.index) for frame, _ in lite.stream(form(names))]
    assert frames == [
        (os.fspath(name), index)
        for name in names
        for index in range(3 if name.suffix == ".mp4" else 1)
    ]


def test_paths_and_their_people_go_side_by_side(
    lite: PoseEstimator, files: dict[str, Path]
) -> None:
    paths = [files[name] for name in ("b.png", "b.png", "a.png", "b.png", "a.png")]
    for path, (frame, poses) in zip(paths, lite.stream(paths), strict=True):
        assert frame.source == os.fspath(path)
        assert poses.allclose(lite(path))
    for path, poses in zip(paths, lite.batch(paths), strict=True):
        assert poses.allclose(lite(path))


def test_nothing_gives_nothing(lite: PoseEstimator) -> None:
    assert list(lite.stream([])) == []
    assert list(lite.stream(iter([]))) == []
    assert lite.batch([]) == []


@pytest.mark.parametrize("name", ["damaged.png", "nothing.mp4", "none.jpg"])
def test_an_input_that_cannot_be_read_is_an_error_in_its_place(
    lite: PoseEstimator, files: dict[str, Path], name: str
) -> None:
    stream = lite.stream([files["a.png"], files[name], files["b.png"]])
    assert next(stream)[0].source == os.fspath(files["a.png"])
    with pytest.raises(SourceError, match=re.escape(name)):
        next(stream)
    with pytest.raises(SourceError, match=re.escape(name)):
        next(lite.stream(files[name]))
    with pytest.raises(SourceError, match=re.escape(name)):
        lite.batch([files["a.png"], files[name]])


def test_whoever_hears_of_errors_gets_all_other_frames(
    lite: PoseEstimator, files: dict[str, Path]
) -> None:
    bad = [files[name] for name in ("none.jpg", "damaged.png", "nothing.mp4", "damaged.png")]
    good = [files["a.png"], files["b.png"], files["c.mp4"]]
    mixed = [bad[0], good[0], bad[1], bad[2], good[1], good[2], bad[3]]
    heard: list[tuple[object, SourceError]] = []
    for look in (lite.stream, lite.batch):
        found = look(mixed, on_error=lambda path, error: heard.append((path, error)))
        assert len(list(found)) == 5
        assert [path for path, _ in heard] == bad
        assert all(os.fspath(path) in str(error) for path, error in heard)
        heard.clear()


def test_of_a_folder_the_file_that_cannot_be_read_is_named(
    lite: PoseEstimator, files: dict[str, Path]
) -> None:
    folder = files["a.png"].parent
    heard: list[object] = []
    found = list(lite.stream(folder, on_error=lambda path, _: heard.append(path)))
    assert [Path(frame.source).name for frame, _ in found] == ["a.png", "b.png", *["c.mp4"] * 3]
    assert heard == [os.fspath(files["damaged.png"]), os.fspath(files["nothing.mp4"])]
    with pytest.raises(SourceError, match=r"damaged\.png"):
        list(lite.stream(folder))


def test_of_a_pattern_and_a_list_every_line_counts_but_no_file_of_a_folder_twice(
    lite: PoseEstimator, files: dict[str, Path]
) -> None:
    folder = files["a.png"].parent
    sub = folder / "more"
    sub.mkdir()
    files["a.png"].rename(sub / "a.png")
    listed = folder / "listed.txt"
    listed.write_text("b.png\nmore/a.png\nb.png\n")
    names = [Path(frame.source).name for frame, _ in lite.stream(listed)]
    assert names == ["b.png", "a.png", "b.png"]
    assert len(list(lite.stream(folder / "mor*" / "**"))) == 1  # more, and more/a.png
    for empty in (folder / "*.gif", folder / "bare"):
        (folder / "bare").mkdir(exist_ok=True)
        with pytest.raises(SourceError, match=r"no pictures? and no videos?"):
            list(lite.stream(empty))


def test_flaws_of_a_source_are_warnings_or_told_and_its_frames_come(
    lite: PoseEstimator, files: dict[str, Path]
) -> None:
    class Film(Source):
        def _frames(self) -> Iterator[Frame]:
            for index in range(3):
                if index == 1:
                    self._failed("frame 1 is damaged")
                yield Frame(np.zeros((16, 16, 3), np.uint8), index=index)

        def close(self) -> None:
            pass

    with pytest.warns(UserWarning, match="film: frame 1 is damaged"):
        assert len(list(lite.stream(Film("film")))) == 3
    heard: list[object] = []
    found = lite.stream(Film("film"), on_error=lambda path, error: heard.append((path, str(error))))
    assert len(list(found)) == 3
    assert heard == [("film", "film: frame 1 is damaged")]
    own: list[SourceError] = []
    assert len(list(lite.stream(Film("film", own.append)))) == 3
    assert len(own) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [(3.5, "not float"), (None, "not NoneType"), (np.zeros((9, 9, 3), np.uint8), "in a list")],
)
def test_what_is_no_source_is_refused_at_once(
    lite: PoseEstimator, source: object, reason: str
) -> None:
    with pytest.raises(TypeError, match=reason):
        lite.stream(source)
    with pytest.raises(TypeError, match="on_error must be callable"):
        lite.stream([], on_error="print")


def test_closing_the_estimator_ends_its_streams(people: np.ndarray) -> None:
    estimator = PoseEstimator(height=96, threads=2)
    stream = estimator.stream(people for _ in range(10**6))
    next(stream)
    estimator.close()
    with pytest.raises(BackendError, match="closed"):
        for _ in stream:
            pass


def test_two_streams_of_one_estimator_go_side_by_side(
    lite: PoseEstimator, people: np.ndarray
) -> None:
    pictures = moved(people, 6)
    pairs = zip(lite.stream(iter(pictures)), lite.stream(iter(pictures[::-1])), strict=True)
    forth, back = zip(*pairs, strict=True)
    for (_, one), (_, other) in zip(forth, back[::-1], strict=True):
        assert one.allclose(other)


def test_threads_bound_the_streams_of_the_engine(people: np.ndarray) -> None:
    with PoseEstimator(height=96, threads=1) as one, PoseEstimator(height=96, streams=3) as three:
        assert one.info.streams == 1
        assert three.info.streams == 3
        assert len(one.batch([people])) == len(three.batch([people])) == 1


ABANDONED = """
import numpy as np
import openpose_ext as op
from openpose_ext.stages.pipeline import overlapped

maps = np.ones((19, 12, 16), np.float32), np.ones((38, 12, 16), np.float32)

def work(_):
    for _ in range(20):
        op.decode_body(*maps)

results = overlapped(iter(int, 1), work, 4)
next(results)
"""


def test_workers_that_nobody_has_ended_do_not_abort_the_interpreter() -> None:
    """Coming back from C++ to an interpreter that is gone is std::terminate."""
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")


# The whole, killed -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("by", ["KILL", "TERM", "INT"])
def test_a_run_that_is_ended_is_taken_up_without_loss(by: str, tmp_path: Path) -> None:
    """A short round of bench/soak.py."""
    path = Path(__file__).parents[2] / "bench" / "soak.py"
    spec = importlib.util.spec_from_file_location("soak", path)
    assert spec is not None
    assert spec.loader is not None
    soak = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = soak  # dataclasses look there
    spec.loader.exec_module(soak)
    inputs = soak.made_up(tmp_path / "in")
    flags = ["--threads", "1"]
    begun = time.monotonic()
    assert soak.run(inputs, tmp_path / "undisturbed", flags).code == 0
    after = 0.7 * (time.monotonic() - begun)
    truth = soak.contents(tmp_path / "undisturbed")
    soak.run_round(inputs, tmp_path / "out", truth, by, after, flags)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("live", [False, True])
def test_a_hand_without_a_body_is_carried_along_without_an_id(smooth: bool, live: bool) -> None:
    hands = np.zeros((2, 2, 21, 3), np.float32)
    hands[1, 0] = 30, 40, 0.8
    keypoints = np.zeros((2, 18, 3), np.float32)
    keypoints[0] = np.arange(54).reshape(18, 3) + 1
    keypoints[0, :, 2] = 0.9
    poses = Poses(
        keypoints, np.ones(2, np.float32), np.zeros((2, 18), np.bool_), COCO_18, (100, 100), hands
    )
    picture = np.zeros((100, 100, 3), np.uint8)
    found = ((Frame(picture, "a.mp4", k, k / 10), poses, k) for k in range(30))
    results = list(followed(found, rate=10, smooth=smooth, live=live))
    assert [extra for *_, extra in results] == list(range(30))
    for _, seen, _ in results:
        assert seen.ids is not None
        assert seen.ids.tolist() == [0, -1]
        assert seen.hands is not None
        np.testing.assert_array_equal(seen.hands[1], hands[1])
