"""Tables as Parquet; `outputs.tables` has the columns."""

from __future__ import annotations

import os
from typing import Any

from openpose_ext.errors import OutputError
from openpose_ext.outputs.files import FrameWriter
from openpose_ext.outputs.tables import columns
from openpose_ext.poses import Frame, Poses

__all__ = ["ParquetWriter", "record_batch", "schema"]

# What is held until it is written as a group of rows: some MB.
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


def record_batch(frame: Frame, poses: Poses) -> Any:
    """The rows of a frame as a pyarrow.RecordBatch of this schema."""
    import pyarrow as pa

    found, types = columns(poses, frame.source, frame.index, frame.time), schema()
    arrays = [pa.array(found[field.name], field.type) for field in types]
    return pa.record_batch(arrays, schema=types)


class ParquetWriter(FrameWriter):
    """Writes a row a part, in groups of rows, so that memory stays bounded.

    Raises OutputError if pyarrow is not installed, with the extra that brings it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            message = 'Parquet needs pyarrow: pip install "openpose_ext[tables]"'
            raise OutputError(message) from error
        super().__init__(path)
        self._schema = schema()
        self._waiting: list[Any] = []
        self._rows = 0
        with self._file.failing():
            self._parquet = pq.ParquetWriter(self._file.part, self._schema)

    def _write(self, frame: Frame, poses: Poses) -> None:
        batch = record_batch(frame, poses)
        if batch.num_rows:
            self._waiting.append(batch)
            self._rows += batch.num_rows
        if self._rows >= _ROWS or len(self._waiting) >= _FRAMES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._parquet.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting.clear()
        self._rows = 0

    def _finish(self) -> None:
        self._flush()
        self._parquet.close()

    def _release(self) -> None:
        self._parquet.close()
