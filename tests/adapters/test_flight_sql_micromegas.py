"""What the real micromegas client does."""

import json
from pathlib import Path

import pytest
from support.flight_server import API_KEY, FlightServer
from support.micromegas_client import COMPLETE, MicromegasClient
from support.needs import needs

SQL = "SELECT a, b FROM t ORDER BY a"


@pytest.fixture(autouse=True)
def _table(server: FlightServer) -> None:
    server.write("t", {"a": [1, 2, 3], "b": ["x", None, "z"]})


@pytest.fixture
def micromegas(server: FlightServer, tmp_path: Path) -> MicromegasClient:
    needs(COMPLETE, "the micromegas client")
    client = MicromegasClient(tmp_path, server.location)
    client.use_api_key(API_KEY)
    return client


def test_micromegas_client(server: FlightServer, micromegas: MicromegasClient) -> None:
    """query, query_stream and prepare_statement, and what they send besides."""
    code = f"""
import json, micromegas, sys
client = micromegas.connect_with_profile()
statement = client.prepare_statement({SQL!r})
print(json.dumps({{
    "frame": client.query({SQL!r}).a.to_list(),
    "stream": [row for batch in client.query_stream({SQL!r}) for row in batch.to_pydict()["a"]],
    "prepared": [row for batch in client.prepared_statement_stream(statement) for row in batch.to_pydict()["a"]],
    "schema": str(statement.dataset_schema), "sql": statement.query}}))
"""
    done = micromegas.python(code)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers["frame"] == answers["stream"] == answers["prepared"] == [1, 2, 3]
    assert answers["schema"] == "a: int64\nb: string"
    assert answers["sql"] == SQL
    assert [record["status"] for record in server.records.all] == ["ok"] * 3
    assert {record["client"] for record in server.records.all[:2]} == {"python"}


def test_micromegas_client_shows_errors(server: FlightServer, micromegas: MicromegasClient) -> None:
    done = micromegas.query("SELECT nonsense FROM t")
    assert done.returncode != 0
    assert "nonsense" in done.stderr + done.stdout
    assert server.records.all[-1]["query_id"] in done.stderr + done.stdout
