"""Requests of OTLP as rows: logs and spans, what all signals share, and what is malformed."""

import json
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.ingestion import json_nodes, nodes, otlp, rows
from micromegas_server.ingestion.errors import Refused, busy, malformed
from micromegas_server.ingestion.logs import level
from micromegas_server.ingestion.otlp import JSON, PROTOBUF, SIGNALS
from micromegas_server.ingestion.rows import Rejected, Sender
from micromegas_server.ingestion.schemas import SCHEMAS, batch_of
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus
from support.ingestion_samples import AGENT, ALICE, NOW, REQUESTS, attribute, gauge, logs, spans

TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8, 16))


def read(
    signal: str, body: bytes, encoding: str = PROTOBUF, sender: Sender = ALICE
) -> tuple[dict[str, list[dict[str, Any]]], Rejected]:
    """The rows of each table, with times as numbers."""
    kind = SIGNALS[signal]
    block = otlp.block_id(kind, sender, body)
    batches, belonging, rejected = otlp.read(kind, encoding, body, sender, block, NOW)
    made = {table: batch_of(table, list(rows.values())) for table, rows in belonging.items() if rows}
    return {table: plain(table, batch) for table, batch in {**batches, **made}.items()}, rejected


def plain(table: str, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    assert batch.schema == SCHEMAS[table]
    fields = [pa.field(f.name, pa.int64()) if pa.types.is_timestamp(f.type) else f for f in batch.schema]
    found: list[dict[str, Any]] = batch.cast(pa.schema(fields)).to_pylist()
    return found


def as_json(message: Message) -> bytes:
    """As OTLP has it: like protobuf's JSON, but ids in hexadecimal and enumerations as numbers."""

    def changed(value: Any, original: Any) -> Any:
        if isinstance(value, list):
            return [changed(*pair) for pair in zip(value, original, strict=True)]
        if not isinstance(value, dict):
            return original.hex() if isinstance(original, bytes) else value
        names = {field.json_name: field.name for field in original.DESCRIPTOR.fields}
        return {
            name: item if name == "bytesValue" else changed(item, getattr(original, names[name]))
            for name, item in value.items()
        }

    return json.dumps(changed(MessageToDict(message, use_integers_for_enums=True), message)).encode()


def rich_logs() -> Message:
    """A request with everything that a log record may have."""
    request = logs("one", "two", host_name="univac", process_owner="grace")
    scope = request.resource_logs[0].scope_logs[0]
    scope.scope.version = "1.2"
    scope.schema_url = "https://schema.example"
    scope.scope.attributes.append(attribute("library", "x"))
    record = scope.log_records[0]
    record.trace_id, record.span_id = TRACE_ID, SPAN_ID
    record.severity_text, record.event_name = "INFO", "order.placed"
    for name, value in (("text", "grün"), ("yes", True), ("number", 2**53 + 1), ("pi", 3.5), ("raw", b"\x00\xff")):
        record.attributes.append(attribute(name, value))
    listed = record.attributes.add(key="list").value.array_value.values
    listed.add(int_value=1)
    listed.add().kvlist_value.values.append(attribute("k", "v"))
    record.attributes.add(key="nothing")
    record.attributes.add(key="nan").value.double_value = float("nan")
    scope.log_records[1].body.kvlist_value.values.append(attribute("order", 7))
    return request


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_a_log_record(encoding: str) -> None:
    message = rich_logs()
    body = message.SerializeToString() if encoding == PROTOBUF else as_json(message)
    tables, rejected = read("logs", body, encoding)
    first, second = tables["log_entries"]
    assert not rejected.count
    (process,), (stream,) = tables["processes"], tables["streams"]
    assert {name: first[name] for name in ("time", "level", "target", "msg", "insert_time")} == {
        "time": NOW,
        "level": 4,
        "target": "shop.orders",
        "msg": "one",
        "insert_time": NOW,
    }
    assert json.loads(first["properties"]) == {
        "text": "grün",
        "yes": True,
        "number": 2**53 + 1,
        "pi": 3.5,
        "raw": "AP8=",
        "list": [1, {"k": "v"}],
        "nothing": None,
        "nan": None,
        "otel.trace_id": TRACE_ID.hex(),
        "otel.span_id": SPAN_ID.hex(),
        "otel.severity_text": "INFO",
        "otel.event_name": "order.placed",
        "otel.scope.name": "shop.orders",
        "otel.scope.version": "1.2",
        "otel.scope.schema_url": "https://schema.example",
        "otel.scope.attr.library": "x",
    }
    assert (second["msg"], second["time"]) == ('{"order":7}', NOW + 1)
    assert (first["exe"], first["computer"], first["username"]) == ("shop", "univac", "grace")
    assert (first["auth_subject"], first["auth_issuer"]) == tuple(ALICE)
    assert first["process_id"] == process["process_id"] == stream["process_id"]
    assert first["stream_id"] == stream["stream_id"]
    assert first["process_properties"] == process["properties"]
    assert json.loads(process["properties"])["otel.resource.service.name"] == "shop"
    assert (process["start_time"], process["tsc_frequency"]) == (NOW, 10**9)
    assert (stream["tags"], stream["format"]) == (["log"], "otlp/v1/logs")


@pytest.mark.parametrize("number", range(25))
def test_levels(number: int) -> None:
    assert level(number) == ([4] + [6] * 4 + [5] * 4 + [4] * 4 + [3] * 4 + [2] * 4 + [1] * 4)[number]


def test_levels_outside() -> None:
    assert (level(-1), level(25)) == (4, 4)


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_a_span(encoding: str) -> None:
    message = spans("checkout", "pay")
    first, second = message.resource_spans[0].scope_spans[0].spans
    second.parent_span_id = first.span_id
    second.status.code, second.status.message = SpanStatus.STATUS_CODE_ERROR, "no money"
    second.attributes.append(attribute("amount", 7))
    second.events.add(time_unix_nano=NOW, name="retry").attributes.append(attribute("n", 1))
    second.links.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    body = message.SerializeToString() if encoding == PROTOBUF else as_json(message)
    root, child = read("traces", body, encoding)[0]["spans"]
    assert root["parent_span_id"] is None
    assert (root["status"], root["status_message"], root["events"], root["links"]) == ("UNSET", None, "[]", "[]")
    assert {name: child[name] for name in list(SCHEMAS["spans"].names)[:11]} == {
        "trace_id": TRACE_ID.hex(),
        "span_id": "0000000000000002",
        "parent_span_id": "0000000000000001",
        "start_time": NOW + 1,
        "end_time": NOW + 1_000_001,
        "duration": 1_000_000,
        "target": "shop.orders",
        "name": "pay",
        "kind": "SERVER",
        "status": "ERROR",
        "status_message": "no money",
    }
    assert json.loads(child["events"]) == [{"time": NOW, "name": "retry", "attributes": {"n": 1}}]
    assert json.loads(child["links"]) == [{"trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "attributes": {}}]


def test_what_cannot_be_kept_is_counted_and_the_rest_is_kept() -> None:
    message = logs("kept", "without a time", "after 2261", "seen")
    records = message.resource_logs[0].scope_logs[0].log_records
    records[1].time_unix_nano = 0
    records[2].time_unix_nano = 2**63
    records[3].time_unix_nano, records[3].observed_time_unix_nano = 0, NOW
    tables, rejected = read("logs", message.SerializeToString())
    assert [row["msg"] for row in tables["log_entries"]] == ["kept", "seen"]
    assert rejected == Rejected(2, "log records without a time, or with one after 2261")
    traces = spans("kept", "a short id", "no end")
    found = traces.resource_spans[0].scope_spans[0].spans
    found[1].span_id = b"short"
    found[2].end_time_unix_nano = 0
    tables, rejected = read("traces", traces.SerializeToString())
    assert [row["name"] for row in tables["spans"]] == ["kept"]
    assert rejected == Rejected(2, "spans whose ids have not 16 and 8 bytes")


def test_one_record_that_is_too_large_costs_only_itself() -> None:
    tables, rejected = read("logs", logs("kept", "x" * nodes.MAX_RECORD_BYTES).SerializeToString())
    assert [row["msg"] for row in tables["log_entries"]] == ["kept"]
    assert rejected == Rejected(1, "records too large")


def test_the_same_resource_of_the_same_sender_is_the_same_process() -> None:
    ids = [
        (tables["processes"][0]["process_id"], tables["streams"][0]["stream_id"])
        for tables, _ in (
            read("logs", logs("one", host_name="a").SerializeToString()),
            read("logs", logs("two", host_name="a").SerializeToString()),
            read("logs", logs("one", host_name="b").SerializeToString()),
            read("logs", logs("one", host_name="a").SerializeToString(), sender=AGENT),
        )
    ]
    assert ids[0] == ids[1]
    assert len({process for process, _ in ids}) == len({stream for _, stream in ids}) == 3


def test_several_resources_stay_apart() -> None:
    message = logs("one", service="a")
    message.MergeFrom(logs("two", "three", service="b"))
    message.MergeFrom(logs(service="without records"))
    tables, _ = read("logs", message.SerializeToString())
    assert [row["exe"] for row in tables["log_entries"]] == ["a", "b", "b"]
    assert len({row["process_id"] for row in tables["log_entries"]}) == 2
    assert [row["exe"] for row in tables["processes"]] == ["a", "b"]


def test_a_resource_that_comes_twice_has_one_process() -> None:
    message = logs("one")
    message.MergeFrom(logs("two"))
    tables, _ = read("logs", message.SerializeToString())
    assert [len(tables[table]) for table in ("log_entries", "processes", "streams")] == [2, 1, 1]


def test_a_process_that_says_when_it_began() -> None:
    body = logs("one", service_namespace="acme", process_creation_time="2026-11-20T09:00:00.5+01:00")
    (process,) = read("logs", body.SerializeToString())[0]["processes"]
    assert process["start_time"] == process["start_ticks"] == 1_795_161_600_500_000_000
    assert process["exe"] == "acme/shop"


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(("encoding", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON, b'{"unknown": [{"x": 1}]}')])
def test_an_empty_request_is_fine(signal: str, encoding: str, body: bytes) -> None:
    assert read(signal, body, encoding) == ({}, Rejected())


def test_json_in_either_case_and_with_what_it_may_leave_out() -> None:
    for body in (
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": str(NOW), "later": {"x": 1}}]}]}]},
        {"resource_logs": [{"scope_logs": [{"log_records": [{"time_unix_nano": NOW, "body": {}}]}]}]},
        {"resourceLogs": [{"resource": None, "scopeLogs": [{"logRecords": [{"observedTimeUnixNano": NOW}]}]}]},
    ):
        (row,) = read("logs", json.dumps(body).encode(), JSON)[0]["log_entries"]
        assert (row["time"], row["msg"], row["target"], row["level"], row["exe"]) == (NOW, "", "", 4, "")


SECRET = "Zq9-of-a-request"  # a value that no answer may repeat


def json_record(**fields: Any) -> bytes:
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [fields]}]}]}).encode()


MALFORMED: dict[str, tuple[str, bytes]] = {
    "no protobuf": (PROTOBUF, SECRET.encode()),
    "a message cut off": (PROTOBUF, b"\x0a\x05abc"),
    "a length of 2^70": (PROTOBUF, b"\x0a" + b"\xff" * 10 + b"\x01"),
    "a length that never ends": (PROTOBUF, b"\x0a" + b"\x80" * 1000),
    "a group": (PROTOBUF, b"\x0b\x0c"),
    "a wire type that is none": (PROTOBUF, b"\x0f"),
    "a field cut off": (PROTOBUF, b"\x09\x00"),
    "a text that is not UTF-8": (PROTOBUF, b"\x0a\x07\x12\x05\x1a\x03\xff\xff\xff"),
    "a list deep down": (PROTOBUF, b""),  # filled in below
    "no JSON": (JSON, SECRET.encode()),
    "JSON cut off": (JSON, b'{"resourceLogs": ['),
    "JSON that is not UTF-8": (JSON, b'{"x": "\xff"}'),
    "deep JSON": (JSON, b"[" * 1_000_000),
    "deep attributes": (JSON, json_record().replace(b"{}", b'{"body":' + b'{"arrayValue":{"values":[' * 5000)),
    "a number of 5000 digits": (JSON, b'{"x": ' + b"1" * 5000 + b"}"),
    "a list for the request": (JSON, b"[]"),
    "a text for a list": (JSON, json.dumps({"resourceLogs": SECRET}).encode()),
    "a number in a list": (JSON, b'{"resourceLogs": [1]}'),
    "a time that is a text": (JSON, json_record(timeUnixNano=SECRET)),
    "a time below zero": (JSON, json_record(timeUnixNano=-1)),
    "a text that is a number": (JSON, json_record(severityText=5)),
    "a lone surrogate": (JSON, json_record(severityText="\ud800")),
    "an id that is not hexadecimal": (JSON, json_record(traceId=SECRET)),
    "an id that is a number": (JSON, json_record(spanId=5)),
    "an infinite number": (JSON, json_record(severityNumber=float("inf"))),
    "a number that becomes infinite": (JSON, json_record().replace(b"{}", b'{"severityNumber": 1e999}')),
    "no number": (JSON, json_record(unknown=float("nan"))),
    "a lone surrogate for a message": (JSON, json.dumps({"resourceLogs": [{"resource": "\ud800"}]}).encode()),
    "null in a list": (JSON, json_record(attributes=[None])),
}


def deep_protobuf(depth: int) -> bytes:
    """A log record whose body is a list in a list, and so on."""
    value = b""
    for _ in range(depth):
        inner = b"\x0a" + varint(len(value)) + value  # ArrayValue.values
        value = b"\x2a" + varint(len(inner)) + inner  # AnyValue.array_value
    for tag in (b"\x2a", b"\x12", b"\x12", b"\x0a"):  # body, log_records, scope_logs, resource_logs
        value = tag + varint(len(value)) + value
    return value


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


MALFORMED["a list deep down"] = (PROTOBUF, deep_protobuf(10_000))


def refusal(encoding: str, body: bytes, signal: str = "logs") -> Refused:
    with pytest.raises(Refused) as caught:
        read(signal, body, encoding)
    assert SECRET not in caught.value.public_message
    return caught.value


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed(name: str) -> None:
    refused = refusal(*MALFORMED[name])
    assert (refused.status, refused.retry_after) == (400, None)


@pytest.mark.parametrize("signal", SIGNALS)
def test_whatever_is_cut_off(signal: str) -> None:
    whole = {"logs": logs("a"), "metrics": gauge("a", 1.0), "traces": spans("a")}[signal].SerializeToString()
    for length in range(1, len(whole)):
        assert refusal(PROTOBUF, whole[:length], signal).status == 400


@given(st.sampled_from(sorted(SIGNALS)), st.data())
def test_no_damage_raises_anything_else(signal: str, data: st.DataObject) -> None:
    whole = {"logs": rich_logs(), "metrics": gauge("a", 1.0, 2.0), "traces": spans("a", "b")}[signal]
    message = bytearray(whole.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(signal, bytes(message))
    except Refused as refused:
        assert refused.status == 400  # noqa: PT017 - it may as well still be sound


@pytest.mark.parametrize(("encoding", "piece"), [(PROTOBUF, b"\x0a\x00"), (JSON, b"{},")])
def test_many_records_of_nothing(encoding: str, piece: bytes) -> None:
    """Each would become a hundred times as large."""
    many = piece * (nodes.MAX_RECORDS + 1)
    body = many if encoding == PROTOBUF else b'{"resourceLogs": [' + many + b"{}]}"
    assert refusal(encoding, body).status == 413


def test_many_resources() -> None:
    resource = logs("x").resource_logs[0].SerializeToString()
    piece = b"\x0a" + varint(len(resource)) + resource
    assert len(read("logs", piece * otlp.MAX_RESOURCES)[0]["log_entries"]) == otlp.MAX_RESOURCES
    assert refusal(PROTOBUF, piece * (otlp.MAX_RESOURCES + 1)).status == 413


def test_what_a_process_repeats_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    body = logs("x", note="n" * 1000).SerializeToString()
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (4000, rows.MAX_VALUES))
    read("logs", body)
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (2000, rows.MAX_VALUES))
    assert refusal(PROTOBUF, body).status == 413


def many_values() -> dict[str, tuple[str, Message]]:
    """A message of each kind with a hundred values of one kind, which are as small as can be."""
    found: dict[str, tuple[str, Message]] = {}
    for name in ("attributes", "body", "a map", "scope", "resource"):
        request = logs("x")
        resource = request.resource_logs[0]
        record = resource.scope_logs[0].log_records[0]
        holder: Any = {
            "attributes": record.attributes,
            "body": record.body.array_value.values,
            "a map": record.body.kvlist_value.values,
            "scope": resource.scope_logs[0].scope.attributes,
            "resource": resource.resource.attributes,
        }[name]
        for _ in range(100):
            holder.add()
        found[name] = ("logs", request)
    for name in ("attributes", "events", "links"):
        traces = spans("x")
        for _ in range(100):
            getattr(traces.resource_spans[0].scope_spans[0].spans[0], name).add()
        found[f"{name} of a span"] = ("traces", traces)
    return found


@pytest.mark.parametrize("name", many_values())
def test_many_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes time, and two bytes of the request."""
    signal, message = many_values()[name]
    body = message.SerializeToString()
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (rows.MAX_ROW_BYTES, 110))
    read(signal, body)
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (rows.MAX_ROW_BYTES, 99))
    assert refusal(PROTOBUF, body, signal).status == 413


def test_what_a_scope_repeats_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    message = logs(*["x"] * 100)
    message.resource_logs[0].scope_logs[0].scope.attributes.append(attribute("k", 1))
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (rows.MAX_ROW_BYTES, 150))
    assert refusal(PROTOBUF, message.SerializeToString()).status == 413


def test_many_fields_that_nobody_knows() -> None:
    assert refusal(PROTOBUF, b"\xf8\x07\x00" * (nodes.MAX_RECORDS + 1)).status == 413


@pytest.mark.parametrize("values", [b"0," * json_nodes.MAX_JSON_VALUES, b"{}," * (json_nodes.MAX_JSON_VALUES // 2)])
def test_many_values_of_json(values: bytes) -> None:
    body = b'{"unknown": [' + values + b'{}], "other": [' + values + b"{}]}"
    refused = refusal(JSON, body)
    assert (refused.status, refused.public_message) == (413, "request too large: too many values")


def test_a_resource_that_every_row_would_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.Size.__init__, "__defaults__", (1_000_000, rows.MAX_VALUES))
    body = logs(*["x"] * 1000, note="n" * 10_000).SerializeToString()
    assert refusal(PROTOBUF, body).status == 413


def test_a_resource_that_is_too_large() -> None:
    assert refusal(PROTOBUF, logs("x", note="n" * nodes.MAX_RECORD_BYTES).SerializeToString()).status == 413


@pytest.mark.parametrize("signal", SIGNALS)
def test_answers(signal: str) -> None:
    kind = SIGNALS[signal]
    assert otlp.success(kind, PROTOBUF, Rejected()) == b""
    assert json.loads(otlp.success(kind, JSON, Rejected())) == {}
    partly = kind.response.FromString(otlp.success(kind, PROTOBUF, Rejected(3, "why"))).partial_success
    assert (getattr(partly, kind.rejected), partly.error_message) == (3, "not kept: why")
    request, path = REQUESTS[signal]
    assert (kind.request, path) == (request, f"/ingestion/otlp/v1/{signal}")


@pytest.mark.parametrize(("refused", "code"), [(malformed("x"), 3), (busy(), 14), (Refused(413, "x"), 8)])
def test_refusals_are_statuses(refused: Refused, code: int) -> None:
    status = Status.FromString(otlp.failure(refused, PROTOBUF))
    assert (status.code, status.message) == (code, refused.public_message)
    assert json.loads(otlp.failure(refused, JSON)) == {"code": code, "message": refused.public_message}


def test_the_block_of_a_request() -> None:
    """Another body, sender or signal is another request."""
    blocks = {
        otlp.block_id(SIGNALS[signal], sender, body)
        for signal in ("logs", "traces")
        for sender in (ALICE, AGENT, Sender("alice", None))
        for body in (b"", b"x")
    }
    assert len(blocks) == 12
