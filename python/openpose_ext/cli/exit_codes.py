"""How commands end: exit codes and last words."""

from __future__ import annotations

import io
import sys
import traceback
import warnings
from collections.abc import Callable
from enum import IntEnum

from openpose_ext.errors import BackendError, ModelError, OutputError, UsageError

__all__ = ["Exit", "ended", "exit_code"]


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
    """Run a command and turn what it raises into an exit code, with the reason on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # File names need not be text; what cannot be printed must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    usual = warnings.formatwarning
    warnings.formatwarning = _worded
    try:
        return command()
    except SystemExit as error:  # argparse, which has printed its sentence
        return error.code if isinstance(error.code, int) else Exit.DONE
    except KeyboardInterrupt:
        return ended(Exit.INTERRUPTED, "interrupted")
    except UsageError as error:
        return ended(Exit.USAGE, error)
    except (ModelError, BackendError) as error:
        return ended(Exit.MODEL, error)
    except OutputError as error:
        return ended(Exit.OUTPUT, error)
    except Exception:
        traceback.print_exc()
        return ended(Exit.INTERNAL, "internal error; please report it with the lines above")
    finally:
        warnings.formatwarning = usual


def ended(code: Exit, reason: object) -> Exit:
    """Say on stderr why a command ends; returns the code."""
    print(f"openpose-ext: {reason}", file=sys.stderr)
    return code


def _worded(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as one line, as errors are; a programmer's with the place it comes from."""
    of_users = issubclass(category, UserWarning)
    where = "" if of_users else f"{filename}:{lineno}: {category.__name__}: "
    return f"openpose-ext: {where}{message}\n"
