"""Our docstrings as reStructuredText: their aligned columns become definition lists.

A docstring here names arguments in columns, a name, two or more spaces, what it is:

    height    of the network's input, pixels
    hand      name or file of a hand network, or None
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_ENTRY = re.compile(
    r"(?P<indent> *)(?P<name>[^\s.,:`][^\s]*(?:, [^\s]+)*)(?P<gap> {2,})(?P<text>\S.*)"
)


def definitions(lines: list[str]) -> list[str]:
    """Lines of a docstring, with each aligned column as a definition list."""
    written: list[str] = []
    indent, column = "", 0  # of the list that is being written; no list has column 0
    for line in lines:
        entry = _ENTRY.fullmatch(line)
        if entry and (not column or entry["indent"] == indent):
            if not column:
                indent, column = entry["indent"], entry.start("text")
                written.append("")
            written += [f"{indent}``{entry['name']}``", f"{indent}    {entry['text']}"]
        elif column and line.startswith(" " * column):
            written.append(f"{indent}    {line.strip()}")
        else:
            if column and line.strip():
                column = 0
                written.append("")
            written.append(line)
    return written


def _process(
    _app: Sphinx, _kind: str, _name: str, _value: Any, _options: Any, lines: list[str]
) -> None:
    lines[:] = definitions(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
