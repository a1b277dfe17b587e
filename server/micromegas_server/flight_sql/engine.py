"""The engine: DataFusion in process, over the tables of a lake, read-only."""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from datafusion import (
    DataFrame,
    RecordBatch,
    RecordBatchStream,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
    SQLOptions,
)
from datafusion.expr import Analyze, Explain

from micromegas_server.flight_sql.columns import to_wire, wire_schema
from micromegas_server.flight_sql.query import QueryHeaders
from micromegas_server.flight_sql.stacks import MAX_SQL_BYTES, deepen_stacks
from micromegas_server.flight_sql.tables import Tables, mount
from micromegas_server.lake import Lake

MAX_QUERIES = 64  # at once; gRPC itself starts a thread for each of any number of calls

_READ_ONLY = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
_LOOK_SECONDS = 0.25  # how often a query that has no batch yet looks whether its client is still there


class QueryError(Exception):
    """The query is at fault; the text is meant for whoever sent it."""


class TableUnreadable(Exception):
    """A table cannot be read now; the text is meant for whoever sent the query."""


class Cancelled(Exception):
    """Nobody waits for the result any more."""


class Engine:
    """Plans and runs SQL. Safe to use from any number of threads; one for a process.

    Args:
        lake: The tables.
    """

    def __init__(self, lake: Lake) -> None:
        deepen_stacks()
        # A join without a condition keeps as many of DataFusion's threads as there are cores, and lets go of them only
        # at its end. By default there are no more, and all other queries stall; among many the system shares the cores.
        os.environ.setdefault("TOKIO_WORKER_THREADS", str(max(64, 8 * (os.cpu_count() or 1))))
        self._readers = ThreadPoolExecutor(8, thread_name_prefix="lake")
        self._lake = lake
        half_of_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        runtime = RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(half_of_memory)
        # One session runs all queries: they share its memory limit and its cache of Parquet footers, and making one
        # with a limit costs 1.5 ms. Each is planned in a session of its own without one (0.1 ms), where the names of
        # tables mean what its time range lets it see.
        self._runner = SessionContext(SessionConfig(), runtime)
        # Files come and go while the server runs; a cached listing would not notice.
        self._runner.sql("SET datafusion.runtime.list_files_cache_limit = '0'").collect()
        mount(lake, self._runner)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="first-batches", daemon=True).start()

    def plan(self, sql: str, headers: QueryHeaders) -> "Plan":
        """Prepare a query.

        Args:
            sql: One statement that reads.
            headers: What it is bound to.

        Raises:
            QueryError: It cannot be parsed or planned, or would write.
            TableUnreadable: It needs a table that cannot be read now.
        """
        if len(sql) > MAX_SQL_BYTES or len(sql.encode()) > MAX_SQL_BYTES:
            raise QueryError(f"the query is longer than {MAX_SQL_BYTES} bytes")
        tables = Tables(self._lake, self._runner, self._readers, headers.time_range)
        session = SessionContext()
        catalog = session.catalog()
        catalog.deregister_schema("public")
        catalog.register_schema("public", tables)
        try:
            frame = session.sql_with_options(sql, _READ_ONLY)
            # An explanation has no rows to limit, and DataFusion refuses to try.
            if headers.limit is not None and not isinstance(frame.logical_plan().to_variant(), Explain | Analyze):
                frame = frame.limit(headers.limit)
            frame = self._runner.create_dataframe_from_logical_plan(frame.logical_plan())
            schema = wire_schema(frame.schema(), keep_dictionaries=headers.keep_dictionaries)
        except Exception as error:  # noqa: BLE001 - DataFusion raises plain Exceptions
            if tables.unreadable:
                raise TableUnreadable(f"table '{tables.unreadable[0]}' cannot be read now: try again later") from None
            raise _query_error(error) from None
        return Plan(schema, frame, self, session)

    def first(self, stream: RecordBatchStream, is_cancelled: Callable[[], bool]) -> RecordBatch:
        """The first batch of a stream.

        An aggregate or a sort does most of its work before it. A plain `next` could not be given up; here the work
        ends with the wait, as soon as DataFusion looks up from it.

        Raises:
            StopAsyncIteration: There is none.
            Cancelled: Nobody waits for it any more.
        """
        future = asyncio.run_coroutine_threadsafe(stream.__anext__(), self._loop)
        while True:
            try:
                return future.result(_LOOK_SECONDS)
            except TimeoutError:
                if is_cancelled():
                    future.cancel()
                    raise Cancelled from None


@dataclass(frozen=True)
class Plan:
    """A query that is ready to run.

    Attributes:
        schema: Of the result, exactly as `batches` sends it.
        frame: What DataFusion made of the query.
        engine: Runs it.
        session: In which it was planned; DataFusion wants it to live as long as the plan.
    """

    schema: pa.Schema
    frame: DataFrame
    engine: Engine
    session: SessionContext

    def batches(self, is_cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        """Run it.

        Args:
            is_cancelled: Whether the client has gone. Asked only until the first batch is there.

        Raises:
            QueryError: It fails for a cause that lies in the query, such as a division by zero.
            Cancelled: The client has gone.
        """
        # Not RecordBatchReader.from_stream, which is a little quicker: a panic inside DataFusion (`string_agg` over
        # more than 2 GiB) would end the process there.
        try:
            stream = self.frame.execute_stream()
            batch = self.engine.first(stream, is_cancelled)
            while True:
                yield from to_wire(batch.to_pyarrow(), self.schema)
                batch = next(stream)
        except (StopIteration, StopAsyncIteration):
            return
        except Exception as error:  # noqa: BLE001 - DataFusion raises plain Exceptions
            raise _query_error(error) from None


# What DataFusion puts in front of the error that matters
_AROUND = re.compile(
    r"\A(DataFusion error: |External error: |(Optimizer rule '\w+' failed|type_coercion)\s+caused by\s+)+"
)
# The kinds that lie in the query. All others (of files, of DataFusion itself) are nothing a client could mend, and may
# name what is none of its business.
_OF_THE_QUERY = re.compile(
    "SQL error: |Error during planning: |Schema error: |This feature is not implemented: |Execution error: "
    "|Resources exhausted: "
    "|Arrow error: (Cast|Compute|Parser|Divide by zero|Arithmetic overflow|Invalid argument) error"
)


def _query_error(error: Exception) -> Exception:
    """A QueryError where the query is at fault; else the error as it was, for the caller to hide."""
    if isinstance(error, pa.ArrowInvalid):  # of `to_wire`
        return QueryError(str(error))
    text = _AROUND.sub("", str(error))
    return QueryError(text) if _OF_THE_QUERY.match(text) else error
