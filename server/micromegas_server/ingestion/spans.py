"""Spans of OTLP as rows of `spans`."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from micromegas_server.ingestion.attributes import attributes, json_text
from micromegas_server.ingestion.nodes import Node
from micromegas_server.ingestion.rows import Rejected, Rows
from micromegas_server.ingestion.signal_kinds import NO_TIME, Scope, Signal
from micromegas_server.ingestion.times import is_time

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")
_TRACE_ID, _SPAN_ID = 16, 8  # bytes


def add(node: Node, scope: Scope, rows: Rows, rejected: Rejected) -> None:
    """Add the row of one span."""
    span = node.decode(Span)
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if not is_time(start) or not is_time(end):
        rejected.add(f"spans {NO_TIME}")
        return
    if len(span.trace_id) != _TRACE_ID or len(span.span_id) != _SPAN_ID:
        rejected.add("spans whose ids have not 16 and 8 bytes")
        return
    size = rows.size
    size.count(len(scope.properties) + len(span.events) + len(span.links))
    properties = json_text(attributes(span.attributes, size) | scope.properties)
    events = json_text(
        [
            {"time": event.time_unix_nano, "name": event.name, "attributes": attributes(event.attributes, size)}
            for event in span.events
        ]
    )
    links = json_text(
        [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": attributes(link.attributes, size),
            }
            for link in span.links
        ]
    )
    rows.add(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() if len(span.parent_span_id) == _SPAN_ID else None,
        start,
        end,
        end - start,
        scope.target,
        span.name,
        _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else _KINDS[0],
        _STATUS[span.status.code] if 0 <= span.status.code < len(_STATUS) else _STATUS[0],
        span.status.message or None,
        properties,
        events,
        links,
        time=start,
        size=len(span.name) + len(span.status.message) + len(properties) + len(events) + len(links),
    )


TRACES = Signal(
    name="traces",
    table="spans",
    columns=(
        "trace_id",
        "span_id",
        "parent_span_id",
        "start_time",
        "end_time",
        "duration",
        "target",
        "name",
        "kind",
        "status",
        "status_message",
        "properties",
        "events",
        "links",
    ),
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    partial=ExportTracePartialSuccess,
    rejected="rejected_spans",
    resource=ResourceSpans,
    resources="resource_spans",
    scope=ScopeSpans,
    scopes="scope_spans",
    records="spans",
    add=add,
)
