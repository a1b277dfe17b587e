"""Metrics of OTLP as rows of `measures`."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from micromegas_server.ingestion import nodes, otlp
from micromegas_server.ingestion import rows as rows_module
from micromegas_server.ingestion.errors import Refused
from micromegas_server.ingestion.metrics import METRICS
from micromegas_server.ingestion.rows import Rejected
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric
from support.ingestion_samples import ALICE, NOW, attribute, gauge

AT = {"time_unix_nano": NOW}
CUMULATIVE = AGGREGATION_TEMPORALITY_CUMULATIVE


def read(request: ExportMetricsServiceRequest, encoding: str = otlp.PROTOBUF) -> tuple[dict[str, Any], Rejected]:
    """Name to unit, value and properties of each row."""
    body = request.SerializeToString()
    if encoding == otlp.JSON:
        body = json.dumps(MessageToDict(request, use_integers_for_enums=True)).encode()
    batches, _, rejected = otlp.read(METRICS, encoding, body, ALICE, "block", NOW)
    if "measures" not in batches:
        return {}, rejected
    rows = batches["measures"].drop_columns(["time", "insert_time"]).to_pylist()
    assert {row["target"] for row in rows} == {"shop"}
    assert batches["measures"].column("time").cast("int64").to_pylist() == [NOW] * len(rows)
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: (row["unit"], row["value"], json.loads(row["properties"])) for row in rows}, rejected


def request() -> tuple[ExportMetricsServiceRequest, Metric]:
    """A request with one metric, which has no data yet."""
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    scope.scope.name = "shop"
    return message, scope.metrics.add(name="latency", unit="ms", description="how long")


@pytest.mark.parametrize("encoding", [otlp.PROTOBUF, otlp.JSON])
def test_a_gauge(encoding: str) -> None:
    message, metric = request()
    metric.gauge.data_points.add(as_double=1.5, attributes=[attribute("path", "/")], **AT)
    rows, rejected = read(message, encoding)
    properties = {"path": "/", "otel.metric.kind": "gauge", "otel.scope.name": "shop"}
    assert rows == {"latency": ("ms", 1.5, properties)}
    assert not rejected.count


def test_a_sum_of_whole_numbers() -> None:
    message, metric = request()
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
    metric.sum.data_points.add(as_int=7, **AT)
    (unit, value, properties) = read(message)[0]["latency"]
    assert (unit, value, type(value)) == ("ms", 7.0, float)
    assert properties["otel.metric.kind"] == "sum"
    assert properties["otel.metric.aggregation_temporality"] == CUMULATIVE
    assert properties["otel.metric.is_monotonic"] is True


@pytest.mark.parametrize("encoding", [otlp.PROTOBUF, otlp.JSON])
def test_a_histogram(encoding: str) -> None:
    message, metric = request()
    metric.histogram.aggregation_temporality = CUMULATIVE
    metric.histogram.data_points.add(
        count=6, sum=30.5, min=1.0, max=9.0, explicit_bounds=[5.0, 8.0], bucket_counts=[1, 2, 3], **AT
    )
    rows = read(message, encoding)[0]
    assert {name: row[:2] for name, row in rows.items()} == {
        "latency_count": ("", 6.0),
        "latency_sum": ("ms", 30.5),
        "latency_min": ("ms", 1.0),
        "latency_max": ("ms", 9.0),
    }
    assert rows["latency_count"][2]["otel.histogram.bounds"] == [5.0, 8.0]
    assert rows["latency_count"][2]["otel.histogram.counts"] == [1, 2, 3]
    assert "otel.histogram.counts" not in rows["latency_sum"][2]


def test_a_histogram_without_what_it_may_leave_out() -> None:
    message, metric = request()
    metric.histogram.data_points.add(count=0, **AT)
    assert set(read(message)[0]) == {"latency_count"}


def test_an_exponential_histogram() -> None:
    message, metric = request()
    point = metric.exponential_histogram.data_points.add(count=6, sum=3.0, scale=2, zero_count=1, **AT)
    point.positive.offset = -3
    point.positive.bucket_counts.extend([2, 3])
    rows = read(message)[0]
    assert set(rows) == {"latency_count", "latency_sum"}
    properties = rows["latency_count"][2]
    assert properties["otel.histogram.scale"] == 2
    assert properties["otel.histogram.zero_count"] == 1
    assert properties["otel.histogram.positive"] == {"offset": -3, "counts": [2, 3]}
    assert properties["otel.histogram.negative"] == {"offset": 0, "counts": []}


def test_a_summary() -> None:
    message, metric = request()
    point = metric.summary.data_points.add(count=4, sum=10.0, **AT)
    for quantile, value in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        point.quantile_values.add(quantile=quantile, value=value)
    rows = read(message)[0]
    assert {name: row[:2] for name, row in rows.items()} == {
        "latency_count": ("", 4.0),
        "latency_sum": ("ms", 10.0),
        "latency_min": ("ms", 1.0),
        "latency_quantile": ("ms", 2.0),
        "latency_max": ("ms", 4.0),
    }
    assert rows["latency_quantile"][2]["quantile"] == 0.5


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponential_histogram", "summary"])
def test_a_gap_is_no_row_and_no_fault(kind: str) -> None:
    message, metric = request()
    getattr(metric, kind).data_points.add(flags=1, **AT)
    assert read(message) == ({}, Rejected())


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponential_histogram", "summary"])
def test_points_without_a_time(kind: str) -> None:
    """Points are counted, however many rows each would have been."""
    message, metric = request()
    getattr(metric, kind).data_points.add()
    getattr(metric, kind).data_points.add(time_unix_nano=2**63)
    assert read(message)[1] == Rejected(2, "data points without a time, or with one after 2261")


def test_points_that_are_nothing() -> None:
    message, metric = request()
    metric.gauge.data_points.add(**AT)
    metric.gauge.data_points.add(as_int=1, attributes=[attribute("x", "x" * nodes.MAX_RECORD_BYTES)], **AT)
    assert read(message) == ({}, Rejected(2, "data points without a value"))


def test_a_metric_without_data() -> None:
    assert read(request()[0]) == ({}, Rejected())


def test_many_points() -> None:
    body = gauge("x", *[0.5] * 1000).SerializeToString()
    batches, _, _ = otlp.read(METRICS, otlp.PROTOBUF, body, ALICE, "block", NOW)
    assert batches["measures"].column("time").cast("int64").to_pylist() == list(range(NOW, NOW + 1000))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("gauge", {"exemplars": [{}] * 100}),
        ("gauge", {"attributes": [{}] * 100}),
        ("histogram", {"bucket_counts": [1] * 50, "explicit_bounds": [1.0] * 50}),
        ("exponential_histogram", {"positive": {"bucket_counts": [1] * 100}}),
        ("summary", {"quantile_values": [{}] * 20, "attributes": [attribute(str(n), n) for n in range(4)]}),
    ],
)
def test_many_values(kind: str, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes time; of a summary's attributes, which several rows repeat, each of them."""
    message, metric = request()
    getattr(metric, kind).data_points.add(**AT, **values)
    monkeypatch.setattr(rows_module.Size.__init__, "__defaults__", (rows_module.MAX_ROW_BYTES, 200))
    otlp.read(METRICS, otlp.PROTOBUF, message.SerializeToString(), ALICE, "block", NOW)
    monkeypatch.setattr(rows_module.Size.__init__, "__defaults__", (rows_module.MAX_ROW_BYTES, 99))
    with pytest.raises(Refused) as caught:
        otlp.read(METRICS, otlp.PROTOBUF, message.SerializeToString(), ALICE, "block", NOW)
    assert caught.value.status == 413
