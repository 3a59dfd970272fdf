"""A network of your own, described by its manifest: own_network.py NETWORK.onnx PICTURE

Takes any network with 19 heat maps and 38 fields in OpenPose's order, in two outputs. What its
input expects and which output is which stands in `NETWORK.onnx.toml`; change the manifest below.
"""

import sys
from pathlib import Path

import openpose_ext as op

MANIFEST = """\
# openpose_ext manifest 1
kind = "body"
topology = "coco_18"
stride = 8              # network pixels a map cell

[input]
layout = "NCHW"
channels = "BGR"
mean = [128.0, 128.0, 128.0]      # the network sees (pixel - mean) / divisor
divisor = [256.0, 256.0, 256.0]

[outputs]               # name in the file -> what it is
heat = "heat"
paf = "paf"
"""


def main(network: str, picture: str) -> None:
    Path(f"{network}.toml").write_text(MANIFEST)
    with op.PoseEstimator(network) as estimator:
        poses = estimator(picture)
    print(f"{len(poses)} people")
    for person in poses.keypoints:
        print(
            [
                f"{part} {x:.0f} {y:.0f}"
                for part, (x, y, s) in zip(op.COCO_18.parts, person, strict=True)
                if s
            ]
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
