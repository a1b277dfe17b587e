"""`query_range_begin`, `query_range_end` and `limit`: what of the tables a query sees."""

import json
from typing import Any

import pyarrow as pa
import pytest
from support.flight_server import FlightServer

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
BEGIN, END = "2026-01-01T00:00:02Z", "2026-01-01T00:00:04Z"
SECONDS = 1767225600  # 2026-01-01T00:00:00Z


def times(unit: str = "ns", zone: str | None = "UTC", column: str = "time") -> dict[str, Any]:
    """A row for each second from 00:00:00 to 00:00:06 of 2026-01-01, and one without a time."""
    values = [(SECONDS + i) * 10**9 // UNITS[unit] for i in range(7)]
    return {column: pa.array([*values, None], pa.timestamp(unit, zone)), "i": [*range(7), None]}


def test_both_ends_belong_to_it(server: FlightServer) -> None:
    server.write("t", times())
    sql = "SELECT i FROM t ORDER BY i NULLS LAST"
    assert server.column(sql) == [0, 1, 2, 3, 4, 5, 6, None]
    assert server.column(sql, query_range_begin=BEGIN, query_range_end=END) == [2, 3, 4]
    assert server.column(sql, query_range_begin=BEGIN) == [2, 3, 4, 5, 6]
    assert server.column(sql, query_range_end=END) == [0, 1, 2, 3, 4]
    assert server.column(sql, query_range_begin=END, query_range_end=BEGIN) == []
    ranges = [record.get("range") for record in server.records.all]
    assert ranges == [None, f"{BEGIN}/{END}", f"{BEGIN}/..", f"../{END}", f"{END}/{BEGIN}"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_units_and_zones(server: FlightServer, unit: str, zone: str | None) -> None:
    """A bound is a moment, whatever the column's zone; a column without one holds UTC."""
    server.write("t", times(unit, zone))
    sql = "SELECT i FROM t ORDER BY i"
    assert server.column(sql, query_range_begin=BEGIN, query_range_end=END) == [2, 3, 4]
    begin, end = "2026-01-01T05:00:01.000000001+05:00", "2025-12-31T20:00:04.999999999-04:00"
    assert server.column(sql, query_range_begin=begin, query_range_end=end) == [2, 3, 4]
    assert server.column(sql, query_range_begin="2026-01-01t00:00:02.9z", query_range_end="2026-01-01 00:00:03Z") == [3]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("begin", "end", "rows"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", 7),
        ("1677-09-21T00:12:43Z", "2262-04-11T23:47:17Z", 7),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z", 0),
    ],
)
def test_far_away(server: FlightServer, unit: str, begin: str, end: str, rows: int) -> None:
    """Beyond what 64 bits of nanoseconds hold, too."""
    server.write("t", times(unit))
    assert server.query("SELECT i FROM t", query_range_begin=begin, query_range_end=end).num_rows == rows


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM t", 3),
        ("SELECT count(*) FROM t a JOIN t b ON a.i = b.i", 3),
        ("SELECT count(*) FROM t a, t b", 9),
        ("WITH c AS (SELECT * FROM t) SELECT count(*) FROM c", 3),
        ("SELECT count(*) FROM (SELECT i FROM t UNION ALL SELECT i FROM t)", 6),
        ("SELECT (SELECT max(i) FROM t)", 4),
        ("SELECT count(*) FROM u WHERE i IN (SELECT i FROM t)", 3),
        ("SELECT count(*) FROM t LEFT JOIN u ON t.i = u.i", 3),
        ("SELECT count(*) FROM u LEFT JOIN t ON t.i = u.i WHERE t.i IS NULL", 5),
        ('SELECT count(*) FROM public."t"', 3),
        ("SELECT count(*) FROM datafusion.public.t AS x", 3),
        ("SELECT sum(n) FROM (SELECT count(*) OVER () AS n FROM t)", 9),
        ("SELECT count(*) FROM t WHERE time < '2026-01-01T00:00:04Z' OR true", 3),
        ("SELECT count(*) FROM t WHERE time IS NULL", 0),
        ("WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT max(i) FROM t)) "
         "SELECT count(*) FROM r", 5),
    ],
)  # fmt: skip
def test_wherever_a_table_stands(server: FlightServer, sql: str, expected: int) -> None:
    """`t` has a time and is bound; `u` has none and is not."""
    server.write("t", times())
    server.write("u", {"i": [*range(7), None]})
    assert server.column(sql, query_range_begin=BEGIN, query_range_end=END) == [expected]


@pytest.mark.parametrize(
    "column",
    [pa.array(["2026-01-01", "x"]), pa.array([1, 2]), pa.array([1, 2], pa.date32()), pa.array([1, 2], pa.time64("us"))],
)
def test_a_time_that_is_no_timestamp(server: FlightServer, column: pa.Array) -> None:
    server.write("t", {"time": column})
    assert server.query("SELECT * FROM t", query_range_begin=BEGIN, query_range_end=END).num_rows == 2


def test_only_the_column_named_time(server: FlightServer) -> None:
    server.write("t", times(column="Time"))
    assert server.query("SELECT * FROM t", query_range_begin=BEGIN).num_rows == 8


def test_a_table_of_another_schema_is_not_ours(server: FlightServer) -> None:
    server.write("t", times())
    sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert server.column(sql, query_range_begin=BEGIN, query_range_end=END) == [1]


@pytest.mark.parametrize(
    ("limit", "sql", "rows"),
    [
        ("0", "SELECT i FROM t", 0),
        ("1", "SELECT i FROM t", 1),
        ("3", "SELECT i FROM t ORDER BY i", 3),
        ("3", "SELECT i FROM t LIMIT 2", 2),
        ("3", "SELECT i FROM t LIMIT 5", 3),
        ("3", "SELECT i FROM t LIMIT 5 OFFSET 6", 2),
        ("999999999999999999", "SELECT i FROM t", 8),
        ("007", "SELECT i FROM t", 7),
        ("1", "SELECT i FROM t UNION ALL SELECT i FROM t", 1),
        ("1", "VALUES (1), (2)", 1),
        ("1", "SELECT count(*) FROM t", 1),
        ("1", "DESCRIBE t", 1),
        ("2", "SHOW TABLES", 2),
    ],
)
def test_limit(server: FlightServer, limit: str, sql: str, rows: int) -> None:
    server.write("t", times())
    assert server.query(sql, limit=limit).num_rows == rows
    assert server.records.only()["limit"] == int(limit)


@pytest.mark.parametrize("explain", ["EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN VERBOSE"])
def test_an_explanation_has_no_rows_to_limit(server: FlightServer, explain: str) -> None:
    """Grafana sends a limit with whatever its user types."""
    server.write("t", times())
    assert server.query(f"{explain} SELECT * FROM t", limit="1").column_names == ["plan_type", "plan"]


def test_limit_and_range_together(server: FlightServer) -> None:
    server.write("t", times())
    headers = {"query_range_begin": BEGIN, "query_range_end": END, "limit": "2"}
    assert server.column("SELECT i FROM t ORDER BY i DESC", **headers) == [4, 3]


BAD = {
    "query_range_begin": ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "1"],
    "query_range_end": ["2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+24:00", "0" * 5000],
    "limit": ["-1", "1.5", "ten", "0x10", "1e3", "9" * 19, "1 ", "+1", "1;DROP TABLE t"],
    "preserve_dictionary": ["yes", "TRUE", "1"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_headers_that_are_malformed(server: FlightServer, name: str, value: str) -> None:
    """The refusal names the header, does not repeat its value, and is on record."""
    server.write("t", times())
    text = server.refusal("SELECT i FROM t", **{name: value})
    assert name in text
    assert len(value) < 4 or value not in text
    assert len(json.dumps(server.records.only())) < 2000


def test_empty_headers_are_none(server: FlightServer) -> None:
    server.write("t", times())
    headers = dict.fromkeys(BAD, "")
    assert server.query("SELECT i FROM t", **headers).num_rows == 8
