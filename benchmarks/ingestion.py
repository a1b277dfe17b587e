"""Rows a second that the ingestion server takes, and what authentication costs of that.

Each server is a process of its own and writes to a lake of its own; one client sends them the same requests in turn, so
that a disturbance meets all of them. A row counts when it is acknowledged, which is when it is on disk.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import httpx
from micromegas_server.demo.issuer import DemoIssuer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.rows import API_KEY, AUDIENCE
from benchmarks.timing import Result

GROUPS, CONNECTIONS = 12, 16
# Rows in a request, as OpenTelemetry's SDK and its collector send them, and how many requests make a window.
SIZES = {512: 64, 8192: 16}


def run() -> Iterator[Result]:
    """A row for each size of request and credential, as rows a second with it against those without any."""
    with ExitStack() as stack:
        issuer = DemoIssuer()
        stack.callback(issuer.stop)
        issuers = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}
        configured = {
            "MICROMEGAS_OIDC_CONFIG": json.dumps(issuers),
            "MICROMEGAS_API_KEYS": json.dumps([{"name": "benchmark", "key": API_KEY}]),
        }
        open_url = stack.enter_context(_server({}, "--disable-auth"))
        guarded = stack.enter_context(_server(configured))
        token = issuer.mint({"sub": "user", "aud": AUDIENCE}, seconds=3600)
        doors = {"none": (open_url, "nobody"), "API key": (guarded, API_KEY), "token": (guarded, token)}
        clients = {
            name: stack.enter_context(httpx.Client(base_url=url, headers={"authorization": f"Bearer {credential}"}))
            for name, (url, credential) in doors.items()
        }
        for size, requests in SIZES.items():
            yield from _rows(clients, size, requests)


def _rows(clients: dict[str, httpx.Client], size: int, requests: int) -> Iterator[Result]:
    for client in clients.values():
        _window(client, size, requests)
    times: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(GROUPS):
        for name, client in clients.items():
            times[name].append(_window(client, size, requests))
    for name in ("API key", "token"):
        ratios = [base / ours for base, ours in zip(times["none"], times[name], strict=True)]
        lower, median, upper = statistics.quantiles(ratios, n=4)
        rows = size / min(times[name])
        yield Result(
            f"ingestion of {size} rows, {name} / none ({rows:,.0f} rows/s)",
            median,
            (upper - lower) / 2 / median,
            min(times[name]) * 1e6,
            min(times["none"]) * 1e6,
        )


def _window(client: httpx.Client, size: int, requests: int) -> float:
    """Seconds for a request, of several that are under way at once."""
    bodies = [_body(size) for _ in range(requests)]
    headers = {"content-type": "application/x-protobuf"}

    def send(body: bytes) -> None:
        answer = client.post("/ingestion/otlp/v1/logs", content=body, headers=headers, timeout=60)
        assert answer.status_code == 200

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        began = time.perf_counter()
        for _ in threads.map(send, bodies):
            pass
        return (time.perf_counter() - began) / requests


@cache
def _request(size: int) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.scope.name = "benchmark"
    for number in range(size):
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=9)
        record.body.string_value = f"a message of the length that messages have, number {number}"
        for name in ("code.file.path", "code.function.name"):
            record.attributes.add(key=name).value.string_value = "some/where"
    return request


def _body(size: int) -> bytes:
    """A request that differs from all others: the same once more would not be written."""
    request = _request(size)
    request.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = time.time_ns()
    return request.SerializeToString()


@contextmanager
def _server(environment: dict[str, str], *arguments: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as lake:
        command = [sys.executable, "-m", "micromegas_server.ingestion.main", "--listen", "127.0.0.1:0", "--lake"]
        own = {name: value for name, value in os.environ.items() if not name.startswith("MICROMEGAS_")}
        with subprocess.Popen(  # noqa: S603 - the command is our own
            [*command, str(Path(lake)), *arguments], stderr=subprocess.PIPE, env=own | environment, text=True
        ) as process:
            assert process.stderr
            listening = next(line for line in process.stderr if "listening on" in line)
            # What it goes on to say must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield listening.split()[-1]
            process.send_signal(signal.SIGTERM)
