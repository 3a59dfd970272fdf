"""`python -m openpose_ext.perf`: measures a network's speed on any engine, as Vastai's vamp does.

It has vamp's flags, short and long, and the field names of its report, for every engine. Unknown
details of vamp are each decided in one place: both ends of a range count (`vamp_values._range`), a
word `p 2` without its dash is ignored (`_without_bare_p`), and the YAML report has the layout of
`Report.fields`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.parser import parse
from openpose_ext.cli.perf_flags import perf_parser as _parser
from openpose_ext.errors import SourceError, UsageError
from openpose_ext.io.cpus import own_cores
from openpose_ext.io.vamp_files import output_file, read_datalist
from openpose_ext.io.whole import make_folder, write_whole
from openpose_ext.models.convert.formats import WEIGHTS, converted
from openpose_ext.models.lookup import NETWORKS, find_model
from openpose_ext.run.load import Load, summary
from openpose_ext.run.processes import Files, Opened, Result, Task, measure
from openpose_ext.run.report import Report

__all__ = ["main"]

# vamp's flags for features that no public runtime offers, with the reason for refusing them.
# Values that change nothing are accepted, and so are harmless flags on a card.
_REFUSED = {
    "freqlist": "only the vendor's tools can set clocks",
    "graph": "graph files belong to vastpipe, which is not supported",
    "cache_input": "no engine keeps inputs on the device; --cache_input_host 1 keeps them in "
    "memory",
}
_OF_CARDS = {
    "vdsp_params": "other engines use the network's manifest",
    "hwconfig": "other engines have no hardware to configure",
    "none_vaml": "other engines have no management library",
    "producer_mode": "other engines have no dies",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _perf(sys.argv[1:] if argv is None else argv))


def _perf(argv: Sequence[str]) -> int:
    args = _arguments(argv)
    model = _model(args)
    inputs = _inputs(args)

    def hear(processes: Sequence[Opened]) -> None:
        info = processes[0].info
        if args.force_batch_size and info.batch not in (None, args.batch_size):
            raise UsageError(
                f"{info.model.name} takes {info.batch} pictures per run and no other number: "
                f"-b {args.batch_size} would be run in parts"
            )
        if args.verbose:
            for one in processes:
                print(f"process {one.pid} has begun", file=sys.stderr, flush=True)

    reports: list[dict[str, Any]] = []
    for instances in args.instance:
        tasks = _tasks(args, model, inputs, instances)
        try:
            results = measure(tasks, hear)
        except (SourceError, ValueError) as error:
            raise UsageError(error) from error
        report = _report(args, instances, results)
        print(json.dumps(report.fields()) if args.json else report.text(), flush=True)
        reports.append(report.fields())
        if args.file_report is not None:  # keep what is measured, whatever comes next
            write_whole(
                args.file_report,
                yaml.safe_dump(reports, sort_keys=False, default_flow_style=None).encode(),
            )
    return Exit.DONE


def _tasks(
    args: argparse.Namespace, model: Path, inputs: Sequence[Path], instances: int
) -> list[Task]:
    """The task of each process; the devices, or the instances on a single device, are split."""
    processes, dies = args.processes, args.device_id
    size = None if args.shape is None else (args.shape[2], args.shape[1])
    tasks = []
    for k in range(processes):
        streams = instances if len(dies) > 1 else _share(instances, processes, k)
        cores = max(1, own_cores() // processes) if processes > 1 else None
        shared: dict[str, Any] = {
            "backend": args.backend,
            "precision": args.precision,
            "threads": args.threads or cores,
            "engine_options": {
                "vdsp_params": args.vdsp_params,
                "hw_config": args.hwconfig,
                "batch": args.batch_size,
            },
        }
        ahead = 1
        if _is_for_cards(args, model):
            mine = dies[k::processes] if len(dies) > 1 else dies
            each: list[dict[str, Any]] = [
                {"device": str(die), "streams": 1} for die in mine for _ in range(streams)
            ]
            if not args.forward_mode:
                ahead = 2  # so that the next pictures are on the card before it has finished
        else:
            device = "cpu" if dies == (0,) else str(dies[0])
            each = [{"device": device, "streams": streams}]
        files, count = None, _share(args.iterations, processes, k)
        if inputs:
            files = Files(
                inputs=tuple(enumerate(inputs))[k::processes],
                output=None if args.path_output is None else Path(args.path_output),
                cache_inputs=bool(args.cache_input_host),
                cache_outputs=bool(args.cache_output),
            )
            count = -(-len(files.inputs) // args.batch_size)
        in_flight = sum(engine["streams"] for engine in each)
        tasks.append(
            Task(
                model,
                engines=tuple({**shared, **engine} for engine in each),
                ahead=ahead,
                size=size,
                batch=args.batch_size,
                load=Load(
                    count=None if args.forward_time else count,
                    seconds=args.forward_time or None,
                    depth=in_flight if args.forward_mode else 2 * in_flight,
                    rate=None if args.rate is None else args.rate / processes,
                    offset=0.0 if args.rate is None else k / args.rate,
                ),
                synchronous=bool(args.forward_mode),
                warm_up=args.warm_up,
                files=files,
            )
        )
    return tasks


def _report(args: argparse.Namespace, instances: int, results: Sequence[Result]) -> Report:
    due, begun, answered, done = np.concatenate([result.times for result in results]).T
    return Report(
        opened=tuple(result.opened for result in results),
        instances=instances,
        devices=args.device_id,
        batch=args.batch_size,
        synchronous=bool(args.forward_mode),
        rate=args.rate,
        samples=sum(result.samples for result in results),
        seconds=float(done.max() - due.min()),
        e2e_latency=summary(done - due, args.percentiles),
        model_latency=summary(answered - begun, args.percentiles),
    )


def _share(total: int, parts: int, k: int) -> int:
    """The share of the k-th part when a total is split evenly."""
    return total // parts + (k < total % parts)


# The command line --------------------------------------------------------------------------------


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check the flags, and those of a file given with -c."""
    parser = _parser()
    words = _without_bare_p(argv)
    args = parse(parser, words, ("json",))
    if args.config is not None:
        args = parse(parser, [*_config(args.config), *words], ("json",))
    for name, why in _REFUSED.items():
        if getattr(args, name) not in (None, "0"):
            raise UsageError(f"--{name}: {why}")
    if args.dtype != "uint8":
        raise UsageError(f"--dtype {args.dtype}: only uint8 is supported")
    if args.force_batch_size not in (0, 1, args.batch_size):
        raise UsageError(f"--force_batch_size {args.force_batch_size} contradicts -b")
    if args.processes > 1:
        many = len(args.device_id) > 1
        most = len(args.device_id) if many else min(args.instance)
        if args.processes > most:
            raise UsageError(
                f"-p {args.processes}: {most} {'devices' if many else 'instances'} cannot be "
                "shared among more processes than there are"
            )
    return args


def _model(args: argparse.Namespace) -> Path:
    """The network's file or prefix. Refuses flags for cards on other engines."""
    name = args.model_prefix
    parts = [p for p in (args.model_json, args.model_param, args.model_lib) if p is not None]
    if name is None and parts:
        prefixes = {os.path.splitext(part)[0] for part in parts}
        if len(prefixes) > 1:
            raise UsageError(
                "the runtime takes a network by the prefix of its files: they must lie in one "
                f"folder under one name, unlike {' and '.join(sorted(prefixes))}"
            )
        name = prefixes.pop()
    if name is None:
        raise UsageError("-m MODEL is needed: a name, a file or a prefix; --help shows examples")
    names = NETWORKS[args.kind]
    file = find_model(name, names)
    if name in names and file.suffix in WEIGHTS and args.backend != "torch":
        file = converted(file)
    if _is_for_cards(args, file):
        return file
    for flag, why in _OF_CARDS.items():
        if getattr(args, flag):
            raise UsageError(f"--{flag} is for cards only: {why}")
    if args.device_id != (0,) and not isinstance(args.device_id[0], str):
        raise UsageError(
            f"-d {', '.join(map(str, args.device_id))}: numbers are dies of a card; other devices "
            "are named, one at a time: -d cpu, -d GPU.0, -d cuda:0"
        )
    return file


def _is_for_cards(args: argparse.Namespace, model: Path) -> bool:
    return args.backend == "vsx" or (args.backend == "auto" and not model.is_file())


def _inputs(args: argparse.Namespace) -> list[Path]:
    """The inputs of the datalist, after checking that they exist; empty without a datalist."""
    if args.datalist is None:
        for flag in ("path_output", "cache_input_host", "cache_output"):
            if getattr(args, flag):
                raise UsageError(f"--{flag} needs --datalist")
        return []
    if args.forward_time:
        raise UsageError("--datalist runs once from start to end; omit -t")
    if len(args.instance) > 1:
        raise UsageError("--datalist runs once: -i must be a single number")
    try:
        inputs = read_datalist(args.datalist)
    except ValueError as error:
        raise UsageError(error) from error
    missing = [path for path in inputs if not path.is_file()]
    if missing:
        raise UsageError(f"{args.datalist} lists {missing[0]}, which does not exist")
    if len(inputs) < args.processes:
        raise UsageError(f"-p {args.processes}: there are only {len(inputs)} inputs")
    if args.path_output is not None:
        folder = Path(args.path_output)
        make_folder(folder)
        ours = {output_file(folder, index) for index in range(len(inputs))}
        strange = sorted({*folder.glob("output_*.npz")} - ours)
        if strange:
            raise UsageError(
                f"{strange[0]} is from another run and would be taken for one of this; choose "
                "another --path_output, or remove it"
            )
    return inputs


def _config(path: str) -> list[str]:
    """Turn a YAML file of options into words of a command line."""
    try:
        options = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply") from error
    if not isinstance(options, dict):
        raise UsageError(f"{path} must contain options by name, such as batch_size: 2")
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, dict) or not isinstance(name, str):
            raise UsageError(f"{path}: {name!r} is not an option with a value")
        dashes = "-" if len(name) == 1 else "--"
        text = json.dumps(value, default=str) if isinstance(value, (list, bool)) else str(value)
        words += [f"{dashes}{name}", text] if len(name) == 1 else [f"{dashes}{name}={text}"]
    return words


def _without_bare_p(argv: Sequence[str]) -> list[str]:
    """Remove `p N`, which stands on some pages, from the command line, with a warning.

    Its meaning in vamp is unknown. Ignoring it means one process, the default.
    """
    words = list(argv)
    for k in range(len(words) - 1):
        value_of_a_flag = k > 0 and words[k - 1].startswith("-") and "=" not in words[k - 1]
        if words[k] == "p" and words[k + 1].isdecimal() and not value_of_a_flag:
            number = words[k + 1]
            print(
                f"openpose-ext: p {number} is ignored; did you mean -p {number}?", file=sys.stderr
            )
            return words[:k] + words[k + 2 :]
    return words


if __name__ == "__main__":
    sys.exit(main())
