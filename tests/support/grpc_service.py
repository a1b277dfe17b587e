"""A gRPC service for tests: the same methods, one of each kind, by handlers of every style that grpcio knows.

What a request says is what its handler does with it: see `_act`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from micromegas_auth import PermissionDenied, Reason, RequestAuthenticator
from micromegas_auth.adapters.grpc import AuthInterceptor
from micromegas_auth.adapters.grpc_aio import AioAuthInterceptor
from micromegas_auth.adapters.grpc_calls import caller_of, current_caller

SERVICE = "tests.Echo"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
# Of handlers: those of grpc; of grpc.aio; of grpc.aio with context.write; blocking ones on a server of grpc.aio.
STYLES = ("sync", "aio", "aio writer", "sync on aio")
SECRET = "Zq9Marker-of-the-handler"  # what no client may see
PATIENCE = 20.0

Add = Callable[[Any], None]  # what adds services to a server that has not started


class Panic(BaseException):
    """As extensions raise them: no Exception."""


def _act(request: bytes, context: Any) -> bytes:
    match request:
        case b"who":
            caller = caller_of(context)
            assert current_caller.get() is caller
            return f"{caller.auth.subject} {caller.attribution.user_id}".encode()
        case b"who else":
            return str(current_caller.get(None)).encode()
        case b"raise":
            raise ValueError(SECRET)
        case b"panic":
            raise Panic(SECRET)
        case b"deny":
            raise PermissionDenied(Reason.IMPERSONATION, SECRET)
        case b"set code":
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("no such thing")
    return b"done"


_ABORT = (grpc.StatusCode.DATA_LOSS, "the handler's own text")


class SyncEcho:
    """Handlers that block."""

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        if request in (b"abort", b"abort and raise"):
            try:
                context.abort(*_ABORT)
            except Exception:
                if request == b"abort":
                    raise
                raise ValueError(SECRET) from None
        return _act(request, context)

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield self.unary_unary(request, context)
        yield self.unary_unary(request, context)

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b",".join([self.unary_unary(request, context) for request in requests])

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield self.unary_unary(request, context)


class AioEcho:
    """Handlers that are coroutines and asynchronous generators."""

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        if request in (b"abort", b"abort and raise"):
            try:
                await context.abort(*_ABORT)
            except Exception:
                if request == b"abort":
                    raise
                raise ValueError(SECRET) from None
        return _act(request, context)

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield await self.unary_unary(request, context)
        yield await self.unary_unary(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b",".join([await self.unary_unary(request, context) async for request in requests])

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self.unary_unary(request, context)


class WriterEcho(AioEcho):
    """Handlers that read and write by their context."""

    async def unary_stream(self, request: bytes, context: Any) -> None:  # type: ignore[override]
        await context.write(await self.unary_unary(request, context))
        await context.write(await self.unary_unary(request, context))

    async def stream_stream(self, _: Any, context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(await self.unary_unary(request, context))


def echo(style: str, *, deserialize: Any = None, serialize: Any = None) -> Add:
    """Adds the service, with handlers of this style."""
    handlers = {"sync": SyncEcho, "aio": AioEcho, "aio writer": WriterEcho, "sync on aio": SyncEcho}[style]()
    return lambda server: add(server, {kind: (kind, getattr(handlers, kind)) for kind in KINDS}, deserialize, serialize)


def add(server: Any, methods: dict[str, tuple[str, Any]], deserialize: Any = None, serialize: Any = None) -> None:
    """Add methods, name to kind and behaviour, under SERVICE."""
    made = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(behavior, deserialize, serialize)
        for name, (kind, behavior) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, made),))


@contextmanager
def serving(
    style: str,
    authenticator: RequestAuthenticator | None,
    *services: Add,
    public: Sequence[str] = (),
    workers: int = 8,
) -> Iterator[grpc.Channel]:
    """A channel to a server of the kind that handlers of this style need.

    Args:
        style: One of STYLES.
        authenticator: Its front door; None for no interceptor at all.
        services: What it serves; `echo(style)` unless given.
        public: Names of public services.
        workers: How many threads its handlers have.
    """
    with ThreadPoolExecutor(workers) as pool:
        serve = _serving_sync if style == "sync" else _serving_aio
        with serve(pool, authenticator, services or (echo(style),), public) as port:
            # A channel of its own for each test: grpc would share one connection, and its back-off, between them.
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
            with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
                yield channel


@contextmanager
def _serving_sync(pool: ThreadPoolExecutor, authenticator: Any, services: Any, public: Any) -> Iterator[int]:
    interceptors = [AuthInterceptor(authenticator, public)] if authenticator else []
    server = grpc.server(pool, interceptors=interceptors)
    for service in services:
        service(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait(PATIENCE)


@contextmanager
def _serving_aio(pool: ThreadPoolExecutor, authenticator: Any, services: Any, public: Any) -> Iterator[int]:
    started = threading.Event()
    state: dict[str, Any] = {}

    async def run() -> None:
        interceptors = [AioAuthInterceptor(authenticator, public)] if authenticator else []
        server = grpc.aio.server(pool, interceptors=interceptors)
        for service in services:
            service(server)
        state["port"] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        state["stop"] = stop = asyncio.Event()
        state["loop"] = asyncio.get_running_loop()
        started.set()
        await stop.wait()
        await server.stop(None)
        await asyncio.to_thread(pool.shutdown)  # blocking handlers end on the loop, a moment after their clients know

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="grpc-aio-server")
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield state["port"]
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def call(
    channel: grpc.Channel,
    kind: str,
    *requests: bytes,
    metadata: Sequence[tuple[str, str | bytes]] = (),
    path: str = "",
    timeout: float = PATIENCE,
) -> list[bytes]:
    """Make a call of this kind and return its responses. Raises grpc.RpcError."""
    method = getattr(channel, kind)(path or f"/{SERVICE}/{kind}")
    argument = requests[0] if kind.startswith("unary") else iter(requests)
    answer = method(argument, metadata=metadata, timeout=timeout)
    return [answer] if kind.endswith("unary") else list(answer)
