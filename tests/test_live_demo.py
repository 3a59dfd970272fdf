"""The demo that runs in the browser (docs/live.md): the people that Python finds, and nothing sent.

`make test-live` builds it first. Needs a Chromium.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.io

import openpose_ext as op
from browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[1]
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

pytestmark = pytest.mark.slow


def module(path: Path) -> Any:
    """A Python file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Quiet(SimpleHTTPRequestHandler):
    """A static server, as the demo's visitors have; notes what is asked for."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *words: Any) -> None:
        self.server.asked.append(self.requestline)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadingHTTPServer]:
    live = module(ROOT / "docs/_ext/live.py")
    if not live.is_built():
        pytest.skip("the demo is not built: make test-live builds it")
    folder = tmp_path_factory.mktemp("site") / "live"
    live.write(folder)
    module(ROOT / "bench/demo_pictures.py").write(folder)
    (folder / "notes.txt").write_text("no picture")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    server.asked = []  # type: ignore[attr-defined]
    server.folder = folder  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(site: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A visitor's browser, in front of whose camera sits a person."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    folder = tmp_path_factory.mktemp("browser")
    cv2.imwrite(str(folder / "camera.jpg"), cv2.imread(str(site.folder / "astronaut.png")))
    (folder / "camera.jpg").rename(folder / "camera.mjpeg")
    camera = f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}"
    with Browser(folder / "profile", flags=(*CAMERA, camera)) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, site: Any) -> Iterator[Browser]:
    """The demo, loaded anew."""
    visit(browser, site)
    browser.messages.clear()
    yield browser
    assert browser.messages == []


def visit(browser: Browser, site: Any) -> None:
    browser.open("about:blank")
    browser.open(f"http://127.0.0.1:{site.server_port}/index.html")
    browser.until("document.body?.dataset.ready !== undefined")


def text(page: Browser, selector: str) -> str:
    return str(page.value(f"document.querySelector({selector!r}).innerText"))


def people_in(page: Browser, name: str, height: int) -> list[np.ndarray]:
    """The people that the demo finds in a picture of the site: 18 x (x, y, score) each."""
    found = page.value(
        f"""(async () => {{
            const {{ Finder }} = await import("./finder.js");
            const finder = await Finder.open();
            const picture = await (await fetch({json.dumps(name)})).blob();
            const {{ people }} = await finder.find(picture, {height});
            return people.map(({{ layers }}) => Array.from(layers[0].points));
        }})()"""
    )
    return [np.array(points).reshape(18, 3) for points in found]


@pytest.mark.parametrize("name", ["astronaut.png", "grace_hopper.jpg"])
def test_the_portraits_have_the_same_people_as_in_python(
    page: Browser, site: Any, name: str
) -> None:
    with op.PoseEstimator(body="lite", height=184) as estimator:
        (expected,) = estimator(skimage.io.imread(site.folder / name)[..., ::-1]).keypoints
    (found,) = people_in(page, name, 184)
    seen = expected[:, 2] > 0
    assert (found[:, 2] > 0).tolist() == seen.tolist()
    away = np.linalg.norm(found[seen, :2] - expected[seen, :2], axis=1)
    extent = np.ptp(expected[seen, :2], axis=0).max()
    assert np.median(away) < 0.01 * extent
    assert away.max() < 0.05 * extent
    assert np.abs(found[seen, 2] - expected[seen, 2]).max() < 0.1


def test_the_decoder_finds_bit_by_bit_what_python_finds(page: Browser, site: Any) -> None:
    """Blurred noise has more peaks and limbs than any picture."""
    random = np.random.default_rng(11)
    height, width = 46, 62
    noise = random.normal(size=(57, height, width)).astype(np.float32)
    maps = np.stack([cv2.GaussianBlur(one, None, 1.2) for one in noise])
    maps.tofile(site.folder / "maps.bin")
    expected = op.decode_body(maps[:19], maps[19:])
    rows = page.value(
        f"""(async () => {{
            const [{{ default: open }}, maps] = await Promise.all([
                import("./decoder.mjs"), fetch("maps.bin").then((a) => a.arrayBuffer()),
            ]);
            const {{ Decoder }} = await open();
            const cells = new Float32Array(maps);
            const end = 19 * {height * width};
            return Array.from(new Decoder().decode(
                cells.subarray(0, end), cells.subarray(end), {height}, {width},
                {{ scale_x: 8, shift_x: 3.5, scale_y: 8, shift_y: 3.5,
                   width: {8 * width}, height: {8 * height} }},
            ));
        }})()"""
    )
    found = np.array(rows, np.float32).reshape(-1, 55)
    assert len(found) > 5
    np.testing.assert_array_equal(found[:, 1:].reshape(-1, 18, 3), expected.keypoints)
    np.testing.assert_array_equal(found[:, 0], expected.scores)


@pytest.mark.parametrize(
    ("cells", "height", "width", "words"),
    [(18, 1, 1, "18 cells"), (19, -1, 1, "-1 x 1 cells"), (19, 1 << 15, 1 << 15, "19 cells")],
)
def test_the_decoder_says_what_is_wrong_with_maps(
    page: Browser, cells: int, height: int, width: int, words: str
) -> None:
    said = page.value(
        f"""(async () => {{
            const {{ Decoder }} = await (await import("./decoder.mjs")).default();
            const placement = {{
                scale_x: 8, shift_x: 0, scale_y: 8, shift_y: 0, width: 8, height: 8,
            }};
            const [heat, paf] = [new Float32Array({cells}), new Float32Array(38)];
            const decoder = new Decoder();
            try {{
                decoder.decode(heat, paf, {height}, {width}, placement);
            }} catch (error) {{
                return error.message;
            }}
        }})()"""
    )
    assert words in said


def test_a_picture_is_shown_with_its_person_and_what_is_none_is_refused(
    page: Browser, site: Any
) -> None:
    page.choose("#choose", site.folder / "astronaut.png")
    page.until("document.querySelector('#state').innerText === '1 person in astronaut.png'")
    drawn = "document.querySelector('#picture canvas')"
    assert page.value(f"{drawn}.getAttribute('aria-label')") == "1 person in astronaut.png"
    pixels = f"{drawn}.getContext('2d').getImageData(0, 0, {drawn}.width, {drawn}.height).data"
    assert page.value(f"{pixels}.filter((value, k) => k % 4 === 3 && value > 0).length") > 500
    assert "ms: input" in text(page, "#times")

    page.choose("#choose", site.folder / "notes.txt")
    page.until("document.querySelector('#state.failed') !== null")
    assert "notes.txt is no picture" in text(page, "#state")
    # The picture before it is still there, and is looked at again.
    page.value("height.value = '184', height.dispatchEvent(new Event('change'))")
    page.until("document.querySelector('#state').innerText === '1 person in astronaut.png'")


def test_the_webcam_shows_who_sits_there_and_how_fast(page: Browser) -> None:
    page.click("#camera")
    page.until("document.querySelector('#webcam .rate')?.innerText.includes('frames a second')")
    assert text(page, "#webcam .state") == "1 person"
    page.click("#camera")
    assert page.value("document.querySelector('#webcam').hidden")


def test_a_page_whose_network_cannot_be_loaded_says_so(browser: Browser, site: Any) -> None:
    (site.folder / "network.json").rename(site.folder / "away.json")
    try:
        visit(browser, site)
    finally:
        (site.folder / "away.json").rename(site.folder / "network.json")
    said = text(browser, "#state.failed")
    assert said.startswith("The network could not be loaded. Reload the page.")


def test_nothing_is_sent(page: Browser, site: Any) -> None:
    """What a visitor looked at goes nowhere: neither to the site nor, by its policy, elsewhere."""
    before = len(site.asked)
    page.choose("#choose", site.folder / "grace_hopper.jpg")
    page.until("document.querySelector('#state').innerText.includes('in grace_hopper.jpg')")
    assert site.asked[before:] == []
    elsewhere = f"http://127.0.0.2:{site.server_port}/"
    refused = f"fetch({elsewhere!r}, {{ method: 'POST' }}).then(() => 'sent', () => 'refused')"
    assert page.value(refused) == "refused"
    assert site.asked[before:] == []
    assert "Content Security Policy" in page.messages[0]
    page.messages.clear()
