"""API keys: one lookup by digest."""

import hashlib

import pytest
from support.refusals import refused
from support.tokens import NOW

from micromegas_auth import AuthContext, AuthType, Reason, Unauthenticated
from micromegas_auth.api_keys import ApiKey, ApiKeyAuthenticator
from micromegas_auth.identity import credential_of


def api_key(name: str, key: str, expires_at: float | None = None, allow_delegation: bool = True) -> ApiKey:
    digest = hashlib.sha256(key.encode()).digest()
    return ApiKey(name=name, digest=digest, expires_at=expires_at, allow_delegation=allow_delegation)


AUTHENTICATOR = ApiKeyAuthenticator(
    [
        api_key("ingest", "first-key-of-ingest"),
        api_key("ingest", "second-key-of-ingest"),
        api_key("bound", "key-of-bound", allow_delegation=False),
        api_key("gone", "key-of-gone", expires_at=NOW),
        api_key("going", "key-of-going", expires_at=NOW + 0.5),
        *(api_key(f"n{number}", f"key-number-{number}") for number in range(1000)),
    ],
    clock=lambda: NOW,
)


def judge(key: str, *, wait: bool = True) -> AuthContext | None:
    """Whose key it is."""
    decision = AUTHENTICATOR.authenticate(credential_of(key), wait=wait)
    return None if decision is None else decision.auth


def test_a_key_names_its_owner_who_may_delegate_and_is_no_admin() -> None:
    expected = AuthContext(subject="ingest", auth_type=AuthType.API_KEY, allow_delegation=True)
    assert judge("first-key-of-ingest") == expected
    assert judge("first-key-of-ingest", wait=False) == expected


def test_two_keys_of_one_name_are_a_rotation() -> None:
    first, second = (judge(f"{which}-key-of-ingest") for which in ("first", "second"))
    assert first == second


def test_delegation_can_be_taken_away() -> None:
    auth = judge("key-of-bound")
    assert auth is not None
    assert not auth.allow_delegation


@pytest.mark.parametrize(
    "key", ["first-key-of-inges", "first-key-of-ingest2", "First-key-of-ingest", "x", "ingest", "a.b.c"]
)
def test_another_credential_is_not_its_business(key: str) -> None:
    assert AUTHENTICATOR.authenticate(credential_of(key)) is None


def test_the_digest_is_no_key() -> None:
    digest = hashlib.sha256(b"first-key-of-ingest").hexdigest()
    assert AUTHENTICATOR.authenticate(credential_of(digest)) is None


def test_an_expired_key_is_refused() -> None:
    credential = credential_of("key-of-gone")
    with refused(Unauthenticated, Reason.API_KEY_EXPIRED, credential.token):
        AUTHENTICATOR.authenticate(credential)
    going = judge("key-of-going")
    assert going is not None
    assert going.expires_at == NOW + 0.5
