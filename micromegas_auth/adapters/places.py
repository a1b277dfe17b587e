"""How many calls may wait for an issuer's keys at once: anybody can write tokens that make one wait."""

import threading

from micromegas_auth.errors import ProviderUnavailable, Reason
from micromegas_auth.security_log import RefusalLog


class Places:
    """A number of places to wait in; safe to use from any thread.

    Args:
        limit: How many there are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = threading.Semaphore(limit)
        self._refusals = RefusalLog()

    def take(self) -> None:
        """Take a place, to be given back by `leave`. Raises ProviderUnavailable where none is free."""
        if not self._free.acquire(blocking=False):
            raise self.refused(Reason.KEYS_UNAVAILABLE, f"{self._limit} requests wait for keys already")

    def leave(self) -> None:
        """Give a place back."""
        self._free.release()

    def refused(self, reason: Reason, detail: str) -> ProviderUnavailable:
        """The error for a call that cannot wait, which is now in the log."""
        error = ProviderUnavailable(reason, detail)
        self._refusals.add(error)
        return error
