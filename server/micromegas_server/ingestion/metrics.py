"""Metrics of OTLP as rows of `measures`, a number each.

A point of a sum or gauge is a row under the metric's name. Others become several rows, named as Micromegas names those
of summaries: `<name>_count`, `_sum`, `_min`, `_max`; quantiles in between `<name>_quantile`, which one in the
properties. A histogram's buckets are in the properties of its `_count`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from micromegas_server.ingestion.attributes import Json, attributes, json_text
from micromegas_server.ingestion.nodes import Node, Oversized
from micromegas_server.ingestion.rows import Rejected, Rows, Size
from micromegas_server.ingestion.signal_kinds import NO_TIME, OVERSIZED, Scope, Signal
from micromegas_server.ingestion.times import is_time

# What comes behind the metric's name, whether the metric's unit holds for it, the value, and properties of its own.
Value = tuple[str, bool, float, dict[str, Json]]

_NO_PROPERTIES: dict[str, Json] = {}


def _number(point: Any, _: Size) -> Iterator[Value]:
    kind = point.WhichOneof("value")
    if kind is not None:
        yield "", True, float(getattr(point, kind)), _NO_PROPERTIES


def _count_sum_min_max(point: Any, buckets: dict[str, Json]) -> Iterator[Value]:
    yield "_count", False, float(point.count), buckets
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield f"_{name}", True, getattr(point, name), _NO_PROPERTIES


def _histogram(point: Any, size: Size) -> Iterator[Value]:
    size.count(len(point.explicit_bounds) + len(point.bucket_counts))
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    return _count_sum_min_max(point, {"otel.histogram.bounds": bounds, "otel.histogram.counts": counts})


def _exponential(point: Any, size: Size) -> Iterator[Value]:
    buckets: dict[str, Json] = {
        "otel.histogram.scale": point.scale,
        "otel.histogram.zero_count": point.zero_count,
        "otel.histogram.zero_threshold": point.zero_threshold,
    }
    for name in ("positive", "negative"):
        side = getattr(point, name)
        size.count(len(side.bucket_counts))
        buckets[f"otel.histogram.{name}"] = {"offset": side.offset, "counts": list(side.bucket_counts)}
    return _count_sum_min_max(point, buckets)


def _summary(point: Any, size: Size) -> Iterator[Value]:
    size.count(len(point.quantile_values))
    yield "_count", False, float(point.count), _NO_PROPERTIES
    yield "_sum", True, point.sum, _NO_PROPERTIES
    for at in point.quantile_values:
        suffix = {0.0: "_min", 1.0: "_max"}.get(at.quantile, "_quantile")
        yield suffix, True, at.value, _NO_PROPERTIES if suffix != "_quantile" else {"quantile": at.quantile}


# The field of a metric: the messages of its data and of a point of it, and what values such a point has.
_DATA: dict[str, tuple[type[Any], type[Any], Callable[[Any, Size], Iterator[Value]]]] = {
    "gauge": (pb.Gauge, pb.NumberDataPoint, _number),
    "sum": (pb.Sum, pb.NumberDataPoint, _number),
    "histogram": (pb.Histogram, pb.HistogramDataPoint, _histogram),
    "exponential_histogram": (pb.ExponentialHistogram, pb.ExponentialHistogramDataPoint, _exponential),
    "summary": (pb.Summary, pb.SummaryDataPoint, _summary),
}


def add(node: Node, scope: Scope, rows: Rows, rejected: Rejected) -> None:
    """Add the rows of all points of one metric."""
    metric, data = node.open(pb.Metric, *_DATA)
    for field, holder in data:
        kind, point_kind, values_of = _DATA[field]
        about, points = holder.open(kind, "data_points")
        shared: dict[str, Json] = {**scope.properties, "otel.metric.kind": field}
        for name in ("aggregation_temporality", "is_monotonic"):
            if name in kind.DESCRIPTOR.fields_by_name:
                shared[f"otel.metric.{name}"] = getattr(about, name)
        for _, point_node in points:
            try:
                point = point_node.decode(point_kind)
            except Oversized:
                rejected.add(f"data points {OVERSIZED}")
                continue
            _add_point(point, metric, scope.target, shared, values_of, rows, rejected)


def _add_point(
    point: Any,
    metric: pb.Metric,
    target: str,
    shared: dict[str, Json],
    values_of: Callable[[Any, Size], Iterator[Value]],
    rows: Rows,
    rejected: Rejected,
) -> None:
    if point.flags & pb.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return  # it says that there is no value: that is no row, and none was refused
    time = point.time_unix_nano
    if not is_time(time):
        rejected.add(f"data points {NO_TIME}")
        return
    size = rows.size
    size.count(len(getattr(point, "exemplars", ())))  # of summaries there are none
    common = attributes(point.attributes, size) | shared
    has_value = False
    for suffix, has_unit, value, own in values_of(point, size):
        has_value = True
        name, unit = metric.name + suffix, metric.unit if has_unit else ""
        size.count(len(common))
        properties = json_text(common | own if own else common)
        rows.add(time, target, name, unit, value, properties, time=time, size=len(name) + len(unit) + len(properties))
    if not has_value:
        rejected.add("data points without a value")


METRICS = Signal(
    name="metrics",
    table="measures",
    columns=("time", "target", "name", "unit", "value", "properties"),
    request=ExportMetricsServiceRequest,
    response=ExportMetricsServiceResponse,
    partial=ExportMetricsPartialSuccess,
    rejected="rejected_data_points",
    resource=pb.ResourceMetrics,
    resources="resource_metrics",
    scope=pb.ScopeMetrics,
    scopes="scope_metrics",
    records="metrics",
    add=add,
)
