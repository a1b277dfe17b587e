"""The Caller as a dependency of FastAPI endpoints, HTTP and WebSocket.

    @app.get("/whoami")
    def whoami(caller: Annotated[Caller, Depends(current_caller)]) -> str:
        return caller.auth.subject

It needs `AuthMiddleware` around the application, and refuses where that is missing.
"""

from fastapi import HTTPException
from fastapi.requests import HTTPConnection

from micromegas_auth.adapters.asgi import caller_of
from micromegas_auth.adapters.http_refusal import CHALLENGE
from micromegas_auth.attribution import Caller
from micromegas_auth.errors import Unauthenticated


async def current_caller(connection: HTTPConnection) -> Caller:
    """See `caller_of`.

    Raises:
        HTTPException: 401: the request did not pass through the middleware, or its path is public.
    """
    try:
        return caller_of(connection)
    except Unauthenticated as error:
        headers = {"www-authenticate": CHALLENGE, "cache-control": "no-store"}
        raise HTTPException(401, error.public_message, headers) from None
