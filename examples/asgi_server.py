"""An HTTP server that knows who calls.

MICROMEGAS_API_KEYS='[{"name": "ci", "key": "a-key-of-at-least-16-bytes"}]' python examples/asgi_server.py
curl -H 'authorization: Bearer a-key-of-at-least-16-bytes' http://127.0.0.1:PORT/whoami
"""

import logging

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from micromegas_auth import AuthConfig, build_authenticator
from micromegas_auth.adapters.asgi import AuthMiddleware, caller_of


async def whoami(request: Request) -> JSONResponse:
    """Who authenticated, on whose behalf, and whether they are an admin."""
    caller = caller_of(request)
    answer = {"subject": caller.auth.subject, "user": caller.attribution.user_id, "admin": caller.auth.is_admin}
    return JSONResponse(answer)


async def health(_: Request) -> PlainTextResponse:
    """For whoever watches the server; anybody may ask."""
    return PlainTextResponse("OK")


def main() -> None:
    """Serve until interrupted, configured by the MICROMEGAS_ variables."""
    logging.basicConfig(level=logging.INFO)
    authenticator = build_authenticator(AuthConfig.from_env())
    app = AuthMiddleware(Starlette(routes=[Route("/whoami", whoami), Route("/health", health)]), authenticator)
    uvicorn.run(app, port=0)
    authenticator.close()


if __name__ == "__main__":
    main()
