"""A lake that is written, by this process or another, and read through the engine at the same time."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from micromegas_server.flight_sql.messages import statement_ticket
from micromegas_server.lake_compaction import FAN_IN, compact
from micromegas_server.lake_files import LakeFiles
from support.flight_server import FlightServer

CHILD = Path(__file__).parent.parent / "faults" / "lake_child.py"


@pytest.fixture
def folder(server: FlightServer) -> Iterator[Path]:
    """The lake; at the end it has no links, which `server` would not remove."""
    yield server.folder
    for link in server.folder.iterdir():
        if link.is_symlink():
            link.unlink()


@pytest.fixture
def files(folder: Path) -> Iterator[LakeFiles]:
    files = LakeFiles(folder)
    yield files
    files.close()


def versions(folder: Path) -> int:
    return len(list((folder / ".lake/versions/t").iterdir()))


def test_while_another_process_writes(server: FlightServer, folder: Path) -> None:
    """Whatever was acknowledged before the query is in its answer, once; no answer has less than the one before it."""
    command = [sys.executable, str(CHILD), str(folder), "2", "0", "600"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        versions, acknowledged, before = set(), 0, 0
        while child.stdout.readline():
            acknowledged += 1
            query = "SELECT count(*) AS n, count(DISTINCT id) AS d, (SELECT count(*) FROM b) AS b FROM a"
            ((rows, distinct, twice),) = (row.values() for row in server.query(query).to_pylist())
            assert before <= rows == distinct >= acknowledged
            assert twice >= 2 * acknowledged
            assert twice % 2 == 0
            before = rows
            versions.add((folder / "a").readlink())
    assert (child.returncode, acknowledged) == (0, 600)
    assert server.column("SELECT count(*) FROM a") == [600]
    assert server.column("SELECT count(*) FROM b") == [1200]
    assert len(versions) > 2  # there were merges between the queries


def test_a_query_keeps_its_files(server: FlightServer, folder: Path, files: LakeFiles) -> None:
    """From its plan to its last batch; then they go."""
    for part in range(FAN_IN):
        texts = [f"{part}-{row}-{'x' * 500}" for row in range(2_000)]
        files.commit({"t": pa.table({"text": texts})})
    reader = server.client.do_get(flight.Ticket(statement_ticket("SELECT text FROM t")), server.options())
    rows = reader.read_chunk().data.num_rows
    assert compact(files, "t")
    files.commit({"t": pa.table({"text": ["later"]})})
    files.vacuum("t")
    assert versions(folder) == 2
    assert rows + reader.read_all().num_rows == FAN_IN * 2_000
    server.records.wait_for("ok")
    files.vacuum("t")
    assert versions(folder) == 1
    assert server.column("SELECT count(*) FROM t") == [FAN_IN * 2_000 + 1]


def test_a_query_that_fails_keeps_nothing(server: FlightServer, folder: Path, files: LakeFiles) -> None:
    for value in range(FAN_IN):
        files.commit({"t": pa.table({"a": [value]})})
    server.refusal("SELECT nosuch FROM t")
    server.refusal("SELECT 1 / a FROM t")
    assert server.column("SELECT count(*) FROM information_schema.columns WHERE table_name = 't'") == [1]
    server.column("SELECT 1")
    gc.collect()  # what failed is in cycles of its traceback
    assert compact(files, "t")
    assert versions(folder) == 1


def test_columns_and_range(server: FlightServer, files: LakeFiles) -> None:
    """What was written comes back as it was, before and after a merge, within the query's range."""
    second = 1_000_000_000
    columns = {
        "time": pa.timestamp("ns", tz="UTC"),
        "kind": pa.dictionary(pa.int32(), pa.string()),
        "properties": pa.list_(pa.field("element", pa.struct({"key": pa.string(), "value": pa.string()}))),
        "payload": pa.binary(),
    }
    rows = [
        {"time": i * second + 1, "kind": f"k{i}", "properties": [{"key": "i", "value": str(i)}], "payload": bytes([i])}
        for i in range(FAN_IN)
    ]
    for row in rows:
        files.commit({"t": pa.Table.from_pylist([row], schema=pa.schema(columns))})
    for merged in (False, True):
        assert not merged or compact(files, "t")
        found = server.query("SELECT * FROM t ORDER BY time", preserve_dictionary="true")
        assert found.schema.equals(pa.schema(columns))
        assert found.set_column(0, "time", found["time"].cast(pa.int64())).to_pylist() == rows
    inside = {"query_range_begin": "1970-01-01T00:00:03Z", "query_range_end": "1970-01-01T00:00:05Z"}
    assert server.column("SELECT kind FROM t ORDER BY 1", **inside) == ["k3", "k4"]


def test_plans_name_no_path_of_the_machine(server: FlightServer, folder: Path, files: LakeFiles) -> None:
    files.commit({"t": pa.table({"a": [1]})})
    plan = "\n".join(row["plan"] for row in server.query("EXPLAIN SELECT a FROM t").to_pylist())
    assert "parquet" in plan
    assert str(folder).strip("/") not in plan
