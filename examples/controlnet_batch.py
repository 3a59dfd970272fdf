"""Conditioning pictures for ControlNet of a folder: controlnet_batch.py FOLDER OUT

Writes skeletons on black as OUT/<name>.png, and leaves out pictures without people.
"""

import sys
from pathlib import Path

import cv2

import openpose_ext as op


def main(folder: str, out: str) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    with op.PoseEstimator(hand="lite") as estimator:
        for frame, poses in estimator.stream(folder, on_error=print):
            if len(poses):
                canvas = op.draw(frame.image, poses, style="controlnet")
                cv2.imwrite(f"{out}/{Path(frame.source).stem}.png", canvas)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
