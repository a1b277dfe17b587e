"""A token kept fresh: one refresh at a time, ahead of expiry, while everybody goes on with the token at hand."""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from micromegas_auth.client.token import Token, TokenError
from micromegas_auth.forking import restart_in_forked_child
from micromegas_auth.text import fields

MAX_BACKOFF_SECONDS = 30.0
GRACE_SECONDS = 1.0  # for a fetch that its deadline ends to say so

_logger = logging.getLogger("micromegas_auth")


class TokenSource(ABC):
    """Gives a valid access token whenever it is asked. Safe to use from any number of threads, and after a fork.

    Args:
        name: Whose token it is, for the log.
        timeout: The total deadline of a fetch, in seconds. A call waits for one at most that long, and a second more.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, name: str, timeout: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._held: Token | None = None
        # What follows is guarded by _changed.
        self._failures = 0  # how many refreshes have failed since the last good one
        self._why = ""  # the last of them did
        self._not_before = 0.0  # when the next may begin, by time.monotonic
        self.after_fork()
        restart_in_forked_child(self)

    @abstractmethod
    def fetch(self) -> Token:
        """Get a new token, within the timeout. Raises TokenError."""

    def token(self) -> str:
        """A valid access token. Waits only where there is none at hand.

        Raises:
            TokenError: There is none, and none could be had.
        """
        token = self.token_nowait()
        if token is not None:
            return token
        with self._changed:
            if not self._changed.wait_for(lambda: not self._refreshing, self._timeout + GRACE_SECONDS):
                raise TokenError(f"no token within {self._timeout:g} s")
            held = self._held
            if held is None or self._clock() >= held.expires_at:
                raise TokenError(self._why or "the token expired as soon as it came")
            return held.value

    def token_nowait(self) -> str | None:
        """A valid access token, None where it must be waited for. A refresh that is due begins; for event loops."""
        held = self._held
        if held is None or self._clock() >= held.refresh_at:
            self._refresh()
            held = self._held
        return held.value if held is not None and self._clock() < held.expires_at else None

    def headers(self) -> dict[str, str]:
        """The authorization header (RFC 6750 section 2.1), as gRPC metadata and HTTP want it. Raises like `token`."""
        return {"authorization": f"Bearer {self.token()}"}

    def after_fork(self) -> None:
        """In a forked child: a fresh lock, and no refresh under way, for its thread is the parent's."""
        self._changed = threading.Condition()
        self._refreshing = False

    def _refresh(self) -> None:
        with self._changed:
            fresh = self._held is not None and self._clock() < self._held.refresh_at
            if fresh or self._refreshing or time.monotonic() < self._not_before:
                return
            self._refreshing = True
        try:
            # A thread of its own, so that nobody who has a token waits, and that event loops may ask.
            threading.Thread(target=self._run, name="micromegas-token", daemon=True).start()
        except RuntimeError:
            self._finish(None, "no thread can be started")

    def _run(self) -> None:
        try:
            token = self.fetch()
        except TokenError as error:
            self._finish(None, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the end
            self._finish(None, f"unexpected {type(error).__name__}")
        else:
            self._finish(token, "")

    def _finish(self, token: Token | None, why: str) -> None:
        if token is None:
            held = self._held
            left = None if held is None else max(0, round(held.expires_at - self._clock()))
            pairs = [("client", self._name), ("error", why), ("token_at_hand_secs", left)]
            _logger.warning("token not refreshed: %s", fields(pairs))
        with self._changed:
            if token is None:
                # Jitter, so that many clients do not come back in step.
                delay = min(2.0 ** min(self._failures, 16), MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311
                self._failures += 1
                self._not_before = time.monotonic() + delay
            else:
                self._failures = 0
                self._held = token
            self._why = why
            self._refreshing = False
            self._changed.notify_all()
