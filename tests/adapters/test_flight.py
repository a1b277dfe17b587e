"""The adapter for pyarrow.flight, on a small server that only says who calls."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pyarrow.flight as flight
import pytest
from support.refusals import PUBLIC_TEXTS
from support.tokens import claims, signing_key, token

from micromegas_auth import (
    AuthConfig,
    PermissionDenied,
    ProviderUnavailable,
    RequestAuthenticator,
    Unauthenticated,
    build_authenticator,
)
from micromegas_auth.adapters.flight import FlightAuthMiddlewareFactory, caller_of

KEY = "an-api-key-of-more-than-16-bytes"
ISSUER = "http://127.0.0.1:9"  # the port of discard, where nobody listens: its keys cannot be fetched
BEARER = ("authorization", f"Bearer {KEY}")
STATUS: dict[type[Exception], type[flight.FlightError]] = {
    Unauthenticated: flight.FlightUnauthenticatedError,
    PermissionDenied: flight.FlightUnauthorizedError,
    ProviderUnavailable: flight.FlightUnavailableError,
}


class WhoAmI(flight.FlightServerBase):  # type: ignore[misc]
    """Answers every action with the caller's subject, end user and service account."""

    def __init__(self, middleware: dict[str, Any], key: str = "auth") -> None:
        super().__init__("grpc://127.0.0.1:0", middleware=middleware)
        self._key = key

    def do_action(self, context: flight.ServerCallContext, _: flight.Action) -> Iterator[flight.Result]:
        caller = caller_of(context, self._key)
        attribution = caller.attribution
        answer = f"{caller.auth.subject} {attribution.user_id} {attribution.service_account}"
        return iter([flight.Result(answer.encode())])


class Other(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Lets every call through; `instance` decides whether it leaves a middleware behind."""

    def __init__(self, instance: flight.ServerMiddleware | None) -> None:
        self._instance = instance

    def start_call(self, *_: Any) -> flight.ServerMiddleware | None:
        return self._instance


@pytest.fixture(scope="module")
def authenticator() -> Iterator[RequestAuthenticator]:
    """Knows one API key, and an issuer that is down."""
    config = AuthConfig.model_validate(
        {
            "api_keys": [{"name": "grafana", "key": KEY}],
            "oidc": {"issuers": [{"issuer": ISSUER, "audience": "micromegas-api"}], "fetch_timeout_secs": 1},
        }
    )
    authenticator = build_authenticator(config)
    yield authenticator
    authenticator.close()


@contextmanager
def asking(middleware: dict[str, Any], key: str = "auth") -> Iterator[Any]:
    """A function that calls a server with these headers and returns its answer."""
    with WhoAmI(middleware, key) as server, flight.connect(f"grpc://127.0.0.1:{server.port}") as client:

        def ask(*headers: tuple[str, str | bytes]) -> str:
            pairs = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
            (result,) = client.do_action(flight.Action("who", b""), flight.FlightCallOptions(headers=pairs, timeout=20))
            return str(result.body.to_pybytes().decode())

        yield ask


def refused(ask: Any, error: type[Unauthenticated | PermissionDenied | ProviderUnavailable], *headers: Any) -> None:
    """The call must fail with the status and the fixed text of `error`, and say nothing else."""
    with pytest.raises(flight.FlightError) as caught:
        ask(*headers)
    assert type(caught.value) is STATUS[error], caught.value
    text = str(caught.value)
    assert PUBLIC_TEXTS[error] in text
    for inside in ("Traceback", ".py", KEY, "micromegas_auth", "secret"):
        assert inside not in text


def test_a_caller_reaches_the_handler(authenticator: RequestAuthenticator) -> None:
    with asking({"auth": FlightAuthMiddlewareFactory(authenticator)}) as ask:
        assert ask(BEARER) == "grafana grafana None"
        assert ask(BEARER, ("x-user-id", "gr%C3%A4ce%20h")) == "grafana gräce h grafana"
        assert ask(("authorization", f"bearer   {KEY}")) == "grafana grafana None"


def test_the_factory_may_stand_under_another_key(authenticator: RequestAuthenticator) -> None:
    factory = FlightAuthMiddlewareFactory(authenticator)
    with asking({"first": Other(None), "door": factory}, "door") as ask:
        assert ask(BEARER).startswith("grafana ")
    with asking({"door": factory}) as ask:
        refused(ask, Unauthenticated, BEARER)


@pytest.mark.parametrize(
    "middleware", [{}, {"auth": Other(None)}, {"auth": Other(flight.ServerMiddleware())}], ids=["none", "null", "other"]
)
def test_without_the_factory_nobody_calls(middleware: dict[str, Any]) -> None:
    """caller_of fails closed, whatever stands in the factory's place."""
    with asking(middleware) as ask:
        refused(ask, Unauthenticated, BEARER)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", f"Basic {KEY}")],
        [("authorization", KEY)],
        [("authorization", f"Bearer {KEY}x")],
        [("authorization", f"Bearer {KEY} {KEY}")],
        [("authorization", f"Bearer {KEY}, Bearer {KEY}")],
        [BEARER, BEARER],
        [BEARER, ("authorization", "Bearer another-key-that-nobody-knows")],
        [("authorization", "Bearer another-key-that-nobody-knows"), BEARER],
        [("authorization-bin", f"Bearer {KEY}")],
        [("x-auth-subject", "grafana"), ("x-auth-subject-bin", b"grafana"), ("x_auth_is_admin", "true")],
        [("authorization", "Bearer " + "x" * 7169)],
    ],
)
def test_unauthenticated(authenticator: RequestAuthenticator, headers: list[tuple[str, str | bytes]]) -> None:
    with asking({"auth": FlightAuthMiddlewareFactory(authenticator)}) as ask:
        refused(ask, Unauthenticated, *headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("x-user-id", "a%0d%0ab")],
        [("x-user-id", "a"), ("x-user-id", "b")],
        [("x-user-email", "%ff")],
        [("x-user-name", "%E2%80%AEevil")],
        [("x-user-id", "x" * 257)],
    ],
)
def test_permission_denied(authenticator: RequestAuthenticator, headers: list[tuple[str, str | bytes]]) -> None:
    with asking({"auth": FlightAuthMiddlewareFactory(authenticator)}) as ask:
        refused(ask, PermissionDenied, BEARER, *headers)


def test_binary_and_foreign_headers_are_never_read(authenticator: RequestAuthenticator) -> None:
    """`-bin` values arrive as bytes, and a client may invent any name."""
    with asking({"auth": FlightAuthMiddlewareFactory(authenticator)}) as ask:
        noise = [(name, b"\x00\xff\x80 root") for name in ("x-user-id-bin", "x-auth-subject-bin", "authorization-bin")]
        assert ask(BEARER, *noise, ("x-auth-subject", "root"), ("x_auth_admin", "1")) == "grafana grafana None"


def test_an_issuer_that_is_down_is_unavailable(authenticator: RequestAuthenticator) -> None:
    now = time.time()
    bearer = token(signing_key(), claims(iss=ISSUER, iat=now, exp=now + 600))
    with asking({"auth": FlightAuthMiddlewareFactory(authenticator)}) as ask:
        refused(ask, ProviderUnavailable, ("authorization", f"Bearer {bearer}"))
        assert ask(BEARER).startswith("grafana ")


def test_a_failure_inside_shows_nothing_of_itself() -> None:
    class Broken:
        def authenticate(self, *_: Any, **__: Any) -> NoReturn:
            raise RuntimeError("a secret")

    door = RequestAuthenticator(Broken(), max_token_bytes=7168)
    with asking({"auth": FlightAuthMiddlewareFactory(door)}) as ask:
        refused(ask, ProviderUnavailable, BEARER)
