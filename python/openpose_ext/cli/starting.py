"""Lets Ctrl-C end a command at once and quietly while it is loading, when nothing has begun yet.

Most of a command's start is importing this package, before its own code can catch the exception. So
this module is imported first. In other programs that import the package it does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

__all__ = ["begun"]


def begun() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on, as usual."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, _: object) -> None:
    os._exit(128 + number)


def _is_command(words: list[str]) -> bool:
    """Whether the interpreter was started as `python -m openpose_ext...` or `openpose-ext`."""
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    scripts = [os.path.basename(word) for word in words[:2]]
    return "openpose-ext" in scripts or any(name.startswith("openpose_ext") for name in module)


if (
    _is_command(sys.orig_argv)
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _leave)
