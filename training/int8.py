"""A float32 body network of `export.py` -> INT8, every convolution of it.

    python training/int8.py lite_body.onnx lite_body_int8.onnx --calibrate PEOPLE

The package's own quantiser, told to leave no convolution in float: those it would leave cost more
time on processors without AMX than they gain, and no AP that can be measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from openpose_ext.models.convert.quantise import quantise
from openpose_ext.models.manifest import read_manifest, write_manifest
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.preprocess import Preprocessing

PICTURES = 72
HEIGHT = 368


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of pictures")
    arguments = parser.parse_args()
    files = sorted(arguments.calibrate.glob("*.jpg"))
    files = files[:: max(1, len(files) // PICTURES)][:PICTURES]
    preprocess = Preprocessing(height=HEIGHT)
    batches = [preprocess(read_picture(file))[0][None] for file in files]
    manifest = read_manifest(arguments.source)
    made = quantise(arguments.source, arguments.target, batches, manifest.input, float_layers=())
    print(made)
    write_manifest(manifest, arguments.target)


if __name__ == "__main__":
    main()
