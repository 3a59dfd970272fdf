"""`{flags} infer`: the help of a command, from its parser."""

from __future__ import annotations

import argparse
import importlib
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

# What a command imports from; `batch` and `serve` are folders.
_MODULES = {"batch": "openpose_ext.batch.command", "serve": "openpose_ext.serve.command"}


class Flags(Directive):
    """A section a group of flags, an entry a flag, and the examples as they stand in `--help`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = self.arguments[0]
        module = importlib.import_module(_MODULES.get(command, f"openpose_ext.{command}"))
        parser: argparse.ArgumentParser = module._parser()
        written: list[nodes.Node] = [nodes.paragraph(text=parser.description or "")]
        written.append(_literal(parser.format_usage().removeprefix("usage: ").strip()))
        for group in parser._action_groups:
            entries = [a for a in group._group_actions if a.help is not argparse.SUPPRESS]
            if entries:
                written.append(nodes.rubric(text=(group.title or "").capitalize()))
                if group.description:
                    written.append(nodes.paragraph(text=" ".join(group.description.split())))
                written.append(_list(parser, entries))
        if parser.epilog:
            written += [nodes.rubric(text="Examples and exit codes"), _literal(parser.epilog)]
        return written


def _list(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> nodes.Node:
    formatter = parser._get_formatter()
    listed = nodes.definition_list()
    for action in actions:
        name = nodes.literal(text=formatter._format_action_invocation(action))
        text = formatter._expand_help(action) if action.help else ""
        item = nodes.definition_list_item("", nodes.term("", "", name))
        item += nodes.definition("", nodes.paragraph("", "", *_inline(text)))
        listed += item
    return listed


def _inline(text: str) -> list[nodes.Node]:
    """Flags named in a text, as code."""
    pieces = re.split(r"(--[\w-]+)", text)
    return [nodes.literal(text=p) if p.startswith("--") else nodes.Text(p) for p in pieces if p]


def _literal(text: str) -> nodes.literal_block:
    block = nodes.literal_block(text, text)
    block["language"] = "text"
    return block


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("flags", Flags)
    return {"parallel_read_safe": True}
