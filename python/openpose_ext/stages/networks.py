"""The networks of an estimator: which ones are wanted, and opening them on their engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from openpose_ext.backends.engines import check_engine_options
from openpose_ext.models.manifest import KINDS
from openpose_ext.models.network import BodyNetwork, HandNetwork

if TYPE_CHECKING:
    from openpose_ext.stages.cascade import Cascade
    from openpose_ext.stages.faces import FaceFinder
    from openpose_ext.stages.feet import FootFinder
    from openpose_ext.stages.hand_detector import HandDetector
    from openpose_ext.stages.hands import HandFinder

__all__ = ["NetworkSet", "Networks", "chosen_networks", "options_by_network"]

File: TypeAlias = "str | PathLike[str]"


class Networks(NamedTuple):
    """Open networks; None for what is not wanted."""

    body: BodyNetwork | None
    hands: HandFinder | None
    faces: FaceFinder | None
    feet: FootFinder | None
    detector: HandDetector | None

    @property
    def cascades(self) -> list[Cascade]:
        """The finders of hands, faces and feet that are open."""
        return [one for one in (self.hands, self.faces, self.feet) if one is not None]

    def need_body(self) -> BodyNetwork:
        """The body network. Raises ValueError if there is none."""
        if self.body is None:
            raise ValueError(
                "this estimator has no body network: only `hands` and `faces` can be called"
            )
        return self.body


@dataclass(frozen=True, eq=False)
class NetworkSet:
    """The networks that are wanted, and how each is opened.

    files            name or file of each network, by kind: "body", "hand", "face", "foot"
    normalise        (mean, divisor) of the body network's input, None for its manifest's
    cascade_options  of each kind but "body": `scales` and `max_batch` of its `Cascade`
    engine           backend, device, precision and threads, the same for all networks
    engine_options   of each kind: what only its engine understands
    hand_detector    whether hands are also searched for in the whole picture
    zoo              whether hands follow the rules of VastModelZoo's script
    """

    files: Mapping[str, File]
    normalise: tuple[float, float] | None
    cascade_options: Mapping[str, Mapping[str, Any]]
    engine: Mapping[str, Any]
    engine_options: Mapping[str, Mapping[str, Any]]
    hand_detector: bool
    zoo: bool

    def __post_init__(self) -> None:
        if self.hand_detector and "hand" not in self.files:
            raise ValueError('hand_detector needs a hand network, such as hand="lite"')
        if self.hand_detector and self.zoo:
            raise ValueError('mode "zoo" finds hands where arms end: leave hand_detector out')
        if not {"body", "hand", "face"} & {*self.files}:
            raise ValueError("no network is given: name at least one of body, hand and face")
        if "foot" in self.files and "body" not in self.files:
            raise ValueError("feet are found at the ends of legs: foot needs a body network, too")

    def open(self, streams: int, until: ExitStack) -> Networks:
        """Open the networks with this many requests in flight; `until` closes them.

        Raises ModelError if a network is missing or of another kind, BackendError if its engine is
        missing or refuses it, ValueError for options that do not fit it. Nothing stays open then.
        """
        with ExitStack() as opened:
            found: dict[str, Any] = {
                kind: opened.enter_context(
                    self._finder(kind).open(
                        self.files[kind],
                        streams=streams,
                        engine_options=self.engine_options[kind],
                        **self.cascade_options[kind],
                        **self.engine,
                    )
                )
                for kind in ("hand", "face", "foot")
                if kind in self.files
            }
            detector = None
            if self.hand_detector:
                detector = self._detector(found["hand"], streams, opened)
            network = None
            if "body" in self.files:
                network = BodyNetwork.open(
                    self.files["body"],
                    normalise=self.normalise,
                    streams=streams,
                    engine_options=self.engine_options["body"],
                    **self.engine,
                )
                opened.enter_context(network)
            until.push(opened.pop_all())
        return Networks(network, found.get("hand"), found.get("face"), found.get("foot"), detector)

    def _finder(self, kind: str) -> type[Cascade]:
        """What finds hands, faces or feet; imported only if it is wanted."""
        if kind == "face":
            from openpose_ext.stages.faces import FaceFinder

            return FaceFinder
        if kind == "foot":
            from openpose_ext.stages.feet import FootFinder

            return FootFinder
        if self.zoo:
            from openpose_ext.stages.zoo import ZooHands

            return ZooHands
        from openpose_ext.stages.hands import HandFinder

        return HandFinder

    def _detector(self, hands: HandFinder, streams: int, opened: ExitStack) -> HandDetector:
        """Detect hands with the hand network itself, or with the embedded one if it cannot."""
        from openpose_ext.stages.hand_detector import HandDetector

        if hands.can_detect:
            return HandDetector(hands.network)
        network = HandNetwork.open("lite", streams=streams, **{**self.engine, "backend": "auto"})
        return HandDetector(opened.enter_context(network))


def chosen_networks(networks: Mapping[str, File | None], *, embedded: bool) -> dict[str, File]:
    """The networks that are wanted, by kind: not those that are None or "none".

    embedded  take the embedded network, "lite", for each kind that is None
    """
    given = {kind: "lite" if embedded and one is None else one for kind, one in networks.items()}
    return {kind: one for kind, one in given.items() if one is not None and one != "none"}


def options_by_network(
    options: Mapping[str, Any] | None, vdsp_params: File | None
) -> dict[str, dict[str, Any]]:
    """The engine's options of each kind of network: the common ones, then its own.

    Raises TypeError if they are no mapping, ValueError for an option that no engine knows.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"engine_options must be a mapping, not {type(options).__name__}")
    shared = dict(options or {})
    own = {name: shared.pop(name, None) for name in KINDS}
    if vdsp_params is not None:
        warnings.warn(
            'vdsp_params is deprecated; give engine_options={"body": {"vdsp_params": ...}}',
            DeprecationWarning,
            stacklevel=3,
        )
        own["body"] = {"vdsp_params": vdsp_params, **check_engine_options(own["body"])}
    common = check_engine_options(shared)
    return {name: common | check_engine_options(one) for name, one in own.items()}
