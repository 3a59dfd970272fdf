"""People who lie or are upside down: AP with and without `turned`, and its price.

    python bench/bench_turned.py

The pictures are coco_val's as they are, and turned by quarters: who stands in them lies then, or is
upside down. Times are seconds of one thread over those without `turned`. Pictures and networks lie
in ../shared; without them there is nothing to measure.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from openpose_ext import PoseEstimator
from openpose_ext.run.coco_eval import Annotations, Evaluation, coco_results
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.turned import turn_people

SHARED = Path(__file__).resolve().parents[2] / "shared"
COCO = SHARED / "data" / "coco_val"
MOBILENET = SHARED / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
PRECISION = "f32"  # accuracy is stated for float32, whatever the processor would rather do


def main() -> None:
    """Print the table as Markdown."""
    missing = [path for path in (COCO, MOBILENET) if not path.exists()]
    if missing:
        print(f"Nothing is measured: ../{missing[0].relative_to(SHARED.parent)} is absent.")
        return
    annotations = Annotations.read(COCO / "person_keypoints.json")
    pictures = {
        p["id"]: read_picture(COCO / "images" / p["file_name"]) for p in annotations.pictures
    }
    print("| network | | as they are | by 90 degrees | by 180 | by 270 | time |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, network in (("lite", "lite"), ("mobilenet", MOBILENET)):
        alone = 0.0
        for on in (False, True):
            cells = []
            with PoseEstimator(network, precision=PRECISION, threads=1, turned=on) as estimator:
                begun = time.process_time()
                for turn in range(4):
                    results = [
                        result
                        for image_id, picture in pictures.items()
                        for result in coco_results(
                            turn_people(
                                estimator(np.ascontiguousarray(np.rot90(picture, turn))), -turn
                            ),
                            image_id,
                            annotations.category,
                        )
                    ]
                    cells.append(f"{Evaluation(results, annotations).scores().ap:.3f}")
                seconds = time.process_time() - begun
            alone = alone or seconds
            setting = "`turned`" if on else "one look"
            print(
                f"| {name} | {setting} | {' | '.join(cells)} | {seconds / alone:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
