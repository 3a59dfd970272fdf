"""Live sources: the newest frame, whoever is slow, and a camera that goes and comes back."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from queue import Queue

import cv2
import numpy as np
import pytest

from openpose_ext.errors import SourceError
from openpose_ext.io.resize import at_size
from openpose_ext.sources import camera as module
from openpose_ext.sources import open_source
from openpose_ext.sources.camera import Camera, Shot, webcam
from openpose_ext.sources.source import View
from rtsp import Server, serving
from videos import numbered, shown, write

LOST = SourceError("the cable is out")


class Scripted:
    """A camera that takes a frame, or fails, when the test says so; frames show their number."""

    def __init__(self) -> None:
        self.steps: Queue[Shot | SourceError] = Queue()
        self.taken = 0
        self.waiting = threading.Semaphore(0)
        self.open = 0
        self.unreachable = False
        self.attempts = 0
        self.rate: float | None = 25.0

    def connect(self) -> Scripted:
        self.attempts += 1
        if self.unreachable:
            raise SourceError("nobody answers")
        self.open += 1
        return self

    def read(self) -> Shot:
        self.waiting.release()
        step = self.steps.get()
        if isinstance(step, SourceError):
            raise step
        return step

    def close(self) -> None:
        self.open -= 1

    def take(self, count: int = 1) -> None:
        """Take frames, by the camera's clock one each 40 ms."""
        for _ in range(count):
            self.steps.put(Shot(np.full((4, 6, 3), self.taken, np.uint8), 100 + self.taken / 25))
            self.taken += 1

    def lose(self) -> None:
        self.steps.put(LOST)

    def settle(self, reads: int) -> None:
        """Wait until the reading thread has come for that many further frames."""
        for _ in range(reads):
            assert self.waiting.acquire(timeout=20)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    return Scripted()


@pytest.fixture
def opened(scripted: Scripted) -> Iterator[Callable[..., Camera]]:
    """Open the scripted camera; one frame has been taken. Close it, whatever happens."""
    cameras: list[Camera] = []

    def open_camera(**options: object) -> Camera:
        scripted.take()
        cameras.append(Camera("the camera", scripted.connect, **options))
        return cameras[-1]

    yield open_camera
    for camera in cameras:
        scripted.lose()  # or its thread waits for the next frame for ever
        camera.close()
    assert scripted.open == 0


def number(picture: np.ndarray) -> int:
    return int(picture[0, 0, 0])


def test_a_slow_consumer_gets_the_newest_frame(
    scripted: Scripted, opened: Callable[..., Camera]
) -> None:
    camera = opened()
    assert camera.live
    assert (camera.size, camera.rate, camera.count) == ((6, 4), 25.0, None)
    scripted.settle(2)
    for pause in (1, 3, 20, 2):  # frames that pass while the consumer is busy
        scripted.take(pause)
        scripted.settle(pause)
        frame = next(camera)
        # The newest of all, so less than two frames behind whatever the camera shows.
        assert frame.index == number(frame.image) == scripted.taken - 1
        assert frame.time == pytest.approx(frame.index / 25)
    assert camera.errors == []


def test_a_fast_consumer_gets_every_frame_once(
    scripted: Scripted, opened: Callable[..., Camera]
) -> None:
    camera = opened()
    indices = []
    for _ in range(10):
        indices.append(next(camera).index)
        scripted.take()
    assert indices == list(range(10))


def test_a_lost_camera_is_reported_and_tried_again(
    scripted: Scripted, opened: Callable[..., Camera]
) -> None:
    heard: list[SourceError] = []
    camera = opened(report=heard.append)
    before = next(camera)
    scripted.lose()
    scripted.take()
    after = next(camera)
    assert [before.index, after.index] == [0, 1]
    assert number(after.image) == 1
    assert after.time > before.time  # by our clock: the camera's may have begun anew
    assert [str(error) for error in heard] == ["the camera: lost after frame 0: the cable is out"]
    assert camera.errors == heard
    assert scripted.attempts == 2


def test_pauses_between_attempts_grow(
    scripted: Scripted, opened: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = opened()
    next(camera)
    pauses: list[float] = []

    def wait(pause: float) -> bool:
        pauses.append(pause)
        scripted.unreachable = len(pauses) < 18
        return False

    monkeypatch.setattr(camera._closing, "wait", wait)
    scripted.lose()
    scripted.take()
    assert next(camera).index == 1
    assert pauses == [min(0.001 * 2**k, module._LONGEST_PAUSE) for k in range(18)]
    assert len(camera.errors) == 1


def test_a_camera_that_stays_away_is_given_up(
    scripted: Scripted, opened: Callable[..., Camera]
) -> None:
    camera = opened(patience=0.02)
    next(camera)
    scripted.unreachable = True
    scripted.lose()
    assert list(camera) == []
    assert [str(error) for error in camera.errors] == [
        "the camera: lost after frame 0: the cable is out",
        "the camera: given up: it could not be reached again in 0 seconds",
    ]


def test_a_camera_that_cannot_be_reached_at_first_is_refused(scripted: Scripted) -> None:
    before = {*threading.enumerate()}  # other tests' servers and caches may have theirs
    scripted.unreachable = True
    with pytest.raises(SourceError, match="nobody answers"):
        Camera("the camera", scripted.connect)
    scripted.unreachable = False
    scripted.lose()
    with pytest.raises(SourceError, match="cable"):
        Camera("the camera", scripted.connect)
    assert scripted.open == 0
    assert {*threading.enumerate()} <= before


def test_chosen_frames_of_a_camera(scripted: Scripted, opened: Callable[..., Camera]) -> None:
    camera = opened(view=View(first=2, last=6, step=2))
    assert camera.rate == 12.5
    indices = []
    for _ in range(6):
        scripted.take()
        if scripted.taken in (3, 5, 7):
            indices.append(next(camera).index)
    assert indices == [2, 4, 6]
    assert list(camera) == []  # the last was asked for: the camera is let go
    camera._thread.join(20)
    assert scripted.open == 0


def test_closing_ends_the_wait_for_a_frame(
    scripted: Scripted, opened: Callable[..., Camera]
) -> None:
    camera = opened()
    seen: list[int] = []
    consumer = threading.Thread(target=lambda: seen.extend(frame.index for frame in camera))
    consumer.start()
    scripted.settle(2)
    closing = threading.Thread(target=camera.close)
    closing.start()
    consumer.join(20)
    assert not consumer.is_alive()
    scripted.lose()
    closing.join(20)
    assert not closing.is_alive()
    assert seen in ([0], [])
    assert camera.errors == []  # that was no loss
    assert scripted.open == 0


class Webcam:
    """What cv2.VideoCapture is for camera 2, and no other."""

    released = 0

    def __init__(self, index: int) -> None:
        self.index = index
        self.asked: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802
        return self.index == 2

    def set(self, key: int, value: float) -> None:
        self.asked[key] = value

    def get(self, key: int) -> float:
        return 30.0 if key == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        width, height = (int(self.asked[k]) for k in (cv2.CAP_PROP_FRAME_WIDTH, 4))
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, : width // 2] = 255
        return True, picture

    def release(self) -> None:
        type(self).released += 1


def test_webcams_are_asked_for_a_size_and_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    monkeypatch.setattr(Webcam, "released", 0)
    with webcam(-1, resolution=(64, 48), view=View(rotate=90)) as camera:
        assert (camera.name, camera.size, camera.rate) == ("camera 2", (48, 64), 30.0)
        frame = next(camera)
        assert frame.image[-1].all()
        assert not frame.image[0].any()
    assert Webcam.released == 1
    assert camera.errors == []
    with open_source(2) as camera:
        assert camera.size == (1280, 720)


@pytest.mark.parametrize(("index", "named"), [(0, "camera 0"), (-1, "no camera")])
def test_a_missing_webcam_is_named(monkeypatch: pytest.MonkeyPatch, index: int, named: str) -> None:
    class Missing(Webcam):
        def isOpened(self) -> bool:  # noqa: N802
            return False

    monkeypatch.setattr(cv2, "VideoCapture", Missing)
    with pytest.raises(SourceError, match=named):
        open_source(index)
    with pytest.raises(ValueError, match="numbered from 0"):
        open_source(-2)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_a_stream_goes_on_when_its_server_comes_back(server: Server) -> None:
    lost = threading.Event()
    with open_source(server.address, report=lambda error: lost.set()) as stream:
        assert stream.live
        assert (stream.size, stream.rate) == ((160, 120), 25.0)
        before = [next(stream) for _ in range(5)]
        server.kill()
        assert lost.wait(20)
        server.start()
        after = [next(stream) for _ in range(5)]
    frames = [*before, *after]
    assert all(a.index < b.index and a.time < b.time for a, b in pairwise(frames))
    (error,) = map(str, stream.errors)
    assert re.fullmatch(rf"{server.address}: lost after frame \d+: the stream has ended", error)
    for frame in (before[0], after[-1]):
        white, _, _, _, _, _, blue = np.array_split(frame.image[:60], 7, axis=1)  # SMPTE's bars
        assert white.mean() > 170
        assert blue[..., 0].mean() > blue[..., 2].mean() + 100
        assert at_size(frame, (80, 60)).shape == (60, 80, 3)


def test_a_stream_taken_slowly_does_not_lag(server: Server) -> None:
    with open_source(server.address) as stream:
        for passed in (10, 25):
            while stream._newest is None or stream._newest.index < passed:
                time.sleep(0.01)  # the consumer is busy
            assert next(stream).index >= passed
    assert stream.errors == []


def test_an_address_that_does_not_answer_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"rtsp://127.0.0.1:{unused.getsockname()[1]}/live"
        with pytest.raises(SourceError, match="refused") as caught:
            open_source(address)
    assert str(caught.value).startswith(address)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a small web server: a video at /walk.mkv, a camera at /camera."""
    write(tmp_path / "walk.mkv", numbered(20), g="5")
    _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 200, np.uint8))
    part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg.tobytes() + b"\r\n"

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/camera":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):  # until nobody looks any more
                while True:
                    self.wfile.write(part)
                    time.sleep(0.01)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_video_at_an_address_is_read_to_its_end(web: str) -> None:
    for first in (0, 12):
        with open_source(f"{web}/walk.mkv", view=View(first=first)) as source:
            assert not source.live
            assert [shown(frame.image) for frame in source] == list(range(first, 20))
        assert source.errors == []
    with pytest.raises(SourceError, match=r"404|not found"):
        open_source(f"{web}/gone.mkv")


def test_a_camera_that_speaks_http_is_live(web: str) -> None:
    with open_source(f"{web}/camera", view=View(last=20)) as source:
        assert source.live
        assert source.size == (64, 48)
        frames = list(source)
    assert frames[-1].index == 20
    assert abs(frames[-1].image.mean() - 200) < 3
    assert source.errors == []
