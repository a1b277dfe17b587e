"""Requests of OTLP/HTTP: from the body to rows, and what is answered."""

import json
import uuid
from hashlib import sha256

import pyarrow as pa
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from micromegas_server.ingestion.errors import Refused, too_large
from micromegas_server.ingestion.json_nodes import json_root
from micromegas_server.ingestion.logs import LOGS
from micromegas_server.ingestion.metrics import METRICS
from micromegas_server.ingestion.nodes import Counter, Node, Oversized, ProtobufNode
from micromegas_server.ingestion.origin import origin_of
from micromegas_server.ingestion.rows import Belonging, Rejected, Rows, Sender, Size, derived_id, row_bytes
from micromegas_server.ingestion.signal_kinds import OVERSIZED, Scope, Signal
from micromegas_server.ingestion.spans import TRACES

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in (LOGS, METRICS, TRACES)}
PROTOBUF, JSON = "application/x-protobuf", "application/json"
MAX_RESOURCES = 1000  # in one request: each has two rows of its own, and an id that is remembered
MAX_WIRE_BYTES = 20 * 1024 * 1024
MAX_DECODED_BYTES = {
    PROTOBUF: 300 * 1024 * 1024,
    # Values of Python take twenty times the memory of such a text, and nothing else runs while it is parsed.
    JSON: 20 * 1024 * 1024,
}

_BLOCKS = uuid.UUID("6e605a1f-7783-4b59-8b36-df8897303b07")
_CODES = {400: 3, 408: 4, 413: 8, 415: 3, 500: 13, 503: 14}  # HTTP's status to that of google.rpc.Code


def block_id(signal: Signal, sender: Sender, body: bytes | bytearray) -> str:
    """What each row of a request says of it: the same when the same sender sends the same again.

    Args:
        signal: Of the route.
        sender: Who sent it.
        body: Decompressed: what a client compresses again has another time in it.
    """
    digest = sha256(repr((signal.name, sender)).encode())
    digest.update(body)
    return derived_id(_BLOCKS, digest.hexdigest())


def read(
    signal: Signal, encoding: str, body: bytes | bytearray, sender: Sender, block: str, insert_time: int
) -> tuple[dict[str, pa.RecordBatch], Belonging, Rejected]:
    """The rows of a request by table, and those of its processes and streams, each to be written if it is new.

    Args:
        signal: Of the route.
        encoding: PROTOBUF or JSON.
        body: Decompressed.
        sender: Who sent it.
        block: Its `block_id`.
        insert_time: In nanoseconds since the epoch.

    Raises:
        Refused: It is malformed, or too large.
    """
    rejected, size = Rejected(), Size()
    rows = Rows(signal.table, signal.columns, size)
    belonging: Belonging = {"processes": {}, "streams": {}}
    _, resources = _root(encoding, body).open(signal.request, signal.resources)
    if len(resources) > MAX_RESOURCES:
        raise too_large(f"more than {MAX_RESOURCES} resources")
    for _, node in resources:
        about, scopes = node.open(signal.resource, signal.scopes)
        origin = origin_of(about.resource, signal.name, sender, insert_time, size)
        before = len(rows)
        rows.begin(origin.repeated(block))
        for _, scope_node in scopes:
            _add_scope(signal, scope_node, rows, rejected)
        if len(rows) > before:
            for table, (identity, values) in origin.rows(rows.first_time).items():
                size.take(row_bytes(values))
                belonging[table].setdefault(identity, values)
    return {signal.table: rows.batch()} if len(rows) else {}, belonging, rejected


def _root(encoding: str, body: bytes | bytearray) -> Node:
    return ProtobufNode(body, 0, len(body), Counter()) if encoding == PROTOBUF else json_root(body)


def _add_scope(signal: Signal, node: Node, rows: Rows, rejected: Rejected) -> None:
    about, records = node.open(signal.scope, signal.records)
    scope = Scope(about.scope, about.schema_url, rows.size)
    for _, record in records:
        try:
            signal.add(record, scope, rows, rejected)
        except Oversized:
            rejected.add(f"records {OVERSIZED}")


def success(signal: Signal, encoding: str, rejected: Rejected) -> bytes:
    """The body of an answer that all, or all but what was `rejected`, has been kept."""
    answer = signal.response()
    if rejected.count:
        told = signal.partial(error_message=f"not kept: {rejected.why}", **{signal.rejected: rejected.count})
        answer.partial_success.CopyFrom(told)
    return _encoded(answer, encoding)


def failure(refused: Refused, encoding: str) -> bytes:
    """The body of an answer that nothing has been kept, as OTLP/HTTP has it."""
    return _encoded(Status(code=_CODES[refused.status], message=refused.public_message), encoding)


def _encoded(message: Message, encoding: str) -> bytes:
    if encoding == PROTOBUF:
        return message.SerializeToString()
    return json.dumps(MessageToDict(message)).encode()
