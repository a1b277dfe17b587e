"""The parts of the ASGI middleware that need no server."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micromegas_auth import AuthConfig, Reason, RequestAuthenticator, Unauthenticated, build_authenticator
from micromegas_auth.adapters.asgi import AuthMiddleware, caller_of
from micromegas_auth.adapters.event_loop import MAX_WAITING
from micromegas_auth.errors import WouldBlock

KEY = "an-api-key-of-more-than-16-bytes"
AUTHENTICATOR = build_authenticator(AuthConfig.model_validate({"api_keys": [{"name": "grafana", "key": KEY}]}))
BEARER = (b"authorization", f"Bearer {KEY}".encode())


def scope(**changes: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": [BEARER], **changes}


class Seen:
    """An application that keeps the scopes it gets."""

    def __init__(self, error: Exception | None = None) -> None:
        self.scopes: list[Any] = []
        self._error = error

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.scopes.append(scope)
        if self._error is not None:
            raise self._error


def call(app: Any, scope: dict[str, Any], wrapped: Callable[[Any], Any] | None = None) -> list[dict[str, Any]]:
    """What the middleware sends for a scope."""
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the middleware reads no message")

    middleware = AuthMiddleware(app, AUTHENTICATOR) if wrapped is None else wrapped(app)
    asyncio.run(middleware(scope, receive, send))
    return sent


def test_the_scope_of_the_server_stays_as_it_is() -> None:
    app = Seen()
    state = {"pool": object(), "caller": "of an earlier request"}
    given = scope(headers=[BEARER, (b"x-auth-subject", b"root")], state=state, user="root", auth="everything")
    before = {**given, "headers": list(given["headers"]), "state": dict(state)}
    assert call(app, given) == []
    assert given == before
    (seen,) = app.scopes
    assert seen["headers"] == [BEARER]
    assert seen["state"]["pool"] is state["pool"]
    assert caller_of(seen).auth.subject == "grafana"
    assert (seen["user"].is_authenticated, seen["user"].display_name, seen["user"].identity) == (
        True,
        "grafana",
        "grafana",
    )
    assert seen["auth"].scopes == ("authenticated",)


def test_requests_share_no_state() -> None:
    app = Seen()
    state: dict[str, Any] = {}
    for _ in range(2):
        call(app, scope(state=state))
    first, second = (seen["state"] for seen in app.scopes)
    assert first is not second
    assert state == {}


@pytest.mark.parametrize("state", [{}, {"state": None}, {"state": {"caller": "somebody"}}])
def test_a_public_path_has_no_caller(state: dict[str, Any]) -> None:
    app = Seen()
    assert call(app, scope(path="/health", user="root", auth="everything", **state)) == []
    (seen,) = app.scopes
    assert "caller" not in seen["state"]
    assert (seen["user"].is_authenticated, seen["user"].display_name, seen["user"].identity) == (False, "", "")
    assert seen["auth"].scopes == ()
    with pytest.raises(Unauthenticated):
        caller_of(seen)


@pytest.mark.parametrize("connection", [{}, {"state": None}, {"state": {}}, {"state": {"caller": {"subject": "root"}}}])
def test_caller_of_fails_closed(connection: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        caller_of(connection)


def test_lifespan_passes_through() -> None:
    app = Seen()
    lifespan = {"type": "lifespan", "state": {}}
    assert call(app, lifespan) == []
    assert app.scopes[0] is lifespan


@pytest.mark.parametrize("kind", ["", "HTTP", "webtransport", "http2", None])
def test_unknown_scopes_are_refused(kind: Any) -> None:
    app = Seen()
    with pytest.raises(RuntimeError, match="only http, websocket and lifespan"):
        call(app, scope(type=kind))
    assert app.scopes == []


@pytest.mark.parametrize(
    "error", [RuntimeError("its own"), Unauthenticated(Reason.EXPIRED)], ids=["any", "one that looks like ours"]
)
def test_failures_of_the_application_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        call(Seen(error), scope())
    assert caught.value is error


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_a_websocket_is_closed_where_the_server_can_do_no_better(extensions: dict[str, Any]) -> None:
    assert call(Seen(), scope(type="websocket", headers=[], **extensions)) == [
        {"type": "websocket.close", "code": 1008}
    ]


def test_a_websocket_is_denied_where_the_server_can() -> None:
    start, body = call(Seen(), scope(type="websocket", headers=[], extensions={"websocket.http.response": {}}))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert body["type"] == "websocket.http.response.body"
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


@pytest.mark.parametrize("paths", ["/health", "health", ["health"], ["/health", ""], [""]])
def test_public_paths_that_are_none(paths: Any) -> None:
    with pytest.raises(ValueError, match="public_paths"):
        AuthMiddleware(Seen(), AUTHENTICATOR, paths)


def test_no_path_need_be_public() -> None:
    assert call(Seen(), scope(path="/health", headers=[]), lambda app: AuthMiddleware(app, AUTHENTICATOR, ()))


@given(st.from_regex(r"\Ax[-_]auth[-_][ -~]{0,9}\Z"), st.data())
def test_every_spelling_of_a_forged_header_is_removed(name: str, data: st.DataObject) -> None:
    spelled = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name)
    app = Seen()
    call(app, scope(headers=[(spelled.encode(), b"root"), BEARER, (spelled.encode(), b"admin")]))
    assert app.scopes[0]["headers"] == [BEARER]


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize(
    ("root", "before"), [("", ""), (None, ""), ("/api", ""), ("/api", "/api"), ("/api/", "/api/"), ("/a/b", "/a/b")]
)
def test_public_under_a_root_path(path: str, root: str | None, before: str) -> None:
    assert call(Seen(), scope(path=before + path, root_path=root, headers=[])) == []


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/health", "/health"),
        ("/api", "/api"),
        ("/api", "/apihealth"),
        ("/api", "/api//health"),
        ("/api", "/API/health"),
        ("/api", "/other/health"),
        ("/api", "/api/../health"),
        ("/api/health", "/api/health"),
        ("/", "/health/"),
        ("", ""),
    ],
)
def test_not_public_under_a_root_path(root: str, path: str) -> None:
    assert call(Seen(), scope(path=path, root_path=root, headers=[]))[0]["status"] == 401


def test_no_thread_to_wait_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer as often as it is asked: no place is lost."""

    class Waits:
        def authenticate(self, _: object, wait: bool = True) -> NoReturn:
            raise WouldBlock

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    middleware = AuthMiddleware(Seen(), RequestAuthenticator(Waits(), max_token_bytes=7168))
    for _ in range(MAX_WAITING + 1):
        start, body = call(None, scope(), lambda _: middleware)
        assert start["status"] == 503
    assert b"thread" not in body["body"]


def test_every_header_that_the_front_door_reads_reaches_it() -> None:
    class Recorded(dict[str, str]):
        """Headers, and which of them were looked for."""

        names: ClassVar[set[str]] = set()

        def get(self, name: str, default: Any = None) -> Any:
            self.names.add(name)
            return super().get(name, default)

        def __contains__(self, name: object) -> bool:
            self.names.add(str(name))
            return super().__contains__(name)

    AUTHENTICATOR.authenticate(Recorded(authorization=f"Bearer {KEY}"))
    app = Seen()
    sent = [(name.encode(), f"{name}@example.com".encode()) for name in sorted(Recorded.names - {"authorization"})]
    call(app, scope(headers=[BEARER, *sent]))
    caller = caller_of(app.scopes[0])
    told = {caller.attribution.user_id, caller.attribution.user_email, caller.attribution.user_name}
    told |= {caller.attribution.org_id, caller.attribution.client_type}
    assert told == {value.decode() for _, value in sent}
