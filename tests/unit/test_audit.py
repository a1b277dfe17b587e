"""The audit record: always one line, always the same order, and one end for each query."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit_lines import Clock, Lines
from support.refusals import is_one_line
from support.tokens import ISSUER, NOW

from micromegas_auth import AuthContext, AuthType, Caller, UserAttribution
from micromegas_auth.audit import AuditFormat, AuditLog
from micromegas_auth.text import quoted


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(lines: Lines, clock: Clock) -> Iterator[AuditLog]:
    """Its injected clock stands still, so that no query is ever found to be running long unless a test says so."""
    log = AuditLog(lines, clock=clock, running_after=0.01)
    lines.flush = log.flush
    yield log
    log.close()


ALICE = Caller(
    AuthContext(
        subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER, email="alice@example.com", email_verified=True
    ),
    UserAttribution(user_id="alice", user_email="alice@example.com", verified=frozenset({"user_id", "user_email"})),
)
GRAFANA = Caller(
    AuthContext(subject="grafana", auth_type=AuthType.OIDC, issuer=ISSUER, allow_delegation=True, is_admin=True),
    UserAttribution(
        user_id="bob",
        user_email="bob@example.com",
        user_name="Bob",
        org_id="7",
        client_type="grafana",
        service_account="grafana",
        verified=frozenset({"service_account"}),
    ),
)
API_KEY = Caller(
    AuthContext(subject="ingest", auth_type=AuthType.API_KEY),
    UserAttribution(user_id="ingest", verified=frozenset({"user_id"})),
)


def test_the_whole_record(log: AuditLog, lines: Lines, clock: Clock) -> None:
    record = log.start(
        GRAFANA, "SELECT 1", time_range="2027-01-15T08:00:00Z/2027-01-15T09:00:00Z", limit=100, peer="10.0.0.1:5"
    )
    clock.now += 0.0125
    record.finish("error", rows=3, size=4096, error="no such table: x")
    assert lines.written == [
        'execute_query range=2027-01-15T08:00:00Z/2027-01-15T09:00:00Z sql="SELECT 1" limit=100 user=bob '
        'email=bob@example.com name="Bob" org=7 client=grafana service_account=grafana asserted=user,email '
        f"subject=grafana issuer={ISSUER} auth=oidc admin=true peer=10.0.0.1:5 status=error "
        f'error="no such table: x" rows=3 bytes=4096 ms=12.5 query_id={record.query_id}'
    ]


def test_absent_fields_are_left_out(log: AuditLog, lines: Lines) -> None:
    record = log.start(API_KEY, "SELECT 1")
    record.finish("ok")
    assert lines.written == [
        'execute_query sql="SELECT 1" user=ingest subject=ingest auth=api_key admin=false status=ok rows=0 bytes=0 '
        f"ms=0.0 query_id={record.query_id}"
    ]


AFTER_THE_USER = ["subject", "issuer", "auth", "admin", "peer", "status", "rows", "bytes", "ms", "query_id"]


def test_the_order_of_the_fields_is_that_of_the_issue(log: AuditLog, lines: Lines) -> None:
    log.start(GRAFANA, "x", time_range="r", limit=1, peer="p").finish("ok")
    before = ["range", "sql", "limit", "user", "email", "name", "org", "client", "service_account"]
    promised = [*before, *AFTER_THE_USER]
    written = re.findall(r" (\w+)=", lines.written[0])
    assert [name for name in written if name in promised] == promised
    assert set(written) - set(promised) <= {"asserted"}


def test_json_holds_the_same(lines: Lines, clock: Clock) -> None:
    log = AuditLog(lines, format="json", clock=clock)
    record = log.start(GRAFANA, 'SELECT "é\n"', limit=5)
    clock.now += 1.5
    record.finish("cancelled", rows=3, size=4096)
    log.close()
    assert json.loads(lines.written[0]) == {
        "time": "2027-01-15T08:00:01.500+00:00",
        "event": "execute_query",
        "sql": 'SELECT "é\n"',
        "limit": 5,
        "user": "bob",
        "email": "bob@example.com",
        "name": "Bob",
        "org": "7",
        "client": "grafana",
        "service_account": "grafana",
        "asserted": "user,email",
        "subject": "grafana",
        "issuer": ISSUER,
        "auth": "oidc",
        "admin": True,
        "status": "cancelled",
        "rows": 3,
        "bytes": 4096,
        "ms": 1500.0,
        "query_id": record.query_id,
    }


texts = st.text(st.characters(), max_size=40) | st.sampled_from(
    [
        'x" status=ok sql="',
        "a\nexecute_query user=root",
        "\r\n",
        "\x1b[2J",
        "\u2028",
        "\u202e",
        "\\",
        '"',
        "",
        "\ud800",
        "\x7f",
    ]
)


@given(texts, texts, texts, st.sampled_from(["text", "json"]))
def test_one_line_whatever_comes_in(sql: str, user: str, name: str, audit_format: AuditFormat) -> None:
    lines = Lines()
    log = AuditLog(lines, format=audit_format, clock=lambda: NOW)
    attribution = UserAttribution(user_id=user, user_email=name, user_name=name, org_id=user, client_type=name)
    caller = Caller(AuthContext(subject=user, auth_type=AuthType.OIDC, issuer=name), attribution)
    log.start(caller, sql, time_range=user, peer=name).finish("error", error=sql)
    log.close()
    (line,) = lines.written
    assert is_one_line(line)
    if audit_format == "json":
        written: dict[str, Any] = json.loads(line)
        assert (written["user"], written["name"], written["status"]) == (user, name, "error")
    else:
        names = re.findall(r' (\w+)=(?:"(?:[^"\\]|\\.)*"|[^ "=\\]+)(?= |$)', line)
        before = ["range", "sql", "user", "email", "name", "org", "client", "asserted"]
        assert [name for name in names if name != "error"] == [*before, *AFTER_THE_USER]
        assert f" sql={quoted(sql)} " in line


def test_sql_name_and_error_are_always_quoted(log: AuditLog, lines: Lines) -> None:
    log.start(GRAFANA, "x").finish("error", error="y")
    assert re.search(r' sql="x" .* name="Bob" .* error="y" ', lines.written[0])


def test_only_the_first_finish_counts(log: AuditLog, lines: Lines) -> None:
    record = log.start(API_KEY, "x")
    record.finish("cancelled", rows=1)
    record.finish("ok", rows=2)
    record.finish("error", error="late")
    assert len(lines.written) == 1
    assert " status=cancelled rows=1 " in lines.written[0]


def test_query_ids_are_hexadecimal_and_differ(log: AuditLog) -> None:
    ids = [log.start(API_KEY, "x").query_id for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"[0-9a-f]{16}", query_id) for query_id in ids)
