"""`python -m openpose_ext COMMAND`, and the console script `openpose-ext`."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Sequence

from openpose_ext.cli.exit_codes import Exit, ended

__all__ = ["main"]

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
        return ended(Exit.USAGE, f"no command {words[0]!r}{hint}\n{_help()}")
    command: Callable[[Sequence[str]], int] = importlib.import_module(_COMMANDS[words[0]][0]).main
    return command(words[1:])


def _help() -> str:
    commands = "\n".join(f"  {name:10}{what}" for name, (_, what) in _COMMANDS.items())
    return f"usage: openpose-ext COMMAND ... (COMMAND --help tells more)\n\ncommands:\n{commands}"


if __name__ == "__main__":
    sys.exit(main())
