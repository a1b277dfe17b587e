"""Micromegas' messages as rows."""

import json
from typing import Any

import cbor2
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.ingestion import wire
from micromegas_server.ingestion.errors import Refused
from micromegas_server.ingestion.schemas import SCHEMAS
from support.ingestion_samples import (
    AGENT,
    ALICE,
    BLOCK_ID,
    NOW,
    PROCESS_ID,
    START_NS,
    STREAM_ID,
    block,
    encoded,
    process,
    stream,
)

SAMPLES = {"insert_process": process, "insert_stream": stream, "insert_block": block}


def row(route: str, message: dict[str, Any]) -> dict[str, Any]:
    """The row, with times as numbers."""
    _, _, batch = wire.read(route, encoded(message), ALICE, NOW)
    assert batch.num_rows == 1
    times = {field.name: pa.int64() for field in batch.schema if pa.types.is_timestamp(field.type)}
    fields = [field.with_type(times.get(field.name, field.type)) for field in batch.schema]
    (found,) = batch.cast(pa.schema(fields)).to_pylist()
    return dict(found)


def test_a_process() -> None:
    assert row("insert_process", process()) == {
        **process(),
        "start_time": START_NS,
        "insert_time": NOW,
        "properties": '{"branch":"main","build":"1.2"}',
        "auth_subject": "alice",
        "auth_issuer": "https://issuer.example",
    }


def test_a_parent() -> None:
    assert row("insert_process", process(parent_process_id=STREAM_ID))["parent_process_id"] == STREAM_ID
    without = {name: value for name, value in process().items() if name != "parent_process_id"}
    assert row("insert_process", without)["parent_process_id"] is None


def test_a_stream_keeps_its_types_as_they_came() -> None:
    found = row("insert_stream", stream())
    for name in ("dependencies_metadata", "objects_metadata"):
        assert cbor2.loads(found[name]) == stream()[name]
    assert found["tags"] == ["log"]
    assert json.loads(found["properties"]) == {"thread-name": "main"}
    assert found["format"] is None


@pytest.mark.parametrize("old_form", [False, True])
def test_a_block_keeps_its_payload_as_it_came(old_form: bool) -> None:
    found = row("insert_block", block(old_form=old_form))
    assert cbor2.loads(found["payload"]) == block(old_form=old_form)["payload"]
    assert found["payload_size"] == len(found["payload"])
    assert (found["begin_time"], found["end_time"]) == (START_NS, START_NS // 10**9 * 10**9 + 10**9)
    assert (found["begin_ticks"], found["end_ticks"], found["nb_objects"]) == (12345, 2_500_012_345, 3)


@pytest.mark.parametrize(
    ("route", "identity"), [("insert_process", PROCESS_ID), ("insert_stream", STREAM_ID), ("insert_block", BLOCK_ID)]
)
def test_every_message(route: str, identity: str) -> None:
    """It has the table's schema, knows who it is and who sent it, and what a newer client adds is stepped over."""
    newer = {"new_field": {"deep": [1, {"x": b"y"}]}, **SAMPLES[route](), "another": None}
    table, found, batch = wire.read(route, encoded(newer), AGENT, NOW)
    assert (found, batch.schema) == (identity, SCHEMAS[table])
    assert batch.column("auth_subject").to_pylist() == ["agent"]
    assert batch.column("auth_issuer").to_pylist() == [None]


def refusal(route: str, data: bytes) -> str:
    """What a client is told whose message is malformed."""
    with pytest.raises(Refused) as caught:
        wire.read(route, data, ALICE, NOW)
    assert (caught.value.status, caught.value.retry_after) == (400, None)
    return caught.value.public_message


SECRET = "Zq9-of-a-message"  # a value that no answer may repeat

# route, changes, and what the answer says
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "an id that is none": ("insert_process", {"process_id": SECRET}, "process_id: no UUID"),
    "an id that is bytes": ("insert_block", {"block_id": SECRET.encode()}, "block_id: not a text"),
    "an id that is null": ("insert_stream", {"stream_id": None}, "stream_id: not a text"),
    "a parent that is none": ("insert_process", {"parent_process_id": SECRET}, "parent_process_id: no UUID"),
    "a time that is none": ("insert_process", {"start_time": SECRET}, "start_time: no time as in RFC 3339"),
    "a time without a zone": ("insert_process", {"start_time": "2026-11-20T09:00:00"}, "start_time: no time"),
    "a time of the 31st of February": ("insert_block", {"end_time": "2026-02-31T09:00:00Z"}, "end_time: no time"),
    "a time after 2261": ("insert_block", {"begin_time": "9999-01-01T00:00:00Z"}, "begin_time: a time before 1678"),
    "a number that is a text": ("insert_process", {"tsc_frequency": SECRET}, "tsc_frequency: not a number"),
    "a number above 64 bits": ("insert_process", {"start_ticks": 2**63}, "start_ticks: not a number"),
    "objects above 32 bits": ("insert_block", {"nb_objects": 2**31}, "nb_objects: not a number"),
    "less than no objects": ("insert_block", {"nb_objects": -1}, "nb_objects: a negative number"),
    "properties that are a list": ("insert_process", {"properties": [SECRET]}, "properties: not a map"),
    "a property that is a number": ("insert_stream", {"properties": {SECRET: 1}}, "properties: not a text"),
    "tags that are a text": ("insert_stream", {"tags": SECRET}, "tags: not an array"),
    "types that are a map": ("insert_stream", {"objects_metadata": {}}, "objects_metadata: not an array"),
    "a payload that is bytes": ("insert_block", {"payload": SECRET.encode()}, "payload: not a map"),
    "a payload of texts": ("insert_block", {"payload": {"dependencies": SECRET}}, "payload: not bytes"),
    "half a payload": ("insert_block", {"payload": {"objects": b"x"}}, "payload: not dependencies and objects"),
    "more than a payload": (
        "insert_block",
        {"payload": {"objects": b"x", "dependencies": b"", "more": b""}},
        "payload: not dependencies and objects",
    ),
    "an empty block": ("insert_block", {"payload": {"dependencies": b"x", "objects": b""}}, "payload: an empty block"),
    "an empty block, in the old form": (
        "insert_block",
        {"payload": {"dependencies": [], "objects": []}},
        "payload: an empty block",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_malformed(name: str) -> None:
    route, changes, says = WRONG[name]
    message = refusal(route, encoded(SAMPLES[route](**changes)))
    assert message.startswith(f"malformed request: {says}")
    assert SECRET not in message


@pytest.mark.parametrize("route", SAMPLES)
def test_whatever_is_cut_off_or_left_out(route: str) -> None:
    data = encoded(SAMPLES[route]())
    for length in range(len(data)):
        assert refusal(route, data[:length])
    assert refusal(route, data + b"\x00") == "malformed request: the message: more than one item"
    for missing in SAMPLES[route]().keys() - {"parent_process_id"}:
        rest = {name: value for name, value in SAMPLES[route]().items() if name != missing}
        assert refusal(route, encoded(rest)) == f"malformed request: without {missing}"


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_no_damage_raises_anything_else(route: str, data: st.DataObject) -> None:
    message = bytearray(encoded(SAMPLES[route]()))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        wire.read(route, message, ALICE, NOW)
    except Refused as refused:
        assert refused.status == 400  # noqa: PT017 - it may as well still be sound
