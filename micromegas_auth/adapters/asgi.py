"""Authentication for ASGI 3 applications of any framework, on asyncio.

    app = AuthMiddleware(app, build_authenticator(AuthConfig.from_env()))

and in each handler `caller = caller_of(request)`, or of the scope where there is no request object. Starlette's
`request.user`, `request.auth` and `@requires("admin")` work as well.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

from micromegas_auth.adapters.asgi_user import ADMIN, NOBODY, NOTHING, USER, User
from micromegas_auth.adapters.event_loop import EventLoopDoor
from micromegas_auth.adapters.http_refusal import Refusals
from micromegas_auth.attribution import Caller
from micromegas_auth.errors import AuthError, Reason, Unauthenticated
from micromegas_auth.request import RequestAuthenticator

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1
# Gateways write the identity they vouch for into such headers, and WSGI knows no difference between the two signs.
_FORGED = frozenset({b"x-auth-", b"x-auth_", b"x_auth-", b"x_auth_"}) | {
    # Nor between these and x-user-* and the like, which are judged in their true spelling alone.
    *(b"x-user_", b"x_user-", b"x_user_", b"x-org_i", b"x_org-i", b"x_org_i", b"x_clien"),
}
# What the front door reads. All headers would do, but requests come with a dozen others.
_READ = ("authorization", "x-user-id", "x-user-email", "x-user-name", "x-org-id", "x-client-type")
_NAMES = {name.encode(): name for name in _READ}


class AuthMiddleware:
    """Authenticates every request and WebSocket before the application sees it, CORS preflights included.

    Args:
        app: The application.
        authenticator: The front door.
        public_paths: Paths that need no credential and get no Caller; exact, as the application's router sees them.
        resource_metadata: The URL of this resource's metadata, for clients that look for its issuer (RFC 9728).

    Raises:
        ValueError: A public path does not begin with a slash, or `resource_metadata` is no URL.
    """

    def __init__(
        self,
        app: App,
        authenticator: RequestAuthenticator,
        public_paths: Iterable[str] = ("/health", "/ready"),
        *,
        resource_metadata: str | None = None,
    ) -> None:
        self._app = app
        self._door = EventLoopDoor(authenticator)
        self._public_paths = frozenset(public_paths)
        if not all(path.startswith("/") for path in self._public_paths):  # or a single text instead of several
            raise ValueError("public_paths must be several paths that begin with '/'")
        self._refusals = Refusals(resource_metadata)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, behind authentication.

        Raises:
            RuntimeError: The scope is of a type that this cannot judge; it is not passed on.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError("only http, websocket and lifespan are let through")
        headers: dict[str, list[bytes]] = {}
        forged = False
        for spelled, value in scope["headers"]:
            name = spelled.lower()
            if name in _NAMES:
                headers.setdefault(_NAMES[name], []).append(value)  # two values stay two, and are refused
            elif name[:7] in _FORGED:
                forged = True
        refused = caller = None
        if _route_path(scope) not in self._public_paths:
            try:
                caller = self._door.authenticate_nowait(headers)
                if caller is None:
                    caller = await self._door.wait(headers)
            except AuthError as error:
                refused = error
        if refused is not None:
            await self._refuse(refused, scope, send)
            return
        # Copies: the scope is the server's, and it may hand the same state to several requests.
        state = dict(scope.get("state") or ())
        passed_on: Scope = {**scope, "state": state}
        if forged:
            passed_on["headers"] = [header for header in scope["headers"] if header[0].lower()[:7] not in _FORGED]
        if caller is None:
            state.pop("caller", None)
            passed_on["user"], passed_on["auth"] = NOBODY, NOTHING
        else:
            state["caller"] = caller
            passed_on["user"], passed_on["auth"] = User(caller), ADMIN if caller.auth.is_admin else USER
        await self._app(passed_on, receive, send)

    async def _refuse(self, error: AuthError, scope: Scope, send: Send) -> None:
        refusal = self._refusals(error)
        response = "http.response"
        if scope["type"] == "websocket":
            response = "websocket.http.response"
            if response not in (scope.get("extensions") or ()):
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
        headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        await send({"type": f"{response}.start", "status": refusal.status, "headers": headers})
        await send({"type": f"{response}.body", "body": refusal.body})


def caller_of(connection: Mapping[str, Any]) -> Caller:
    """The Caller of a request.

    Args:
        connection: Its scope, or a Request or WebSocket of Starlette or FastAPI.

    Raises:
        Unauthenticated: The request did not pass through the middleware, for whatever cause, or its path is public.
    """
    caller = (connection.get("state") or {}).get("caller")
    if not isinstance(caller, Caller):
        raise Unauthenticated(Reason.MISSING_CREDENTIAL, "no middleware before the handler")
    return caller


def _route_path(scope: Scope) -> str:
    """What routers go by: the path, which the server has decoded, without the prefix the application is mounted under.

    As Starlette's router reads it. Whatever else a path might mean to somebody, such as `..`, is not public.
    """
    path: str = scope["path"]
    root: str | None = scope.get("root_path")
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :]
    return path
