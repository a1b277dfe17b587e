"""The Flight SQL server in this process, over a real socket, with its audit records at hand."""

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest
from micromegas_server.flight_sql.engine import Engine
from micromegas_server.flight_sql.execution import MAX_WAIT_SECONDS, Executor
from micromegas_server.flight_sql.messages import statement_ticket
from micromegas_server.flight_sql.service import FlightSqlServer

from micromegas_auth import AuthConfig, build_authenticator
from micromegas_auth.audit import AuditLog

API_KEY = "an-api-key-of-more-than-16-bytes"
PATIENCE = 20.0  # seconds until a test that waits for an event gives up


class Records:
    """Takes the audit's JSON lines, and can be waited for."""

    def __init__(self) -> None:
        self.flush: Callable[[], None] = lambda: None  # of the log, which gathers what it writes
        self._ended: list[dict[str, Any]] = []
        self._running: list[dict[str, Any]] = []
        self._news = threading.Condition()

    @property
    def all(self) -> list[dict[str, Any]]:
        """Those of queries that have ended. On a busy machine any query may also have one with status=running."""
        self.flush()
        return self._ended

    def __call__(self, lines: str) -> None:
        with self._news:
            for record in map(json.loads, lines.split("\n")):
                (self._running if record["status"] == "running" else self._ended).append(record)
            self._news.notify_all()

    def wait_for(self, status: str, count: int = 1) -> list[dict[str, Any]]:
        """The records with this status, once there are `count` of them."""
        with self._news:
            done = self._news.wait_for(lambda: len(self._with(status)) >= count, PATIENCE)
        assert done, f"{len(self._with(status))} of {count} records with status={status}: {self.all}"
        return self._with(status)

    def only(self) -> dict[str, Any]:
        """The one record there is."""
        assert len(self.all) == 1, self.all
        return self.all[0]

    def _with(self, status: str) -> list[dict[str, Any]]:
        return [record for record in (*self._ended, *self._running) if record["status"] == status]


class FlightServer:
    """A context manager: a server on a free port of 127.0.0.1, which knows API_KEY as `grafana`.

    Args:
        folder: The lake that `engine` reads. At the end all tables in it are removed.
        engine: One for the whole process.
        max_wait_seconds: How long a query waits for a place.
    """

    def __init__(self, folder: Path, engine: Engine, max_wait_seconds: float = MAX_WAIT_SECONDS) -> None:
        self.folder = folder
        self.records = Records()
        self._audit = AuditLog(self.records, format="json")
        self.records.flush = self._audit.flush
        config = AuthConfig.model_validate({"api_keys": [{"name": "grafana", "key": API_KEY}]})
        self._authenticator = build_authenticator(config)
        self.executor = Executor(engine, self._audit, max_wait_seconds=max_wait_seconds)
        self._server = FlightSqlServer("grpc://127.0.0.1:0", self.executor, self._authenticator)
        self.location = f"grpc://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self.client = flight.connect(self.location)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.shutdown()
        self._authenticator.close()
        self._audit.close()
        for table in self.folder.iterdir():
            shutil.rmtree(table)

    def write(self, name: str, table: pa.Table | dict[str, Any], file: str = "1.parquet") -> Path:
        """Put a file into a table."""
        path = self.folder / name / file
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
        return path

    def options(self, *, timeout: float = PATIENCE, **headers: str) -> flight.FlightCallOptions:
        """Call options with the API key and these headers (`x_org_id` is `x-org-id`; query_range_* stay)."""
        named = {
            name if name.startswith("query_") or name == "preserve_dictionary" else name.replace("_", "-"): value
            for name, value in headers.items()
        }
        pairs = {"authorization": f"Bearer {API_KEY}", **named}
        return flight.FlightCallOptions(
            timeout=timeout, headers=[(name.encode(), value.encode()) for name, value in pairs.items()]
        )

    def query(self, sql: str, **headers: str) -> pa.Table:
        """The answer to a query, as the micromegas client asks."""
        return self.client.do_get(flight.Ticket(statement_ticket(sql)), self.options(**headers)).read_all()

    def column(self, sql: str, **headers: str) -> list[Any]:
        """The first column of the answer."""
        values: list[Any] = self.query(sql, **headers).column(0).to_pylist()
        return values

    def refusal(self, sql: str, kind: type[flight.FlightError] = flight.FlightServerError, **headers: str) -> str:
        """The text a client gets for a query that must fail with exactly `kind`. It leaks nothing and is on record."""
        before = len(self.records.all)
        with pytest.raises(flight.FlightError) as caught:
            self.query(sql, **headers)
        text = str(caught.value)
        assert type(caught.value) is kind, text
        (record,) = self.records.all[before:]
        assert (record["status"], record["sql"]) == ("error", sql)
        assert f"(query_id={record['query_id']})" in text
        self.assert_no_leak(text)
        return text

    def assert_no_leak(self, text: str) -> None:
        """Nothing of the server's inside may be in a text that a client gets."""
        for inside in ("Traceback", ".py", str(self.folder), "panicked", "Internal error"):
            assert inside not in text

    @contextlib.contextmanager
    def adbc(self, **options: str) -> Iterator[Any]:
        """A cursor of the ADBC driver, logged in with the API key."""
        arguments = {"adbc.flight.sql.authorization_header": f"Bearer {API_KEY}", **options}
        with (
            flight_sql.connect(self.location, db_kwargs=arguments, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor
