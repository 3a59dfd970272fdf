"""The console script `openpose-ext`, and what all commands share: exit codes and last words."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import IntEnum

from openpose_ext.errors import BackendError, ModelError, OutputError

__all__ = ["Exit", "UsageError", "exit_code", "main"]


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    SOME_FAILED = 1  # some inputs could not be read; each is named on stderr
    USAGE = 2
    MODEL = 3  # a network or an engine is missing or refuses
    OUTPUT = 4  # an output cannot be written
    INTERNAL = 70
    INTERRUPTED = 130


class UsageError(Exception):
    """The command line asks for what cannot be done."""


# Name on the command line, module with `main(argv) -> int`, what it does.
_COMMANDS = {
    "infer": ("openpose_ext.infer", "find people in pictures"),
    "batch": ("openpose_ext.batch", "the same on many machines, with Ray"),
    "eval": ("openpose_ext.eval", "score a network on annotated pictures, as COCO does"),
    "export": ("openpose_ext.export", "convert a network to what engines read, INT8 too"),
    "perf": ("openpose_ext.perf", "measure throughput and latency, as vamp does"),
    "datalist": ("openpose_ext.datalist", "write pictures as the inputs that vamp runs"),
    "serve": ("openpose_ext.serve", "show people on a page in the browser, with an API"),
    "weights": ("openpose_ext.weights", "list, fetch and find the files of networks"),
}


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and turn what it raises into an exit code, with the reason on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # File names need not be text; what cannot be printed must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return command()
    except SystemExit as error:  # argparse, which has printed its sentence
        return error.code if isinstance(error.code, int) else Exit.DONE
    except KeyboardInterrupt:
        return _ended(Exit.INTERRUPTED, "interrupted")
    except UsageError as error:
        return _ended(Exit.USAGE, error)
    except (ModelError, BackendError) as error:
        return _ended(Exit.MODEL, error)
    except OutputError as error:
        return _ended(Exit.OUTPUT, error)
    except Exception:
        traceback.print_exc()
        return _ended(Exit.INTERNAL, "internal error; please report it with the lines above")


def main(argv: Sequence[str] | None = None) -> int:
    """`openpose-ext COMMAND ...`: the same as `python -m openpose_ext.COMMAND ...`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if words else sys.stderr)
        return Exit.DONE if words else Exit.USAGE
    if words[0] == "--version":
        print(importlib.metadata.version("openpose_ext"))
        return Exit.DONE
    if words[0] not in _COMMANDS:
        near = difflib.get_close_matches(words[0], _COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return _ended(Exit.USAGE, f"no command {words[0]!r}{hint}\n{_help()}")
    command: Callable[[Sequence[str]], int] = importlib.import_module(_COMMANDS[words[0]][0]).main
    return command(words[1:])


def _ended(code: Exit, reason: object) -> Exit:
    print(f"openpose-ext: {reason}", file=sys.stderr)
    return code


def _help() -> str:
    commands = "\n".join(f"  {name:10}{what}" for name, (_, what) in _COMMANDS.items())
    return f"usage: openpose-ext COMMAND ... (COMMAND --help tells more)\n\ncommands:\n{commands}"
