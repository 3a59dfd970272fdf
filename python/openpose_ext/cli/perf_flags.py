"""The flags of `perf`: vamp's, in the order in which the help shows them."""

from __future__ import annotations

import argparse
import importlib.metadata

from openpose_ext.backends.engines import PRECISIONS
from openpose_ext.cli import vamp_values
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
    for name in ("hwconfig", "freqlist", "cache_input"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("-g", "--graph", help=argparse.SUPPRESS)
    for name in ("none_vaml", "producer_mode"):
        parser.add_argument(f"--{name}", type=vamp_values.count, default=0, help=argparse.SUPPRESS)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    """Flags for the network, its device and its input."""
    add = parser.add_argument_group("network").add_argument
    add(
        "-m",
        "--model_prefix",
        metavar="MODEL",
        help="Name of a network, a file, or the prefix of a network compiled for a card",
    )
    for part in ("json", "param", "lib"):
        add(f"--model_{part}", metavar="FILE", help=argparse.SUPPRESS)
    add(
        "--kind",
        default="body",
        choices=tuple(NETWORKS),
        help="Which network a name stands for (default body)",
    )
    add("--vdsp_params", metavar="FILE", help="Preprocessing file of a card")
    add(
        "--backend",
        default="auto",
        metavar="NAME",
        help="Inference engine: auto, openvino, onnxruntime, torch or vsx (default auto)",
    )
    add(
        "-d",
        "--device_id",
        type=vamp_values.devices,
        default=(0,),
        metavar="D",
        help="Dies as 0, 0:3 or [0,2], or a device as the engine names it (default 0; the CPU "
        "where there is no card)",
    )
    add(
        "-b",
        "--batch_size",
        type=positive,
        default=1,
        metavar="N",
        help="Pictures per request (default 1)",
    )
    add(
        "--force_batch_size",
        type=vamp_values.count,
        default=0,
        metavar="0|1",
        help="1 refuses a network that would split the batch",
    )
    add(
        "-s",
        "--shape",
        type=vamp_values.shape,
        metavar="[3,H,W]",
        help="Input size (default: the network's own, or 368 x 368)",
    )
    add("--dtype", default="uint8", help=argparse.SUPPRESS)
    add(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="Arithmetic precision (default auto)",
    )
    add(
        "--threads",
        type=positive,
        metavar="N",
        help="Number of threads the engine uses in each process",
    )


def _add_load(parser: argparse.ArgumentParser) -> None:
    """Flags for the number and rate of requests."""
    add = parser.add_argument_group("load").add_argument
    add(
        "-i",
        "--instance",
        type=vamp_values.instances,
        default=(1,),
        metavar="N|A:B",
        help="Instances of the network per device, or a range of numbers to measure one by one "
        "(default 1)",
    )
    add(
        "-p",
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help="Number of processes (default 1)",
    )
    add(
        "--iterations",
        type=positive,
        default=1024,
        metavar="N",
        help="Number of requests (default 1024)",
    )
    add(
        "-t",
        "--forward_time",
        type=vamp_values.seconds,
        default=0.0,
        metavar="S",
        help="Run for this many seconds instead of --iterations",
    )
    add(
        "--forward_mode",
        type=int,
        default=0,
        choices=(0, 1),
        help="0 keeps a request waiting at all times, for the highest throughput; 1 sends one "
        "request after the other, for the lowest latency (default 0)",
    )
    add(
        "--rate",
        type=vamp_values.rate,
        metavar="N",
        help="Send this many requests per second, however long each takes",
    )
    add(
        "--warm_up",
        type=vamp_values.count,
        default=3,
        metavar="N",
        help="Requests per instance that are not measured (default 3)",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    """Flags for input and output files, and for the report."""
    add = parser.add_argument_group("files").add_argument
    add(
        "--datalist",
        metavar="FILE",
        help="Run each of these inputs once instead of random pictures",
    )
    add(
        "--path_output",
        metavar="DIR",
        help="Write the network's outputs for each input to this folder",
    )
    for name in ("cache_input_host", "cache_output"):
        add(f"--{name}", type=int, default=0, choices=(0, 1), help=argparse.SUPPRESS)
    add("-f", "--file_report", metavar="FILE", help="Also write the reports to this YAML file")
    add("--json", action="store_true", help="Print each report as one line of JSON")
    add("-c", "--config", metavar="FILE", help="YAML file of options, by their long names")
    add(
        "--percentiles",
        type=vamp_values.percentiles,
        default=(50, 90, 95, 99),
        metavar="[P,...]",
        help="Percentiles of the latency to report (default [50,90,95,99])",
    )
    add(
        "--verbose",
        type=vamp_values.count,
        nargs="?",
        default=0,
        const=1,
        metavar="0|1",
        help="Report when a process has started",
    )
