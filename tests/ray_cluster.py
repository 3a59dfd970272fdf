"""What tests of the batch command share: runs of it, its workers' processes, its rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

KEYS = ["source", "frame", "person", "kind", "part"]
PATIENCE = 300.0


def rows(files: list[Any]) -> pd.DataFrame:
    """The rows of Parquet files, in an order of their own; none may be there twice."""
    tables = [pq.read_table(file).replace_schema_metadata() for file in files]
    table: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    assert not table.duplicated(KEYS).any()
    return table.sort_values(KEYS).reset_index(drop=True)


def shards(output: Path) -> list[Path]:
    return sorted((output / "shards").glob("*.parquet"))


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files of a folder, with the times of their last changes."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "openpose_ext.batch", *map(str, words)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a process runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def workers() -> list[int]:
    """The processes of the cluster of this one that look for people."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                names[int(entry.name)] = (entry / "cmdline").read_bytes()
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
            except OSError:  # gone meanwhile
                continue

    def ancestors(process: int) -> Iterator[int]:
        while process in parents:
            process = parents[process]
            yield process

    ours = [process for process, name in names.items() if b"MapWorker(MapBatches(_Actor" in name]
    return [process for process in ours if os.getpid() in ancestors(process)]
