"""The types of a result: those that every client reads, and the same in the announced schema as in what is sent."""

from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from micromegas_server.flight_sql.messages import pack
from support.flight_server import FlightServer

STRUCT = pa.struct([("s", pa.string()), ("t", pa.timestamp("ms", "UTC")), ("l", pa.list_(pa.string()))])
MAP = pa.map_(pa.string(), pa.timestamp("us"))
COLUMNS: dict[str, pa.Array] = {
    "i": pa.array([1, 2], pa.int64()),
    "u": pa.array([None, 2**64 - 1], pa.uint64()),
    "f": pa.array([float("inf"), None], pa.float32()),
    "d": pa.array([1, None], pa.decimal128(20, 3)),
    "t": pa.array([True, None]),
    "none": pa.nulls(2),
    "utf8": pa.array(["é", None]),
    "large_utf8": pa.array(["a", "b"], pa.large_string()),
    "utf8_view": pa.array(["a", "longer than the twelve bytes a view holds"], pa.string_view()),
    "binary": pa.array([b"\0", None], pa.binary()),
    "binary_view": pa.array([b"a", b"b"], pa.binary_view()),
    "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
    "dictionary": pa.array(["a", "a"]).dictionary_encode(),
    "date": pa.array([1, None], pa.date32()),
    "time32": pa.array([1, None], pa.time32("ms")),
    "s": pa.array([1, None], pa.timestamp("s")),
    "ms": pa.array([1, None], pa.timestamp("ms")),
    "us": pa.array([1, None], pa.timestamp("us")),
    "ns": pa.array([1, None], pa.timestamp("ns")),
    "ms_utc": pa.array([1, None], pa.timestamp("ms", "UTC")),
    "ns_zone": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
    "list": pa.array([["a"], None]),
    "list_of_times": pa.array([[1, None], []], pa.list_(pa.timestamp("us"))),
    "fixed_list": pa.array([["a", "b"], ["c", None]], pa.list_(pa.string(), 2)),
    "struct": pa.array([{"s": "a", "t": 1, "l": ["x"]}, None], STRUCT),
    "map": pa.array([[("k", 1)], None], MAP),
}
PLAIN = {
    "large_utf8": pa.string(),
    "utf8_view": pa.string(),
    "binary_view": pa.binary(),
    "dictionary": pa.string(),
    **dict.fromkeys(("s", "ms", "us"), pa.timestamp("ns")),
    "ms_utc": pa.timestamp("ns", "UTC"),
}


def announced(server: FlightServer, sql: str, **headers: str) -> pa.Schema:
    """What GetFlightInfo says before the query runs."""
    command = flight.FlightDescriptor.for_command(pack("CommandStatementQuery", query=sql))
    return server.client.get_flight_info(command, server.options(**headers)).schema


def result(server: FlightServer, sql: str, **headers: str) -> pa.Table:
    """The answer to a query, once it has been held against what was announced."""
    table = server.query(sql, **headers)
    assert table.schema.equals(announced(server, sql, **headers), check_metadata=True)
    table.validate(full=True)
    return table


def leaves(kind: pa.DataType) -> list[pa.DataType]:
    """The types within a type."""
    if pa.types.is_dictionary(kind):
        return [kind, *leaves(kind.value_type)]
    if not pa.types.is_nested(kind):
        return [kind]
    return [leaf for index in range(kind.num_fields) for leaf in leaves(kind.field(index).type)]


def assert_plain(schema: pa.Schema) -> None:
    """No views, no large strings, no time but in nanoseconds."""
    for leaf in (leaf for field in schema for leaf in leaves(field.type)):
        assert leaf not in (pa.string_view(), pa.large_string(), pa.binary_view(), pa.large_binary())
        assert not pa.types.is_timestamp(leaf) or leaf.unit == "ns"


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", ["all", "none", "null"])
def test_a_column(server: FlightServer, name: str, rows: str) -> None:
    """As it was written, whether there are rows or none, values or none."""
    column = {"all": COLUMNS[name], "none": COLUMNS[name][:0], "null": pa.nulls(2, COLUMNS[name].type)}[rows]
    server.write("t", {"c": column})
    table = result(server, "SELECT c FROM t")
    assert_plain(table.schema)
    expected = PLAIN.get(name, column.type)
    if not pa.types.is_nested(expected):
        assert table.schema.field("c").type == expected
        assert table.column(0).combine_chunks().equals(column.cast(expected))
    else:
        assert str(table.column(0).to_pylist()) == str(wide(column).to_pylist())


def wide(column: pa.Array) -> pa.Array:
    """A nested column with its times in nanoseconds, which `to_pylist` then shows in the same way."""
    if pa.types.is_struct(column.type):
        fields = [field.with_type(pa.timestamp("ns", "UTC")) if field.name == "t" else field for field in column.type]
        return column.cast(pa.struct(fields))
    if pa.types.is_map(column.type):
        return column.cast(pa.map_(pa.string(), pa.timestamp("ns")))
    return column.cast(pa.list_(pa.timestamp("ns"))) if column.type == pa.list_(pa.timestamp("us")) else column


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("array_agg(utf8)", ["é", None]),
        ("array_agg(utf8_view)", ["a", "longer than the twelve bytes a view holds"]),
        ("make_array(min(utf8_view), 'x')", ["a", "x"]),
        ("named_struct('v', min(utf8_view), 'n', named_struct('w', max(dictionary)))", {"v": "a", "n": {"w": "a"}}),
        ("array_agg(named_struct('v', utf8_view))", [{"v": "a"}, {"v": "longer than the twelve bytes a view holds"}]),
        ("array_agg(dictionary)", ["a", "a"]),
        ("arrow_cast(['a'], 'LargeList(Utf8View)')", ["a"]),
        ("map(['k'], [arrow_cast('v', 'Utf8View')])", [("k", "v")]),
        ("arrow_cast('a', 'Dictionary(Int8, Utf8View)')", "a"),
        ("string_agg(utf8_view, '' ORDER BY i DESC)", "longer than the twelve bytes a view holdsa"),
    ],
)
def test_what_sql_makes(server: FlightServer, expression: str, value: Any) -> None:
    server.write("t", COLUMNS)
    table = result(server, f"SELECT {expression} AS c FROM t LIMIT 1")
    assert_plain(table.schema)
    assert table.column(0).to_pylist() == [value]
    assert result(server, f"SELECT * FROM (SELECT {expression} AS c FROM t) WHERE c IS NULL").num_rows == 0


def test_dictionaries_for_who_wants_them(server: FlightServer) -> None:
    """At any depth, over many batches that do not share a dictionary, through either client."""
    names = [f"n{i // 10_000}" for i in range(50_000)]
    server.write("t", {"i": range(50_000), "d": pa.array(names).dictionary_encode()})
    sql = "SELECT d, [d] AS l, {'d': d} AS s FROM t ORDER BY i"
    table = result(server, sql, preserve_dictionary="true")
    kinds = [leaf for field in table.schema for leaf in leaves(field.type)]
    assert kinds == [pa.dictionary(pa.int32(), pa.string()), pa.string()] * 3
    with server.adbc(**{"adbc.flight.sql.rpc.call_header.preserve_dictionary": "true"}) as cursor:
        cursor.execute(sql)
        for answer in (table, cursor.fetch_arrow_table()):
            assert answer.column("d").to_pylist() == names
            assert answer.column("l").to_pylist() == [[name] for name in names]
            assert answer.column("s").to_pylist() == [{"d": name} for name in names]
    assert result(server, f"SELECT * FROM ({sql}) WHERE d = 'x'", preserve_dictionary="true").num_rows == 0


def test_no_dictionaries_for_others(server: FlightServer) -> None:
    server.write("t", COLUMNS)
    for headers in ({}, {"preserve_dictionary": "false"}):
        table = result(server, "SELECT dictionary FROM t", **headers)
        assert table.schema.field("dictionary").type == pa.string()


def test_a_time_that_nanoseconds_cannot_hold(server: FlightServer) -> None:
    """Timestamp(ns) ends in 2262: the query fails, and says why."""
    server.write("t", {"c": pa.array([253402300800], pa.timestamp("s"))})
    assert "253402300800" in server.refusal("SELECT c FROM t")


def test_metadata_and_nullability_survive(server: FlightServer) -> None:
    field = pa.field("c", pa.string_view(), nullable=False, metadata={"unit": "ms"})
    server.write("t", pa.Table.from_arrays([pa.array(["a"], pa.string_view())], schema=pa.schema([field])))
    (found,) = result(server, "SELECT c FROM t").schema
    assert (found.type, found.nullable) == (pa.string(), False)


def test_many_batches_and_large_rows(server: FlightServer) -> None:
    """More rows than a batch holds, and more bytes than a message of gRPC may have."""
    server.write("t", {"i": range(100_000), "s": ["x" * 200] * 100_000})
    assert result(server, "SELECT i FROM t ORDER BY i").column(0).to_pylist() == list(range(100_000))
    with server.adbc() as cursor:
        cursor.execute("SELECT i, s FROM t")
        table = cursor.fetch_arrow_table()
        assert (table.num_rows, table.nbytes > 20_000_000) == (100_000, True)
        cursor.execute("SELECT repeat('x', 3000000) AS s")
        assert len(cursor.fetchall()[0][0]) == 3_000_000


def test_columns_that_share_a_name(server: FlightServer) -> None:
    server.write("t", {"a": [1]})
    server.write("u", {"a": [2]})
    table = result(server, "SELECT t.a, u.a FROM t, u")
    assert [column.to_pylist() for column in table.columns] == [[1], [2]]
