"""`python -m openpose_ext.export`: converts networks for other engines: ONNX, OpenVINO IR, INT8,
vamc."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.export_flags import check_export, needs_pictures
from openpose_ext.cli.export_flags import export_parser as _parser
from openpose_ext.cli.parser import parse
from openpose_ext.cli.steps import Steps
from openpose_ext.errors import ModelError, OutputError, SourceError, UsageError
from openpose_ext.io.whole import PartFolder
from openpose_ext.models.convert.formats import (
    OPSET,
    TOLERANCE,
    TOLERANCE_F16,
    Source,
    checked,
    opset,
    require_torch,
    to_ir,
    to_onnx,
    to_torchscript,
)
from openpose_ext.models.engines import open_network
from openpose_ext.models.manifest import Manifest, read_manifest, write_manifest
from openpose_ext.run.calibration import hand_crops, sees
from openpose_ext.run.coco_eval import (
    Annotations,
    _pycocotools,
    check_files,
    check_size,
    coco_results,
    evaluate,
)
from openpose_ext.sources.listing import find_inputs
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.arrays import Picture

__all__ = ["main"]

# (width, height) at which pytorch-openpose converts its networks.
_SEED_SIZE = {"body": (184, 184), "hand": (368, 368), "face": (368, 368)}

# Number of calibration pictures: 40 gave AP 0.480 to 0.492, 72 gave 0.487 to 0.496.
_PICTURES = 72

_ROUNDS = 7  # runs whose median is the time of a network
_PATIENCE = 20.0  # seconds after which fewer runs will do


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _export(sys.argv[1:] if argv is None else argv))


@dataclass
class _Made:
    """The files of an export, and the report on each.

    files   their temporary and final folder
    others  files, and folders of files, that are not networks
    """

    files: PartFolder
    others: list[str] = field(default_factory=list)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)

    def add(self, source: Source, name: str, tolerance: float | None, what: str = "") -> None:
        """Compare a file with its source. Raises ModelError if they differ too much."""
        manifest = replace(source.manifest, outputs=self._outputs(source.manifest, name))
        found = checked(source, self.folder / name, manifest, tolerance)
        by_engine = ", ".join(f"{share:.1e} on {engine}" for engine, share in found.items())
        self.manifests[name] = manifest
        self.reports[name] = f"{what}largest difference / range: {by_engine or 'not compared'}"

    @property
    def folder(self) -> Path:
        """The folder in which the files are made."""
        return self.files.part

    def publish(self) -> None:
        """Move the files to their final folder, manifests and weights before their network."""
        target = self.files.path
        for name, manifest in self.manifests.items():
            write_manifest(manifest, target / name)
            weights = Path(name).with_suffix(".bin")
            for part in (weights.name, name) if name.endswith(".xml") else (name,):
                self.files.appear(part)
        for name in self.others:
            if (self.folder / name).is_dir() and (target / name).exists():
                # Pictures of an older calibration. Any other file keeps the folder and causes an
                # error.
                for file in (target / name).glob("[0-9][0-9][0-9].png"):
                    file.unlink()
                (target / name).rmdir()
            self.files.appear(name)

    @staticmethod
    def _outputs(manifest: Manifest, name: str) -> dict[str, str]:
        """The roles of the outputs; TorchScript's outputs are named by numbers."""
        if not name.endswith(".pt"):
            return dict(manifest.outputs)
        return {str(k): role for k, role in enumerate(manifest.outputs.values())}


def _export(argv: Sequence[str]) -> int:
    args = parse(_parser(), argv, booleans=("dynamic",))
    check_export(args)
    pictures = _calibration_files(args.calibrate) if needs_pictures(args) else []
    annotations = None if args.annotations is None else _annotations(args)
    target = Path(args.output)
    try:
        with PartFolder(target) as files:
            made = _Made(files)
            _make(args, made, pictures, annotations)
            made.publish()
    except OSError as error:
        raise OutputError(f"{target} cannot be written to: {error.strerror}") from error
    for name, report in made.reports.items():
        print(f"{target / name}: {report}", flush=True)
    return Exit.DONE


def _make(
    args: argparse.Namespace,
    made: _Made,
    pictures: Sequence[Path],
    annotations: Annotations | None,
) -> None:
    kind, weights = args.kind, Path(args.weights)
    onnx_file = made.folder / f"{kind}.onnx"
    if weights.suffix.lower() == ".onnx":
        source, onnx_file = _from_onnx(kind, weights), weights
    else:
        source = _from_weights(args, made, onnx_file)
    size = source.manifest.input.size
    shape = "any size" if size is None else f"1 x 3 x {size[1]} x {size[0]}"
    if {"onnx", "vamc"} & {*args.format}:
        made.add(source, f"{kind}.onnx", TOLERANCE, f"opset {opset(onnx_file)}, {shape}; ")
    if "ir" in args.format:
        for name, half in ((f"{kind}.xml", False), (f"{kind}_fp16.xml", True)):
            to_ir(onnx_file, made.folder / name, half=half)
            made.add(source, name, TOLERANCE_F16 if half else TOLERANCE, f"{shape}; ")
    if "int8" in args.format:
        _make_int8(args, made, source, onnx_file, pictures, annotations)
    if "vamc" in args.format:
        _make_vamc(args, made, source.manifest, pictures)


def _from_weights(args: argparse.Namespace, made: _Made, onnx_file: Path) -> Source:
    """Convert weights to ONNX, the source of the other formats, and to TorchScript if requested."""
    require_torch(args.weights)
    from openpose_ext.models.convert.original import BodyNet
    from openpose_ext.models.convert.original_weights import load_network

    relu_heat = args.relu_heat
    if relu_heat is None:
        relu_heat = Path(args.weights).suffix.lower() != ".caffemodel"
    kind, network = load_network(args.weights, relu_heat=relu_heat)
    if kind != args.kind:
        raise ModelError(f"{args.weights} holds the {kind} network, not {args.kind}")
    if args.relu_heat and not isinstance(network, BodyNet):
        raise UsageError(f"--relu_heat true applies to COCO's body network, not to {args.weights}")
    seed_size = _SEED_SIZE[kind]
    size = None if args.dynamic else tuple(args.size[::-1]) if args.size else seed_size
    source = Source.original(kind, network, size)
    if "torchscript" in args.format:
        name = f"{kind}.torchscript.pt"
        to_torchscript(network, made.folder / name, size or seed_size)
        made.add(source, name, TOLERANCE)
    to_onnx(kind, network, onnx_file, size, opset_version=args.opset or OPSET)
    return source


def _from_onnx(kind: str, file: Path) -> Source:
    manifest = read_manifest(file)
    if manifest.kind != kind:
        raise ModelError(f"{file} is a {manifest.kind} network, not {kind}")

    def maps(batch: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        with open_network(file, input_format=manifest.input, precision="f32") as backend:
            return backend.run(batch)

    return Source(maps, manifest)


def _make_int8(
    args: argparse.Namespace,
    made: _Made,
    source: Source,
    onnx_file: Path,
    pictures: Sequence[Path],
    annotations: Annotations | None,
) -> None:
    from openpose_ext.models.convert.quantise import quantise

    name = f"{args.kind}_int8.onnx"
    manifest = source.manifest
    any_will_do = math.isinf(args.int8_tolerance)
    batches = _batches(pictures, manifest)
    with Steps("INT8") as steps:
        result = quantise(
            onnx_file,
            made.folder / name,
            batches,
            manifest.input,
            sees=None if any_will_do else sees(manifest),
            progress=steps,
        )
    if not result.error <= args.int8_tolerance:  # this refuses NaN, too
        raise ModelError(
            f"INT8 differs from the float network by an RMS error of {result.error:.3f} of the "
            f"maps' deviation; {args.int8_tolerance:g} is allowed. Calibrate with more pictures, "
            "like those the network will see, or allow more with --int8_tolerance"
        )
    kept = ", ".join(result.float_layers) or "none"
    what = (
        f"{result.layers - len(result.float_layers)} of {result.layers} convolutions in INT8, "
        f"in float: {kept}; RMS error {result.error:.3f} of the maps' deviation; "
    )
    made.add(source, name, None, what)
    if annotations is not None:
        before, after = (
            _average_precision(file, manifest, Path(args.images or args.calibrate), annotations)
            for file in (onnx_file, made.folder / name)
        )
        made.reports[name] += (
            f"; AP {after:.3f} instead of {before:.3f} on {len(annotations.pictures)} pictures"
        )
    slow, fast = _times([onnx_file, made.folder / name], manifest, batches[0])
    made.reports[name] += f"; {fast:.1f} ms instead of {slow:.1f} in float32, one thread"
    if "ir" in args.format:
        to_ir(made.folder / name, made.folder / f"{args.kind}_int8.xml")
        made.add(source, f"{args.kind}_int8.xml", None)


def _average_precision(
    file: Path, manifest: Manifest, folder: Path, annotations: Annotations
) -> float:
    """AP of a body network, computed in float32 except for the file's INT8 layers."""
    if not file.with_name(f"{file.name}.toml").exists():
        write_manifest(manifest, file)  # unpublished files have none yet
    results = []
    with PoseEstimator(file, precision="f32") as estimator, Steps(f"AP of {file.name}") as steps:
        for k, entry in enumerate(annotations.pictures):
            picture = read_picture(folder / entry["file_name"])
            check_size(entry, picture.shape[1], picture.shape[0])
            results += coco_results(estimator(picture), entry["id"], annotations.category)
            steps("pictures", k + 1, len(annotations.pictures))
    return evaluate(results, annotations).ap


def _make_vamc(
    args: argparse.Namespace, made: _Made, manifest: Manifest, files: Sequence[Path]
) -> None:
    from openpose_ext.vastai.vamc import write_vamc

    shown: list[Picture] = []
    if args.dtype == "int8":
        shown = _shown(args.kind, manifest, files)
        if not shown:
            what = "no hands were found" if args.kind == "hand" else "nothing can be read"
            raise UsageError(f"--calibrate {args.calibrate}: {what} in its pictures")
    names = write_vamc(made.folder, args.kind, args.dtype, manifest, shown)
    made.others += names
    *_, readme, yaml = names
    pictures = f", calibrated on {len(shown)} pictures" if shown else ""
    made.reports[yaml] = f"{args.dtype}{pictures}; {readme} has the next commands"


def _shown(kind: str, manifest: Manifest, files: Sequence[Path]) -> list[Picture]:
    """The calibration pictures after preprocessing, as many as are used."""
    pictures = _readable(files)
    if kind == "hand":
        size = manifest.input.size
        assert size is not None
        return list(islice(hand_crops(pictures, size[0]), _PICTURES))
    return [batch[0] for batch in _batches(files, manifest)]


def _batches(files: Sequence[Path], manifest: Manifest) -> list[npt.NDArray[np.uint8]]:
    """The preprocessed pictures."""
    prepare = Preprocessing(stride=manifest.stride, fixed_size=manifest.input.size)
    return [prepare(picture)[0][None] for picture in _readable(files)]


def _readable(files: Sequence[Path]) -> Iterator[Picture]:
    """The readable pictures; others are reported and left out."""
    silent = not sys.stderr.isatty()
    for file in tqdm(files, unit="picture", disable=silent, leave=False):
        try:
            yield read_picture(file)
        except SourceError as error:
            print(f"openpose-ext: {error}; it is left out", file=sys.stderr)


def _times(files: Sequence[Path], manifest: Manifest, batch: npt.NDArray[np.uint8]) -> list[float]:
    """Median milliseconds of each file on one thread, measured in turn."""
    times: list[list[float]] = [[] for _ in files]
    backends: list[Any] = []
    try:
        for file in files:
            backends.append(
                open_network(file, input_format=manifest.input, precision="f32", threads=1)
            )
        begun = time.perf_counter()
        for round_ in range(_ROUNDS + 1):
            if round_ > 1 and time.perf_counter() - begun > _PATIENCE:
                break
            for backend, own in zip(backends, times, strict=True):
                start = time.perf_counter()
                backend.run(batch)
                if round_:  # in the first round, engines prepare for this size
                    own.append(1e3 * (time.perf_counter() - start))
    finally:
        for backend in backends:
            backend.close()
    return [float(np.median(own)) for own in times]


def _annotations(args: argparse.Namespace) -> Annotations:
    """The annotations, after checking that all their pictures exist."""
    try:
        annotations = Annotations.read(args.annotations)
    except ValueError as error:
        raise UsageError(error) from error
    check_files(annotations, Path(args.images or args.calibrate), args.annotations)
    _pycocotools()  # fail now instead of after minutes
    return annotations


def _calibration_files(folder: str) -> list[Path]:
    """Pictures spread over the whole folder."""
    if not os.path.isdir(folder):
        raise UsageError(f"--calibrate {folder} is not a folder")
    try:
        files = [file.path for file in find_inputs([folder], videos=False).files]
    except ValueError as error:
        raise UsageError(error) from error
    step = max(1, len(files) // _PICTURES)
    return files[::step][:_PICTURES]


if __name__ == "__main__":
    sys.exit(main())
