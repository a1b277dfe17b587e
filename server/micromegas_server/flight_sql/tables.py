"""The names a query may use: the tables of the lake, each bound to the query's time range."""

import logging
from concurrent.futures import Executor
from urllib.parse import quote

import pyarrow as pa
from datafusion import DataFrame, SessionContext, col, lit
from datafusion.catalog import SchemaProvider, Table
from datafusion.object_store import LocalFileSystem

from micromegas_auth.text import quoted
from micromegas_server.flight_sql.query import TimeRange
from micromegas_server.lake import Lake, Snapshot

TIME_COLUMN = "time"

_NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_logger = logging.getLogger("micromegas_server")


def mount(lake: Lake, session: SessionContext) -> None:
    """Make `lake://tables/` in `session` stand for the lake.

    Files are named so in plans and errors, which go to clients: the machine's own paths never show.
    """
    session.register_object_store("lake://", LocalFileSystem(str(lake.folder)), host="tables")


class Tables(SchemaProvider):
    """Looks tables up as a query is planned, so that those that come and go are seen.

    Args:
        lake: Where they lie.
        session: Reads them; the lake is mounted in it.
        readers: DataFusion asks for a table from within its own runtime, where no call may block: these threads answer.
        time_range: What the `time` column of each table is bound to, where it has one that is a timestamp.

    Attributes:
        unreadable: The tables that were asked for and could not be read.
    """

    def __init__(self, lake: Lake, session: SessionContext, readers: Executor, time_range: TimeRange) -> None:
        self._lake = lake
        self._session = session
        self._readers = readers
        self._time_range = time_range
        self.unreadable: list[str] = []
        self._snapshots: list[Snapshot] = []  # kept until the query has ended, and with it this object

    @property
    def table_names(self) -> list[str]:  # type: ignore[override]  # what DataFusion's binding asks for, not its type
        """All tables, for information_schema."""
        return self._lake.tables()

    def table_exist(self, name: str) -> bool:
        """Whether there is such a table."""
        return self._lake.has_table(name)

    def table(self, name: str) -> Table | None:
        """The table, within the time range; None where there is none, or it cannot be read.

        One file that a writer has not finished is enough for the latter, and must not keep `SHOW TABLES` from listing
        the others.
        """
        if not self._lake.has_table(name):
            return None
        try:
            return self._readers.submit(self._open, name).result()
        except BaseException as error:  # noqa: BLE001 - a panic inside DataFusion is no Exception
            _logger.warning("table %s cannot be read: %s", quoted(name), quoted(str(error)))
            self.unreadable.append(name)
            return None

    def _open(self, name: str) -> Table:
        snapshot = self._lake.snapshot(name)
        self._snapshots.append(snapshot)
        frame = self._session.read_parquet(f"lake://tables/{quote(snapshot.path)}/")
        return Table(_bounded(frame, self._time_range))


def _bounded(frame: DataFrame, time_range: TimeRange) -> DataFrame:
    """The rows of a table within the range. The bounds are rounded into it, to the unit of the column."""
    schema = frame.schema()
    index = schema.get_field_index(TIME_COLUMN)
    if index < 0 or not pa.types.is_timestamp(kind := schema.field(index).type):
        return frame
    column, unit = col(f'"{TIME_COLUMN}"'), _NS_PER_UNIT[kind.unit]
    if time_range.begin is not None:
        frame = frame.filter(column >= lit(_time(-(-time_range.begin // unit), kind)))
    if time_range.end is not None:
        frame = frame.filter(column <= lit(_time(time_range.end // unit, kind)))
    return frame


def _time(value: int, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(min(max(value, -(2**63)), 2**63 - 1), kind)
