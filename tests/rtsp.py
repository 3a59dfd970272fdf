"""A real RTSP server in a process of its own, that can be killed and started again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")


class Server:
    """Serves a test picture at `address`."""

    def __init__(self) -> None:
        self.port = 0  # which is free the server knows best
        self.start()
        self.address = f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving() -> Iterator[Server]:
    """A server; skips the test where there is none."""
    needed = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); "
        "gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None); "
        "assert all(map(Gst.ElementFactory.find, ['videotestsrc', 'jpegenc', 'rtpjpegpay']))"
    )
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", needed], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "no RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 "
            "gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        )
    server = Server()
    try:
        yield server
    finally:
        server.kill()
