"""One record of the audit log: what is known of a query and its end, and the line of text or JSON that says it."""

import json
import os
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from micromegas_auth.attribution import Caller
from micromegas_auth.privacy import Privacy
from micromegas_auth.text import fields

Status = Literal["ok", "error", "cancelled", "running"]
AuditFormat = Literal["text", "json"]
# What a record says when: status, rows, bytes, what failed, and the time in seconds since the epoch.
Entry: TypeAlias = "tuple[QueryRecord, Status, int, int, str | None, float]"

MAX_CALLERS = 1024  # whose part of the line is kept

_ALWAYS_QUOTED = frozenset({"sql", "name", "error"})


class QueryRecord:
    """The record of one running query, made by `AuditLog.start`.

    Attributes:
        query_id: 16 hexadecimal digits; every error the client gets for this query carries them.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_lock",
        "_put",
        "_reported",
        "caller",
        "limit",
        "peer",
        "query_id",
        "sql",
        "started_at",
        "time_range",
    )

    def __init__(
        self,
        put: Callable[[Entry], None],
        clock: Callable[[], float],
        caller: Caller,
        sql: str,
        time_range: str | None,
        limit: int | None,
        peer: str | None,
    ) -> None:
        self._put = put
        self._clock = clock
        # So that no query is reported as running after its end. An abandoned one ends in a destructor, which may run
        # while this very thread holds the lock.
        self._lock = threading.RLock()
        self._ended = False
        self._reported = False
        self.caller = caller
        self.sql = sql
        self.time_range = time_range
        self.limit = limit
        self.peer = peer
        self.started_at = clock()
        self.query_id = os.urandom(8).hex()

    def finish(self, status: Status, *, rows: int = 0, size: int = 0, error: str | None = None) -> None:
        """Record how the query ended. Only the first call does.

        Args:
            status: `ok`, `error` or `cancelled`.
            rows: How many rows were sent.
            size: How many bytes of Arrow buffers were sent.
            error: What failed, for the log.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._put((self, status, rows, size, error, self._clock()))

    def report_running(self) -> None:
        """Record that the query is still running, once, unless it has ended."""
        with self._lock:
            if self._reported:
                return
            self._reported = True
            entry: Entry = (self, "running", 0, 0, None, self._clock())
            if not self._ended:
                self._put(entry)


class AuditFormatter:
    """Makes the line of an entry: one line, whatever bytes a caller chose.

    Args:
        format: `text` (`execute_query user=... sql="..." ...`) or `json` (one object, ASCII).
        privacy: How much is said of persons.
    """

    def __init__(self, format: AuditFormat, privacy: Privacy) -> None:  # noqa: A002 - the word of the command line
        self._json = format == "json"
        self._privacy = privacy
        self._said: dict[int, tuple[Caller, str]] = {}

    def line(self, entry: Entry) -> str:
        """The line, without a newline."""
        record, status, rows, size, error, now = entry
        query = [("range", record.time_range), ("sql", record.sql), ("limit", record.limit)]
        outcome = [
            ("peer", record.peer),
            ("status", status),
            ("error", error),
            ("rows", rows),
            ("bytes", size),
            ("ms", round((now - record.started_at) * 1000, 3)),
            ("query_id", record.query_id),
        ]
        if self._json:
            time_text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
            start = _members([("time", time_text), ("event", "execute_query"), *query])
            return f"{{{start}, {self._said_of(record.caller)}, {_members(outcome)}}}"
        return f"execute_query {_pairs(query)} {self._said_of(record.caller)} {_pairs(outcome)}"

    def _said_of(self, caller: Caller) -> str:
        """What is said of the caller. The front door gives the same Caller for the same person again and again."""
        known = self._said.get(id(caller))
        if known is not None and known[0] is caller:
            return known[1]
        named = self._privacy.fields(caller)
        said = _members(named) if self._json else _pairs(named)
        if len(self._said) >= MAX_CALLERS:
            self._said.clear()
        self._said[id(caller)] = (caller, said)
        return said


def _pairs(named: Iterable[tuple[str, object]]) -> str:
    return fields(named, _ALWAYS_QUOTED)


def _members(named: Iterable[tuple[str, object]]) -> str:
    """As members of a JSON object; at least one value is not None."""
    return json.dumps({name: value for name, value in named if value is not None})[1:-1]
