"""The ASGI middleware before three applications, behind two real servers."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.asgi_apps import APPS, FAILURE
from support.asgi_servers import Headers, ask, serving, websocket
from support.front_door import LogWatch
from support.issuer import AUDIENCE, FaultyIssuer
from support.refusals import PUBLIC_TEXTS

from micromegas_auth import (
    AuthConfig,
    AuthError,
    PermissionDenied,
    ProviderUnavailable,
    RequestAuthenticator,
    Unauthenticated,
    build_authenticator,
)
from micromegas_auth.adapters.asgi import AuthMiddleware

KEY = "an-api-key-of-more-than-16-bytes"
DOWN = "http://127.0.0.1:9"  # the port of discard, where nobody listens
BEARER = ("authorization", f"Bearer {KEY}")
SECRET = "Zq9Marker"
METADATA = "https://telemetry.example/.well-known/oauth-protected-resource"


@pytest.fixture(scope="module")
def issuer() -> Iterator[FaultyIssuer]:
    with FaultyIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def authenticator(issuer: FaultyIssuer) -> Iterator[RequestAuthenticator]:
    """Knows an API key, an issuer whose root is an admin, and one that is down."""
    issuers = [{"issuer": issuer.url, "audience": AUDIENCE}, {"issuer": DOWN, "audience": AUDIENCE}]
    config = AuthConfig.model_validate(
        {
            "api_keys": [{"name": "grafana", "key": KEY}],
            "oidc": {"issuers": issuers, "fetch_timeout_secs": 1},
            "admins": [{"issuer": issuer.url, "subject": "root"}],
        }
    )
    authenticator = build_authenticator(config)
    yield authenticator
    authenticator.close()


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module", params=APPS)
def url(server: str, request: pytest.FixtureRequest, authenticator: RequestAuthenticator) -> Iterator[str]:
    middleware = AuthMiddleware(APPS[request.param](), authenticator, resource_metadata=METADATA)
    with serving(middleware, server) as url:
        yield url


@pytest.fixture(scope="module")
def starlette_url(server: str, authenticator: RequestAuthenticator) -> Iterator[str]:
    with serving(AuthMiddleware(APPS["starlette"](), authenticator), server) as url:
        yield url


def said(url: str, *headers: tuple[str, str], target: str = "/whoami") -> dict[str, Any]:
    """What the application says to a caller that it lets in."""
    status, _, body = ask(url, target, headers)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def refused(url: str, error: type[AuthError], *headers: tuple[str, str], **more: str) -> tuple[Any, str]:
    """The headers and the request id of a refusal, which must say what `error` promises and nothing else."""
    status, told, body = ask(url, more.pop("target", "/whoami"), headers, **more)
    assert status == {Unauthenticated: 401, PermissionDenied: 403, ProviderUnavailable: 503}[error]
    assert (told["content-type"], told["cache-control"]) == ("application/json", "no-store")
    assert ("www-authenticate" in told, "retry-after" in told) == (status == 401, status == 503)
    answer = json.loads(body)
    assert answer.keys() == {"error", "request_id"}
    assert answer["error"] == PUBLIC_TEXTS[error]
    everything = f"{told} {body.decode()}"
    for inside in ("Traceback", ".py", KEY, "grafana", SECRET):
        assert inside not in everything
    return told, answer["request_id"]


def test_a_caller_reaches_the_handler(url: str, issuer: FaultyIssuer) -> None:
    assert said(url, BEARER)["subject"] == "grafana"
    assert said(url, ("AUTHORIZATION", f"bearer   {KEY}"), target="/sub/whoami")["subject"] == "grafana"
    of_alice = said(url, ("authorization", f"Bearer {issuer.mint()}"), ("x-user-id", "alice"))
    assert (of_alice["subject"], of_alice["user"], of_alice["service"]) == ("alice", "alice", None)


def test_percent_encoded_user_headers(url: str) -> None:
    answer = said(url, BEARER, ("x-user-id", "gr%C3%A4ce%20h"), ("x-user-name", "Gräce"))
    assert (answer["user"], answer["name"], answer["service"]) == ("gräce h", "Gräce", "grafana")


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", f"Basic {KEY}")],
        [("authorization", f"Bearer {KEY}x")],
        [("authorization", f"Bearer {KEY}, Bearer {KEY}")],
        [("authorization", f"Bearer {SECRET}\u00e9")],
        [("authorization", f"Bearer {'x' * 7169}")],
        [BEARER, BEARER],
        [BEARER, ("Authorization", f"Bearer {SECRET}")],
        [("authorization", f"Bearer {SECRET}"), BEARER],
        [("authorization", f"Bearer {SECRET}.{SECRET}.{SECRET}"), ("x-user-id", "root")],
    ],
)
def test_a_bad_credential(url: str, headers: Headers) -> None:
    told, _ = refused(url, Unauthenticated, *headers)
    challenge = f'Bearer realm="micromegas", error="invalid_token", resource_metadata="{METADATA}"'
    assert told["www-authenticate"] == challenge


@pytest.mark.parametrize(
    "headers",
    [[], [("x-auth-subject", "root"), ("x-user-id", "root")], [("authorization_", f"Bearer {KEY}")], [("cookie", KEY)]],
)
def test_no_credential(url: str, headers: Headers) -> None:
    told, _ = refused(url, Unauthenticated, *headers)
    assert told["www-authenticate"] == f'Bearer realm="micromegas", resource_metadata="{METADATA}"'


def test_without_metadata(starlette_url: str) -> None:
    told, _ = refused(starlette_url, Unauthenticated)
    assert told["www-authenticate"] == 'Bearer realm="micromegas"'


@pytest.mark.parametrize(
    "headers",
    [
        [("x-user-id", "a%0d%0ab")],
        [("x-user-id", "a"), ("x-user-id", "b")],
        [("x-user-email", "%ff")],
        [("x-user-name", f"%E2%80%AE{SECRET}")],
        [("x-user-id", "x" * 257)],
    ],
)
def test_permission_denied(url: str, headers: Headers) -> None:
    refused(url, PermissionDenied, BEARER, *headers)


def test_naming_somebody_else(url: str, issuer: FaultyIssuer) -> None:
    refused(url, PermissionDenied, ("authorization", f"Bearer {issuer.mint()}"), ("x-user-id", SECRET))


def test_an_issuer_that_is_down(url: str, issuer: FaultyIssuer) -> None:
    told, _ = refused(url, ProviderUnavailable, ("authorization", f"Bearer {issuer.mint(iss=DOWN)}"))
    assert told["retry-after"] == "2"
    assert said(url, BEARER)["subject"] == "grafana"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "DELETE", "TRACE", "INVENTED"])
def test_every_method_is_authenticated(starlette_url: str, method: str) -> None:
    status, told, body = ask(starlette_url, "/whoami", [("origin", "https://a.example")], method)
    assert (status, told["cache-control"]) == (401, "no-store")
    assert (body == b"") == (method == "HEAD")
    assert ask(starlette_url, "/whoami", [BEARER], method)[0] == (200 if method == "HEAD" else 405)


def test_headers_that_only_a_gateway_may_write_do_not_arrive(url: str) -> None:
    forged = [
        "x-auth-subject",
        "X-AUTH-Email",
        "x_auth_admin",
        "X-Auth_Role",
        "x_auth-id",
        "x-auth-id-bin",
        "x-auth-",
        "x_user_id",
        "X-User_Id",
        "x_org_id",
        "x_client_type",
    ]
    kept = ["x-authority", "x-author", "my-x-auth-id", "x-user-id", "xauth-id", "x-auth"]
    sent = [(name, "root") for name in (*forged, *kept)]
    answer = said(url, BEARER, *sent)
    assert [name for name in answer["headers"] if "auth" in name] == sorted(
        ["authorization", *(name for name in kept if "auth" in name)]
    )
    assert answer["subject"] == "grafana"


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_admins(server: str, framework: str, authenticator: RequestAuthenticator, issuer: FaultyIssuer) -> None:
    """Starlette's decorator."""
    root = issuer.mint(sub="root", email="root@example.com", email_verified=True)
    with serving(AuthMiddleware(APPS[framework](), authenticator), server) as url:
        status, _, body = ask(url, "/admin", [("authorization", f"Bearer {root}")])
        assert (status, body.decode()) == (200, f"root@example.com {issuer.url}#root")
        assert ask(url, "/admin", [BEARER])[0] == 403
        assert ask(url, "/admin", [("authorization", f"Bearer {issuer.mint()}")])[0] == 403


def test_websockets(url: str, issuer: FaultyIssuer) -> None:
    assert websocket(url, "/ws", [BEARER]) == (101, {}, "grafana")
    status, told, body = websocket(url, "/ws", [("authorization", f"Bearer {SECRET}")])
    assert (status, told["content-type"], told["cache-control"]) == (401, "application/json", "no-store")
    assert told["www-authenticate"].startswith('Bearer realm="micromegas", error="invalid_token"')
    assert json.loads(body)["error"] == PUBLIC_TEXTS[Unauthenticated]
    assert websocket(url, "/ws", [BEARER, ("x-user-id", "%00")])[0] == 403
    status, told, _ = websocket(url, "/ws", [("authorization", f"Bearer {issuer.mint(iss=DOWN)}")])
    assert (status, told["retry-after"]) == (503, "2")


def test_failures_of_the_application_are_its_own(url: str) -> None:
    status, _, body = ask(url, "/fail", [BEARER])
    assert status == 500
    assert FAILURE.encode() not in body
    refused(url, Unauthenticated, target="/fail")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [([], "missing_credential"), ([("authorization", f"Bearer {SECRET}")], "unknown_credential")],
)
def test_the_id_of_the_request_is_in_the_log(
    authenticator: RequestAuthenticator, headers: Headers, reason: str
) -> None:
    watch, logger = LogWatch(), logging.getLogger("micromegas_auth")
    logger.addHandler(watch)
    logger.setLevel(logging.INFO)
    try:
        with serving(AuthMiddleware(APPS["bare"](), authenticator)) as url:
            _, request_id = refused(url, Unauthenticated, *headers)
        assert re.fullmatch("[0-9a-f]{16}", request_id)
        line = watch.wait_for(request_id)
    finally:
        logger.removeHandler(watch)
        logger.setLevel(logging.NOTSET)
    assert line.startswith(f"INFO answered: status=401 request_id={request_id} reason={reason} detail=")
    assert SECRET not in "".join(watch.lines)
