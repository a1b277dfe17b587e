"""Requests a second of a tiny ASGI application behind uvicorn: with authentication, and bare.

Each server is a process of its own; the client, too simple to be what is measured, keeps both busy in turn.
"""

import multiprocessing as mp
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from micromegas_server.demo.issuer import DemoIssuer

from benchmarks.rows import AUDIENCE
from benchmarks.timing import Result

GROUPS, WINDOWS, ROUNDS, CONNECTIONS = 8, 24, 10, 4


async def _app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def _serve(kind: str, issuer: str, ready: Connection) -> None:
    app: Any = _app
    if kind == "auth":
        from micromegas_auth import AuthConfig, build_authenticator
        from micromegas_auth.adapters.asgi import AuthMiddleware

        config = AuthConfig.model_validate({"oidc": {"issuers": [{"issuer": issuer, "audience": AUDIENCE}]}})
        app = AuthMiddleware(_app, build_authenticator(config))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, where the socket is given
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    ready.send(listener.getsockname())
    ready.recv()  # until the other end says so, or is gone
    os._exit(0)


class _Client:
    """Some connections, each with one request at a time under way."""

    def __init__(self, address: tuple[str, int], token: str) -> None:
        self._request = (
            f"GET /v1/things?page=2 HTTP/1.1\r\nhost: {address[0]}:{address[1]}\r\nauthorization: Bearer {token}\r\n"
            "user-agent: benchmark/1.0\r\naccept: */*\r\naccept-encoding: gzip\r\nx-client-type: python\r\n\r\n"
        ).encode()
        self._connections = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        for connection in self._connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first, *_ = self._connections
        first.sendall(self._request)
        answer = b""
        while not answer.endswith(b"\r\n\r\n{}"):
            piece = first.recv(65536)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        self._length = len(answer)

    def window(self) -> float:
        """Seconds that a request takes of the server."""
        began = time.perf_counter()
        for _ in range(ROUNDS):
            for connection in self._connections:
                connection.sendall(self._request)
            for connection in self._connections:
                left = self._length
                while left:
                    piece = connection.recv(left)
                    assert piece, "the server has hung up"
                    left -= len(piece)
        return (time.perf_counter() - began) / (ROUNDS * CONNECTIONS)

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.close()


@contextmanager
def _client(kind: str, issuer: str, token: str) -> Iterator[_Client]:
    ours, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_serve, args=(kind, issuer, theirs), daemon=True)
    process.start()
    client = _Client(ours.recv(), token)
    yield client
    client.close()
    ours.send("stop")
    process.join()


def run() -> Iterator[Result]:
    """The row, as requests a second against those of the bare application."""
    with ExitStack() as stack:
        issuer = DemoIssuer()
        stack.callback(issuer.stop)
        claims = {"sub": "user", "aud": AUDIENCE, "email": "u@example.com", "email_verified": True}
        token = issuer.mint(claims, seconds=3600)
        clients = [stack.enter_context(_client(kind, issuer.url, token)) for kind in ("auth", "bare")]
        best = []
        for _ in range(GROUPS):
            windows = [[client.window() for client in clients] for _ in range(WINDOWS)]
            best.append([min(times) for times in zip(*windows, strict=True)])
        lower, median, upper = statistics.quantiles((bare / auth for auth, bare in best), n=4)
        auth, bare = (min(times) * 1e6 for times in zip(*best, strict=True))
        yield Result("HTTP requests/s, auth / bare application", median, (upper - lower) / 2 / median, auth, bare)
