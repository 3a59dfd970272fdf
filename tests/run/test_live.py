"""Results of cameras: there while they run, whole when they end, whatever ends them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import cv2
import pandas as pd
import pytest

from openpose_ext import infer
from openpose_ext.outputs.csv import CsvWriter
from openpose_ext.outputs.json_lines import JsonLinesWriter
from openpose_ext.outputs.video import VideoWriter
from openpose_ext.sources import camera as module
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from rtsp import serving
from standin import Standin
from webcam import Webcam, picture

KINDS = ("csv", "jsonl", "parquet", "coco_json", "video")
RATE = 25


def video_times(file: Path | bytes) -> list[float]:
    with av.open(io.BytesIO(file) if isinstance(file, bytes) else str(file)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_growing_video_can_be_played_while_it_is_written(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    writer = VideoWriter(file, rate=RATE, grows=True)
    for number in range(100):
        writer.add(picture(number), number / RATE)
        if number >= 60 and not number % 13:  # whoever is killed now leaves this
            assert video_times(file.read_bytes())[-1] > number / RATE - 1.2
    writer.close()
    assert video_times(file) == pytest.approx([k / RATE for k in range(100)], abs=2e-3)


def test_growing_rows_and_lines_are_there_at_once(tmp_path: Path) -> None:
    poses = Standin()(picture(0))
    table, lines = (
        CsvWriter(tmp_path / "a.csv", grows=True),
        JsonLinesWriter(tmp_path / "a.jsonl", grows=True),
    )
    for number in range(5):
        frame = Frame(picture(number), "cam", number, number / RATE)
        table.write(frame, poses)
        lines.write(frame, poses)
        assert pd.read_csv(tmp_path / "a.csv").frame.max() == number
        read = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
        assert [line["frame"] for line in read] == list(range(number + 1))
    lines.close()
    table.discard()  # after an error what was written stays
    assert pd.read_csv(tmp_path / "a.csv").frame.nunique() == 5
    VideoWriter(tmp_path / "b.mp4", grows=True).close()
    assert not (tmp_path / "b.mp4").exists()  # nothing was ever shown


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(*, named: str | None = None) -> list[str]:
    words = []
    for kind in KINDS:
        suffix = {"coco_json": "json", "video": "mp4"}.get(kind, kind)
        words += [f"--write_{kind}", *([f"{named}_{kind}.{suffix}"] if named else [])]
    return words


def whole(folder: Path, name: str = "camera") -> set[int]:
    """The frames in files of all kinds, which must agree; parts of a run by `name`."""
    table = pd.read_csv(folder / f"{name}.csv")
    frames = [*table.frame.unique()]
    assert [*pd.read_parquet(folder / f"{name}.parquet").frame.unique()] == frames
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == frames
    images = json.loads((folder / f"{name}_coco_images.json").read_text())["images"]
    assert [image["frame"] for image in images] == frames
    assert json.loads((folder / f"{name}_coco.json").read_text())
    assert len(video_times(folder / f"{name}_rendered.mp4")) == len(frames)
    return {*frames}


def test_segments_follow_one_another_without_a_frame_lost(place: Path) -> None:
    words = ["--camera", "/dev/video7", "--frame_last", "60", "-o", "out", "--segment", "0.2"]
    assert infer.main([*words, *written()]) == 0
    assert Webcam.opened[-1] == "/dev/video7"
    parts = sorted(Path("out").glob("camera_*.csv"))
    assert [part.name for part in parts] == [f"camera_{k:03d}.csv" for k in range(len(parts))]
    assert len(parts) >= 3
    frames = [whole(Path("out"), part.stem) for part in parts]
    assert all(max(a) < min(b) for a, b in pairwise(frames))
    for part in parts:
        times = pd.read_csv(part).time
        assert times.max() - times.min() < 0.2
    assert not [*Path("out").glob("*.unfinished")]


def test_segments_of_files_that_are_named(place: Path) -> None:
    words = ["--camera", "0", "--frame_last", "40", "--segment", "0.2"]
    assert infer.main([*words, "--write_csv", "t.csv", "--write_video", "v/t.mp4"]) == 0
    assert Path("t_000.csv").exists()
    assert Path("v/t_001.mp4").exists()
    assert not Path("t.csv").exists()


@pytest.mark.parametrize("named", [None, "t"])
def test_a_run_that_is_started_again_overwrites_no_segment(place: Path, named: str | None) -> None:
    words = ["--camera", "0", "--frame_last", "30", "-o", "out", "--segment", "0.2"]
    words += written(named=named)
    folder = Path() if named else Path("out")
    assert infer.main(words) == 0
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    assert infer.main(words) == 0
    assert {file: file.read_bytes() for file in before} == before
    after = {file for file in folder.iterdir() if file.is_file()} - {*before}
    assert len(after) >= len(before) - len(KINDS)  # each run ends at some point of a segment
    for file in [*before, *after]:
        if "_000" in file.name:
            file.unlink()  # to make room; the number is not used again
    assert infer.main(words) == 0
    assert not [*folder.glob("*_000*")]
    numbers = {kind: set[str]() for kind in ("csv", "parquet", "mp4")}
    for file in folder.iterdir():
        if file.suffix[1:] in numbers:
            numbers[file.suffix[1:]].add(file.stem.removesuffix("_rendered")[-3:])
    assert len({frozenset(found) for found in numbers.values()}) == 1
    found = sorted(map(int, numbers["csv"]))
    assert found == list(range(1, len(found) + 1))


def test_what_a_camera_gave_stays_when_the_run_fails(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Standin.__call__

    def fails(self: Standin, frame: Frame) -> Poses:
        if frame.index > 20:
            raise RuntimeError("the engine is gone")
        return found(self, frame)

    monkeypatch.setattr(infer.PoseEstimator, "__call__", fails)
    assert infer.main(["--camera", "0", "-o", "out", *written()]) == 70
    assert whole(Path("out"))


def test_what_a_camera_gave_stays_when_it_is_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.Camera.__init__.__kwdefaults__, "patience", 0.0)
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(
        Webcam, "read", lambda self: (False, None) if self.number > 20 else read(self)
    )
    monkeypatch.setattr(Webcam, "isOpened", lambda self: len(Webcam.opened) == 1)
    monkeypatch.setattr(Webcam, "opened", [])
    assert infer.main(["--camera", "0", "-o", "out", *written()]) == 1
    assert whole(Path("out"))


read = Webcam.read


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a camera that speaks HTTP, with a password."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):  # until nobody looks any more
                for number in range(10_000):
                    _, jpeg = cv2.imencode(".jpg", picture(number))
                    head = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
                    self.wfile.write(head + jpeg.tobytes() + b"\r\n")
                    time.sleep(1 / RATE)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://admin:S3cret@127.0.0.1:{server.server_port}/cam?pw=T0ken"
        server.shutdown()
        thread.join()


_RUN = """\
import sys
from openpose_ext import infer
from standin import Standin
from webcam import Webcam, picture
infer.PoseEstimator = Standin
sys.exit(infer.main(sys.argv[1:]))
"""


@pytest.fixture
def rtsp() -> Iterator[str]:
    """The address of a camera that speaks RTSP, alike."""
    with serving() as server:
        yield f"rtsp://admin:S3cret@127.0.0.1:{server.port}/live?pw=T0ken"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("camera", ["web", "rtsp"])
def test_a_camera_ended_from_outside(
    tmp_path: Path, request: pytest.FixtureRequest, camera: str, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    address = request.getfixturevalue(camera)
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, address, "-o", str(out), *written()],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        growing = 0.0
        while not growing:
            time.sleep(0.05)
            growing = time.monotonic() if any(out.glob("*.csv")) else 0.0
        time.sleep(4)
        process.send_signal(how)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    names = {path.name for path in out.iterdir()}
    stem = next(path.stem for path in out.glob("*.csv"))
    assert stem.startswith("127.0.0.1_")
    assert stem.endswith({"web": "_cam", "rtsp": "_live"}[camera])
    for secret in ("S3cret", "T0ken", "admin"):
        assert secret not in said
        assert not any(secret in name for name in names)
        assert not any(secret.encode() in path.read_bytes() for path in out.iterdir())
    if how is signal.SIGTERM:
        assert process.returncode == 143
        assert len(whole(out, stem)) > 2 * RATE
        assert not any(name.endswith((".unfinished", ".part")) for name in names)
        return
    # About four seconds went by; all but the last two must be there.
    table = pd.read_csv(out / f"{stem}.csv", on_bad_lines="skip")
    last = table.time.max()
    lines = (out / f"{stem}.jsonl").read_text().splitlines()
    assert json.loads(lines[-2])["time"] > last - 2
    assert video_times(out / f"{stem}_rendered.mp4")[-1] > last - 2
    assert last > 1.5


def test_addresses_that_differ_in_what_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: str
) -> None:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)
    other = web.replace("pw=T0ken", "pw=0ther")
    words = [web, other, "--frame_last", "3", "-o", "out", "--write_csv", "--write_json"]
    assert infer.main(words) == 0
    first, second = sorted(Path("out").glob("*.csv"))
    assert second.stem == f"{first.stem}_2"
    (source,) = pd.read_csv(first).source.unique()
    (other_source,) = pd.read_csv(second).source.unique()
    assert other_source == f"{source}_2"
    assert source.startswith("http://127.0.0.1:")
    assert source.endswith("/cam")
    assert "T0ken" not in source
