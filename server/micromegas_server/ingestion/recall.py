"""What an earlier process has written, so that what is sent again after a restart is known again too.

A client whose request was written, but whose answer was lost with the process, sends it once more.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from micromegas_server.ingestion.otlp import SIGNALS
from micromegas_server.ingestion.rows import Sender
from micromegas_server.ingestion.schemas import TIME
from micromegas_server.ingestion.wire import MESSAGES
from micromegas_server.lake import Lake

MINUTES = 15  # that clients are thought to go on trying; none known gives up later than after five

_SENDER = ["auth_subject", "auth_issuer"]


def requests(lake: Lake, now: int) -> Iterator[str]:
    """The `block_id` of each request of OTLP of the last minutes before `now`, in nanoseconds since the epoch.

    Raises:
        OSError: The lake cannot be read.
        pa.ArrowException: Likewise.
    """
    for signal in SIGNALS.values():
        for batch in _batches(lake, signal.table, ["block_id"], _since(now)):
            yield from pc.unique(batch.column("block_id")).to_pylist()


def rows(lake: Lake, now: int) -> Iterator[tuple[str, Sender, str]]:
    """Table, sender and id of each process and stream, and of blocks of the last minutes. Raises like `requests`."""
    for table, _, identity in MESSAGES.values():
        recent = _since(now) if table == "blocks" else None
        for batch in _batches(lake, table, [identity, *_SENDER], recent):
            for name, subject, issuer in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield table, Sender(subject, issuer), name


def _since(now: int) -> ds.Expression:
    return ds.field("insert_time") >= pa.scalar(now - MINUTES * 60 * 1_000_000_000, TIME)


def _batches(lake: Lake, table: str, columns: list[str], recent: ds.Expression | None) -> Iterator[pa.RecordBatch]:
    if not lake.has_table(table):
        return
    snapshot = lake.snapshot(table)
    # Many rows share an id or a sender: as dictionaries these are read once.
    layout = ds.ParquetFileFormat(dictionary_columns=set(columns))
    yield from ds.dataset(lake.folder / snapshot.path, format=layout).to_batches(columns=columns, filter=recent)
