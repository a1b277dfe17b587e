"""The tables that are written: Micromegas' column names, in types that every Arrow and Flight client reads.

Texts are Utf8 and not dictionaries (Grafana reads nothing else; Parquet compresses repetitions by itself); properties
are JSON in a text, so that every client can show them. Each row says who sent it: `auth_subject`, and `auth_issuer`,
which is null for API keys. docs/ingestion.md says what each column holds.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

TIME = pa.timestamp("ns", tz="UTC")

_SENDER = {"auth_subject": pa.string(), "auth_issuer": pa.string()}
_ORIGIN = {
    "process_id": pa.string(),
    "stream_id": pa.string(),
    "block_id": pa.string(),
    "insert_time": TIME,
    "exe": pa.string(),
    "username": pa.string(),
    "computer": pa.string(),
    "process_properties": pa.string(),
    **_SENDER,
}

SCHEMAS: dict[str, pa.Schema] = {
    "log_entries": pa.schema(
        {
            "time": TIME,
            "level": pa.int32(),
            "target": pa.string(),
            "msg": pa.string(),
            "properties": pa.string(),
            **_ORIGIN,
        }
    ),
    "measures": pa.schema(
        {
            "time": TIME,
            "target": pa.string(),
            "name": pa.string(),
            "unit": pa.string(),
            "value": pa.float64(),
            "properties": pa.string(),
            **_ORIGIN,
        }
    ),
    "spans": pa.schema(
        {
            "trace_id": pa.string(),
            "span_id": pa.string(),
            "parent_span_id": pa.string(),
            "start_time": TIME,
            "end_time": TIME,
            "duration": pa.int64(),
            "target": pa.string(),
            "name": pa.string(),
            "kind": pa.string(),
            "status": pa.string(),
            "status_message": pa.string(),
            "properties": pa.string(),
            "events": pa.string(),
            "links": pa.string(),
            **_ORIGIN,
        }
    ),
    "processes": pa.schema(
        {
            "process_id": pa.string(),
            "exe": pa.string(),
            "username": pa.string(),
            "realname": pa.string(),
            "computer": pa.string(),
            "distro": pa.string(),
            "cpu_brand": pa.string(),
            "tsc_frequency": pa.int64(),
            "start_time": TIME,
            "start_ticks": pa.int64(),
            "insert_time": TIME,
            "parent_process_id": pa.string(),
            "properties": pa.string(),
            **_SENDER,
        }
    ),
    "streams": pa.schema(
        {
            "stream_id": pa.string(),
            "process_id": pa.string(),
            "dependencies_metadata": pa.binary(),
            "objects_metadata": pa.binary(),
            "tags": pa.list_(pa.string()),
            "properties": pa.string(),
            "insert_time": TIME,
            "format": pa.string(),
            **_SENDER,
        }
    ),
    "blocks": pa.schema(
        {
            "block_id": pa.string(),
            "stream_id": pa.string(),
            "process_id": pa.string(),
            "begin_time": TIME,
            "begin_ticks": pa.int64(),
            "end_time": TIME,
            "end_ticks": pa.int64(),
            "nb_objects": pa.int32(),
            "object_offset": pa.int64(),
            "payload_size": pa.int64(),
            "insert_time": TIME,
            "payload": pa.binary(),
            **_SENDER,
        }
    ),
}


def batch_of(table: str, rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch:
    """A batch of these rows of `table`; a column that one leaves out is null in it."""
    schema = SCHEMAS[table]
    return pa.RecordBatch.from_arrays(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema
    )
