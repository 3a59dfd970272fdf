"""The command: its flags, and start and end of the server."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import cv2

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.network_flags import (
    DEFAULT_BODY,
    NETWORK_BOOLEANS,
    add_closer_flags,
    add_detect_every,
    add_network_flags,
    closer_flags,
    detect_every,
    network_flags,
)
from openpose_ext.cli.parser import command_parser, parse
from openpose_ext.cli.values import positive
from openpose_ext.errors import UsageError
from openpose_ext.io.cpus import own_cores
from openpose_ext.stages.estimator import MOST_STREAMS, PoseEstimator
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.arrays import Picture

if TYPE_CHECKING:
    from openpose_ext.serve.upload import Limits
    from openpose_ext.types.frame import Frame

__all__ = ["main", "preview"]

_PORT = 8000
_LOCAL = ("localhost", "127.0.0.1", "::1")

_EXAMPLES = """\
examples:
  python -m openpose_ext.serve                          then open http://127.0.0.1:8000/
  python -m openpose_ext.serve --body mobilenet --hand  a better network, and hands
  python -m openpose_ext.serve --host 0.0.0.0           for others in your network, too
  curl --data-binary @clip.mp4 'http://127.0.0.1:8000/api/people?name=clip.mp4'

Uploads are deleted when they are done, results after a while, and all when the server ends. Ctrl-C
ends it.

exit codes: 2 usage, port in use; 3 network or engine; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _serve(sys.argv[1:] if argv is None else argv))


def preview() -> AbstractContextManager[Callable[[Frame, Picture | None], None]]:
    """The page of `infer --display`, see `live`. Raises UsageError without the extra `serve`."""
    _need_server()
    from openpose_ext.serve.live import preview

    return preview()


def _serve(argv: Sequence[str]) -> int:
    args = parse(_parser(), argv, NETWORK_BOOLEANS)
    every = detect_every(args)
    _need_server()
    from openpose_ext.serve.app import uploads_app
    from openpose_ext.serve.jobs import Jobs
    from openpose_ext.serve.listen import address_of, listening, web_server

    # Silence OpenCV's messages on damaged files; this package reports the reason.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with ExitStack() as opened:
        listener = opened.enter_context(listening(args.host, args.port))
        cv2.setNumThreads(1)  # several frames at once have a core each
        estimator = opened.enter_context(_estimator(args))
        jobs = opened.enter_context(Jobs(estimator, _limits(args), every))
        closer = {kind: closer_flags(args)[kind] for kind in ("hand", "face", "foot")}
        about = {"body": args.body or DEFAULT_BODY, **closer}
        app = uploads_app(jobs, about, (args.host,))
        server = web_server(app, ending=jobs.give_all_up)
        print(f"serving at {address_of(listener, args.host)} (Ctrl-C ends it)", flush=True)
        if args.host not in _LOCAL:
            print(
                "openpose-ext: everybody who can reach this machine can use the server",
                file=sys.stderr,
            )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        server.run(sockets=[listener])
    return Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "serve",
        "[option ...]",
        "Serve a web page and an API that find the people in pictures and videos.",
        _EXAMPLES,
    )
    add = parser.add_argument_group("server").add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="Address to listen on (default 127.0.0.1: this machine only)",
    )
    add(
        "--port",
        type=_port,
        default=_PORT,
        metavar="N",
        help="Port; 0 takes any free one (default 8000)",
    )
    add(
        "--at_once",
        type=positive,
        default=2,
        metavar="N",
        help="Number of uploads processed at the same time (default 2)",
    )
    add("--megabytes", type=positive, default=200, metavar="N", help="Largest upload (default 200)")
    add("--megapixels", type=positive, default=50, metavar="N", help="Largest frame (default 50)")
    add(
        "--keep",
        type=positive,
        default=30,
        metavar="MINUTES",
        help="Keep results for this many minutes (default 30)",
    )
    add_detect_every(parser.add_argument_group("videos"))
    group = parser.add_argument_group("network")
    add_network_flags(group)
    add_closer_flags(group)
    return parser


def _limits(args: argparse.Namespace) -> Limits:
    from openpose_ext.serve.upload import Limits

    return Limits(
        upload=args.megabytes * 1_000_000,
        pixels=args.megapixels * 1_000_000,
        at_once=args.at_once,
        keep=args.keep * 60,
    )


def _estimator(args: argparse.Namespace) -> PoseEstimator:
    try:
        options: dict[str, Any] = network_flags(args) | closer_flags(args)
        return PoseEstimator(
            args.body or DEFAULT_BODY,
            height=args.height or HEIGHT,
            streams=min(args.threads or own_cores(), MOST_STREAMS),
            **options,
        )
    except ValueError as error:
        raise UsageError(error) from error


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _need_server() -> None:
    for module in ("starlette", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f'the page needs {module}: pip install "openpose_ext[serve]"')
