"""Deep statements: DataFusion recurses, and a stack that overflows would end the server's process."""

from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest
from micromegas_server.flight_sql.messages import statement_ticket
from micromegas_server.flight_sql.stacks import MAX_SQL_BYTES
from support.processes import ServerProcess


def filled(head: str, unit: str, tail: str, closing: str = "") -> str:
    """A statement of MAX_SQL_BYTES, nested as deeply as its units allow."""
    depth = (MAX_SQL_BYTES - len(head) - len(tail)) // (len(unit) + len(closing))
    return head + unit * depth + tail + closing * depth


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(filled("SELECT ", "(", "1", ")"), id="parentheses"),
        pytest.param(filled("SELECT ", "NOT ", "true"), id="NOT"),
        pytest.param(filled("SELECT ", "- ", "1"), id="minus"),
        pytest.param(filled("SELECT ", "[", "1", "]"), id="arrays"),
        pytest.param(filled("SELECT ", "CASE WHEN true THEN ", "1", " END"), id="CASE"),
        pytest.param(filled("SELECT ", "abs(", "1", ")"), id="functions"),
        pytest.param(filled("", "(SELECT * FROM ", "t", ")"), id="subqueries"),
        pytest.param(filled("SELECT ", "INTERVAL ", "'1 day'"), id="INTERVAL"),
        pytest.param(filled("", "EXPLAIN ", "SELECT 1"), id="EXPLAIN"),
        pytest.param(filled("SELECT 1", "::INT", ""), id="casts"),
        pytest.param(filled("SELECT a", ".a", " FROM t"), id="dots"),
        pytest.param(filled("SELECT 1 FROM t", ",t", ""), id="cross joins"),
    ],
)
def test_the_server_survives(tmp_path: Path, sql: str) -> None:
    """It answers or refuses, and answers the next query too."""
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t" / "1.parquet")
    arguments = ("--listen", "127.0.0.1:0", "--lake", tmp_path, "--disable-auth")
    with ServerProcess("flight-sql-srv", *arguments) as process:
        location = process.wait_for(r"listening on (grpc://\S+)")[1]
        with flight.connect(location) as client:
            try:
                client.do_get(flight.Ticket(statement_ticket(sql))).read_all()
            except flight.FlightServerError as refused:
                assert "query_id=" in str(refused)  # noqa: PT017 - either is right
            assert client.do_get(flight.Ticket(statement_ticket("SELECT 1"))).read_all().num_rows == 1
        assert process.terminate() == 0
