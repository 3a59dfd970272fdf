"""What everybody does first, with nothing but the package and the extras it needs.

`make test-versions` runs these with every Python and the newest and oldest dependencies, so they
use neither `../shared` nor what other tests are written with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

DEMO = Path(__file__).parents[2] / "docs" / "demo.jpg"
FRAMES = 6


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of the demo's people, with a title that is not UTF-8."""
    picture = cv2.resize(cv2.imread(os.fspath(DEMO)), (640, 360), interpolation=cv2.INTER_AREA)
    path = tmp_path / "clip.mp4"
    with av.open(os.fspath(path), "w") as file:
        file.metadata["title"] = "@@title@@"
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(FRAMES):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        file.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"@@title@@") == 1
    path.write_bytes(data.replace(b"@@title@@", b"\xe4\xf6\xfctitle\xff"))
    return path


def command(*words: object) -> str:
    """What a command prints; it must succeed."""
    run = subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def people(file: Path) -> int:
    return len(json.loads(file.read_text())["people"])


def test_a_picture_gives_people_a_drawing_and_text(tmp_path: Path) -> None:
    command("openpose_ext.infer", DEMO, "-o", tmp_path)
    assert people(tmp_path / "demo_keypoints.json") > 0
    drawn = cv2.imread(os.fspath(tmp_path / "demo_rendered.png"))
    assert np.any(drawn != cv2.imread(os.fspath(DEMO)))
    assert (tmp_path / "demo.txt").read_text().count("\n") > 0


def test_a_video_gives_as_many_drawn_frames_as_it_has(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command("openpose_ext.infer", clip, "-o", out, "--identification")
    with av.open(os.fspath(out / "clip_rendered.mp4")) as drawn:
        assert sum(1 for _ in drawn.decode(video=0)) == FRAMES
    found = [people(file) for file in sorted(out.glob("*_keypoints.json"))]
    assert len(found) == FRAMES
    assert min(found) > 0


def test_the_page_answers_for_a_picture_and_a_video(clip: Path) -> None:
    for module in ("httptools", "starlette", "uvicorn"):
        pytest.importorskip(module, reason="the extra `serve` is not installed")
    command = [sys.executable, "-m", "openpose_ext.serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[2].rstrip("/")
            for file, frames in ((DEMO, 1), (clip, FRAMES)):
                url = f"{address}/api/people?name={file.name}"
                request = urllib.request.Request(url, file.read_bytes(), method="POST")
                with urllib.request.urlopen(request, timeout=120) as answer:
                    *_, last = map(json.loads, answer)
                assert (last["state"], last["frames"], last["problems"]) == ("done", frames, [])
                assert last["frame"]["people"]
        finally:
            server.send_signal(signal.SIGINT)


@pytest.mark.ray
def test_a_batch_gives_the_same_people_as_rows(clip: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    command("openpose_ext.batch", DEMO, clip, "-o", tmp_path / "rows")
    tables = [pq.read_table(file) for file in (tmp_path / "rows" / "shards").glob("*.parquet")]
    rows = [row for table in tables for row in table.select(["source", "frame"]).to_pylist()]
    seen = {(Path(row["source"]).name, row["frame"]) for row in rows}
    assert seen == {("demo.jpg", 0), *(("clip.mp4", number) for number in range(FRAMES))}
