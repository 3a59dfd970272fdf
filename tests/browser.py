"""A headless Chromium, driven over its own protocol (CDP) through two pipes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Chromium reads commands from descriptor 3 and answers on 4.
_ON_3_AND_4 = (
    "import fcntl, os, sys\n"
    "both = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]\n"
    "os.dup2(both[0], 3), os.dup2(both[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page. A context manager; methods raise AssertionError where the browser reports one."""

    def __init__(self, profile: Path, patience: float = 60, flags: tuple[str, ...] = ()) -> None:
        assert CHROMIUM is not None
        self._patience = patience
        self._numbers = itertools.count(1)
        self._unread = b""
        self.messages: list[str] = []  # what the page complained of
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        chromium = (
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-extensions", "--disable-background-networking",
            f"--user-data-dir={profile}", "--remote-debugging-pipe", *flags, "about:blank",
        )  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(theirs_in), str(theirs_out), *chromium],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self._attach(page["targetId"])

    def open(self, address: str) -> None:
        """Go to an address."""
        self.do("Page.navigate", url=address)

    def tab(self) -> None:
        """Open another tab; all that follows happens in it."""
        self._attach(self._call("Target.createTarget", url="about:blank")["targetId"])

    def do(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol for the page."""
        return self._call(method, self._session, **params)

    def value(self, script: str) -> Any:
        """What a script in the page gives; promises are waited for."""
        answer = self.do(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of a script, as soon as it is true."""
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            if value := self.value(script):
                return value
            time.sleep(0.05)
        page = self.value("document.body.innerText")
        raise AssertionError(f"{script} did not become true; the page says:\n{page}")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files with the file button, as a visitor does."""
        node = self.do("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        self.do(
            "DOM.setFileInputFiles",
            files=[str(file) for file in files],
            objectId=node["result"]["objectId"],
        )

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window, in CSS pixels."""
        self.do("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Click on the middle of an element with the mouse."""
        x, y = self.value(
            f"""(() => {{
                const found = document.querySelector({json.dumps(selector)});
                found.scrollIntoView({{ block: "center" }});
                const box = found.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            mouse = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.do("Input.dispatchMouseEvent", type=kind, **mouse)

    def downloads(self, folder: Path) -> None:
        """Save downloads in a folder."""
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take a screen of this size, and a light or dark theme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.do("Emulation.setDeviceMetricsOverride", **metrics)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[theme])

    def screenshot(self) -> bytes:
        """The page as a PNG, all of it."""
        answer = self.do("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End it."""
        os.close(self._commands)  # it ends when nobody can command it any more
        os.close(self._answers)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _attach(self, target: str) -> None:
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.do(f"{domain}.enable")

    def _call(self, method: str, session: str | None = None, **params: Any) -> Any:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.messages.append(str(event["params"]["exceptionDetails"]))
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.messages.append(event["params"]["entry"]["text"])

    def _read(self) -> bytes:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], self._patience)
            assert ready, "the browser does not answer"
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        return message
