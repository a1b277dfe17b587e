"""Calls a second of a tiny do_get: with authentication and audit, with a middleware that does nothing, and with none.

Each server is a process of its own; the client asks them in turn, so that a disturbance meets all three.
"""

import multiprocessing as mp
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
from micromegas_server.demo.issuer import DemoIssuer

from benchmarks.rows import AUDIENCE, headers
from benchmarks.timing import Result

GROUPS, WINDOWS, CALLS = 8, 24, 25
TABLE = pa.table({"one": [1]})


class _Server(flight.FlightServerBase):  # type: ignore[misc]
    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.RecordBatchStream:
        return flight.RecordBatchStream(TABLE)


class _AuditedServer(_Server):
    def __init__(self, audit: Any, caller_of: Any, **options: Any) -> None:
        super().__init__(**options)
        self._audit, self._caller_of = audit, caller_of

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.RecordBatchStream:
        record = self._audit.start(self._caller_of(context), ticket.ticket.decode(), peer=context.peer())
        record.finish("ok", rows=1, size=8)
        return flight.RecordBatchStream(TABLE)


class _Idle(flight.ServerMiddleware):  # type: ignore[misc]
    pass


class _IdleFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: flight.CallInfo, headers: Any) -> _Idle:
        return _Idle()


def _serve(kind: str, issuer: str, ready: Connection) -> None:
    location = "grpc://127.0.0.1:0"
    if kind == "none":
        server = _Server(location)
    elif kind == "idle":
        server = _Server(location, middleware={"auth": _IdleFactory()})
    else:
        from micromegas_auth import AuthConfig, build_authenticator
        from micromegas_auth.adapters.flight import FlightAuthMiddlewareFactory, caller_of
        from micromegas_auth.audit import AuditLog

        log = os.open(os.devnull, os.O_WRONLY)
        audit = AuditLog(lambda line: os.write(log, line.encode() + b"\n") and None)
        config = AuthConfig.model_validate({"oidc": {"issuers": [{"issuer": issuer, "audience": AUDIENCE}]}})
        middleware = {"auth": FlightAuthMiddlewareFactory(build_authenticator(config))}
        server = _AuditedServer(audit, caller_of, location=location, middleware=middleware)
    ready.send(server.port)
    ready.recv()  # until the other end says so, or is gone
    os._exit(0)


@contextmanager
def _client(kind: str, issuer: str) -> Iterator[flight.FlightClient]:
    ours, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_serve, args=(kind, issuer, theirs), daemon=True)
    process.start()
    with flight.connect(f"grpc://127.0.0.1:{ours.recv()}") as client:
        yield client
    ours.send("stop")
    process.join()


def run() -> Iterator[Result]:
    """The two rows, as calls a second against each base."""
    with ExitStack() as stack:
        issuer = DemoIssuer()
        stack.callback(issuer.stop)
        clients = {kind: stack.enter_context(_client(kind, issuer.url)) for kind in ("auth", "idle", "none")}
        token = issuer.mint(
            {"sub": "user", "aud": AUDIENCE, "email": "u@example.com", "email_verified": True}, seconds=3600
        )
        sent = [(name.encode(), values[0].encode()) for name, values in headers(token).items()]
        options = flight.FlightCallOptions(headers=sent)
        best: dict[str, list[float]] = {kind: [] for kind in clients}
        for _ in range(GROUPS):
            group: dict[str, list[float]] = {kind: [] for kind in clients}
            for _ in range(WINDOWS):
                for kind, client in clients.items():
                    group[kind].append(_window(client, options))
            for kind, times in group.items():
                best[kind].append(min(times))
        for kind, name in (("idle", "an idle middleware"), ("none", "no middleware")):
            ratios = [base / ours for base, ours in zip(best[kind], best["auth"], strict=True)]
            lower, median, upper = statistics.quantiles(ratios, n=4)
            spread = (upper - lower) / 2 / median
            yield Result(
                f"Flight calls/s, auth and audit / {name}",
                median,
                spread,
                min(best["auth"]) * 1e6,
                min(best[kind]) * 1e6,
            )


def _window(client: flight.FlightClient, options: flight.FlightCallOptions) -> float:
    ticket = flight.Ticket(b"SELECT 1")
    began = time.perf_counter()
    for _ in range(CALLS):
        client.do_get(ticket, options).read_all()
    return (time.perf_counter() - began) / CALLS
