"""The steps of the demo: who calls, what they get, and what the server's log says of it."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_server.demo.issuer import DemoIssuer
from micromegas_server.flight_sql.messages import statement_ticket

AUDIENCE = "micromegas-demo"
API_KEY = "demo-grafana-key-not-a-secret"
ADMIN = "ada@example.com"
SQL = "SELECT count(*) AS lines, max(time) AS latest FROM log_entries"
LOOP_SQL = (
    "SELECT time, target, auth_subject, msg FROM log_entries WHERE msg LIKE '% user=grace %' ORDER BY time LIMIT 1"
)
LOOP_SECONDS = 15.0  # for a line to get through: gathered for a second, sent, written and found


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        rows: The rows, where the server answered.
        error: The name of the status, where it refused.
        message: What the client shows: the rows or the error's text.
    """

    rows: list[dict[str, Any]] | None
    error: str | None
    message: str


@dataclass(frozen=True)
class Step:
    """One step of the walk.

    Attributes:
        title: What is shown.
        call: Does it.
        expected_error: The status it must be refused with, None where it must be answered.
        expected_log: What the line in the server's log must match.
    """

    title: str
    call: Callable[[], Outcome]
    expected_error: str | None
    expected_log: str


@dataclass
class Client:
    """Runs one query a call, as the micromegas client does.

    Attributes:
        location: The server, as `grpc://host:port`.
    """

    location: str
    _statuses: dict[type[Exception], str] = field(
        default_factory=lambda: {
            flight.FlightUnauthenticatedError: "UNAUTHENTICATED",
            flight.FlightUnauthorizedError: "PERMISSION_DENIED",
            flight.FlightUnavailableError: "UNAVAILABLE",
        }
    )

    def query(self, token: str, sql: str = SQL, **headers: str) -> Outcome:
        """Run a query with a credential and `x_user_id="..."` and the like."""
        sent = {"authorization": f"Bearer {token}", "x-client-type": "demo"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        options = flight.FlightCallOptions(
            headers=[(name.encode(), value.encode()) for name, value in sent.items()], timeout=30
        )
        try:
            with flight.connect(self.location) as client:
                table = client.do_get(flight.Ticket(statement_ticket(sql)), options).read_all()
        except flight.FlightError as error:
            status = self._statuses.get(type(error), type(error).__name__)
            return Outcome(None, status, f"{status}: {str(error).split('. Detail')[0]}")
        # Python's own times have no nanoseconds.
        shown = [column.cast(pa.string()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
        rows = pa.table(shown, names=table.column_names).to_pylist()
        return Outcome(rows, None, str(rows))


def wait_for_log(client: Client) -> None:
    """Wait until the first line that the server logs has come through to the lake."""
    _until_found(lambda: client.query(API_KEY))


def steps(client: Client, issuer: DemoIssuer, unreachable: DemoIssuer) -> Iterator[Step]:
    """The walk, in order; each step may build on those before it.

    Args:
        client: Asks the server.
        issuer: The issuer that the server trusts.
        unreachable: Another that the server trusts, and that does not answer.
    """
    alice = {"sub": "alice", "aud": AUDIENCE, "email": "alice@example.com", "email_verified": True, "nonce": "n"}
    ada = {"sub": "ada", "aud": AUDIENCE, "email": ADMIN, "email_verified": True, "nonce": "n"}
    service = {"sub": "etl", "aud": AUDIENCE, "client_id": "etl"}
    forged = issuer.mint(alice)[:-8] + "AAAAAAAA"

    yield Step(
        "a token with a forged signature",
        lambda: client.query(forged),
        "UNAUTHENTICATED",
        r"refused: reason=(bad_signature|malformed_token)",
    )
    yield Step(
        "an API key (Grafana's), for one of its users",
        lambda: client.query(API_KEY, x_user_id="grace", x_user_name="Grace%20Hopper", x_org_id="1"),
        None,
        r"execute_query .*user=grace .*service_account=grafana .*auth=api_key admin=false",
    )
    yield Step(
        "a user with a token of the issuer",
        lambda: client.query(issuer.mint(alice)),
        None,
        r"execute_query .*user=alice email=alice@example.com .*auth=oidc admin=false",
    )
    yield Step(
        "an admin: her verified e-mail stands in MICROMEGAS_ADMINS",
        lambda: client.query(issuer.mint(ada)),
        None,
        rf"execute_query .*user=ada email={re.escape(ADMIN)} .*admin=true",
    )
    yield Step(
        "a service account that works for a user",
        lambda: client.query(issuer.mint(service, typ="at+jwt"), x_user_id="alice"),
        None,
        r"execute_query .*user=alice .*service_account=etl .*auth=oidc admin=false",
    )
    yield Step(
        "a user who claims to be somebody else",
        lambda: client.query(issuer.mint(alice), x_user_id="ada"),
        "PERMISSION_DENIED",
        r"refused: reason=impersonation",
    )
    before_rotation = issuer.mint(alice)
    issuer.rotate()
    yield Step(
        "the issuer has a new key: the first token signed with it",
        lambda: client.query(issuer.mint(alice)),
        None,
        r"execute_query .*user=alice .*admin=false",
    )
    yield Step(
        "the key before it was withdrawn: a token signed with that",
        lambda: client.query(before_rotation),
        "UNAUTHENTICATED",
        r"refused: reason=unknown_key",
    )
    issuer.stop()
    yield Step(
        "the issuer is down: a token the server has not seen yet",
        lambda: client.query(issuer.mint(ada)),
        None,
        r"execute_query .*user=ada .*admin=true",
    )
    yield Step(
        "an issuer that never answered: try again later, not 'unauthenticated'",
        lambda: client.query(unreachable.mint(alice)),
        "UNAVAILABLE",
        r"refused: reason=keys_unavailable",
    )
    issuer.start()
    yield Step(
        "the loop closes: what the server logged of step 2, sent by OTLP, is found in the lake",
        lambda: _until_found(lambda: client.query(API_KEY, LOOP_SQL)),
        None,
        r"execute_query .*LIKE '% user=grace %'.*auth=api_key admin=false .*rows=1",
    )


def _until_found(ask: Callable[[], Outcome]) -> Outcome:
    deadline = time.monotonic() + LOOP_SECONDS
    while not (outcome := ask()).rows:  # before the first line there is no such table either
        if time.monotonic() > deadline:
            return Outcome(None, "NOT_FOUND", f"no such line within {LOOP_SECONDS:g} s")
        time.sleep(0.2)
    return outcome
