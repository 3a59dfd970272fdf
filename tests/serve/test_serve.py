"""The page and the API of `serve`, asked over real connections, and by a real browser."""

from __future__ import annotations

import asyncio
import base64
import csv
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import jsonschema
import numpy as np
import pytest
import skimage.data

from browser import CHROMIUM, Browser
from openpose_ext import infer
from openpose_ext.cli.exit_codes import Exit
from openpose_ext.errors import SourceWarning
from openpose_ext.serve import command, kept, live, preview
from openpose_ext.serve.app import uploads_app
from openpose_ext.serve.budget import Budget
from openpose_ext.serve.estimators import Estimators
from openpose_ext.serve.jobs import Asked, Job, Jobs
from openpose_ext.serve.kept import Kept
from openpose_ext.serve.latest import Latest
from openpose_ext.serve.listen import address_of, listening, serving
from openpose_ext.serve.options import Offer, Options
from openpose_ext.serve.upload import Limits, measured
from openpose_ext.sources.video import Video
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

LONG = 60.0  # seconds after which what should have come is taken for lost
HOST = "127.0.0.1"
HEIGHT = 184


# What is sent -------------------------------------------------------------------------------


def picture(suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, skimage.data.astronaut()[..., ::-1])[1])


def video(
    count: int = 6, size: tuple[int, int] = (160, 120), suffix: str = "mp4", options: Any = None
) -> bytes:
    """A video in which the astronaut moves to the right."""
    whole = cv2.resize(skimage.data.astronaut(), size)
    file = io.BytesIO()
    with av.open(file, "w", format=suffix) as container:
        stream = container.add_stream("libx264", rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            moved = np.roll(whole, 2 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that is side x side pixels large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    row = bytes(side // 8 + 2)
    data = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# A server -----------------------------------------------------------------------------------


@dataclass
class Server:
    """A running server, and what lies behind it."""

    port: int
    jobs: Jobs

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=LONG)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def refusal(self, *request: Any, **more: Any) -> tuple[int, str]:
        answer, body = self.ask(*request, **more)
        return answer.status, json.loads(body)["error"]

    def look(self, body: bytes, name: str = "file", query: str = "") -> list[dict[str, Any]]:
        answer, lines = self.ask("POST", f"/api/people?name={quote(name)}{query}", body)
        assert answer.status == 200, lines
        return [json.loads(line) for line in lines.splitlines()]

    @contextmanager
    def visitor(
        self, body: bytes, name: str = "file", address: str = HOST
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """Lines as they come; who leaves the block breaks the connection."""
        connection = http.client.HTTPConnection(
            HOST, self.port, timeout=LONG, source_address=(address, 0)
        )
        connection.request("POST", f"/api/people?name={name}", body)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield (json.loads(line) for line in answer)
        finally:
            assert connection.sock is None or connection.sock.close() is None
            answer.close()
            connection.close()

    @property
    def folders(self) -> list[Path]:
        """What lies on the server's disk."""
        return [path for path in self.jobs.root.iterdir() if path.is_dir()]


Start = Callable[..., Server]


OFFER = Offer(Options(height=HEIGHT), {"hand": ("none", "lite")})


@contextmanager
def jobs_of(estimator: Any, **limits: Any) -> Iterator[Jobs]:
    """Uploads that are worked on by an estimator, whatever their options ask for."""
    chosen = replace(Limits(), **limits)
    budget = Budget(chosen.memory)
    estimators = Estimators(lambda networks: nullcontext(estimator), lambda networks: 0, budget)
    with estimators, Jobs(estimators, budget, chosen) as jobs:
        yield jobs


@contextmanager
def server_of(estimator: Any, token: str | None = None, **limits: Any) -> Iterator[Server]:
    with jobs_of(estimator, **limits) as jobs, listening(HOST, 0) as listener:
        port = listener.getsockname()[1]
        with serving(uploads_app(jobs, OFFER, token=token, port=port), listener):
            yield Server(port, jobs)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    with ExitStack() as opened:
        yield lambda *how, **limits: opened.enter_context(server_of(*how, **limits))


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """Give a server for what is refused."""
    with server_of(Slow()) as server:
        yield server


@pytest.fixture(scope="module")
def estimator() -> Iterator[PoseEstimator]:
    with PoseEstimator(height=HEIGHT, streams=2) as opened:
        yield opened


class Slow:
    """In place of an estimator: finds nobody, one frame each time it is let."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, frame: Frame) -> Poses:
        self.begun.release()
        assert self.let.acquire(timeout=LONG)
        return Poses.empty(frame.size)


def refused_on(connection: socket.socket) -> tuple[int, str]:
    """The refusal that comes before the request is whole."""
    with http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status, json.loads(answer.read())["error"]


def until(true: Callable[[], Any]) -> None:
    """Wait for what happens in another thread."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# What comes back ----------------------------------------------------------------------------


def test_a_picture_gives_its_people_and_files(start: Start, estimator: PoseEstimator) -> None:
    server = start(estimator)
    line = server.look(picture(), "C:\\Pictures\\Eileen Collins.png")[-1]
    expected = estimator(skimage.data.astronaut()[..., ::-1])
    assert line["state"] == "done"
    assert line["problems"] == []
    assert line["frame"]["people"] == expected.to_openpose()["people"]
    assert line["frame"]["source"] == "Eileen Collins.png"
    assert "picture" not in line

    assert list(line["files"]) == ["images", "json", "csv", "zip"]
    zipped = line["files"].pop("zip")
    files = {kind: server.ask("GET", f"/{place}") for kind, place in line["files"].items()}
    assert {answer.status for answer, _ in files.values()} == {200}
    assert json.loads(files["json"][1]) == expected.without_filled().to_openpose()
    drawn = cv2.imdecode(np.frombuffer(files["images"][1], np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (512, 512, 3)
    rows = list(csv.DictReader(io.StringIO(files["csv"][1].decode())))
    assert {row["source"] for row in rows} == {"Eileen Collins.png"}
    names = {kind: answer.headers["Content-Disposition"] for kind, (answer, _) in files.items()}
    assert "Eileen%20Collins_rendered.png" in names["images"]
    assert "Eileen%20Collins_keypoints.json" in names["json"]
    with zipfile.ZipFile(io.BytesIO(server.ask("GET", f"/{zipped}")[1])) as archive:
        assert archive.testzip() is None
        assert {archive.read(name) for name in archive.namelist()} == {
            body for _, body in files.values()
        }


def test_a_healthy_server_says_so_and_what_it_is_doing(start: Start) -> None:
    slow = Slow()
    server = start(slow, at_once=1)
    answer, body = server.ask("GET", "/api/health")
    assert answer.status == 200
    assert json.loads(body) == {"status": "ok", "working": 0, "waiting": 0}
    with server.visitor(picture()), server.visitor(picture()):
        assert slow.begun.acquire(timeout=LONG)
        busy = {"status": "ok", "working": 1, "waiting": 1}
        until(lambda: json.loads(server.ask("GET", "/api/health")[1]) == busy)
        slow.let.release(2)


def test_a_server_that_can_write_no_file_is_not_healthy(start: Start) -> None:
    server = start(Slow())
    shutil.rmtree(server.jobs.root)
    answer, body = server.ask("GET", "/api/health")
    assert answer.status == 503
    assert json.loads(body)["error"] == (
        "No file can be written on this server: No such file or directory."
    )


def test_a_video_is_shown_while_it_is_looked_at_and_then_given(start: Start) -> None:
    slow = Slow()
    server = start(slow)
    with server.visitor(video(6), "walk.mp4") as lines:
        slow.let.release()
        early = next(line for line in lines if line.get("frames") == 1)
        assert early["state"] == "working"
        assert early["count"] == 6
        assert early["frame"]["frame"] == 0
        slow.let.release(5)
        last = list(lines)[-1]
    assert last["state"] == "done"
    assert last["frames"] == 6
    assert list(last["files"]) == ["video", "jsonl", "csv", "zip"]

    _, drawn = server.ask("GET", f"/{last['files']['video']}")
    with av.open(io.BytesIO(drawn)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    _, written = server.ask("GET", f"/{last['files']['jsonl']}")
    schema = json.loads((files("openpose_ext") / "schemas/json_lines.json").read_text())
    listed = [json.loads(line) for line in written.splitlines()]
    for number, line in enumerate(listed):
        jsonschema.validate(line, schema)
        assert (line["source"], line["frame"]) == ("walk.mp4", number)
    jsonschema.validate(early["frame"], schema)
    part, body = server.ask("GET", f"/{last['files']['video']}", headers={"Range": "bytes=0-99"})
    assert (part.status, body) == (206, drawn[:100])  # as players ask


def test_pictures_come_along_if_they_are_asked_for(start: Start, estimator: PoseEstimator) -> None:
    large = cv2.imencode(".jpg", np.full((1000, 2000, 3), 90, np.uint8))[1].tobytes()
    line = start(estimator).look(large, query="&pictures=1")[-1]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(line["picture"]), np.uint8), 1)
    assert shown is not None
    assert shown.shape == (480, 960, 3)
    assert line["frame"]["size"] == [2000, 1000]


# What is refused ----------------------------------------------------------------------------

REFUSED = {
    "nothing": (b"", 400, "The file is empty."),
    "text named .jpg": (b"not a picture at all\n" * 50, 415, "not a readable picture or video"),
    "half a picture": (picture()[:9000], 415, "truncated or damaged PNG"),
    "half a JPEG": (picture(".jpg")[:9000], 415, "truncated or damaged JPEG"),
    "a page": (b"<!doctype html><script>alert(1)</script>", 415, "not a readable picture or video"),
    "a list of the server's files": (
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        415,
        "not a readable picture",
    ),
    "the same for ffmpeg": (
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        415,
        "not a readable picture or video",
    ),
    "a vector picture": (
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        415,
        "not a readable picture or video",
    ),
    "noise": (np.random.default_rng(1).bytes(5000), 415, "not a readable picture or video"),
    "a bomb": (bomb(9000), 413, "up to 50 megapixels"),
    "a giant bomb": (bomb(30000), 413, "up to 50 megapixels"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_picture_or_video_is_refused_with_a_reason(strict: Server, what: str) -> None:
    body, status, sentence = REFUSED[what]
    told = strict.refusal("POST", "/api/people?name=holiday.jpg", body)
    assert told[0] == status
    assert sentence in told[1]
    assert tempfile.gettempdir() not in told[1]
    assert strict.folders == []


def test_a_bomb_is_not_unpacked() -> None:
    """Neither OpenCV nor FFmpeg take the memory of 81 megapixels."""
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from starlette.exceptions import HTTPException\n"
        "from openpose_ext.serve.budget import Budget\n"
        "from openpose_ext.serve.upload import Limits, measured\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "budget = Budget(2_000_000_000)\n"
        "try: measured(Path(sys.argv[1]), Limits(), budget, lambda: False)\n"
        "except HTTPException as error: print(error.status_code, peak() - before)\n"
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(bomb(9000))
        file.flush()
        argv = [sys.executable, "-c", script, file.name]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LONG)
    status, kilobytes = map(int, done.stdout.split())
    assert status == 413
    assert kilobytes < 60_000


def test_large_frames_of_a_video_are_not_decoded(start: Start, tmp_path: Path) -> None:
    server = start(Slow(), pixels=50_000)
    told = server.refusal("POST", "/api/people", video(2, (640, 480)))
    assert told[0] == 413
    assert "up to 0.05 megapixels" in told[1]


def test_frames_that_become_large_in_the_middle_are_left_out(start: Start, tmp_path: Path) -> None:
    once = {"bf": "0", "x264-params": "repeat-headers=1"}
    grows = video(30, (160, 120), "mpegts", once) + video(3, (640, 480), "mpegts", once)
    (tmp_path / "grows.ts").write_bytes(grows)
    with (
        pytest.warns(SourceWarning, match="frame 30 is 640 x 480 pixels"),
        Video(tmp_path / "grows.ts") as source,
    ):
        assert [frame.size for frame in source] == [(160, 120)] * 33

    slow = Slow()
    slow.let.release(33)
    line = start(slow, pixels=50_000).look(grows)[-1]
    assert line["frames"] == 30
    assert line["problems"] == ["3 frames, 30 to 32, cannot be decoded"]


def test_an_upload_that_says_it_is_huge_is_refused_before_it_comes(strict: Server) -> None:
    with socket.create_connection((HOST, strict.port), timeout=LONG) as connection:
        connection.sendall(
            b"POST /api/people HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n"
        )
        status, sentence = refused_on(connection)
    assert status == 413
    assert "up to 200 MB" in sentence


def test_an_upload_that_does_not_say_how_large_it_is_is_cut_off(start: Start) -> None:
    server = start(Slow(), upload=100_000)
    chunks = iter([bytes(60_000)] * 2)
    status, sentence = server.refusal("POST", "/api/people", chunks)
    assert status == 413
    assert "up to 0.1 MB" in sentence
    assert server.folders == []


def test_an_upload_that_does_not_end_is_given_up(start: Start) -> None:
    server = start(Slow(), patience=0.2)
    with socket.create_connection((HOST, server.port), timeout=LONG) as connection:
        connection.sendall(
            b"POST /api/people HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow"
        )
        status, _ = refused_on(connection)
    assert status == 408
    assert server.folders == []


def test_a_form_is_told_what_to_send_instead(strict: Server) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, sentence = strict.refusal("POST", "/api/people", b"--x--", headers)
    assert status == 415
    assert "curl --data-binary" in sentence


def test_the_type_that_a_visitor_claims_is_not_believed(
    start: Start, estimator: PoseEstimator
) -> None:
    server = start(estimator)
    headers = {"Content-Type": "text/html"}
    answer, body = server.ask("POST", "/api/people?name=page.html", picture(".jpg"), headers)
    assert answer.status == 200
    assert json.loads(body.splitlines()[-1])["state"] == "done"


NAMES = {
    "../../../etc/passwd": "passwd",
    "..\\..\\boot.ini": "boot.ini",
    "/etc/cron.d/x.png": "x.png",
    "..": "upload",
    "": "upload",
    "a\0b\r\nSet-Cookie: x.png": "abSet-Cookie: x.png",
    "é\u202egnp.png": "égnp.png",
    "x" * 5000 + ".png": "x" * 96 + ".png",
}


def test_names_lead_nowhere(start: Start) -> None:
    slow = Slow()
    server = start(slow)
    for name, tidy in NAMES.items():
        slow.let.release()
        line = server.look(picture(), name)[-1]
        assert line["frame"]["source"] == tidy
        answer, _ = server.ask("GET", f"/{line['files']['images']}")
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
    below = {file.name for folder in server.folders for file in folder.rglob("*")}
    assert below == {"results", "people_rendered.png", "people_keypoints.json", "people.csv"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/people/x/images",
        "/api/people/../../etc/passwd",
        "/api/people/%2e%2e/%2e%2e",
        "/../../../etc/passwd",
        "/..%2f..%2f__init__.py",
        "/app.py",
        "/page/index.html",
    ],
)
def test_no_path_leads_to_other_files(strict: Server, path: str) -> None:
    status, sentence = strict.refusal("GET", path)
    assert status == 404
    assert sentence


# Who may ask --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "[::1]:1234"}, 200),
        ({"Host": "192.168.1.20:8000"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "localhost.rebound.example"}, 403),
        ({"Host": "127.0.0.1.nip.io"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_other_pages_and_names_are_turned_away(
    strict: Server, headers: dict[str, str], status: int
) -> None:
    answer, body = strict.ask("GET", "/api/options", headers=headers)
    assert answer.status == status, body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers
    if status == 403:
        assert json.loads(body)["error"]
        assert strict.ask("POST", "/api/people", picture(), headers)[0].status == 403
        assert strict.folders == []


def test_the_page_loads_nothing_from_elsewhere(strict: Server) -> None:
    answer, page = strict.ask("GET", "/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    assert {"page.css", "index.js"} <= set(loaded)
    for file in (files("openpose_ext.serve") / "page").iterdir():
        if not file.name.endswith((".css", ".js")):
            continue
        answer, text = strict.ask("GET", f"/{file.name}")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(("text/css", "text/javascript"))
        text = text.replace(b"http://www.w3.org/2000/svg", b"")  # a name, not an address
        assert not re.search(rb"https?://(?!127)|\beval\(|innerHTML", text)


# Several visitors ---------------------------------------------------------------------------


def test_visitors_wait_for_their_turn_and_see_it_come(start: Start) -> None:
    slow = Slow()
    server = start(slow, at_once=1)
    with server.visitor(video(2)) as first:
        assert slow.begun.acquire(timeout=LONG)
        with server.visitor(picture()) as second, server.visitor(picture()) as third:
            assert next(second)["ahead"] == 1
            assert next(third)["ahead"] == 2
            slow.let.release(2)
            assert list(first)[-1]["state"] == "done"
            assert next(line for line in third if line.get("ahead") != 2)["ahead"] == 1
            slow.let.release(2)
            assert list(second)[-1]["state"] == "done"
            assert list(third)[-1]["state"] == "done"


def test_too_many_uploads_are_sent_away_until_one_is_done(start: Start) -> None:
    slow = Slow()
    server = start(slow, uploads=2, at_once=1)
    with server.visitor(picture()) as first, server.visitor(picture()) as second:
        answer, body = server.ask("POST", "/api/people", picture())
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "60"
        assert "try again" in json.loads(body)["error"]
        slow.let.release(3)
        assert list(first)[-1]["state"] == list(second)[-1]["state"] == "done"
    assert server.look(picture())[-1]["state"] == "done"


def test_many_at_once_get_what_they_sent(start: Start, estimator: PoseEstimator) -> None:
    server = start(estimator)
    widths = [64 + 16 * number for number in range(10)]
    found: dict[int, Any] = {}

    def visit(width: int) -> None:
        body = cv2.imencode(".png", np.zeros((48, width, 3), np.uint8))[1].tobytes()
        found[width] = server.look(body, f"{width}.png")[-1]["frame"]

    visitors = [threading.Thread(target=visit, args=(width,)) for width in widths]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(LONG)
    assert {width: frame["size"] for width, frame in found.items()} == {w: [w, 48] for w in widths}
    assert {width: frame["source"] for width, frame in found.items()} == {
        w: f"{w}.png" for w in widths
    }


def test_who_leaves_gives_the_upload_up(start: Start) -> None:
    slow = Slow()
    server = start(slow, at_once=1)
    with server.visitor(video(50)) as first:
        assert slow.begun.acquire(timeout=LONG)
        with server.visitor(picture()) as second:
            assert next(second)["state"] == "waiting"
        until(lambda: len(server.folders) == 1)  # the one that waited
        slow.let.release()
        assert next(line for line in first if line.get("frames"))["frames"] == 1
    until(lambda: server.jobs._jobs and all(j.given_up for j in server.jobs._jobs.values()))
    slow.let.release(49)
    until(lambda: not server.folders)
    assert not server.jobs._jobs


def test_an_upload_that_breaks_off_leaves_nothing(start: Start) -> None:
    server = start(Slow())
    with socket.create_connection((HOST, server.port)) as connection:
        connection.sendall(
            b"POST /api/people HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nPNG"
        )
        until(lambda: server.folders)
    until(lambda: not server.folders)
    assert not server.jobs._jobs


# What stays ---------------------------------------------------------------------------------


def test_an_upload_is_deleted_when_it_is_done_and_its_results_later(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(kept, "monotonic", lambda: now[0])
    slow = Slow()
    slow.let.release()
    server = start(slow, keep=0.05)  # that often it is looked, too
    line = server.look(picture())[-1]
    assert not [file for folder in server.folders for file in folder.rglob("upload")]
    address = f"/{line['files']['json']}"
    assert server.ask("GET", address)[0].status == 200
    now[0] = 0.1
    assert server.ask("GET", address)[0].status == 404
    until(lambda: not server.folders)


def test_the_oldest_results_go_where_there_are_too_many(tmp_path: Path) -> None:
    results = Kept(seconds=1000, most=250)
    for name in "abc":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(bytes(100))
        results.add(name, folder, {"json": (folder / "file", name)})
    assert [list(results.files(key)) for key in "abc"] == [[], ["json"], ["json"]]
    assert [results.left(key) > 0 for key in "abc"] == [False, True, True]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["b", "c"]


def test_results_that_grow_too_large_end_the_upload(start: Start) -> None:
    slow = Slow()
    slow.let.release(60)
    server = start(slow, results=1000)
    line = server.look(video(60))[-1]
    assert line["state"] == "failed"
    assert "too large" in line["error"]
    assert server.folders == []


def sent_to(jobs: Jobs, body: bytes, options: Options | None = None) -> Job:
    """An upload that is started."""
    job = jobs.add(Asked("a", options))
    job.file.write_bytes(body)
    jobs.start(job, measured(job.file, jobs.limits, jobs.budget, lambda: False))
    return job


def test_nothing_stays_when_the_server_ends(estimator: PoseEstimator) -> None:
    with jobs_of(estimator) as jobs:
        root = jobs.root
        sent_to(jobs, picture())
    assert not root.exists()


def test_whole_frames_are_looked_at_as_often_as_was_asked() -> None:
    class Noting(Slow):
        every = 0

        def watch(self, every: int) -> Callable[[int, Frame], Poses]:
            self.every = every
            return lambda number, frame: self(frame)

    noting = Noting()
    noting.let.release(60)
    with jobs_of(noting) as jobs:
        job = sent_to(jobs, video(3), Options(detect_every=4))
        until(lambda: job.progress.state == "done")
    assert noting.every == 4


def test_an_error_in_the_server_is_told_without_its_words(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __call__(self, frame: Frame) -> Poses:
            raise RuntimeError("secret of the server")

    line = start(Broken()).look(picture())[-1]
    assert line["state"] == "failed"
    assert "secret" not in line["error"]
    assert "secret of the server" in capsys.readouterr().err


# The newest ---------------------------------------------------------------------------------


def test_a_slow_viewer_misses_some_and_never_the_last() -> None:
    async def view() -> list[int]:
        latest: Latest[int] = Latest()
        seen = []
        latest.put(1)
        async for value in latest.values():
            seen.append(value)
            if value == 1:
                for other in range(2, 1000):
                    latest.put(other)
            if value == 999:
                latest.put(1000)
                latest.end()
        return seen

    assert asyncio.run(view()) == [1, 999, 1000]


def test_all_viewers_see_the_end() -> None:
    latest: Latest[int] = Latest()

    async def view() -> int:
        return [value async for value in latest.values()][-1]

    async def views() -> list[int]:
        viewers = [asyncio.create_task(view()) for _ in range(5)]
        await asyncio.sleep(0)
        thread = threading.Thread(target=lambda: (latest.put(7), latest.end()))
        thread.start()
        try:
            return await asyncio.gather(*viewers)
        finally:
            thread.join()

    assert asyncio.run(views()) == [7] * 5


# --display ----------------------------------------------------------------------------------


def address_in(text: str) -> tuple[int, str]:
    found = re.search(rf"http://{HOST}:(\d+)(/\S*)", text)
    assert found is not None, text
    return int(found[1]), found[2]


def test_display_shows_the_newest_frame_to_who_has_the_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_has_screen", lambda: False)
    with preview() as show:
        port, path = address_in(capsys.readouterr().err)
        for number in range(500):  # nobody looks yet, and nothing waits
            show(
                Frame(np.zeros((60, 80, 3), np.uint8), index=number),
                np.zeros((60, 80, 3), np.uint8),
            )
        connection = http.client.HTTPConnection(HOST, port, timeout=LONG)
        connection.request("GET", f"{path}live")
        answer = connection.getresponse()
        line = json.loads(answer.readline())
        assert line["frames"] == 500
        assert line["picture"]
        other = http.client.HTTPConnection(HOST, port, timeout=LONG)
        other.request("GET", "/live")
        assert other.getresponse().status == 404
        other.close()
    assert answer.read() == b""  # and the stream ends with the run
    connection.close()


def test_infer_display_waits_for_the_browser_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[bytes] = []

    def opened(address: str) -> bool:
        port, path = address_in(address)

        def browse() -> None:
            connection = http.client.HTTPConnection(HOST, port, timeout=LONG)
            connection.request("GET", f"{path}live")
            lines.extend(connection.getresponse())
            connection.close()

        threads.append(threading.Thread(target=browse))
        threads[0].start()
        return True

    threads: list[threading.Thread] = []
    monkeypatch.setattr(live, "_has_screen", lambda: True)
    monkeypatch.setattr("webbrowser.open", opened)
    (tmp_path / "a.png").write_bytes(picture())
    code = infer.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--height", "184",
                       "--write_json", "", "--display"])  # fmt: skip
    threads[0].join(LONG)
    assert code == Exit.DONE, capsys.readouterr().err
    assert json.loads(lines[-1])["picture"]


# The command --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(how: signal.Signals, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "openpose_ext.serve", "--port", "0", "--height", "64"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        port, _ = address_in(process.stdout.readline())
        connection = http.client.HTTPConnection(HOST, port, timeout=LONG)
        connection.request("POST", "/api/people?name=a.png", picture())
        lines = connection.getresponse().read().splitlines()
        connection.close()
        assert json.loads(lines[-1])["state"] == "done"
        assert list(tmp_path.glob("openpose_ext-*"))
        process.send_signal(how)
        _, errors = process.communicate(timeout=LONG)
    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("openpose_ext-*"))


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(HOST, 0) as taken:
        port = taken.getsockname()[1]
        assert command.main(["--port", str(port)]) == Exit.USAGE
    assert f"cannot listen on port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--port", "70000"], "not a port"),
        (["--port", "-1"], "not a port"),
        (["--host", "no.such.host.invalid"], "cannot listen"),
        (["--megabyte", "3"], "did you mean --megabytes?"),
        (["photo.jpg"], "neither a flag"),
        (["--detect_every", "5", "--mode", "reference"], "needs whole frames"),
        (["--body", "none", "--hand"], "a body network is needed"),
        (["--allow_body", "none"], "a body network is needed"),
        (["--token", "short"], "8 to 128 letters"),
        (["--token", "not=allowed"], "8 to 128 letters"),
        (["--token", "long-enough", "--no_token"], "contradict each other"),
        (["--memory", "0.01"], "--memory 0.01 is too little"),
    ],
)
def test_a_wrong_command_line_is_explained(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(words) == Exit.USAGE
    assert sentence in capsys.readouterr().err


def test_a_network_that_is_not_there_is_said_before_anybody_asks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--port", "0", "--allow_body", "nobody.onnx"]) == Exit.MODEL
    assert "nobody.onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        ([], False),
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--no_token"], False),
        (["--token", "of-mine-1"], True),
    ],
)
def test_a_server_that_others_can_reach_wants_a_token(
    words: list[str],
    needs: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert command.main(["--port", "0", "--height", "64", *words]) == Exit.DONE
    out, err = capsys.readouterr()
    assert ("/?token=" in out) is needs
    assert ("of-mine-1 " in out) is ("of-mine-1" in words)
    assert ("everybody who can reach" in err) is ("--no_token" in words)


def test_without_the_server_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main([]) == Exit.USAGE
    assert "openpose_ext[serve]" in capsys.readouterr().err


def test_addresses_can_be_typed_into_a_browser() -> None:
    with listening(HOST, 0) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener, "0.0.0.0") == f"http://127.0.0.1:{port}/"
        assert address_of(listener, "::1") == f"http://[::1]:{port}/"


def test_the_packets_of_an_answer_do_not_wait_for_each_other() -> None:
    with listening(HOST, 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# A browser ----------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@needs_browser
def test_the_live_page_follows_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "_has_screen", lambda: False)
    frame = Frame(np.zeros((60, 80, 3), np.uint8))
    with Browser(tmp_path / "profile") as browser:
        with preview() as show:
            port, path = address_in(capsys.readouterr().err)
            show(frame, frame.image)
            browser.open(f"http://{HOST}:{port}{path}")
            browser.until("document.querySelector('img')?.naturalWidth === 80")
            show(frame, np.zeros((90, 160, 3), np.uint8))
            browser.until("document.querySelector('img').naturalWidth === 160")
        browser.until("document.getElementById('state').textContent.includes('ended')")
        assert browser.value("document.getElementById('state').textContent").startswith("2 frames")
        assert browser.messages == []
