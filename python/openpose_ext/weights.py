"""`python -m openpose_ext.weights`: lists, fetches and finds the files of networks."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from openpose_ext.cli.exit_codes import Exit, exit_code
from openpose_ext.cli.parser import command_parser, parse
from openpose_ext.errors import ModelError, UsageError
from openpose_ext.models.download import Progress, download, fault
from openpose_ext.models.lookup import ENVIRONMENT, fetched_folder, find_file
from openpose_ext.models.manifest import Registered, registry

__all__ = ["main"]

_ACTIONS = ("list", "fetch", "path")

_EXAMPLES = f"""\
examples:
  python -m openpose_ext.weights list                       all networks, and which are installed
  python -m openpose_ext.weights fetch mobilenet            download, check and keep it
  python -m openpose_ext.weights fetch openpose --accept-license
  python -m openpose_ext.weights path mobilenet             print the path of its file
Files are kept in the user's cache; the folders of ${ENVIRONMENT} are searched first. An interrupted
download is resumed.
exit codes: 0 done; 2 usage, licence not accepted; 3 cannot be fetched, or not installed; 4 cannot
be written; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see `cli.exit_codes.Exit`)."""
    return exit_code(lambda: _weights(sys.argv[1:] if argv is None else argv))


@dataclass(frozen=True)
class Network:
    """A network's file and the files it needs beside it."""

    main: Registered
    parts: tuple[Registered, ...] = ()

    @property
    def files(self) -> tuple[Registered, ...]:
        """The needed files first, so that the main file is never without them."""
        return (*self.parts, self.main)

    def found(self) -> Path | None:
        """The installed main file, or None."""
        return find_file(self.main.file)

    def fault(self) -> str | None:
        """The reason why the installed files cannot be used, or None; reads them completely."""
        found = self.found()
        if found is None:
            return f"{self.main.file} is not here"
        for entry in self.files:
            file = found.with_name(entry.file)
            wrong = fault(file, entry) if file.is_file() else "it is not there"
            if wrong is not None:
                return f"{file}: {wrong}"
        return None


def _weights(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parse(parser, argv, ("accept_license",))
    known = _networks(registry() if args.registry is None else registry(Path(args.registry)))
    if args.action == "list":
        if args.names:
            parser.error(f"list takes no NAME, but {args.names[0]!r} is given")
        _list(known)
        return Exit.DONE
    if not args.names:
        parser.error(f"{args.action} needs a NAME from the list")
    chosen = {name: _chosen(name, known) for name in args.names}
    if args.action == "fetch":
        _fetch([network for networks in chosen.values() for network in networks], args)
        return Exit.DONE
    for name, networks in chosen.items():
        for network in networks:
            print(_path(name, network, args.registry))
    return Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "weights",
        "list | fetch NAME... | path NAME... [option ...]",
        "List, fetch and find the files of networks.",
        _EXAMPLES,
    )
    add = parser.add_argument
    add("action", choices=_ACTIONS, metavar="ACTION", help="list, fetch or path")
    add("names", nargs="*", metavar="NAME", help="Name of a network, or of a file in the list")
    add("--accept_license", action="store_true", help="Accept the licences of the fetched files")
    add("--registry", metavar="FILE", help="Use another registry.toml than the package's")
    return parser


def _networks(entries: Sequence[Registered]) -> dict[str, list[Network]]:
    """The known networks by name; a network without a name has its file's name."""
    by_file = {entry.file: entry for entry in entries}
    parts = {file for entry in entries for file in entry.parts}
    networks: dict[str, list[Network]] = {}
    for entry in entries:
        if entry.file not in parts:
            network = Network(entry, tuple(by_file[file] for file in entry.parts))
            networks.setdefault(entry.name or entry.file, []).append(network)
    return networks


def _chosen(name: str, known: Mapping[str, list[Network]]) -> list[Network]:
    if name in known:
        return known[name]
    files = {network.main.file: network for networks in known.values() for network in networks}
    if name in files:
        return [files[name]]
    near = difflib.get_close_matches(name, [*known, *files], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise UsageError(f"no network {name!r} in the registry; {hint}")


def _list(known: Mapping[str, list[Network]]) -> None:
    """List the networks that can be fetched or are installed."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for name, networks in known.items():
        for network in networks:
            found = network.found()
            if found is None and not _can_be_fetched(network):
                continue
            licence = network.main.licence
            terms = "" if network.main.terms is None else f", {network.main.terms}"
            rows.setdefault(f"{name}: {licence}{terms}", []).extend(
                (entry.file, _size(entry), _where(found, entry))
                for entry in (network.main, *network.parts)
            )
    width = max((len(file) for files in rows.values() for file, _, _ in files), default=0)
    for head, files in rows.items():
        print(head)
        for file, size, where in files:
            print(f"  {file:{width}}  {size:>8}  {where}")


def _can_be_fetched(network: Network) -> bool:
    return all(entry.urls and entry.hashes for entry in network.files)


def _size(entry: Registered) -> str:
    return "?" if entry.size is None else f"{entry.size / 1e6:.1f} MB"


def _where(main: Path | None, entry: Registered) -> str:
    file = None if main is None else main.with_name(entry.file)
    return str(file) if file is not None and file.is_file() else "absent"


def _fetch(networks: Sequence[Network], args: argparse.Namespace) -> None:
    missing = [network for network in networks if network.fault() is not None]
    entries = [entry for network in missing for entry in network.files]
    _accept(entries, args.accept_license)
    folder = fetched_folder()
    for done, entry in enumerate(entries):
        with _bar(entry) as progress:
            try:
                download(entry, folder, progress=progress, note=_say)
            except ModelError as error:
                raise ModelError(f"{error}\n{_by_hand(entries[done:])}") from error
    for network in networks:
        # A file in one of the user's own folders is found before the fetched one.
        fault = network.fault() if network in missing else None
        if fault is not None:
            raise ModelError(
                f"{network.main.file} is in {folder} now, but another file is found first and "
                f"cannot be used. {fault}. Remove it"
            )
        print(network.found())


def _accept(entries: Sequence[Registered], accepted: bool) -> None:
    """Show the licences; raise UsageError unless those with terms are accepted."""
    licences: dict[tuple[str, str | None], list[str]] = {}
    for entry in entries:
        licences.setdefault((entry.licence, entry.terms), []).append(entry.file)
    for (licence, terms), files in licences.items():
        _say(f"licence of {', '.join(files)}: {licence}{f', {terms}' if terms else ''}")
    if accepted or all(terms is None for _, terms in licences):
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("accept this licence with --accept-license")
    print("Do you accept it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("the licence was not accepted; nothing was fetched")


@contextmanager
def _bar(entry: Registered) -> Iterator[Progress]:
    """A progress bar on a terminal."""
    silent = not sys.stderr.isatty()
    with tqdm(desc=entry.file, unit="B", unit_scale=True, disable=silent, leave=False) as bar:

        def show(done: int, total: int | None) -> None:
            if not bar.n:  # bytes of an earlier download do not count for the speed
                bar.initial = bar.n = bar.last_print_n = done
                bar.total = total
                bar.refresh()
            bar.update(done - bar.n)

        yield show


def _say(sentence: str) -> None:
    tqdm.write(f"openpose-ext: {sentence}", file=sys.stderr)


def _path(name: str, network: Network, registry_file: str | None) -> Path:
    """The file of a network. Raises ModelError with instructions if it is missing."""
    found = network.found()
    absent = [e for e in network.files if _where(found, e) == "absent"]
    if found is not None and not absent:
        return found
    missing = f"there is no {' and no '.join(entry.file for entry in absent)}"
    if not _can_be_fetched(network):
        raise ModelError(f"{missing}\n{_by_hand(absent)}")
    command = ["python", "-m", "openpose_ext.weights", "fetch", name]
    command += ["--registry", registry_file] if registry_file is not None else []
    raise ModelError(f"{missing}; fetch it: {shlex.join(command)}")


def _by_hand(entries: Sequence[Registered]) -> str:
    """Instructions for getting the files by hand."""
    lines = [f"Put into {fetched_folder()}, or into a folder named by ${ENVIRONMENT}:"]
    for entry in entries:
        size = [] if entry.size is None else [f"{entry.size} bytes"]
        digest = [f"{algorithm} {value}" for algorithm, value in entry.hashes.items()][:1]
        source = [f"from {entry.urls[0]}"] if entry.urls else []
        lines.append(f"  {', '.join([entry.file, *size, *digest, *source])}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
