"""Opens the estimators that visitors' options need, all with the server's own flags."""

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

_SHARE = 4  # an estimator gets so few streams that it needs at most 1 / 4 of the memory


class Opening:
    """Opens estimators.

    flags    arguments of `PoseEstimator` for all of them
    refine   the value of `refine` if a visitor asks for refinement
    files    by kind, the files of networks whose public names differ
    memory   memory of the whole server in bytes
    threads  threads of the engine; None for its own choice
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
        """Open the estimator. Raises UsageError for options that do not go together, and the errors
        of `PoseEstimator`."""
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
        """Bytes that the estimator needs. Raises ModelError if a network is missing."""
        chosen = self._named(networks)
        return network_bytes(chosen, self._streams_of(chosen), self._looks)

    def _named(self, networks: Networks) -> Networks:
        """The same networks with files instead of public names."""
        kinds = ("body", "hand", "face", "foot")
        found = {kind: getattr(networks, kind) for kind in kinds}
        return networks._replace(
            **{kind: self._files.get(kind, {}).get(name, name) for kind, name in found.items()}
        )

    def _streams_of(self, chosen: Networks) -> int:
        """The number of pictures to process at once, as far as memory allows."""
        fits = (
            streams
            for streams in range(self._streams, 1, -1)
            if network_bytes(chosen, streams, self._looks) * _SHARE <= self._memory
        )
        return next(fits, 1)


def public_name(kind: str, network: str) -> str:
    """The public name of a network: a file's name without the server's folders."""
    return network if network in (*NETWORKS[kind], "none") else Path(network).name
