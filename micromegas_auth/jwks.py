"""The keys of a remote issuer, kept fresh by a thread.

The thread publishes immutable KeySets; whoever reads them takes the reference of the day and waits for no lock. Only a
token whose key is not there may wait, and all such tokens share one fetch.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from micromegas_auth.errors import ProviderUnavailable, Reason, Unauthenticated, WouldBlock
from micromegas_auth.fetch import FetchError
from micromegas_auth.forking import restart_in_forked_child
from micromegas_auth.keyset import KeySet
from micromegas_auth.text import fields

MAX_WAIT_SECONDS = 2.0  # how long a request may wait for keys
COOLDOWN_SECONDS = 10.0  # how often unknown kids may force a fetch
MAX_BACKOFF_SECONDS = 30.0

_logger = logging.getLogger("micromegas_auth")


class RemoteKeySet:
    """The current keys of one issuer.

    Args:
        issuer: For the log.
        fetch: Gets the keys and for how many seconds they may be kept, or raises FetchError.
        refresh_interval: How often to fetch, in seconds, at the least.
        max_stale: For how many seconds the last good keys serve while the issuer is down.
        on_withdrawal: Called when a key that was in the set is no longer there, after the new set is in force.
        stored: Keys from before, and when they were fetched, in seconds since the epoch.
        clock: The time in seconds, for the age of the keys.

    Attributes:
        issuer: The issuer.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], tuple[KeySet, float | None]],
        *,
        refresh_interval: float,
        max_stale: float,
        on_withdrawal: Callable[[], None] = lambda: None,
        stored: tuple[KeySet, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._refresh_interval = refresh_interval
        self._max_stale = max_stale
        self._on_withdrawal = on_withdrawal
        self._clock = clock
        self._snapshot = stored  # the keys, and when they were fetched
        self._changed = threading.Condition()
        # What follows is guarded by _changed; the times are those of time.monotonic.
        self._closed = False
        self._fetching = False
        self._finished = 0  # how many fetches have ended
        self._failures = 0  # how many of them failed since the last good one
        self._due = 0.0  # when the next one is due
        self._kid_waits = False  # whether an unknown kid made it due
        self._cooldown_ends = 0.0

    def start(self) -> None:
        """Start the thread, which fetches at once; again in each forked child."""
        restart_in_forked_child(self)
        threading.Thread(target=self._run, name="micromegas-jwks", daemon=True).start()

    def close(self) -> None:
        """Stop the thread. The keys known by now stay readable until they are too old."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def current(self) -> KeySet | None:
        """The keys in force, None where there are none yet or they are too old. Takes no lock."""
        snapshot = self._snapshot
        if snapshot is None or self._clock() - snapshot[1] > self._max_stale:
            return None
        return snapshot[0]

    def age(self) -> float | None:
        """For how many seconds the keys have not been fetched anew; None where they never were."""
        snapshot = self._snapshot
        return None if snapshot is None else self._clock() - snapshot[1]

    def newer_than(self, seen: KeySet | None, deadline: float | None) -> KeySet:
        """Keys newer than `seen`, fetched if need be.

        Args:
            seen: The keys in which a kid was not found; None where there were no keys at all.
            deadline: Until when to wait, by time.monotonic; None for not at all.

        Raises:
            Unauthenticated: UNKNOWN_KEY: unknown kids have just forced a fetch, so this one must wait its turn.
            ProviderUnavailable: The issuer does not answer.
            WouldBlock: `deadline` is None and there is something to wait for.
        """
        with self._changed:
            current = self.current()
            if current is not None and current is not seen:
                return current
            if self._closed:
                raise ProviderUnavailable(Reason.KEYS_UNAVAILABLE, "closed")
            if not self._fetching:
                now = time.monotonic()
                if seen is not None and now < self._cooldown_ends:
                    if not self._failures:  # else an attempt is due anyway, and no kid has forced it
                        self._make_due(self._cooldown_ends)
                    raise Unauthenticated(Reason.UNKNOWN_KEY, "no key with this kid, and the keys are fresh")
                if self._failures:
                    raise ProviderUnavailable(Reason.KEYS_UNAVAILABLE, "the issuer does not answer")
                if deadline is not None:
                    self._make_due(now)
            if deadline is None:
                raise WouldBlock
            awaited = self._finished + 1
            in_time = self._changed.wait_for(
                lambda: self._finished >= awaited or self._closed, deadline - time.monotonic()
            )
            current = self.current()
            if not in_time or self._failures or current is None:
                raise ProviderUnavailable(Reason.KEYS_UNAVAILABLE, "no keys in time")
            return current

    def _make_due(self, when: float) -> None:
        if when < self._due:
            self._kid_waits = True
            self._due = when
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_due():
            self._finish(self._attempt())

    def _wait_until_due(self) -> bool:
        with self._changed:
            while not self._closed and (left := self._due - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._kid_waits:
                self._kid_waits = False
                self._cooldown_ends = time.monotonic() + COOLDOWN_SECONDS
            self._fetching = not self._closed
            return self._fetching

    def _attempt(self) -> tuple[KeySet, float | None] | None:
        try:
            return self._fetch()
        except FetchError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - the thread must live, whatever a server makes the parsers raise
            why = f"unexpected {type(error).__name__}"
        snapshot = self._snapshot
        age = None if snapshot is None else round(self._clock() - snapshot[1])
        self._log(logging.WARNING, "keys not fetched", ("error", why), ("serving_keys_of_age_secs", age))
        return None

    def _finish(self, fetched: tuple[KeySet, float | None] | None) -> None:
        if fetched is not None and self._publish(fetched[0]):
            self._on_withdrawal()
        with self._changed:
            self._fetching = False
            self._finished += 1
            if fetched is None:
                self._failures += 1
                # Jitter, so that many servers do not come back in step (both delays).
                doublings = min(self._failures - 1, 16)  # hours of outage must not overflow a float
                delay = min(2.0**doublings, MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311
            else:
                self._failures = 0
                delay = self._refresh_interval * random.uniform(0.9, 1.0)  # noqa: S311
                if fetched[1] is not None:
                    delay = min(delay, fetched[1])
            self._due = time.monotonic() + delay
            self._changed.notify_all()

    def _publish(self, keys: KeySet) -> bool:
        before = self._snapshot[0] if self._snapshot is not None else None
        self._snapshot = (keys, self._clock())
        if before is None or before.keys != keys.keys or before.skipped != keys.skipped or self._failures:
            self._log(logging.INFO, "keys fetched", ("keys", len(keys.keys)))
            for skipped in keys.skipped:
                self._log(logging.WARNING, "key skipped", ("index", skipped.index), ("why", skipped.reason))
        return before is not None and not set(before.keys) <= set(keys.keys)

    def _log(self, level: int, event: str, *pairs: tuple[str, Any]) -> None:
        _logger.log(level, "%s: %s", event, fields([("issuer", self.issuer), *pairs]))

    def after_fork(self) -> None:
        """In a forked child the thread is gone, and its lock may be held for ever: both are made anew."""
        self._changed = threading.Condition()
        self._fetching = False
        if not self._closed:
            self.start()
