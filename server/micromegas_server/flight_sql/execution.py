"""From an authenticated request to the batches of its result, with one audit record however it ends."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, Self

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth import Caller
from micromegas_auth.audit import AuditLog, QueryRecord, Status
from micromegas_auth.text import quoted
from micromegas_server.flight_sql.engine import (
    MAX_QUERIES,
    Cancelled,
    Engine,
    Plan,
    QueryError,
    TableUnreadable,
)
from micromegas_server.flight_sql.query import HeaderError, QueryHeaders, RawHeaders, read_headers
from micromegas_server.flight_sql.stacks import MAX_SQL_BYTES

MAX_WAIT_SECONDS = 30.0
# An error travels as metadata, of which gRPC takes 8 KiB: percent-encoded, and once more in base64.
MAX_ERROR_BYTES = 1000

_logger = logging.getLogger("micromegas_server")


class Busy(Exception):
    """The server runs as many queries as it may."""


class Executor:
    """Runs the queries of a server.

    Args:
        engine: Plans and runs SQL.
        audit: Where each query is recorded.
        max_wait_seconds: How long a query waits while MAX_QUERIES others run.
    """

    def __init__(self, engine: Engine, audit: AuditLog, *, max_wait_seconds: float = MAX_WAIT_SECONDS) -> None:
        self._engine = engine
        self._audit = audit
        self._max_wait_seconds = max_wait_seconds
        self._places = threading.BoundedSemaphore(MAX_QUERIES)

    def execute(
        self, caller: Caller, sql: str, headers: RawHeaders, peer: str, is_cancelled: Callable[[], bool]
    ) -> "Execution":
        """Plan a query and get ready to run it.

        Raises:
            flight.FlightError: It cannot be run; the text has the id of its audit record.
        """
        bounds = self._bounds(caller, sql, headers, peer)
        record = self._record(caller, sql, bounds, peer)
        try:
            place = self._place()
        except Busy as error:
            fail(error, record)
        try:
            return Execution(self._engine.plan(sql, bounds), record, place, is_cancelled)
        except BaseException as error:  # noqa: BLE001 - every failure ends the record, and the client gets its id
            place.release()
            fail(error, record)

    def schema(self, caller: Caller, sql: str, headers: RawHeaders, peer: str) -> pa.Schema:
        """The schema of a query's result. Planning alone is no execution, so only a failure is recorded.

        Raises:
            flight.FlightError: It cannot be planned; the text has the id of its audit record.
        """
        bounds = self._bounds(caller, sql, headers, peer)
        try:
            with self._held():
                return self._engine.plan(sql, bounds).schema
        except BaseException as error:  # noqa: BLE001 - as above
            fail(error, self._record(caller, sql, bounds, peer))

    def _bounds(self, caller: Caller, sql: str, headers: RawHeaders, peer: str) -> QueryHeaders:
        try:
            return read_headers(headers)
        except HeaderError as error:
            fail(error, self._record(caller, sql, QueryHeaders(), peer))

    def _place(self) -> threading.BoundedSemaphore:
        if not self._places.acquire(timeout=self._max_wait_seconds):
            raise Busy(f"{MAX_QUERIES} queries are running: try again later")
        return self._places

    @contextmanager
    def _held(self) -> Iterator[None]:
        place = self._place()
        try:
            yield
        finally:
            place.release()

    def _record(self, caller: Caller, sql: str, bounds: QueryHeaders, peer: str) -> QueryRecord:
        sql = sql[:MAX_SQL_BYTES]  # what is longer never runs, and must not fill the disk either
        return self._audit.start(caller, sql, time_range=bounds.time_range.text, limit=bounds.limit, peer=peer)


class Execution:
    """A running query: an iterator of its batches, each as a table.

    Attributes:
        schema: Of every batch.
    """

    def __init__(
        self, plan: Plan, record: QueryRecord, place: threading.BoundedSemaphore, is_cancelled: Callable[[], bool]
    ) -> None:
        self.schema = plan.schema
        self._batches: Iterator[pa.RecordBatch] = plan.batches(is_cancelled)
        self._record = record
        self._place: threading.BoundedSemaphore | None = place
        self._rows = self._bytes = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.Table:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._end("ok")
            raise
        except Cancelled:
            self._end("cancelled")
            raise flight.FlightCancelledError("the client has gone") from None
        except BaseException as error:  # noqa: BLE001 - as in Executor; a panic inside DataFusion is no Exception
            self._release()
            fail(error, self._record, rows=self._rows, size=self._bytes)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        return pa.Table.from_batches([batch])  # pyarrow would send a bare batch without its dictionaries

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


def fail(error: BaseException, record: QueryRecord, *, rows: int = 0, size: int = 0) -> NoReturn:
    """Record that a query failed, and tell the client: why, where it is meant to know, else only its id.

    Raises:
        flight.FlightServerError: The query is at fault (UNKNOWN: see docs/decisions/flight-status-codes.md).
        flight.FlightUnavailableError: The same query may succeed later.
        flight.FlightInternalError: The server is at fault.
    """
    text = str(error)[:MAX_ERROR_BYTES]
    record.finish("error", rows=rows, size=size, error=text)
    public = f"{_one_line(text)} (query_id={record.query_id})"
    match error:
        case QueryError() | HeaderError():
            raise flight.FlightServerError(public) from None
        case TableUnreadable() | Busy():
            raise flight.FlightUnavailableError(public) from None
        case _:
            name = type(error).__name__
            _logger.error("query failed: query_id=%s error=%s detail=%s", record.query_id, name, quoted(text))
            raise flight.FlightInternalError(f"the query failed (query_id={record.query_id})") from None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line.isprintable():
        line = quoted(line)[1:-1]
    return line.encode()[:MAX_ERROR_BYTES].decode(errors="ignore")
