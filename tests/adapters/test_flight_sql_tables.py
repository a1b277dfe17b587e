"""The tables of the lake, as they come and go while the server runs."""

import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from support.flight_server import FlightServer

LISTED = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"


def test_files_come_and_go(server: FlightServer) -> None:
    first = server.write("t", {"a": [1]})
    assert server.column("SELECT a FROM t") == [1]
    second = server.write("t", {"a": [2, 3]}, "2.parquet")
    assert server.column("SELECT a FROM t ORDER BY a") == [1, 2, 3]
    first.unlink()
    assert server.column("SELECT a FROM t ORDER BY a") == [2, 3]
    server.write("t", {"a": [7, 8, 9, 10]}, "2.parquet")
    assert server.column("SELECT a FROM t ORDER BY a") == [7, 8, 9, 10]
    second.unlink()
    assert "'datafusion.public.t' not found" in server.refusal("SELECT a FROM t")


def test_a_file_written_anew_may_have_other_columns(server: FlightServer) -> None:
    server.write("t", {"a": [1]})
    assert server.column("SELECT a FROM t") == [1]
    server.write("t", {"b": ["x"]})
    assert server.column("SELECT b FROM t") == ["x"]
    assert "a" in server.refusal("SELECT a FROM t")


def test_folders_come_and_go(server: FlightServer) -> None:
    server.refusal("SELECT * FROM t")
    server.write("t", {"a": [1]})
    assert server.column("SELECT a FROM t") == [1]
    shutil.rmtree(server.folder / "t")
    server.refusal("SELECT * FROM t")


def test_listings(server: FlightServer, capfd: pytest.CaptureFixture[str]) -> None:
    """SHOW TABLES and information_schema name the tables there are, and nothing else is printed by the engine."""
    assert server.column(LISTED) == []
    server.write("t", {"a": [1]})
    server.write("U", {"b": ["x"]})
    (server.folder / "empty").mkdir()
    assert server.column(LISTED) == ["U", "t"]
    shown = server.query("SHOW TABLES").to_pylist()
    assert {row["table_name"] for row in shown if row["table_schema"] == "public"} == {"U", "t"}
    columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1"
    assert server.query(columns).to_pylist() == [
        {"table_name": "U", "column_name": "b"},
        {"table_name": "t", "column_name": "a"},
    ]
    assert server.column("SHOW COLUMNS FROM t") == ["datafusion"]
    assert server.column("DESCRIBE t") == ["a"]
    server.write("v", {"a": [1]})
    assert server.column(LISTED) == ["U", "t", "v"]
    assert "Unable to get" not in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"PAR1 this is no Parquet file PAR1", b"x"])
def test_a_broken_file(server: FlightServer, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Its table cannot be read, the others can; the log says which, the client sees no more than that."""
    server.write("good", {"a": [1]})
    broken = server.write("broken", {"a": [1]})
    broken.write_bytes(content)
    caplog.set_level(logging.WARNING)
    text = server.refusal("SELECT * FROM broken", flight.FlightUnavailableError)
    assert "table 'broken' cannot be read now" in text
    assert 'table "broken" cannot be read' in caplog.text
    assert server.column("SELECT a FROM good") == [1]
    assert "good" in server.column(LISTED)
    server.write("broken", {"a": [5]})
    assert server.column("SELECT a FROM broken") == [5]


def test_a_file_that_breaks_in_the_middle(server: FlightServer) -> None:
    """It is only found when its pages are read; the client gets the query's id and no more."""
    path = server.write("t", {"a": list(range(100_000))})
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(2000) + content[2100:])
    assert "the query failed" in server.refusal("SELECT sum(a) FROM t", flight.FlightInternalError)


def test_files_of_one_table_that_differ(server: FlightServer) -> None:
    """Columns that some files lack are null there; types that contradict make the table unreadable."""
    server.write("t", {"a": [1], "b": [1]}, "1.parquet")
    server.write("t", {"a": [2], "c": ["x"]}, "2.parquet")
    rows = server.query("SELECT a, b, c FROM t ORDER BY a").to_pylist()
    assert rows == [{"a": 1, "b": 1, "c": None}, {"a": 2, "b": None, "c": "x"}]
    server.write("t", {"a": ["text"]}, "3.parquet")
    server.refusal("SELECT a FROM t", flight.FlightUnavailableError)


def test_what_is_no_table(server: FlightServer) -> None:
    server.write(".hidden", {"a": [1]})
    (server.folder / "empty").mkdir()
    (server.folder / "other").mkdir()
    (server.folder / "other" / "1.csv").write_text("a\n1\n")
    for name in (".hidden", "empty", "other", ".", "..", ""):
        assert "not found" in server.refusal(f'SELECT * FROM "{name}"') or name == ""
    assert server.column(LISTED) == []


def test_a_table_of_no_rows(server: FlightServer) -> None:
    server.write("t", {"a": pa.array([], pa.int64())})
    assert server.query("SELECT a FROM t").to_pydict() == {"a": []}
    assert server.column("SELECT count(*) FROM t") == [0]


def test_files_below_and_beside(server: FlightServer) -> None:
    """A table is its own folder's Parquet files."""
    server.write("t", {"a": [1]})
    (server.folder / "t" / "notes.txt").write_text("no Parquet")
    (server.folder / "t" / "_delta.json").write_text("{}")
    assert server.column("SELECT a FROM t") == [1]


@pytest.mark.parametrize(
    "name",
    ["Caps", "two words", "*", "t?", "[t]", "a%20b", "a#b", "a:b", "a+b", "é", 'quo"te', "quo'te", "t.u", "a\\b"],
)
def test_odd_names(server: FlightServer, name: str) -> None:
    """A name means its own folder, whatever it would mean to a shell or in a URL."""
    server.write("t", {"a": [0]})
    server.write(name, {"a": [1]})
    quoted = '"' + name.replace('"', '""') + '"'
    assert server.column(f"SELECT a FROM {quoted}") == [1]
    assert name in server.column(LISTED)


@pytest.mark.parametrize(
    "name",
    ["../t", "t/../t", "/etc/passwd", "t/1.parquet", "./t", "file:///etc/", "lake://tables/t/", "s3://bucket/t", "t\0"],
)
def test_names_that_lead_elsewhere(server: FlightServer, name: str, tmp_path: Path) -> None:
    server.write("t", {"a": [1]})
    server.refusal(f'SELECT * FROM "{name}"')
    server.refusal(f"SELECT * FROM '{name}'")
    assert not list(tmp_path.iterdir())


def test_plans_name_no_path_of_the_machine(server: FlightServer) -> None:
    server.write("t", {"a": [1]})
    for explain in ("EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN VERBOSE", "EXPLAIN FORMAT TREE"):
        plan = "\n".join(row["plan"] for row in server.query(f"{explain} SELECT a FROM t").to_pylist())
        assert "parquet" in plan
        assert str(server.folder).strip("/") not in plan
