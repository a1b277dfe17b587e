"""A query that is still running is on record, so that one which takes the server down is known."""

import re
import threading
from collections.abc import Iterator

import pytest
from support.audit_lines import PATIENCE, Clock, Lines
from support.tokens import ISSUER

from micromegas_auth import AuthContext, AuthType, Caller, UserAttribution
from micromegas_auth.audit import AuditLog

ALICE = Caller(AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER), UserAttribution(user_id="alice"))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(lines: Lines, clock: Clock) -> Iterator[AuditLog]:
    """Its watcher looks every few milliseconds of real time at an injected clock that stands still."""
    log = AuditLog(lines, clock=clock, running_after=0.01)
    lines.flush = log.flush
    yield log
    log.close()


def test_a_query_that_runs_on_is_reported_once(log: AuditLog, lines: Lines, clock: Clock) -> None:
    record = log.start(ALICE, "SELECT slow()")
    clock.now += 1
    lines.wait_for(1)
    other = log.start(ALICE, "SELECT quick()")  # the watcher looks again, and has nothing new to say of the first
    clock.now += 1
    lines.wait_for(2)
    other.finish("ok")
    record.finish("ok", rows=5)
    statuses = [(re.search(r"status=(\w+)", line), line.rpartition("=")[2]) for line in lines.written]
    assert [(status[1] if status else None, query_id) for status, query_id in statuses] == [
        ("running", record.query_id),
        ("running", other.query_id),
        ("ok", other.query_id),
        ("ok", record.query_id),
    ]


def test_a_quick_query_is_not_reported_as_running(log: AuditLog, lines: Lines, clock: Clock) -> None:
    quick, slow = log.start(ALICE, "quick"), log.start(ALICE, "slow")
    quick.finish("ok")
    clock.now += 1
    lines.wait_for(2)
    assert quick.query_id in lines.written[0]
    assert slow.query_id in lines.written[1]
    assert " status=running " in lines.written[1]


def test_the_watcher_wakes_again_after_a_quiet_time(log: AuditLog, lines: Lines, clock: Clock) -> None:
    for round_number in range(1, 4):
        record = log.start(ALICE, "slow")
        clock.now += 1
        lines.wait_for(2 * round_number - 1)
        record.finish("ok")
    assert ["running" in line for line in lines.written] == [True, False] * 3


def test_nothing_is_reported_as_running_after_its_end(clock: Clock) -> None:
    """The watcher is held up while it writes the first record; the second query ends meanwhile."""
    lines, held, go_on = Lines(), threading.Event(), threading.Event()

    def write(line: str) -> None:
        lines(line)
        if "status=running" in line and not held.is_set():
            held.set()
            go_on.wait(PATIENCE)

    log = AuditLog(write, clock=clock, running_after=0.01)
    first, second = log.start(ALICE, "first"), log.start(ALICE, "second")
    clock.now += 1
    assert held.wait(PATIENCE)
    second.finish("ok")
    third = log.start(ALICE, "third")
    clock.now += 1
    go_on.set()
    lines.wait_for(3)
    for record in (first, third):
        record.finish("ok")
    log.close()
    of_second = [line for line in lines.written if second.query_id in line]
    assert ["status=ok" in line for line in of_second].index(True) == len(of_second) - 1


def test_a_failing_write_does_not_end_the_watching(clock: Clock) -> None:
    lines, failed = Lines(), threading.Event()

    def write(line: str) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("disk full")
        lines(line)

    log = AuditLog(write, clock=clock, running_after=0.01)
    first = log.start(ALICE, "first")
    clock.now += 1
    assert failed.wait(PATIENCE)
    second = log.start(ALICE, "second")
    clock.now += 1
    lines.wait_for(1)
    first.finish("ok")
    second.finish("ok")
    log.close()


def test_close_reports_what_still_runs_and_a_late_finish_is_written(log: AuditLog, lines: Lines) -> None:
    record = log.start(ALICE, "x")
    log.close()
    assert ["status=running" in line for line in lines.written] == [True]
    record.finish("ok")
    log.start(ALICE, "y").finish("ok")
    assert ["status=ok" in line for line in lines.written] == [False, True, True]


def test_a_query_may_end_in_a_destructor_while_it_is_reported(lines: Lines) -> None:
    """The collector runs whenever it likes, on the thread that looks for running queries too."""
    records = []

    class Ending(Clock):
        def __call__(self) -> float:
            if records and not ended:
                ended.append(True)
                records[0].finish("cancelled")
            return super().__call__()

    ended: list[bool] = []
    clock = Ending()
    log = AuditLog(lines, clock=clock, running_after=3600)
    record = log.start(ALICE, "abandoned")
    records.append(record)
    record.report_running()
    log.close()
    assert [re.findall(r"status=(\w+)", line)[0] for line in lines.written] == ["cancelled"]
