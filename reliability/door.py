"""Servers with a front door, and the real clients that knock at them.

A door is made of a RequestAuthenticator; it is called with headers, from any number of threads, and says what came of
it. Another protocol joins with a class and a line in DOORS.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import httpx
import pyarrow.flight as flight
import uvicorn

from micromegas_auth import Caller, RequestAuthenticator
from micromegas_auth.adapters import asgi
from micromegas_auth.adapters.flight import FlightAuthMiddlewareFactory, caller_of

CLIENT_PATIENCE = 20.0  # seconds until a client gives up: far beyond every deadline of the library


class Kind(StrEnum):
    """What a client can be told."""

    LET_IN = "let in"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "permission denied"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"  # anything else: a timeout, a dead connection, an error of the server


@dataclass(frozen=True)
class Outcome:
    """What came of one call.

    Attributes:
        kind: What the client was told.
        who: Issuer, subject and user_id as the server's handler saw them; None unless let in.
        text: What a BROKEN call said.
    """

    kind: Kind
    who: tuple[str | None, str, str | None] | None = None
    text: str = ""


class Door(Protocol):
    """A running server and its clients."""

    def __call__(self, headers: Mapping[str, str], /) -> Outcome:
        """One call by a real client. Never raises."""

    def close(self) -> None:
        """Stop the server, and close the clients."""


class FlightDoor:
    """A pyarrow Flight server on a free port of 127.0.0.1, and one pyarrow client for each thread that calls.

    Args:
        authenticator: The front door under test.
    """

    def __init__(self, authenticator: RequestAuthenticator) -> None:
        self._server = _WhoAmI("grpc://127.0.0.1:0", middleware={"auth": FlightAuthMiddlewareFactory(authenticator)})
        self._location = f"grpc://127.0.0.1:{self._server.port}"
        self._own = threading.local()
        self._clients: list[Any] = []

    def __call__(self, headers: Mapping[str, str], /) -> Outcome:
        """See `Door`."""
        client = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = flight.connect(self._location)
            self._clients.append(client)
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        options = flight.FlightCallOptions(timeout=CLIENT_PATIENCE, headers=pairs)
        try:
            (answer,) = client.do_action(flight.Action("whoami", b""), options)
            return Outcome(Kind.LET_IN, tuple(json.loads(answer.body.to_pybytes())))
        except flight.FlightUnauthenticatedError:
            return Outcome(Kind.UNAUTHENTICATED)
        except flight.FlightUnauthorizedError:
            return Outcome(Kind.DENIED)
        except flight.FlightUnavailableError as error:
            # gRPC says the same of a server that is not there; only our own text counts as an answer.
            ours = "authentication is temporarily unavailable" in str(error)
            return Outcome(Kind.UNAVAILABLE if ours else Kind.BROKEN, text="" if ours else str(error))
        except Exception as error:  # noqa: BLE001 - whatever a client may meet is what this looks for
            return Outcome(Kind.BROKEN, text=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """See `Door`."""
        for client in self._clients:
            client.close()
        self._server.shutdown()
        self._server.wait()


class _WhoAmI(flight.FlightServerBase):  # type: ignore[misc]
    def do_action(self, context: Any, _action: Any) -> Iterator[bytes]:
        yield _who(caller_of(context))


def _who(caller: Caller) -> bytes:
    return json.dumps([caller.auth.issuer, caller.auth.subject, caller.attribution.user_id]).encode()


class HttpDoor:
    """An ASGI application behind uvicorn on a free port of 127.0.0.1, and one httpx client for each thread that calls.

    Args:
        authenticator: The front door under test.
    """

    def __init__(self, authenticator: RequestAuthenticator) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, where the socket is given
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        app: Any = asgi.AuthMiddleware(_who_am_i, authenticator)
        self._server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="uvicorn")
        self._thread.start()
        self._own = threading.local()
        self._clients: list[httpx.Client] = []

    def __call__(self, headers: Mapping[str, str], /) -> Outcome:
        """See `Door`."""
        client = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = httpx.Client(timeout=CLIENT_PATIENCE)
            self._clients.append(client)
        try:
            answer = client.get(self._url, headers=headers)
            body = answer.json()
        except Exception as error:  # noqa: BLE001 - whatever a client may meet is what this looks for
            return Outcome(Kind.BROKEN, text=f"{type(error).__name__}: {error}")
        if answer.status_code == 200:
            return Outcome(Kind.LET_IN, tuple(body))
        kind = {401: Kind.UNAUTHENTICATED, 403: Kind.DENIED, 503: Kind.UNAVAILABLE}.get(answer.status_code)
        if kind is None or (kind is Kind.UNAVAILABLE) != ("retry-after" in answer.headers):
            return Outcome(Kind.BROKEN, text=f"{answer.status_code}: {answer.text}")
        return Outcome(kind)

    def close(self) -> None:
        """See `Door`."""
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join()


async def _who_am_i(scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": _who(asgi.caller_of(scope))})


DOORS: dict[str, Callable[[RequestAuthenticator], Door]] = {"Flight": FlightDoor, "HTTP": HttpDoor}
