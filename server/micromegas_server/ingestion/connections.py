"""What uvicorn leaves open about connections: how long a request's head may take, what follows an early answer, and how
many there may be. All of it is before authentication, where anybody can connect."""

import asyncio
import logging
import resource
import socket
import time
from typing import Any

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG = 128
# For a request's head, from the connection's opening or the head's first byte; for a TLS handshake; to take an answer.
HEAD_SECONDS = 10.0
DRAIN_SECONDS = 5.0  # for the rest of a body that was answered early, such as without a credential
DRAIN_BYTES = 1024 * 1024  # a batch of an exporter, which reads the answer after it has sent all

_DESCRIPTORS = 65_536
_CONNECTIONS = 10_000
_TOLD_SECONDS = 60.0
_READING = "reading"  # beside the states of h11

_logger = logging.getLogger("micromegas_server")


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers wait HEAD_SECONDS for a TLS handshake: of uvicorn they cannot be told to."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """As that of asyncio."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = HEAD_SECONDS
        return await super().create_server(*args, **options)


class Listener(socket.socket):
    """A listening socket that refuses connections beyond half of the descriptors, for the lake needs some too.

    Not the protocol does it: it sees nothing of connections that are in their TLS handshake.
    """

    def __init__(self, listening: socket.socket) -> None:
        """Takes the place of `listening`, and the soft limit of descriptors is raised towards the hard one."""
        super().__init__(fileno=listening.detach())
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        self._limit = min(most // 2, _CONNECTIONS)
        self._told = -_TOLD_SECONDS

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises ConnectionAbortedError, which asyncio passes over, where there are too many."""
        connection, peer = super().accept()
        if connection.fileno() < self._limit:  # the system hands out the lowest number that is free
            return connection, peer
        connection.close()
        if time.monotonic() - self._told >= _TOLD_SECONDS:
            self._told = time.monotonic()
            _logger.warning("connections are refused: %d descriptors are in use", self._limit)
        raise ConnectionAbortedError


class Connection(H11Protocol):
    """A connection that ends where a head, or the rest of a body after its answer, does not come in time, or the client
    does not take its answers.

    uvicorn's own `timeout_keep_alive` is for a client that sends nothing after an answer; a single byte ends it.
    """

    head_seconds, drain_seconds = HEAD_SECONDS, DRAIN_SECONDS

    _timer: asyncio.TimerHandle | None = None
    _awaited: Any = None  # what the client is to do until the timer ends
    _discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        super().data_received(data)
        self._watch()
        if self._awaited is h11.SEND_BODY:
            self._discarded += len(data)
            if self._discarded > DRAIN_BYTES:
                self.flow.pause_reading()  # to close would reset it, and the answer might be lost

    def on_response_complete(self) -> None:
        """Called by uvicorn."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._watch()

    def pause_writing(self) -> None:
        """Called by asyncio where the client does not read its answers: it may have sent requests without end."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        super().connection_lost(exc)
        self._await(None)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is no HTTP, which may be the rest of a body that has its answer already."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def _watch(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        self._await(_READING if self.flow.write_paused else self.conn.their_state if answered else None)

    def _await(self, state: Any) -> None:
        if state is self._awaited:
            return
        self._awaited = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = {_READING: self.head_seconds, h11.IDLE: self.head_seconds, h11.SEND_BODY: self.drain_seconds}.get(
            state
        )
        if seconds is not None and not self.transport.is_closing():
            self._discarded = 0
            self._timer = self.loop.call_later(seconds, self.transport.abort)


def answered_at_the_end(app: ASGIApp) -> ASGIApp:
    """`app`, whose requests are told to come again where they outlive the drain and uvicorn cancels them."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn would write a traceback, and answer 500, after which exporters drop what they have.
            await PlainTextResponse("the server stops", 503)(scope, receive, send)

    return run
