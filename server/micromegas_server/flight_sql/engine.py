"""The engine: DataFusion in process, over the tables of a lake, read-only."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from datafusion import (
    DataFrame,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
    SQLOptions,
    col,
    lit,
)
from datafusion.catalog import SchemaProvider, Table

from micromegas_server.flight_sql.query import TimeRange
from micromegas_server.lake import Lake

TIME_COLUMN = "time"
MAX_SQL_BYTES = 64 * 1024  # the planner recurses: far longer texts can exhaust the stack of its thread

_READ_ONLY = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
_NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class QueryError(Exception):
    """The query is at fault; the text is meant for whoever sent it."""


@dataclass(frozen=True)
class Plan:
    """A query that is ready to run.

    Attributes:
        schema: Of the result, exactly as `batches` sends it.
        frame: What DataFusion made of the query.
    """

    schema: pa.Schema
    frame: DataFrame

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Run it.

        Raises:
            QueryError: It fails for a cause that lies in the query, such as a division by zero.
        """
        try:
            for batch in self.frame.execute_stream():
                yield _cast(batch.to_pyarrow(), self.schema)
        except Exception as error:  # noqa: BLE001 - DataFusion raises plain Exceptions
            raise _query_error(error) from None


class Engine:
    """Plans and runs SQL. Safe to use from any number of threads.

    Args:
        lake: The tables.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        half_of_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        runtime = RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(half_of_memory)
        # One session runs every query, so that they share one memory limit. Each query is planned in a session of its
        # own (half a millisecond), in which the names of tables mean what its time range lets it see.
        self._runner = SessionContext(SessionConfig(), runtime)
        # Files come and go while the server runs; a cached listing would not notice.
        self._runner.sql("SET datafusion.runtime.list_files_cache_limit = '0'").collect()
        # DataFusion asks for tables from within its own runtime, where no call may block: other threads look them up.
        self._readers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lake")

    def plan(self, sql: str, time_range: TimeRange, limit: int | None, *, keep_dictionaries: bool = False) -> Plan:
        """Prepare a query.

        Args:
            sql: One statement that reads.
            time_range: What the `time` column of each table is bound to, where it has one.
            limit: At most so many rows, None for all.
            keep_dictionaries: Whether dictionary-encoded columns stay so.

        Raises:
            QueryError: It cannot be parsed or planned, or would write.
        """
        if len(sql.encode()) > MAX_SQL_BYTES:
            raise QueryError(f"the query is longer than {MAX_SQL_BYTES} bytes")
        session = SessionContext()
        tables = _Tables(self, time_range)
        catalog = session.catalog()
        catalog.deregister_schema("public")
        catalog.register_schema("public", tables)
        try:
            frame = session.sql_with_options(sql, _READ_ONLY)
            if limit is not None:
                frame = frame.limit(limit)
            frame = self._runner.create_dataframe_from_logical_plan(frame.logical_plan())
            return Plan(_plain_schema(frame.schema(), keep_dictionaries), frame)
        except Exception as error:  # noqa: BLE001 - DataFusion raises plain Exceptions
            raise _query_error(error) from None

    def table_names(self) -> list[str]:
        """The tables there are now."""
        return self._lake.tables()

    def table(self, name: str, time_range: TimeRange) -> Table | None:
        """One table, bound to a time range; None where there is none of that name."""
        return self._readers.submit(self._table, name, time_range).result()

    def _table(self, name: str, time_range: TimeRange) -> Table | None:
        folder = self._lake.location(name)
        if folder is None:
            return None
        frame = self._runner.read_parquet(f"{folder}/")
        schema = frame.schema()
        if TIME_COLUMN in schema.names and pa.types.is_timestamp(kind := schema.field(TIME_COLUMN).type):
            column = col(f'"{TIME_COLUMN}"')
            per_unit = _NS_PER_UNIT[kind.unit]
            if time_range.begin is not None:  # rounded towards the range: the smallest time of this unit within it
                frame = frame.filter(column >= lit(pa.scalar(-(-time_range.begin // per_unit), kind)))
            if time_range.end is not None:
                frame = frame.filter(column <= lit(pa.scalar(time_range.end // per_unit, kind)))
        return Table(frame)


class _Tables(SchemaProvider):
    """The names a query may use, looked up as it is planned."""

    def __init__(self, engine: Engine, time_range: TimeRange) -> None:
        self._engine = engine
        self._time_range = time_range

    def table_names(self) -> set[str]:
        return set(self._engine.table_names())

    def table_exist(self, name: str) -> bool:
        return name in self.table_names()

    def table(self, name: str) -> Table | None:
        return self._engine.table(name, self._time_range)


def _plain_schema(schema: pa.Schema, keep_dictionaries: bool) -> pa.Schema:
    """The schema in types that every client reads: Timestamp(ns), Utf8, Binary, no dictionaries unless wanted."""
    return pa.schema([field.with_type(_plain(field.type, keep_dictionaries)) for field in schema], schema.metadata)


def _plain(kind: pa.DataType, keep_dictionaries: bool) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind) and not keep_dictionaries:
        return _plain(kind.value_type, keep_dictionaries)
    return kind


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _query_error(error: Exception) -> Exception:
    """A QueryError where the query is at fault; else the error as it was, for the caller to hide."""
    text = str(error).removeprefix("DataFusion error: ")
    known = any(text.startswith(prefix) for prefix in _OF_THE_QUERY)
    return QueryError(text) if known else error


_OF_THE_QUERY: tuple[str, ...] = (
    "Error during planning:",
    "SQL error:",
    "Schema error:",
    "This feature is not implemented:",
    "Arrow error:",
    "External error: Arrow error:",
    "Execution error:",
    "Resources exhausted:",
    "Optimizer rule",
    "type_coercion",
)
