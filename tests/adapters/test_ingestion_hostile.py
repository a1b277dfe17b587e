"""Bodies that must be refused, whatever they cost to send: with which status, and with nothing left behind."""

import gzip
import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from micromegas_server.ingestion import body as body_module
from support.ingestion_samples import block, encoded, logs
from support.ingestion_server import API_KEY, AS_JSON, AS_PROTOBUF, BEARER, PATIENCE, ingesting, written

MIB = 1024 * 1024
LOGS, BLOCK = "/ingestion/otlp/v1/logs", "/ingestion/insert_block"
GZIP = {"content-encoding": "gzip"}
GOOD = logs("good").SerializeToString()


def attributes_of_nothing() -> bytes:
    """In one record, as many as fit."""
    request = logs("x")
    records = request.resource_logs[0].scope_logs[0].log_records
    records[0].MergeFromString(b"\x32\x00" * (2 * MIB - 100))
    return request.SerializeToString()


# path, headers, body (made when it is needed), status
HOSTILE: dict[str, tuple[str, dict[str, str], Callable[[], bytes], int]] = {
    "truncated protobuf": (LOGS, AS_PROTOBUF, lambda: GOOD[:-1], 400),
    "JSON said to be protobuf": (LOGS, AS_PROTOBUF, lambda: b'{"resourceLogs": []}', 400),
    "protobuf said to be JSON": (LOGS, AS_JSON, lambda: GOOD, 400),
    "an empty body said to be JSON": (LOGS, AS_JSON, lambda: b"", 400),
    "deep JSON": (LOGS, AS_JSON, lambda: b'{"a":' * 1_000_000, 400),
    "wide JSON": (LOGS, AS_JSON, lambda: b'{"resourceLogs":[' + b"{}," * 6_000_000 + b"{}]}", 413),
    "messages of nothing": (LOGS, AS_PROTOBUF, lambda: b"\x0a\x00" * 10 * MIB, 413),
    "messages of nothing, compressed": (LOGS, AS_PROTOBUF | GZIP, lambda: gzip.compress(b"\x0a\x00" * 100 * MIB), 413),
    "a gzip bomb": (LOGS, AS_PROTOBUF | GZIP, lambda: gzip.compress(bytes(400 * MIB), 1), 413),
    "a gzip bomb of JSON": (LOGS, AS_JSON | GZIP, lambda: gzip.compress(b" " * 21 * MIB), 413),
    "gzip that is none": (LOGS, AS_PROTOBUF | GZIP, lambda: GOOD, 400),
    "gzip cut off": (LOGS, AS_PROTOBUF | GZIP, lambda: gzip.compress(GOOD)[:-1], 400),
    "another compression": (LOGS, AS_PROTOBUF | {"content-encoding": "br"}, lambda: GOOD, 415),
    "two compressions": (LOGS, AS_PROTOBUF | {"content-encoding": "gzip, gzip"}, lambda: GOOD, 415),
    "a wrong type": (LOGS, {"content-type": "text/plain"}, lambda: GOOD, 415),
    "no type": (LOGS, {}, lambda: GOOD, 415),
    "a type that only begins right": (LOGS, {"content-type": "application/jsonp"}, lambda: b"{}", 415),
    "more than 20 MiB": (LOGS, AS_PROTOBUF, lambda: bytes(20 * MIB + 1), 413),
    "an empty block": (BLOCK, {}, lambda: b"", 400),
    "a block without objects": (
        BLOCK,
        {},
        lambda: encoded(block(payload={"dependencies": b"", "objects": b""})),
        400,
    ),
    "truncated CBOR": (BLOCK, {}, lambda: encoded(block())[:-1], 400),
    "deep CBOR": (BLOCK, {}, lambda: b"\xa1\x61x" * 10 * MIB, 400),
    "wide CBOR": (BLOCK, {}, lambda: b"\xa1\x61x\x9f" + b"\x80" * 90 * MIB + b"\xff", 400),
    "CBOR of a huge length": (BLOCK, {}, lambda: b"\xa1\x67payload\xa1\x67objects\x5b" + b"\xff" * 8, 400),
    "CBOR of a huge array": (BLOCK, {}, lambda: b"\xa1\x67payload\xa1\x67objects\x9b" + b"\xff" * 8, 400),
    "CBOR of a huge map": (BLOCK, {}, lambda: b"\xbb" + b"\xff" * 8, 400),
    "CBOR, compressed": (BLOCK, GZIP, lambda: gzip.compress(encoded(block())), 415),
    "a process above 1 MiB": ("/ingestion/insert_process", {}, lambda: bytes(MIB + 1), 413),
    "a stream above 1 MiB": ("/ingestion/insert_stream", {}, lambda: bytes(MIB + 1), 413),
    "resources above a thousand": (LOGS, AS_PROTOBUF, lambda: GOOD * 1001, 413),
    "attributes of nothing": (LOGS, AS_PROTOBUF | GZIP, lambda: gzip.compress(attributes_of_nothing()), 413),
    "more than 100 MiB": (BLOCK, {}, lambda: bytes(100 * MIB + 1), 413),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def client(lake: Path) -> Iterator[httpx.Client]:
    with ingesting(lake) as client:
        yield client


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str, client: httpx.Client, lake: Path) -> None:
    """The refusal has a fixed text, nothing is written, and the next request is served."""
    path, headers, body, status = HOSTILE[name]
    answer = client.post(path, content=body(), headers=headers)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert len(answer.content) < 200
    assert "retry-after" not in answer.headers
    assert not written(lake, "log_entries")
    assert not written(lake, "blocks")
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(("path", "limit"), [(LOGS, 20 * MIB), (BLOCK, 100 * MIB)])
def test_a_body_whose_length_nobody_announced(client: httpx.Client, path: str, limit: int) -> None:
    """It is cut at the limit; the client hears of it although it was still sending."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        while sent < limit + MIB:
            sent += MIB
            yield bytes(MIB)

    assert client.post(path, content=chunks(), headers=AS_PROTOBUF).status_code == 413


@pytest.mark.parametrize("length", ["-1", "+5", "1e9", "9" * 50])
def test_lengths_that_are_none(client: httpx.Client, length: str) -> None:
    status = raw(client, f"content-length: {length}\r\n")
    assert status in (400, 413)


def test_a_body_that_is_too_slow(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module.Body.__init__, "__defaults__", (0.1,))
    monkeypatch.setattr(body_module, "DRAIN_SECONDS", 0.1)
    assert raw(client, "content-length: 5\r\n") == 408


def raw(client: httpx.Client, headers: str) -> int:
    """The status of a request that announces a body by these headers and sends a byte of it."""
    address = urlsplit(str(client.base_url))
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), PATIENCE) as connection:
        start = f"POST {LOGS} HTTP/1.1\r\nhost: x\r\nauthorization: {BEARER['authorization']}\r\n"
        connection.sendall(f"{start}content-type: application/x-protobuf\r\n{headers}\r\nx".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


def test_a_client_that_goes_in_the_middle(client: httpx.Client, lake: Path) -> None:
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), PATIENCE) as connection:
        start = f"POST {LOGS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n"
        connection.sendall(f"{start}content-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n".encode())
    assert client.get("/health").status_code == 200
    assert not written(lake, "log_entries")
