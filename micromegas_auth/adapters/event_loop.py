"""The front door for adapters that live on an event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from micromegas_auth.adapters.places import Places
from micromegas_auth.attribution import Caller, Headers
from micromegas_auth.errors import Reason
from micromegas_auth.request import RequestAuthenticator

MAX_WAITING = 64  # requests that wait for an issuer's keys at once, each in a thread and for 2 s at most


class EventLoopDoor:
    """Authenticates without ever blocking the event loop.

    Args:
        authenticator: The front door.
    """

    def __init__(self, authenticator: RequestAuthenticator) -> None:
        self._authenticator = authenticator
        self.authenticate_nowait = authenticator.authenticate_nowait
        self._places = Places(MAX_WAITING)

    async def authenticate(self, headers: Headers) -> Caller:
        """As `RequestAuthenticator.authenticate`."""
        return self.authenticate_nowait(headers) or await self.wait(headers)

    async def wait(self, headers: Headers) -> Caller:
        """The same in a thread, where `authenticate_nowait` said None. Raises ProviderUnavailable if too many do."""
        self._places.take()
        # A thread of its own: an issuer that hangs must not take those of the application. It ends with the call, so
        # that there is nothing to close.
        thread = ThreadPoolExecutor(1, "micromegas-auth")
        try:
            waiting = thread.submit(self._authenticator.authenticate, headers)
        except RuntimeError:
            self._places.leave()
            raise self._places.refused(Reason.INTERNAL_ERROR, "no thread can be started") from None
        thread.shutdown(wait=False)
        # When the thread ends, not when the client goes: else those who come and go would have any number of threads.
        waiting.add_done_callback(lambda _: self._places.leave())
        return await asyncio.wrap_future(waiting)
