"""The words: a credential that shows nothing of itself, an identity that cannot be changed."""

import hashlib

import pytest

from micromegas_auth import AuthContext, AuthType
from micromegas_auth.identity import credential_of


def test_a_credential_shows_neither_token_nor_digest() -> None:
    credential = credential_of("Zq9Marker")
    assert credential.token == "Zq9Marker"
    assert credential.digest == hashlib.sha256(b"Zq9Marker").digest()
    assert repr(credential) == str(credential) == f"{credential}" == "Credential(...)"


def test_an_identity_cannot_be_changed() -> None:
    auth = AuthContext(subject="alice", auth_type=AuthType.OIDC)
    with pytest.raises(AttributeError):
        auth.is_admin = True  # type: ignore[misc]


def test_an_identity_has_no_rights_unless_given() -> None:
    auth = AuthContext(subject="alice", auth_type=AuthType.OIDC)
    assert (auth.is_admin, auth.allow_delegation, auth.email_verified, auth.groups) == (False, False, False, ())


def test_the_same_subject_of_another_issuer_is_another_person() -> None:
    one = AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer="https://a.example")
    other = AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer="https://b.example")
    assert one != other
