"""Many pictures on many machines: `python -m openpose_ext.batch`, a job of Ray Data.

    inputs.py    what the inputs amount to, cut into units of work
    worker.py    a unit: read, find people, write its shard
    places.py    where shards go: a folder, or an object store
    command.py   the job: what is claimed, spread over the cluster, counted

A unit is a few hundred pictures of one folder, or the frames of a video from one key frame to
another. Its name is a digest of the job's options and of the names, sizes and times of its files;
its shard is `shards/<name>.parquet`, with what was counted and what failed in the file's own
metadata, and it appears by one rename, or one PUT. So the shards that exist are the manifest:
whoever comes to a unit whose shard exists leaves it alone, be it another worker after one was
killed, or the same command after its driver was. Who does a unit twice writes the same shard twice.

In pipelines of your own, `PoseActor` finds the people:

    import ray
    from openpose_ext.batch import PoseActor

    people = ray.data.read_images("photos", include_paths=True).map_batches(
        PoseActor,
        fn_constructor_kwargs={"body": "lite", "height": 256},
        batch_size=16,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=1),  # leave CPUs for reading
    )
    people.write_parquet("people")
"""

from openpose_ext.batch.command import main
from openpose_ext.batch.worker import PoseActor

__all__ = ["PoseActor", "main"]
