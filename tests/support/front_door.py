"""What tests of a front door share: its log, its clock, and the headers it reads."""

import logging
import threading
import time
from collections.abc import Callable

from support.issuer import PATIENCE

from micromegas_auth import RequestAuthenticator

API_KEY = "an-api-key-of-more-than-16-bytes"

Build = Callable[..., RequestAuthenticator]


class LogWatch(logging.Handler):
    """The lines of the library's log, as `LEVEL message`, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.lines.append(f"{record.levelname} {record.getMessage()}")
            self._news.notify_all()

    def wait_for(self, *parts: str, after: int = 0, timeout: float = PATIENCE) -> str:
        """Wait for a line, not among the first `after`, that holds all `parts`. Raises AssertionError after a while."""

        def search() -> str | None:
            return next((line for line in self.lines[after:] if all(part in line for part in parts)), None)

        with self._news:
            self._news.wait_for(lambda: search() is not None, timeout)
            found = search()
        assert found is not None, f"no line with {parts} after line {after} of:\n" + "\n".join(self.lines)
        return found


class Clock:
    """The real time, or ahead of it by `ahead` seconds."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
