"""The front door for adapters that live on an event loop."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from micromegas_auth.attribution import Caller, Headers
from micromegas_auth.errors import ProviderUnavailable, Reason
from micromegas_auth.request import RequestAuthenticator
from micromegas_auth.security_log import RefusalLog

MAX_WAITING = 64  # requests that wait for an issuer's keys at once, each in a thread and for 2 s at most


class EventLoopDoor:
    """Authenticates without ever blocking the event loop.

    Args:
        authenticator: The front door.
    """

    def __init__(self, authenticator: RequestAuthenticator) -> None:
        self._authenticator = authenticator
        # Threads of its own: an issuer that hangs must not take those of the application.
        self._threads = ThreadPoolExecutor(MAX_WAITING, "micromegas-wait")
        self._places = threading.Semaphore(MAX_WAITING)
        self._refusals = RefusalLog()

    async def authenticate(self, headers: Headers) -> Caller:
        """As `RequestAuthenticator.authenticate`. What must wait does so in a thread, and is refused if too many do."""
        caller = self._authenticator.authenticate_nowait(headers)
        if caller is not None:
            return caller
        if not self._places.acquire(blocking=False):
            error = ProviderUnavailable(Reason.KEYS_UNAVAILABLE, "too many requests wait for keys already")
            self._refusals.add(error)
            raise error
        waiting = self._threads.submit(self._authenticator.authenticate, headers)
        # When the thread is free, not when the client has gone: else those who come and go would fill the queue.
        waiting.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(waiting)
