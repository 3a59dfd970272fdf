"""Opens networks on engines. Files of weights only are taken for the original networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from openpose_ext.backends.engines import describe, open_backend

__all__ = ["describe_network", "open_network"]


def _original(file: Path) -> tuple[Sequence[str], Any]:
    """The original network that a file of weights belongs to, recognised by its layer names."""
    from openpose_ext.models.convert.original import OUTPUTS
    from openpose_ext.models.convert.original_weights import load_network

    kind, network = load_network(file)
    return OUTPUTS[kind], network


open_network = partial(open_backend, weights=_original)
describe_network = partial(describe, weights=_original)
