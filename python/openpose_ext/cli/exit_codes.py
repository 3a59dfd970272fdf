"""How commands end: exit codes and error messages."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from openpose_ext.cli.starting import begun
from openpose_ext.errors import BackendError, ModelError, OutputError, UsageError

__all__ = ["Ended", "Exit", "ended", "exit_code"]


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    SOME_FAILED = 1  # some inputs could not be read; each is named on stderr
    USAGE = 2
    MODEL = 3  # a network or an engine is missing or refuses
    OUTPUT = 4  # an output cannot be written
    INTERNAL = 70
    INTERRUPTED = 130


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and turn what it raises into an exit code, with the reason on stderr.

    SIGTERM and SIGHUP end it like Ctrl-C: open files are finished.
    """
    begun()
    _mend_streams()
    usual = warnings.formatwarning
    warnings.formatwarning = _worded
    try:
        with _ending_signals():
            code = command()
        sys.stdout.flush()  # here a failure gets a message instead of the interpreter's traceback
        return code
    except SystemExit as error:  # argparse, which has printed its sentence
        return error.code if isinstance(error.code, int) else Exit.DONE
    except Ended as error:
        return ended(128 + error.number, f"ended by {signal.Signals(error.number).name}")
    except KeyboardInterrupt:
        return ended(Exit.INTERRUPTED, "interrupted")
    except UsageError as error:
        return ended(Exit.USAGE, error)
    except (ModelError, BackendError) as error:
        return ended(Exit.MODEL, error)
    except OutputError as error:
        return ended(Exit.OUTPUT, error)
    except OSError as error:
        # An error about a file names it, or is already an OutputError.
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EBADF):
            return _without_stdout(error)
        return _internal()
    except Exception:
        return _internal()
    finally:
        warnings.formatwarning = usual


class Ended(KeyboardInterrupt):
    """A signal asked the command to end, like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Raise `Ended` on SIGTERM or SIGHUP, unless the program has handlers of its own.

    A second signal of the same kind interrupts the finishing and keeps complete files. A signal of
    the other kind, such as the SIGHUP that follows a SIGTERM when a terminal is closed, is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: set[int] = set()

    def end(number: int, _: object) -> None:
        first = not came
        came.add(number)
        if first or came == {number}:
            raise Ended(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for name in names if signal.getsignal(number := getattr(signal, name)) == 0]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


def ended(code: int, reason: object) -> int:
    """Print the reason on stderr; return the exit code."""
    with suppress(OSError):
        print(f"openpose-ext: {reason}", file=sys.stderr)
    return code


def _internal() -> int:
    with suppress(OSError):
        traceback.print_exc()
    return ended(Exit.INTERNAL, "internal error; please report it with the lines above")


def _mend_streams() -> None:
    """Make stdout and stderr robust, so that printing never ends the run."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it is closed, as by `2>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text


def _without_stdout(error: OSError) -> int:
    """The exit code if stdout is closed or cannot be written."""
    # The rest of its buffer would raise again when the interpreter exits.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 128 + 13  # SIGPIPE, the usual code if the reader has left, as `| head` does
    return ended(Exit.OUTPUT, f"nothing can be printed: {error.strerror or error}")


def _worded(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Format a warning on one line, like errors; programmers' warnings include their origin."""
    of_users = issubclass(category, UserWarning)
    where = "" if of_users else f"{filename}:{lineno}: {category.__name__}: "
    return f"openpose-ext: {where}{message}\n"
