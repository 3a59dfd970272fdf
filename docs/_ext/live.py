"""The live demo: a page beside the others that finds people in the visitor's own browser.

`make live` builds the decoder for browsers and fetches onnxruntime-web; where both are there, the
pages get the demo. It has the embedded body network as it is in the package, and what the page of
`serve` draws with.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpose_ext as op
from openpose_ext.models.manifest import read_manifest
from openpose_ext.stages.preprocess import LONGEST, PADDING

if TYPE_CHECKING:  # the demo's test needs no Sphinx
    from sphinx.application import Sphinx

PACKAGE = Path(op.__file__).parent
NETWORK = PACKAGE / "models/embedded/lite_body.onnx"
ROOT = Path(__file__).parents[2]
DECODER = ROOT / "build/web/cpp/web"
ENGINE = ROOT / "build/web/node_modules/onnxruntime-web/dist"
ENGINE_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def is_built() -> bool:
    """Whether `make live` has left what the demo needs."""
    return (DECODER / "decoder.wasm").is_file() and (ENGINE / ENGINE_FILES[0]).is_file()


def write(folder: Path) -> None:
    """Write the demo into a new folder. Raises FileNotFoundError if it is not built."""
    without = shutil.ignore_patterns("*.html", "index.js", "live.js")
    shutil.copytree(PACKAGE / "serve/page", folder, ignore=without)
    shutil.copytree(ROOT / "docs/live", folder, dirs_exist_ok=True)
    for name in ("decoder.mjs", "decoder.wasm"):
        shutil.copy(DECODER / name, folder)
    for name in ENGINE_FILES:
        shutil.copy(ENGINE / name, folder)
    shutil.copy(NETWORK, folder)
    (folder / "network.json").write_text(json.dumps(_about()))


def _about() -> dict[str, Any]:
    """What `docs/live/worker.js` needs to know of the network."""
    manifest = read_manifest(NETWORK)
    skeleton = op.COCO_18  # which cpp/web/decoder.cpp decodes
    assert manifest.topology == skeleton.name
    assert manifest.calibration is not None
    return {
        "file": NETWORK.name,
        "outputs": {kind: name for name, kind in manifest.outputs.items()},
        "channels": manifest.input.channels,
        "mean": manifest.input.mean,
        "divisor": manifest.input.divisor,
        "stride": manifest.stride,
        "lift": manifest.lift,
        "calibration": asdict(manifest.calibration),
        "padding": PADDING,
        "longest": LONGEST,
        "skeleton": skeleton.name,
        "topologies": {
            skeleton.name: {
                "parts": skeleton.parts,
                "limbs": skeleton.limbs,
                "colours": skeleton.colours,
            }
        },
    }


def _add(app: Sphinx, error: Exception | None) -> None:
    folder = Path(app.outdir, "live")
    shutil.rmtree(folder, ignore_errors=True)
    if error is None and is_built():
        write(folder)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the demo after the pages, and let these say whether there is one: `{only} live`."""
    if is_built():
        app.tags.add("live")
    app.connect("build-finished", _add)
    return {"parallel_read_safe": True}
