"""Where the audit records of a test go, and what time it is there."""

import threading
from collections.abc import Callable

from support.tokens import NOW

PATIENCE = 5.0  # seconds until a test that waits for a thread gives up


class Clock:
    """Stands still until a test moves it."""

    now = NOW

    def __call__(self) -> float:
        return self.now


class Lines:
    """Takes what the audit log writes, and can be waited for."""

    def __init__(self) -> None:
        self.flush: Callable[[], None] = lambda: None  # of the log, which gathers what it writes
        self._written: list[str] = []
        self._news = threading.Condition()

    @property
    def written(self) -> list[str]:
        """All lines until now."""
        self.flush()
        return self._written

    def __call__(self, lines: str) -> None:
        with self._news:
            self._written += lines.split("\n")
            self._news.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until `count` lines are written."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._written) >= count, PATIENCE), self._written
