"""Tables as Parquet; see `formats.tables` for the columns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError
from openpose_ext.outputs.tables import rows
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["ParquetWriter", "schema", "table"]

# Rows held in memory until they are written as a group: some MB.
_ROWS = 1 << 16
_FRAMES = 1000


def schema() -> Any:
    """The columns as a pyarrow.Schema."""
    import pyarrow as pa

    text, whole, single = pa.string(), pa.int64(), pa.float32()
    return pa.schema(
        {
            "source": text, "frame": whole, "time": pa.float64(), "person": whole, "id": whole,
            "kind": text, "part": text, "x": single, "y": single, "score": single,
        }
    )  # fmt: skip


def table(frames: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Any:
    """Combine frames, each from `tables.columns`, to one pyarrow.Table of this schema.

    Converting many frames at once is several times as fast as one by one.
    """
    import pyarrow as pa

    types = schema()
    if not frames:
        return types.empty_table()
    joined = {name: np.concatenate([frame[name] for frame in frames]) for name in types.names}
    return pa.table([pa.array(joined[t.name], t.type) for t in types], schema=types)


class ParquetWriter(FrameWriter):
    """Writes one row per part, in groups of rows, so that memory stays bounded.

    Raises OutputError, naming the extra to install, if pyarrow is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            message = 'Parquet needs pyarrow: pip install "openpose_ext[tables]"'
            raise OutputError(message) from error
        super().__init__(path)
        self._waiting: list[Mapping[str, npt.NDArray[Any]]] = []
        self._rows = 0
        with self._file.failing():
            self._parquet = pq.ParquetWriter(self._file.part, schema())

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its rows; a source without people has no row."""
        import pyarrow.parquet as pq

        return {*pq.read_table(path, columns=["source"])["source"].unique().to_pylist()}

    def _write(self, frame: Frame, poses: Poses) -> None:
        found = rows(poses, frame.source, frame.index, frame.time)
        if len(found["x"]):
            self._waiting.append(found)
            self._rows += len(found["x"])
        if self._rows >= _ROWS or len(self._waiting) >= _FRAMES:
            self._flush()

    def _flush(self) -> None:
        self._parquet.write_table(table(self._waiting))
        self._waiting.clear()
        self._rows = 0

    def _finish(self) -> None:
        self._flush()
        self._parquet.close()

    def _release(self) -> None:
        self._parquet.close()
