"""The flags of `perf`: vamp's, in the order in which the help shows them."""

from __future__ import annotations

import argparse
import importlib.metadata

from openpose_ext.backends.engines import PRECISIONS
from openpose_ext.cli import vamp_values
from openpose_ext.cli.flags import Flags
from openpose_ext.cli.network_flags import add_backend
from openpose_ext.cli.parser import command_parser
from openpose_ext.cli.values import positive
from openpose_ext.models.lookup import NETWORKS

__all__ = ["perf_parser"]

_EXAMPLES = """\
examples:
  python -m openpose_ext.perf -m mobilenet -s [3,184,184]
  python -m openpose_ext.perf -m lite -b 2 -i 1:4 -s [3,368,368] -t 5        a report each
  python -m openpose_ext.perf -m lite --kind hand -s [3,160,160] --rate 50   50 requests a second
  python -m openpose_ext.perf -m deploy_weights/body/mod --vdsp_params body-vdsp_params.json \\
      -b 1 -i 2 -p 2 -s [3,184,184] -d 0                                     on a card
  python -m openpose_ext.perf -m mobilenet -s [3,184,184] --datalist card/datalist.txt \\
      --path_output card/found

The model's latency is the engine's own time for a request; e2e counts from the moment the request
was due, so it includes the wait for an instance. Without --rate an instance always has the next
request waiting (--forward_mode 0) or takes one after the other (1). A range has both its ends:
1:4 is 1, 2, 3, 4. With -p the instances of a device, or the devices, are shared among processes.

exit codes: 0 done; 2 usage; 3 network, engine, a process that died; 4 output; 130 interrupted
"""


def perf_parser() -> argparse.ArgumentParser:
    """The parser of `perf`, all flags added."""
    parser = command_parser(
        "perf",
        "-m MODEL [option ...]",
        "Measure the throughput and latency of a network.",
        _EXAMPLES,
        add_help=False,
    )
    add = parser.add_argument
    add("-h", "-?", "--help", action="help", help="show this and end")
    version = importlib.metadata.version("openpose_ext")
    add("-v", "--version", action="version", version=version, help="show the version and end")

    _add_network(parser)
    _add_load(parser)
    _add_files(parser)

    # Flags for vamp's own runtimes, which `perf` refuses or ignores.
    flags = Flags(parser)
    flags.hidden("--hwconfig", "--freqlist", "--cache_input", "-g --graph")
    flags.hidden("--none_vaml", "--producer_mode", type=vamp_values.count, default=0)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    """Flags for the network, its device and its input."""
    flags = Flags(parser.add_argument_group("network"))
    flags.value(
        "-m --model_prefix MODEL",
        "Name of a network, a file, or the prefix of a network compiled for a card",
    )
    flags.hidden("--model_json", "--model_param", "--model_lib", metavar="FILE")
    flags.choice("--kind", "Which network a name stands for", tuple(NETWORKS), "body")
    flags.value("--vdsp_params FILE", "Preprocessing file of a card")
    add_backend(flags)
    flags.value(
        "-d --device_id D",
        "Dies as 0, 0:3 or [0,2], or a device as the engine names it (default 0; the CPU where "
        "there is no card)",
        vamp_values.devices,
        (0,),
    )
    flags.value("-b --batch_size N", "Pictures per request", positive, 1)
    flags.value(
        "--force_batch_size 0|1",
        "1 refuses a network that would split the batch",
        vamp_values.count,
        0,
    )
    flags.value(
        "-s --shape [3,H,W]",
        "Input size (default: the network's own, or 368 x 368)",
        vamp_values.shape,
    )
    flags.hidden("--dtype", default="uint8")
    flags.choice("--precision", "Arithmetic precision", PRECISIONS, "auto")
    flags.value("--threads N", "Number of threads the engine uses in each process", positive)


def _add_load(parser: argparse.ArgumentParser) -> None:
    """Flags for the number and rate of requests."""
    flags = Flags(parser.add_argument_group("load"))
    flags.value(
        "-i --instance N|A:B",
        "Instances of the network per device, or a range of numbers to measure one by one "
        "(default 1)",
        vamp_values.instances,
        (1,),
    )
    flags.value("-p --processes N", "Number of processes", positive, 1)
    flags.value("--iterations N", "Number of requests", positive, 1024)
    flags.value(
        "-t --forward_time S",
        "Run for this many seconds instead (default 0: for --iterations)",
        vamp_values.seconds,
        0.0,
    )
    flags.choice(
        "--forward_mode",
        "0 keeps a request waiting at all times, for the highest throughput; 1 sends one request "
        "after the other, for the lowest latency",
        (0, 1),
        0,
    )
    flags.value(
        "--rate N",
        "Send this many requests per second, however long each takes",
        vamp_values.rate,
    )
    flags.value("--warm_up N", "Requests per instance that are not measured", vamp_values.count, 3)


def _add_files(parser: argparse.ArgumentParser) -> None:
    """Flags for input and output files, and for the report."""
    flags = Flags(parser.add_argument_group("files"))
    flags.value("--datalist FILE", "Run each of these inputs once instead of random pictures")
    flags.value("--path_output DIR", "Write the network's outputs for each input to this folder")
    flags.hidden("--cache_input_host", "--cache_output", type=int, default=0, choices=(0, 1))
    flags.value("-f --file_report FILE", "Also write the reports to this YAML file")
    flags.switch("--json", "Print each report as one line of JSON")
    flags.value("-c --config FILE", "YAML file of options, by their long names")
    flags.value(
        "--percentiles [P,...]",
        "Percentiles of the latency to report (default [50,90,95,99])",
        vamp_values.percentiles,
        (50, 90, 95, 99),
    )
    flags.value(
        "--verbose 0|1",
        "Report when a process has started",
        vamp_values.count,
        0,
        nargs="?",
        const=1,
    )
