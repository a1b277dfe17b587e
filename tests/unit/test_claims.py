"""What verified claims say about their bearer."""

from typing import Any

import pytest
from support.tokens import ABSENT, ISSUER, NOW, claims

from micromegas_auth import AuthContext, AuthType
from micromegas_auth.claims import auth_context, is_service_account
from micromegas_auth.policy import DEFAULT_EMAIL_CLAIMS, Admins, IssuerPolicy

NAMESPACED = "https://micromegas.io/email"
BOB = "bob@example.com"
NOBODY = Admins()
BOB_IS_ADMIN = Admins(anywhere=frozenset({BOB}))


def context(changes: dict[str, Any], admins: Admins = NOBODY, **policy: Any) -> AuthContext:
    issuer_policy = IssuerPolicy(**{"issuer": ISSUER, "audiences": frozenset({"a"}), **policy})
    return auth_context(claims(changes), issuer_policy, admins, audience="a", key_id="k")


def test_everything_that_is_kept() -> None:
    changes = {"email": BOB, "email_verified": True, "groups": ["x", "y"], "jti": "t1", "nonce": "n"}
    assert context(changes) == AuthContext(
        subject="alice",
        auth_type=AuthType.OIDC,
        email=BOB,
        email_verified=True,
        issuer=ISSUER,
        audience="a",
        expires_at=NOW + 600,
        groups=("x", "y"),
        key_id="k",
        token_id="t1",
        issued_at=NOW - 10,
    )


def test_the_issuer_is_the_configured_one_never_its_alias() -> None:
    assert context({"iss": ISSUER + "/"}, aliases=frozenset({ISSUER + "/"})).issuer == ISSUER


def test_what_a_token_may_lack() -> None:
    auth = context({"iat": ABSENT})
    assert (auth.email, auth.email_verified, auth.groups, auth.token_id, auth.issued_at) == (
        None,
        False,
        (),
        None,
        None,
    )


@pytest.mark.parametrize("jti", [5, None, ["x"], {}])
def test_a_jti_that_is_no_text_is_ignored(jti: Any) -> None:
    assert context({"jti": jti}).token_id is None


NOT_TRUE: list[Any] = [False, "true", "True", 1, None, [True], {}]

# ATTACKS, "e-mail for admin": claims, trust_email, whether the address is verified
EMAIL_VERIFIED: list[tuple[dict[str, Any], bool, bool]] = [
    ({"email": BOB, "email_verified": True}, False, True),
    ({"email": BOB, "email_verified": True}, True, True),
    *(({"email": BOB, "email_verified": value}, False, False) for value in NOT_TRUE),
    # An issuer that is trusted is believed when it says that the address is not verified.
    *(({"email": BOB, "email_verified": value}, True, False) for value in NOT_TRUE),
    ({"email": BOB}, False, False),
    ({"email": BOB}, True, True),
    ({NAMESPACED: BOB}, False, False),
    ({NAMESPACED: BOB}, True, True),
    ({NAMESPACED: BOB, "email_verified": True}, False, False),  # it speaks of `email` alone (OIDC Core 5.1)
    ({NAMESPACED: BOB, "email_verified": False}, True, False),
    ({"email": BOB, NAMESPACED: BOB, "email_verified": False}, True, False),
    ({"verified_primary_email": BOB}, False, False),
    ({"verified_primary_email": BOB}, True, True),
    ({"verified_primary_email": [BOB]}, True, True),
    ({"verified_primary_email": [BOB, "else@example.com"]}, False, False),
    ({"verified_primary_email": BOB, "email_verified": True}, False, False),
    ({"verified_primary_email": BOB, "email_verified": False}, True, False),
    *(({name: BOB}, trust, False) for name in ("preferred_username", "upn", "unique_name") for trust in (False, True)),
    *(({name: BOB, "email_verified": True}, True, False) for name in ("preferred_username", "upn", "unique_name")),
]


@pytest.mark.parametrize(("changes", "trust_email", "verified"), EMAIL_VERIFIED)
def test_only_a_verified_email_makes_an_admin(changes: dict[str, Any], trust_email: bool, verified: bool) -> None:
    auth = context(changes, BOB_IS_ADMIN, trust_email=trust_email)
    assert auth.email == BOB
    assert auth.email_verified is verified
    assert auth.is_admin is verified


@pytest.mark.parametrize("name", ["nickname", "name", "preferred_username"])
def test_a_name_the_user_chose_is_never_verified_even_where_configured(name: str) -> None:
    auth = context({name: BOB}, BOB_IS_ADMIN, trust_email=True, email_claims=(name,))
    assert (auth.email, auth.email_verified, auth.is_admin) == (BOB, False, False)


def test_the_first_claim_that_holds_an_email_wins() -> None:
    addresses = {name: f"{index}@example.com" for index, name in enumerate(DEFAULT_EMAIL_CLAIMS)}
    for index, name in enumerate(DEFAULT_EMAIL_CLAIMS):
        assert context(addresses).email == f"{index}@example.com"
        del addresses[name]
    assert context({"email": BOB, "upn": "u@example.com"}, email_claims=("upn",)).email == "u@example.com"


@pytest.mark.parametrize("value", ["", None, 5, [], [5], {"a": BOB}, "a\nb@c", "\u202ebob@example.com", "x" * 321])
def test_an_email_that_cannot_be_one_is_passed_over(value: Any) -> None:
    assert context({"email": value, "upn": BOB}).email == BOB
    assert context({"email": value}).email is None


def test_an_email_of_any_script() -> None:
    assert context({"email": "zoë@exämple.com", "email_verified": True}).email == "zoë@exämple.com"


def test_email_addresses_of_admins_are_compared_exactly() -> None:
    assert not context({"email": BOB.upper(), "email_verified": True}, BOB_IS_ADMIN).is_admin


ADMINS: list[tuple[Admins, bool]] = [
    (Admins(), False),
    (Admins(anywhere=frozenset({"alice"})), True),
    (Admins(anywhere=frozenset({BOB})), True),
    (Admins(anywhere=frozenset({"Alice", "alic", "alice ", "", "*"})), False),
    (Admins(subjects=frozenset({(ISSUER, "alice")})), True),
    (Admins(subjects=frozenset({("https://else.example", "alice")})), False),
    (Admins(subjects=frozenset({(ISSUER, BOB)})), False),
    (Admins(emails=frozenset({(ISSUER, BOB)})), True),
    (Admins(emails=frozenset({("https://else.example", BOB)})), False),
    (Admins(emails=frozenset({(ISSUER, "alice")})), False),
]


@pytest.mark.parametrize(("admins", "is_admin"), ADMINS)
def test_admins_are_of_an_issuer_unless_said_otherwise(admins: Admins, is_admin: bool) -> None:
    assert context({"email": BOB, "email_verified": True}, admins).is_admin is is_admin


@pytest.mark.parametrize(
    ("groups", "kept"),
    [
        (["a", "b"], ("a", "b")),
        ([], ()),
        ("admins", ()),
        (None, ()),
        (5, ()),
        ({"a": 1}, ()),
        (["a", 5], ()),
        ([["a"]], ()),
        (["g"] * 1000, ("g",) * 1000),
        (["g"] * 1001, ()),
    ],
)
def test_groups_are_a_list_of_texts_or_none(groups: Any, kept: tuple[str, ...]) -> None:
    assert context({"groups": groups}).groups == kept


def test_groups_elsewhere_are_not_fetched() -> None:
    overage = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "http://127.0.0.1:1/"}}}
    assert context(overage).groups == ()
    assert context({"hasgroups": True}).groups == ()


SERVICE_ACCOUNTS: list[tuple[dict[str, Any], bool]] = [
    ({"azp": "alice"}, True),
    ({"cid": "alice"}, True),
    ({"client_id": "alice"}, True),
    ({"gty": "client-credentials"}, True),
    ({"sub": "abc@clients", "azp": "abc"}, True),
    ({"idtyp": "app"}, True),
    ({}, False),
    ({"azp": "other", "client_id": "app"}, False),
    ({"azp": ["alice"]}, False),
    ({"azp": None, "sub": "None@clients"}, False),
    ({"sub": "abc@clients"}, False),
    ({"sub": "abc@clients", "azp": "abcd"}, False),
    ({"gty": "password"}, False),
    ({"gty": ["client-credentials"]}, False),
    ({"idtyp": "user"}, False),
    ({"appid": "alice"}, False),
    # What only a login can leave in a token rules it out, whatever its value.
    *(
        ({"azp": "alice", "idtyp": "app", "gty": "client-credentials", name: value}, False)
        for name, value in (("nonce", "n"), ("nonce", None), ("auth_time", NOW), ("email_verified", False))
    ),
]


@pytest.mark.parametrize(("changes", "expected"), SERVICE_ACCOUNTS)
def test_service_accounts(changes: dict[str, Any], expected: bool) -> None:
    assert is_service_account(claims(changes)) is expected
    assert context(changes).allow_delegation is expected


def test_a_delegate_is_the_exact_subject_of_that_issuer() -> None:
    assert context({"nonce": "n"}, delegates=frozenset({"alice"})).allow_delegation
    assert not context({"nonce": "n"}, delegates=frozenset({"Alice", "ali", BOB})).allow_delegation
