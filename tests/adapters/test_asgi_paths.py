"""What is public and what is not, as real servers and routers read a path."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from support.asgi_apps import APPS
from support.asgi_servers import ask, serving, websocket

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator
from micromegas_auth.adapters.asgi import AuthMiddleware

KEY = "an-api-key-of-more-than-16-bytes"
BEARER = ("authorization", f"Bearer {KEY}")
PUBLIC = [
    "/health",
    "/health?next=/whoami",
    "/health?",
    "/%68ealth",  # what a server hands on as /health is /health to every router
]
TRICKS = [
    "/",
    "//",
    "/whoami",
    "//health",
    "/health/",
    "/health//",
    "/Health",
    "/HEALTH",
    "/health/../whoami",
    "//health/../whoami",
    "/health/..",
    "/health/%2e%2e/whoami",
    "/health%2f..%2fwhoami",
    "/health%2f",
    "/%2fhealth",
    "/./health",
    "/x/../health",
    "/x%2f..%2fhealth",
    "/whoami/../health",
    "/health;x=/whoami",
    "/health%3f",
    "/health%23",
    "/health%00",
    "/health%0a",  # Starlette's router takes this for /health
    "/health%20",
    "/health.json",
    "/health%5c..%5cwhoami",
    "\\health",
    "/%2568ealth",
    "/healt%C4%A7",
    "/h%EF%BD%85alth",
    "/sub/health",
    "/api/health",
    "health",
    "*",
    "http://127.0.0.1/health",
    "http://127.0.0.1/whoami",
    "/ready/../health",
    "/health&/whoami",
]


@pytest.fixture(scope="module")
def authenticator() -> Iterator[RequestAuthenticator]:
    authenticator = build_authenticator(AuthConfig.model_validate({"api_keys": [{"name": "grafana", "key": KEY}]}))
    yield authenticator
    authenticator.close()


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module", params=APPS)
def url(server: str, request: pytest.FixtureRequest, authenticator: RequestAuthenticator) -> Iterator[str]:
    with serving(AuthMiddleware(APPS[request.param](), authenticator), server) as url:
        yield url


@pytest.mark.parametrize("target", PUBLIC)
@pytest.mark.parametrize(
    "headers",
    [[], [BEARER], [("authorization", "Bearer stale")], [BEARER, BEARER], [BEARER, ("x-user-id", "%00")]],
    ids=["none", "good", "stale", "two", "denied"],
)
def test_public(url: str, target: str, headers: list[tuple[str, str]]) -> None:
    """Whatever credential comes along, it is neither looked at nor an error: the application looks for a Caller."""
    status, _, body = ask(url, target, headers)
    assert (status, body) == (200, b"OK")


@pytest.mark.parametrize("target", TRICKS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_not_public(url: str, target: str, method: str) -> None:
    status, _, body = ask(url, target, method=method)
    # 400: the server itself did not take it for a request.
    assert status in (400, 401), body
    if status == 401:
        assert b"request_id" in body


def test_a_path_is_public_for_every_method(url: str) -> None:
    assert ask(url, "/health", method="OPTIONS")[0] in (200, 405)


def test_a_websocket_on_a_public_path_has_no_caller(authenticator: RequestAuthenticator) -> None:
    with serving(AuthMiddleware(APPS["fastapi"](), authenticator, ["/ws"])) as url:
        status, _, body = websocket(url, "/ws", [BEARER])  # let through, and refused by the handler
        assert status == 401
        assert "request_id" not in body


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
def test_root_path(server: str, app: str, authenticator: RequestAuthenticator) -> None:
    """--root-path: uvicorn puts it before each path, hypercorn does not."""
    with serving(AuthMiddleware(APPS[app](), authenticator), server, "/api") as url:
        assert ask(url, "/health")[0] == 200
        assert ask(url, "/whoami", [BEARER])[0] == 200
        for target in ("/whoami", "/sub/health", "/api", "/apihealth", "/api/api/health", "//api/health"):
            assert ask(url, target)[0] == 401, target


def test_a_path_that_is_the_root_path(authenticator: RequestAuthenticator) -> None:
    """The mounted application sees an empty path there."""
    with serving(AuthMiddleware(APPS["starlette"](), authenticator), "hypercorn", "/health") as url:
        assert ask(url, "/health")[0] == 401
        assert ask(url, "/health/health")[0] == 200


def test_mounted_and_as_middleware_of_the_application(server: str, authenticator: RequestAuthenticator) -> None:
    inner = APPS["starlette"]()
    inner.add_middleware(AuthMiddleware, authenticator=authenticator)
    outer = Starlette(routes=[Mount("/api", inner), Mount("/health", AuthMiddleware(APPS["bare"](), authenticator))])
    with serving(outer, server) as url:
        assert ask(url, "/api/health")[0] == 200
        assert ask(url, "/api/sub/whoami", [BEARER])[0] == 200
        for target in ("/api/whoami", "/api/api/health", "/api//health", "/api/health/", "/health/", "/health/x"):
            assert ask(url, target)[0] == 401, target


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("target", ["/whoami", "/sub/whoami"])
def test_without_the_middleware_the_handler_refuses(server: str, app: str, target: str) -> None:
    with serving(APPS[app](), server) as url:
        status, _, body = ask(url, target, [BEARER, ("x-auth-subject", "grafana")])
    assert status == (500 if app == "starlette" else 401)
    assert b"grafana" not in body
    assert b"Traceback" not in body
