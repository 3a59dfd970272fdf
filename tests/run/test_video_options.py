"""Options of videos: the true frame rate, who is kept, ids on the drawn video, sound of the web."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

import videos
from openpose_ext import infer
from openpose_ext.outputs.draw import draw
from openpose_ext.stages import pipeline
from openpose_ext.types.poses import Poses
from standin import Standin


@pytest.fixture(autouse=True)
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(infer, "PoseEstimator", type("Fresh", (Standin,), {}))
    monkeypatch.chdir(tmp_path)
    return videos.write(Path("clip.mp4"), videos.numbered(20), sound=True)


def video_times(file: str) -> list[float]:
    with av.open(file) as container:
        return [frame.time for frame in container.decode(video=0)]


def test_times_follow_the_true_frame_rate_and_playback_does_not() -> None:
    words = ["clip.mp4", "--fps", "240", "--write_csv", "t.csv", "--write_video", "v.mp4"]
    assert infer.main([*words, "--frame_step", "2"]) == 0
    table = pd.read_csv("t.csv")
    assert [*table.time.unique()] == pytest.approx([k / 240 for k in range(0, 20, 2)])
    step = 2 / videos.RATE
    assert video_times("v.mp4") == pytest.approx([k * step for k in range(10)], abs=1e-3)


def test_smoothing_gets_its_options_and_the_true_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    followed = pipeline.followed

    def heard(*args: Any, **options: Any) -> Any:
        given.update(options)
        return followed(*args, **options)

    monkeypatch.setattr("openpose_ext.run.frames.followed", heard)
    words = ["clip.mp4", "--fps", "100", "--cutoff", "3", "--max_gap", "0.2", "--write_csv"]
    assert infer.main([*words, "t.csv"]) == 0
    assert given["smooth"]
    assert (given["rate"], given["cutoff"], given["max_gap"]) == (100, 3, 0.2)
    assert given["min_track"] == 0.4
    assert infer.main(["clip.mp4", "--identification", "--min_track", "0", "--write_csv"]) == 0
    assert (given["smooth"], given["min_track"]) == (False, 0)


def test_only_the_people_asked_for_are_kept() -> None:
    assert infer.main(["clip.mp4", "--keep_id", "1", "--write_csv", "t.csv"]) == 0
    assert {*pd.read_csv("t.csv").id} == {1}
    assert infer.main(["clip.mp4", "--keep_id", "0,1", "--write_csv", "t.csv"]) == 0
    assert {*pd.read_csv("t.csv").id} == {0, 1}
    with pytest.raises(SystemExit):
        raise SystemExit(infer.main(["clip.mp4", "--keep_id", "a"]))


def test_ids_that_nobody_has_are_told_with_those_that_are_there(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["clip.mp4", "--write_csv", "t.csv", "--keep_id"]
    assert infer.main([*words, "9,7"]) == 0
    told = "--keep_id 7, 9: nobody in clip.mp4 has such an id; the ids there are 0, 1\n"
    assert told in capfd.readouterr().err
    assert infer.main([*words, "1,7"]) == 0
    assert "keep_id" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--identification"], True),
        (["--identification", "--render_ids", "false"], False),
        ([], False),
        (["--smooth", "--render_ids", "true"], True),
    ],
)
def test_ids_are_drawn_where_that_is_asked_for(
    words: list[str], ids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def heard(picture: Any, poses: Poses, *args: Any, **options: Any) -> Any:
        asked.append(options["ids"])
        return draw(picture, poses, *args, **options)

    monkeypatch.setattr("openpose_ext.run.results.draw", heard)
    assert infer.main(["clip.mp4", *words, "--write_video", "v.mp4"]) == 0
    assert {*asked} == {ids}


def test_an_id_is_white_on_black_above_its_person() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, :, 2] = 0.9
    keypoints[0, :, 0], keypoints[0, :, 1] = 150, np.linspace(100, 190, 18)
    poses = Poses(
        keypoints,
        np.ones(1, np.float32),
        np.zeros((1, 18), np.bool_),
        Standin()(videos_frame()).topology,
        (300, 200),
        ids=np.array([37]),
    )
    plain, marked = draw(picture, poses), draw(picture, poses, ids=True)
    changed = np.argwhere((plain != marked).any(axis=2))
    assert len(changed) > 50
    assert changed[:, 0].max() <= 105
    assert abs(changed[:, 1].mean() - 150) < 15
    assert marked[:105].max() == 255
    assert marked[:105].min() < 60
    corner = Poses(
        keypoints * np.array([0, 0, 1], np.float32),
        poses.scores, poses.filled, poses.topology, poses.size, ids=poses.ids,
    )  # fmt: skip
    changed = (draw(picture, corner, ids=True) != draw(picture, corner)).any(axis=2)
    assert changed[:40, :60].sum() > 20


def videos_frame() -> Any:
    from openpose_ext.types.frame import Frame

    return Frame(np.zeros((48, 64, 3), np.uint8))


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Handler, directory=str(Path.cwd()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://admin:S3cret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_video_of_the_web_keeps_its_sound(web: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer.main([f"{web}/clip.mp4?key=T0ken", "--write_video", "v.mp4"]) == 0
    with av.open("v.mp4") as container:
        assert len(container.streams.audio) == 1
        heard = sum(frame.samples for frame in container.decode(audio=0)) / 8000
    assert heard == pytest.approx(20 / videos.RATE, abs=0.3)
    assert infer.main([f"{web}/gone.mp4?key=T0ken", "--write_video", "w.mp4"]) == 1
    said = capsys.readouterr()
    assert "/gone.mp4: " in said.err
    assert not any(secret in said.err + said.out for secret in ("T0ken", "S3cret"))
