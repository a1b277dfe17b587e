"""Who came in and who was turned away, on the logger `micromegas_auth`."""

import logging
import threading
import time
from collections.abc import Callable

from micromegas_auth.errors import AuthError, Reason
from micromegas_auth.forking import restart_in_forked_child
from micromegas_auth.identity import AuthContext
from micromegas_auth.text import fields

BURST = 10
WINDOW = 10.0  # seconds

logger = logging.getLogger("micromegas_auth")


def log_authenticated(auth: AuthContext) -> None:
    """Log who came in."""
    if logger.isEnabledFor(logging.INFO):
        pairs = [("subject", auth.subject), ("email", auth.email), ("issuer", auth.issuer), ("admin", auth.is_admin)]
        logger.info("authenticated: %s", fields(pairs))


class RefusalLog:
    """Logs refusals, at most 10 for each Reason in 10 seconds, so that a flood is seen but does not fill the disk.

    The next line of that Reason says how many were left out.

    Args:
        clock: The time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._windows: dict[Reason, _Window] = {}
        self.after_fork()
        restart_in_forked_child(self)

    def after_fork(self) -> None:
        """A fresh lock."""
        self._lock = threading.Lock()

    def add(self, error: AuthError) -> None:
        """Log the refusal, or count it."""
        now = self._clock()
        with self._lock:
            window = self._windows.setdefault(error.reason, _Window(now))
            if not 0 <= now - window.began < WINDOW:
                window.began, window.logged = now, 0
            if window.logged >= BURST:
                window.left_out += 1
                return
            window.logged += 1
            left_out, window.left_out = window.left_out, 0
        self._log(error.reason, type(error).__name__, error.detail, left_out)

    def flush(self) -> None:
        """Log the counts not yet told."""
        with self._lock:
            left = {reason: window.left_out for reason, window in self._windows.items() if window.left_out}
            self._windows.clear()
        for reason, count in left.items():
            self._log(reason, None, "and nothing since", count)

    def _log(self, reason: Reason, error: str | None, detail: str, left_out: int) -> None:
        pairs = [("reason", reason.value), ("error", error), ("detail", detail or None), ("left_out", left_out or None)]
        logger.warning("refused: %s", fields(pairs, frozenset({"detail"})))


class _Window:
    __slots__ = ("began", "left_out", "logged")

    def __init__(self, began: float) -> None:
        self.began = began
        self.logged = 0
        self.left_out = 0


def place_of(error: BaseException) -> str:
    """Type of an exception, and module and line it came from: enough to find the fault, and nothing of the request."""
    traceback = error.__traceback__
    if traceback is None:
        return f"{type(error).__name__} in unknown place"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{type(error).__name__} in {traceback.tb_frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno}"
