"""Writes the files for `vamc compile`, the compiler of Vastai's cards, and for its result.

    <kind>_<dtype>.yaml       the compiler's configuration
        <kind>_vdsp_params.json   the card's preprocessing of pictures
        <kind>_mod.toml           the manifest of the compiled network, whose outputs have no names
        <kind>_calibration/       for int8: the calibration pictures, as the network will see them
        README_<kind>.md          the next commands

The keys are those in the vendor's own configurations of OpenPose; `vastai/` has schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from openpose_ext.backends.vdsp import beside, vdsp_params
from openpose_ext.errors import ModelError
from openpose_ext.models.convert.formats import input_name
from openpose_ext.models.engines import describe_network
from openpose_ext.models.manifest import Manifest, write_manifest
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.types.arrays import Picture

__all__ = ["DTYPES", "Vamc", "compiled_manifest", "to_yaml", "vamc_config", "write_vamc"]

DTYPES = ("fp16", "int8")

_WORKSPACE = "./deploy_weights/"
_SUFFIX = "png"  # loses nothing, unlike the vendor's jpg

_SWAP = """\
# The card swaps RGB to BGR before the network (ColorCvtCode RGB2BGR), so ranges have to be taken
# on BGR, too. DecodeImage seems to return RGB: 13 of the vendor's configurations swap it like this
# one. Those for OpenPose do not, so they calibrate on colours that the network never sees.
"""

_README = """\
# {kind}: from here to a Vastai card

`vamc` and the runtime `vaststreamx` are the vendor's, from its developer site. None of the commands
that need them could be tried where this was written. Run them in this folder:

```
vamc compile {yaml}
```

writes `mod.so`, `mod.json` and `mod.params`, as the vendor's pages say, into
`{folder}`. Put beside them what says how pictures go in and what comes
out:

```
cp {params} {folder}/{beside}
cp {toml} {folder}/mod.toml
```

Then, on the machine with the card:

```
python -m openpose_ext.infer PICTURES -o out {use} --device 0
vamp -m {folder}/mod --vdsp_params {params} -b 1 -i 2 -s "[3,{height},{width}]" -d 0
```

The network takes {width} x {height} pixels only; pictures keep their aspect ratio and are padded.
Whether the compiler takes other sizes is not documented.
"""

_USE = {
    "body": "--backend vsx --body {folder}/mod",
    "hand": "--backend vsx --body BODY/mod --hand {folder}/mod",
}


class Vamc:
    """The file names of a network, `kind` "body" or "hand", compiled as "fp16" or "int8"."""

    def __init__(self, kind: str, dtype: str) -> None:
        self.name = f"pytorch_openpose_{kind}_{dtype}"  # as the vendor calls it
        self.checkpoint = f"{kind}.onnx"
        self.yaml = f"{kind}_{dtype}.yaml"
        self.params = f"{kind}_vdsp_params.json"
        self.toml = f"{kind}_mod.toml"
        self.calibration = f"{kind}_calibration"
        self.readme = f"README_{kind}.md"


def write_vamc(
    folder: Path, kind: str, dtype: str, manifest: Manifest, pictures: Sequence[Picture]
) -> list[str]:
    """Write the files for a network whose ONNX file is in the folder; return their names.

    manifest  of the ONNX file, which takes one picture of one size
    pictures  network inputs for the calibration; none for fp16

    Raises ModelError if the card cannot preprocess pictures for this network.
    """
    files = Vamc(kind, dtype)
    try:
        params = vdsp_params(manifest.input)
    except ValueError as error:
        raise ModelError(f"{files.checkpoint}: {error}") from error
    (folder / files.params).write_text(json.dumps(params, indent=4) + "\n", encoding="utf-8")
    for number, picture in enumerate(pictures):
        write_picture(folder / files.calibration / f"{number:03}.{_SUFFIX}", picture)
    config = vamc_config(
        files.name,
        files.checkpoint,
        input_name(folder / files.checkpoint),
        manifest,
        dtype,
        calibration=files.calibration,
        count=len(pictures),
    )
    swaps = dtype == "int8" and manifest.input.channels == "BGR"
    text = (_SWAP if swaps else "") + to_yaml(config)
    (folder / files.yaml).write_text(text, encoding="utf-8")
    compiled = compiled_manifest(folder / files.checkpoint, manifest)
    write_manifest(compiled, folder / files.toml.removesuffix(".toml"))
    (folder / files.readme).write_text(_readme(kind, files, manifest), encoding="utf-8")
    names = [files.params, files.toml, files.readme, files.yaml]
    return [files.calibration, *names] if pictures else names


def vamc_config(
    name: str,
    checkpoint: str,
    input_name: str,
    manifest: Manifest,
    dtype: str,
    *,
    calibration: str = "",
    count: int = 0,
    suffix: str = _SUFFIX,
) -> dict[str, Any]:
    """The configuration of `vamc compile`.

    calibration  folder of `count` pictures that set the ranges for int8
    """
    size = manifest.input.size
    if size is None:
        raise ModelError(f"{checkpoint} takes pictures of any size; the card needs a fixed size")
    width, height = size
    backend: dict[str, Any] = {
        "type": "tvm_vacc",
        "dtype": dtype,
        "compile": {"data_transport_mode": 1, "cluster_mode": 0},
    }
    config: dict[str, Any] = {
        "name": name,
        "frontend": {
            "type": "onnx",
            "dtype": "fp32",
            "checkpoint": checkpoint,
            "shape": {input_name: [1, 3, height, width]},
        },
        "backend": backend,
    }
    if dtype == "int8":
        backend["quantize"] = {"calibrate_mode": "max", "quantize_per_channel": True}
        config["dataset"] = {
            "type": "tvm",
            "path": calibration,
            "sampler": {"suffix": suffix, "get_data_num": count},
            "process_ops": _process_ops(manifest),
        }
    return {**config, "workspace": {"path": _WORKSPACE}}


def _process_ops(manifest: Manifest) -> list[dict[str, Any]]:
    """The preprocessing of calibration pictures: the same as on the card, see `vdsp`."""
    source = manifest.input
    assert source.size is not None
    # Only for BGR networks, see `_SWAP`.
    swap = [{"type": "CvtColor", "code": "COLOR_RGB2BGR"}] if source.channels == "BGR" else []
    params = vdsp_params(source)["OpConfig"]
    return [
        {"type": "DecodeImage"},
        {"type": "Resize", "size": [source.size[1], source.size[0]]},
        *swap,
        {"type": "Normalize", "div255": False, "mean": params["Mean"], "std": params["Std"]},
        {"type": "ToTensor"},
    ]


def compiled_manifest(onnx_file: Path, manifest: Manifest) -> Manifest:
    """The manifest of the compiled network, whose outputs are named after their channels."""
    outputs = describe_network(onnx_file).outputs
    axis = 1 if manifest.output_layout == "NCHW" else 3
    by_channels = {str(outputs[name][axis]): role for name, role in manifest.outputs.items()}
    return replace(manifest, outputs=by_channels)


def to_yaml(config: Mapping[str, Any]) -> str:
    """Write a mapping of mappings, lists and plain values as YAML, in its order."""
    text: str = yaml.safe_dump(
        config, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )
    return text


def _readme(kind: str, files: Vamc, manifest: Manifest) -> str:
    assert manifest.input.size is not None
    width, height = manifest.input.size
    folder = f"{_WORKSPACE.removeprefix('./')}{files.name}"
    return _README.format(
        kind=kind,
        yaml=files.yaml,
        folder=folder,
        params=files.params,
        beside=beside(Path("mod")).name,
        toml=files.toml,
        use=_USE[kind].format(folder=folder),
        width=width,
        height=height,
    )
