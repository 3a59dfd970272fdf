"""Slow and greedy clients, and files that are larger than they look: others are served all along,
memory stays within the budget, and nothing is left on disk."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from test_serve import HOST, LONG, Slow, picture, server_of, until

from openpose_ext.serve import app, connections
from openpose_ext.serve.folder import Folder

ELSEWHERE = "127.0.0.2"  # the address of another visitor
SIDE = 7000
VERY_LONG = 600.0


@dataclass
class Process:
    """A server of its own process, and its folder for uploads."""

    process: subprocess.Popen[str]
    port: int
    temporary: Path

    def ask(
        self, method: str, path: str, body: Any = None, address: str = HOST, patience: float = LONG
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            HOST, self.port, timeout=patience, source_address=(address, 0)
        )
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def look(self, body: bytes, address: str = HOST) -> tuple[int, dict[str, Any]]:
        """The last line of what comes of an upload, or the refusal."""
        status, lines = self.ask("POST", "/api/people?name=a", body, address, VERY_LONG)
        return status, json.loads(lines.splitlines()[-1])

    def memory(self, what: str) -> int:
        """Bytes: "VmRSS" now, "VmHWM" at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{what}:\s+(\d+) kB", status)[0]) * 1024

    @property
    def uploads(self) -> list[Path]:
        """What lies on disk of uploads."""
        return list(self.temporary.glob("openpose_ext-serve-*/*/upload"))


@contextmanager
def served(temporary: Path, *flags: str) -> Iterator[Process]:
    argv = [sys.executable, "-m", "openpose_ext.serve", "--port", "0", "--height", "184", *flags]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline()
            found = re.search(r":(\d+)/", address)
            assert found is not None, address
            yield Process(process, int(found[1]), temporary)
        finally:
            process.kill()


def begun(port: int, head: str, address: str = HOST) -> socket.socket:
    """A connection on which a request begins."""
    connection = socket.create_connection((HOST, port), LONG, (address, 0))
    connection.sendall(head.replace("\n", "\r\n").encode())
    return connection


UPLOAD = "POST /api/people HTTP/1.1\nHost: localhost\nContent-Length: 90000\n\n"


# Connections ----------------------------------------------------------------------------------


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed; waits for it."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_silent_connections_and_slow_heads_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD", 0.1)
    monkeypatch.setattr(connections, "_LOOKS", 0.05)
    with server_of(Slow()) as server:
        for head in ("", "GET /api/health HT", "GET /api/health HTTP/1.1\nHost: loc"):
            with begun(server.port, head) as connection:
                assert is_closed(connection)
        with begun(server.port, "GET /api/health HTTP/1.1\nHost: localhost\n\n") as connection:
            assert connection.recv(9) == b"HTTP/1.1 "  # and then nothing is asked any more
            while connection.recv(4096):
                pass


def test_a_new_connection_takes_the_place_of_the_most_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_EACH", 3)
    with server_of(Slow()) as server, ExitStack() as opened:
        silent = [opened.enter_context(begun(server.port, "")) for _ in range(3)]
        uploading = opened.enter_context(begun(server.port, UPLOAD))
        assert is_closed(silent[0])
        for _ in range(3):
            assert server.ask("GET", "/api/health")[0].status == 200
        assert is_closed(silent[1])
        until(lambda: server.folders)
        uploading.sendall(bytes(90000))
        assert uploading.recv(12) == b"HTTP/1.1 415"


def test_who_does_not_take_the_answer_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_STUCK", 0.1)
    monkeypatch.setattr(connections, "_LOOKS", 0.05)
    (tmp_path / "sample.jpg").write_bytes(bytes(50_000_000))
    monkeypatch.setattr(app, "_PAGE", tmp_path)
    with (
        server_of(Slow()) as server,
        begun(server.port, "GET /api/sample HTTP/1.1\nHost: localhost\n\n") as connection,
    ):
        got = len(connection.recv(1000))
        time.sleep(0.5)
        while piece := received(connection):
            got += len(piece)
    assert got < 50_000_000


def received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 20)
    except ConnectionError:
        return b""


def test_chunks_of_a_byte_cost_nothing() -> None:
    count = 200_000
    head = "POST /api/people HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n"
    with server_of(Slow()) as server, begun(server.port, head) as connection:
        sending = threading.Thread(
            target=lambda: connection.sendall(b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        )
        sending.start()
        answered = 0
        while sending.is_alive() or not answered:
            assert server.ask("GET", "/api/health")[0].status == 200
            answered += 1
        assert connection.recv(12) == b"HTTP/1.1 415"


def test_an_upload_that_comes_too_slowly_is_refused() -> None:
    with (
        server_of(Slow(), window=0.3, slowest=10_000) as server,
        begun(server.port, UPLOAD) as connection,
    ):
        answers: list[bytes] = []
        listening = threading.Thread(target=lambda: answers.append(connection.recv(12)))
        listening.start()
        while not answers:
            try:
                connection.sendall(b"x")
            except ConnectionError:
                break
            time.sleep(0.02)
        listening.join(LONG)
        assert answers == [b"HTTP/1.1 408"]
        until(lambda: not server.folders)


# The folder -----------------------------------------------------------------------------------


def test_the_folder_of_a_killed_server_goes_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = (
        "import os\nfrom openpose_ext.serve.folder import Folder\n"
        "folder = Folder().path\n(folder / 'upload').write_bytes(b'x')\nos._exit(9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 9
    (left,) = tmp_path.iterdir()
    (tmp_path / "openpose_ext-serve-link").symlink_to(tmp_path / "elsewhere")
    others = tmp_path / "openpose_ext-serve-not-ours"
    others.mkdir()
    living = Folder()
    assert not left.exists()
    another = Folder()
    assert living.path.exists()
    another.close()
    assert not another.path.exists()
    living.close()
    assert not living.path.exists()
    assert others.exists()


# The end --------------------------------------------------------------------------------------


def test_an_idle_server_ends_at_once_and_a_busy_one_when_it_is_done(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.look(picture())[0] == 200
        silent = begun(server.port, "")
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(LONG)
        print(f"an idle server ended in {time.monotonic() - begin:.2f} s")
        silent.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_worked_on_is_finished_and_nothing_new_is_taken() -> None:
    for let in (True, False):
        looks = Slow()
        with (
            server_of(looks, at_once=1) as server,
            server.visitor(picture()) as first,
            server.visitor(picture()) as second,
        ):
            assert looks.begun.acquire(timeout=LONG)
            server.jobs.end()
            assert list(second)[-1]["error"] == "The server is about to end."
            status, sentence = server.refusal("POST", "/api/people", picture())
            assert (status, sentence) == (503, "The server is about to end.")
            assert server.ask("GET", "/api/health")[0].status == 503
            if let:
                looks.let.release()
                assert list(first)[-1]["state"] == "done"
            else:
                server.jobs.give_all_up()
                looks.let.release()
                assert list(first)[-1]["error"] == "The server has ended."


# All at once, against a whole server -----------------------------------------------------------


def answered_within(server: Process, seconds: list[float], done: threading.Event) -> None:
    """Another visitor's pictures, one after the other; how long each takes."""
    while not done.is_set():
        begin = time.monotonic()
        status, line = server.look(picture(), ELSEWHERE)
        assert (status, line["state"]) == (200, "done")
        seconds.append(time.monotonic() - begin)


@contextmanager
def another_visitor(server: Process) -> Iterator[list[float]]:
    done = threading.Event()
    seconds: list[float] = []
    failed: list[BaseException] = []

    def visit() -> None:
        try:
            answered_within(server, seconds, done)
        except BaseException as error:
            failed.append(error)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        until(lambda: seconds or failed)
        yield seconds
    finally:
        done.set()
        visitor.join(LONG)
        assert failed == []


def silent_connections(server: Process, opened: ExitStack) -> None:
    for _ in range(210):
        opened.enter_context(begun(server.port, ""))
    time.sleep(3)


def uploads_of_a_byte(server: Process, opened: ExitStack) -> None:
    for _ in range(16):
        connection = opened.enter_context(begun(server.port, UPLOAD))
        connection.sendall(b"x")
    time.sleep(12)  # until they are cut off


def slow_reader(server: Process, opened: ExitStack) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3000, 3000, 3), np.uint8)
    _, line = server.look(bytes(cv2.imencode(".png", noise)[1]))
    head = f"GET /{line['files']['images']} HTTP/1.1\nHost: localhost\n\n"
    for _ in range(20):
        reader = opened.enter_context(begun(server.port, head))
        reader.recv(10)
    time.sleep(3)


def uploads_cut_in_the_middle(server: Process, opened: ExitStack) -> None:
    for _ in range(100):
        with begun(server.port, UPLOAD) as connection:
            connection.sendall(bytes(40000))


def many_small_uploads(server: Process, opened: ExitStack) -> None:
    small = bytes(cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1])
    for _ in range(500):
        assert server.look(small)[0] == 200


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "greedy",
    [
        silent_connections,
        uploads_of_a_byte,
        slow_reader,
        uploads_cut_in_the_middle,
        many_small_uploads,
    ],
)
def test_another_visitor_is_served_all_along(
    greedy: Callable[[Process, ExitStack], None], tmp_path: Path
) -> None:
    with served(tmp_path) as server:
        server.look(picture())
        with another_visitor(server) as seconds:
            time.sleep(2)
            alone = max(seconds)
            before = len(seconds)
            with ExitStack() as opened:
                greedy(server, opened)
            until(lambda: len(seconds) > before)
            beside = max(seconds[before:])
        print(f"{greedy.__name__}: alone {alone:.2f} s, beside {beside:.2f} s")
        assert beside <= alone + 2
        until(lambda: not server.uploads)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(LONG)
    assert list(tmp_path.iterdir()) == []


def mjpeg() -> bytes:
    """A video of 14 MB whose frames are 7000 x 7000 pixels."""
    noise = np.random.default_rng(0).integers(0, 255, (SIDE // 8, SIDE // 8, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(cv2.resize(noise, (SIDE, SIDE)), format="bgr24")
    frame = frame.reformat(format="yuvj420p")
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qmin": "8", "qmax": "8"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuvj420p"
        number = 0
        while file.tell() < 14_000_000:
            frame.pts = number
            container.mux(stream.encode(frame))
            number += 1
        container.mux(stream.encode(None))
    return file.getvalue()


def glass() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture of a single colour that one sees through."""
    return np.full((SIDE, SIDE, 4), 120, np.uint8)


def of_opencv(suffix: str, *flags: int) -> Callable[[], bytes]:
    return lambda: bytes(cv2.imencode(suffix, glass(), list(flags))[1])


def tiff() -> bytes:
    pil = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pil.fromarray(glass()).save(
        file, "TIFF", compression="tiff_adobe_deflate", tiffinfo={278: SIDE}
    )
    return file.getvalue()


def gif() -> bytes:
    pil = pytest.importorskip("PIL.Image")
    frames = [pil.new("P", (SIDE, SIDE), colour) for colour in (0, 1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "MJPEG": mjpeg,
    "TIFF": tiff,
    "AVIF": of_opencv(".avif", cv2.IMWRITE_AVIF_SPEED, 10),
    "JPEG 2000": of_opencv(".jp2"),
    "GIF": gif,
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("kind", BOMBS)
def test_four_bombs_at_once_stay_within_the_budget(kind: str, tmp_path: Path) -> None:
    body = BOMBS[kind]()
    with served(tmp_path) as server:
        server.look(picture())
        before = server.memory("VmRSS")
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
        answers: list[tuple[int, dict[str, Any]]] = []
        visitors = [
            threading.Thread(target=lambda: answers.append(server.look(body))) for _ in range(4)
        ]
        begin = time.monotonic()
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(VERY_LONG)
        peak = server.memory("VmHWM")
        states = [answer[1].get("state", answer[0]) for answer in answers]
        print(
            f"{kind}: {len(body) / 1e6:.1f} MB each, {before / 1e6:.0f} MB before, "
            f"{peak / 1e6:.0f} MB at most, {time.monotonic() - begin:.0f} s, {states}"
        )
        assert len(answers) == 4
        assert peak <= (before + 2_000_000_000) * 1.1
        assert all(state in ("done", 413) for state in states)
