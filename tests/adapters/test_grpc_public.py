"""Public services: health checks and reflection with the real services of grpcio and real clients."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from support.grpc_service import SERVICE, Add, add, call, echo, serving
from support.refusals import PUBLIC_TEXTS

from micromegas_auth import AuthConfig, RequestAuthenticator, Unauthenticated, build_authenticator
from micromegas_auth.adapters.grpc_calls import caller_of, is_public

KEY = "an-api-key-of-more-than-16-bytes"
BEARER = ("authorization", f"Bearer {KEY}")
HEALTH = health.SERVICE_NAME
REFLECTION = reflection.SERVICE_NAME
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 20.0
on_both = pytest.mark.parametrize("style", ["sync", "aio"])


@pytest.fixture(scope="module")
def authenticator() -> Iterator[RequestAuthenticator]:
    config = AuthConfig.model_validate({"api_keys": [{"name": "grafana", "key": KEY}]})
    authenticator = build_authenticator(config)
    yield authenticator
    authenticator.close()


class Health:
    """The real health service for servers of either kind."""

    def __init__(self, style: str) -> None:
        self.servicer = health.HealthServicer() if style == "sync" else health.aio.HealthServicer()
        self.add: Add = lambda server: health_pb2_grpc.add_HealthServicer_to_server(self.servicer, server)


def reflect(server: Any) -> None:
    reflection.enable_server_reflection([SERVICE, REFLECTION, HEALTH], server)


def refusal(stub_call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        stub_call()
    error: Any = caught.value
    return error.code(), error.details()


UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, PUBLIC_TEXTS[Unauthenticated])


@on_both
def test_health_is_public_where_it_is_said_and_nothing_else(authenticator: RequestAuthenticator, style: str) -> None:
    with serving(style, authenticator, Health(style).add, echo(style), public=[HEALTH]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == SERVING
        code, _ = refusal(lambda: stub.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=PATIENCE))
        assert code is grpc.StatusCode.NOT_FOUND
        for path in (
            f"/{SERVICE}/unary_unary",
            f"/{HEALTH}/../{SERVICE}/unary_unary",
            f"/{HEALTH}%2F..%2F{SERVICE}/unary_unary",
            f"//{HEALTH}/Check",
            f"/{HEALTH}//Check",
            f"/{HEALTH}/Check/",
            f"/{HEALTH}.x/Check",
            f"/x.{HEALTH}/Check",
            f"/{HEALTH.upper()}/Check",
            f"{HEALTH}/Check",
            f"/{HEALTH}",
        ):
            assert refusal(lambda path=path: call(channel, "unary_unary", b"", path=path)) == UNAUTHENTICATED, path
        # What there is not in a public service is no secret.
        code, _ = refusal(lambda: call(channel, "unary_unary", b"", path=f"/{HEALTH}/NoSuchMethod"))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "method", ["", "/", "//", "///", "/a.B", "/a.B/C/D", "a.B/C", " /a.B/C", "/a.B /C", "/a.b/C", "//a.B/C", "/a.B//C"]
)
def test_no_other_form_is_public(method: str) -> None:
    assert is_public("/a.B/C", frozenset({"a.B"}))
    assert not is_public(method, frozenset({"a.B"}))


@on_both
def test_health_is_closed_unless_said(authenticator: RequestAuthenticator, style: str) -> None:
    with serving(style, authenticator, Health(style).add) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        assert refusal(lambda: stub.Check(request, timeout=PATIENCE)) == UNAUTHENTICATED
        assert refusal(lambda: next(stub.Watch(request, timeout=PATIENCE))) == UNAUTHENTICATED
        assert stub.Check(request, timeout=PATIENCE, metadata=[BEARER]).status == SERVING
        assert next(stub.Watch(request, timeout=PATIENCE, metadata=[BEARER])).status == SERVING


@pytest.mark.parametrize("public", [[HEALTH], []])
def test_watchers_keep_no_thread(authenticator: RequestAuthenticator, public: list[str]) -> None:
    """Strangers may watch; with more of them than threads, calls still go through, and all watchers hear the news."""
    service = Health("sync")
    with serving("sync", authenticator, service.add, echo("sync"), public=public, workers=2) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [
            stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE, metadata=[BEARER] if not public else [])
            for _ in range(6)
        ]
        for watch in watches:
            assert next(watch).status == SERVING
        assert call(channel, "unary_unary", b"who", metadata=[BEARER]) == [b"grafana grafana"]
        service.servicer.set("", NOT_SERVING)
        for watch in watches:
            assert next(watch).status == NOT_SERVING
            watch.cancel()


@on_both
def test_a_malformed_message_of_a_stranger(
    authenticator: RequestAuthenticator, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(style, authenticator, Health(style).add, public=[HEALTH]) as channel:
        code, text = refusal(lambda: call(channel, "unary_unary", b"\xff\xff\xff", path=f"/{HEALTH}/Check"))
    assert code is grpc.StatusCode.INTERNAL
    assert text.startswith("the call failed (error_id=")
    assert f"method=/{HEALTH}/Check" in caplog.text


@on_both
def test_reflection(authenticator: RequestAuthenticator, style: str) -> None:
    with serving(style, authenticator, reflect, public=[REFLECTION]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {SERVICE, REFLECTION, HEALTH}
        assert database.FindFileContainingSymbol(HEALTH).package == "grpc.health.v1"
        assert refusal(lambda: call(channel, "unary_unary", b"")) == UNAUTHENTICATED
    with serving(style, authenticator, reflect) as channel:
        assert refusal(ProtoReflectionDescriptorDatabase(channel).get_services) == UNAUTHENTICATED


@on_both
def test_a_public_service_has_no_caller(authenticator: RequestAuthenticator, style: str) -> None:
    """Not even where the client sends a good key: whoever needs a Caller must not be public."""

    def ask(_: bytes, context: Any) -> bytes:
        return caller_of(context).auth.subject.encode()

    async def ask_aio(_: bytes, context: Any) -> bytes:
        return ask(_, context)

    methods = {"ask": ("unary_unary", ask if style == "sync" else ask_aio)}
    with serving(style, authenticator, lambda server: add(server, methods), public=[SERVICE]) as channel:
        for metadata in ([], [BEARER]):
            asking = lambda metadata=metadata: call(  # noqa: E731
                channel, "unary_unary", b"", path=f"/{SERVICE}/ask", metadata=metadata
            )
            assert refusal(asking) == UNAUTHENTICATED
