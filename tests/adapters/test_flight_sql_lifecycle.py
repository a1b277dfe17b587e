"""From the first batch to the one audit record, however a query ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.flight as flight
import pytest
from micromegas_server.flight_sql import execution
from micromegas_server.flight_sql.engine import Engine
from micromegas_server.flight_sql.messages import pack, statement_ticket
from support.flight_server import PATIENCE, FlightServer

ENDLESS = "SELECT value, repeat('x', 100) AS s FROM generate_series(1, 1000000000000)"
# Works for hours before its first batch
SILENT = (
    "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value + b.value > 0"
)


@pytest.fixture
def narrow(lake: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlightServer]:
    """A server that runs one query at a time, and lets another wait only long enough to see a place come back."""
    monkeypatch.setattr(execution, "MAX_QUERIES", 1)
    with FlightServer(lake, engine, max_wait_seconds=PATIENCE) as server:
        yield server


def start(server: FlightServer, sql: str, **options: float) -> flight.FlightStreamReader:
    return server.client.do_get(flight.Ticket(statement_ticket(sql)), server.options(**options))


def test_the_end(server: FlightServer) -> None:
    assert server.query("SELECT value FROM generate_series(1, 20000)").num_rows == 20_000
    record = server.records.only()
    assert (record["status"], record["rows"], record["auth"]) == ("ok", 20_000, "api_key")
    assert record["bytes"] >= 160_000
    assert record["peer"].startswith("ipv4:127.0.0.1:")
    assert "error" not in record


def test_a_client_that_stops_reading(narrow: FlightServer) -> None:
    """Its query ends, is recorded, and its place is free for the next."""
    for count in (1, 2):
        reader = start(narrow, ENDLESS)
        reader.read_chunk()
        reader.cancel()
        record = narrow.records.wait_for("cancelled", count)[-1]
        assert record["rows"] > 0
    assert narrow.column("SELECT 1") == [1]
    assert [record["status"] for record in narrow.records.all] == ["cancelled", "cancelled", "ok"]


def test_a_client_that_never_reads(narrow: FlightServer) -> None:
    start(narrow, ENDLESS).cancel()
    narrow.records.wait_for("cancelled")
    assert narrow.column("SELECT 1") == [1]


def test_a_client_that_goes_away(narrow: FlightServer) -> None:
    with flight.connect(narrow.location) as client:
        client.do_get(flight.Ticket(statement_ticket(ENDLESS)), narrow.options()).read_chunk()
    narrow.records.wait_for("cancelled")
    assert narrow.column("SELECT 1") == [1]


def test_a_deadline_before_the_first_batch(narrow: FlightServer) -> None:
    """The work ends too, not only the wait for it."""
    with pytest.raises(flight.FlightTimedOutError):
        start(narrow, SILENT, timeout=0.5).read_all()
    record = narrow.records.wait_for("cancelled")[0]
    assert record["rows"] == 0
    assert narrow.column("SELECT 1") == [1]


def test_a_deadline_in_the_middle(narrow: FlightServer) -> None:
    with pytest.raises(flight.FlightTimedOutError):
        start(narrow, ENDLESS, timeout=0.5).read_all()
    assert narrow.records.wait_for("cancelled")[0]["rows"] > 0
    assert narrow.column("SELECT 1") == [1]


def test_a_query_that_takes_long_is_known_before_it_ends(server: FlightServer) -> None:
    """A record with status=running, and one at its end, under the same id."""
    sql = "SELECT value, repeat('x', 1000) AS s FROM generate_series(1, 100000)"
    reader = start(server, sql)
    reader.read_chunk()
    (running,) = server.records.wait_for("running")  # the rest does not fit into the buffers between us and the server
    assert running["ms"] >= 1000
    rest = sum(chunk.data.num_rows for chunk in reader)
    (ended,) = server.records.wait_for("ok")
    assert ended["query_id"] == running["query_id"]
    assert 0 < rest < ended["rows"] == 100_000
    assert len(server.records.all) == len(server.records.wait_for("running")) == 1


def test_no_place(lake: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """UNAVAILABLE, which clients try again, for queries and for their plans; what runs is not disturbed."""
    monkeypatch.setattr(execution, "MAX_QUERIES", 1)
    with FlightServer(lake, engine, max_wait_seconds=0.05) as server:
        reader = start(server, ENDLESS)
        reader.read_chunk()
        assert "queries are running" in server.refusal("SELECT 1", flight.FlightUnavailableError)
        command = flight.FlightDescriptor.for_command(pack("CommandStatementQuery", query="SELECT 1"))
        with pytest.raises(flight.FlightUnavailableError, match="query_id="):
            server.client.get_flight_info(command, server.options())
        reader.read_chunk()
        reader.cancel()
        server.records.wait_for("cancelled")
        assert server.column("SELECT 1") == [1]


def test_failures_give_their_place_back(narrow: FlightServer) -> None:
    for sql in ("SELECT nonsense", "SELECT 1 / 0", "SELECT 1 / (value - value) FROM generate_series(1, 2)"):
        for _ in range(2):
            narrow.refusal(sql)
    narrow.refusal("SELECT 1", limit="nonsense")
    assert narrow.column("SELECT 1") == [1]


def test_an_error_in_the_middle_of_a_stream(server: FlightServer) -> None:
    """What was sent before it is counted."""
    # Near the end of many batches, because they come in any order: some come before the error.
    sql = "SELECT 1 / (990000 - value) FROM generate_series(1, 1000000)"
    reader = start(server, sql)
    with pytest.raises(flight.FlightServerError, match="Divide by zero") as caught:
        reader.read_all()
    record = server.records.only()
    assert (record["status"], f"(query_id={record['query_id']})" in str(caught.value)) == ("error", True)
    assert 0 < record["rows"] < 1_000_000
    server.assert_no_leak(str(caught.value))


def test_an_error_of_ours(server: FlightServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any exception in the generator: the client gets the id, the log the cause."""

    def broken(*_: object) -> None:
        raise ValueError("a secret of /srv/lake")

    monkeypatch.setattr("micromegas_server.flight_sql.engine.to_wire", broken)
    text = server.refusal("SELECT 1", flight.FlightInternalError)
    assert "secret" not in text
    assert server.records.only()["error"] == "a secret of /srv/lake"


def test_a_hundred_at_once(server: FlightServer) -> None:
    """Each gets its own answer, and its own record."""
    server.write("t", {"a": list(range(1000))})

    def one(number: int) -> list[int]:
        answer: list[int] = server.column(f"SELECT sum(a) + {number} FROM t")
        return answer

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(100)))
    assert answers == [[499_500 + number] for number in range(100)]
    records = server.records.wait_for("ok", 100)
    assert len({record["query_id"] for record in records}) == len({record["sql"] for record in records}) == 100


def test_planning_alone_leaves_no_record(server: FlightServer) -> None:
    command = flight.FlightDescriptor.for_command(pack("CommandStatementQuery", query="SELECT 1"))
    server.client.get_flight_info(command, server.options())
    assert server.records.all == []
