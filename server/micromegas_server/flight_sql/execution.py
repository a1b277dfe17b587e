"""From an authenticated request to the batches of its result, with one audit record however it ends."""

import logging
import threading
from collections.abc import Iterator
from typing import NoReturn, Self

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth import Caller
from micromegas_auth.audit import AuditLog, QueryRecord, Status
from micromegas_auth.text import quoted
from micromegas_server.flight_sql.engine import Engine, Plan, QueryError
from micromegas_server.flight_sql.query import QueryHeaders

MAX_QUERIES = 64  # at once; gRPC itself starts a thread for each of any number of calls
MAX_WAIT_SECONDS = 30.0
MAX_ERROR_LENGTH = 1000

_logger = logging.getLogger("micromegas_server")


class Executor:
    """Runs the queries of a server.

    Args:
        engine: Plans and runs SQL.
        audit: Where each query is recorded.
    """

    def __init__(self, engine: Engine, audit: AuditLog) -> None:
        self._engine = engine
        self._audit = audit
        self._places = threading.BoundedSemaphore(MAX_QUERIES)

    def execute(self, caller: Caller, sql: str, headers: QueryHeaders, peer: str) -> "Execution":
        """Plan a query and get ready to run it.

        Raises:
            flight.FlightError: It cannot be run; the text has the id of its audit record.
        """
        record = self._record(caller, sql, headers, peer)
        if not self._places.acquire(timeout=MAX_WAIT_SECONDS):
            record.finish("error", error="busy")
            raise flight.FlightUnavailableError(f"{MAX_QUERIES} queries are running: try again later")
        try:
            return Execution(self._plan(sql, headers), record, self._places)
        except Exception as error:  # noqa: BLE001 - every failure ends the record, and the client gets its id
            self._places.release()
            fail(error, record)

    def schema(self, caller: Caller, sql: str, headers: QueryHeaders, peer: str) -> pa.Schema:
        """The schema of a query's result. Planning alone is no execution, so only a failure is recorded.

        Raises:
            flight.FlightError: It cannot be planned; the text has the id of its audit record.
        """
        try:
            return self._plan(sql, headers).schema
        except Exception as error:  # noqa: BLE001 - as above
            fail(error, self._record(caller, sql, headers, peer))

    def _plan(self, sql: str, headers: QueryHeaders) -> Plan:
        return self._engine.plan(sql, headers.time_range, headers.limit, keep_dictionaries=headers.keep_dictionaries)

    def _record(self, caller: Caller, sql: str, headers: QueryHeaders, peer: str) -> QueryRecord:
        return self._audit.start(caller, sql, time_range=headers.time_range.text, limit=headers.limit, peer=peer)


class Execution:
    """A running query: an iterator of its batches.

    Attributes:
        schema: Of every batch.
    """

    def __init__(self, plan: Plan, record: QueryRecord, place: threading.BoundedSemaphore) -> None:
        self.schema = plan.schema
        self._batches: Iterator[pa.RecordBatch] = plan.batches()
        self._record = record
        self._place: threading.BoundedSemaphore | None = place
        self._rows = self._bytes = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._end("ok")
            raise
        except Exception as error:  # noqa: BLE001 - as in Executor
            self._release()
            fail(error, self._record, rows=self._rows, size=self._bytes)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        return batch

    def __del__(self) -> None:
        # pyarrow lets go of the stream as soon as its client has gone, before the first batch or in the middle.
        self._end("cancelled")

    def _end(self, status: Status) -> None:
        self._release()
        self._record.finish(status, rows=self._rows, size=self._bytes)

    def _release(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None


def fail(error: Exception, record: QueryRecord, *, rows: int = 0, size: int = 0) -> NoReturn:
    """Record that a query failed, and tell the client: why, where the query is at fault, else only its id.

    Raises:
        flight.FlightServerError: The query is at fault (UNKNOWN: see docs/decisions/flight-status-codes.md).
        flight.FlightInternalError: The server is.
    """
    text = quoted(str(error)[:MAX_ERROR_LENGTH])[1:-1]
    record.finish("error", rows=rows, size=size, error=text)
    if isinstance(error, QueryError):
        raise flight.FlightServerError(f"{text} (query_id={record.query_id})") from None
    _logger.error("query %s failed: %s: %s", record.query_id, type(error).__name__, text)
    raise flight.FlightInternalError(f"the query failed (query_id={record.query_id})") from None
