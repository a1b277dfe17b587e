"""What ADBC and bare pyarrow do, and what they may not."""

import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from adbc_driver_manager import Error as AdbcError
from micromegas_server.flight_sql.messages import pack, statement_ticket, unpack
from support.flight_server import FlightServer

SQL = "SELECT a, b FROM t ORDER BY a"
ROWS = {"a": [1, 2, 3], "b": ["x", None, "z"]}


@pytest.fixture(autouse=True)
def _table(server: FlightServer) -> None:
    server.write("t", ROWS)


def test_adbc_execute(server: FlightServer) -> None:
    """A prepared statement, made, described, run and closed."""
    with server.adbc() as cursor:
        cursor.execute(SQL)
        assert cursor.fetch_arrow_table().to_pydict() == ROWS
        cursor.execute("SELECT count(*) FROM t WHERE a > 1")
        assert cursor.fetchall() == [(2,)]
    first, second = server.records.all
    assert (first["status"], first["rows"], first["sql"], first["user"]) == ("ok", 3, SQL, "grafana")
    assert (second["status"], second["rows"]) == ("ok", 1)
    assert first["bytes"] > 0


def test_adbc_execute_query(server: FlightServer) -> None:
    """GetFlightInfo and DoGet, as Grafana does."""
    with server.adbc() as cursor, adbc_driver_manager.AdbcStatement(cursor.connection.adbc_connection) as statement:
        statement.set_sql_query(SQL)
        stream, _ = statement.execute_query()
        assert pa.RecordBatchReader.from_stream(stream).read_all().to_pydict() == ROWS
    assert server.records.only()["status"] == "ok"


def test_adbc_errors(server: FlightServer) -> None:
    with server.adbc() as cursor:
        with pytest.raises(AdbcError, match="nosuch") as caught:
            cursor.execute("SELECT * FROM nosuch")
        record = server.records.only()
        assert record["status"] == "error"
        assert f"(query_id={record['query_id']})" in str(caught.value)
        server.assert_no_leak(str(caught.value))
        cursor.execute(SQL)
        assert len(cursor.fetchall()) == 3


@pytest.mark.parametrize(
    "use",
    [
        lambda cursor: cursor.connection.adbc_get_objects().read_all(),
        lambda cursor: cursor.connection.adbc_get_table_types(),
        lambda cursor: cursor.executescript("SELECT 1"),
        lambda cursor: cursor.adbc_ingest("t", pa.table(ROWS)),
        lambda cursor: cursor.execute("SELECT ?", (1,)),
    ],
)
def test_what_is_not_supported_says_so(server: FlightServer, use: object) -> None:
    with server.adbc() as cursor:
        with pytest.raises(AdbcError) as caught:
            use(cursor)  # type: ignore[operator]
        server.assert_no_leak(str(caught.value))
        cursor.execute(SQL)  # the connection is none the worse
        assert len(cursor.fetchall()) == 3


def test_flight_info_leads_to_the_result(server: FlightServer) -> None:
    for command in (
        pack("CommandStatementQuery", query=SQL),
        pack("CommandPreparedStatementQuery", prepared_statement_handle=SQL.encode()),
    ):
        descriptor = flight.FlightDescriptor.for_command(command)
        info = server.client.get_flight_info(descriptor, server.options())
        (endpoint,) = info.endpoints
        table = server.client.do_get(endpoint.ticket, server.options()).read_all()
        assert table.to_pydict() == ROWS
        assert table.schema == info.schema
        assert endpoint.locations == []
        assert (info.total_records, info.total_bytes) == (-1, -1)


def test_a_prepared_statement(server: FlightServer) -> None:
    request = pack("ActionCreatePreparedStatementRequest", query=SQL)
    (answer,) = server.client.do_action(flight.Action("CreatePreparedStatement", request), server.options())
    name, result = unpack(answer.body.to_pybytes())
    assert name == "ActionCreatePreparedStatementResult"
    schema = pa.ipc.read_schema(pa.py_buffer(result.dataset_schema))
    ticket = pack("CommandPreparedStatementQuery", prepared_statement_handle=result.prepared_statement_handle)
    table = server.client.do_get(flight.Ticket(ticket), server.options()).read_all()
    assert table.schema == schema
    assert table.to_pydict() == ROWS
    close = pack("ActionClosePreparedStatementRequest", prepared_statement_handle=result.prepared_statement_handle)
    assert list(server.client.do_action(flight.Action("ClosePreparedStatement", close), server.options())) == []
    assert len(server.records.all) == 1


def test_actions_are_listed(server: FlightServer) -> None:
    listed = {action.type for action in server.client.list_actions(server.options())}
    assert listed == {"CreatePreparedStatement", "ClosePreparedStatement"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"SELECT 1",
        statement_ticket("SELECT 1")[:-1],
        statement_ticket("SELECT 1").replace(b"arrow.flight", b"marrow.fligh"),
        pack("TicketStatementQuery", statement_handle=b"\xff\xfe"),
        pack("ActionClosePreparedStatementRequest", prepared_statement_handle=b"SELECT 1"),
        pack("CommandStatementQuery", query="SELECT 1").replace(b"CommandStatementQuery", b"CommandStatementNever"),
    ],
)
def test_tickets_that_are_none(server: FlightServer, raw: bytes) -> None:
    """A text of ours for each, and no record, since there was no query."""
    for call in (
        lambda: server.client.do_get(flight.Ticket(raw), server.options()).read_all(),
        lambda: server.client.get_flight_info(flight.FlightDescriptor.for_command(raw), server.options()),
        lambda: list(server.client.do_action(flight.Action("CreatePreparedStatement", raw), server.options())),
    ):
        with pytest.raises(flight.FlightServerError, match=r"not a message of Flight SQL|not supported") as caught:
            call()
        server.assert_no_leak(str(caught.value))
    assert server.records.all == []


def test_calls_that_are_not_supported(server: FlightServer) -> None:
    path = flight.FlightDescriptor.for_path("t")
    schema = pa.schema([("a", pa.int64())])

    def put() -> None:
        writer, _ = server.client.do_put(path, schema, server.options())
        writer.write_table(pa.table({"a": [1]}))
        writer.close()

    def exchange() -> None:
        writer, reader = server.client.do_exchange(path, server.options())
        with writer:
            writer.done_writing()
            reader.read_all()

    for call in (
        put,
        exchange,
        lambda: list(server.client.list_flights(b"", server.options())),
        lambda: server.client.get_flight_info(path, server.options()),
        lambda: list(server.client.do_action("Nonsense", server.options())),
        lambda: list(server.client.do_action("CloseSession", server.options())),
    ):
        with pytest.raises(flight.FlightServerError, match=r"not supported|not a message of Flight SQL") as caught:
            call()
        server.assert_no_leak(str(caught.value))


def test_get_schema(server: FlightServer) -> None:
    """pyarrow's server would send any error of its handler with a traceback; its client knows no FlightError here."""
    command = flight.FlightDescriptor.for_command(pack("CommandStatementQuery", query="SELECT nonsense"))
    with pytest.raises(OSError, match="not supported") as unsupported:
        server.client.get_schema(command, server.options())
    server.assert_no_leak(str(unsupported.value))
    with pytest.raises(OSError, match="unauthenticated: send one valid API key") as refused:
        server.client.get_schema(command)
    server.assert_no_leak(str(refused.value))


def test_nobody_gets_in_without_a_credential(server: FlightServer) -> None:
    """Not through any call there is."""
    command = flight.FlightDescriptor.for_command(pack("CommandStatementQuery", query=SQL))
    for call in (
        lambda: server.client.do_get(flight.Ticket(statement_ticket(SQL))).read_all(),
        lambda: server.client.get_flight_info(command),
        lambda: list(server.client.do_action("CreatePreparedStatement")),
        lambda: list(server.client.list_actions()),
        lambda: list(server.client.list_flights()),
        lambda: server.client.do_put(command, pa.schema([]))[0].close(),
        lambda: server.client.do_exchange(command)[1].read_all(),
    ):
        with pytest.raises(flight.FlightUnauthenticatedError, match="unauthenticated: send one valid API key"):
            call()
    assert server.records.all == []
