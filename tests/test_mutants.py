"""A few damaged files for every reader; `python tests/mutants.py` has thousands."""

from __future__ import annotations

import importlib.util

import pytest

import mutants


@pytest.mark.parametrize("reader", mutants.READERS)
def test_readers_raise_what_they_document_quickly_and_in_little_memory(reader: str) -> None:
    needed = mutants.NEEDS.get(reader)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    assert mutants.run(reader, 100) == []
