"""How much has come in, as a line in the log now and then: one for each request would be more than the requests."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

PERIOD = 60.0  # seconds

_logger = logging.getLogger("micromegas_server")


class Tally:
    """Counts answers by status, and what was rejected of them; safe to use from any thread.

    Args:
        clock: The time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._told = clock()

    def add(self, status: int, *, size: int = 0, rejected: int = 0) -> None:
        """Count an answer.

        Args:
            status: Of HTTP.
            size: Of the request's body, in bytes as they were sent.
            rejected: How many records of it were not kept.
        """
        with self._lock:
            self._counts[f"status_{status}"] += 1
            self._counts["bytes"] += size
            self._counts["rejected"] += rejected
            now = self._clock()
            due = now - self._told >= PERIOD
        if due:
            self.tell()

    def tell(self) -> None:
        """Write what came since the last line, if anything did."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._told = self._clock()
        if counts:
            _logger.info("taken: %s", " ".join(f"{name}={count}" for name, count in sorted(counts.items())))
