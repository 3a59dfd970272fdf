"""The command: its flags, and starting and stopping the server."""

from __future__ import annotations

import argparse
import importlib.util
import re
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.network_flags import (
    DEFAULT_CLOSER,
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
from openpose_ext.cli.values import above_zero, at_least_zero, positive
from openpose_ext.errors import UsageError
from openpose_ext.io.cpus import use_a_core_for_each_frame
from openpose_ext.io.opencv import silence_opencv
from openpose_ext.stages.preprocess import HEIGHT
from openpose_ext.types.arrays import Picture

if TYPE_CHECKING:
    from openpose_ext.serve.networks import Opening
    from openpose_ext.serve.options import Offer
    from openpose_ext.serve.upload import Limits
    from openpose_ext.types.frame import Frame

__all__ = ["main", "preview"]

_PORT = 8000
_OF_VISITORS = ("body", "hand", "face", "foot", "refine", "height")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_EMBEDDED_RUN_ON = ("auto", "openvino", "onnxruntime")

_EXAMPLES = """\
examples:
  python -m openpose_ext.serve                          then open http://127.0.0.1:8000/
  python -m openpose_ext.serve --body mobilenet --hand  a better network, and hands
  python -m openpose_ext.serve --host 0.0.0.0           for others who know its token, too
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
    args = parse(_parser(), argv, (*NETWORK_BOOLEANS, "no_token"))
    every = detect_every(args)
    _need_server()
    from openpose_ext.serve.app import uploads_app
    from openpose_ext.serve.budget import Budget
    from openpose_ext.serve.estimators import Estimators
    from openpose_ext.serve.jobs import Jobs
    from openpose_ext.serve.listen import address_of, listening, web_server
    from openpose_ext.serve.networks import Opening

    silence_opencv()
    token = _token(args)
    with ExitStack() as opened:
        listener = opened.enter_context(listening(args.host, args.port))
        use_a_core_for_each_frame()
        limits = _limits(args)
        budget = Budget(limits.memory)
        offer, files = _offer(args, every)
        opening = Opening(_flags(args), args.refine, files, budget.total, args.threads)
        estimators = opened.enter_context(Estimators(opening, opening.cost, budget))
        # Open the networks now: wrong flags are reported at once, and the first visitor need not
        # wait.
        _check_memory(offer, opening, budget.total)
        with estimators.lent(offer.defaults.of_networks):
            pass
        jobs = opened.enter_context(Jobs(estimators, budget, limits))
        port = listener.getsockname()[1]
        app = uploads_app(jobs, offer, (args.host,), token=token, port=port)
        server = web_server(app, jobs, args.grace)
        key = "" if token is None else f"?token={token}"
        print(f"serving at {address_of(listener, args.host)}{key} (Ctrl-C ends it)", flush=True)
        if args.host not in _LOCAL and token is None:
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
    add(
        "--memory",
        type=above_zero,
        default=2.0,
        metavar="GB",
        help="Memory for networks, decoded pictures, frames, drawings and encoders together. "
        "Uploads that do not fit wait; those that never fit are refused (default 2)",
    )
    add(
        "--grace",
        type=at_least_zero,
        default=10.0,
        metavar="SECONDS",
        help="When the server is ended, wait this long for uploads it is working on (default 10)",
    )
    add(
        "--token",
        type=_token_text,
        metavar="TEXT",
        help="Require this token from visitors (default: a random one if --host is not this "
        "machine, otherwise none)",
    )
    add("--no_token", action="store_true", help="Require no token, whatever --host is")
    add_detect_every(parser.add_argument_group("videos"))
    group = parser.add_argument_group("network")
    add_network_flags(group)
    group.add_argument(
        "--allow_body",
        nargs="+",
        default=(),
        metavar="NAME|FILE",
        help="Also let visitors choose these body networks (default: only --body)",
    )
    add_closer_flags(group)
    return parser


def _limits(args: argparse.Namespace) -> Limits:
    from openpose_ext.serve.upload import Limits

    return Limits(
        upload=args.megabytes * 1_000_000,
        pixels=args.megapixels * 1_000_000,
        at_once=args.at_once,
        keep=args.keep * 60,
        memory=round(args.memory * 1e9),
    )


def _offer(args: argparse.Namespace, every: int) -> tuple[Offer, dict[str, dict[str, str]]]:
    """What visitors may choose, and the files of networks whose names are hidden from them."""
    from openpose_ext.serve.networks import public_name
    from openpose_ext.serve.options import Offer, Options

    try:
        closer = closer_flags(args)
    except ValueError as error:
        raise UsageError(error) from error
    chosen = {"body": body_network(args.body, args)}
    chosen |= {kind: closer[kind] or "none" for kind in ("hand", "face", "foot")}
    allowed = {"body": tuple(body_network(one, args) for one in args.allow_body)}
    # The embedded networks can always be chosen.
    embedded = ("none", DEFAULT_CLOSER) if args.backend in _EMBEDDED_RUN_ON else ("none",)
    allowed |= dict.fromkeys(("hand", "face", "foot"), embedded)
    names = {
        kind: {public_name(kind, one): one for one in (chosen[kind], *allowed[kind])}
        for kind in chosen
    }
    defaults = Options(
        body=public_name("body", chosen["body"]),
        hand=public_name("hand", chosen["hand"]),
        face=public_name("face", chosen["face"]),
        foot=public_name("foot", chosen["foot"]),
        refine=bool(args.refine),
        height=args.height or HEIGHT,
        detect_every=every,
    )
    return Offer(defaults, {kind: tuple(names[kind]) for kind in names}, args.mode), names


def _flags(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `PoseEstimator` that visitors cannot choose."""
    flags = network_flags(args) | closer_flags(args)
    return {name: value for name, value in flags.items() if name not in _OF_VISITORS}


def _check_memory(offer: Offer, opening: Opening, memory: int) -> None:
    """Raise UsageError if a network needs too much memory, ModelError if one is missing."""
    usual = offer.defaults.of_networks
    for body in offer.allowed("body"):
        needed = opening.cost(usual._replace(body=body))
        if needed > memory / 2:
            raise UsageError(
                f"--memory {memory / 1e9:g} is too little: the networks with {body} need "
                f"{needed / 1e9:.1f} GB; give at least {2 * needed / 1e9:.1f} or a smaller --height"
            )


def _token(args: argparse.Namespace) -> str | None:
    """The token that the server requires; a random one if other machines can reach the server."""
    if args.no_token:
        if args.token is not None:
            raise UsageError("--token and --no_token contradict each other: leave one out")
        return None
    if args.token is None and args.host not in _LOCAL:
        return secrets.token_urlsafe(16)
    token: str | None = args.token
    return token


def _token_text(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{8,128}", text):
        raise argparse.ArgumentTypeError(
            "a token has 8 to 128 letters, digits and . _ ~ -; it goes into an address"
        )
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _need_server() -> None:
    for module in ("starlette", "uvicorn", "httptools"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f'the page needs {module}: pip install "openpose_ext[serve]"')
