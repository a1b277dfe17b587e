"""Log records of OTLP as rows of `log_entries`."""

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from micromegas_server.ingestion.attributes import attributes, json_text, plain, text
from micromegas_server.ingestion.nodes import Node
from micromegas_server.ingestion.rows import Rejected, Rows
from micromegas_server.ingestion.signal_kinds import NO_TIME, Scope, Signal
from micromegas_server.ingestion.times import is_time

_INFO = 4


def level(severity_number: int) -> int:
    """Micromegas' level, 1 (fatal) to 6 (trace), for OTLP's severity number, 1 (trace) to 24 (fatal).

    Without one, or one outside, it is 4 (info), as in Micromegas: neither hidden nor an alarm.
    """
    return 6 - (severity_number - 1) // 4 if 1 <= severity_number <= 24 else _INFO


def add(node: Node, scope: Scope, rows: Rows, rejected: Rejected) -> None:
    """Add the row of one record."""
    record = node.decode(LogRecord)
    # When it was seen, where it is not known when it was (OpenTelemetry's log data model).
    time = record.time_unix_nano or record.observed_time_unix_nano
    if not is_time(time):
        rejected.add(f"log records {NO_TIME}")
        return
    found = attributes(record.attributes, rows.size) | scope.properties
    rows.size.count(len(scope.properties))
    for name, length, value in (("trace", 16, record.trace_id), ("span", 8, record.span_id)):
        if len(value) == length:
            found[f"otel.{name}_id"] = value.hex()
    if record.severity_text:
        found["otel.severity_text"] = record.severity_text
    if record.event_name:
        found["otel.event_name"] = record.event_name
    msg, properties = text(plain(record.body, rows.size)), json_text(found)
    size = len(msg) + len(properties)
    rows.add(time, level(record.severity_number), scope.target, msg, properties, time=time, size=size)


LOGS = Signal(
    name="logs",
    table="log_entries",
    columns=("time", "level", "target", "msg", "properties"),
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    partial=ExportLogsPartialSuccess,
    rejected="rejected_log_records",
    resource=ResourceLogs,
    resources="resource_logs",
    scope=ScopeLogs,
    scopes="scope_logs",
    records="log_records",
    add=add,
)
