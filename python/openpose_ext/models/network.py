"""Networks with pictures as input and maps or points as output; applies the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import Backend, BackendInfo, Outputs
from openpose_ext.errors import ModelError
from openpose_ext.models.convert.formats import WEIGHTS, converted
from openpose_ext.models.engines import open_network
from openpose_ext.models.lookup import (
    BODY_NETWORKS,
    FACE_NETWORKS,
    FOOT_NETWORKS,
    HAND_NETWORKS,
    find_model,
)
from openpose_ext.models.manifest import TOPOLOGIES, Manifest, read_manifest
from openpose_ext.types.topology import Topology

__all__ = [
    "HAND_CROP",
    "BodyMaps",
    "BodyNetwork",
    "CropMaps",
    "CropNetwork",
    "CropPoints",
    "FaceNetwork",
    "FootNetwork",
    "HandNetwork",
    "body_maps",
]

Maps = npt.NDArray[np.float32]
T = TypeVar("T")

# In network pixels. The original hand and face networks were trained on squares of this side.
HAND_CROP = 368


class BodyMaps(NamedTuple):
    """The maps of a batch.

    heat  (N, K + 1, h, w) float32: parts, and the background last
    paf   (N, 2 L, h, w) float32: x and y of each limb's field
    """

    heat: Maps
    paf: Maps


class CropMaps(NamedTuple):
    """The maps of a batch of hands, faces or feet.

    heat  (N, K + 1, h, w) float32: points of the topology, and the background last
    """

    heat: Maps


class CropPoints(NamedTuple):
    """The points of a batch of hands, faces or feet, from a network of landmarks.

    points    (N, K, 2) float32: x, y in pixels of the input, pixel centres at integers
    presence  (N,) float32 in 0..1: probability that the thing is there; 1 if the network gives none
    right     (N,) float32 in 0..1: probability that it is the right one, or None
    scores    (N, K) float32 in 0..1: probability that each point is there and visible, or None
    outline   (N, L, 2) float32: all landmarks, if there are more than the points, or None
    """

    points: Maps
    presence: Maps
    right: Maps | None
    scores: Maps | None = None
    outline: Maps | None = None


def body_maps(outputs: Mapping[str, Maps], manifest: Manifest) -> BodyMaps:
    """A body network's outputs as maps, channels second; their sizes are not checked."""
    maps = {role: outputs[name] for name, role in manifest.outputs.items()}
    if manifest.output_layout == "NHWC":
        maps = {role: array.transpose(0, 3, 1, 2) for role, array in maps.items()}
    return _apart(maps, TOPOLOGIES[manifest.topology])


def _apart(maps: Mapping[str, Maps], topology: Topology) -> BodyMaps:
    if "heat" in maps:
        return BodyMaps(maps["heat"], maps["paf"])
    heat_channels = len(topology.parts) + 1
    if "heat+paf" in maps:
        both = maps["heat+paf"]
        return BodyMaps(both[:, :heat_channels], both[:, heat_channels:])
    both = maps["paf+heat"]
    return BodyMaps(both[:, -heat_channels:], both[:, :-heat_channels])


class _Network:
    """An engine together with the manifest that describes its input and outputs."""

    kind: ClassVar[str]
    names: ClassVar[Mapping[str, tuple[str, ...]]]
    # The sets of roles that suffice; the first complete one is used.
    families: ClassVar[tuple[tuple[str, ...], ...]]
    extras: ClassVar[tuple[str, ...]] = ()  # roles that are used if the network has them

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self._backend = backend
        self._manifest = manifest
        self.topology = TOPOLOGIES[manifest.topology]
        self.stride = manifest.stride
        self.lift = manifest.lift or 0.0
        self.calibration = manifest.calibration
        self.fixed_size = backend.info.fixed_size
        self._by_role = self._outputs_by_role()

    @classmethod
    def open(
        cls,
        model: str | PathLike[str],
        *,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
        streams: int = 1,
        engine_options: Mapping[str, Any] | None = None,
        normalise: tuple[float, float] | None = None,
    ) -> Self:
        """Find, describe and open a network by its name or file.

        `normalise` overrides the manifest's range, see `read_manifest`; the other arguments are
        those of `open_network`. Weights of the original networks that are found by name are
        converted once for the faster engines. Raises the errors of `find_model`, `converted`,
        `read_manifest` and `open_network`.
        """
        file = find_model(model, cls.names)
        if model in cls.names and file.suffix in WEIGHTS and backend != "torch":
            file = converted(file)
        manifest = read_manifest(file, backend=backend, device=device, normalise=normalise)
        if manifest.kind != cls.kind:
            raise ModelError(f"{file} is a {manifest.kind} network, not a {cls.kind} network")
        opened = open_network(
            file,
            backend,
            input_format=manifest.input,
            device=device,
            precision=precision,
            threads=threads,
            streams=streams,
            engine_options=engine_options,
        )
        try:
            return cls(opened, manifest)
        except ModelError:
            opened.close()
            raise

    @property
    def info(self) -> BackendInfo:
        return self._backend.info

    def close(self) -> None:
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self, batch: npt.NDArray[np.uint8]) -> None:
        if batch.ndim == 4 and self.fixed_size is None:
            height, width = batch.shape[1:3]
            if height % self.stride or width % self.stride:
                raise ValueError(
                    f"height and width must be multiples of the stride {self.stride}, "
                    f"not {height} and {width}"
                )

    def _maps_by_role(self, outputs: Outputs, shape: tuple[int, ...]) -> dict[str, Maps]:
        """The outputs that are maps, channels second, checked against the batch's shape."""
        maps = {role: outputs[name] for role, name in self._by_role.items() if self._channels(role)}
        if self._manifest.output_layout == "NHWC":
            maps = {role: array.transpose(0, 3, 1, 2) for role, array in maps.items()}
        expected = (shape[0], shape[1] // self.stride, shape[2] // self.stride)
        for role, array in maps.items():
            found = (array.shape[0], *array.shape[2:])
            if found != expected or array.shape[1] != self._channels(role):
                raise ModelError(
                    f"{self.info.model} returns {self._by_role[role]!r} of {array.shape} for a "
                    f"picture of {shape}; {self._manifest.topology} with stride {self.stride} "
                    f"needs {self._channels(role)} channels of {expected[1]} x {expected[2]}"
                )
        return maps

    def _channels(self, role: str) -> int | None:
        """The number of channels the topology requires of an output; None if it is not a map."""
        heat, paf = len(self.topology.parts) + 1, self.topology.paf_count
        both = heat + paf
        return {"heat": heat, "paf": paf, "heat+paf": both, "paf+heat": both}.get(role)

    def _outputs_by_role(self) -> dict[str, str]:
        """The outputs that are used, after checking that the file has them."""
        info, manifest = self._backend.info, self._manifest
        by_role = {role: name for name, role in manifest.outputs.items()}
        roles = next((r for r in self.families if {*r} <= {*by_role}), None)
        if roles is None:
            *others, last = (" and ".join(family) for family in self.families)
            raise ModelError(
                f"the manifest of {info.model} names {', '.join(by_role)}; a {self.kind} network "
                f"needs {', '.join(others)} or {last}"
            )
        axis = 1 if manifest.output_layout == "NCHW" else 3
        used = [*roles, *(role for role in self.extras if role in by_role)]
        for role in used:
            name, channels = by_role[role], self._channels(role)
            shape = info.outputs.get(name)
            if shape is None:
                raise ModelError(
                    f"the manifest of {info.model} calls {name!r} its {role}, but its outputs "
                    f"are {', '.join(info.outputs)}"
                )
            if channels and len(shape) == 4 and shape[axis] not in (None, channels):
                raise ModelError(
                    f"{info.model} has {shape[axis]} channels in {name!r}; {role} of "
                    f"{manifest.topology} needs {channels} (parts + background, two "
                    "a limb). Did the export drop some, or is it another topology?"
                )
        return {role: by_role[role] for role in used}


class BodyNetwork(_Network):
    """A body network on an engine. Thread-safe; close it, or use it as a context manager.

    topology    the meaning of the channels
    stride      network pixels per map cell
    fixed_size  (width, height) if it takes inputs of one size only, or None

    Raises ModelError if the network's outputs do not fit its manifest.
    """

    kind = "body"
    names = BODY_NETWORKS
    families = (("heat", "paf"), ("heat+paf",), ("paf+heat",))

    def run(self, batch: npt.NDArray[np.uint8]) -> BodyMaps:
        """The maps of a batch (N, H, W, 3) uint8 BGR, as arrays of the caller's own.

        H and W must be multiples of the stride. Raises ValueError for another batch, ModelError
        if the maps do not fit the manifest, BackendError if the engine fails.
        """
        self._check(batch)
        return self._maps(self._backend.run(batch), batch.shape)

    def submit(self, batch: npt.NDArray[np.uint8], then: Callable[[BodyMaps], T]) -> Future[T]:
        """A future of `then(maps)`; see `Backend.submit`. The maps end when `then` returns."""
        self._check(batch)
        shape = batch.shape
        return self._backend.submit(batch, lambda outputs: then(self._maps(outputs, shape)))

    def _maps(self, outputs: Outputs, shape: tuple[int, ...]) -> BodyMaps:
        """The outputs as maps, channels second."""
        return _apart(self._maps_by_role(outputs, shape), self.topology)


class CropNetwork(_Network):
    """A network for squares around hands, faces or feet. Thread-safe; close it, or use `with`.

    topology    its points
    stride      network pixels per map cell
    fixed_size  (width, height) if it takes inputs of one size only, or None
    crop        side of the square that each thing is resized to, in network pixels
    min_score   things with a lower score are dropped; None if the manifest does not tell
    regresses   whether it returns points instead of maps; then crops should be turned upright
    outlined    whether it returns more landmarks than the topology's points

    Raises ModelError if the network's outputs do not fit its manifest, or its input is no square.
    """

    several: ClassVar[str]  # the things it finds, in the plural
    families = (("heat",), ("landmarks",))
    extras = ("presence", "presence_logit", "handedness")

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        super().__init__(backend, manifest)
        self.regresses = "landmarks" in self._by_role
        self.outlined = manifest.points is not None
        self.min_score = manifest.min_score
        if self.fixed_size is None:
            self.crop = manifest.crop or HAND_CROP
        else:
            self.crop, height = self.fixed_size
            if self.crop != height:
                raise ModelError(
                    f"{self.info.model} takes {self.several} of {self.crop} x {height} pixels; "
                    f"{self.several} are cut out as squares"
                )

    def run(self, batch: npt.NDArray[np.uint8]) -> CropMaps | CropPoints:
        """The maps or points of a batch (N, H, W, 3) uint8 BGR, as arrays of the caller's own.

        Mirror left hands and feet: the networks know right ones. Returns `CropPoints` if
        `regresses`, otherwise `CropMaps`. Raises ValueError for another batch, ModelError if the
        outputs do not fit the manifest, BackendError if the engine fails.
        """
        self._check(batch)
        outputs = self._backend.run(batch)
        if not self.regresses:
            return CropMaps(self._maps_by_role(outputs, batch.shape)["heat"])
        count = len(batch)
        table = self._landmarks(outputs, count)
        chosen = self._manifest.points
        presence = np.ones(count, np.float32)
        if "presence" in self._by_role:
            presence = self._table(outputs, "presence", count)[:, 0]
        elif "presence_logit" in self._by_role:
            presence = _shares(self._table(outputs, "presence_logit", count)[:, 0])
        right = None
        if "handedness" in self._by_role:
            right = self._table(outputs, "handedness", count)[:, 0]
        scores = None
        if table.shape[2] == 5:
            scores = _chosen(_shares(table[..., 3:]).prod(axis=2)[..., None], chosen)[..., 0]
        # Most networks count from the first pixel's edge, not from its centre: the x of a point in
        # a crop and in its mirror image add up to the width.
        outline = table[..., :2] - np.float32(self._manifest.origin)
        points = _chosen(outline, chosen)
        return CropPoints(points, presence, right, scores, None if chosen is None else outline)

    def _landmarks(self, outputs: Outputs, count: int) -> Maps:
        """(N, L, 2, 3 or 5): the landmarks, x and y first."""
        table = self._table(outputs, "landmarks", count)
        parts, numbers, points = (
            len(self.topology.parts),
            self._manifest.numbers,
            self._manifest.points,
        )
        if points is None:
            least = most = parts
        else:
            least, most = 1 + max(max(one) for one in points), table.shape[1]
        if numbers is None:
            numbers = 2 if table.shape[1] == 2 * parts else 3
        landmarks, rest = divmod(table.shape[1], numbers)
        if rest or not least <= landmarks <= most:
            kinds = {2: "x, y", 3: "x, y or x, y, z", 5: "x, y, z, visibility, presence"}
            raise ModelError(
                f"{self.info.model} returns {table.shape[1]} numbers for a {self.kind}; "
                f"{kinds[numbers]} of {least} points are needed"
            )
        return table.reshape(count, landmarks, numbers)

    def _table(self, outputs: Outputs, role: str, count: int) -> Maps:
        """An output that has n numbers for each crop: (N, n)."""
        found = outputs[self._by_role[role]]
        if len(found) != count or found.size == 0:
            raise ModelError(
                f"{self.info.model} gives {self._by_role[role]!r} of {found.shape} for "
                f"{count} {self.several}"
            )
        return found.reshape(count, -1)


class HandNetwork(CropNetwork):
    """A network for the crops of right hands; see `CropNetwork`. Its topology is HAND_21."""

    kind = "hand"
    several = "hands"
    names = HAND_NETWORKS


class FaceNetwork(CropNetwork):
    """A network for the crops of faces; see `CropNetwork`. Its topology is FACE_70 or FACE_68."""

    kind = "face"
    several = "faces"
    names = FACE_NETWORKS


class FootNetwork(CropNetwork):
    """A network for heels and toes; see `CropNetwork`.

    Its topology is FOOT_2 for crops of right feet, or FEET_6 for crops of whole people.
    """

    kind = "foot"
    several = "feet"
    names = FOOT_NETWORKS


def _chosen(landmarks: Maps, points: tuple[tuple[int, ...], ...] | None) -> Maps:
    """The topology's points of (N, L, n) landmarks: (N, K, n)."""
    if points is None:
        return landmarks
    means = [
        landmarks[:, one].mean(axis=1) if len(one) > 1 else landmarks[:, one[0]] for one in points
    ]
    return np.stack(means, axis=1)


def _shares(logits: Maps) -> Maps:
    """The logistic function, for any float32."""
    small = np.exp(-np.abs(logits))
    shares: Maps = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    return shares
