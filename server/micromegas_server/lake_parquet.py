"""The Parquet files of a lake: which columns they keep as they are, how they are written, and several made one."""

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

# Of Arrow's bytes in memory: what a reader holds at once, and so the merging of files too.
ROW_GROUP_BYTES = 32 * 1024 * 1024

_COMPRESSION = "zstd"


class Stopped(Exception):
    """It was asked to stop."""


def check_schema(schema: pa.Schema) -> None:
    """Check that rows can be read from a file as they were written.

    Raises:
        ValueError: Parquet would not keep a column, or would change its type.
    """
    for field in schema:
        if _has_short_dictionary(field.type):
            raise ValueError(
                f"column {field.name!r}: the indices of a dictionary must be int32, to hold that of others"
            )
        try:
            file = io.BytesIO()
            pq.write_table(pa.schema([field]).empty_table(), file)
        except pa.ArrowException:
            raise ValueError(f"column {field.name!r}: Parquet has no {field.type}") from None
        kept = pq.read_schema(file).field(0).type
        if kept != field.type:
            raise ValueError(f"column {field.name!r}: Parquet keeps {field.type} as {kept}")


def write(path: Path, rows: pa.Table) -> None:
    """Write a new file, and wait until its content is on disk.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("xb") as file:
        per_group = rows.num_rows * ROW_GROUP_BYTES // max(rows.nbytes, ROW_GROUP_BYTES)
        pq.write_table(rows.combine_chunks(), file, compression=_COMPRESSION, row_group_size=max(1, per_group))
        _sync(file)


def merge(sources: Iterable[Path], target: Path, stop: Callable[[], bool]) -> None:
    """Write the rows of some files of the same columns to a new one, and wait until it is on disk.

    Two row groups at most are in memory at once.

    Raises:
        OSError: A file cannot be read or written.
        Stopped: `stop` said so.
    """
    pending: list[pa.Table] = []
    sources = list(sources)
    schema = pq.read_schema(sources[0])
    with target.open("xb") as file:
        with pq.ParquetWriter(file, schema, compression=_COMPRESSION) as writer:
            for rows in _row_groups(sources):
                if stop():
                    raise Stopped
                if pending and sum(table.nbytes for table in pending) + rows.nbytes > ROW_GROUP_BYTES:
                    _write_group(writer, pending)
                pending.append(rows)
            _write_group(writer, pending)
        _sync(file)


def _row_groups(paths: Iterable[Path]) -> Iterable[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index, use_threads=False)


def _write_group(writer: pq.ParquetWriter, pending: list[pa.Table]) -> None:
    rows = pa.concat_tables(pending).combine_chunks()
    pending.clear()
    writer.write_table(rows, row_group_size=max(1, rows.num_rows))


def _has_short_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return bool(kind.index_type.bit_width < 32)
    return any(_has_short_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
