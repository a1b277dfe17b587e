"""A program with OpenTelemetry's own SDK: each line it reads becomes a log record, a span and a measurement.

It is configured by the variables OTEL_* alone. At the end of its input it flushes and says so.
"""

import sys
import time

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "shop.orders"
MINUTE = 60_000.0  # milliseconds


def main() -> None:
    """Send what standard input says."""
    logs, traces = LoggerProvider(), TracerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=50))
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50))
    # Its values are sums since the beginning: those at the end are enough.
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=MINUTE)
    metrics = MeterProvider([reader])
    logger, tracer, meter = logs.get_logger(NAME), traces.get_tracer(NAME), metrics.get_meter(NAME)
    orders = meter.create_counter("orders", "1")
    latency = meter.create_histogram("latency", "ms")
    print("ready", flush=True)
    for line in sys.stdin:
        text = line.rstrip("\n")
        with tracer.start_as_current_span(text):
            logger.emit(timestamp=time.time_ns(), severity_number=SeverityNumber.WARN, body=text)
        orders.add(1, {"kind": "sale"})
        latency.record(len(text))
    logs.force_flush()
    traces.force_flush()
    for provider in (logs, traces, metrics):
        provider.shutdown()  # sends the metrics too
    print("flushed", flush=True)


if __name__ == "__main__":
    main()
