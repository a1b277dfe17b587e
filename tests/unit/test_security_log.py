"""The lines about who came in and who was turned away."""

import logging

import pytest
from support.refusals import is_one_line

from micromegas_auth import AuthContext, AuthType, PermissionDenied, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.security_log import BURST, WINDOW, RefusalLog, log_authenticated


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> RefusalLog:
    return RefusalLog(clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


EXPIRED = Unauthenticated(Reason.EXPIRED)


def test_who_came_in(caplog: pytest.LogCaptureFixture) -> None:
    auth = AuthContext(
        subject="alice",
        auth_type=AuthType.OIDC,
        email="alice@example.com",
        issuer="https://issuer.example",
        is_admin=True,
    )
    line = "authenticated: subject=alice email=alice@example.com issuer=https://issuer.example admin=true"
    caplog.set_level(logging.INFO, "micromegas_auth")
    log_authenticated(auth)
    assert lines(caplog) == [f"INFO {line}"]
    caplog.set_level(logging.WARNING, "micromegas_auth")
    log_authenticated(auth)
    assert lines(caplog)[1:] == []


def test_a_subject_cannot_forge_a_line_or_a_field(caplog: pytest.LogCaptureFixture) -> None:
    auth = AuthContext(subject='x admin=true\n"refused', auth_type=AuthType.OIDC, email="é\u200f@b.c %s")
    with caplog.at_level(logging.INFO, "micromegas_auth"):
        log_authenticated(auth)
    (line,) = lines(caplog)
    assert is_one_line(line)
    assert line == 'INFO authenticated: subject="x admin=true\\n\\"refused" email="é\\u200f@b.c %s" admin=false'


@pytest.mark.parametrize("kind", [Unauthenticated, PermissionDenied, ProviderUnavailable])
@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_is_a_warning_with_its_reason(
    log: RefusalLog,
    caplog: pytest.LogCaptureFixture,
    kind: type[Unauthenticated] | type[PermissionDenied] | type[ProviderUnavailable],
    reason: Reason,
) -> None:
    log.add(kind(reason, "why\n\x1b[31m so %s"))
    expected = f'WARNING refused: reason={reason} error={kind.__name__} detail="why\\n\\u001b[31m so %s"'
    assert lines(caplog) == [expected]


def test_a_flood_is_counted_and_not_written(log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10_000):
        log.add(EXPIRED)
    assert len(lines(caplog)) == BURST
    clock.now += WINDOW - 0.001
    log.add(EXPIRED)
    assert len(lines(caplog)) == BURST
    clock.now += 0.001
    log.add(EXPIRED)
    log.add(EXPIRED)
    assert lines(caplog)[BURST:] == [
        f"WARNING refused: reason=expired error=Unauthenticated left_out={10_000 - BURST + 1}",
        "WARNING refused: reason=expired error=Unauthenticated",
    ]


def test_each_reason_is_counted_for_itself(log: RefusalLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        log.add(EXPIRED)
    caplog.clear()
    log.add(PermissionDenied(Reason.IMPERSONATION))
    assert lines(caplog) == ["WARNING refused: reason=impersonation error=PermissionDenied"]


def test_what_was_left_out_is_told_in_the_end(log: RefusalLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(BURST + 3):
        log.add(EXPIRED)
    log.add(PermissionDenied(Reason.IMPERSONATION))
    caplog.clear()
    log.flush()
    assert lines(caplog) == ['WARNING refused: reason=expired detail="and nothing since" left_out=3']
    caplog.clear()
    log.flush()
    assert lines(caplog) == []


def test_a_clock_set_back_does_not_silence_it(log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(BURST + 1):
        log.add(EXPIRED)
    clock.now -= 86400
    log.add(EXPIRED)
    assert lines(caplog)[BURST:] == ["WARNING refused: reason=expired error=Unauthenticated left_out=1"]
