"""Who ran what: one record for each executed query, as a line of text or of JSON."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from micromegas_auth.attribution import Caller
from micromegas_auth.audit_record import AuditFormat, AuditFormatter, Entry, QueryRecord, Status
from micromegas_auth.forking import restart_in_forked_child
from micromegas_auth.privacy import Privacy

__all__ = ["AuditFormat", "AuditLog", "QueryRecord", "Status"]

BATCH_SECONDS = 0.01  # for how long entries gather before they are written
MAX_BATCH = 256  # how many of them are written at once
MAX_WAITING = 1024  # beyond, whoever ends a query writes them itself
PATIENCE_SECONDS = 5.0

_logger = logging.getLogger("micromegas_auth")


class AuditLog:
    """Writes the audit records of a server.

    A query gets its record when it ends; one that is still running after `running_after` seconds also gets one with
    `status=running`, so that a query which takes the server down with it is known. Lines are made and written by a
    thread of its own, some milliseconds later and together: on the thread of a call, that costs several times as
    much. `close` and the end of the interpreter write what is left; only a process that is killed loses those
    milliseconds.

    Args:
        write: Takes one or more complete lines, joined by newlines, without the last one's; called by one thread at a
            time. If it raises, the lines go to the logger `micromegas_auth`. For the handlers of `logging`, give
            the `info` of a logger.
        format: `text` (`execute_query user=... sql="..." ...`) or `json` (one object a line). Every byte a caller
            chose is escaped in both: a record is always exactly one line.
        privacy: How much is said of persons.
        clock: The time, in seconds since the epoch.
        running_after: After how many seconds a query is reported as still running.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        format: AuditFormat = "text",  # noqa: A002 - the word of the command line
        privacy: Privacy | None = None,
        clock: Callable[[], float] = time.time,
        running_after: float = 1.0,
    ) -> None:
        self._write = write
        self._formatter = AuditFormatter(format, privacy if privacy is not None else Privacy())
        self._clock = clock
        self._running_after = running_after
        self.after_fork()
        restart_in_forked_child(self)

    def after_fork(self) -> None:
        """A forked child begins with nothing: what its parent knows, the parent writes."""
        self._running: dict[str, QueryRecord] = {}
        self._closed = threading.Event()
        self._waiting: deque[Entry] = deque()
        # An abandoned query ends in a destructor, which may run in the middle of anything: an Event would hold a lock
        # that this thread has taken already. A SimpleQueue and an RLock know of that.
        self._news: SimpleQueue[None] = SimpleQueue()
        self._writing = threading.RLock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(
        self,
        caller: Caller,
        sql: str,
        *,
        time_range: str | None = None,
        limit: int | None = None,
        peer: str | None = None,
    ) -> QueryRecord:
        """Begin the record of a query that `caller` runs.

        Args:
            caller: Who runs it, and for whom.
            sql: The whole text of the query.
            time_range: The time range it is bound to, as an ISO 8601 interval `begin/end`.
            limit: The number of rows it is bound to.
            peer: The network address of the client.

        Returns:
            The record; its owner must call `finish` exactly when the query ends, however it ends.
        """
        record = QueryRecord(self._put, self._clock, caller, sql, time_range, limit, peer)
        self._running[record.query_id] = record
        if self._thread is None:
            self._start_thread()
        return record

    def flush(self) -> None:
        """Write every record there is now, unless whoever takes the lines has taken none for 5 s."""
        if self._writing.acquire(timeout=PATIENCE_SECONDS):
            try:
                while self._waiting:
                    self._write_batch()
            finally:
                self._writing.release()

    def close(self) -> None:
        """End the thread. Queries that still run are recorded with `status=running` if they were not yet.

        A query that ends after this is recorded at once.
        """
        self._closed.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
        atexit.unregister(self.flush)
        self._report_running(0.0)
        self.flush()

    def _put(self, entry: Entry) -> None:
        if entry[1] != "running":
            self._running.pop(entry[0].query_id, None)
        self._waiting.append(entry)
        if self._closed.is_set() or len(self._waiting) > MAX_WAITING:
            self.flush()
        elif self._news.empty():
            self._news.put(None)

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="micromegas-audit", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def _work(self) -> None:
        while not self._closed.is_set():
            with suppress(Empty):
                self._news.get(timeout=self._running_after / 4)
                self._closed.wait(BATCH_SECONDS)
            self.flush()
            self._report_running(self._running_after)

    def _report_running(self, after: float) -> None:
        now = self._clock()
        for record in list(self._running.values()):
            if now - record.started_at >= after:
                record.report_running()

    def _write_batch(self) -> None:
        lines: list[str] = []
        while self._waiting and len(lines) < MAX_BATCH:
            lines.append(self._formatter.line(self._waiting.popleft()))
        text = "\n".join(lines)
        try:
            self._write(text)
        except Exception as failure:  # noqa: BLE001 - a full disk, a closed stream: it goes to the other log there is
            _logger.critical("audit records not written (%s): %s", failure, text)
