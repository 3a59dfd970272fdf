"""What the page asks of the server besides uploads: options, results found again, frames, token."""

from __future__ import annotations

import http.client
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import skimage.data
from test_serve import HEIGHT, LONG, Server, Slow, picture, server_of, until, video

from openpose_ext.serve.cost import Header, plan, read_header
from openpose_ext.serve.options import Offer, Options
from openpose_ext.stages.estimator import PoseEstimator

VISITOR = "a-visitor_of-16-characters"
TOKEN = "a.token-of_16~ch"


@pytest.fixture(scope="module")
def slow() -> Iterator[tuple[Slow, Server]]:
    slow = Slow()
    with server_of(slow) as server:
        yield slow, server


@pytest.fixture(scope="module")
def real() -> Iterator[Server]:
    with PoseEstimator(height=HEIGHT, streams=2) as opened, server_of(opened) as server:
        yield server


def asked(server: Server, method: str, path: str, body: Any = None, **headers: str) -> Any:
    answer, text = server.ask(method, path, body, headers)
    assert answer.status == 200, text
    return json.loads(text)


# Options --------------------------------------------------------------------------------------


def test_the_options_say_what_may_be_asked_for(real: Server) -> None:
    told = asked(real, "GET", "/api/options")
    assert told["networks"]["hand"] == ["none", "lite"]
    assert told["defaults"]["height"] == HEIGHT
    assert told["ranges"]["height"] == [64, 1024]
    assert told["limits"]["upload"] == 200_000_000
    assert told["topologies"]["coco_18"]["parts"][0] == "Nose"
    assert len(told["topologies"]["coco_18"]["colours"]) == 18
    assert told["token"] is False


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("heigth=200", "there is no option 'heigth'"),
        ("height=2000", "from 64 to 1024"),
        ("height=nan", "from 64 to 1024"),
        ("render_threshold=nan", "from 0 to 1"),
        ("hand=openpose", "is not offered here"),
        ("body=/etc/passwd", "is not offered here"),
        ("smooth=perhaps", "neither true nor false"),
        ("height=200&height=300", "given twice"),
        ("visitor=short", "16 to 64 letters"),
    ],
)
def test_a_wrong_option_is_refused_before_the_file_comes(
    real: Server, query: str, sentence: str
) -> None:
    for path in ("/api/people", "/api/frame"):
        status, told = real.refusal("POST", f"{path}?{query}", b"")
        assert status == 400
        assert sentence in told
    assert real.folders == []


def test_networks_that_are_offered_can_be_asked_for_by_name_or_as_flags() -> None:
    offer = Offer(Options(), {"hand": ("none", "lite"), "body": ("mobilenet",)})
    assert offer.chosen([("hand", "true")]).hand == "lite"
    assert offer.chosen([("hand", "0")]).hand == "none"
    assert offer.chosen([("body", "mobilenet")]).of_networks.body == "mobilenet"
    assert offer.allowed("body") == ("lite", "mobilenet")


@pytest.mark.parametrize(
    ("offer", "name", "value", "sentence"),
    [
        (Offer(Options(body="none", hand="lite")), "foot", "lite", "choose a body network, too"),
        (Offer(Options(body="none", hand="lite")), "hand", "none", "only hands are found here"),
        (Offer(mode="reference"), "refine", "1", "has no second look"),
        (Offer(mode="zoo"), "detect_every", "3", "needs whole frames"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    offer: Offer, name: str, value: str, sentence: str
) -> None:
    networks = dict.fromkeys(("hand", "foot"), ("none", "lite"))
    with pytest.raises(ValueError, match=sentence):
        replace(offer, networks=networks).chosen([(name, value)])


def test_people_are_drawn_as_asked(real: Server) -> None:
    def drawn(query: str) -> Any:
        line = real.look(picture(), "a.png", query)[-1]
        body = real.ask("GET", f"/{line['files']['images']}")[1]
        return cv2.imdecode(np.frombuffer(body, np.uint8), 1)

    black = drawn("&disable_blending=1")
    assert 0.9 < (black == 0).all(axis=2).mean() < 1
    assert (drawn("&disable_blending=1&render_threshold=1") == 0).all()


def test_people_of_a_video_get_ids_and_are_smoothed(real: Server) -> None:
    body = video(30, (320, 240))
    line = real.look(body, "a.mp4", "&smooth=1&number_people_max=1")[-1]
    _, text = real.ask("GET", f"/{line['files']['jsonl']}")
    frames = [json.loads(one) for one in text.splitlines()]
    assert [frame["frame"] for frame in frames] == list(range(30))
    ids = {person["person_id"][0] for frame in frames for person in frame["people"]}
    assert len(ids) == 1
    assert all(len(frame["people"]) <= 1 for frame in frames)


def test_pictures_without_skeletons_are_kept_if_asked_for(real: Server) -> None:
    line = real.look(picture(), "a.png", "&plain=1")[-1]
    answer, body = real.ask("GET", f"/{line['files']['plain']}")
    assert "a_plain.jpg" in answer.headers["Content-Disposition"]
    shown = cv2.imdecode(np.frombuffer(body, np.uint8), 1)
    sent = cv2.imdecode(np.frombuffer(picture(), np.uint8), 1)
    assert np.abs(shown.astype(int) - sent).mean() < 4

    line = real.look(video(6, (2400, 80)), "a.mp4", "&plain=1&detect_every=6")[-1]
    _, body = real.ask("GET", f"/{line['files']['plain']}")
    with av.open(io.BytesIO(body)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (1920, 64)


# Found again ----------------------------------------------------------------------------------


def test_who_breaks_off_finds_the_upload_again(slow: tuple[Slow, Server]) -> None:
    looks, server = slow
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG)
    connection.request("POST", f"/api/people?name=a.mp4&visitor={VISITOR}&height=200", video(3))
    answer = connection.getresponse()
    key = json.loads(answer.readline())["key"]
    assert looks.begun.acquire(timeout=LONG)
    answer.close()
    connection.close()

    (listed,) = asked(server, "GET", f"/api/people?visitor={VISITOR}")["uploads"]
    assert (listed["key"], listed["name"]) == (key, "a.mp4")
    assert listed["state"] in ("waiting", "working")
    assert listed["options"]["height"] == 200
    assert asked(server, "GET", f"/api/people?visitor={'x' * 16}") == {"uploads": []}

    looks.let.release(3)
    answer, lines = server.ask("GET", f"/api/people/{key}")
    assert json.loads(lines.splitlines()[-1])["state"] == "done"
    answer, lines = server.ask("GET", f"/api/people/{key}?pictures=1")  # it is over: the last line
    (last,) = map(json.loads, lines.splitlines())
    assert last["frames"] == 3
    assert last["picture"]
    (listed,) = asked(server, "GET", f"/api/people?visitor={VISITOR}")["uploads"]
    assert listed["files"] == last["files"]
    assert 1700 < listed["left"] <= 1800

    assert server.ask("DELETE", f"/api/people/{key}")[0].status == 204
    assert server.refusal("GET", f"/api/people/{key}")[0] == 404
    assert server.refusal("GET", f"/{last['files']['csv']}")[0] == 404
    assert asked(server, "GET", f"/api/people?visitor={VISITOR}") == {"uploads": []}
    until(lambda: not server.folders)


def test_a_failure_is_found_again_too() -> None:
    class Broken:
        def __call__(self, frame: object) -> Any:
            raise RuntimeError

    with server_of(Broken()) as server:
        assert server.look(picture(), "a.png", f"&visitor={VISITOR}")[-1]["state"] == "failed"
        (listed,) = asked(server, "GET", f"/api/people?visitor={VISITOR}")["uploads"]
    assert listed["error"] == "Something went wrong in this server; its terminal says what."


def test_an_upload_that_is_worked_on_can_be_deleted(slow: tuple[Slow, Server]) -> None:
    looks, server = slow
    with server.visitor(video(20)) as lines:
        key = next(lines)["key"]
        assert looks.begun.acquire(timeout=LONG)
        assert server.ask("DELETE", f"/api/people/{key}")[0].status == 204
        looks.let.release(20)
        assert list(lines)[-1]["error"] == "The upload was removed."
    until(lambda: not server.folders)


def test_each_address_has_its_turn_and_its_number_of_uploads() -> None:
    looks = Slow()
    with server_of(looks, at_once=1, each=3) as server, ExitStack() as visitors:
        first = [visitors.enter_context(server.visitor(picture())) for _ in range(3)]
        assert looks.begun.acquire(timeout=LONG)
        status, sentence = server.refusal("POST", "/api/people", picture())
        assert status == 429
        assert "3 files from your address" in sentence
        other = visitors.enter_context(server.visitor(picture(), address="127.0.0.2"))
        assert next(other)["ahead"] == 1  # not 3
        looks.let.release(4)
        for lines in (*first, other):
            assert list(lines)[-1]["state"] == "done"


# A webcam -------------------------------------------------------------------------------------


def test_a_frame_gives_its_people_and_keeps_nothing(real: Server) -> None:
    whole = real.look(picture(".jpg"))[-1]["frame"]["people"]
    folders = len(real.folders)
    ids = []
    for _ in range(2):
        told = asked(real, "POST", f"/api/frame?visitor={VISITOR}&smooth=1", picture(".jpg"))
        people = told["frame"]["people"]
        assert len(people) == len(whole) == 1
        ids.append(people[0]["person_id"])
        assert told["seconds"] > 0
    assert ids[0] == ids[1] != [-1]
    assert len(real.folders) == folders


def came(server: Server) -> int:
    """How many frames of the visitor have come."""
    return sum(camera.newest for camera in server.jobs.webcams._cameras.values())


def test_a_frame_that_is_overtaken_is_not_looked_at() -> None:
    looks = Slow()
    answers: dict[int, int] = {}

    def send(number: int) -> None:
        path = f"/api/frame?visitor={VISITOR}"
        answers[number] = server.ask("POST", path, picture(".jpg"))[0].status

    with server_of(looks) as server:
        threads = [threading.Thread(target=send, args=(n,)) for n in range(3)]
        threads[0].start()
        assert looks.begun.acquire(timeout=LONG)
        for number in (1, 2):
            threads[number].start()
            until(lambda n=number: came(server) == n + 1)  # type: ignore[misc]
        looks.let.release(3)
        for thread in threads:
            thread.join(LONG)
    assert answers == {0: 200, 1: 409, 2: 200}


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"no picture", 415)])
def test_a_frame_that_is_no_picture_is_refused(real: Server, body: bytes, status: int) -> None:
    assert real.refusal("POST", "/api/frame", body)[0] == status
    assert real.refusal("POST", "/api/frame", video(2))[0] == 415


# A token --------------------------------------------------------------------------------------


def test_a_server_with_a_token_lets_only_those_in_who_know_it() -> None:
    with server_of(Slow(), TOKEN) as server:
        for path in ("/", "/page.css", "/api/options", "/api/people/x/zip", "/no"):
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {TOKEN}"},
                {"Cookie": f"openpose_ext_1={TOKEN}"},
            ):
                answer, body = server.ask("GET", path, headers=headers)
                assert answer.status == 401, path
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert "token" in json.loads(body)["error"]
        assert server.ask("POST", f"/api/people?token={TOKEN}", picture())[0].status == 401
        assert server.folders == []
        assert server.ask("GET", "/api/health")[0].status == 200
        assert asked(server, "GET", "/api/options", Authorization=f"Bearer {TOKEN}")["token"]

        answer, _ = server.ask("GET", f"/?a=1&token={TOKEN}")
        assert answer.status == 303
        assert answer.headers["Location"] == "/?a=1"
        cookie = answer.headers["Set-Cookie"]
        assert re.fullmatch(
            rf"openpose_ext_{server.port}={TOKEN}; HttpOnly; Path=/; SameSite=lax", cookie
        )
        headers = {"Cookie": cookie.split(";")[0]}
        assert server.ask("GET", "/", headers=headers)[0].status == 200
        headers["Origin"] = "http://elsewhere.example"
        assert server.ask("GET", "/", headers=headers)[0].status == 403
        answer, _ = server.ask("GET", f"//elsewhere.example/?token={TOKEN}")
        assert not answer.headers.get("Location", "/").startswith("//")


# Memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".webp", ".avif", ".jp2", ".tiff", ".bmp", ".ppm", ".gif", "moving"]
)
def test_the_size_of_a_picture_is_known_before_it_is_decoded(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    shown = cv2.resize(skimage.data.astronaut(), (300, 200))
    if suffix == "moving":
        pil = pytest.importorskip("PIL.Image")
        frames = [pil.fromarray(shown), pil.fromarray(255 - shown)]
        frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    else:
        file.write_bytes(bytes(cv2.imencode(suffix, shown)[1]))
    header = read_header(file, 1_000_000)
    assert header is not None
    assert header.size == (300, 200)
    assert header.kind == ("animation" if suffix == "moving" else "picture")


def test_large_frames_get_fewer_workers_and_a_quick_encoder() -> None:
    def planned(side: int, smooth: float = 0.0) -> Any:
        header = Header((side, side), "video", None, 1.5, 4, 25)
        return plan(header, 1_000_000_000, 8, plain=False, ahead=smooth)

    small, middle, large = planned(640), planned(2400), planned(7000)
    assert (small.frames, small.quick) == (8, False)
    assert middle.frames < 8 or middle.quick
    assert (large.frames, large.quick) == (1, True)
    assert small.bytes < middle.bytes <= 1_000_000_000 < large.bytes
    assert planned(640, 1.9).bytes > small.bytes


def test_what_never_fits_into_the_memory_is_refused() -> None:
    with server_of(Slow(), memory=10_000_000) as server:
        status, sentence = server.refusal("POST", "/api/people", picture_of(2000))
        assert status == 413
        assert "GB of memory" in sentence
        assert server.folders == []


def picture_of(side: int) -> bytes:
    return bytes(cv2.imencode(".png", np.zeros((side, side, 3), np.uint8))[1])
