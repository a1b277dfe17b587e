"""The loop closes: what the servers log arrives in the lake that they serve."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.flight as flight
import pytest
from micromegas_server.demo.issuer import DemoIssuer
from micromegas_server.flight_sql.messages import statement_ticket
from support.ingestion_server import API_KEY, KEYS, ingestion_process, url_of, written
from support.processes import ServerProcess

PATIENCE = 30.0
CONFIG = {"MICROMEGAS_API_KEYS": json.dumps(KEYS)}
WITH_KEY = {"MICROMEGAS_INGESTION_API_KEY": API_KEY}


@pytest.fixture
def issuer() -> Iterator[DemoIssuer]:
    issuer = DemoIssuer()
    yield issuer
    issuer.stop()


def flight_server(lake: Path, **env: str) -> ServerProcess:
    return ServerProcess("flight-sql-srv", "--listen", "127.0.0.1:0", "--lake", lake, env={**CONFIG, **env})


def query(server: ServerProcess, sql: str) -> None:
    location = server.wait_for(r"listening on (grpc://\S+)")[1]
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {API_KEY}".encode())], timeout=PATIENCE)
    with flight.connect(location) as client:
        client.do_get(flight.Ticket(statement_ticket(sql)), options).read_all()


def eventually(look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What `look` finds; the lake tells nobody that it has changed."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing has come"
        time.sleep(0.05)
    return found


def audit_rows(lake: Path, of: str) -> list[dict[str, Any]]:
    return [
        row for row in written(lake, "log_entries") if row["target"] == "micromegas_auth.audit" and of in row["msg"]
    ]


def test_with_an_api_key(tmp_path: Path) -> None:
    """The audit's records and the rest of the log, from a server that says its name; who sent them is known."""
    with ingestion_process(tmp_path, env=CONFIG) as ingestion:
        url = url_of(ingestion)
        with flight_server(tmp_path, MICROMEGAS_TELEMETRY_URL=url, **WITH_KEY) as server:
            query(server, "SELECT 'the loop closes'")
            (row,) = eventually(lambda: audit_rows(tmp_path, "the loop closes"))
            assert (row["auth_subject"], row["exe"], row["level"]) == ("agent", "flight-sql-srv", 4)
            assert server.terminate() == 0
        # What was still to be sent at the end is there as well.
        assert [row["msg"] for row in written(tmp_path, "log_entries") if row["msg"].startswith("draining")]


def test_with_a_token(tmp_path: Path, issuer: DemoIssuer) -> None:
    """By client credentials; and the age of the issuer's keys is a measure."""
    issuer.clients["reporter"] = "its secret"
    oidc = json.dumps({"issuers": [{"issuer": issuer.url, "audience": "telemetry"}]})
    with ingestion_process(tmp_path, env={"MICROMEGAS_OIDC_CONFIG": oidc}) as ingestion:
        env = {
            "MICROMEGAS_OIDC_CONFIG": oidc,
            "MICROMEGAS_TELEMETRY_URL": url_of(ingestion),
            "MICROMEGAS_OIDC_ISSUER": issuer.url,
            "MICROMEGAS_OIDC_CLIENT_ID": "reporter",
            "MICROMEGAS_OIDC_CLIENT_SECRET": "its secret",
            "MICROMEGAS_OIDC_AUDIENCE": "telemetry",
        }
        with flight_server(tmp_path, **env) as server:
            query(server, "SELECT 'by a token'")
            (row,) = eventually(lambda: audit_rows(tmp_path, "by a token"))
            assert (row["auth_subject"], row["auth_issuer"]) == ("reporter", issuer.url)
            assert server.terminate() == 0
        (measure,) = (row for row in written(tmp_path, "measures") if row["name"] == "micromegas_auth.keys.age")
        assert (measure["unit"], json.loads(measure["properties"])["issuer"]) == ("s", issuer.url)
        assert measure["value"] < PATIENCE


def test_the_ingestion_server_reports_on_itself(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**CONFIG, **WITH_KEY, "MICROMEGAS_TELEMETRY_URL": f"http://127.0.0.1:{port}"}
    with ingestion_process(tmp_path, listen=f"127.0.0.1:{port}", env=env) as ingestion:
        url_of(ingestion)
        (row,) = eventually(
            lambda: [row for row in written(tmp_path, "log_entries") if row["msg"].startswith("listening")]
        )
        assert row["exe"] == "telemetry-ingestion-srv"
        assert ingestion.terminate() == 0


def test_nothing_waits_for_an_ingestion_server_that_is_away(tmp_path: Path) -> None:
    """Queries are answered, the end comes soon, and what was logged meanwhile arrives when the server is there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with flight_server(tmp_path, MICROMEGAS_TELEMETRY_URL=f"http://127.0.0.1:{port}", **WITH_KEY) as server:
        query(server, "SELECT 'while it was away'")
        server.wait_for("Transient error")
        with ingestion_process(tmp_path, listen=f"127.0.0.1:{port}", env=CONFIG) as ingestion:
            url_of(ingestion)
            eventually(lambda: audit_rows(tmp_path, "while it was away"))
            ingestion.terminate()
        query(server, "SELECT 1")
        assert server.terminate() == 0


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MICROMEGAS_TELEMETRY_URL": "http://telemetry.example.com", **WITH_KEY}, "MICROMEGAS_TELEMETRY_URL: must be"),
        ({"MICROMEGAS_TELEMETRY_URL": "ftp://127.0.0.1"}, "MICROMEGAS_TELEMETRY_URL: must be an https URL"),
        (
            {"MICROMEGAS_TELEMETRY_URL": "http://127.0.0.1:9", "MICROMEGAS_OIDC_CLIENT_ID": "reporter"},
            "neither MICROMEGAS_OIDC_TOKEN_ENDPOINT nor MICROMEGAS_OIDC_ISSUER is set",
        ),
    ],
)
def test_what_is_wrong_is_said_at_the_start(tmp_path: Path, env: dict[str, str], said: str) -> None:
    with flight_server(tmp_path, **env) as server:
        assert server.wait() == 2
        assert said in "\n".join(server.lines)
        assert API_KEY not in "\n".join(server.lines)
