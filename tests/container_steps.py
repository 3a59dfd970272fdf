"""The steps of a Containerfile, run in copies of a bare Debian root instead of by a builder.

    debootstrap --variant=minbase bookworm bare
    python tests/container_steps.py bare made        the last stage's root is made/1

Needs root's rights (chroot), and what the steps themselves need: Debian's and Python's indexes.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
FILE = SOURCE / "Containerfile"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHROOT = shutil.which("chroot", path=PATH) or "chroot"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass
class Stage:
    """An image on the way, or the last.

    name     that others copy from it by
    steps    (instruction, the rest of its line) of those that change its files
    """

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    user: str = "0"
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def stages(file: Path = FILE) -> list[Stage]:
    """What a Containerfile says; ValueError for an instruction that is not known here."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found: list[Stage] = []
    entry: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, _, rest = line.partition(" ")
        if kind == "FROM":
            words = rest.split()
            found.append(Stage(words[2] if words[1:2] == ["AS"] else ""))
            continue
        stage = found[-1]
        if kind in ("RUN", "COPY", "WORKDIR", "ENV"):
            stage.steps.append((kind, rest.strip()))
        if kind == "WORKDIR":
            stage.folder = rest.strip()
        elif kind == "ENV":
            stage.environment |= _pairs(rest)
        elif kind == "USER":
            stage.user = rest.strip()
        elif kind == "SHELL":
            stage.shell = json.loads(rest)
        elif kind == "HEALTHCHECK":
            stage.health = json.loads(rest[rest.index("CMD") + 3 :])
        elif kind == "ENTRYPOINT":
            entry = json.loads(rest)
        elif kind == "CMD":
            stage.command = entry + json.loads(rest)
        elif kind not in ("RUN", "COPY", "EXPOSE"):
            raise ValueError(f"{file}: what {kind} does is not known here")
    return found


def build(bare: Path, target: Path) -> Path:
    """Run all stages, each in a copy of a bare root below `target`; the last one's root."""
    roots: dict[str, Path] = {}
    for number, stage in enumerate(stages()):
        root = target / str(number)
        subprocess.run(["cp", "-a", str(bare), str(root)], check=True)
        folder, environment = "/", {"PATH": PATH}
        with _network(root) as lent:
            for kind, rest in stage.steps:
                print(f"{kind} {rest}", flush=True)
                if kind == "WORKDIR":
                    folder = rest
                    (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
                elif kind == "ENV":
                    environment |= _pairs(rest)
                elif kind == "COPY":
                    _copy(rest.split(), roots, root, folder)
                else:
                    words = [CHROOT, str(root), *stage.shell, f"cd {folder} && {rest}"]
                    subprocess.run(words, env=environment | lent, check=True)
        roots[stage.name] = root
    return root


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))


@contextmanager
def running(root: Path, stage: Stage, words: Sequence[str], data: Path) -> Iterator[Mapping]:  # type: ignore[type-arg]
    """Run a command as the image would: its user, a root that is read-only, no network.

    data  a folder that the command finds at /data, and may write to

    Gives {"process", "enter": words that run more in the same place}
    """
    mounts = [
        f"mount --bind {root} {root}",
        f"mount --bind {data} {root}/mnt",
        f"mount -o remount,ro,bind {root}",
        f"mount -t tmpfs tmpfs {root}/tmp",
        f"mount -t proc proc {root}/proc",
        f"mount -t devtmpfs none {root}/dev || mount --bind /dev {root}/dev",
        "ip link set lo up || true",
    ]
    inside = [CHROOT, f"--userspec={stage.user}:{stage.user}", str(root)]
    path = stage.environment["PATH"]
    at_work = ["/bin/sh", "-c", f'export PATH={path}; cd {stage.folder} && exec "$@"', "sh"]
    script = " && ".join(f"({mount})" for mount in mounts)
    command = [*inside, *at_work, *words]
    with subprocess.Popen(
        ["unshare", "--mount", "--net", "sh", "-ec", f'{script} && exec "$@"', "sh", *command],
        env=stage.environment | {"PATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            enter = ["nsenter", f"--target={process.pid}", "--mount", "--net", *inside, *at_work]
            yield {"process": process, "enter": enter}
        finally:
            process.terminate()


@contextmanager
def _network(root: Path) -> Iterator[dict[str, str]]:
    """What a builder lends the steps of this machine: its name servers and certificates."""
    lent = {"/etc/resolv.conf": root / "etc/resolv.conf", CERTIFICATES: root / "lent.crt"}
    for source, target in lent.items():
        if os.path.isfile(source):
            shutil.copyfile(source, target)
    yield {"PIP_CERT": "/lent.crt"} if os.path.isfile(CERTIFICATES) else {}
    for target in lent.values():
        target.unlink(missing_ok=True)


def _copy(words: list[str], roots: Mapping[str, Path], root: Path, folder: str) -> None:
    origin = SOURCE
    if words[0].startswith("--from="):
        origin = roots[words.pop(0).removeprefix("--from=")]
    *sources, place = words
    target = root / (place if place.startswith("/") else f"{folder}/{place}").lstrip("/")
    for name in sources:
        source = origin / name.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
