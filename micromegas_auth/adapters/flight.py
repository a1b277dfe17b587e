"""Authentication for `pyarrow.flight` servers (extra `flight`).

    authenticator = build_authenticator(AuthConfig.from_env())
    server = MyServer(location, middleware={"auth": FlightAuthMiddlewareFactory(authenticator)})

and in each handler `caller = caller_of(context)`.
"""

from typing import Any

import pyarrow.flight as flight

from micromegas_auth.attribution import Caller, Headers
from micromegas_auth.errors import AuthError, PermissionDenied, ProviderUnavailable, Unauthenticated
from micromegas_auth.request import RequestAuthenticator

MIDDLEWARE_KEY = "auth"


class FlightAuthMiddleware(flight.ServerMiddleware):  # type: ignore[misc]
    """Carries the Caller of one call to its handler."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller


class FlightAuthMiddlewareFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Authenticates every call before its handler runs.

    Args:
        authenticator: The front door.
    """

    def __init__(self, authenticator: RequestAuthenticator) -> None:
        self._authenticator = authenticator

    def start_call(self, info: flight.CallInfo, headers: Headers) -> FlightAuthMiddleware:
        """Called by pyarrow on the call's own thread.

        Raises:
            flight.FlightError: With the fixed public text of the AuthError; nothing else can come out.
        """
        try:
            return FlightAuthMiddleware(self._authenticator.authenticate(headers))
        except AuthError as error:
            raise to_flight_error(error) from None


def caller_of(context: flight.ServerCallContext, key: str = MIDDLEWARE_KEY) -> Caller:
    """The Caller of the call that `context` belongs to.

    Args:
        context: What pyarrow hands to the handler.
        key: Under which name the factory stands in the server's `middleware`.

    Raises:
        flight.FlightUnauthenticatedError: The call did not pass through the factory, for whatever cause.
    """
    middleware: Any = context.get_middleware(key)
    if not isinstance(middleware, FlightAuthMiddleware):
        raise flight.FlightUnauthenticatedError(Unauthenticated.public_message)
    return middleware.caller


def to_flight_error(error: AuthError) -> flight.FlightError:
    """The Flight error with the status and the public text of `error`."""
    match error:
        case PermissionDenied():
            return flight.FlightUnauthorizedError(error.public_message)
        case ProviderUnavailable():
            return flight.FlightUnavailableError(error.public_message)
        case _:
            return flight.FlightUnauthenticatedError(error.public_message)
