"""Where a server's log goes: standard error, one line for each record, as text or JSON."""

import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from micromegas_auth.text import quoted

LogFormat = Literal["text", "json"]

# So that a line written in several parts stays whole. Reentrant, because the garbage collector may run in the middle,
# and an abandoned query writes its record when it is collected.
_lock = threading.RLock()


def write_line(line: str) -> None:
    """Write one line to standard error, with one system call where it takes it. Raises OSError."""
    left = memoryview((line + "\n").encode("utf-8", "backslashreplace"))
    descriptor = sys.stderr.fileno()
    with _lock:
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:  # whoever gave us this descriptor made it non-blocking, and reads slowly
                select.select([], [descriptor], [])


class AuditWriter:
    """Writes the audit's lines past `logging`, which would cost a third of the calls.

    Args:
        log_format: `text` puts time, level and target before each line, as in the rest of the log.
        also: Is given the lines too, where there is somebody else who wants them.
    """

    def __init__(self, log_format: LogFormat, also: Callable[[str], None] | None = None) -> None:
        self._prefixed = log_format == "text"
        self._also = also

    def __call__(self, lines: str) -> None:
        """Write one or more lines, joined by newlines. Raises OSError."""
        prefix = f"{_timestamp(time.time())} INFO micromegas_auth.audit " if self._prefixed else ""
        try:
            write_line(prefix + lines.replace("\n", "\n" + prefix))
        finally:  # neither of the two may cost the other its lines
            if self._also is not None:
                self._also(lines)


class _Formatter(logging.Formatter):
    """One line a record, whatever it holds."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._format = log_format

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}: {self.formatException(record.exc_info)}"
        if self._format == "json":
            return json.dumps(
                {"time": _timestamp(record.created), "level": record.levelname, "target": record.name, "msg": message}
            )
        if not message.isprintable():
            message = quoted(message)[1:-1]
        return f"{_timestamp(record.created)} {record.levelname} {record.name} {message}"


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of `logging` does
            self.handleError(record)


def set_up_logging(log_format: LogFormat) -> None:
    """Send every record of `logging` to standard error."""
    handler = _Handler()
    handler.setFormatter(_Formatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request it makes, with its whole URL


def _timestamp(seconds: float) -> str:
    return f"{_whole(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(8)
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
