"""The ASGI application, behind authentication."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from micromegas_auth import RequestAuthenticator
from micromegas_auth.adapters.asgi import AuthMiddleware, caller_of
from micromegas_server.ingestion import otlp, wire
from micromegas_server.ingestion.body import gunzip
from micromegas_server.ingestion.budget import Budget, Share
from micromegas_server.ingestion.errors import Refused
from micromegas_server.ingestion.intake import Intake
from micromegas_server.ingestion.rows import Rejected, Sender
from micromegas_server.ingestion.signal_kinds import Signal
from micromegas_server.ingestion.tally import Tally
from micromegas_server.ingestion.writing import Writing

BYTES_IN_FLIGHT = 768 * 1024 * 1024  # enough for the largest request there may be, decompressed and made into rows
READY_SECONDS = 1.0  # for how long the last look at the disk counts

# What a byte of a request takes besides, as values of Python and as rows.
_FACTOR = {otlp.PROTOBUF: 1, otlp.JSON: 20}

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def ingestion_app(
    writing: Writing,
    lake: Path,
    authenticator: RequestAuthenticator,
    *,
    tally: Tally,
    bytes_in_flight: int = BYTES_IN_FLIGHT,
) -> AuthMiddleware:
    """The application.

    Args:
        writing: Takes the rows.
        lake: The folder they go to.
        authenticator: The front door.
        tally: Counts what comes.
        bytes_in_flight: What all requests may hold at a time; beyond it they are told to try again.
    """
    intake = Intake(Budget(bytes_in_flight), tally)
    handlers = {f"otlp/v1/{signal.name}": _otlp(intake, writing, signal) for signal in otlp.SIGNALS.values()}
    handlers |= {name: _insert(intake, writing, name) for name in wire.MESSAGES}
    routes = [Route(f"/ingestion/{path}", handler, methods=["POST"]) for path, handler in handlers.items()]
    routes += [Route("/health", _health), Route("/ready", _Readiness(lake).ready)]
    return AuthMiddleware(Starlette(routes=routes), authenticator, public_paths=("/health", "/ready"))


def _otlp(intake: Intake, writing: Writing, signal: Signal) -> Handler:
    async def handle(request: Request) -> Response:
        sender = Sender.of(caller_of(request))
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = media_type if media_type == otlp.PROTOBUF else otlp.JSON
        coding = _coding(request)
        unsupported = None
        if media_type not in otlp.MAX_DECODED_BYTES:
            unsupported = "its Content-Type must be application/x-protobuf or application/json"
        elif coding not in ("identity", "gzip"):
            unsupported = "its Content-Encoding must be gzip or none"

        def read(body: bytearray, share: Share) -> "Future[Rejected]":
            if coding == "gzip":
                body = gunzip(body, share, otlp.MAX_DECODED_BYTES[encoding])
            share.grow(len(body) * _FACTOR[encoding])
            block, now = otlp.block_id(signal, sender, body), time.time_ns()
            return writing.request(block, sender, lambda: otlp.read(signal, encoding, body, sender, block, now))

        try:
            rejected = await intake.take(request, sender, otlp.MAX_WIRE_BYTES, read, unsupported)
        except Refused as refused:
            return _refusal(refused, otlp.failure(refused, encoding), encoding)
        return Response(otlp.success(signal, encoding, rejected), media_type=encoding)

    return handle


def _insert(intake: Intake, writing: Writing, name: str) -> Handler:
    async def handle(request: Request) -> Response:
        sender = Sender.of(caller_of(request))
        unsupported = None if _coding(request) == "identity" else "it must have no Content-Encoding"

        def read(body: bytearray, share: Share) -> "Future[Rejected]":
            share.grow(len(body))
            table, identity, batch = wire.read(name, body, sender, time.time_ns())
            return writing.row(table, sender, identity, batch)

        try:
            await intake.take(request, sender, wire.MAX_BYTES[name], read, unsupported)
        except Refused as refused:
            return _refusal(refused, refused.public_message.encode(), "text/plain")
        return Response()

    return handle


def _coding(request: Request) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()


def _refusal(refused: Refused, body: bytes, media_type: str) -> Response:
    headers = {"retry-after": str(refused.retry_after)} if refused.retry_after is not None else None
    return Response(body, refused.status, headers, media_type)


async def _health(_: Request) -> Response:
    return PlainTextResponse("healthy")


class _Readiness:
    """Whether the lake takes files.

    Nothing is said of issuers: while one is down, API keys and tokens of known keys are good, and to take every server
    out of service would lose what they send.
    """

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._looked = -READY_SECONDS
        self._writable = True

    async def ready(self, _: Request) -> Response:
        """200, or 503."""
        # Anybody may ask: the disk is not looked at for each of them.
        if time.monotonic() - self._looked >= READY_SECONDS:
            self._looked = time.monotonic()
            self._writable = await asyncio.to_thread(self._look)
        if self._writable:
            return PlainTextResponse("ready")
        return PlainTextResponse("the lake cannot be written", 503)

    def _look(self) -> bool:
        try:
            with tempfile.TemporaryFile(dir=self._lake) as file:
                file.write(b"x")
                file.flush()
        except OSError:
            return False
        return True
