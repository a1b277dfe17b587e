"""The interceptors while something takes its time: many calls at once, an issuer that is down, clients that go."""

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from support.front_door import LogWatch
from support.grpc_service import PATIENCE, SERVICE, STYLES, Add, add, call, echo, serving
from support.issuer import AUDIENCE, DISCOVERY, FaultyIssuer
from support.refusals import PUBLIC_TEXTS

from micromegas_auth import (
    AuthConfig,
    AuthContext,
    AuthType,
    ProviderUnavailable,
    RequestAuthenticator,
    build_authenticator,
)
from micromegas_auth.adapters import event_loop
from micromegas_auth.adapters import grpc as blocking
from micromegas_auth.adapters.grpc import current_caller
from micromegas_auth.errors import WouldBlock
from micromegas_auth.identity import Credential, Decision

KEY = "an-api-key-of-more-than-16-bytes"
BEARER = ("authorization", f"Bearer {KEY}")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, PUBLIC_TEXTS[ProviderUnavailable])
on_both = pytest.mark.parametrize("style", ["sync", "aio"])
in_every_style = pytest.mark.parametrize("style", STYLES)


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()  # the interceptor's idle threads end with it
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.fixture
def issuer() -> Iterator[FaultyIssuer]:
    with FaultyIssuer() as running:
        yield running


@pytest.fixture
def door(issuer: FaultyIssuer) -> Iterator[RequestAuthenticator]:
    """Knows an API key, and the issuer, which does not answer before it is told to."""
    issuer.hold()
    oidc = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}
    config = AuthConfig.model_validate({"api_keys": [{"name": "loader", "key": KEY}], "oidc": oidc})
    authenticator = build_authenticator(config)
    yield authenticator
    issuer.release()
    authenticator.close()


class Meeting:
    """An authenticator that has to wait, and lets nobody in before `count` calls wait at once."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision:
        if not wait:
            raise WouldBlock
        self._barrier.wait(PATIENCE)
        return Decision(AuthContext(subject=credential.token, auth_type=AuthType.API_KEY))


class Slow:
    """Knows every key, but has to wait for SLOW until it may go."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.may_go = threading.Event()

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision:
        if credential.token == "slow":
            if not wait:
                raise WouldBlock
            self.arrived.release()
            assert self.may_go.wait(PATIENCE)
        return Decision(AuthContext(subject="known", auth_type=AuthType.API_KEY))


SLOW = ("authorization", "Bearer slow")


def bearer(issuer: FaultyIssuer) -> tuple[str, str]:
    return ("authorization", f"Bearer {issuer.mint()}")


def ended(channel: grpc.Channel, *metadata: tuple[str, str], timeout: float = PATIENCE) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "unary_unary", b"who", metadata=metadata, timeout=timeout)
    error: Any = caught.value
    return error.code(), error.details()


@in_every_style
def test_calls_authenticate_at_the_same_time(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers: eight calls wait for each other in the authenticator, which in turn none would survive."""
    monkeypatch.setattr(blocking, "MAX_WAITING", 8)
    front_door = RequestAuthenticator(Meeting(8), max_token_bytes=7168)
    with serving(style, front_door, workers=8) as channel, ThreadPoolExecutor(8) as clients:

        def ask(number: int) -> list[bytes]:
            kind = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")[number % 4]
            return call(channel, kind, b"who", metadata=[("authorization", f"Bearer number-{number}")])

        for number, answer in enumerate(clients.map(ask, range(8))):
            assert set(answer) == {b"number-%d number-%d" % (number, number)}


@in_every_style
def test_waiting_blocks_nobody_else_and_has_bounds(
    style: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for adapter in (event_loop, blocking):
        monkeypatch.setattr(adapter, "MAX_WAITING", 2)
    slow = Slow()
    with serving(style, RequestAuthenticator(slow, max_token_bytes=7168)) as channel, ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(call, channel, "unary_unary", b"who", metadata=[SLOW]) for _ in range(2)]
        for _ in waiting:
            assert slow.arrived.acquire(timeout=PATIENCE)
        # Both places are taken: a third that would have to wait is told so at once, and others go on.
        assert ended(channel, SLOW) == UNAVAILABLE
        assert 'reason=keys_unavailable error=ProviderUnavailable detail="2 ' in caplog.text
        assert call(channel, "unary_unary", b"who", metadata=[BEARER]) == [b"known known"]
        assert not any(one.done() for one in waiting)
        slow.may_go.set()
        for one in waiting:
            assert one.result(PATIENCE) == [b"known known"]
        assert call(channel, "unary_unary", b"who", metadata=[SLOW]) == [b"known known"]


@pytest.mark.parametrize("style", ["aio", "sync on aio"])
def test_a_place_is_free_when_its_thread_is(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that go while they wait make no room for more threads."""
    monkeypatch.setattr(event_loop, "MAX_WAITING", 1)
    slow = Slow()
    with serving(style, RequestAuthenticator(slow, max_token_bytes=7168)) as channel:
        gone = channel.unary_unary(f"/{SERVICE}/unary_unary").future(b"who", metadata=[SLOW])
        assert slow.arrived.acquire(timeout=PATIENCE)
        gone.cancel()
        for _ in range(3):
            assert ended(channel, SLOW) == UNAVAILABLE
        slow.may_go.set()


@in_every_style
def test_an_issuer_goes_down_and_comes_back(style: str, issuer: FaultyIssuer) -> None:
    watch = LogWatch()
    logger = logging.getLogger("micromegas_auth")
    logger.addHandler(watch)
    level = logger.level
    logger.setLevel(logging.INFO)
    issuer.stop()
    oidc = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}
    config = AuthConfig.model_validate({"api_keys": [{"name": "loader", "key": KEY}], "oidc": oidc})
    front_door = build_authenticator(config)
    try:
        with serving(style, front_door) as channel:
            assert ended(channel, bearer(issuer)) == UNAVAILABLE
            assert call(channel, "unary_unary", b"who", metadata=[BEARER]) == [b"loader loader"]
            issuer.start()
            watch.wait_for("INFO keys fetched")
            assert call(channel, "unary_unary", b"who", metadata=[bearer(issuer)]) == [b"alice alice"]
    finally:
        front_door.close()
        logger.removeHandler(watch)
        logger.setLevel(level)


@in_every_style
def test_a_deadline_while_waiting_for_keys(style: str, issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    with serving(style, door) as channel:
        issuer.wait_for_requests(1, DISCOVERY)
        code, _ = ended(channel, bearer(issuer), timeout=0.2)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        issuer.release()
        assert call(channel, "unary_unary", b"who", metadata=[bearer(issuer)]) == [b"alice alice"]


@on_both
@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
def test_a_client_that_goes(
    style: str, kind: str, issuer: FaultyIssuer, door: RequestAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler's generator ends soon, still for its Caller; nothing is logged as a failure, and others go on."""
    closed = threading.Event()
    callers = []

    def stream(_: Any, context: Any) -> Iterator[bytes]:
        try:
            while context.is_active():
                yield b"more"
        finally:
            callers.append(current_caller.get().auth.subject)
            closed.set()

    async def stream_aio(_: Any, __: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0)
        finally:
            callers.append(current_caller.get().auth.subject)
            closed.set()

    methods = {"stream": (kind, stream if style == "sync" else stream_aio)}
    both: Add = lambda server: (echo(style)(server), add(server, methods))[0]  # noqa: E731
    with serving(style, door, both) as channel:
        method = getattr(channel, kind)(f"/{SERVICE}/stream")
        responses = method(b"" if kind == "unary_stream" else iter([b""]), metadata=[BEARER], timeout=PATIENCE)
        assert next(responses) == b"more"
        responses.cancel()
        assert closed.wait(PATIENCE)
        assert callers == ["loader"]
        assert call(channel, "unary_unary", b"who", metadata=[BEARER]) == [b"loader loader"]
    assert "call failed" not in caplog.text


@on_both
def test_a_client_that_goes_while_its_requests_are_read(
    style: str, door: RequestAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    reading, ended_too, may_end = threading.Event(), threading.Event(), threading.Event()

    def read(requests: Any, _: Any) -> bytes:
        try:
            for _request in requests:
                reading.set()
        finally:
            ended_too.set()
        return b""

    async def read_aio(requests: Any, _: Any) -> bytes:
        try:
            async for _request in requests:
                reading.set()
        finally:
            ended_too.set()
        return b""

    def requests() -> Iterator[bytes]:
        yield b"one"
        may_end.wait(PATIENCE)

    methods = {"read": ("stream_unary", read if style == "sync" else read_aio)}
    with serving(style, door, lambda server: add(server, methods)) as channel:
        answer = channel.stream_unary(f"/{SERVICE}/read").future(requests(), metadata=[BEARER], timeout=PATIENCE)
        assert reading.wait(PATIENCE)
        answer.cancel()
        assert ended_too.wait(PATIENCE)
        may_end.set()
    assert "call failed" not in caplog.text


def test_a_handler_that_outlives_its_server(door: RequestAuthenticator, caplog: pytest.LogCaptureFixture) -> None:
    """Its exception, which comes after the end of the server, harms nobody."""
    started, raised = threading.Event(), threading.Event()

    async def stubborn(_: bytes, __: Any) -> bytes:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raised.set()
        raise ValueError("a secret")

    client = ThreadPoolExecutor(1)
    with serving("aio", door, lambda server: add(server, {"stubborn": ("unary_unary", stubborn)})) as channel:
        answer = client.submit(call, channel, "unary_unary", b"", path=f"/{SERVICE}/stubborn", metadata=[BEARER])
        assert started.wait(PATIENCE)
    assert isinstance(answer.exception(PATIENCE), grpc.RpcError)
    client.shutdown()
    assert raised.wait(PATIENCE)
    assert "a secret" not in caplog.text
