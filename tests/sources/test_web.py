"""Pictures at addresses: one each, from a server on this machine."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

import videos
from openpose_ext.errors import SourceError
from openpose_ext.io.web import fetched
from openpose_ext.sources import open_source
from openpose_ext.sources.listing import find_inputs, kind_at
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.inputs import Inputs, Unread

FILES: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/locked.png" and self.headers["Authorization"] != "Basic dTpwIHA=":
            self.send_error(401)
            return
        if path not in FILES:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(FILES[path])))
        self.end_headers()
        with suppress(OSError):  # whoever asked has seen enough
            self.wfile.write(FILES[path])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    picture = cv2.imencode(".png", np.full((40, 60, 3), 90, np.uint8))[1].tobytes()
    clip = videos.write(tmp_path_factory.mktemp("web") / "a.mp4", [videos.barred(3)] * 4)
    FILES.update(
        {
            "/a.png": picture,
            "/photo": picture,
            "/locked.png": picture,
            "/cut.png": picture[:40],
            "/clip": clip.read_bytes(),
        }
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["a.png", "a.png?size=large", "photo"])
def test_a_picture_is_one_frame_and_no_stream(host: str, name: str) -> None:
    assert kind_at(f"{host}/{name}") == "picture"
    with open_source(f"{host}/{name}") as source:
        assert (source.count, source.live) == (1, False)
        (frame,) = source
    told = f"{host}/{name.partition('?')[0]}"  # a query may hold a secret
    assert (frame.source, frame.size, frame.time) == (told, (60, 40), None)
    assert read_picture(f"{host}/{name}").mean() == 90


def test_a_user_in_the_address_is_taken(host: str) -> None:
    address = host.replace("//", "//u:p%20p@") + "/locked.png"
    assert read_picture(address).shape == (40, 60, 3)
    with pytest.raises(SourceError, match="the server says 401"):
        fetched(f"{host}/locked.png")


def test_a_video_stays_one(host: str) -> None:
    assert kind_at(f"{host}/clip") == "video"
    with open_source(f"{host}/clip") as source:
        assert [frame.index for frame in source] == [0, 1, 2, 3]


def test_what_is_not_there_or_damaged_is_told_and_the_others_go_on(host: str) -> None:
    given = [f"{host}/{name}" for name in ("missing.png", "cut.png", "a.png")]
    found = [*Inputs(given)]
    assert [isinstance(one, Unread) for one in found] == [True, True, False]
    assert "the server says 404" in str(found[0].error)
    assert "truncated or damaged PNG" in str(found[1].error)


def test_animated_pictures_at_addresses_are_videos(host: str) -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    frames = [image.new("RGB", (60, 40), (50 * k, 0, 0)) for k in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    FILES["/a.gif"] = file.getvalue()
    assert kind_at(f"{host}/a.gif") == "animation"
    with open_source(f"{host}/a.gif") as source:
        assert len([*source]) == 3


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "a b.png"
    cv2.imwrite(str(file), np.full((4, 6, 3), 90, np.uint8))
    address = file.as_uri()
    assert "%20" in address
    assert find_inputs([address]).files[0].path == file
    assert read_picture(address).shape == (4, 6, 3)
    with open_source(address) as source:
        assert [frame.source for frame in source] == [str(file)]
    with pytest.raises(ValueError, match="files of another machine"):
        find_inputs(["file://host/a.png"])
