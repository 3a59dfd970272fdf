"""A network as pictures in and maps out: here alone the manifest is applied."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from os import PathLike
from typing import NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.backends import Backend, BackendInfo, Outputs, open_backend
from openpose_ext.errors import ModelError
from openpose_ext.models.lookup import find_model
from openpose_ext.models.manifest import TOPOLOGIES, Manifest, read_manifest

__all__ = ["BodyMaps", "BodyNetwork"]

Maps = npt.NDArray[np.float32]
T = TypeVar("T")


class BodyMaps(NamedTuple):
    """The maps of a batch.

    heat  (N, K + 1, h, w) float32: parts, and the background last
    paf   (N, 2 L, h, w) float32: x and y of each limb's field
    """

    heat: Maps
    paf: Maps


class BodyNetwork:
    """A body network on an engine. Thread-safe; close it, or use it as a context manager.

    topology    what the channels mean
    stride      network pixels a map cell
    fixed_size  (width, height) of the only input it takes, or None

    Raises ModelError if the network's outputs do not fit its manifest.
    """

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self._backend = backend
        self._manifest = manifest
        self.topology = TOPOLOGIES[manifest.topology]
        self.stride = manifest.stride
        self.fixed_size = manifest.input.size
        self._by_role = self._outputs_by_role()

    @classmethod
    def open(
        cls,
        body: str | PathLike[str],
        *,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
        streams: int = 1,
    ) -> Self:
        """Find, describe and open a network by its name or file.

        Raises as `find_model`, `read_manifest` and `open_backend` do.
        """
        file = find_model(body)
        manifest = read_manifest(file, backend=backend)
        if manifest.kind != "body":
            raise ModelError(f"{file} is a {manifest.kind} network, not a body network")
        opened = open_backend(
            file,
            backend,
            input_format=manifest.input,
            device=device,
            precision=precision,
            threads=threads,
            streams=streams,
        )
        try:
            return cls(opened, manifest)
        except ModelError:
            opened.close()
            raise

    @property
    def info(self) -> BackendInfo:
        return self._backend.info

    def run(self, batch: npt.NDArray[np.uint8]) -> BodyMaps:
        """The maps, the caller's own, of a batch (N, H, W, 3) uint8 BGR.

        H and W must be multiples of the stride. Raises ValueError for another batch, ModelError
        if the maps are none of this manifest, BackendError if the engine fails.
        """
        self._check(batch)
        return self._maps(self._backend.run(batch), batch.shape)

    def submit(self, batch: npt.NDArray[np.uint8], then: Callable[[BodyMaps], T]) -> Future[T]:
        """The future of `then(maps)`; see `Backend.submit`: the maps end when `then` returns."""
        self._check(batch)
        shape = batch.shape
        return self._backend.submit(batch, lambda outputs: then(self._maps(outputs, shape)))

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

    def _maps(self, outputs: Outputs, shape: tuple[int, ...]) -> BodyMaps:
        """Which output is what, channels second."""
        maps = {role: outputs[name] for role, name in self._by_role.items()}
        if self._manifest.output_layout == "NHWC":
            maps = {role: array.transpose(0, 3, 1, 2) for role, array in maps.items()}
        expected = (shape[0], shape[1] // self.stride, shape[2] // self.stride)
        for role, array in maps.items():
            found = (array.shape[0], *array.shape[2:])
            if found != expected or array.shape[1] != self._channels(role):
                raise ModelError(
                    f"{self.info.model} gives {self._by_role[role]!r} of {array.shape} for a "
                    f"picture of {shape}; {self._manifest.topology} with stride {self.stride} "
                    f"needs {self._channels(role)} channels of {expected[1]} x {expected[2]}"
                )
        return self._split(maps)

    def _split(self, maps: dict[str, Maps]) -> BodyMaps:
        heat_channels = self._channels("heat")
        if "heat+paf" in maps:
            both = maps["heat+paf"]
            return BodyMaps(both[:, :heat_channels], both[:, heat_channels:])
        if "paf+heat" in maps:
            both = maps["paf+heat"]
            return BodyMaps(both[:, -heat_channels:], both[:, :-heat_channels])
        return BodyMaps(maps["heat"], maps["paf"])

    def _channels(self, role: str) -> int:
        """How many channels the topology asks of an output."""
        heat, paf = len(self.topology.parts) + 1, self.topology.paf_count
        return {"heat": heat, "paf": paf}.get(role, heat + paf)

    def _outputs_by_role(self) -> dict[str, str]:
        """The outputs that are used, checked against what the file has."""
        info, manifest = self._backend.info, self._manifest
        by_role = {role: name for name, role in manifest.outputs.items()}
        roles = next(
            (r for r in (("heat", "paf"), ("heat+paf",), ("paf+heat",)) if {*r} <= {*by_role}),
            None,
        )
        if roles is None:
            raise ModelError(
                f"the manifest of {info.model} names {', '.join(by_role)}; a body network needs "
                "heat and paf, heat+paf or paf+heat"
            )
        axis = 1 if manifest.output_layout == "NCHW" else 3
        for role in roles:
            name = by_role[role]
            shape = info.outputs.get(name)
            if shape is None:
                raise ModelError(
                    f"the manifest of {info.model} calls {name!r} its {role}, but its outputs "
                    f"are {', '.join(info.outputs)}"
                )
            if len(shape) == 4 and shape[axis] not in (None, self._channels(role)):
                raise ModelError(
                    f"{info.model} has {shape[axis]} channels in {name!r}; {role} of "
                    f"{manifest.topology} needs {self._channels(role)} (parts + background, two "
                    "a limb). Did the export drop some, or is it another topology?"
                )
        return {role: by_role[role] for role in roles}
