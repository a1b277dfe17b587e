"""The front door: which headers are read, what comes out, and what is logged."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hostile import Hostile, issuer_jwks, issuer_key
from support.hostile_signatures import hostile_tokens
from support.memory_issuer import MemoryIssuer
from support.refusals import is_one_line, pieces_of, refused
from support.tokens import ISSUER, NOW, claims, token

from micromegas_auth import (
    AuthContext,
    AuthError,
    AuthType,
    Caller,
    PermissionDenied,
    ProviderUnavailable,
    Reason,
    RequestAuthenticator,
    Unauthenticated,
)
from micromegas_auth.attribution import Headers, HeaderValue
from micromegas_auth.errors import WouldBlock
from micromegas_auth.identity import Authenticator, Credential, Decision
from micromegas_auth.oidc import OidcAuthenticator
from micromegas_auth.policy import Admins

SECRET = "Zq9Marker"
GOOD_KEY = "a-Good.Key_1~+/=="
CAP = 7168


class Keys:
    """An authenticator that knows one credential, and notes what it is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.decision = Decision(AuthContext(subject="alice", auth_type=AuthType.API_KEY))
        self.failure: Exception | None = None

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        self.shown.append(credential.token)
        if self.failure is not None:
            raise self.failure
        if credential.token not in (GOOD_KEY, "x" * CAP):
            return None
        return self.decision


def front_door(authenticator: Authenticator, **kwargs: Any) -> RequestAuthenticator:
    return RequestAuthenticator(authenticator, max_token_bytes=CAP, clock=lambda: NOW, **kwargs)


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def door(keys: Keys) -> RequestAuthenticator:
    return front_door(keys)


@pytest.fixture(scope="module")
def oidc() -> Iterator[OidcAuthenticator]:
    """One issuer, in memory, with a real thread that fetches its keys."""
    issuer = MemoryIssuer(issuer_jwks()).trusted()
    issuer.keys.start()
    yield OidcAuthenticator([issuer], Admins(), clock=lambda: NOW)
    issuer.keys.close()


@pytest.fixture
def oidc_door(oidc: OidcAuthenticator) -> RequestAuthenticator:
    """New for each test: of each reason, a door logs only so many refusals."""
    return front_door(oidc)


def log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "micromegas_auth"]


ACCEPTED: dict[str, Any] = {
    "as it should be": f"Bearer {GOOD_KEY}",
    "scheme in lower case": f"bearer {GOOD_KEY}",
    "scheme in any case": f"bEaReR {GOOD_KEY}",
    "several spaces": f"Bearer    {GOOD_KEY}",
    "bytes": f"Bearer {GOOD_KEY}".encode(),
    "a list": [f"Bearer {GOOD_KEY}"],
    "a list of bytes": [f"Bearer {GOOD_KEY}".encode()],
    "a tuple": (f"Bearer {GOOD_KEY}",),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, door: RequestAuthenticator) -> None:
    caller = door.authenticate({"authorization": ACCEPTED[name]})
    assert isinstance(caller, Caller)
    assert (caller.auth.subject, caller.attribution.user_id) == ("alice", "alice")
    assert door.authenticate_nowait({"authorization": ACCEPTED[name]}) == caller


MALFORMED: dict[str, Any] = {
    "two values": [f"Bearer {GOOD_KEY}", f"Bearer {SECRET}"],
    "two equal values": [f"Bearer {GOOD_KEY}"] * 2,
    "a value and an empty one": [f"Bearer {GOOD_KEY}", ""],
    "comma-joined": f"Bearer {GOOD_KEY}, Bearer {SECRET}",
    "comma-joined without a space": f"Bearer {GOOD_KEY},{SECRET}",
    "a comma at the end": f"Bearer {GOOD_KEY},",
    "nothing in a list": [""],
    "a tab": f"Bearer\t{GOOD_KEY}",
    "a space and a tab": f"Bearer \t{GOOD_KEY}",
    "a tab and a space": f"Bearer\t {GOOD_KEY}",
    "nothing after": "Bearer",
    "a space after": "Bearer ",
    "spaces after": "Bearer    ",
    "only padding": "Bearer ==",
    "no scheme": GOOD_KEY,
    "no space": f"Bearer{GOOD_KEY}",
    "a space in front": f" Bearer {GOOD_KEY}",
    "a space behind": f"Bearer {GOOD_KEY} ",
    "a line feed behind": f"Bearer {GOOD_KEY}\n",
    "CR LF behind": f"Bearer {GOOD_KEY}\r\n",
    "NUL behind": f"Bearer {GOOD_KEY}\0",
    "two tokens": f"Bearer {GOOD_KEY} {SECRET}",
    "padding within": f"Bearer {SECRET}=x",
    "quotes": f'Bearer "{GOOD_KEY}"',
    "parameters": f"Bearer realm={SECRET}",
    "percent": f"Bearer {SECRET}%41",
    "Basic": "Basic dXNlcjpwYXNz",
    "Digest": f"Digest {SECRET}",
    "DPoP": f"DPoP {SECRET}",
    "token": f"token {GOOD_KEY}",
    "a scheme that begins so": f"BearerX {GOOD_KEY}",
    "a letter that is not ASCII": f"Bearer {SECRET}é",
    "a digit that is not ASCII": f"Bearer {SECRET}\u0663",
    "a full-width letter": "Bearer \uff21\uff22\uff23",
    "a scheme that folds to it": f"Bea\u0280er {GOOD_KEY}",
    "bytes that are no ASCII": f"Bearer {SECRET}é".encode(),
    "bytes that are no text": b"Bearer \xff\xfe" + SECRET.encode(),
    "a no-break space": f"Bearer\u00a0{GOOD_KEY}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, door: RequestAuthenticator, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": MALFORMED[name]}
    with refused(Unauthenticated, Reason.MALFORMED_AUTHORIZATION, SECRET, GOOD_KEY):
        door.authenticate(headers)
    assert GOOD_KEY not in keys.shown
    (line,) = log_lines(caplog)
    assert line.startswith("refused: reason=malformed_authorization error=Unauthenticated")
    assert is_one_line(line)
    assert SECRET not in line
    assert GOOD_KEY not in line


@pytest.mark.parametrize("headers", [{}, {"authorization": []}, {"authorization": ()}, {"x-api-key": GOOD_KEY}])
def test_missing(headers: Any, door: RequestAuthenticator) -> None:
    with refused(Unauthenticated, Reason.MISSING_CREDENTIAL):
        door.authenticate(headers)


def test_unknown(door: RequestAuthenticator, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": f"Bearer {SECRET}"}
    with refused(Unauthenticated, Reason.UNKNOWN_CREDENTIAL, SECRET):
        door.authenticate(headers)
    assert SECRET not in "".join(log_lines(caplog))


def test_the_cap_is_on_the_token_and_nothing_looks_into_a_longer_one(door: RequestAuthenticator, keys: Keys) -> None:
    assert door.authenticate({"authorization": "Bearer " + "x" * CAP})
    for value in (
        "Bearer " + "x" * (CAP + 1),
        b"Bearer " + b"x" * (CAP + 1),
        "\0" * 10_000_000,
        ["Bearer " + "." * 2**20],
    ):
        with refused(Unauthenticated, Reason.CREDENTIAL_TOO_LARGE):
            door.authenticate({"authorization": value})
    assert len(keys.shown) == 1


@pytest.mark.parametrize(
    "name",
    [
        "x-auth-subject",
        "x_auth_subject",
        "x-auth-admin",
        "x-auth-subject-bin",
        "authorization-bin",
        "x-user-id-bin",
        "cookie",
    ],
)
def test_other_headers_are_not_read(name: str, door: RequestAuthenticator) -> None:
    plain = door.authenticate({"authorization": f"Bearer {GOOD_KEY}"})
    for value in ("root", b"\xff", [f"Bearer {SECRET}"] * 2):
        assert door.authenticate({"authorization": f"Bearer {GOOD_KEY}", name: value}) == plain
        with refused(Unauthenticated, Reason.MISSING_CREDENTIAL):
            door.authenticate({name: value})


def test_only_named_headers_are_looked_up(door: RequestAuthenticator) -> None:
    looked_up: set[str] = set()

    class Headers(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            looked_up.add(name)
            return super().get(name, default)

    door.authenticate(Headers(authorization=f"Bearer {GOOD_KEY}"))
    user = {"x-user-id", "x-user-email", "x-user-name", "x-org-id", "x-client-type"}
    assert looked_up == {"authorization", *user}


class Delegate:
    """Knows everybody as one service account, which may name anybody; gives the same Decision until told another."""

    def __init__(self) -> None:
        self.knows(AuthContext(subject="grafana", auth_type=AuthType.API_KEY, allow_delegation=True))

    def knows(self, auth: AuthContext) -> None:
        self.decision = Decision(auth)

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        return self.decision


def test_each_request_is_for_whom_its_own_headers_name() -> None:
    door = front_door(Delegate())
    bearer = {"authorization": f"Bearer {GOOD_KEY}"}
    named: list[tuple[HeaderValue, str]] = [
        ("bob", "bob"),
        ("eve", "eve"),
        (b"zo\xc3\xab", "zoë"),
        (["bob"], "bob"),
        (["eve"], "eve"),
        ("bob", "bob"),
    ]
    for value, name in named:
        assert door.authenticate({**bearer, "x-user-id": value}).attribution.user_id == name
        assert door.authenticate(bearer).attribution.user_id == "grafana"


def test_headers_changed_in_place_are_read_again() -> None:
    door = front_door(Delegate())
    names: list[str | bytes] = ["bob"]
    headers: Headers = {"authorization": f"Bearer {GOOD_KEY}", "x-user-id": names}
    assert door.authenticate(headers).attribution.user_id == "bob"
    names[0] = "eve"
    assert door.authenticate(headers).attribution.user_id == "eve"


def test_a_good_request_makes_room_for_no_bad_one(door: RequestAuthenticator, keys: Keys) -> None:
    bearer = {"authorization": f"Bearer {GOOD_KEY}"}
    assert door.authenticate({**bearer, "x-user-id": "alice"}) is door.authenticate({**bearer, "x-user-id": "alice"})
    with refused(PermissionDenied, Reason.IMPERSONATION):
        door.authenticate({**bearer, "x-user-id": "bob"})
    keys.failure = Unauthenticated(Reason.EXPIRED)
    with refused(Unauthenticated, Reason.EXPIRED):
        door.authenticate({**bearer, "x-user-id": "alice"})


def test_a_new_decision_about_a_credential_is_a_new_caller() -> None:
    delegate = Delegate()
    door = front_door(delegate)
    headers = {"authorization": f"Bearer {GOOD_KEY}", "x-user-id": "bob"}
    assert door.authenticate(headers).auth.subject == "grafana"
    delegate.knows(AuthContext(subject="other", auth_type=AuthType.API_KEY, allow_delegation=True))
    caller = door.authenticate(headers)
    assert (caller.auth.subject, caller.attribution.service_account) == ("other", "other")


def test_impersonation_is_refused_without_an_echo(door: RequestAuthenticator, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": f"Bearer {GOOD_KEY}", "x-user-id": SECRET}
    with refused(PermissionDenied, Reason.IMPERSONATION, SECRET):
        door.authenticate(headers)
    assert [line for line in log_lines(caplog) if SECRET in line] == []


def test_who_may_not_come_in_is_not_told_about_their_headers(door: RequestAuthenticator) -> None:
    with refused(Unauthenticated, Reason.UNKNOWN_CREDENTIAL):
        door.authenticate({"authorization": "Bearer unknown", "x-user-id": "\n"})


FAILURES = [
    ValueError(SECRET),
    KeyError(SECRET),
    RecursionError(SECRET),
    MemoryError(SECRET),
    AssertionError(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    StopIteration(SECRET),
    TimeoutError(SECRET),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_any_other_exception_becomes_a_fixed_text(
    failure: Exception, door: RequestAuthenticator, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    keys.failure = failure
    headers = {"authorization": f"Bearer {GOOD_KEY}"}
    for authenticate in (door.authenticate, door.authenticate_nowait):
        with refused(ProviderUnavailable, Reason.INTERNAL_ERROR, SECRET):
            authenticate(headers)
    assert len(log_lines(caplog)) == 2
    for line in log_lines(caplog):
        place = rf"{type(failure).__name__} in {re.escape(__name__)}:\d+"  # where it was raised, which is in this file
        assert re.search(rf'reason=internal_error error=ProviderUnavailable detail="{place}"', line)
        assert SECRET not in line


@pytest.mark.parametrize(
    "value", [5, [None], [5], {"Bearer": 1}, object()], ids=["int", "list of None", "list of int", "dict", "object"]
)
@pytest.mark.parametrize("name", ["authorization", "x-user-id"])
def test_headers_of_the_wrong_type_are_no_crash(name: str, value: Any, door: RequestAuthenticator) -> None:
    with pytest.raises(AuthError):
        door.authenticate({"authorization": f"Bearer {GOOD_KEY}", name: value})


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_not_caught(kind: type[BaseException]) -> None:
    class Stopping:
        def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
            raise kind

    with pytest.raises(kind):
        front_door(Stopping()).authenticate({"authorization": "Bearer x"})


def test_a_credential_is_logged_when_it_first_comes_in(
    door: RequestAuthenticator, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "micromegas_auth")
    headers = {"authorization": f"Bearer {GOOD_KEY}"}
    with refused(PermissionDenied, Reason.IMPERSONATION):  # who is turned away did not come in
        door.authenticate({**headers, "x-user-id": "bob"})
    caplog.clear()
    for client in ("python", "grafana", "python"):
        door.authenticate({**headers, "x-client-type": client})
    keys.decision = Decision(keys.decision.auth)  # the cache let it go, and it was validated anew
    door.authenticate(headers)
    assert log_lines(caplog) == ["authenticated: subject=alice admin=false"] * 2


def test_nowait_is_none_where_it_would_wait_and_that_is_not_logged(
    door: RequestAuthenticator, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    keys.failure = WouldBlock()
    assert door.authenticate_nowait({"authorization": f"Bearer {GOOD_KEY}"}) is None
    assert log_lines(caplog) == []


def test_anonymous_needs_no_credential_and_reads_none(keys: Keys) -> None:
    anonymous = AuthContext(subject="anonymous", auth_type=AuthType.ANONYMOUS, is_admin=True, allow_delegation=True)
    door = front_door(keys, anonymous=anonymous)
    for headers in ({}, {"authorization": "\n"}, {"authorization": f"Bearer {GOOD_KEY}"}):
        assert door.authenticate(headers).auth is anonymous
    assert keys.shown == []
    with refused(PermissionDenied, Reason.MALFORMED_ATTRIBUTION):
        door.authenticate({"x-user-id": "\n"})


def test_close_calls_everything_and_tells_what_was_left_out(keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []
    door = front_door(keys, on_close=[lambda: closed.append("a"), lambda: closed.append("b")])
    for _ in range(12):
        with pytest.raises(Unauthenticated):
            door.authenticate({})
    door.close()
    assert closed == ["a", "b"]
    assert log_lines(caplog)[-1].endswith("left_out=2")
    assert door.authenticate({"authorization": f"Bearer {GOOD_KEY}"})  # still judges with what it knows


@pytest.mark.parametrize("hostile", hostile_tokens(), ids=lambda hostile: hostile.name)
def test_a_hostile_token_leaves_nothing_in_the_log(
    hostile: Hostile, oidc_door: RequestAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"authorization": f"Bearer {hostile.token}"}
    with refused(Unauthenticated, hostile.reason, *pieces_of(hostile.token), SECRET):
        oidc_door.authenticate(headers)
    line = log_lines(caplog)[-1]
    assert line.startswith(f"refused: reason={hostile.reason} error=Unauthenticated")
    assert is_one_line(line)
    assert not any(piece in line for piece in [*pieces_of(hostile.token), SECRET])


def test_a_good_token(oidc_door: RequestAuthenticator, caplog: pytest.LogCaptureFixture) -> None:
    text = token(issuer_key("rsa"), claims(sub="zoë", email="zoë@example.com"))
    caller = oidc_door.authenticate({"authorization": [f"Bearer {text}".encode()], "x-user-id": [b"zo%C3%AB"]})
    assert (caller.auth.issuer, caller.attribution.user_email) == (ISSUER, "zoë@example.com")
    assert not any(piece in line for line in log_lines(caplog) for piece in pieces_of(text))


GOOD_TOKEN = token(issuer_key("ec"))
header_values = (
    st.text(max_size=30)
    | st.binary(max_size=30)
    | st.text(max_size=30).map(lambda text: f"Bearer {text}")
    | st.tuples(st.integers(0, len(GOOD_TOKEN)), st.text(max_size=3)).map(
        lambda change: f"Bearer {GOOD_TOKEN[: change[0]]}{change[1]}{GOOD_TOKEN[change[0] :]}"
    )
)
names = st.sampled_from(["authorization", "x-user-id", "x-user-email", "x-user-name", "x-org-id", "x-client-type"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, header_values | st.lists(header_values, max_size=2), max_size=4))
def test_nothing_but_a_caller_or_an_auth_error(
    oidc_door: RequestAuthenticator, caplog: pytest.LogCaptureFixture, headers: dict[str, Any]
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG, "micromegas_auth")
    caller = reason = None
    try:
        caller = oidc_door.authenticate(headers)
    except AuthError as error:
        reason = error.reason
    assert reason is not Reason.INTERNAL_ERROR
    assert caller is None or caller.auth.subject == "alice"
    assert all(is_one_line(line) for line in log_lines(caplog))
