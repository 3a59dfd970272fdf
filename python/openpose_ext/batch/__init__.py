"""`python -m openpose_ext.batch`: many pictures on many machines, with Ray Data.

    inputs.py    lists the inputs and cuts them into units of work
    worker.py    processes a unit: reads it, finds people, writes its shard
    diary.py     notes what workers are doing, so that a picture kills three of them and no more
    places.py    stores shards in a folder or an object store
    command.py   runs the job: claims the output, spreads the work, counts the results

A unit is a few hundred pictures of one folder, or the frames of a video from one key frame to
another. Its name is a digest of the job's options and of the names, sizes and times of its files;
its shard is `shards/<name>.parquet`, with counts and failures in the file's own metadata, and it
appears by one rename or one PUT. So the existing shards record the progress: a unit whose shard
exists and is whole is skipped, by another worker after one was killed, or by the same command after
its driver was. Processing a unit twice writes the same shard twice.

In your own pipelines, `PoseActor` finds the people:

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
