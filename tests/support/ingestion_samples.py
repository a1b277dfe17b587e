"""Telemetry as clients send it: requests of OTLP, and Micromegas' messages as its Rust client lays them out."""

import uuid
from typing import Any

import cbor2
from micromegas_server.ingestion.rows import Sender
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

NOW = 1_800_000_000_123_456_789  # nanoseconds since the epoch
ALICE = Sender("alice", "https://issuer.example")
AGENT = Sender("agent", None)
PROCESS_ID, STREAM_ID, BLOCK_ID = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
START = "2026-11-20T09:00:00.123456789Z"  # as chrono writes it
START_NS = 1_795_165_200_123_456_789

REQUESTS = {
    "logs": (ExportLogsServiceRequest, "/ingestion/otlp/v1/logs"),
    "metrics": (ExportMetricsServiceRequest, "/ingestion/otlp/v1/metrics"),
    "traces": (ExportTraceServiceRequest, "/ingestion/otlp/v1/traces"),
}


def attribute(name: str, value: Any) -> KeyValue:
    """An attribute of a text, number or truth value."""
    kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
    return KeyValue(key=name, value=AnyValue(**{kinds[type(value)]: value}))


def logs(*messages: str, service: str = "shop", time: int = NOW, **resource: Any) -> ExportLogsServiceRequest:
    """A request with a log record for each message, a nanosecond apart."""
    request = ExportLogsServiceRequest()
    entry = request.resource_logs.add()
    entry.resource.attributes.append(attribute("service.name", service))
    entry.resource.attributes.extend(attribute(name.replace("_", "."), value) for name, value in resource.items())
    scope = entry.scope_logs.add()
    scope.scope.name = "shop.orders"
    for number, message in enumerate(messages):
        record = scope.log_records.add(time_unix_nano=time + number, severity_number=9)
        record.body.string_value = message
    return request


def spans(*names: str, time: int = NOW) -> ExportTraceServiceRequest:
    """A request with a span of a millisecond for each name."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "shop.orders"
    for number, name in enumerate(names):
        scope.spans.add(
            trace_id=bytes(range(16)),
            span_id=(number + 1).to_bytes(8, "big"),
            name=name,
            kind=2,
            start_time_unix_nano=time + number,
            end_time_unix_nano=time + number + 1_000_000,
        )
    return request


def gauge(name: str, *values: float, time: int = NOW) -> ExportMetricsServiceRequest:
    """A request with a gauge that had these values, a nanosecond apart."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    metric = scope.metrics.add(name=name, unit="ms")
    for number, value in enumerate(values):
        metric.gauge.data_points.add(time_unix_nano=time + number, as_double=value)
    return request


def process(**changes: Any) -> dict[str, Any]:
    """`ProcessInfo` of Micromegas' client, its fields in its order."""
    return {
        "process_id": PROCESS_ID,
        "exe": "game.exe",
        "username": "grace",
        "realname": "Grace Hopper",
        "computer": "univac",
        "distro": "Debian 13",
        "cpu_brand": "AMD EPYC",
        "tsc_frequency": 2_500_000_000,
        "start_time": START,
        "start_ticks": 12345,
        "parent_process_id": None,
        "properties": {"build": "1.2", "branch": "main"},
        **changes,
    }


def stream(**changes: Any) -> dict[str, Any]:
    """`StreamInfo`."""
    member = {"name": "desc", "type_name": "u64", "offset": 0, "size": 8, "is_reference": True}
    user_type = {"name": "LogStaticStrEvent", "size": 16, "members": [member], "is_reference": False}
    return {
        "process_id": PROCESS_ID,
        "stream_id": STREAM_ID,
        "dependencies_metadata": [user_type],
        "objects_metadata": [{**user_type, "secondary_udts": [user_type]}],
        "tags": ["log"],
        "properties": {"thread-name": "main"},
        **changes,
    }


def block(*, old_form: bool = False, **changes: Any) -> dict[str, Any]:
    """`Block`; in the old form, which Rust clients send to this day, bytes are arrays of a number each."""
    payload = {"dependencies": bytes(range(256)), "objects": bytes(range(256)) * 8}
    return {
        "block_id": BLOCK_ID,
        "stream_id": STREAM_ID,
        "process_id": PROCESS_ID,
        "begin_time": START,
        "begin_ticks": 12345,
        "end_time": "2026-11-20T09:00:01+00:00",
        "end_ticks": 2_500_012_345,
        "payload": {name: list(value) for name, value in payload.items()} if old_form else payload,
        "object_offset": 0,
        "nb_objects": 3,
        **changes,
    }


def encoded(message: dict[str, Any]) -> bytes:
    """In CBOR."""
    return cbor2.dumps(message)
