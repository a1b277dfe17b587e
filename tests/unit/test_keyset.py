"""A JWK Set, key by key: whatever one key is, the others live."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokens import ABSENT, ALGORITHMS, b64, jwks, signing_key, token

from micromegas_auth import Reason, Unauthenticated
from micromegas_auth.keyset import KeySet, parse_jwks
from micromegas_auth.verify import verify_signature

GOOD = signing_key("ES256", "good")
RSA = signing_key("RS256", "rsa")
ED = signing_key("EdDSA", "ed")
SECRET = "Zq9Marker"


def beside_good(*bad: Any) -> KeySet:
    """The set of these keys and a good one, which must work."""
    keys = parse_jwks(jwks(*bad, GOOD))
    assert verify_signature(token(GOOD), keys)
    assert [key.kid for key in keys.keys].count("good") == 1
    return keys


def octets(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def rsa_jwk(bits: int = 2048, exponent: int = 65537, last_bit: int = 1) -> dict[str, Any]:
    return {"kty": "RSA", "kid": "bad", "n": octets((1 << (bits - 1)) | last_bit), "e": octets(exponent)}


BAD_KEYS: dict[str, Any] = {
    "null": None,
    "a text": SECRET,
    "a number": 5,
    "a list": [],
    "empty": {},
    "use enc": RSA.jwk(use="enc"),
    "use null": RSA.jwk(use=None),
    "use a list": RSA.jwk(use=["sig"]),
    "use something": RSA.jwk(use=SECRET),
    "key_ops without verify": RSA.jwk(key_ops=["sign", "encrypt"]),
    "key_ops empty": RSA.jwk(key_ops=[]),
    "key_ops a text": RSA.jwk(key_ops="verify"),
    "key_ops null": RSA.jwk(key_ops=None),
    "symmetric": {"kty": "oct", "kid": "bad", "alg": "HS256", "k": b64(b"secret" * 8)},
    "symmetric without k": {"kty": "oct", "kid": "bad"},
    **{
        f"private {name}": RSA.jwk(**{name: b64(SECRET.encode())})
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
    },
    "private EC": {**signing_key("ES384", "p").private.as_dict(private=True), "kid": "bad"},
    "private OKP": {**ED.private.as_dict(private=True), "kid": "bad"},
    "unknown kty": {"kty": SECRET, "kid": "bad"},
    "kty missing": RSA.jwk(kty=ABSENT),
    "kty in another case": RSA.jwk(kty="rsa"),
    "kty a list": RSA.jwk(kty=["RSA"]),
    "kty AKP": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
    "alg of another type": RSA.jwk(alg="ES256"),
    "alg symmetric": RSA.jwk(alg="HS256"),
    "alg none": RSA.jwk(alg="none"),
    "alg for encryption": RSA.jwk(alg="RSA-OAEP", use=ABSENT),
    "alg unknown": RSA.jwk(alg=SECRET),
    "alg a list": RSA.jwk(alg=["RS256"]),
    "alg of another curve": signing_key("ES384", "p").jwk(alg="ES256"),
    "alg EC on OKP": ED.jwk(alg="ES256"),
    "curve secp256k1": signing_key("ES256", "p").jwk(crv="secp256k1", alg=ABSENT),
    "curve Ed448": ED.jwk(crv="Ed448", alg=ABSENT, x=b64(bytes(57))),
    "curve X25519": ED.jwk(crv="X25519", alg=ABSENT),
    "curve of another type": ED.jwk(crv="P-256", alg=ABSENT),
    "curve missing": ED.jwk(crv=ABSENT),
    "curve a list": ED.jwk(crv=["Ed25519"]),
    "point not on the curve": signing_key("ES256", "p").jwk(x=signing_key("ES256", "q").jwk()["x"]),
    "point at infinity": signing_key("ES256", "p").jwk(x=b64(bytes(32)), y=b64(bytes(32))),
    "point of another curve": signing_key("ES384", "p").jwk(crv="P-256", alg=ABSENT),
    "coordinate missing": signing_key("ES256", "p").jwk(y=ABSENT),
    "coordinate short": signing_key("ES256", "p").jwk(y="AA"),
    "coordinate no text": signing_key("ES256", "p").jwk(x=5),
    "coordinate no base64url": signing_key("ES256", "p").jwk(x="\u20ac" * 43),
    "OKP too short": ED.jwk(x=b64(bytes(31))),
    "OKP too long": ED.jwk(x=b64(bytes(33))),
    "OKP x null": ED.jwk(x=None),
    "modulus missing": RSA.jwk(n=ABSENT),
    "modulus empty": RSA.jwk(n=""),
    "modulus a number": RSA.jwk(n=5),
    "modulus 0": RSA.jwk(n="AA"),
    "exponent missing": RSA.jwk(e=ABSENT),
    "exponent a list": RSA.jwk(e=["AQAB"]),
    "kid a number": RSA.jwk(kid=5),
    "kid a list": RSA.jwk(kid=["rsa"]),
    "kid empty": RSA.jwk(kid=""),
    "kid of 1025 characters": RSA.jwk(kid="k" * 1025),
    "RSA of 1024 bits": rsa_jwk(1024),
    "RSA of 2047 bits": rsa_jwk(2047),
    "RSA of 8193 bits": rsa_jwk(8193),
    "RSA of 8200 bits": rsa_jwk(8200),
    "RSA of 100,000 bits": rsa_jwk(100_000),
    "RSA with an even modulus": rsa_jwk(last_bit=2),
    **{
        f"RSA with e = {e}": rsa_jwk(exponent=e)
        for e in (0, 1, 2, 3, 17, 65535, 65536, 65538, 2**33, 2**33 + 1, 2**64 + 1)
    },
    "RSA with e beyond n": rsa_jwk(exponent=2**2048 + 1),
}


@pytest.mark.parametrize("name", BAD_KEYS)
@pytest.mark.parametrize("position", [0, 1])
def test_a_bad_key_is_skipped_with_a_reason_and_the_others_live(name: str, position: int) -> None:
    bad = BAD_KEYS[name]
    keys = parse_jwks(jwks(*([bad, GOOD] if position == 0 else [GOOD, bad])))
    assert verify_signature(token(GOOD), keys)
    assert [key.kid for key in keys.keys] == ["good"]
    (skipped,) = keys.skipped
    assert skipped.index == position
    assert skipped.reason
    assert SECRET not in skipped.reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("null", "not an object"),
        ("use enc", "use is not 'sig'"),
        ("key_ops empty", "key_ops is without 'verify'"),
        ("private d", "holds a private or symmetric key"),
        ("symmetric", "holds a private or symmetric key"),
        ("symmetric without k", "kty or crv is not supported"),
        ("kty a list", "kty or crv is not supported"),
        ("curve Ed448", "kty or crv is not supported"),
        ("alg symmetric", "alg does not fit the key's type"),
        ("kid a number", "kid is not a text of 1 to 1024 characters"),
        ("RSA of 2047 bits", "RSA key of less than 2048 or more than 8192 bits"),
        ("RSA with an even modulus", "RSA modulus is even"),
        ("RSA with e = 3", "RSA exponent is even, below 65537 or above 2^33"),
        ("point not on the curve", "malformed (ValueError)"),
    ],
)
def test_the_reason_tells_an_operator_what_to_mend(name: str, reason: str) -> None:
    assert [skipped.reason for skipped in parse_jwks(jwks(BAD_KEYS[name])).skipped] == [reason]


@pytest.mark.parametrize("bits", [2048, 2049, 3072, 8191, 8192])
@pytest.mark.parametrize("exponent", [65537, 65539, 2**33 - 1])
def test_rsa_keys_within_the_bounds(bits: int, exponent: int) -> None:
    # An odd number will do: nobody can tell, without factoring it, that it is no product of two primes.
    keys = beside_good(rsa_jwk(bits, exponent))
    assert not keys.skipped
    with pytest.raises(Unauthenticated) as caught:  # and verifying with it does nothing worse than fail
        verify_signature(token(RSA, kid="bad"), keys)
    assert caught.value.reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_a_key_is_for(alg: str) -> None:
    key = signing_key(alg, "k")
    (parsed,) = parse_jwks(jwks(key)).keys
    assert parsed.algorithms == ({"EdDSA", "Ed25519"} if alg in ("EdDSA", "Ed25519") else {alg})
    (undeclared,) = parse_jwks(jwks(key.jwk(alg=ABSENT, use=ABSENT))).keys
    same_type = {name for name in ALGORITHMS if signing_key(name, "k").private is key.private}
    assert undeclared.algorithms == same_type
    assert (parsed.kid, parsed.kty) == ("k", key.jwk()["kty"])


def test_unknown_members_and_allowed_operations_do_not_matter() -> None:
    keys = parse_jwks(jwks(RSA.jwk(key_ops=["verify", "sign"], x5c=["?"], x5t=5, nbf=1, **{"x-own": None})))
    assert len(keys.keys) == 1


def test_two_keys_of_one_kid_and_type_are_both_skipped() -> None:
    one, other = signing_key("RS256", "a"), signing_key("RS256", "b")
    keys = beside_good(one.jwk(kid="same"), other.jwk(kid="same"), one.jwk(kid="same"))
    assert sorted(skipped.index or 0 for skipped in keys.skipped) == [0, 1, 2]
    assert "same" not in keys.by_kid


def test_two_curves_are_one_type() -> None:
    keys = beside_good(signing_key("ES256", "a").jwk(kid="same"), signing_key("ES384", "a").jwk(kid="same"))
    assert len(keys.skipped) == 2


def test_one_key_for_two_algorithms_under_one_kid_is_ambiguous() -> None:
    assert len(beside_good(RSA.jwk(alg="RS256"), RSA.jwk(alg="PS256")).skipped) == 2


def test_an_identical_key_counts_once() -> None:
    keys = beside_good(RSA.jwk(), RSA.jwk(x5t="differs in what does not matter"))
    assert not keys.skipped
    assert [key.kid for key in keys.keys] == ["rsa", "good"]


def test_another_type_may_share_the_kid() -> None:
    keys = beside_good(RSA.jwk(kid="same"), ED.jwk(kid="same"))
    assert not keys.skipped
    assert verify_signature(token(RSA, kid="same"), keys)
    assert verify_signature(token(ED, kid="same"), keys)


def test_a_key_that_is_not_usable_conflicts_with_none() -> None:
    keys = beside_good(RSA.jwk(use="enc"), signing_key("RS256", "other").jwk(kid="rsa"))
    assert [skipped.index for skipped in keys.skipped] == [0]
    assert "rsa" in keys.by_kid


def test_keys_without_kid_do_not_conflict() -> None:
    one, other = signing_key("RS256", "a").jwk(kid=ABSENT), signing_key("RS256", "b").jwk(kid=None)
    keys = beside_good(one, other, one)
    assert not keys.skipped
    assert [key.kid for key in keys.keys] == [None, None, "good"]


@pytest.mark.parametrize(
    "document",
    [None, 5, "keys", [], [GOOD.jwk()], {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"Keys": []}, GOOD.jwk()],
)
def test_what_is_no_jwk_set(document: Any) -> None:
    keys = parse_jwks(document)
    assert (keys.keys, dict(keys.by_kid)) == ((), {})
    (skipped,) = keys.skipped
    assert skipped.index is None


def test_an_empty_set_is_empty() -> None:
    assert parse_jwks({"keys": []}) == KeySet((), (), {})


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50)
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
members = st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "crv", "n", "e", "x", "y", "d", "k"])
mutated_keys = st.builds(
    lambda key, changes: {**key.jwk(), **changes},
    st.sampled_from([RSA, ED, signing_key("ES256", "p"), signing_key("ES512", "q")]),
    st.dictionaries(members, json_values | st.just(ABSENT), min_size=1, max_size=3),
).map(lambda jwk: {name: value for name, value in jwk.items() if value is not ABSENT})


@given(st.lists(mutated_keys | json_values, max_size=4))
def test_good_keys_go_on_working_beside_any_others(others: list[Any]) -> None:
    keys = beside_good(*others)
    assert all(skipped.reason.isprintable() for skipped in keys.skipped)


@given(json_values | st.dictionaries(st.just("keys"), json_values))
def test_it_never_raises(document: Any) -> None:
    assert isinstance(parse_jwks(document), KeySet)
