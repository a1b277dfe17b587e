"""Tokens of several issuers: routing, keys, rotation. The issuers are in memory; the threads are real."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.memory_issuer import MemoryIssuer
from support.refusals import is_one_line, pieces_of, refused
from support.tokens import ABSENT, AUDIENCE, ISSUER, NOW, b64, claims, jwks, raw_token, signing_key, token

from micromegas_auth import AuthContext, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.errors import WouldBlock
from micromegas_auth.identity import credential_of
from micromegas_auth.oidc import Issuer, OidcAuthenticator
from micromegas_auth.policy import Admins

NOBODY = Admins()
OTHER = "https://other.example"
KEY = signing_key("ES256", "key-1")
OTHER_KEY = signing_key("ES256", "key-of-other")
NEW_KEY = signing_key("ES256", "key-2")


class House:
    """Two trusted issuers, each with its own keys; the other one also goes by OTHER with a slash."""

    def __init__(self, admins: Admins = NOBODY) -> None:
        self.own = MemoryIssuer(jwks(KEY))
        self.other = MemoryIssuer(jwks(OTHER_KEY))
        self.issuers: list[Issuer] = [
            self.own.trusted(),
            self.other.trusted(issuer=OTHER, aliases=frozenset({OTHER + "/"})),
        ]
        self.oidc = OidcAuthenticator(self.issuers, admins, clock=lambda: NOW)

    def start(self) -> None:
        for issuer in self.issuers:
            issuer.keys.start()
            issuer.keys.newer_than(None, time.monotonic() + 5)

    def ask(self, text: str, *, wait: bool = True) -> AuthContext | None:
        decision = self.oidc.authenticate(credential_of(text), wait=wait)
        return None if decision is None else decision.auth

    def close(self) -> None:
        for issuer in self.issuers:
            issuer.keys.close()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    house.start()
    yield house
    house.close()


def other_claims(**changes: Any) -> dict[str, Any]:
    return claims({"iss": OTHER, **changes})


def test_each_token_is_judged_by_its_own_issuer(house: House) -> None:
    for text, issuer, kid in (
        (token(KEY), ISSUER, "key-1"),
        (token(OTHER_KEY, other_claims()), OTHER, "key-of-other"),
        (token(OTHER_KEY, other_claims(iss=OTHER + "/")), OTHER, "key-of-other"),
    ):
        auth = house.ask(text)
        assert auth is not None
        assert (auth.subject, auth.issuer, auth.audience, auth.key_id) == ("alice", issuer, AUDIENCE, kid)


@pytest.mark.parametrize("text", ["x", "abc-def_", "an+api/key==", "Zq9Marker" * 100])
def test_what_has_no_dots_is_not_its_business(house: House, text: str) -> None:
    assert house.ask(text) is None


IMPOSTORS = {
    "issuer A's key for issuer B": lambda: token(KEY, other_claims()),
    "issuer A's key for issuer B, with B's kid": lambda: token(KEY, other_claims(), kid="key-of-other"),
    "issuer A's key for issuer B, without a kid": lambda: token(KEY, other_claims(), kid=ABSENT),
    "issuer B's key for issuer A, with A's kid": lambda: token(OTHER_KEY, claims(), kid="key-1"),
}


@pytest.mark.parametrize("name", IMPOSTORS)
def test_the_key_of_one_issuer_does_not_sign_for_another(house: House, name: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        house.ask(IMPOSTORS[name]())
    assert caught.value.reason in (Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE)


def test_equal_kids_of_two_issuers_are_two_keys(house: House) -> None:
    mine, theirs = signing_key("ES256", "same"), signing_key("ES384", "same")
    house.own.document, house.other.document = jwks(mine), jwks(theirs)
    assert house.ask(token(mine))
    assert house.ask(token(theirs, other_claims()))
    with refused(Unauthenticated, Reason.ALGORITHM_NOT_ALLOWED):
        house.ask(token(mine, other_claims()))


UNKNOWN_ISSUERS: list[Any] = [
    "https://evil.example",
    ISSUER + "/",
    ISSUER.upper(),
    ISSUER[:-1],
    f" {ISSUER}",
    "",
    f"{ISSUER}\nrefused: reason=none",
    "\u202ehttps://x",
    "x" * 3000,
    [ISSUER],
    {ISSUER: 1},
    5,
    True,
    None,
    ABSENT,
]


@pytest.mark.parametrize("iss", UNKNOWN_ISSUERS, ids=lambda iss: "absent" if iss is ABSENT else f"{iss!a:.40}")
def test_an_unknown_issuer_causes_no_traffic(house: House, iss: Any) -> None:
    before = (house.own.fetches, house.other.fetches)
    text = token(KEY, claims(iss=iss), kid="new")
    with refused(Unauthenticated, Reason.UNKNOWN_ISSUER, *pieces_of(text)):
        house.ask(text)
    assert (house.own.fetches, house.other.fetches) == before


def test_the_log_names_an_unknown_issuer_escaped_and_cut(house: House) -> None:
    with pytest.raises(Unauthenticated) as caught:
        house.ask(token(KEY, claims(iss="https://evil.example\n" + "x" * 1000)))
    assert caught.value.detail.startswith('iss is "https://evil.example\\nxxx')
    assert len(caught.value.detail) < 300


def test_iss_twice_is_refused_before_it_routes(house: House) -> None:
    payload = b'{"iss":"' + ISSUER.encode() + b'","iss":"' + OTHER.encode() + b'"}'
    with refused(Unauthenticated, Reason.MALFORMED_TOKEN):
        house.ask(raw_token(KEY, b'{"alg":"ES256"}', payload))


def test_the_payload_is_not_read_where_the_header_is_refused(house: House) -> None:
    with refused(Unauthenticated, Reason.ALGORITHM_NOT_ALLOWED):
        house.ask(f"{b64(b'{}')}.{b64(b'no JSON')}.AAAA")


def test_the_first_request_with_a_new_key_succeeds(house: House) -> None:
    house.own.document = jwks(KEY, NEW_KEY)
    assert house.ask(token(NEW_KEY))
    assert (house.own.fetches, house.other.fetches) == (2, 1)
    assert house.ask(token(KEY))
    assert house.own.fetches == 2


def test_a_flood_of_unknown_kids_causes_one_fetch(house: House) -> None:
    for number in range(200):
        with refused(Unauthenticated, Reason.UNKNOWN_KEY):
            house.ask(token(KEY, kid=f"random-{number}"))
    assert house.own.fetches == 2
    assert house.ask(token(KEY))


def test_an_unknown_kid_while_the_issuer_is_down_is_no_fault_of_the_caller(house: House) -> None:
    house.own.document = None
    with refused(ProviderUnavailable, Reason.KEYS_UNAVAILABLE):
        house.ask(token(NEW_KEY))
    assert house.ask(token(KEY))
    assert house.ask(token(OTHER_KEY, other_claims()))


def test_an_issuer_that_never_answered(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.own.document = None
    for issuer in house.issuers:
        issuer.keys.start()
    try:
        with refused(ProviderUnavailable, Reason.KEYS_UNAVAILABLE):
            house.ask(token(KEY))
        assert house.ask(token(OTHER_KEY, other_claims()))  # one broken issuer does not concern the other
        with refused(Unauthenticated, Reason.ALGORITHM_NOT_ALLOWED):  # nor what no key could mend
            house.ask(token(KEY, alg="none"))
    finally:
        house.close()
    assert all(is_one_line(record.getMessage()) for record in caplog.records)


def test_without_waiting_it_says_that_it_would_have_to() -> None:
    house = House()  # not started: no keys yet
    with pytest.raises(WouldBlock):
        house.ask(token(KEY), wait=False)
    house.start()
    try:
        assert house.ask(token(KEY), wait=False)
        with pytest.raises(WouldBlock):
            house.ask(token(NEW_KEY), wait=False)
    finally:
        house.close()


def test_a_withdrawn_key_is_refused_and_takes_cached_decisions_with_it() -> None:
    generation, withdrawn = Generation(), threading.Event()

    def on_withdrawal() -> None:
        generation.advance()
        withdrawn.set()

    memory = MemoryIssuer(jwks(KEY))
    issuer = memory.trusted(on_withdrawal=on_withdrawal)
    oidc = OidcAuthenticator([issuer], NOBODY, clock=lambda: NOW)
    cache = CachingAuthenticator(oidc, size=9, ttl=300, generation=generation, clock=lambda: NOW)
    issuer.keys.start()
    try:
        assert cache.authenticate(credential_of(token(KEY)))
        memory.document = jwks(NEW_KEY)
        assert cache.authenticate(credential_of(token(NEW_KEY)))  # its unknown kid makes the new set be fetched
        assert withdrawn.wait(5)
        with refused(Unauthenticated, Reason.UNKNOWN_KEY):
            cache.authenticate(credential_of(token(KEY)))
    finally:
        issuer.keys.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "bob@example.com", "email_verified": True},
        {"email": "bob@example.com", "sub": "root"},  # an admin all the same
        {"email": "else@example.com"},
        {},
    ],
)
def test_no_warning_where_no_admin_is_missed(changes: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    house = House(Admins(anywhere=frozenset({"bob@example.com", "root"})))
    house.start()
    try:
        assert house.ask(token(KEY, claims(changes)))
    finally:
        house.close()
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []


def test_an_unverified_email_of_an_admin_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Admins(anywhere=frozenset({"bob@example.com"}), emails=frozenset({(OTHER, "eve@example.com")})))
    house.start()
    try:
        for _ in range(2):
            for text in (
                token(KEY, claims(email="bob@example.com")),
                token(KEY, claims(email="eve@example.com")),  # an admin at the other issuer only
                token(KEY, claims(email="bob@example.com", email_verified=True)),
                token(OTHER_KEY, other_claims(email="eve@example.com")),
            ):
                assert house.ask(text)
    finally:
        house.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [("bob@example.com" in line, f"issuer={OTHER}" in line) for line in warnings] == [
        (True, False),
        (False, True),
    ]
