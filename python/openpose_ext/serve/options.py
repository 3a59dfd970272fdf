"""The options for networks and drawing that visitors give in a request's query.

Names and values are those of `infer`'s flags: `?body=mobilenet&hand=lite&identification=1`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from openpose_ext.cli.values import FALSE, TRUE, truth
from openpose_ext.stages.bodies import Mode
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD

__all__ = ["Networks", "Offer", "Options"]

_NETWORKS = ("body", "hand", "face", "foot")
_LOWEST, _HIGHEST = 64, 1024  # network pixels
_SPARSEST = 100  # the largest `detect_every`
_MOST_PEOPLE = 1000


class Networks(NamedTuple):
    """The options that decide how an estimator is opened."""

    body: str
    hand: str
    face: str
    foot: str
    refine: bool
    height: int


@dataclass(frozen=True)
class Options:
    """How people are found and drawn in one upload.

    body, hand, face, foot  names of networks; "none" looks for none
    refine          whether to look a second time, closer, where people are
    height          network input height in pixels
    identification  whether people get ids that stay the same across frames
    smooth          whether to smooth the motion and fill short gaps; implies identification
    detect_every    the network sees every so many frames of a video as a whole
    number_people_max  keep this many of the most prominent people; 0 for all
    render_threshold, hand_render_threshold, face_render_threshold
                    scores above which parts, and points of hands and faces, are drawn
    disable_blending  draw on black
    """

    body: str = "lite"
    hand: str = "none"
    face: str = "none"
    foot: str = "none"
    refine: bool = False
    height: int = HEIGHT
    identification: bool = False
    smooth: bool = False
    detect_every: int = 1
    number_people_max: int = 0
    render_threshold: float = FILLED_SCORE
    hand_render_threshold: float = HAND_THRESHOLD
    face_render_threshold: float = FACE_THRESHOLD
    disable_blending: bool = False

    @property
    def of_networks(self) -> Networks:
        """The options that an estimator is opened with."""
        return Networks(**{name: getattr(self, name) for name in Networks._fields})

    @property
    def looks_closer(self) -> bool:
        """Whether hands, faces or feet are looked for."""
        return {self.hand, self.face, self.foot} != {"none"}

    @property
    def follows(self) -> bool:
        """Whether people get ids."""
        return self.identification or self.smooth


@dataclass(frozen=True)
class Offer:
    """What visitors of this server may choose.

    defaults  the values of options that a visitor does not give
    networks  by kind, the names that may be chosen; the default is always one of them
    mode      of the server's estimators; only "fast" knows `refine` and `detect_every`
    """

    defaults: Options = Options()
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mode: Mode = "fast"

    def allowed(self, kind: str) -> tuple[str, ...]:
        """The networks of a kind, the default one first."""
        default = getattr(self.defaults, kind)
        return tuple(dict.fromkeys((default, *self.networks.get(kind, ()))))

    def chosen(self, query: Iterable[tuple[str, str]], others: Iterable[str] = ()) -> Options:
        """The options of a request.

        query   names and values of its query
        others  names in it that are no options

        Raises ValueError, with a sentence for the visitor, for an unknown name, a name that comes
        twice, a value out of range, a network that is not offered, or options that do not go
        together here.
        """
        readers = self._readers()
        others = tuple(others)
        given: dict[str, Any] = {}
        seen: set[str] = set()
        for name, text in query:
            if name in seen:
                raise ValueError(f"{name} is given twice; give it once")
            seen.add(name)
            if name in others:
                continue
            if name not in readers:
                known = ", ".join((*others, *readers))
                raise ValueError(f"there is no option {name[:40]!r}; there are {known}")
            try:
                given[name] = readers[name](text)
            except (ValueError, argparse.ArgumentTypeError) as error:
                raise ValueError(f"{name}: {error}") from error
        options = Options(**asdict(self.defaults) | given)
        self._check(options)
        return options

    def told(self) -> dict[str, object]:
        """The offer as an object for JSON."""
        return {
            "networks": {kind: self.allowed(kind) for kind in _NETWORKS},
            "defaults": asdict(self.defaults),
            "ranges": {name: list(bounds) for name, bounds in self._ranges().items()},
        }

    def _check(self, options: Options) -> None:
        """Refuse at once what `PoseEstimator` would refuse after the upload; raises ValueError."""
        if options.body == "none" and options.hand == "none":
            raise ValueError("hand: without bodies only hands are found here; choose a network")
        if options.body == "none" and options.foot != "none":
            raise ValueError("foot: feet are found at the ends of legs; choose a body network, too")
        if options.refine and self.mode != "fast":
            raise ValueError(f"refine: mode {self.mode!r} of this server has no second look")
        if options.detect_every > 1 and self.mode != "fast":
            raise ValueError(f"detect_every: mode {self.mode!r} of this server needs whole frames")

    def _readers(self) -> dict[str, Callable[[str], Any]]:
        """By name, the function that turns an option's text into its value."""
        ranges = self._ranges()
        readers: dict[str, Callable[[str], Any]] = {}
        for one in fields(Options):
            if one.name in _NETWORKS:
                readers[one.name] = _network(self.allowed(one.name))
            elif one.type == "bool":
                readers[one.name] = truth
            else:
                readers[one.name] = _within(*ranges[one.name], whole=one.type == "int")
        return readers

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """By name, the lowest and the highest value; the server's defaults always lie within."""
        given = {name: getattr(self.defaults, name) for name in _RANGES}
        return {
            name: (min(low, given[name]), max(high, given[name]))
            for name, (low, high) in _RANGES.items()
        }


_RANGES: Mapping[str, tuple[float, float]] = {
    "height": (_LOWEST, _HIGHEST),
    "detect_every": (1, _SPARSEST),
    "number_people_max": (0, _MOST_PEOPLE),
    "render_threshold": (0, 1),
    "hand_render_threshold": (0, 1),
    "face_render_threshold": (0, 1),
}


def _network(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        some = next((name for name in allowed if name != "none"), "none")
        name = {**dict.fromkeys(FALSE, "none"), **dict.fromkeys(TRUE, some)}.get(text, text)
        if name not in allowed:
            raise ValueError(f"{text[:40]!r} is not offered here; choose {' or '.join(allowed)}")
        return name

    return read


def _within(low: float, high: float, *, whole: bool) -> Callable[[str], float]:
    def read(text: str) -> float:
        kind = "whole number" if whole else "number"
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = -1
        if not low <= value <= high:  # this refuses NaN, too
            raise ValueError(f"{text[:40]!r} is not a {kind} from {low:g} to {high:g}")
        return value

    return read
