"""Converts the original networks to files for the engines, and compares each with its source."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.engines import ENGINES
from openpose_ext.backends.protocol import InputFormat
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io.cache import file_digest, user_folder
from openpose_ext.io.whole import PartFolder
from openpose_ext.models.engines import open_network
from openpose_ext.models.manifest import ORIGINAL_RANGE, Manifest, write_manifest

if TYPE_CHECKING:
    from openpose_ext.models.convert.original import Original

__all__ = [
    "OPSET",
    "ORIGINAL_LICENCE",
    "TOLERANCE",
    "TOLERANCE_F16",
    "WEIGHTS",
    "Source",
    "checked",
    "converted",
    "difference",
    "input_name",
    "network_input",
    "opset",
    "to_ir",
    "to_onnx",
    "to_torchscript",
]

Maps = Mapping[str, npt.NDArray[np.float32]]
Batch = npt.NDArray[np.uint8]

ORIGINAL_LICENCE = "OpenPose (academic or non-profit, non-commercial research use only)"

# Suffixes of weight files of the original networks: torch's and Caffe's.
WEIGHTS = (".pth", ".pt", ".caffemodel")

OPSET = 10  # the card's compiler reads no newer one

# The largest difference allowed for a conversion, relative to the output's range.
TOLERANCE = 1e-4
TOLERANCE_F16 = 1e-2

_CROP = 368  # pixels; the side that the networks of hands and faces were trained at

# (N, H, W) of the random pictures for comparing a network that takes any size.
_SIZES = ((1, 184, 184), (2, 64, 120))


@dataclass(frozen=True)
class Source:
    """A network to convert from: how it computes its maps, and their meaning.

    maps      a function from (N, H, W, 3) uint8 BGR to the outputs by name
    manifest  for files that are made from it
    """

    maps: Callable[[Batch], Maps]
    manifest: Manifest

    @classmethod
    def original(cls, kind: str, network: Original, size: tuple[int, int] | None) -> Source:
        """One of the original networks in torch; `size` (width, height), None for any."""
        import torch

        from openpose_ext.models.convert.original import OUTPUTS

        names = OUTPUTS[kind]

        def maps(batch: Batch) -> Maps:
            with torch.inference_mode():
                found = network(torch.from_numpy(network_input(batch, ORIGINAL_RANGE)))
            listed = [found] if isinstance(found, torch.Tensor) else found
            return {name: one.numpy() for name, one in zip(names, listed, strict=True)}

        manifest = Manifest(
            kind,
            network.topology,
            {name: name for name in names},
            replace(ORIGINAL_RANGE, size=size),
            licence=ORIGINAL_LICENCE,
            crop=None if kind == "body" else _CROP,
        )
        return cls(maps, manifest)


def network_input(batch: Batch, input_format: InputFormat) -> npt.NDArray[np.float32]:
    """Pictures (N, H, W, 3) uint8 BGR as the network itself expects them."""
    pixels = batch if input_format.channels == "BGR" else batch[..., ::-1]
    mean, divisor = (np.array(v, np.float32) for v in (input_format.mean, input_format.divisor))
    values = (pixels.astype(np.float32) - mean) / divisor
    return np.ascontiguousarray(
        values.transpose(0, 3, 1, 2) if input_format.layout == "NCHW" else values
    )


def to_torchscript(network: Original, file: Path, size: tuple[int, int]) -> None:
    """Trace a network; `size` (width, height) of the trace, others of multiples of 8 run too."""
    import torch

    with warnings.catch_warnings():
        # Deprecated, but C++ programs and older code still load it.
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        traced = torch.jit.trace(network, torch.zeros(1, 3, *size[::-1]))
        traced.save(str(file))


def to_onnx(
    kind: str,
    network: Original,
    file: Path,
    size: tuple[int, int] | None,
    *,
    opset_version: int = OPSET,
) -> None:
    """Write a network as ONNX: the input is named "input", the outputs after their roles.

    size  (width, height) of a network of one size and one picture, None for any of both

    Raises ModelError if the exporter cannot write that opset.
    """
    import torch

    from openpose_ext.models.convert.original import OUTPUTS

    names = OUTPUTS[kind]
    axes = {"input": {0: "N", 2: "H", 3: "W"}} | {name: {0: "N", 2: "h", 3: "w"} for name in names}
    width, height = size or (64, 64)
    with warnings.catch_warnings():
        # The new exporter cannot write opsets before 18 without a conversion.
        for message in ("You are using the legacy TorchScript-based ONNX", "The feature will be r"):
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        warnings.filterwarnings("error", "Exporting to ONNX opset version .* is not supported")
        try:
            torch.onnx.export(
                network,
                (torch.zeros(1, 3, height, width),),
                str(file),
                dynamo=False,
                opset_version=opset_version,
                input_names=["input"],
                output_names=list(names),
                dynamic_axes=axes if size is None else None,
            )
        except (ValueError, RuntimeError, UserWarning) as error:
            raise ModelError(f"torch cannot write opset {opset_version}: {error}") from error
    if opset(file) != opset_version:
        raise ModelError(f"torch wrote opset {opset(file)} instead of {opset_version}")


def input_name(file: Path) -> str:
    """The name of an ONNX file's first input."""
    import onnx

    return str(onnx.load(file, load_external_data=False).graph.input[0].name)


def opset(file: Path) -> int:
    """The opset version of ONNX's own operators in a file."""
    import onnx

    imports = onnx.load(file, load_external_data=False).opset_import
    return next(int(entry.version) for entry in imports if entry.domain in ("", "ai.onnx"))


def to_ir(source: Path, file: Path, *, half: bool = False) -> None:
    """Write an ONNX file as OpenVINO IR: `file` (.xml) and its .bin, weights as fp16 if `half`.

    Raises ModelError if OpenVINO does not read the source.
    """
    import openvino as ov

    try:
        model = ov.Core().read_model(source)
    except RuntimeError as error:
        raise ModelError(f"openvino cannot read {source}: {error}") from error
    ov.save_model(model, file, compress_to_fp16=half)


def difference(found: Maps, expected: Maps) -> float:
    """The largest difference between maps, relative to the range of each output."""
    shares = []
    for name, truth in expected.items():
        if found[name].shape != truth.shape:
            raise ModelError(f"{name} is {found[name].shape} instead of {truth.shape}")
        shares.append(np.abs(found[name] - truth).max() / (np.ptp(truth) or 1.0))
    return float(np.max(shares))  # NaN where a map has one, unlike Python's max


def checked(
    source: Source, file: Path, manifest: Manifest, tolerance: float | None
) -> dict[str, float]:
    """Compare a file with its source, on random pictures and on every installed engine.

    manifest   describes the file
    tolerance  upper limit of `difference`; None accepts any

    Returns  the difference by engine, all computing in float32
    Raises   ModelError if it is larger than allowed, BackendError if an engine refuses the file
    """
    size = manifest.input.size
    shapes = _SIZES if size is None else ((1, size[1], size[0]),)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    expected = [_by_role(source.maps(batch), source.manifest) for batch in batches]
    found: dict[str, float] = {}
    for name, engine in ENGINES.items():
        if file.suffix not in engine.suffixes or not all(map(find_spec, engine.packages)):
            continue
        with open_network(file, name, input_format=manifest.input, precision="f32") as backend:
            shares = [
                difference(_by_role(backend.run(batch), manifest), truth)
                for batch, truth in zip(batches, expected, strict=True)
            ]
        found[name] = float(np.max(shares))
        # Written so that NaN is refused, too.
        if tolerance is not None and not found[name] <= tolerance:
            raise ModelError(
                f"{file.name} differs on {name} by {found[name]:.1e} of the range from what it "
                f"was made from; {tolerance:.0e} is allowed"
            )
    return found


def converted(weights: Path) -> Path:
    """The ONNX file of an original network's weights, made at the first call.

    It takes pictures of any size and works on every engine at every precision, because the engine
    rounds the weights itself. It is stored beside the weights, or in the user's cache if that
    folder is read-only. Its name contains the hash of the weights.

    weights  a file of `WEIGHTS`, see `original_weights.load_network`

    Raises BackendError naming the extra if torch is missing, ModelError if the file is not an
    original network or the conversion fails its check.
    """
    name = f"{weights.stem}.{file_digest(weights)[:16]}.onnx"
    folders = [weights.parent, user_folder() / "models"]
    for folder in folders:
        if (folder / name).is_file() and (folder / f"{name}.toml").is_file():
            return folder / name
    require_torch(f"{weights} has to be converted once, which")

    from openpose_ext.models.convert.original_weights import load_network

    kind, network = load_network(weights)
    source = Source.original(kind, network, None)
    folder = folders[0] if os.access(folders[0], os.W_OK) else folders[1]
    with PartFolder(folder) as made:
        part = made.part / name
        to_onnx(kind, network, part, None)
        checked(source, part, source.manifest, TOLERANCE)
        # The manifest comes first, so that a network is never found without it.
        write_manifest(source.manifest, folder / name)
        made.appear(name)
    return folder / name


def require_torch(what: str) -> None:
    """Raise BackendError, with what to install, if torch or onnx is missing."""
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        raise BackendError(
            f'{what} needs {" and ".join(missing)}: pip install "openpose_ext[torch]"'
        )


def _by_role(maps: Maps, manifest: Manifest) -> dict[str, Any]:
    return {role: maps[name] for name, role in manifest.outputs.items()}
