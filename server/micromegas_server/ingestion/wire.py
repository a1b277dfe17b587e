"""The messages of Micromegas' own clients: a process, a stream, a block, each a map in CBOR."""

import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from micromegas_server.ingestion.attributes import json_text
from micromegas_server.ingestion.cbor import Malformed, Reader
from micromegas_server.ingestion.errors import malformed
from micromegas_server.ingestion.rows import Sender
from micromegas_server.ingestion.schemas import batch_of
from micromegas_server.ingestion.times import parse_time

Parts = dict[str, Callable[[Reader], Any]]


def _id(reader: Reader) -> str:
    return _uuid(reader.text())


def _id_or_null(reader: Reader) -> str | None:
    text = reader.text_or_null()
    return _uuid(text) if text else None


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Malformed("no UUID") from None


def _time(reader: Reader) -> int:
    try:
        return parse_time(reader.text())
    except ValueError as error:
        raise Malformed(str(error)) from None


def _count(reader: Reader) -> int:
    number = reader.integer(32)
    if number < 0:
        raise Malformed("a negative number")
    return number


def _texts(reader: Reader) -> list[str]:
    return [reader.text() for _ in reader.elements()]


def _properties(reader: Reader) -> str:
    return json_text({name: reader.text() for name in reader.fields()})


def _metadata(reader: Reader) -> bytes:
    """Types of what blocks hold, kept as they are for whoever decodes the blocks."""
    begin = reader.position
    for _ in reader.elements():
        reader.skip()
    return reader.raw(begin)


def _payload(reader: Reader) -> bytes:
    """`{dependencies, objects}`, kept as it is."""
    begin = reader.position
    found = {name: reader.skip_octets() for name in reader.fields()}
    if found.keys() != {"dependencies", "objects"}:
        raise Malformed("not dependencies and objects")
    if not found["objects"]:
        raise Malformed("an empty block")
    return reader.raw(begin)


PROCESS: Parts = {
    "process_id": _id,
    "exe": Reader.text,
    "username": Reader.text,
    "realname": Reader.text,
    "computer": Reader.text,
    "distro": Reader.text,
    "cpu_brand": Reader.text,
    "tsc_frequency": Reader.integer,
    "start_time": _time,
    "start_ticks": Reader.integer,
    "parent_process_id": _id_or_null,
    "properties": _properties,
}
STREAM: Parts = {
    "process_id": _id,
    "stream_id": _id,
    "dependencies_metadata": _metadata,
    "objects_metadata": _metadata,
    "tags": _texts,
    "properties": _properties,
}
BLOCK: Parts = {
    "block_id": _id,
    "stream_id": _id,
    "process_id": _id,
    "begin_time": _time,
    "begin_ticks": Reader.integer,
    "end_time": _time,
    "end_ticks": Reader.integer,
    "payload": _payload,
    "object_offset": Reader.integer,
    "nb_objects": _count,
}

_MIB = 1024 * 1024
# Of a message, by the route's last part. Blocks alone are large; texts of the others become several times as large.
MAX_BYTES = {"insert_process": _MIB, "insert_stream": _MIB, "insert_block": 100 * _MIB}

# The route's last part: the table, the parts of a message, and which of them tells it from others.
MESSAGES: dict[str, tuple[str, Parts, str]] = {
    "insert_process": ("processes", PROCESS, "process_id"),
    "insert_stream": ("streams", STREAM, "stream_id"),
    "insert_block": ("blocks", BLOCK, "block_id"),
}


def read(route: str, body: bytes | bytearray, sender: Sender, insert_time: int) -> tuple[str, str, pa.RecordBatch]:
    """The table, the id and the row of a message.

    Args:
        route: A key of MESSAGES.
        body: The message.
        sender: Who sent it.
        insert_time: In nanoseconds since the epoch.

    Raises:
        Refused: It is malformed.
    """
    table, parts, identity = MESSAGES[route]
    values: dict[str, Any] = {"insert_time": insert_time, **sender.columns}
    reader = Reader(body)
    field = "the message"
    try:
        for name in reader.fields():
            if (part := parts.get(name)) is None:
                reader.skip()  # of a client that is newer
                continue
            field = name
            values[name] = part(reader)
            field = "the message"
        reader.end()
    except Malformed as error:
        raise malformed(f"{field}: {error}") from None
    # `Option` of Rust's serde may be left out where it is null.
    if missing := parts.keys() - values.keys() - {"parent_process_id"}:
        raise malformed(f"without {min(missing)}")
    if table == "blocks":
        values["payload_size"] = len(values["payload"])
    return table, values[identity], batch_of(table, [values])
