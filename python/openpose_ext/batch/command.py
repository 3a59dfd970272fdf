"""The command: claims the output, spreads the work over the cluster, counts the results."""

from __future__ import annotations

import argparse
import glob
import io
import json
import logging
import os
import pickle
import sys
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from openpose_ext import errors
from openpose_ext.batch.inputs import BatchRequest, Failure, Unit, cut, units
from openpose_ext.batch.places import Place
from openpose_ext.batch.worker import Outcome, Shards
from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.flags import Flags
from openpose_ext.cli.network_flags import (
    NETWORK_BOOLEANS,
    add_closer_flags,
    add_detect_every,
    add_network_flags,
    body_network,
    closer_flags,
    detect_every,
    network_flags,
)
from openpose_ext.cli.parser import command_parser, parse
from openpose_ext.cli.values import positive
from openpose_ext.errors import BackendError, UsageError
from openpose_ext.io.container import is_address
from openpose_ext.io.cpus import own_cores
from openpose_ext.io.web import local_path
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.scores import FILLED_SCORE

__all__ = ["main"]

_FRAMES = 256  # frames of a shard: seconds of work, which are lost with a worker

# Number of videos that are searched for key frames at a time; this mostly reads.
_CUTTERS = 4

# Retries of a unit whose worker died. Its diary ends them sooner, unless dozens of its pictures
# kill workers.
_RETRIES = 50

# Rows are small, so Ray need not reserve a third of the memory for them.
_OBJECT_STORE = 128 << 20

_EXAMPLES = """\
examples:
  python -m openpose_ext.batch photos -o people                       all cores of this machine
  python -m openpose_ext.batch photos "day*/*.mp4" list.txt -o people --hand landmark
  python -m openpose_ext.batch s3://lab/videos -o s3://lab/people --ray auto --workers 40
  python -m openpose_ext.batch photos -o people --write_json json     OpenPose JSON of each frame

Run the same command again to continue an interrupted run. Files in OUT:
  shards/*.parquet   tables with one row per body part; one file for a few hundred frames
  errors.parquet     the inputs that could not be read, and why
  job.json           the inputs and options of the run

exit codes: 0 done; 1 some inputs failed; 2 usage; 3 network or engine; 4 output; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _batch(sys.argv[1:] if argv is None else argv))


@dataclass
class _Total:
    """The results so far."""

    shards: set[str] = field(default_factory=set)
    failures: set[Failure] = field(default_factory=set)  # units of one video may report the same
    inputs: int = 0
    frames: int = 0
    people: int = 0
    done: int = 0
    cpu: float = 0.0
    begun: float = float("inf")
    ended: float = 0.0

    def add(self, outcome: Outcome) -> None:
        if outcome.fatal is not None:
            kind, reason = outcome.fatal
            raise getattr(errors, kind)(reason)
        if outcome.shard:
            self.shards.add(outcome.shard.rpartition("/")[2])
        self.failures.update(outcome.errors)
        self.inputs += outcome.inputs
        self.frames += outcome.frames
        self.people += outcome.people
        self.cpu += outcome.cpu
        if outcome.done:
            self.done += outcome.frames
        elif outcome.shard:
            self.begun = min(self.begun, outcome.begun)
            self.ended = max(self.ended, outcome.ended)

    def summary(self) -> str:
        """A summary line; the rate is measured from the start of the first picture to the end of
        the last."""
        new = self.frames - self.done
        rate = new / (self.ended - self.begun) if new else 0.0
        before = f" ({self.done} done before)" if self.done else ""
        return (
            f"{self.inputs} inputs, {self.frames} frames{before}, {self.people} people, "
            f"{len(self.failures)} errors; {rate:.1f} frames a second, "
            f"{self.cpu / 3600:.4f} CPU hours"
        )


def _batch(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, ("keep_filled", *NETWORK_BOOLEANS))
    job = _job(args)
    try:
        output = Place(job.output)
        _claim(output, job)
    except ValueError as error:
        raise UsageError(error) from error
    total = _Total()
    with _cluster(args.ray, args.threads) as cpus:
        workers = args.workers or max(1, int(cpus) // args.threads)
        with tqdm(unit="frame", disable=not sys.stderr.isatty(), leave=False) as bar:
            for outcome in _outcomes(job, workers, args.threads, args.worker_gpus):
                total.add(outcome)
                if outcome.note:
                    bar.write(f"openpose-ext: {outcome.note}", file=sys.stderr)
                for failure in outcome.errors:
                    bar.write(f"openpose-ext: {failure.source}: {failure.reason}", file=sys.stderr)
                bar.update(outcome.frames)
    _finish(output, total)
    print(f"{total.summary()} -> {job.output}", flush=True)
    return Exit.SOME_FAILED if total.failures else Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "batch",
        "INPUT... -o OUT [option ...]",
        "Find people in many pictures and videos, on many cores or machines.",
        _EXAMPLES,
    )
    flags = Flags(parser)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="picture, video, folder, glob pattern or .txt list; addresses such as s3://... too",
    )
    flags.value("-o --output OUT", "Folder or address of the results", required=True)
    flags.value("--write_json DIR", "Also write OpenPose JSON for each frame, to DIR")
    flags.switch(
        "--keep_filled",
        "Also write parts that were not seen but followed along the fields, with scores up to "
        f"{FILLED_SCORE}",
    )
    flags.value(
        "--shard_frames N",
        "Most pictures in a shard; fewest frames of a video in a shard (default 256)",
        positive,
        _FRAMES,
    )
    flags = Flags(parser.add_argument_group("cluster"))
    flags.value(
        "--ray local|ADDRESS",
        "Address of a Ray cluster as host:port, auto for the one this machine belongs to, or local",
        default="local",
    )
    flags.value("--workers N", "Number of workers (default: as many as fit)", positive)
    flags.value(
        "--worker_gpus G",
        "GPUs per worker, fractions allowed; choose what runs there with --backend and --device",
        float,
        0,
    )
    add_detect_every(parser.add_argument_group("videos"))
    group = parser.add_argument_group("network")
    add_network_flags(group)
    add_closer_flags(group)
    parser.set_defaults(threads=1)  # one worker per core keeps all cores busy
    return parser


def _job(args: argparse.Namespace) -> BatchRequest:
    body = body_network(args.body, args)
    try:
        network = network_flags(args) | closer_flags(args)
    except ValueError as error:
        raise UsageError(error) from error
    del network["threads"]  # results do not depend on it
    try:
        given = [local_path(name) for name in args.inputs]
    except ValueError as error:
        raise UsageError(error) from error
    for name in given:
        if not (is_address(name) or os.path.lexists(name) or glob.has_magic(name)):
            raise UsageError(f"nothing matches the input {name!r}")
    if args.worker_gpus and args.device == "cpu":
        raise UsageError("--worker_gpus needs --device, such as --device cuda:0")
    files = {"body": body, **{kind: network[kind] for kind in ("hand", "face", "foot")}}
    network |= {kind: _absolute(f) if f and os.path.isfile(f) else f for kind, f in files.items()}
    return BatchRequest(
        inputs=tuple(map(_absolute, given)),
        output=_absolute(args.output),
        network=network | {"height": args.height or HEIGHT},
        frames=args.shard_frames,
        detect_every=detect_every(args),
        json=args.write_json and _absolute(args.write_json),
        keep_filled=args.keep_filled,
        run=uuid.uuid4().hex,
    )


def _absolute(name: str) -> str:
    """An absolute path, because workers run in other folders."""
    return name if is_address(name) else os.path.abspath(local_path(name))


def _claim(output: Place, job: BatchRequest) -> None:
    """Store the request in the output. Raises UsageError if another request is stored there."""
    claim = job.claim()
    before = output.get("job.json")
    if before is not None and not _is_json(before):
        print(f"openpose-ext: {output.name}/job.json is damaged; written again", file=sys.stderr)
        before = None
    if before is None:
        output.put("job.json", claim)
    elif before != claim:
        raise UsageError(
            f"{output.name} has the results of another command (see job.json there); "
            "choose another folder, or give the same inputs and options"
        )


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


@contextmanager
def _cluster(address: str, threads: int) -> Iterator[float]:
    """Connect to a cluster, or start one on this machine; return its number of CPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BackendError('batch needs Ray: pip install "openpose_ext[ray]"') from error
    theirs = ray.is_initialized()
    if not theirs:
        common: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if address == "local":
            ray.init(
                address="local",
                num_cpus=max(own_cores(), threads),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                **common,
            )
        else:
            try:
                ray.init(address=address, **common)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(f"--ray {address}: {error}") from error
    try:
        with warnings.catch_warnings():
            # Ray's warnings on future versions, and on fewer units than workers.
            warnings.simplefilter("ignore")
            yield ray.cluster_resources().get("CPU", 1)
    finally:
        if not theirs:
            ray.shutdown()


def _outcomes(job: BatchRequest, workers: int, threads: int, gpus: float) -> Iterator[Outcome]:
    """The outcomes of the job's units, as they finish. A task lists the inputs, so that the driver
    does not hold them in memory."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
    from ray.exceptions import RayError

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # One unit per block, so that each is processed as soon as it is known, and retried alone.
    context.target_max_block_size = 1

    def listed(batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        for unit in units(job):
            yield {"unit": [pickle.dumps(unit)]}

    def divided(batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        unit: Unit = pickle.loads(batch["unit"][0])
        for part in cut(unit, job.frames):
            yield {"unit": [pickle.dumps(part)]}

    # The workers use all CPUs; listing and cutting mostly wait for files.
    outcomes = (
        ray.data.from_items([job.output])  # one row, whose content is not used
        .map_batches(listed, compute=TaskPoolStrategy(size=1), num_cpus=0)
        .map_batches(divided, batch_size=1, compute=TaskPoolStrategy(size=_CUTTERS), num_cpus=0)
        .map_batches(
            _Actor,
            fn_constructor_args=(job, threads),
            batch_size=1,
            compute=ActorPoolStrategy(size=workers),
            num_cpus=threads,
            num_gpus=gpus or None,
            ray_remote_args_fn=lambda: {"max_task_retries": _RETRIES},
        )
    )
    try:
        for row in outcomes.iter_rows():
            yield pickle.loads(row["outcome"])
    except RayError as error:
        raise BackendError(f"the workers keep failing: {error}") from error


class _Actor:
    """`Shards` for batches of Ray Data."""

    def __init__(self, job: BatchRequest, threads: int) -> None:
        self._shards = Shards(job, threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"outcome": [pickle.dumps(self._shards(pickle.loads(batch["unit"][0])))]}


def _finish(output: Place, total: _Total) -> None:
    """Write the failures, and remove the shards of inputs that have changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = zip(*sorted(total.failures), strict=True) if total.failures else ((), ())
    names = ("source", "reason")
    text = [pa.array(column, pa.string()) for column in columns]
    buffer = io.BytesIO()
    pq.write_table(pa.table(text, names=names), buffer)
    if output.get("errors.parquet") != buffer.getvalue():
        output.put("errors.parquet", buffer.getvalue())
    if not total.failures:  # otherwise an input may only be unreachable for now
        for name in output.names("shards"):
            if name.endswith(".parquet") and name not in total.shards:
                output.remove(f"shards/{name}")
