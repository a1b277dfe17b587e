"""Records are gathered and written together; none is lost when the reader is slow, or fails."""

import threading

import pytest
from support.audit_lines import PATIENCE, Lines

from micromegas_auth import AuthContext, AuthType, Caller, UserAttribution, audit
from micromegas_auth.audit import MAX_BATCH, MAX_WAITING, AuditLog

ALICE = Caller(AuthContext(subject="alice", auth_type=AuthType.API_KEY), UserAttribution(user_id="alice"))


class Gate(Lines):
    """Takes lines when it is open, and says when somebody waits before it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, lines: str) -> None:
        self.reached.set()
        self.opened.wait(PATIENCE)
        self.sizes.append(lines.count("\n") + 1)
        super().__call__(lines)


def ids(lines: list[str]) -> list[str]:
    return [line.rpartition("=")[2] for line in lines]


def test_what_gathers_while_one_is_written_is_written_together() -> None:
    gate = Gate()
    log = AuditLog(gate)
    first = log.start(ALICE, "first")
    first.finish("ok")
    assert gate.reached.wait(PATIENCE)
    records = [log.start(ALICE, "more") for _ in range(MAX_BATCH + 10)]
    for record in records:
        record.finish("ok")
    gate.opened.set()
    log.close()
    assert ids(gate.written) == [record.query_id for record in (first, *records)]
    assert gate.sizes == [1, MAX_BATCH, 10]


def test_whoever_ends_a_query_waits_for_a_slow_reader() -> None:
    gate = Gate()
    log = AuditLog(gate)
    log.start(ALICE, "first").finish("ok")
    assert gate.reached.wait(PATIENCE)
    full = threading.Event()

    def end_many() -> None:
        for count in range(1, MAX_WAITING + 3):
            if count > MAX_WAITING:
                full.set()
            log.start(ALICE, "more").finish("ok")

    caller = threading.Thread(target=end_many)
    caller.start()
    assert full.wait(PATIENCE)
    assert caller.is_alive()  # it has two to go, and gets no further until the gate opens
    gate.opened.set()
    caller.join(PATIENCE)
    log.close()
    assert len(gate.written) == MAX_WAITING + 3


def test_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PATIENCE_SECONDS", 0.01)
    gate = Gate()
    log = AuditLog(gate)
    log.start(ALICE, "first").finish("ok")
    assert gate.reached.wait(PATIENCE)
    log.close()
    gate.opened.set()
    log.flush()


def test_a_writer_that_raises_anything_does_not_end_the_log(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()

    def write(text: str) -> None:
        lines(text)
        raise RuntimeError("no reason")

    log = AuditLog(write)
    for count in (1, 2):
        log.start(ALICE, "x").finish("ok")
        lines.wait_for(count)
    log.close()
    assert [record.getMessage()[:47] for record in caplog.records] == [
        "audit records not written (no reason): execute_"
    ] * 2
