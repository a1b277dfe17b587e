"""Tokens: good ones of every algorithm, and each row of ATTACKS.md's Token table that is decided here."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import Hostile, issuer_jwks, issuer_key, marked
from support.hostile_signatures import hostile_tokens
from support.refusals import pieces_of, refused
from support.tokens import (
    ABSENT,
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    NOW,
    claims,
    jwks,
    raw_token,
    signing_key,
    token,
)

from micromegas_auth import Reason, Unauthenticated
from micromegas_auth.keyset import parse_jwks
from micromegas_auth.policy import IssuerPolicy
from micromegas_auth.verify import accepted_audience, parse_token, verify_signature, verify_token

POLICY = IssuerPolicy(issuer=ISSUER, audiences=frozenset({AUDIENCE, "other-api"}))
KEYS = parse_jwks(issuer_jwks())
EC = issuer_key("ec")


def verify(text: str, policy: IssuerPolicy = POLICY, now: float = NOW) -> dict[str, Any]:
    return verify_token(parse_token(text), KEYS, policy, now)[0]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_good_token_of_each_algorithm(alg: str) -> None:
    key = signing_key(alg, "k")
    verified, kid = verify_token(parse_token(token(key)), parse_jwks(jwks(key)), POLICY, NOW)
    assert verified == claims()
    assert kid == "k"


@pytest.mark.parametrize("declared", ["EdDSA", "Ed25519", ABSENT])
@pytest.mark.parametrize("used", ["EdDSA", "Ed25519"])
def test_eddsa_and_ed25519_are_two_names_of_one_algorithm(used: str, declared: Any) -> None:
    key = signing_key("EdDSA", "k")
    assert verify_signature(token(key, alg=used), parse_jwks(jwks(key.jwk(alg=declared))))


@pytest.mark.parametrize("hostile", hostile_tokens(), ids=lambda hostile: hostile.name)
def test_a_hostile_token_is_refused(hostile: Hostile) -> None:
    with refused(Unauthenticated, hostile.reason, *pieces_of(hostile.token), "Zq9Marker"):
        verify(hostile.token)


@pytest.mark.parametrize(
    "iss", [[ISSUER], ISSUER.upper(), ISSUER + "/", ISSUER + " ", "", None, 5, {ISSUER: 1}, "other"]
)
def test_iss_is_the_exact_text(iss: Any) -> None:
    with refused(Unauthenticated, Reason.UNKNOWN_ISSUER):
        verify(token(EC, claims(iss=iss)))


def test_iss_must_be_there() -> None:
    with refused(Unauthenticated, Reason.MISSING_CLAIM):
        verify(token(EC, claims(iss=ABSENT)))


def test_an_alias_of_the_issuer_is_accepted_where_configured() -> None:
    slash = ISSUER + "/"
    policy = IssuerPolicy(issuer=ISSUER, audiences=POLICY.audiences, aliases=frozenset({slash}))
    assert verify(token(EC, claims(iss=slash)), policy)["iss"] == slash


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("character", [" ", "\n", "\r\n", "\t", "=", "\0", "é", "\u017f", "\ud800", "%41"])
def test_nothing_but_the_alphabet(part: int, character: str) -> None:
    parts = token(EC, marked()).split(".")
    for changed in (character + parts[part], parts[part][:7] + character + parts[part][7:], parts[part] + character):
        with refused(Unauthenticated, Reason.MALFORMED_TOKEN):
            verify(".".join([*parts[:part], changed, *parts[part + 1 :]]))


@pytest.mark.parametrize("text", ["", ".", "..", "...", ".." * 1000, "a", "eyJhbGciOiJFUzI1NiJ9"])
def test_what_is_no_token_at_all(text: str) -> None:
    with refused(Unauthenticated, Reason.MALFORMED_TOKEN):
        verify(text)


def test_a_kid_of_a_megabyte() -> None:
    with refused(Unauthenticated, Reason.MALFORMED_TOKEN):
        verify(token(EC, kid="k" * 1_000_000))


HEADER_DEEP = b'{"alg":"ES256","kid":"ec","x":' + b"[" * 100_000
COSTLY = {
    "100,000 levels": HEADER_DEEP,
    "100,000 levels, closed": HEADER_DEEP + b"]" * 100_000 + b"}",
    "a number of 100,000 digits": b'{"alg":"ES256","kid":"ec","x":' + b"9" * 100_000 + b"}",
    "brackets and escaped quotes": HEADER_DEEP[:100] + b'\\"' * 6_000,
    "brackets and a text without end": HEADER_DEEP[:100] + b'"' + b'\\"' * 6_000,
    "many texts": HEADER_DEEP[:100] + b'"",' * 4_000,
}


@pytest.mark.parametrize("name", COSTLY)
def test_hostile_json_is_refused_cheaply(name: str) -> None:
    text = raw_token(EC, COSTLY[name], b"{}")
    began = time.process_time()
    with refused(Unauthenticated, Reason.MALFORMED_TOKEN):
        parse_token(text)
    assert time.process_time() - began < 0.1  # the slowest takes 10 ms; nothing may be quadratic


def test_headers_of_unknown_origin_do_not_pile_up_in_memory() -> None:
    texts = [raw_token(EC, b'{"alg":"ES256","n":%d,"x":[%s]}' % (n, b"[]," * 1600 + b"[]"), b"{}") for n in range(50)]
    tracemalloc.start()
    try:
        for text in texts:
            parse_token(text)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000  # each token of 7 KiB is some 100 KiB once it is parsed


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"])
def test_the_types_that_are_accepted(typ: Any) -> None:
    assert verify(token(EC, typ=typ)) == claims()


@pytest.mark.parametrize(
    ("require_typ", "typ", "accepted"),
    [
        ("at+jwt", "at+jwt", True),
        ("at+jwt", "application/at+jwt", True),
        ("at+jwt", "JWT", False),
        ("at+jwt", ABSENT, False),
        ("JWT", "jwt", True),
        ("JWT", "at+jwt", False),
        ("JWT", ABSENT, False),
    ],
)
def test_an_issuer_can_demand_a_type(require_typ: str, typ: Any, accepted: bool) -> None:
    policy = IssuerPolicy(issuer=ISSUER, audiences=POLICY.audiences, require_typ=require_typ)
    if accepted:
        assert verify(token(EC, typ=typ), policy)
    else:
        with refused(Unauthenticated, Reason.UNSUPPORTED_TYPE):
            verify(token(EC, typ=typ), policy)


def test_an_issuer_can_narrow_the_algorithms() -> None:
    policy = IssuerPolicy(issuer=ISSUER, audiences=POLICY.audiences, algorithms=frozenset({"RS256"}))
    assert verify(token(issuer_key("rsa")), policy)
    with refused(Unauthenticated, Reason.ALGORITHM_NOT_ALLOWED):
        verify(token(EC), policy)


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "nonce"])
def test_a_good_token_may_name_keys_and_they_are_not_looked_at(name: str) -> None:
    assert verify(token(EC, None, **{name: "https://127.0.0.1:1/"})) == claims()


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["else", AUDIENCE], ["else", "other-api", AUDIENCE]])
def test_one_of_the_audiences_is_enough(aud: Any) -> None:
    verified = verify(token(EC, claims(aud=aud)))
    assert accepted_audience(verified, POLICY) == ("other-api" if "other-api" in aud else AUDIENCE)


@pytest.mark.parametrize("sub", ["x", "x" * 255, "Zoë Åström", "用户", "\U0001f600", "a@b.c", "auth0|5", 'o\'neil "x"'])
def test_subjects_that_people_have(sub: str) -> None:
    assert verify(token(EC, claims(sub=sub)))["sub"] == sub


# leeway, claim, seconds from NOW, and why it is refused (RFC 7519 4.1.4: "on or after" the expiry)
CLOCK_SKEW = [
    (60, "exp", -59, None),
    (60, "exp", -60, Reason.EXPIRED),
    (0, "exp", 1, None),
    (0, "exp", 0, Reason.EXPIRED),
    (300, "exp", -299, None),
    (60, "nbf", 60, None),
    (60, "nbf", 60.5, Reason.NOT_YET_VALID),
    (0, "nbf", 0, None),
    (0, "nbf", 0.5, Reason.NOT_YET_VALID),
    (60, "iat", 60, None),
    (60, "iat", 60.5, Reason.NOT_YET_VALID),
    (300, "iat", 300, None),
]


@pytest.mark.parametrize(("leeway", "name", "offset", "reason"), CLOCK_SKEW)
def test_leeway(leeway: float, name: str, offset: float, reason: Reason | None) -> None:
    policy = IssuerPolicy(issuer=ISSUER, audiences=POLICY.audiences, leeway=leeway)
    text = token(EC, claims({name: NOW + offset}))
    if reason is None:
        assert verify(text, policy)
    else:
        with refused(Unauthenticated, reason):
            verify(text, policy)


def test_fractions_of_a_second_and_missing_times_are_fine() -> None:
    assert verify(token(EC, claims(exp=NOW + 0.25, nbf=NOW - 0.25, iat=ABSENT)), now=NOW)


def test_without_a_kid_at_most_eight_keys_that_fit_are_tried() -> None:
    keys = [signing_key("ES256", str(number)) for number in range(9)]
    document = jwks(*(key.jwk(kid=ABSENT) for key in keys[:4]), issuer_key("rsa"), *(key.jwk() for key in keys[4:]))
    key_set = parse_jwks(document)
    for key in keys[:8]:
        assert verify_signature(token(key, kid=ABSENT), key_set)
    with refused(Unauthenticated, Reason.BAD_SIGNATURE):
        verify_signature(token(keys[8], kid=ABSENT), key_set)
    assert verify_signature(token(keys[8]), key_set)


def test_without_a_kid_and_without_a_key_that_fits() -> None:
    with refused(Unauthenticated, Reason.ALGORITHM_NOT_ALLOWED):
        verify_signature(token(EC, kid=ABSENT), parse_jwks(jwks(issuer_key("rsa"))))
    with refused(Unauthenticated, Reason.UNKNOWN_KEY):
        verify_signature(token(EC, kid=ABSENT), parse_jwks(jwks()))


def test_a_key_without_kid_does_not_stand_for_a_named_one() -> None:
    with refused(Unauthenticated, Reason.UNKNOWN_KEY):
        verify_signature(token(EC), parse_jwks(jwks(EC.jwk(kid=ABSENT))))


def test_verify_signature_returns_the_bytes_whatever_they_are() -> None:
    assert verify_signature(raw_token(EC, b'{"alg":"ES256","kid":"ec"}', b"\xff no JSON"), KEYS) == b"\xff no JSON"


GOOD = token(EC)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
header_names = (
    st.sampled_from(["alg", "kid", "typ", "cty", "zip", "crit", "b64", "jwk", "jku", "x5c", "x5u"]) | st.text()
)
claim_names = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "email", "groups"]) | st.text()


@given(st.integers(0, len(GOOD)), st.integers(0, 8), st.text(max_size=8))
def test_any_other_text_is_refused(start: int, removed: int, inserted: str) -> None:
    changed = GOOD[:start] + inserted + GOOD[start + removed :]
    if changed != GOOD:
        with pytest.raises(Unauthenticated):
            verify(changed)


@given(st.dictionaries(header_names, json_values, max_size=3), st.dictionaries(claim_names, json_values, max_size=3))
def test_nothing_but_an_auth_error_comes_out(header: dict[str, Any], changes: dict[str, Any]) -> None:
    text = token(EC, claims(changes), **header)
    try:
        verified = verify(text)
    except Unauthenticated:
        return
    assert json.dumps(verified) == json.dumps(claims(changes))
