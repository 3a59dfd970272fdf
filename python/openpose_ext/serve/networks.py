"""Opens the estimators that visitors' options ask for, all with the server's own flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openpose_ext.errors import UsageError
from openpose_ext.io.cpus import own_cores
from openpose_ext.models.lookup import NETWORKS
from openpose_ext.serve.cost import network_bytes
from openpose_ext.serve.options import Networks
from openpose_ext.stages.estimator import MOST_STREAMS, PoseEstimator

__all__ = ["Opening", "public_name"]

_SHARE = 4  # an estimator takes no more than this part of the memory, if it can be helped


class Opening:
    """Opens an estimator.

    flags    arguments of `PoseEstimator` for all of them
    refine   what is meant where a visitor asks for refinement
    files    the networks that visitors know by another name, by kind
    memory   bytes of all that the server does
    threads  of the engine; None for its own choice
    """

    def __init__(
        self,
        flags: Mapping[str, Any],
        refine: bool | float,
        files: Mapping[str, Mapping[str, str]],
        memory: int,
        threads: int | None = None,
    ) -> None:
        self._flags = flags
        self._refine = refine or True
        self._files = files
        self._memory = memory
        self._streams = min(threads or own_cores(), MOST_STREAMS)
        mirrored = 2 if flags.get("mirror") else 1
        self._looks = mirrored * max(flags.get("scales", (1.0,))) ** 2

    def __call__(self, networks: Networks) -> PoseEstimator:
        """The estimator. Raises UsageError for what does not go together, and as opening does."""
        chosen = self._named(networks)
        of_hands = ("hand_detector", "hand_scales") if networks.hand == "none" else ()
        flags = {name: value for name, value in self._flags.items() if name not in of_hands}
        try:
            return PoseEstimator(
                chosen.body,
                hand=chosen.hand,
                face=chosen.face,
                foot=chosen.foot,
                refine=self._refine if chosen.refine else False,
                height=chosen.height,
                streams=self._streams_of(chosen),
                **flags,
            )
        except ValueError as error:
            raise UsageError(error) from error

    def cost(self, networks: Networks) -> int:
        """Bytes that it takes. Raises ModelError for a network that is not there."""
        chosen = self._named(networks)
        return network_bytes(chosen, self._streams_of(chosen), self._looks)

    def _named(self, networks: Networks) -> Networks:
        """The same with files in the place of names that only visitors know."""
        kinds = ("body", "hand", "face", "foot")
        found = {kind: getattr(networks, kind) for kind in kinds}
        return networks._replace(
            **{kind: self._files.get(kind, {}).get(name, name) for kind, name in found.items()}
        )

    def _streams_of(self, chosen: Networks) -> int:
        """Pictures at once, as many as memory allows."""
        fits = (
            streams
            for streams in range(self._streams, 1, -1)
            if network_bytes(chosen, streams, self._looks) * _SHARE <= self._memory
        )
        return next(fits, 1)


def public_name(kind: str, network: str) -> str:
    """What visitors call a network: the name of a file, without the server's folders."""
    return network if network in (*NETWORKS[kind], "none") else Path(network).name
