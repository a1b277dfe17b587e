"""The whole way: OpenTelemetry's own SDK and exporters, the ingestion server, the lake, and a query over Flight SQL."""

import json
from collections.abc import Callable
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import httpx
import pyarrow as pa
import pytest
from support.ingestion_samples import block, encoded, process, stream
from support.ingestion_server import API_KEY, BEARER, KEYS, Program, ingestion_process, url_of, written
from support.micromegas_client import MicromegasClient
from support.processes import ServerProcess
from support.provider import API_AUDIENCE, OidcProvider

TEXTS = [f"order {number}" for number in range(700)]  # more than one batch of the SDK


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_all_three_signals_of_the_real_sdk(tmp_path: Path, compression: str) -> None:
    """Each record once, with who sent it; one process, and one stream for each signal."""
    with (
        ingestion_process(tmp_path) as server,
        Program(url_of(server), OTEL_EXPORTER_OTLP_COMPRESSION=compression) as program,
    ):
        program.send(*TEXTS)
        program.end()
        assert not any("Failed to export" in line or "Transient" in line for line in program.lines)
        assert server.terminate() == 0
    logs, spans = written(tmp_path, "log_entries"), written(tmp_path, "spans")
    assert sorted(row["msg"] for row in logs) == sorted(row["name"] for row in spans) == sorted(TEXTS)
    assert {(row["level"], row["target"], row["exe"], row["computer"]) for row in logs} == {
        (3, "shop.orders", "shop", "univac")
    }
    ids = {row["span_id"]: row["name"] for row in spans}
    for row in logs:
        assert ids[json.loads(row["properties"])["otel.span_id"]] == row["msg"]
    (orders,) = (row for row in written(tmp_path, "measures") if row["name"] == "orders")
    assert (orders["value"], orders["unit"], json.loads(orders["properties"])["kind"]) == (700.0, "1", "sale")
    assert {row["value"] for row in written(tmp_path, "measures") if row["name"] == "latency_count"} == {700.0}
    (process_row,) = written(tmp_path, "processes")
    assert process_row["exe"] == "shop"
    assert sorted(row["format"] for row in written(tmp_path, "streams")) == [
        f"otlp/v1/{signal}" for signal in ("logs", "metrics", "traces")
    ]
    for table in ("log_entries", "spans", "measures", "processes", "streams"):
        assert {(row["auth_subject"], row["process_id"]) for row in written(tmp_path, table)} == {
            ("agent", process_row["process_id"])
        }


def test_a_token_of_a_real_identity_provider(tmp_path: Path, oidc_provider: OidcProvider) -> None:
    issuers = [{"issuer": oidc_provider.issuer, "audience": API_AUDIENCE}]
    env = {"MICROMEGAS_OIDC_CONFIG": json.dumps({"issuers": issuers})}
    token = oidc_provider.client_credentials("ES256")
    with ingestion_process(tmp_path, env=env) as server, Program(url_of(server), token) as program:
        program.send("hello")
        program.end()
        assert server.terminate() == 0
    (row,) = written(tmp_path, "log_entries")
    assert (row["auth_subject"], row["auth_issuer"]) == (oidc_provider.service_account("ES256"), oidc_provider.issuer)
    assert not any(token in line for line in server.lines)


QUERIES = {
    "SELECT time, level, target, msg FROM log_entries": 1,
    "SELECT * FROM processes LIMIT 10": 2,
    "SELECT s.tags, p.exe FROM streams s JOIN processes p ON s.process_id = p.process_id": 4,
    "SELECT * FROM measures": 5,
    "SELECT * FROM spans": 1,
    "SELECT * FROM blocks": 1,
}


def test_what_was_sent_is_found(tmp_path: Path, micromegas_client: Callable[[str], MicromegasClient]) -> None:
    """By both clients, while the server goes on writing; the queries are those of Micromegas' documents."""
    env = {"MICROMEGAS_API_KEYS": json.dumps(KEYS)}
    with (
        ingestion_process(tmp_path, env=env) as ingestion,
        ServerProcess("flight-sql-srv", "--listen", "127.0.0.1:0", "--lake", tmp_path, env=env) as flight,
    ):
        location = flight.wait_for(r"listening on (grpc://127.0.0.1:\d+)")[1]
        with Program(url_of(ingestion)) as program:
            program.send("hello")
            program.end()
        with httpx.Client(base_url=url_of(ingestion), headers=BEARER) as client:
            for path, message in (("process", process()), ("stream", stream()), ("block", block())):
                assert client.post(f"/ingestion/insert_{path}", content=encoded(message)).status_code == 200
        options = {"adbc.flight.sql.authorization_header": f"Bearer {API_KEY}"}
        with (
            flight_sql.connect(location, db_kwargs=options, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for sql, count in QUERIES.items():
                cursor.execute(sql)
                rows: pa.Table = cursor.fetch_arrow_table()
                assert rows.num_rows == count, sql
                for field in rows.schema:
                    assert not pa.types.is_timestamp(field.type) or field.type == pa.timestamp("ns", "UTC"), sql
        asked = "SELECT msg, auth_subject FROM log_entries"
        user = micromegas_client(location)
        user.use_api_key(API_KEY)
        assert "hello,agent" in user.query(asked).stdout
