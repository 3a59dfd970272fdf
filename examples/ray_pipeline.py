"""People as a stage of a Ray Data pipeline: ray_pipeline.py FOLDER OUT

Writes Parquet files, a row a part. The same program runs on a cluster: `ray.init("auto")`.
"""

import sys

import ray

from openpose_ext.batch import PoseActor


def main(folder: str, out: str) -> None:
    pictures = ray.data.read_binary_files(folder, include_paths=True)
    rows = pictures.map_batches(
        PoseActor, fn_constructor_kwargs={"body": "lite"}, concurrency=1, batch_size=8
    )
    rows.write_parquet(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
