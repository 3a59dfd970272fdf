"""The command `python -m openpose_ext.weights`, against servers on this machine that misbehave."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest

from openpose_ext import __main__ as console
from openpose_ext import weights
from openpose_ext.errors import ModelError
from openpose_ext.models import download
from openpose_ext.models.lookup import NETWORKS, find_file, find_model
from openpose_ext.models.manifest import registry

CONTENT = bytes(range(256)) * 400
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
TERMS = "https://example.org/terms"

Answer = Callable[[BaseHTTPRequestHandler], None]


# A place to fetch to, and servers to fetch from --------------------------------------------------


@dataclass
class Place:
    """A server, a registry that names its files, and an empty cache.

    answers   what the server does for each path: the first answer to the first request, ...; the
              last one to all further ones
    requests  path and Range header of each request
    """

    folder: Path
    port: int = 0
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Where the file of `offer` is to be found in the end."""
        return self.folder / "models" / "net.pth"

    @property
    def part(self) -> Path:
        return self.folder / "models" / "net.pth.part"

    @property
    def registry(self) -> Path:
        return self.folder / "registry.toml"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def register(self, **entry: Any) -> None:
        self.entries.append({"licence": "Apache-2.0", **entry})
        lines = []
        for table in self.entries:
            lines += ["[[model]]", *(f"{k} = {to_toml(v)}" for k, v in table.items())]
        self.registry.write_text("\n".join(lines))

    def offer(self, *answers: Answer, mirrors: tuple[Answer, ...] = (), **entry: Any) -> None:
        """Register the file net.pth as the network "net", offered by answers to /net.pth."""
        addresses = [f"/net{'-mirror' * k}.pth" for k in range(1 + len(mirrors))]
        for path, offered in zip(addresses, [answers, *((m,) for m in mirrors)], strict=True):
            self.answers[path] = list(offered)
        entry = {"hashes": {"sha256": SHA256}, "size": len(CONTENT), **entry}
        self.register(name="net", file="net.pth", urls=[*map(self.url, addresses)], **entry)

    def leave_part(self, content: bytes) -> None:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.part.write_bytes(content)

    def run(self, *words: str) -> int:
        return weights.main([*words, "--registry", str(self.registry)])

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run the command in a process of its own."""
        argv = [sys.executable, "-m", "openpose_ext.weights", *words, "--registry"]
        return subprocess.Popen(
            [*argv, str(self.registry)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for_part(self, size: int) -> None:
        """Wait until so many bytes have come."""
        end = time.monotonic() + 20
        while not (self.part.exists() and self.part.stat().st_size == size):
            assert time.monotonic() < end, "nothing came"
            time.sleep(0.005)


def to_toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{k} = {to_toml(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path))
    monkeypatch.delenv("OPENPOSE_EXT_MODELS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    here = Place(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.requests.append((self.path, self.headers["Range"]))
            answers = here.answers.get(self.path, [fails(404)])
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that went away are what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        here.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield here
        server.shutdown()
        thread.join()


def sends(
    content: bytes = CONTENT,
    *,
    ranges: bool = True,
    only: int | None = None,
    then: Callable[[], object] = lambda: None,
    length: bool = True,
    pieces: int = 1,
    pause: float = 0,
) -> Answer:
    """Answer with a file, from where it is asked for.

    ranges  whether the server knows them
    only    bytes after which the connection ends too soon
    then    called before the connection ends
    length  whether the server says how much there is
    pieces  how many pieces it comes in, with `pause` seconds after each
    """

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "")
        begin = int(asked[1]) if asked and ranges else 0
        if begin and begin >= len(content):
            return fails(416)(request)
        request.send_response(206 if begin else 200)
        if begin:
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {begin}-{last}/{len(content)}")
        if length:
            request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        body = content[begin:][:only]
        step = -(-len(body) // pieces)
        for k in range(0, len(body), step):
            request.wfile.write(body[k : k + step])
            time.sleep(pause)
        then()
        return None

    return answer


def fails(status: int, **headers: str) -> Answer:
    """Answer with a status, and headers."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


# Fetching ----------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_found(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.offer(sends())
    for _ in range(2):
        assert place.run("fetch", "net") == 0
        assert capsys.readouterr().out == f"{place.file}\n"
    assert place.requests == [("/net.pth", None)]
    assert place.file.read_bytes() == CONTENT
    assert find_file("net.pth") == place.file
    assert os.listdir(place.file.parent) == ["net.pth"]


def test_the_licence_is_shown_before_the_first_byte(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        shown.append(capsys.readouterr().err)
        sends()(request)

    place.offer(answer)
    assert place.run("fetch", "net") == 0
    assert shown == ["openpose-ext: licence of net.pth: Apache-2.0\n"]
    assert place.run("fetch", "net") == 0
    assert not capsys.readouterr().err


def test_an_ir_comes_with_its_weights_and_is_found_by_name(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = "human-pose-estimation-0001-fp16-int8"
    for name, parts, content in (("xml", [f"{stem}.bin"], CONTENT), ("bin", [], OTHER)):
        place.register(
            **({"name": "mobilenet"} if parts else {}),
            file=f"{stem}.{name}",
            hashes={"sha384": hashlib.sha384(content).hexdigest()},
            parts=parts,
            urls=[place.url(f"/{name}")],
        )
        place.answers[f"/{name}"] = [sends(content)]
    assert place.run("fetch", "mobilenet") == 0
    assert [path for path, _ in place.requests] == ["/bin", "/xml"], "the graph comes last"
    assert find_model("mobilenet") == place.folder / "models" / f"{stem}.xml"
    assert capsys.readouterr().out == f"{find_model('mobilenet')}\n"

    (place.folder / "models" / f"{stem}.bin").unlink()
    assert place.run("path", "mobilenet") == 3
    assert f"there is no {stem}.bin" in capsys.readouterr().err
    assert place.run("fetch", f"{stem}.xml") == 0
    assert [path for path, _ in place.requests] == ["/bin", "/xml", "/bin"]


def test_a_damaged_file_is_fetched_again(place: Place) -> None:
    place.offer(sends())
    assert place.run("fetch", "net") == 0
    place.file.write_bytes(OTHER)
    assert place.run("fetch", "net") == 0
    assert place.file.read_bytes() == CONTENT


def test_a_file_in_a_folder_of_ones_own_is_not_fetched(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = place.folder / "own"
    own.mkdir()
    (own / "net.pth").write_bytes(CONTENT)
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(own))
    place.offer(sends())
    assert place.run("fetch", "net") == 0
    assert capsys.readouterr().out == f"{own / 'net.pth'}\n"
    assert not place.requests

    (own / "net.pth").write_bytes(OTHER)
    assert place.run("fetch", "net") == 3
    said = capsys.readouterr().err
    assert f"{own / 'net.pth'}: its sha256 is " in said
    assert "Remove it" in said
    assert place.file.read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "md5"])
def test_every_hash_counts(
    place: Place, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    expected = hashlib.new(algorithm, CONTENT).hexdigest()
    found = hashlib.new(algorithm, OTHER).hexdigest()
    place.offer(sends(OTHER), hashes={algorithm: expected})
    assert place.run("fetch", "net") == 3
    said = capsys.readouterr().err
    assert f"its {algorithm} is {found} instead of {expected}" in said
    assert os.listdir(place.file.parent) == []
    assert len(place.requests) == 1


def test_another_size_is_refused_before_it_is_fetched(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    page = b"<html>Please log in</html>"
    place.offer(sends(page), mirrors=(sends(),))
    assert place.run("fetch", "net") == 0
    assert f"it has {len(page)} bytes instead of {len(CONTENT)}" in capsys.readouterr().err


def test_a_server_that_does_not_end_is_cut_off(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.offer(sends(CONTENT * 2, length=False))
    assert place.run("fetch", "net") == 3
    assert f"it sends more than {len(CONTENT)} bytes" in capsys.readouterr().err
    assert os.listdir(place.file.parent) == []


def test_a_missing_network_says_how_to_fetch_it(place: Place) -> None:
    for name in ("mobilenet", "openpose", "body25"):
        with pytest.raises(ModelError, match=f"python -m openpose_ext.weights fetch {name};"):
            find_model(name)
    with pytest.raises(ModelError, match=r"not here\. Put own\.onnx"):
        find_model("own", {"own": ("own.onnx",)})


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_an_address_that_fails_is_followed_by_the_next(
    place: Place, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    place.offer(fails(status), mirrors=(fails(404), sends()))
    assert place.run("fetch", "net") == 0
    assert [path for path, _ in place.requests] == [
        "/net.pth",
        "/net-mirror.pth",
        "/net-mirror-mirror.pth",
    ]
    said = capsys.readouterr().err
    assert f"{place.url('/net.pth')}: {status} " in said
    assert "trying the next address" in said
    assert place.file.read_bytes() == CONTENT


def test_redirects_are_followed_with_the_range(place: Place) -> None:
    place.leave_part(CONTENT[:HALF])
    place.offer(fails(302, Location="/elsewhere?signed=1"))
    place.answers["/elsewhere?signed=1"] = [sends()]
    assert place.run("fetch", "net") == 0
    assert place.requests[-1] == ("/elsewhere?signed=1", f"bytes={HALF}-")
    assert place.file.read_bytes() == CONTENT


@pytest.mark.parametrize("location", ["/net.pth", "file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_redirects_in_a_circle_or_to_other_protocols_are_not_followed(
    place: Place, capsys: pytest.CaptureFixture[str], location: str
) -> None:
    place.offer(fails(302, Location=location))
    assert place.run("fetch", "net") == 3
    said = capsys.readouterr().err
    assert re.search(r"infinite loop|is not allowed|unknown url type", said)


def test_a_slow_server_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.25)
    place.offer(sends(pieces=10, pause=0.05))
    start = time.monotonic()
    assert place.run("fetch", "net") == 0
    assert time.monotonic() - start > 0.4
    assert len(place.requests) == 1


def test_a_silent_server_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    place.offer(lambda request: time.sleep(0.3))
    assert place.run("fetch", "net") == 3
    assert "no answer within 0.1 s" in capsys.readouterr().err


def test_without_a_network_the_error_says_which_file_to_put_where(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:  # which nobody else can listen at meanwhile
        unused.bind(("127.0.0.1", 0))
        place.port = unused.getsockname()[1]
        place.offer(sends())
        assert place.run("fetch", "net") == 3
    said = capsys.readouterr().err
    for part in (
        f"{place.url('/net.pth')}: Connection refused",
        f"Put into {place.file.parent}, or into a folder named by $OPENPOSE_EXT_MODELS",
        f"net.pth, {len(CONTENT)} bytes, sha256 {SHA256}, from {place.url('/net.pth')}",
    ):
        assert part in said
    assert os.listdir(place.file.parent) == []


# Broken off and continued ------------------------------------------------------------------------


def test_a_broken_connection_is_continued(place: Place) -> None:
    place.offer(sends(only=1000), sends(only=2000), sends())
    assert place.run("fetch", "net") == 0
    ranges = [asked for _, asked in place.requests]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert place.file.read_bytes() == CONTENT


def test_a_mirror_continues_what_another_began(place: Place) -> None:
    place.offer(sends(only=HALF), fails(404), mirrors=(sends(),))
    assert place.run("fetch", "net") == 0
    assert place.requests[-1] == ("/net-mirror.pth", f"bytes={HALF}-")
    assert place.file.read_bytes() == CONTENT


def test_a_server_that_always_breaks_off_is_given_up(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.offer(sends(ranges=False, only=HALF))
    assert place.run("fetch", "net") == 3
    said = capsys.readouterr().err
    assert f"the connection ended after {HALF} of {len(CONTENT)} bytes" in said
    assert len(place.requests) == 2, "the second brought no more than the first"
    assert not place.file.exists()
    assert place.part.read_bytes() == CONTENT[:HALF]

    place.requests.clear()
    place.answers["/net.pth"] = [sends(only=1)]
    monkeypatch.setattr(download, "CONNECTIONS", 5)
    assert place.run("fetch", "net") == 3
    assert "the connection broke 5 times" in capsys.readouterr().err
    assert len(place.requests) == 5


def test_an_interrupted_download_goes_on_where_it_ended(place: Place) -> None:
    ended = threading.Event()
    place.offer(sends(only=HALF, then=lambda: ended.wait(20)), sends())
    # In a process of its own: where OpenVINO, ONNX Runtime and pytest's fault handler are loaded in
    # one process, a signal has been seen to end it.
    with place.start("fetch", "net") as process:
        place.wait_for_part(HALF)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    ended.set()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not place.file.exists()
    assert place.part.read_bytes() == CONTENT[:HALF]

    assert place.run("fetch", "net") == 0
    assert [asked for _, asked in place.requests] == [None, f"bytes={HALF}-"]
    assert place.file.read_bytes() == CONTENT
    assert not place.part.exists()


def test_a_killed_process_leaves_no_lock(place: Place) -> None:
    killed = threading.Event()
    place.offer(sends(only=HALF, then=lambda: killed.wait(20)), sends())
    process = place.start("fetch", "net")
    with process:
        place.wait_for_part(HALF)
        process.kill()
    killed.set()
    assert place.run("fetch", "net") == 0
    assert place.requests[-1] == ("/net.pth", f"bytes={HALF}-")
    assert place.file.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_whole(place: Place) -> None:
    place.leave_part(CONTENT[:HALF])
    place.offer(sends(ranges=False))
    assert place.run("fetch", "net") == 0
    assert place.requests == [("/net.pth", f"bytes={HALF}-")]
    assert place.file.read_bytes() == CONTENT


def other_range(request: BaseHTTPRequestHandler) -> None:
    """Answer with the end of the file, whatever was asked for."""
    if not request.headers["Range"]:
        return sends()(request)
    request.send_response(206)
    request.send_header("Content-Range", f"bytes 9-{len(CONTENT) - 1}/{len(CONTENT)}")
    request.end_headers()
    request.wfile.write(CONTENT[9:])
    return None


def no_range(request: BaseHTTPRequestHandler) -> None:
    """Answer with a part without saying which."""
    request.send_response(206)
    request.end_headers()


def test_a_range_that_was_not_asked_for_is_not_taken(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.leave_part(CONTENT[:HALF])
    place.offer(other_range)
    assert place.run("fetch", "net") == 0
    assert place.file.read_bytes() == CONTENT

    place.file.unlink()
    place.answers["/net.pth"] = [no_range]
    assert place.run("fetch", "net") == 3
    assert "it sends only a part of the file" in capsys.readouterr().err


@pytest.mark.parametrize("size", [{}, {"size": None}], ids=["known size", "unknown size"])
@pytest.mark.parametrize(
    "left", [OTHER[:HALF], OTHER, CONTENT + b"more"], ids=["begun", "as long", "longer"]
)
def test_a_part_of_other_bytes_is_fetched_once_more_from_the_start(
    place: Place, left: bytes, size: dict[str, None]
) -> None:
    place.leave_part(left)
    place.offer(sends())
    if size:
        del place.entries[0]["size"]
        place.register(file="unrelated", hashes={})
    assert place.run("fetch", "net") == 0
    assert place.requests[-1] == ("/net.pth", None)
    assert place.file.read_bytes() == CONTENT


def test_a_whole_part_needs_only_its_name(place: Place) -> None:
    place.leave_part(CONTENT)
    place.offer(sends())
    assert place.run("fetch", "net") == 0
    assert place.file.read_bytes() == CONTENT
    assert not place.requests


def test_two_processes_at_once_fetch_once(place: Place) -> None:
    begun, waited = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        waited.wait(20)

    place.offer(sends(only=HALF, then=hold), sends())
    with place.start("fetch", "net") as first:
        assert begun.wait(20)
        with place.start("fetch", "net") as second:
            lines = iter(stderr(second))
            assert any("another process is fetching net.pth; waiting" in line for line in lines)
            waited.set()
            for process in (first, second):
                out, _ = process.communicate(timeout=60)
                assert process.returncode == 0
                assert out == f"{place.file}\n"
    assert [asked for _, asked in place.requests] == [None, f"bytes={HALF}-"]
    assert os.listdir(place.file.parent) == ["net.pth"]


def stderr(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stderr is not None
    return process.stderr


def test_a_second_process_tries_itself_when_the_first_fails(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, waited = threading.Event(), threading.Event()

    def hold(request: BaseHTTPRequestHandler) -> None:
        begun.set()
        waited.wait(20)
        fails(503)(request)

    place.offer(hold, sends())
    with place.start("fetch", "net") as first:
        assert begun.wait(20)
        codes: list[int] = []
        second = threading.Thread(target=lambda: codes.append(place.run("fetch", "net")))
        second.start()
        while "waiting" not in capsys.readouterr().err:
            time.sleep(0.005)
        waited.set()
        second.join(20)
        first.communicate(timeout=60)
    assert (first.returncode, codes) == (3, [0])
    assert place.file.read_bytes() == CONTENT


# What cannot be written --------------------------------------------------------------------------


def test_a_full_disk_is_exit_4_and_what_came_is_continued(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = HALF

    class FullDisk(io.FileIO):
        def write(self, data: Any) -> int:
            free = room - self.seek(0, os.SEEK_END)
            if free <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(memoryview(data)[:free])

    def opened(path: Path, *mode: str, **options: Any) -> Any:
        if path.suffix == ".part":
            return io.BufferedWriter(FullDisk(path, *mode))
        return open(path, *mode, **options)

    place.offer(sends())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        assert place.run("fetch", "net") == 4
    said = capsys.readouterr().err
    assert (
        f"{place.file} cannot be written: No space left on device; the part that was received is "
        "kept and will be resumed" in said
    )
    assert not place.file.exists()
    assert place.part.read_bytes() == CONTENT[:HALF]

    assert place.run("fetch", "net") == 0
    assert place.requests[-1] == ("/net.pth", f"bytes={HALF}-")
    assert place.file.read_bytes() == CONTENT


def test_a_cache_that_is_a_file_is_exit_4(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "file").touch()
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(place.folder / "file"))
    place.offer(sends())
    assert place.run("fetch", "net") == 4
    assert "cannot be made" in capsys.readouterr().err
    assert not place.requests


# Licences ----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terms_have_to_be_accepted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.offer(sends(), licence="research only", terms=TERMS)
    assert place.run("fetch", "net") == 2
    said = capsys.readouterr().err
    assert f"licence of net.pth: research only, {TERMS}" in said
    assert "with --accept-license" in said
    assert not place.requests
    assert place.run("fetch", "net", "--accept-license") == 0
    assert "research only" in capsys.readouterr().err
    assert place.run("fetch", "net") == 0, "what is here needs no consent"


@pytest.mark.parametrize(
    ("typed", "code"), [("y\n", 0), ("Yes\n", 0), ("\n", 2), ("n\n", 2), ("", 2)]
)
def test_on_a_terminal_the_consent_is_asked_for(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    code: int,
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    place.offer(sends(), licence="research only", terms=TERMS)
    assert place.run("fetch", "net") == code
    assert "Do you accept it? [y/N]" in capsys.readouterr().err
    assert place.file.exists() == bool(place.requests) == (code == 0)


def test_without_stdin_nobody_is_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    place.offer(sends(), terms=TERMS)
    assert place.run("fetch", "net") == 2


def test_a_terminal_gets_a_progress_bar(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    place.leave_part(CONTENT[:HALF])
    place.offer(sends(pieces=4, pause=0.15))
    assert place.run("fetch", "net") == 0
    said = capsys.readouterr().err
    assert re.search(r"net\.pth:  50%\|.*51\.2k/102k", said), "what was there counts at once"
    assert re.search(r"net\.pth:  75%\|", said)


# list, path --------------------------------------------------------------------------------------


def test_path_says_where_a_file_lies_or_how_to_get_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.offer(sends(), terms=TERMS)
    assert place.run("path", "net") == 3
    said = capsys.readouterr()
    assert not said.out
    told = re.fullmatch(r"openpose-ext: there is no net\.pth; fetch it: (.*)\n", said.err)
    assert told is not None
    python, *words = shlex.split(told[1])
    assert python == "python"
    assert words[:2] == ["-m", "openpose_ext.weights"]
    assert weights.main([*words[2:], "--accept-license"]) == 0
    capsys.readouterr()
    for name in ("net", "net.pth"):
        assert place.run("path", name) == 0
        assert capsys.readouterr().out == f"{place.file}\n"


def test_a_file_that_nobody_offers_has_to_be_brought(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.register(name="net", file="net.pth", hashes={"sha256": SHA256}, size=5)
    place.register(file="unchecked.pth", hashes={}, urls=[place.url("/unchecked.pth")])
    for action in ("path", "fetch"):
        assert place.run(action, "net") == 3
        said = capsys.readouterr().err
        assert f"Put into {place.file.parent}" in said
        assert f"net.pth, 5 bytes, sha256 {SHA256}\n" in said
    assert place.run("fetch", "unchecked.pth") == 3
    assert "its hash is unknown" in capsys.readouterr().err
    assert not place.requests
    place.file.parent.mkdir()
    place.file.write_bytes(b"hello")
    assert place.run("path", "net") == 0


def test_list_says_what_there_is_and_where(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.offer(sends(), licence="research only", terms=TERMS, parts=["net.bin"])
    place.register(file="net.bin", hashes={"md5": "0" * 32}, urls=[place.url("/bin")])
    place.register(file="private.onnx", hashes={"md5": "0" * 32})
    assert place.run("list") == 0
    absent = (
        f"net: research only, {TERMS}\n  net.pth    0.1 MB  absent\n  net.bin         ?  absent\n"
    )
    assert capsys.readouterr().out == absent
    place.file.parent.mkdir()
    place.file.write_bytes(CONTENT)
    mine = place.file.with_name("private.onnx")
    mine.touch()
    assert place.run("list") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        TERMS,
        str(place.file),
        "absent",
        "Apache-2.0",
        str(mine),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "the following arguments are required: ACTION"),
        (["get", "net"], "invalid choice: 'get'"),
        (["fetch"], "fetch needs a NAME"),
        (["path"], "path needs a NAME"),
        (["list", "net"], "list takes no NAME"),
        (["fetch", "nets"], "no network 'nets' in the registry; did you mean net?"),
        (["path", "xyz"], "no network 'xyz' in the registry; there are net"),
        (["fetch", "net", "--acept-license"], "did you mean --accept_license?"),
        (["fetch", "net", "--force"], "unknown flag --force"),
    ],
)
def test_usage_errors_say_what_is_wrong(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    place.offer(sends())
    assert place.run(*words) == 2
    assert reason in capsys.readouterr().err
    assert not place.requests


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        ("[[model", "is broken"),
        ("model = 3", "is broken"),
        ('[[model]]\nfile = "a"', "hashes and licence must be given"),
        ('[[model]]\nfile = "../a"\nlicence = "MIT"\nhashes = {}', "a name without a folder"),
        ('[[model]]\nfile = ".."\nlicence = "MIT"\nhashes = {}', "a name without a folder"),
        ('[[model]]\nfile = "a"\nlicence = "MIT"\nhashes.crc = "0"', "must be of sha256, sha384"),
        ('[[model]]\nfile = "a"\nlicence = "MIT"\nhashes.md5 = "0"', "must have 32 digits"),
        (
            '[[model]]\nfile = "a"\nlicence = "MIT"\nhashes = {}\nurls = ["file:///a"]',
            "must be http or https, not 'file:///a'",
        ),
        ('[[model]]\nfile = "a"\nlicence = "MIT"\nhashes = {}\nparts = ["b"]', "unknown b"),
        ('[[model]]\nfile = "a"\nlicence = "MIT"\nhashes = {}\nurl = "b"', "unknown url"),
        ('[[model]]\nfile = "a"\nlicence = "MIT"\nhashes = {}\nsize = "5"', "size of a must be"),
    ],
)
def test_a_broken_registry_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], content: str | None, reason: str
) -> None:
    if content is not None:
        place.registry.write_text(content)
    assert place.run("list") == 3
    said = capsys.readouterr().err
    assert str(place.registry) in said
    assert reason in said


# This package's own registry ---------------------------------------------------------------------


def test_the_packages_networks_are_listed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    heads = dict(line.split(": ") for line in listed.splitlines() if not line.startswith(" "))
    assert {"lite", "mobilenet", "openpose", "body25"} <= {*heads}
    assert "non-commercial" in heads["openpose"]
    assert "non-commercial" in heads["body25"]
    assert weights.main(["path", "lite"]) == 0
    files = [find_model("lite", names) for names in NETWORKS.values()]
    assert capsys.readouterr().out.splitlines() == [str(file) for file in files]
    assert weights.main(["path", "mobilenet"]) == 3
    assert "fetch it: python -m openpose_ext.weights fetch mobilenet\n" in capsys.readouterr().err
    assert weights.main(["fetch", "openpose"]) == 2
    said = capsys.readouterr().err
    assert "body_pose_model.pth, hand_pose_model.pth: OpenPose (academic or non-profit" in said


def test_official_downloads_are_registered_as_published(shared: Path) -> None:
    """../shared/weights/README.md has a table of file, URL, bytes and hash."""
    known = {url: entry for entry in registry() for url in entry.urls}
    row = re.compile(r"^\|[^|]*\| (https?://[^ ]*) \| ([^|]*) \| (?:(\w+) `(\w+)`|[^|]*) \|", re.M)
    found = row.findall((shared / "weights" / "README.md").read_text())
    compared = 0
    for url, size, algorithm, digest in found:
        if url not in known:
            continue
        compared += 1
        assert known[url].size == (int(size) if size.isdecimal() else None)
        assert known[url].hashes.get(algorithm, "") == digest
    assert compared >= 9


def test_original_weights_need_consent() -> None:
    for entry in registry():
        assert ("non-commercial" in entry.licence) == (entry.terms is not None)
