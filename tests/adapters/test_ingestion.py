"""The ingestion server over HTTP: what is taken, what is written, and what happens when it cannot be."""

import gzip
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from micromegas_server.ingestion import otlp
from micromegas_server.ingestion.budget import Budget
from micromegas_server.ingestion.errors import Refused, malformed
from micromegas_server.ingestion.logs import LOGS as LOGS_SIGNAL
from micromegas_server.ingestion.rows import Belonging, Rejected, Sender
from micromegas_server.ingestion.writing import Writing
from micromegas_server.lake import Lake
from micromegas_server.lake_writer import LakeWriter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from support.ingestion_samples import (
    BLOCK_ID,
    PROCESS_ID,
    REQUESTS,
    block,
    encoded,
    gauge,
    logs,
    process,
    spans,
    stream,
)
from support.ingestion_server import AS_JSON, AS_PROTOBUF, OTHER_KEY, ingesting, written

LOGS = "/ingestion/otlp/v1/logs"
OTHER = {"authorization": f"Bearer {OTHER_KEY}"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """Of a server that writes to `tmp_path`."""
    with ingesting(tmp_path) as client:
        yield client


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_all_signals(client: httpx.Client, tmp_path: Path, encoding: str, coding: str) -> None:
    """They are on disk when the answer comes, with who sent them."""
    for message, table, signal in (
        (logs("hello"), "log_entries", "logs"),
        (gauge("latency", 1.5), "measures", "metrics"),
        (spans("checkout"), "spans", "traces"),
    ):
        if encoding == "json" and signal == "traces":
            continue  # its ids are not those of protobuf's JSON: tests/unit/server/test_ingestion_otlp.py
        body = message.SerializeToString() if encoding == "protobuf" else MessageToJson(message).encode()
        body = gzip.compress(body) if coding == "gzip" else body
        content_type = {"protobuf": "application/x-protobuf", "json": "Application/JSON; charset=utf-8"}[encoding]
        headers = {"content-type": content_type, "content-encoding": coding}
        answer = client.post(REQUESTS[signal][1], content=body, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"" if encoding == "protobuf" else b"{}")
        assert answer.headers["content-type"] == content_type.lower().partition(";")[0]
        (row,) = written(tmp_path, table)
        assert (row["auth_subject"], row["auth_issuer"]) == ("agent", None)
    assert {row["tags"][0] for row in written(tmp_path, "streams")} >= {"log", "metrics"}


def test_what_was_not_kept_is_told(client: httpx.Client, tmp_path: Path) -> None:
    message = logs("kept", "not kept")
    message.resource_logs[0].scope_logs[0].log_records[1].time_unix_nano = 0
    answer = client.post(LOGS, content=message.SerializeToString(), headers=AS_PROTOBUF)
    partly = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partly.rejected_log_records) == (200, 1)
    assert partly.error_message == "not kept: log records without a time, or with one after 2261"
    assert [row["msg"] for row in written(tmp_path, "log_entries")] == ["kept"]


def test_micromegas_own_messages(client: httpx.Client, tmp_path: Path) -> None:
    for path, message in (("process", process()), ("stream", stream()), ("block", block(old_form=True))):
        answer = client.post(f"/ingestion/insert_{path}", content=encoded(message))
        assert (answer.status_code, answer.content) == (200, b"")
    assert [row["exe"] for row in written(tmp_path, "processes")] == ["game.exe"]
    assert [row["tags"] for row in written(tmp_path, "streams")] == [["log"]]
    (row,) = written(tmp_path, "blocks")
    assert (row["block_id"], row["payload"]) == (BLOCK_ID, encoded(block(old_form=True)["payload"]))
    assert {row["auth_subject"] for table in ("processes", "streams") for row in written(tmp_path, table)} == {"agent"}


def test_what_is_sent_again_is_written_once(client: httpx.Client, tmp_path: Path) -> None:
    """Also compressed anew, and also what belongs to it; but another sender's is another's."""
    body = logs("hello").SerializeToString()
    for headers in ({}, {"content-encoding": "gzip"}, OTHER):
        content = gzip.compress(body) if "content-encoding" in headers else body
        assert client.post(LOGS, content=content, headers=AS_PROTOBUF | headers).status_code == 200
    assert client.post(LOGS, content=logs("more").SerializeToString(), headers=AS_PROTOBUF).status_code == 200
    for headers in ({}, {}, OTHER):
        for path, message in (("process", process()), ("block", block())):
            assert client.post(f"/ingestion/insert_{path}", content=encoded(message), headers=headers).is_success
    assert sorted((row["auth_subject"], row["msg"]) for row in written(tmp_path, "log_entries")) == [
        ("agent", "hello"),
        ("agent", "more"),
        ("other", "hello"),
    ]
    for table, count in (("processes", 4), ("streams", 2), ("blocks", 2)):
        assert len(written(tmp_path, table)) == count, table
    assert [row["auth_subject"] for row in written(tmp_path, "processes") if row["process_id"] == PROCESS_ID] == [
        "agent",
        "other",
    ]


def test_what_is_sent_again_after_a_restart_is_written_once(tmp_path: Path) -> None:
    for _ in range(2):
        with ingesting(tmp_path) as client:
            assert client.post(LOGS, content=logs("hello").SerializeToString(), headers=AS_PROTOBUF).is_success
            for path, message in (("process", process()), ("stream", stream()), ("block", block())):
                assert client.post(f"/ingestion/insert_{path}", content=encoded(message)).is_success
    for table, count in (("log_entries", 1), ("processes", 2), ("streams", 2), ("blocks", 1)):
        assert len(written(tmp_path, table)) == count, table


def test_the_same_at_the_same_time(tmp_path: Path) -> None:
    """Whoever comes while it is being written waits for the same write."""
    body = logs("hello").SerializeToString()
    with ingesting(tmp_path, commit_delay=0.2) as client, ThreadPoolExecutor(8) as threads:
        send = [threads.submit(client.post, LOGS, content=body, headers=AS_PROTOBUF) for _ in range(8)]
        statuses = [sent.result().status_code for sent in send]
    assert statuses == [200] * 8
    assert len(written(tmp_path, "log_entries")) == len(written(tmp_path, "processes")) == 1


def test_a_full_lake_says_when_to_come_back(tmp_path: Path) -> None:
    """There is room for one request until it is committed; of those that come together others are turned away."""
    answers: list[httpx.Response] = []
    with ingesting(tmp_path, max_pending_bytes=1, commit_delay=0.5) as client, ThreadPoolExecutor(8) as threads:

        def send(number: int) -> httpx.Response:
            return client.post(LOGS, content=logs(f"number {number}").SerializeToString(), headers=AS_PROTOBUF)

        while all(answer.status_code == 200 for answer in answers):
            answers += threads.map(send, range(len(answers), len(answers) + 8))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {503}
    assert int(refused[0].headers["retry-after"]) >= 1
    assert Status.FromString(refused[0].content).code == 14
    assert len(written(tmp_path, "log_entries")) == len(answers) - len(refused)


def test_a_disk_that_fails(client: httpx.Client, tmp_path: Path) -> None:
    """503, as an exporter drops its batch at 500; and when the disk is well again the same request succeeds."""
    staging = tmp_path / ".lake" / "staging"
    shutil.rmtree(staging)
    staging.write_text("not a folder")
    bodies = {LOGS: logs("hello").SerializeToString(), "/ingestion/insert_process": encoded(process())}
    for path, body in bodies.items():
        answer = client.post(path, content=body, headers=AS_PROTOBUF)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert str(tmp_path) not in answer.text
    staging.unlink()
    staging.mkdir()
    for path, body in bodies.items():
        assert client.post(path, content=body, headers=AS_PROTOBUF).status_code == 200
    assert len(written(tmp_path, "log_entries")) == 1
    assert len(written(tmp_path, "processes")) == 2


def test_no_more_than_a_number_of_bytes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that arrives while others of its sender hold a third of all there is gets 503, others are taken."""
    half, over = threading.Event(), threading.Event()

    class Watched(Budget):
        def add(self, size: int, waiting_of: Sender | None = None) -> None:
            super().add(size, waiting_of)
            if self.left <= 1_000_000:
                half.set()

    def slowly() -> Iterator[bytes]:
        yield b"x" * 200_000
        over.wait(20)

    monkeypatch.setattr("micromegas_server.ingestion.app.Budget", Watched)
    with ingesting(tmp_path, bytes_in_flight=1_200_000) as client:
        slow = threading.Thread(target=lambda: client.post(LOGS, content=slowly(), headers=AS_PROTOBUF))
        slow.start()
        assert half.wait(20)
        body = logs("x" * 150_000).SerializeToString()
        answer = client.post(LOGS, content=body, headers=AS_PROTOBUF)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.post(LOGS, content=body, headers=AS_PROTOBUF | OTHER).status_code == 200
        over.set()
        slow.join()
        assert client.post(LOGS, content=body, headers=AS_PROTOBUF).status_code == 200


SENDER = Sender("agent", None)


def read_logs(text: str) -> tuple[dict[str, pa.RecordBatch], Belonging, Rejected]:
    """A request's rows, of the same process whatever the text."""
    return otlp.read(LOGS_SIGNAL, otlp.PROTOBUF, logs(text).SerializeToString(), SENDER, text, 1)


def test_a_process_of_a_request_that_is_refused(tmp_path: Path) -> None:
    """It is written by another request, which came meanwhile."""
    writer = LakeWriter(tmp_path)
    writing = Writing(writer, Lake(tmp_path))

    def fails() -> tuple[dict[str, pa.RecordBatch], Belonging, Rejected]:
        read_logs("first")
        writing.request("second", SENDER, lambda: read_logs("second")).result(20)
        raise malformed("at its end")

    with pytest.raises(Refused):
        writing.request("first", SENDER, fails)
    writer.close()
    assert len(written(tmp_path, "processes")) == len(written(tmp_path, "log_entries")) == 1


class Held(LakeWriter):
    """Lets the test say when, and whether, what is submitted is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.held: list[tuple[Mapping[str, pa.RecordBatch], Future[None]]] = []

    def submit(self, batches: Mapping[str, pa.RecordBatch]) -> "Future[None]":
        self.held.append((batches, Future()))
        return self.held[-1][1]


def test_a_process_that_another_request_fails_to_write(tmp_path: Path) -> None:
    """Whoever belongs to it waits, then writes it itself, and says what comes of that."""
    writer = Held(tmp_path)
    writing = Writing(writer, Lake(tmp_path))
    for failure in (OSError("again"), None):
        one, two = (writing.request(text, SENDER, partial(read_logs, text)) for text in ("one", "two"))
        (first, first_done), (second, second_done) = writer.held
        assert (set(first), set(second)) == ({"log_entries", "processes", "streams"}, {"log_entries"})
        second_done.set_result(None)
        assert not two.done()
        first_done.set_exception(OSError("once"))
        assert isinstance(one.exception(0), OSError)
        third, third_done = writer.held.pop()
        assert set(third) == {"processes", "streams"}
        assert not two.done()
        if failure:
            third_done.set_exception(failure)
        else:
            third_done.set_result(None)
        assert two.exception(0) is failure
        writer.held.clear()
    writer.close()


@pytest.mark.parametrize("path", ["/ingestion/otlp/v1/logs", "/ingestion/insert_block", "/nosuch", "/", "/health/x"])
def test_nobody_is_let_in_without_a_credential(client: httpx.Client, path: str) -> None:
    for authorization in ("", "Bearer of-nobody"):
        answer = client.post(path, content=b"", headers={"authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_and_readiness_are_public(client: httpx.Client, tmp_path: Path) -> None:
    for path, text in (("/health", "healthy"), ("/ready", "ready")):
        answer = httpx.get(client.base_url.join(path))
        assert (answer.status_code, answer.text) == (200, text)
    assert not [entry for entry in tmp_path.iterdir() if entry.name != ".lake"]


def test_a_lake_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    with ingesting(tmp_path / "lake") as client:
        shutil.rmtree(tmp_path / "lake")
        answer = client.get("/ready")
    assert (answer.status_code, answer.text) == (503, "the lake cannot be written")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(client: httpx.Client, method: str) -> None:
    for path in (LOGS, "/ingestion/insert_block"):
        assert client.request(method, path).status_code == 405


def test_json_answers_are_json(client: httpx.Client) -> None:
    answer = client.post(LOGS, content=b"{", headers=AS_JSON)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["code"] == 3
