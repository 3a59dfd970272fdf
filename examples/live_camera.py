"""A camera, frame by frame, with ids and smoothing: live_camera.py [NUMBER|ADDRESS|VIDEO]

The newest frame is always taken; what the network is too slow for is left out. Ctrl-C ends it.
"""

import sys
import time

import openpose_ext as op


def main(source: str) -> None:
    track, smooth = op.Tracker(rate=25), op.OneEuro(rate=25)
    begun = time.monotonic()
    frames = 0
    with op.PoseEstimator(height=256) as estimator:
        for frame, poses in estimator.stream(int(source) if source.isdigit() else source):
            people = smooth(track(poses, frame.time), frame.time)
            frames += 1
            rate = frames / (time.monotonic() - begun)
            print(f"{frame.time:7.2f} s, {rate:4.1f} frames a second: people {people.ids.tolist()}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "0")
    except KeyboardInterrupt:
        print("ended")
