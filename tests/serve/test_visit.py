"""The page of `serve` as a person uses it, in a real browser in front of the real command."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
import PIL.Image
import pytest
import skimage.data

from browser import CHROMIUM, Browser
from openpose_ext.types.arrays import Picture

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

FRAMES = 25
BITS = 8  # of the number that each frame shows
BLOCK = 16  # pixels of each bit
WIDTH, HEIGHT, SIDE = 320, 256, 176  # of the video, and of the person in it
STEP = 6  # pixels that the person moves from frame to frame
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
DONE = "document.querySelectorAll('#cards .stage').length === {}"

# How many pixels of people are drawn over a picture, and their middle column in the picture.
DRAWN = """
((canvas, width) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    let sum = 0;
    for (let k = 3; k < data.length; k += 4) {
        if (!data[k]) continue;
        count += 1;
        sum += ((k - 3) / 4) % canvas.width;
    }
    return [count, (sum / count / canvas.width) * width];
})"""

# The number that the picture of a video shows.
SHOWN = f"""
(() => {{
    const video = document.querySelector("#walk video");
    const context = new OffscreenCanvas({WIDTH}, {HEIGHT}).getContext("2d");
    context.drawImage(video, 0, 0);
    let number = 0;
    for (let bit = 0; bit < {BITS}; bit += 1) {{
        const [red] = context.getImageData({BLOCK} * bit + 8, {HEIGHT} - 8, 1, 1).data;
        number += (red > 127) << bit;
    }}
    return number;
}})()"""


def person(side: int, column: int = 0) -> Picture:
    """The astronaut, BGR, somewhere in a picture of the video's size."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[:side, column : column + side] = cv2.resize(
        skimage.data.astronaut()[..., ::-1], (side, side), interpolation=cv2.INTER_AREA
    )
    return frame


def numbered(number: int) -> Picture:
    """A frame of the video, which shows its number in blocks at its bottom."""
    frame = person(SIDE, STEP * (number % FRAMES))
    for bit in range(BITS):
        frame[-BLOCK:, BLOCK * bit : BLOCK * (bit + 1)] = 255 * (number >> bit & 1)
    return frame


def write_video(file: Path, count: int = FRAMES) -> Path:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def write_picture(file: Path, picture: Picture) -> Path:
    file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())
    return file


def write_animation(file: Path) -> Path:
    frames = [PIL.Image.fromarray(numbered(number)[..., ::-1]) for number in range(3)]
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=200)
    return file


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Give the address of a server with the options of the command."""
    command = [sys.executable, "-m", "openpose_ext.serve", "--port", "0", "--height", "256"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        yield found[0]
        server.send_signal(signal.SIGINT)
        server.stdout.read()


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    """Give a visitor's browser on the page, in front of whose camera sits a person."""
    picture = write_picture(tmp_path / "camera.jpg", cv2.resize(person(HEIGHT, 32), (640, 512)))
    picture.rename(tmp_path / "camera.mjpeg")
    camera = f"--use-file-for-fake-video-capture={tmp_path / 'camera.mjpeg'}"
    with Browser(tmp_path / "profile", flags=(*CAMERA, camera)) as browser:
        browser.screen(900, 900)
        visit(browser, address)
        yield browser


class Wire:
    """Connections to a server that can be cut. A context manager."""

    def __init__(self, address: str) -> None:
        self._port = int(address.rstrip("/").rpartition(":")[2])
        self._ends: list[socket.socket] = []
        self._cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and those that are tried from now on."""
        self._cut = True
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._listener.accept()
                if self._cut:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [here, there]
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def visit(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.until("document.body?.dataset.ready === ''")


def drawn(browser: Browser, card: str = "#cards .card") -> tuple[int, float]:
    """How many pixels of people are drawn over a card's picture, and their mean column."""
    canvas = f"document.querySelector('{card} canvas[role]')"
    count, column = browser.value(f"{DRAWN}({canvas}, {WIDTH})")
    return count, column


def slide(browser: Browser, selector: str, value: float) -> None:
    """Move a slider."""
    browser.value(
        f"""(() => {{
            const slider = document.querySelector({json.dumps(selector)});
            slider.value = {value};
            slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
            slider.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
    )


def sent(browser: Browser) -> int:
    """How many requests for people the page has made."""
    entries = "performance.getEntriesByType('resource')"
    count: int = browser.value(f"{entries}.filter((e) => e.name.includes('api/')).length")
    return count


def settled(browser: Browser) -> int:
    """The same, once no more have come for a while."""
    count = sent(browser)
    while True:
        time.sleep(0.5)
        before, count = count, sent(browser)
        if count == before:
            return count


def named(browser: Browser) -> list[str]:
    """The names of the cards; each gets its file's stem as its id."""
    names: list[str] = browser.value(
        """[...document.querySelectorAll("#cards > li")].map((card) => {
            const name = card.querySelector("h2").textContent;
            card.id = name.split(".")[0];
            return name;
        })"""
    )
    return names


def loaded(browser: Browser, card: str) -> None:
    """Look at a card, and wait for what it shows."""
    browser.value(f"document.getElementById('{card}').scrollIntoView()")
    browser.until(f"document.querySelector('#{card} .files') !== null")
    browser.until(f"document.querySelector('#{card} .stage') !== null")


def text(browser: Browser, selector: str) -> str:
    told: str = browser.value(f"document.querySelector({json.dumps(selector)}).innerText")
    return told


class Look:
    """Looks at the page in its present state: with axe, for what sticks out, and as a PNG."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.axe = ""
        if find_spec("axe_playwright_python"):
            self.axe = (files("axe_playwright_python") / "axe.min.js").read_text()

    def __call__(self, state: str) -> None:
        self._see(state, 900, dark=False)
        self._see(state, 320, dark=True)
        self.browser.screen(900, 900)

    def finish(self) -> None:
        if not self.axe:
            pytest.skip("all is well, but axe was not asked: pip install axe-playwright-python")

    def _see(self, state: str, width: int, *, dark: bool) -> None:
        self.browser.screen(width, 900, dark=dark)
        time.sleep(0.2)  # until it is drawn again
        name = f"{state}-{width}-{'dark' if dark else 'light'}"
        (self.folder / f"{name}.png").write_bytes(self.browser.screenshot())
        assert self.browser.value("document.documentElement.scrollWidth") <= width, name
        if not self.axe:
            return
        if not self.browser.value("'axe' in window"):
            self.browser.value(f"{self.axe}; 0")
        found = self.browser.value(
            "axe.run().then(({ violations }) => violations.map("
            "({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]))"
        )
        assert found == [], name


def test_the_sample_shows_a_person_whose_threshold_needs_no_new_run(browser: Browser) -> None:
    browser.click("#sample")
    browser.until(DONE.format(1))
    assert "1 person found" in text(browser, "#cards .state")
    count = f"{DRAWN}(document.querySelector('#cards .card canvas[role]'), {WIDTH})[0]"
    browser.until(f"{count} > 500")
    requests = settled(browser)
    whole = drawn(browser)[0]
    slide(browser, "#cards .look input[type=range]", 0.9)
    browser.until(f"0 < {count} && {count} < {whole}")
    browser.click("#cards .look .switch input")
    browser.until(f"{count} === 0")
    assert settled(browser) == requests
    assert browser.messages == []


def test_the_mouse_on_a_joint_is_told_its_name_and_score(browser: Browser) -> None:
    browser.click("#sample")
    browser.until(DONE.format(1))
    frame = browser.value(
        """fetch(document.querySelector("#cards .files a[href$=json]").href)
            .then((answer) => answer.json())"""
    )
    x, y, score = frame["people"][0]["pose_keypoints_2d"][:3]  # the nose
    left, top, width = browser.value(
        """(() => {
            const stage = document.querySelector("#cards .stage");
            stage.scrollIntoView();
            const { left, top, width } = stage.getBoundingClientRect();
            return [left, top, width];
        })()"""
    )
    scale = width / 512
    browser.point(left + x * scale, top + y * scale)
    browser.until("!document.querySelector('#cards .tip').hidden")
    assert text(browser, "#cards .tip") == f"nose {score:.2f}\nPerson 1"
    browser.point(left + 2, top + 2)
    browser.until("document.querySelector('#cards .tip').hidden")


def test_a_paused_video_shows_the_people_of_its_frame(browser: Browser, tmp_path: Path) -> None:
    """Even where the browser does not tell which frames it shows."""
    browser.value("HTMLVideoElement.prototype.requestVideoFrameCallback = () => {}; 0")
    browser.choose("#choose", write_video(tmp_path / "walk.mp4"))
    browser.until(DONE.format(1))
    named(browser)
    loaded(browser, "walk")
    video = "document.querySelector('#walk video')"
    browser.until(f"{video}.readyState >= 2")
    browser.click("#walk .icon.play")
    browser.until(f"{video}.currentTime > 0.5")
    browser.click("#walk .icon.play")
    scrubber = "document.querySelector('#walk .player input')"
    browser.until(f"{scrubber}.value >= 5 && String({SHOWN}) === {scrubber}.value")
    browser.click("#walk .icon.play")
    browser.until(f"{video}.ended && {scrubber}.value === '{FRAMES - 1}'")


@pytest.mark.slow
def test_a_whole_visit(browser: Browser, address: str, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    look = Look(browser, tmp_path / "shots")
    look("empty")
    browser.click("summary")
    for kind in ("hand", "face", "foot"):
        field = f"document.querySelector('#option-{kind}')"
        browser.value(f"{field}.value = 'lite', {field}.dispatchEvent(new Event('change'))")
    look("options")

    browser.click("#sample")
    browser.until(DONE.format(1))
    browser.click("#cards .people button")
    browser.until("document.querySelectorAll('#cards .parts tr').length === 25 + 3")
    look("sample")

    letter = tmp_path / "letter.jpg"
    letter.write_text("no picture")
    browser.choose(
        "#choose",
        write_picture(tmp_path / "portrait.png", person(HEIGHT)[:, 60:190]),
        write_video(tmp_path / "walk.mp4"),
        write_animation(tmp_path / "wave.gif"),
        letter,
    )
    browser.until("document.querySelector('#cards .failed') !== null")
    order = ["letter.jpg", "wave.gif", "walk.mp4", "portrait.png", "sample.jpg"]
    assert named(browser) == order
    assert "not a readable picture or video" in text(browser, "#letter .state")
    for card in ("portrait", "walk", "wave"):
        loaded(browser, card)
    width, height = browser.value(
        """(({ width, height }) => [width, height])(
            document.querySelector("#portrait .stage").getBoundingClientRect())"""
    )
    assert abs(width / height - 130 / HEIGHT) < 0.01  # no bars beside it
    look("cards")

    # One person of the video, from frame to frame by keyboard: picture and skeleton are in step.
    browser.until("document.querySelector('#walk video').readyState >= 2")
    browser.click("#walk .people button")
    browser.until("document.querySelector('#walk .plot path') !== null")
    scrubber = "document.querySelector('#walk .player input')"
    browser.value(f"{scrubber}.focus()")
    browser.until(f"{SHOWN} === 0")
    _, begin = drawn(browser, "#walk")
    for number in range(1, FRAMES):
        browser.press("ArrowRight", 39)
        browser.until(f"{SHOWN} === {number}")
        browser.until(f"{scrubber}.value === '{number}'")
        # Browsers tell of a frame after they have shown it, so people may come a moment later.
        column = f"{DRAWN}(document.querySelector('#walk canvas[role]'), {WIDTH})[1]"
        browser.until(f"Math.abs({column} - {begin + STEP * number}) < {STEP / 2}")
    look("walk")
    browser.press("Home", 36)
    browser.until(f"{SHOWN} === 0 && {scrubber}.value === '0'")
    browser.click("#walk .icon.play")
    browser.until(f"{scrubber}.value > 3")
    browser.click("#walk .icon.play")
    browser.until(f"String({SHOWN}) === {scrubber}.value")

    # All files at once.
    browser.downloads(tmp_path)
    browser.click("#walk .files a[href$=zip]")
    packed = arrived(tmp_path / "walk.zip")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        kinds = sorted(Path(name).suffix for name in archive.namelist())
        table = next(name for name in archive.namelist() if name.endswith(".csv"))
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(table))))
    assert kinds == [".csv", ".jsonl", ".mp4", ".mp4"]
    assert len({row["frame"] for row in rows}) == FRAMES

    # All is found again after a reload, and in another tab.
    visit(browser, address)
    assert named(browser) == order[1:]
    for card in ("sample", "wave", "portrait", "walk"):
        loaded(browser, card)
    assert browser.value("document.querySelector('#option-hand').value") == "lite"
    browser.tab()
    browser.screen(900, 900)
    visit(browser, address)
    assert named(browser) == order[1:]
    loaded(browser, "walk")
    browser.click("#portrait .remove")
    browser.until("document.querySelector('#portrait') === null")
    visitor = "localStorage.getItem('openpose_ext.visitor')"
    uploads = f"fetch('api/people?visitor=' + JSON.parse({visitor})).then((a) => a.json())"
    browser.until(f"{uploads}.then(({{ uploads }}) => uploads.length === 3)")
    visit(browser, address)
    assert named(browser) == ["wave.gif", "walk.mp4", "sample.jpg"]
    assert [message for message in browser.messages if "415" not in message] == []
    look.finish()


def arrived(file: Path) -> bytes:
    """What a download brings."""
    end = time.monotonic() + 60
    while not (file.exists() and file.stat().st_size):
        assert time.monotonic() < end, f"{file} did not come"
        time.sleep(0.05)
    return file.read_bytes()


def test_files_can_be_dropped_and_pasted_and_the_first_key_chooses_some(browser: Browser) -> None:
    browser.press("Tab", 9)
    assert browser.value("document.activeElement.id") == "choose"
    browser.value(
        """
        function given(type, Event, key) {
            const data = new DataTransfer();
            data.items.add(new File(["no picture"], `${type}.jpg`));
            return new Event(type, { [key]: data, bubbles: true, cancelable: true });
        }
        drop.dispatchEvent(given("drop", DragEvent, "dataTransfer"));
        document.dispatchEvent(given("paste", ClipboardEvent, "clipboardData"));"""
    )
    browser.until("document.querySelectorAll('#cards .failed').length === 2")
    assert named(browser) == ["paste.jpg", "drop.jpg"]
    for card in ("paste", "drop"):
        assert "not a readable picture or video" in text(browser, f"#{card} .state")


@pytest.mark.slow
def test_a_lost_connection_costs_nothing(browser: Browser, address: str, tmp_path: Path) -> None:
    look = Look(browser, tmp_path)
    long = write_video(tmp_path / "long.mp4", 250)
    portrait = write_picture(tmp_path / "portrait.png", person(HEIGHT))
    with Wire(address) as wire:
        visit(browser, wire.address)
        browser.choose("#choose", long)
        browser.until("document.querySelector('#cards .state').innerText.startsWith('frame')")
        wire.cut()
        browser.until("document.querySelector('#cards .state').innerText.includes('was lost')")
        browser.choose("#choose", portrait)
        browser.until("document.querySelector('#cards .failed') !== null")
        assert text(browser, "#cards .state").startswith("The server cannot be reached. Check")
        look("lost")
        wire.mend()
        browser.click("#cards .button")  # try again
        named(browser)
        loaded(browser, "portrait")
        loaded(browser, "long")
        assert "250 frames done" in text(browser, "#long .state")
    look.finish()


@pytest.mark.slow
def test_an_upload_can_be_given_up_in_the_middle(browser: Browser, tmp_path: Path) -> None:
    browser.choose("#choose", write_video(tmp_path / "long.mp4", 250))
    browser.until("document.querySelector('#cards .state').innerText.startsWith('frame')")
    look = Look(browser, tmp_path)
    look("working")
    browser.click("#cards .remove")
    browser.until("document.querySelector('#cards .remove') === null")
    visitor = "localStorage.getItem('openpose_ext.visitor')"
    uploads = f"fetch('api/people?visitor=' + JSON.parse({visitor})).then((a) => a.json())"
    browser.until(f"{uploads}.then(({{ uploads }}) => uploads.length === 0)")
    assert browser.messages == []
    look.finish()


@pytest.mark.slow
def test_the_webcam_shows_who_sits_there_and_how_fast(browser: Browser, tmp_path: Path) -> None:
    look = Look(browser, tmp_path)
    browser.click("#camera")
    browser.until("document.querySelector('#webcam .rate')?.innerText.includes('frames a second')")
    assert text(browser, "#webcam .state") == "1 person"
    assert browser.value(f"{DRAWN}(document.querySelector('#webcam canvas[role]'), 1)")[0] > 500
    look("webcam")
    browser.click("#camera")
    assert browser.value("document.querySelector('#webcam').hidden")

    browser.value(
        "navigator.mediaDevices.getUserMedia = "
        "() => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    browser.click("#camera")
    browser.until("document.querySelector('#webcam .failed') !== null")
    assert "Allow it" in text(browser, "#webcam .state")
    look("no-webcam")
    assert browser.messages == []
    look.finish()
