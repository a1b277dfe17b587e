"""Who ran what: one record for each executed query, as a line of text or of JSON."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from micromegas_auth.attribution import Caller
from micromegas_auth.privacy import Privacy
from micromegas_auth.text import fields

Status = Literal["ok", "error", "cancelled", "running"]
AuditFormat = Literal["text", "json"]

_logger = logging.getLogger("micromegas_auth")
_ALWAYS_QUOTED = frozenset({"sql", "name", "error"})


class AuditLog:
    """Writes the audit records of a server.

    A query gets its record when it ends; one that is still running after `running_after` seconds also gets one with
    `status=running`, so that a query which takes the server down with it is known.

    Args:
        write: Takes one complete line without its newline. It is called from several threads, and may raise OSError or
            ValueError, as writing to a stream does: the line then goes to the logger `micromegas_auth`.
        format: `text` (`execute_query user=... sql="..." ...`) or `json` (one object a line). Every byte a caller
            chose is escaped in both: a record is always exactly one line.
        privacy: How much is said of persons.
        clock: The time, in seconds since the epoch.
        running_after: After how many seconds a query is reported as still running.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        format: AuditFormat = "text",  # noqa: A002 - the word of the command line
        privacy: Privacy | None = None,
        clock: Callable[[], float] = time.time,
        running_after: float = 1.0,
    ) -> None:
        self._write = write
        self._format = format
        self._privacy = privacy if privacy is not None else Privacy()
        self._clock = clock
        self._running_after = running_after
        self._running: dict[str, QueryRecord] = {}
        self._busy = threading.Event()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._watcher_lock = threading.Lock()

    def start(
        self,
        caller: Caller,
        sql: str,
        *,
        time_range: str | None = None,
        limit: int | None = None,
        peer: str | None = None,
    ) -> "QueryRecord":
        """Begin the record of a query that `caller` runs.

        Args:
            caller: Who runs it, and for whom.
            sql: The whole text of the query.
            time_range: The time range it is bound to, as an ISO 8601 interval `begin/end`.
            limit: The number of rows it is bound to.
            peer: The network address of the client.

        Returns:
            The record; its owner must call `finish` exactly when the query ends, however it ends.
        """
        record = QueryRecord(self, caller, sql, time_range, limit, peer, self._clock())
        self._running[record.query_id] = record
        if not self._busy.is_set():
            self._wake_watcher()
        return record

    def close(self) -> None:
        """End the watching thread. Queries that still run are recorded with `status=running` if they were not yet."""
        self._closed.set()
        self._busy.set()
        self._report_running(0.0)

    def _wake_watcher(self) -> None:
        with self._watcher_lock:
            if self._watcher is None or not self._watcher.is_alive():  # not alive: this is a forked child
                self._watcher = threading.Thread(target=self._watch, name="micromegas-audit", daemon=True)
                self._watcher.start()
            self._busy.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            self._busy.wait()
            self._report_running(self._running_after)
            if not self._running:
                self._busy.clear()
                # A query may have begun between the look and the clearing: it found the event still set.
                if self._running:
                    self._busy.set()
            self._closed.wait(self._running_after / 4)

    def _report_running(self, after: float) -> None:
        now = self._clock()
        for record in list(self._running.values()):
            if now - record.started_at >= after:
                record.report_running()

    def forget(self, record: "QueryRecord") -> None:
        """The query has ended; used by QueryRecord."""
        self._running.pop(record.query_id, None)

    def emit(self, record: "QueryRecord", status: Status, rows: int, size: int, error: str | None) -> None:
        """Write one record; used by QueryRecord."""
        now = self._clock()
        pairs: list[tuple[str, object]] = [
            ("range", record.time_range),
            ("sql", record.sql),
            ("limit", record.limit),
            *self._privacy.fields(record.caller),
            ("peer", record.peer),
            ("status", status),
            ("error", error),
            ("rows", rows),
            ("bytes", size),
            ("ms", round((now - record.started_at) * 1000, 3)),
            ("query_id", record.query_id),
        ]
        if self._format == "json":
            time_text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
            document = {"time": time_text, "event": "execute_query", **{k: v for k, v in pairs if v is not None}}
            line = json.dumps(document)
        else:
            line = "execute_query " + fields(pairs, _ALWAYS_QUOTED)
        try:
            self._write(line)
        except (OSError, ValueError) as failure:  # a full disk, a closed stream: it goes to the other log there is
            _logger.critical("audit record not written (%s): %s", failure, line)


class QueryRecord:
    """The record of one running query, made by `AuditLog.start`.

    Attributes:
        query_id: 16 hexadecimal digits; every error the client gets for this query carries them.
    """

    __slots__ = (
        "_ended",
        "_lock",
        "_log",
        "_reported",
        "caller",
        "limit",
        "peer",
        "query_id",
        "sql",
        "started_at",
        "time_range",
    )

    def __init__(
        self,
        log: AuditLog,
        caller: Caller,
        sql: str,
        time_range: str | None,
        limit: int | None,
        peer: str | None,
        started_at: float,
    ) -> None:
        self._log = log
        self._lock = threading.Lock()  # so that no query is reported as running after its end
        self._ended = False
        self._reported = False
        self.caller = caller
        self.sql = sql
        self.time_range = time_range
        self.limit = limit
        self.peer = peer
        self.started_at = started_at
        self.query_id = os.urandom(8).hex()

    def finish(self, status: Status, *, rows: int = 0, size: int = 0, error: str | None = None) -> None:
        """Write the record. Only the first call writes one.

        Args:
            status: `ok`, `error` or `cancelled`.
            rows: How many rows were sent.
            size: How many bytes of Arrow buffers were sent.
            error: What failed, for the log.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._log.forget(self)
        self._log.emit(self, status, rows, size, error)

    def report_running(self) -> None:
        """Write a record with `status=running`, once, unless the query has ended."""
        with self._lock:
            if not self._ended and not self._reported:
                self._reported = True
                self._log.emit(self, "running", 0, 0, None)
