"""Servers with a front door, and the real clients that knock at them.

A door is made of a RequestAuthenticator; it is called with headers, from any number of threads, and says what came of
it. Another protocol joins with a class and a line in DOORS.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import pyarrow.flight as flight

from micromegas_auth import RequestAuthenticator
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
        caller = caller_of(context)
        auth = caller.auth
        yield json.dumps([auth.issuer, auth.subject, caller.attribution.user_id]).encode()


DOORS: dict[str, Callable[[RequestAuthenticator], Door]] = {"Flight": FlightDoor}
