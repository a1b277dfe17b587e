"""The deny list."""

import pytest
from support.refusals import refused

from micromegas_auth import AuthContext, AuthType, Reason, Unauthenticated
from micromegas_auth.entries import RevokedConfig
from micromegas_auth.identity import Credential, Decision, credential_of
from micromegas_auth.revocation import Revocations, RevokingAuthenticator
from micromegas_auth.translation import revocations

ISSUER = "https://issuer.example"
ALICE = AuthContext(
    subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER, key_id="k1", token_id="t1", issued_at=1_800_000_000.0
)
KEY = AuthContext(subject="grafana", auth_type=AuthType.API_KEY)


def listed(**entry: str) -> Revocations:
    return revocations([RevokedConfig.model_validate(entry)])


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"jti": "t1"}, "jti"),
        ({"issuer": ISSUER, "jti": "t1"}, "jti"),
        ({"issuer": ISSUER, "subject": "alice"}, "subject"),
        ({"issuer": ISSUER, "kid": "k1"}, "kid"),
        ({"issuer": ISSUER, "subject": "alice", "issued_before": "2027-01-15T08:00:01Z"}, "issued_before"),
        ({"issuer": ISSUER, "subject": "alice", "issued_before": "2027-01-15T08:00:00Z"}, None),
        ({"jti": "t2"}, None),
        ({"issuer": "https://other.example", "jti": "t1"}, None),
        ({"issuer": "https://other.example", "subject": "alice"}, None),
        ({"issuer": ISSUER, "subject": "Alice"}, None),
        ({"issuer": "https://other.example", "kid": "k1"}, None),
        ({"api_key": "alice"}, None),  # the name of a key is no subject
    ],
)
def test_why_a_token_is_revoked(entry: dict[str, str], why: str | None) -> None:
    assert listed(**entry).why(ALICE) == why


def test_a_token_that_does_not_say_when_it_was_issued_may_be_an_old_one() -> None:
    silent = AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER)
    assert listed(issuer=ISSUER, subject="alice", issued_before="2000-01-01T00:00:00Z").why(silent) == "issued_before"


def test_an_api_key_is_revoked_by_its_name_alone() -> None:
    assert listed(api_key="grafana").why(KEY) == "API key"
    assert listed(api_key="other").why(KEY) is None
    assert listed(issuer=ISSUER, subject="grafana").why(KEY) is None


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"issuer": ISSUER},
        {"subject": "alice"},
        {"kid": "k1"},
        {"api_key": "a", "jti": "t1"},
        {"issuer": ISSUER, "subject": "alice", "jti": "t1"},
        {"issuer": ISSUER, "subject": "alice", "issued_before": 1},
        {"issuer": ISSUER, "issued_before": "2027-01-01T00:00:00Z"},
        {"jti": ""},
        {"token": "t1"},
    ],
)
def test_an_entry_of_no_known_form_is_an_error(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"form|field|Extra|characters|RFC 3339"):
        RevokedConfig.model_validate(entry)


class Knows:
    """Knows everybody as one."""

    def __init__(self, auth: AuthContext | None) -> None:
        self.decision = None if auth is None else Decision(auth)

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        return self.decision


def test_the_authenticator_refuses_what_the_list_names() -> None:
    revoking = RevokingAuthenticator(Knows(KEY), listed(api_key="grafana"))
    with refused(Unauthenticated, Reason.REVOKED):
        revoking.authenticate(credential_of("key"))
    unlisted = Knows(KEY)
    assert RevokingAuthenticator(unlisted, Revocations()).authenticate(credential_of("key")) is unlisted.decision
    assert RevokingAuthenticator(Knows(None), listed(jti="t1")).authenticate(credential_of("key")) is None
