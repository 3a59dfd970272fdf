"""Manifests: which input a network expects, and the meaning of each of its outputs.

A wrong guess fails silently: with the wrong value range or channel order the maps get weak, and
nothing raises. So it is written down, in `<file>.toml` beside the network or in this package's
registry under the file's hash. Only if both are missing is the graph itself examined.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from openpose_ext.backends.engines import exists
from openpose_ext.backends.protocol import Graph, InputFormat
from openpose_ext.errors import ModelError
from openpose_ext.io.cache import file_digest
from openpose_ext.models.engines import describe_network
from openpose_ext.types.calibration import Calibration
from openpose_ext.types.topology import (
    BODY_25,
    COCO_18,
    FACE_68,
    FACE_70,
    FEET_6,
    FOOT_2,
    HAND_21,
    Topology,
)

__all__ = [
    "HASHES",
    "KINDS",
    "ORIGINAL_RANGE",
    "ROLES",
    "TOPOLOGIES",
    "Manifest",
    "Registered",
    "manifest_file",
    "read_manifest",
    "registry",
    "sniff",
    "write_manifest",
]

TOPOLOGIES: Mapping[str, Topology] = {
    t.name: t for t in (COCO_18, BODY_25, HAND_21, FACE_68, FACE_70, FOOT_2, FEET_6)
}
KINDS = ("body", "hand", "face", "foot")

# What an output can be. "heat+paf" is both in one output, in that order; a "..._logit" is not yet
# in 0..1.
ROLES = (
    "heat",
    "paf",
    "heat+paf",
    "paf+heat",
    "landmarks",
    "world_landmarks",
    "presence",
    "presence_logit",
    "handedness",
)

# The hash algorithms for files, and their number of hexadecimal digits.
HASHES: Mapping[str, int] = {"sha256": 64, "sha384": 96, "md5": 32}

# x / 256 - 0.5, which the original networks expect: (x - 128) / 256.
ORIGINAL_RANGE = InputFormat(mean=(128.0, 128.0, 128.0), divisor=(256.0, 256.0, 256.0))

_REGISTRY = Path(__file__).with_name("registry.toml")
_FIRST_LINE = "# openpose_ext manifest 1"
_PLAIN_KEYS = (
    "kind", "topology", "stride", "lift", "output_layout", "licence", "crop", "min_score",
    "numbers",
)  # fmt: skip
_INPUT_KEYS = ("layout", "channels", "mean", "divisor")
_MOST_LIFT = 10  # pixels


@dataclass(frozen=True)
class Manifest:
    """The description of a network's file.

    kind           one of `KINDS`: what the network looks for
    topology       a name of `TOPOLOGIES`
    outputs        role of each output that is used, by the output's name: see `ROLES`
    input          layout, channel order, range and fixed size of the input
    output_layout  "NCHW" or "NHWC"
    stride         network pixels per map cell
    licence        licence of the weights
    crop           side of the square, in pixels, to which a hand, face or foot is resized, for a
                   network that takes any size but was trained with one; None for other networks
    min_score      hands, faces or feet with a lower score are ignored; None takes the default of
                   the kind
    numbers        numbers per landmark: 2 for x, y; 3 with z; 5 with the logits of visibility and
                   presence; None tells 2 and 3 apart by the output's size
    origin         x and y of landmarks at the centre of the input's first pixel: 0.5 if they count
                   from its edge
    points         which landmarks are the topology's parts; each part is one landmark or the mean
                   of several; None if they are in the topology's order
    lift           picture pixels by which a body network finds people too high, as measured
                   against labels; None if it was not measured. Training makes a network so: if
                   labels lie a little off in its pictures, half of which are mirrored afterwards,
                   that evens out sideways
    calibration    curve from a body network's part scores to the share of right parts; None if it
                   was not measured

    Raises ValueError for anything else.
    """

    kind: str
    topology: str
    outputs: Mapping[str, str]
    input: InputFormat = field(default_factory=InputFormat)
    output_layout: str = "NCHW"
    stride: int = 8
    licence: str = "unknown"
    crop: int | None = None
    min_score: float | None = None
    lift: float | None = None
    calibration: Calibration | None = None
    numbers: int | None = None
    origin: float = 0.5
    points: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        choices = {
            "kind": KINDS,
            "topology": tuple(TOPOLOGIES),
            "output_layout": ("NCHW", "NHWC"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        if not isinstance(self.licence, str):
            raise ValueError(f"licence must be a string, not {self.licence!r}")
        if not isinstance(self.stride, int) or self.stride < 1:
            raise ValueError(f"stride must be a whole number of pixels, not {self.stride!r}")
        if self.crop is not None and (
            not isinstance(self.crop, int) or self.crop < 1 or self.crop % self.stride
        ):
            raise ValueError(f"crop must be a multiple of the stride {self.stride}: {self.crop!r}")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score must lie in 0 to 1, not {self.min_score!r}")
        for name in ("lift", "calibration"):
            if getattr(self, name) is not None and self.kind != "body":
                raise ValueError(f"a {self.kind} network has no {name}")
        if self.lift is not None and not abs(self.lift) <= _MOST_LIFT:
            raise ValueError(f"lift must be at most {_MOST_LIFT} pixels, not {self.lift!r}")
        if self.numbers not in (None, 2, 3, 5):
            raise ValueError(f"numbers of a landmark must be 2, 3 or 5, not {self.numbers!r}")
        if not 0 <= self.origin <= 1:
            raise ValueError(f"origin of landmarks must lie in 0 to 1, not {self.origin!r}")
        parts = len(TOPOLOGIES[self.topology].parts)
        if self.points is not None and (
            len(self.points) != parts or not all(one and min(one) >= 0 for one in self.points)
        ):
            raise ValueError(
                f"points must name landmarks, from 0, for each of the {parts} parts of "
                f"{self.topology}"
            )
        if not self.outputs:
            raise ValueError("outputs must name at least one output")
        for name, role in self.outputs.items():
            if role not in ROLES:
                raise ValueError(f"output {name!r} must be one of {', '.join(ROLES)}, not {role!r}")


@dataclass(frozen=True)
class Registered:
    """A registered file.

    file      its usual name, without a folder
    hashes    hex digest by algorithm: see `HASHES`
    licence   licence of the weights
    name      name of the network it belongs to, as `openpose_ext.weights` takes it, or None
    size      number of bytes, or None
    urls      addresses that offer it, http or https, the official one first
    parts     registered files that it needs
    terms     address of the licence if it has to be accepted, or None
    manifest  its description, or None for a file that no engine reads directly

    Raises ValueError for anything else.
    """

    file: str
    hashes: Mapping[str, str]
    licence: str
    name: str | None = None
    size: int | None = None
    urls: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    terms: str | None = None
    manifest: Manifest | None = None

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or "/" in self.file or "\\" in self.file:
            raise ValueError(f"file must be a name without a folder, not {self.file!r}")
        for algorithm, value in self.hashes.items():
            if algorithm not in HASHES:
                raise ValueError(
                    f"hashes of {self.file} must be of {', '.join(HASHES)}, not {algorithm!r}"
                )
            if not re.fullmatch(rf"[0-9a-f]{{{HASHES[algorithm]}}}", value):
                raise ValueError(
                    f"{algorithm} of {self.file} must have {HASHES[algorithm]} digits 0-9, a-f"
                )
        if self.size is not None and (not isinstance(self.size, int) or self.size < 1):
            raise ValueError(f"size of {self.file} must be a number of bytes, not {self.size!r}")
        for url in self.urls:
            if not url.startswith(("https://", "http://")):
                raise ValueError(f"urls of {self.file} must be http or https, not {url!r}")


def manifest_file(model_file: Path) -> Path:
    """The manifest file of a network: `<file>.toml` beside it."""
    return model_file.with_name(f"{model_file.name}.toml")


def read_manifest(
    model_file: Path,
    *,
    backend: str = "auto",
    device: str = "cpu",
    normalise: tuple[float, float] | None = None,
) -> Manifest:
    """Find out the manifest of a network's file.

    It comes from `<file>.toml` beside it; otherwise from the registry, by the file's hash;
    otherwise from the graph itself, as `backend` reads it (on `device`, if it is compiled for one).

    normalise  a mean and a divisor for all channels, instead of the manifest's range

    If nothing tells the range, x / 256 - 0.5 is assumed, with a warning. Raises ModelError if the
    manifest is broken or the graph fits no known network, and the errors of `describe_network`.
    """
    manifest, says_range = _manifest_of(model_file, backend, device)
    if normalise is not None:
        mean, divisor = normalise
        given = replace(manifest.input, mean=(mean,) * 3, divisor=(divisor,) * 3)
        return replace(manifest, input=given)
    if not says_range:
        warnings.warn(
            f"nothing tells which range of values {model_file} expects; x / 256 - 0.5 is assumed. "
            f"A wrong range makes weak maps: write it to {manifest_file(model_file)}, or give it "
            "with --normalise",
            stacklevel=2,
        )
    return manifest


def _manifest_of(model_file: Path, backend: str, device: str) -> tuple[Manifest, bool]:
    """The manifest, and whether the value range is known."""
    beside = manifest_file(model_file)
    if beside.is_file():
        return _parsed_file(beside), True
    if not exists(model_file):
        raise ModelError(f"there is no network file {model_file}")
    known = _registered(model_file) if model_file.is_file() else None
    if known is not None:
        return known, True
    graph = describe_network(model_file, backend, device=device)
    try:
        return sniff(graph), graph.normalises or graph.checked
    except ValueError as error:
        raise ModelError(
            f"{model_file} is no known pose network: {error}. Describe it in {beside}"
        ) from error


def write_manifest(manifest: Manifest, model_file: Path) -> Path:
    """Write `<file>.toml` for a network, whole or not at all; returns its path.

    Raises OutputError if it cannot be written.
    """
    from openpose_ext.io.whole import write_whole

    target = manifest_file(model_file)
    write_whole(target, _to_toml(manifest).encode())
    return target


@cache
def registry(file: Path = _REGISTRY) -> tuple[Registered, ...]:
    """All files known to this package, or those of another registry in the same format.

    Raises ModelError if it cannot be read or is broken.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")).get("model", [])
        entries = tuple(map(_registered_from, tables))
        files = [entry.file for entry in entries]
        _refuse_unknown(dict.fromkeys(p for entry in entries for p in entry.parts), files)
    except OSError as error:
        raise ModelError(f"the registry {file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"the registry {file} is broken: {error}") from error
    return entries


def sniff(graph: Graph) -> Manifest:
    """Deduce the manifest of a graph from its output channels and its first operations.

    A graph that does not normalise its input is assumed to expect x / 256 - 0.5.

    Raises ValueError, saying what was found, if it fits no known network, or if maps and fields are
    in one output and nothing tells which come first.
    """
    layout = _layout(graph.input)
    known = _known_outputs(graph.outputs, graph.joined)
    if layout is None or known is None:
        found = ", ".join(f"{name} {shape}" for name, shape in graph.outputs.items())
        raise ValueError(
            f"it takes {graph.input} and gives {found}; expected a picture in and 38 + 19, "
            "52 + 26, 57, 78, 22, 71 or 69 channels of maps, or 21 landmarks, out"
        )
    kind, topology, output_layout, outputs = known
    for name, role in outputs.items():
        if not role:
            raise ValueError(
                f"its output {name!r} has both maps and fields; nothing tells which come first"
            )

    rows, columns = (2, 3) if layout == "NCHW" else (1, 2)
    height, width = graph.input[rows], graph.input[columns]
    size = None if height is None or width is None else (width, height)
    values = InputFormat() if graph.normalises else ORIGINAL_RANGE
    return Manifest(
        kind,
        topology,
        outputs,
        replace(values, layout=layout, size=size),
        output_layout,
    )


def _layout(shape: tuple[int | None, ...]) -> str | None:
    if len(shape) != 4:
        return None
    return "NCHW" if shape[1] == 3 else "NHWC" if shape[3] == 3 else None


# Which of maps and fields come first, by the channels of the tensors that are concatenated.
_ORDERS: dict[tuple[int | None, ...], str] = {
    (19, 38): "heat+paf",
    (38, 19): "paf+heat",
    (26, 52): "heat+paf",
    (52, 26): "paf+heat",
}


def _known_outputs(
    outputs: Mapping[str, tuple[int | None, ...]],
    joined: Mapping[str, tuple[int | None, ...]],
) -> tuple[str, str, str, dict[str, str]] | None:
    """(kind, topology, layout, role by output) of the first family of which all outputs exist.

    The role is empty if maps and fields are in one output and nothing tells their order. If several
    outputs have the same channels, as in networks with stages, the last one is used.
    """
    families: list[tuple[str, str, dict[int, str]]] = [
        ("body", "coco_18", {38: "paf", 19: "heat"}),
        ("body", "body_25", {52: "paf", 26: "heat"}),
        ("body", "coco_18", {57: ""}),
        ("body", "body_25", {78: ""}),
        ("hand", "hand_21", {22: "heat"}),
        ("face", "face_70", {71: "heat"}),
        ("face", "face_68", {69: "heat"}),
    ]
    for layout, axis in (("NCHW", 1), ("NHWC", 3)):
        by_channels = {shape[axis]: name for name, shape in outputs.items() if len(shape) == 4}
        for kind, topology, roles in families:
            if all(channels in by_channels for channels in roles):
                named = {by_channels[c]: roles[c] for c in roles}
                orders = {name: _ORDERS.get(joined.get(name, ()), "") for name in named}
                return kind, topology, layout, {n: r or orders[n] for n, r in named.items()}
    for name, shape in outputs.items():
        if len(shape) == 2 and shape[1] in (42, 63):
            return "hand", "hand_21", "NCHW", {name: "landmarks"}
    return None


def _registered(model_file: Path) -> Manifest | None:
    """The registry's manifest of the file with these bytes."""
    digests: dict[str, str] = {}
    for entry in registry():
        if entry.manifest is None:
            continue
        for algorithm, expected in entry.hashes.items():
            if algorithm not in digests:
                digests[algorithm] = file_digest(model_file, algorithm)
            if digests[algorithm] == expected:
                return entry.manifest
    return None


def _parsed_file(file: Path) -> Manifest:
    try:
        return _from_table(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"the manifest {file} is broken: {error}") from error


def _registered_from(table: dict[str, Any]) -> Registered:
    _refuse_unknown(table, Registered.__dataclass_fields__)
    missing = [key for key in ("file", "hashes", "licence") if key not in table]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given for {table}")
    fields = dict(table)
    for key in ("urls", "parts"):
        fields[key] = tuple(fields.get(key, ()))
    if "manifest" in fields:
        fields["manifest"] = _from_table({"licence": fields["licence"], **fields["manifest"]})
    return Registered(**fields)


def _from_table(table: dict[str, Any]) -> Manifest:
    """A parsed TOML table -> the manifest. ValueError or TypeError for what does not fit."""
    _refuse_unknown(table, Manifest.__dataclass_fields__)
    missing = [key for key in ("kind", "topology", "outputs") if key not in table]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given")
    if not isinstance(table["outputs"], dict):
        raise TypeError("[outputs] must be a table of roles by output name")
    source = dict(table.get("input", {}))
    _refuse_unknown(source, InputFormat.__dataclass_fields__)
    for key in ("mean", "divisor"):
        if key in source:
            source[key] = _three(source[key])
    if "size" in source:
        source["size"] = tuple(source["size"])
    fields = {**table, "input": InputFormat(**source)}
    if "points" in fields:
        fields["points"] = tuple(
            tuple(one) if isinstance(one, list) else (one,) for one in fields["points"]
        )
    if "calibration" in fields:
        curve = fields["calibration"]
        _refuse_unknown(curve, Calibration.__dataclass_fields__)
        missing = [key for key in Calibration.__dataclass_fields__ if key not in curve]
        if missing:
            raise ValueError(f"{' and '.join(missing)} must be given for [calibration]")
        fields["calibration"] = Calibration(*(tuple(curve[key]) for key in ("scores", "shares")))
    return Manifest(**fields)


def _refuse_unknown(table: Mapping[str, Any], allowed: Iterable[str]) -> None:
    unknown = sorted(set(table) - set(allowed))
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)}; there is {', '.join(sorted(allowed))}")


def _three(values: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    if isinstance(values, (int, float)):
        values = [values] * 3
    return tuple(float(value) for value in values)


def _to_toml(manifest: Manifest) -> str:
    import tomli_w  # only needed for writing

    source = manifest.input
    told = {key: getattr(manifest, key) for key in _PLAIN_KEYS}
    table: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    table["input"] = {key: getattr(source, key) for key in _INPUT_KEYS}
    if source.size is not None:
        table["input"]["size"] = source.size
    table["outputs"] = dict(manifest.outputs)
    if manifest.origin != Manifest.origin:
        table["origin"] = manifest.origin
    if manifest.points is not None:
        table["points"] = [one[0] if len(one) == 1 else list(one) for one in manifest.points]
    if manifest.calibration is not None:
        table["calibration"] = asdict(manifest.calibration)
    return f"{_FIRST_LINE}\n{tomli_w.dumps(table)}"
