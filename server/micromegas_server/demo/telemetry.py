"""The demo's own telemetry, as tables of the lake it serves: what it says and what its server logs."""

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

INFO = 4  # Micromegas counts levels from 1 (fatal) to 6 (trace)

_TIME = pa.timestamp("ns", tz="UTC")
_LOG_ENTRIES = pa.schema(
    [
        ("process_id", pa.string()),
        ("exe", pa.string()),
        ("time", _TIME),
        ("target", pa.string()),
        ("level", pa.int32()),
        ("msg", pa.string()),
    ]
)
_PROCESSES = pa.schema([("process_id", pa.string()), ("exe", pa.string()), ("start_time", _TIME)])


class DemoTelemetry:
    """Keeps log lines, and writes them where the server's engine finds them.

    Args:
        lake: The folder of tables; made if need be.
    """

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._pending: list[dict[str, Any]] = []
        self._process = {"process_id": str(uuid.uuid4()), "exe": "micromegas-auth-demo"}
        self._write("processes", _PROCESSES, [{**self._process, "start_time": datetime.now(UTC)}])

    def log(self, target: str, message: str) -> None:
        """Keep one line; `flush` writes it."""
        now = datetime.now(UTC)
        self._pending.append({**self._process, "time": now, "target": target, "level": INFO, "msg": message})

    def flush(self) -> None:
        """Write what has been kept as one more file of `log_entries`."""
        pending, self._pending = self._pending, []
        if pending:
            self._write("log_entries", _LOG_ENTRIES, pending)

    def _write(self, name: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
        table = self._lake / name
        table.mkdir(parents=True, exist_ok=True)
        # Written beside the table and renamed into it: a query sees the whole file or none of it.
        unfinished = self._lake.parent / f"{uuid.uuid4()}.unfinished"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), unfinished)
        os.replace(unfinished, table / f"{uuid.uuid4()}.parquet")  # noqa: PTH105 - Path.replace reads as str.replace
