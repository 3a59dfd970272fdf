"""People of a folder of pictures, as COCO results: folder_to_coco.py FOLDER RESULTS.json"""

import sys

import openpose_ext as op


def main(folder: str, results: str) -> None:
    people = 0
    with op.PoseEstimator() as estimator, op.CocoWriter(results) as sink:
        for frame, poses in estimator.stream(folder, on_error=print):
            sink.write(frame, poses)
            people += len(poses)
    print(f"{people} people -> {results}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
