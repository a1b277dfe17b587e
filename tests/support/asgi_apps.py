"""One application, written for Starlette, for FastAPI and for nothing but ASGI.

/health says OK to anybody; /whoami and /sub/whoami say who calls, and which headers the application sees; /admin is for
admins; /fail raises; the WebSocket /ws says the subject and ends.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket
from fastapi import Request as FastAPIRequest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from micromegas_auth import AuthError, Caller
from micromegas_auth.adapters.asgi import caller_of
from micromegas_auth.adapters.fastapi import current_caller

FAILURE = "a failure of the application"


def said_of(caller: Caller, headers: Any) -> dict[str, Any]:
    """What /whoami answers."""
    attribution = caller.attribution
    return {
        "subject": caller.auth.subject,
        "user": attribution.user_id,
        "name": attribution.user_name,
        "service": attribution.service_account,
        "admin": caller.auth.is_admin,
        "headers": sorted(name.decode("latin-1") for name, _ in headers),
    }


def starlette_app() -> Any:
    """Starlette."""

    async def health(request: Request) -> Response:
        if "caller" in request.scope["state"] or request.user.is_authenticated or list(request.auth.scopes):
            raise AssertionError("a public path has a caller")
        return PlainTextResponse("OK")

    async def whoami(request: Request) -> Response:
        caller = caller_of(request)
        if not (request.user.is_authenticated and request.user.caller is caller is request.state.caller):
            raise AssertionError("two answers to who it is")
        return JSONResponse(said_of(caller, request.scope["headers"]))

    @requires("admin")
    async def admin(request: Request) -> Response:
        return PlainTextResponse(f"{request.user.display_name} {request.user.identity}")

    async def fail(request: Request) -> Response:
        raise RuntimeError(FAILURE)

    @requires("authenticated")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(caller_of(websocket).auth.subject)
        await websocket.close()

    routes = [Route("/whoami", whoami), Route("/admin", admin), WebSocketRoute("/ws", ws)]
    routes += [Route("/health", health), Route("/fail", fail)]
    return Starlette(routes=[*routes, Mount("/sub", routes=[Route("/whoami", whoami), Route("/health", whoami)])])


def fastapi_app() -> Any:
    """FastAPI, with an endpoint of either colour."""
    app = FastAPI()
    sub = FastAPI()
    Who = Annotated[Caller, Depends(current_caller)]  # noqa: N806 - a type

    @app.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        return "OK"

    @app.get("/whoami")
    @app.post("/whoami")
    async def whoami(request: FastAPIRequest, caller: Who) -> dict[str, Any]:
        return said_of(caller, request.scope["headers"])

    @sub.get("/whoami")
    @sub.get("/health")
    def in_a_thread(request: FastAPIRequest, caller: Who) -> dict[str, Any]:
        return said_of(caller, request.scope["headers"])

    @app.get("/admin", response_class=PlainTextResponse)
    @requires("admin")
    def admin(request: FastAPIRequest) -> str:
        return f"{request.user.display_name} {request.user.identity}"

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError(FAILURE)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Who) -> None:
        await websocket.accept()
        await websocket.send_text(caller.auth.subject)
        await websocket.close()

    app.mount("/sub", sub)
    return app


async def bare_app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI, and nothing else."""
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": caller_of(scope).auth.subject})
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/fail":
        raise RuntimeError(FAILURE)
    status, body = 200, b"OK"
    if scope["path"] != "/health":
        try:
            body = json.dumps(said_of(caller_of(scope), scope["headers"])).encode()
        except AuthError as error:
            status, body = 401, error.public_message.encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


APPS: dict[str, Callable[[], Any]] = {"starlette": starlette_app, "fastapi": fastapi_app, "bare": lambda: bare_app}
