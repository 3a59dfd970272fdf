"""Adds flags to a command, with one call per flag."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["Flags"]


class Flags:
    """The flags of a parser, or of one of its groups.

    Names are written as the help shows them, such as "-o --output OUT". A default is given once:
    the help text ends with it, unless the text tells the default itself.
    """

    def __init__(self, group: argparse._ActionsContainer) -> None:
        self.group = group

    def switch(self, name: str, what: str) -> None:
        """Add a flag without a value."""
        self.group.add_argument(*name.split(), action="store_true", help=what)

    def value(
        self,
        name: str,
        what: str,
        kind: Callable[[str], Any] = str,
        default: Any = None,
        **others: Any,
    ) -> None:
        """Add a flag with a value.

        others  further arguments of `add_argument`
        """
        *names, metavar = name.split()
        self.group.add_argument(
            *names,
            metavar=metavar,
            help=_with_default(what, default),
            type=kind,
            default=default,
            **others,
        )

    def choice(self, name: str, what: str, choices: Collection[Any], default: Any = None) -> None:
        """Add a flag whose value is one of several; numbers are read as such."""
        self.group.add_argument(
            name,
            help=_with_default(what, default),
            type=type(next(iter(choices))),
            choices=choices,
            default=default,
        )

    def hidden(self, *names: str, **others: Any) -> None:
        """Add flags that are accepted but not shown in the help.

        others  further arguments of `add_argument`
        """
        for name in names:
            self.group.add_argument(*name.split(), help=argparse.SUPPRESS, **others)


def _with_default(what: str, default: object) -> str:
    return what if default is None or "default" in what else f"{what} (default {default})"
