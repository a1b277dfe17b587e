"""Queries that must not run, or that fail: nothing changes, and the text has its record's id and no inside."""

from pathlib import Path

import pytest
from adbc_driver_manager import Error as AdbcError
from micromegas_server.flight_sql.stacks import MAX_SQL_BYTES
from support.flight_server import FlightServer

WRITING = [
    "CREATE TABLE n AS SELECT 1",
    "CREATE TABLE n (a INT)",
    "CREATE VIEW n AS SELECT 1",
    "CREATE OR REPLACE VIEW t AS SELECT 1",
    "CREATE SCHEMA n",
    "CREATE DATABASE n",
    "CREATE FUNCTION f(INT) RETURNS INT RETURN $1",
    "CREATE EXTERNAL TABLE n STORED AS PARQUET LOCATION '{elsewhere}'",
    "CREATE EXTERNAL TABLE n STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE INDEX i ON t (a)",
    "DROP TABLE t",
    "DROP VIEW IF EXISTS t",
    "DROP SCHEMA public CASCADE",
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t SELECT * FROM t",
    "INSERT OVERWRITE t SELECT 1",
    "UPDATE t SET a = 2",
    "DELETE FROM t",
    "TRUNCATE TABLE t",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
    "ALTER TABLE t RENAME TO n",
    "SELECT a INTO n FROM t",
    "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c",
    "COPY t TO '{elsewhere}/t.parquet'",
    "COPY (SELECT 1) TO '{elsewhere}/t.csv' STORED AS CSV",
    "COPY t TO '{elsewhere}' STORED AS PARQUET",
    "COPY t TO 's3://bucket/t.parquet'",
    "COPY t TO 'lake://tables/t/2.parquet'",
    "SET datafusion.execution.batch_size = '1'",
    "SET TIME ZONE = '+01:00'",
    "RESET datafusion.execution.batch_size",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "USE public",
    "LOAD DATA INPATH '/etc/passwd' INTO TABLE t",
    "GRANT ALL ON t TO grafana",
    "CALL f()",
    "KILL 1",
    "VACUUM",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE t",
    "EXPLAIN INSERT INTO t VALUES (1)",
    "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
    "EXPLAIN ANALYZE COPY t TO '{elsewhere}/t.parquet'",
    "EXPLAIN ANALYZE CREATE TABLE n AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM t",
    "EXPLAIN ANALYZE VERBOSE SET datafusion.execution.batch_size = '1'",
]

READING_FILES = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{lake}/t/1.parquet'",
    'SELECT * FROM "{lake}/t/"',
    "SELECT * FROM 'file:///etc/passwd'",
    "SELECT * FROM 'https://example.com/t.parquet'",
    "SELECT * FROM 'lake://tables/t/'",
    "SELECT * FROM read_parquet('{lake}/t/1.parquet')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{lake}/t/1.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT pg_read_file('/etc/passwd')",
]


@pytest.mark.parametrize("sql", WRITING)
def test_nothing_is_written(server: FlightServer, tmp_path: Path, sql: str) -> None:
    server.write("t", {"a": [1, 2]})
    server.write("u", {"a": [1]})
    server.refusal(sql.format(elsewhere=tmp_path))
    assert server.column("SELECT a FROM t ORDER BY a") == [1, 2]
    assert sorted(str(path.relative_to(server.folder)) for path in server.folder.rglob("*")) == [
        "t",
        "t/1.parquet",
        "u",
        "u/1.parquet",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sql", READING_FILES)
def test_no_other_file_is_read(server: FlightServer, sql: str) -> None:
    server.write("t", {"a": [1]})
    with pytest.raises(Exception, match="query_id=") as caught:
        server.query(sql.format(lake=server.folder))
    assert "root:" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("", "No SQL statements"),
        ("-- nothing", "No SQL statements"),
        ("SELEC 1", "found: SELEC"),
        ("SELECT * FROM nosuch", "'datafusion.public.nosuch' not found"),
        ("SELECT * FROM nosuch.t", "'datafusion.nosuch.t' not found"),
        ("SELECT nosuch FROM t", "nosuch"),
        ("SELECT nosuch(a) FROM t", "Invalid function 'nosuch'"),
        ("SELECT a / 0 FROM t", "Divide by zero"),
        ("SELECT 1 / 0", "Divide by zero"),
        ("SELECT CAST('x' AS INT)", "Cannot cast string 'x'"),
        ("SELECT CAST(s AS INT) FROM t", "Cannot cast string 'text'"),
        ("SELECT (SELECT a FROM t)", "more than one row"),
        ("SELECT $1", "Placeholder"),
        ("SELECT '\x1b[31m\n\u202e'::INT", "\\u001b[31m"),
    ],
)
def test_mistakes_are_explained(server: FlightServer, sql: str, says: str) -> None:
    """On one line, whatever the query held."""
    server.write("t", {"a": [1, 2], "s": ["text", "text"]})
    text = server.refusal(sql)
    assert says in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_mistake_found_by_get_flight_info_is_on_record_too(server: FlightServer) -> None:
    """Once, though the query never ran."""
    with server.adbc() as cursor, pytest.raises(AdbcError) as caught:
        cursor.execute("SELECT nosuch")
    assert f"(query_id={server.records.only()['query_id']})" in str(caught.value)


@pytest.mark.parametrize("letter", ["x", "é", "😀", "\\", '"', "\n", "%"])
def test_long_errors_arrive(server: FlightServer, letter: str) -> None:
    """gRPC refuses more than 8 KiB of metadata, in which the text travels, percent-encoded, twice."""
    server.refusal(f"SELECT CAST('{letter * 10_000}' AS INT)")


def test_long_queries_are_refused(server: FlightServer) -> None:
    """Not parsed, and not written to the log whole."""
    sql = "SELECT '" + "x" * MAX_SQL_BYTES + "'"
    with pytest.raises(Exception, match=f"longer than {MAX_SQL_BYTES} bytes") as caught:
        server.query(sql)
    record = server.records.only()
    assert record["query_id"] in str(caught.value)
    assert record["sql"] == sql[:MAX_SQL_BYTES]
    wide = "SELECT '" + "é" * (MAX_SQL_BYTES // 2) + "'"
    with pytest.raises(Exception, match=f"longer than {MAX_SQL_BYTES} bytes"):
        server.query(wide)
    just_short_enough = "x" * (MAX_SQL_BYTES - 100)
    assert server.column(f"SELECT '{just_short_enough}'") == [just_short_enough]
