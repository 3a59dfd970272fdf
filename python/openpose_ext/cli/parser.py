"""Parsing of command lines, including OpenPose's notation."""

from __future__ import annotations

import argparse
import difflib
import glob
import os
import re
from collections.abc import Collection, Sequence

from openpose_ext.backends.engines import ENGINES
from openpose_ext.cli.openpose_flags import OPENPOSE_FLAGS, Treatment
from openpose_ext.cli.values import FALSE, TRUE
from openpose_ext.models.lookup import NETWORKS

__all__ = ["command_parser", "parse"]

_CLOSER = ("hand", "face", "foot")  # flags that may stand alone, before an input


def command_parser(
    command: str, usage: str, description: str, epilog: str, *, add_help: bool = True
) -> argparse.ArgumentParser:
    """The common part of all parsers: `python -m openpose_ext.COMMAND USAGE`."""
    return argparse.ArgumentParser(
        prog=f"python -m openpose_ext.{command}",
        usage=f"%(prog)s {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str], booleans: Collection[str]
) -> argparse.Namespace:
    """Parse a command line, accepting OpenPose's notation.

    Flags may be written with `_` or `-`. OpenPose's booleans (`--face=false`, `--noface`) and
    values that begin with a minus (`--net_resolution -1x368`) are understood. Inputs and flags may
    come in any order.

    parser    with options written with `_`, and perhaps with `add_openpose_flags`
    booleans  the parser's own options without a value

    Raises SystemExit(2), after a message on stderr, for an unknown flag (with the nearest one
    suggested), a refused flag, or an unexpected word.
    """
    foreign = {
        flag.name
        for flag in OPENPOSE_FLAGS
        if flag.is_boolean and flag.treatment is not Treatment.OPTION
    }
    args, rest = parser.parse_known_intermixed_args(_normalised(argv, foreign | {*booleans}))
    known = [f"--{name}" for name in vars(args)]
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, known, n=1)
            parser.error(f"unknown flag {name}" + (f"; did you mean {near[0]}?" if near else ""))
        parser.error(f"{word!r} is neither a flag nor the value of one")
    for flag in OPENPOSE_FLAGS:
        if flag.treatment is Treatment.REFUSED:
            value = getattr(args, flag.name, None)
            if value is not None and not flag.asks_for_nothing(value):
                parser.error(f"--{flag.name}: {flag.note}")
    return args


def _normalised(argv: Sequence[str], booleans: Collection[str]) -> list[str]:
    """Convert the command line to argparse's notation: booleans without a value."""
    words = list(argv)
    normal: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":  # all further words are inputs, whatever they begin with
            return [*normal, *(f"./{name}" if name.startswith("-") else name for name in words)]
        if not word.startswith("--"):
            normal.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name.removeprefix("no") in booleans and name not in booleans:
            continue
        if name.removeprefix("no") in _CLOSER and name not in _CLOSER:
            name, equals, value = name.removeprefix("no"), "=", "none"
        if name == "norefine":
            name, equals, value = "refine", "=", "false"
        if name in _CLOSER and not equals:
            takes = bool(words) and not words[0].startswith("-") and _is_network(name, words[0])
            equals, value = "=", words.pop(0) if takes else "true"
        if name == "hand_detector" and not equals:
            takes = bool(words) and (words[0].isdecimal() or words[0].lower() in (*TRUE, *FALSE))
            equals, value = "=", words.pop(0) if takes else "true"
        if name == "refine" and not equals:
            takes = bool(words) and _names_a_height(words[0])
            equals, value = "=", words.pop(0) if takes else "true"
        if name in booleans and not equals and words and words[0] in ("true", "false"):
            equals, value = "=", words.pop(0)
        if name in booleans and value.lower() in FALSE:
            continue
        if name in booleans and value.lower() in TRUE:
            equals = value = ""
        if not equals and words and re.match(r"-\d", words[0]):
            equals, value = "=", words.pop(0)
        normal.append(f"--{name}{equals}{value}")
    return normal


def _names_a_height(word: str) -> bool:
    """Whether the word after `--refine` is its value rather than an input."""
    return word.lower() in (*TRUE, *FALSE) or word.isdecimal()


def _is_network(kind: str, word: str) -> bool:
    """Whether the word after `--hand` is its value rather than an input; OpenPose's flag has no
    value."""
    if word.lower() in (*TRUE, *FALSE, "none", *NETWORKS[kind]):
        return True
    suffix = os.path.splitext(word)[1].lower()
    if suffix:
        return any(suffix in engine.suffixes for engine in ENGINES.values())
    return not (os.path.exists(word) or os.path.dirname(word) or glob.has_magic(word))
