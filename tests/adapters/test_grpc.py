"""The interceptors for grpc and grpc.aio: who comes in, who does not, and what a client sees of it."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, NoReturn

import grpc
import pytest
from support.grpc_service import KINDS, SECRET, SERVICE, STYLES, call, echo, serving
from support.refusals import PUBLIC_TEXTS
from support.tokens import claims, signing_key, token

from micromegas_auth import (
    AuthConfig,
    AuthContext,
    AuthType,
    Caller,
    PermissionDenied,
    ProviderUnavailable,
    RequestAuthenticator,
    Unauthenticated,
    UserAttribution,
    build_authenticator,
)
from micromegas_auth.adapters.grpc import current_caller, guarded

KEY = "an-api-key-of-more-than-16-bytes"
BEARER = ("authorization", f"Bearer {KEY}")
ISSUER = "http://127.0.0.1:9"  # the port of discard, where nobody listens: its keys cannot be fetched
STATUS = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    ProviderUnavailable: grpc.StatusCode.UNAVAILABLE,
}
FAILED = re.compile(r"the call failed \(error_id=([0-9a-f]{16})\)")
everywhere = pytest.mark.parametrize(("style", "kind"), [(style, kind) for style in STYLES for kind in KINDS])
in_every_style = pytest.mark.parametrize("style", STYLES)


@pytest.fixture(scope="module")
def authenticator() -> Iterator[RequestAuthenticator]:
    """Knows one API key, and an issuer that is down."""
    oidc = {"issuers": [{"issuer": ISSUER, "audience": "micromegas-api"}], "fetch_timeout_secs": 1}
    config = AuthConfig.model_validate({"api_keys": [{"name": "grafana", "key": KEY}], "oidc": oidc})
    authenticator = build_authenticator(config)
    yield authenticator
    authenticator.close()


def ended(channel: grpc.Channel, kind: str, *requests: bytes, **options: Any) -> tuple[grpc.StatusCode, str]:
    """The status and text with which this call must fail. All that the client learns holds no secret."""
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, kind, *requests, **options)
    error: Any = caught.value
    learned = f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()} {error.initial_metadata()}"
    for inside in ("Traceback", ".py", KEY, "micromegas_auth", SECRET, "Error", "Exception"):
        assert inside not in learned.replace("debug_error_string", "")
    return error.code(), error.details()


def refused(channel: grpc.Channel, error: type[Any], *metadata: tuple[str, str | bytes], kind: str = KINDS[0]) -> None:
    """A call with these metadata must fail with the status and the fixed text of `error`."""
    assert ended(channel, kind, b"who", metadata=metadata) == (STATUS[error], PUBLIC_TEXTS[error])


@everywhere
def test_a_caller_reaches_the_handler(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    with serving(style, authenticator) as channel:
        count = 1 if kind == "unary_unary" else 2
        expected = [b"grafana gr\xc3\xa4ce"] * count
        user = ("x-user-id", "gr%C3%A4ce")
        answer = call(channel, kind, *[b"who"] * (count if kind.startswith("stream") else 1), metadata=[BEARER, user])
        assert answer == ([b",".join(expected)] if kind == "stream_unary" else expected)


@everywhere
def test_nobody_else_does(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    with serving(style, authenticator) as channel:
        refused(channel, Unauthenticated, kind=kind)
        refused(channel, PermissionDenied, BEARER, ("x-user-id", "a%0d%0ab"), kind=kind)


@everywhere
def test_without_the_interceptor_nobody_calls(style: str, kind: str) -> None:
    """caller_of fails closed."""
    with serving(style, None) as channel, pytest.raises(grpc.RpcError) as caught:
        call(channel, kind, b"who", metadata=[BEARER])
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert PUBLIC_TEXTS[Unauthenticated] in error.details()


@in_every_style
def test_unauthenticated(authenticator: RequestAuthenticator, style: str) -> None:
    other = ("authorization", "Bearer another-key-that-nobody-knows")
    noise = [("x-auth-subject", "grafana"), ("x-auth-subject-bin", b"grafana"), ("x_auth_is_admin", "true")]
    with serving(style, authenticator) as channel:
        refused(channel, Unauthenticated, ("authorization", ""))
        refused(channel, Unauthenticated, ("authorization", "Bearer "))
        refused(channel, Unauthenticated, ("authorization", f"Basic {KEY}"))
        refused(channel, Unauthenticated, ("authorization", f"Bearer {KEY}x"))
        refused(channel, Unauthenticated, ("authorization", f"Bearer {KEY}, Bearer {KEY}"))
        refused(channel, Unauthenticated, ("authorization", "Bearer " + "x" * 7169))
        refused(channel, Unauthenticated, BEARER, BEARER)
        refused(channel, Unauthenticated, BEARER, other)
        refused(channel, Unauthenticated, other, BEARER)
        refused(channel, Unauthenticated, ("authorization-bin", f"Bearer {KEY}".encode()))
        refused(channel, Unauthenticated, *noise)


@in_every_style
def test_permission_denied(authenticator: RequestAuthenticator, style: str) -> None:
    with serving(style, authenticator) as channel:
        refused(channel, PermissionDenied, BEARER, ("x-user-id", "a"), ("x-user-id", "b"))
        refused(channel, PermissionDenied, BEARER, ("x-user-email", "%ff"))
        refused(channel, PermissionDenied, BEARER, ("x-user-id", "x" * 257))


@in_every_style
def test_binary_and_foreign_metadata_are_never_read(authenticator: RequestAuthenticator, style: str) -> None:
    noise = [(name, b"\x00\xff\x80 root") for name in ("x-user-id-bin", "x-auth-subject-bin", "authorization-bin")]
    metadata = [BEARER, *noise, ("x-auth-subject", "root"), ("x_auth_admin", "1")]
    with serving(style, authenticator) as channel:
        assert call(channel, "unary_unary", b"who", metadata=metadata) == [b"grafana grafana"]


@in_every_style
def test_an_issuer_that_is_down_is_unavailable(authenticator: RequestAuthenticator, style: str) -> None:
    now = time.time()
    bearer = token(signing_key(), claims(iss=ISSUER, iat=now, exp=now + 600))
    with serving(style, authenticator) as channel:
        refused(channel, ProviderUnavailable, ("authorization", f"Bearer {bearer}"))
        assert call(channel, "unary_unary", b"who", metadata=[BEARER])


@in_every_style
def test_a_failure_inside_shows_nothing_of_itself(style: str) -> None:
    class Broken:
        def authenticate(self, *_: Any, **__: Any) -> NoReturn:
            raise RuntimeError(SECRET)

    with serving(style, RequestAuthenticator(Broken(), max_token_bytes=7168)) as channel:
        refused(channel, ProviderUnavailable, BEARER)


@everywhere
def test_a_handlers_exception_stays_inside(
    authenticator: RequestAuthenticator, style: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(style, authenticator) as channel:
        for request in (b"raise", b"panic"):
            code, text = ended(channel, kind, request, metadata=[BEARER])
            found = FAILED.fullmatch(text)
            assert code is grpc.StatusCode.INTERNAL
            assert found is not None
            (line,) = [record.getMessage() for record in caplog.records if found[1] in record.getMessage()]
            error = {b"raise": "ValueError", b"panic": "Panic"}[request]
            assert re.search(rf'method=/{SERVICE}/{kind} error="{error} in support.grpc_service:\d+"', line)
    assert SECRET not in caplog.text


@everywhere
def test_a_handlers_own_end_passes(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    with serving(style, authenticator) as channel:
        aborted = (grpc.StatusCode.DATA_LOSS, "the handler's own text")
        assert ended(channel, kind, b"abort", metadata=[BEARER]) == aborted
        assert ended(channel, kind, b"abort and raise", metadata=[BEARER]) == aborted
        set_code = (grpc.StatusCode.NOT_FOUND, "no such thing")
        assert ended(channel, kind, b"set code", metadata=[BEARER]) == set_code
        denied = (grpc.StatusCode.PERMISSION_DENIED, PUBLIC_TEXTS[PermissionDenied])
        assert ended(channel, kind, b"deny", metadata=[BEARER]) == denied


@everywhere
def test_what_a_serializer_says_stays_inside(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    def fail(_: Any) -> NoReturn:
        raise ValueError(SECRET)

    for service in (echo(style, serialize=fail), echo(style, deserialize=fail)):
        with serving(style, authenticator, service) as channel:
            code, _ = ended(channel, kind, b"who", metadata=[BEARER])
            assert code is grpc.StatusCode.INTERNAL
            refused(channel, Unauthenticated, kind=kind)


@everywhere
def test_a_strangers_message_is_not_parsed(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    parsed = []
    with serving(style, authenticator, echo(style, deserialize=lambda raw: parsed.append(raw) or raw)) as channel:
        refused(channel, Unauthenticated, kind=kind)
        assert not parsed
        call(channel, kind, b"who", metadata=[BEARER])
        assert parsed == [b"who"]


@in_every_style
@pytest.mark.parametrize("kind", KINDS)
def test_which_methods_exist_is_for_callers(authenticator: RequestAuthenticator, style: str, kind: str) -> None:
    with serving(style, authenticator) as channel:
        for path in (f"/{SERVICE}/no_such_method", "/no.such.Service/x", "/", "/x", f"//{SERVICE}/unary_unary"):
            refusal = (grpc.StatusCode.UNAUTHENTICATED, PUBLIC_TEXTS[Unauthenticated])
            assert ended(channel, kind, b"", path=path) == refusal
            code, _ = ended(channel, kind, b"", path=path, metadata=[BEARER])
            assert code is grpc.StatusCode.UNIMPLEMENTED


def test_another_interceptors_exception_stays_inside(authenticator: RequestAuthenticator) -> None:
    class Broken(grpc.GenericRpcHandler):
        def service(self, _: Any) -> NoReturn:
            raise ValueError(SECRET)

    for style in ("sync", "aio"):
        with serving(style, authenticator, lambda server: server.add_generic_rpc_handlers((Broken(),))) as channel:
            ended(channel, "unary_unary", b"", metadata=[BEARER])


def test_a_stream_resumed_elsewhere_acts_for_its_own_caller(caplog: pytest.LogCaptureFixture) -> None:
    """Steps of several streams take turns in one context and in others, and none leaves its Caller behind."""

    def behavior(_: bytes, __: Any) -> Iterator[str]:
        try:
            for _step in range(4):
                yield current_caller.get().auth.subject
        finally:
            closed.append(current_caller.get().auth.subject)

    closed: list[str] = []
    streams = {}
    for name in ("ann", "bob"):
        caller = Caller(AuthContext(subject=name, auth_type=AuthType.API_KEY), UserAttribution())
        handler = guarded(grpc.unary_stream_rpc_method_handler(behavior), "/x/y", lambda _, caller=caller: caller)
        streams[name] = handler.unary_stream(b"", SimpleNamespace(invocation_metadata=lambda: ()))

    def step() -> None:
        for name, stream in streams.items():
            assert next(stream) == name
            assert current_caller.get(None) is None
        done.append(True)

    done: list[bool] = []
    step()
    copy_context().run(step)
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert len(done) == 3
    for stream in streams.values():
        stream.close()
    assert closed == ["ann", "bob"]
    assert current_caller.get(None) is None
    assert not caplog.records


@in_every_style
def test_a_thread_carries_no_caller_over(authenticator: RequestAuthenticator, style: str) -> None:
    """One worker serves a caller, then a stranger at a public service."""
    calls = [("unary_unary", b"who"), ("unary_stream", b"who"), ("unary_unary", b"raise"), ("unary_stream", b"raise")]

    def both(server: Any) -> None:
        echo(style)(server)
        other = {"peek": grpc.unary_unary_rpc_method_handler(lambda *_: str(current_caller.get(None)).encode())}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Open", other),))

    with serving(style, authenticator, both, public=["tests.Open"], workers=1) as channel:
        for kind, request in calls:
            if request == b"raise":
                ended(channel, kind, request, metadata=[BEARER])
            else:
                call(channel, kind, request, metadata=[BEARER])
            assert call(channel, "unary_unary", b"", path="/tests.Open/peek") == [b"None"]
            # What a stranger sends along makes no caller of a public service either.
            assert call(channel, "unary_unary", b"", path="/tests.Open/peek", metadata=[BEARER]) == [b"None"]


def test_logging_is_quiet(authenticator: RequestAuthenticator, caplog: pytest.LogCaptureFixture) -> None:
    """grpcio logs the text of what it catches itself: nothing gets that far."""
    with caplog.at_level(logging.DEBUG):
        for style in STYLES:
            with serving(style, authenticator) as channel:
                for kind in KINDS:
                    for request in (b"raise", b"abort", b"deny", b"abort and raise"):
                        ended(channel, kind, request, metadata=[BEARER])
                    refused(channel, Unauthenticated, kind=kind)
    assert SECRET not in caplog.text
    assert KEY not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("grpc") and record.exc_info]
