"""The public keys of one issuer: a JWK Set (RFC 7517) made into an immutable KeySet, key by key.

A key that we will not use is skipped with a reason, and the others live: one bad key must not lock everybody out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

MAX_KID_LENGTH = 1024
_RSA_BITS = range(2048, 8192 + 1)
_RSA_EXPONENTS = range((1 << 16) + 1, (1 << 33) + 1, 2)  # FIPS 186-5 section 5.4 has e odd and above 2^16
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# What each algorithm verifies with, and the kind of key it takes: (kty, crv).
_VERIFIERS: dict[str, tuple[tuple[str, str | None], Algorithm]] = {
    "RS256": (("RSA", None), RSAAlgorithm(RSAAlgorithm.SHA256)),
    "RS384": (("RSA", None), RSAAlgorithm(RSAAlgorithm.SHA384)),
    "RS512": (("RSA", None), RSAAlgorithm(RSAAlgorithm.SHA512)),
    "PS256": (("RSA", None), RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256)),
    "PS384": (("RSA", None), RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384)),
    "PS512": (("RSA", None), RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512)),
    "ES256": (("EC", "P-256"), ECAlgorithm(ECAlgorithm.SHA256)),
    "ES384": (("EC", "P-384"), ECAlgorithm(ECAlgorithm.SHA384)),
    "ES512": (("EC", "P-521"), ECAlgorithm(ECAlgorithm.SHA512)),
    "EdDSA": (("OKP", "Ed25519"), OKPAlgorithm()),
    "Ed25519": (("OKP", "Ed25519"), OKPAlgorithm()),  # RFC 9864 section 2.2: the same algorithm by its new name
}

# The y coordinates, little-endian and without the sign bit, of the Ed25519 points whose order divides 8, and of their
# second encodings: under such a key one signature fits many messages (RFC 8032 section 8.4; "Taming the many EdDSAs").
_ED25519_P = 2**255 - 19
_ED25519_ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset(
    {0, 1, _ED25519_ORDER_8_Y, _ED25519_P - _ED25519_ORDER_8_Y, _ED25519_P - 1, _ED25519_P, _ED25519_P + 1}
)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key, and the algorithms it may be used with.

    Attributes:
        kid: Its key id, None where the set gives none.
        kty: Its type: RSA, EC or OKP.
        algorithms: The values of `alg` it verifies (RFC 8725 section 3.1: the algorithm is bound to the key).
        public_key: The key as `cryptography` holds it.
        encoded: The key in DER, by which two keys are told apart.
    """

    kid: str | None
    kty: str
    algorithms: frozenset[str]
    public_key: Any = field(compare=False)
    encoded: bytes

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether `signature` over `signing_input` is this key's. `algorithm` must be one of `algorithms`."""
        return _VERIFIERS[algorithm][1].verify(signing_input, self.public_key, signature)


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """A key that is not used.

    Attributes:
        index: Its place in the set, from 0; None where the whole document is meant.
        reason: Why.
    """

    index: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer. Immutable.

    Attributes:
        keys: All of them, in the order of the document.
        skipped: What was left out, and why.
        by_kid: The same keys by their kid; several only where they differ in `kty` (RFC 7517 section 4.5).
    """

    keys: tuple[VerificationKey, ...]
    skipped: tuple[SkippedKey, ...]
    by_kid: Mapping[str, tuple[VerificationKey, ...]]


class _Unusable(Exception):
    """Why a key is skipped."""


def parse_jwks(document: object) -> KeySet:
    """Make a KeySet of a parsed JWK Set document (RFC 7517 section 5). Never raises.

    Skipped are: private or symmetric keys, keys not meant for verifying (`use`, `key_ops`), of an unknown type or
    curve, RSA keys that are weak or too large, Ed25519 points of small order, keys whose `alg` does not fit their type,
    and two different keys of one type under one `kid`, since nobody can say which is meant.

    Args:
        document: What `json.loads` made of it. Where it is no JWK Set, the result is empty and `skipped` says so.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return KeySet((), (SkippedKey(None, "not a JWK Set: no list under 'keys'"),), {})
    skipped: list[SkippedKey] = []
    usable: list[tuple[int, VerificationKey]] = []
    for index, jwk in enumerate(entries):
        try:
            usable.append((index, _parse_key(jwk)))
        except _Unusable as error:
            skipped.append(SkippedKey(index, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever a parser makes of one key, the other keys live
            skipped.append(SkippedKey(index, f"malformed ({type(error).__name__})"))
    keys = _without_conflicts(usable, skipped)
    by_kid: dict[str, tuple[VerificationKey, ...]] = {}
    for key in keys:
        if key.kid is not None:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
    return KeySet(keys, tuple(skipped), by_kid)


def _parse_key(jwk: object) -> VerificationKey:
    if not isinstance(jwk, dict):
        raise _Unusable("not an object")
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_LENGTH):
        raise _Unusable("kid is not a text of 1 to 1024 characters")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _Unusable("holds a private or symmetric key")
    if jwk.get("use", "sig") != "sig":
        raise _Unusable("use is not 'sig'")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Unusable("key_ops is without 'verify'")

    kty, crv = jwk.get("kty"), jwk.get("crv")
    kind = (kty, None) if kty == "RSA" else (kty, crv)
    algorithms = frozenset(name for name, (takes, _) in _VERIFIERS.items() if takes == kind)
    if not isinstance(kty, str) or not algorithms:
        raise _Unusable("kty or crv is not supported")
    if (declared := jwk.get("alg")) is not None:
        # EdDSA and Ed25519 are two names of one algorithm, so either binds the key to both.
        if declared not in algorithms:
            raise _Unusable("alg does not fit the key's type")
        if kty != "OKP":
            algorithms = frozenset({declared})
    public_key = _public_key(kty, jwk)
    encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(kid, kty, algorithms, public_key, encoded)


def _public_key(kty: str, jwk: dict[str, Any]) -> Any:
    if kty == "EC":
        return ECAlgorithm.from_jwk(jwk)  # checks that the point lies on the curve
    if kty == "OKP":
        ed25519 = cast("Ed25519PublicKey", OKPAlgorithm.from_jwk(jwk))  # private members were refused above
        if int.from_bytes(ed25519.public_bytes_raw(), "little") & ((1 << 255) - 1) in _SMALL_ORDER_Y:
            raise _Unusable("Ed25519 point of small order")
        return ed25519
    rsa = cast("RSAPublicKey", RSAAlgorithm.from_jwk(jwk))
    numbers = rsa.public_numbers()
    if rsa.key_size not in _RSA_BITS:
        raise _Unusable("RSA key of less than 2048 or more than 8192 bits")
    if numbers.n % 2 == 0:
        raise _Unusable("RSA modulus is even")
    if numbers.e not in _RSA_EXPONENTS:
        raise _Unusable("RSA exponent is even, below 65537 or above 2^33")
    return rsa


def _without_conflicts(
    usable: list[tuple[int, VerificationKey]], skipped: list[SkippedKey]
) -> tuple[VerificationKey, ...]:
    """The keys but for those that share kid and type with another; exact repetitions count once."""
    groups: dict[tuple[object, ...], list[tuple[int, VerificationKey]]] = {}
    for index, key in usable:
        # Keys without a kid are all tried, so they cannot be confused: only their repetitions fall together.
        groups.setdefault((key.kid, key.kty) if key.kid is not None else (None, key.encoded), []).append((index, key))
    kept: list[VerificationKey] = []
    for group in groups.values():
        first = group[0][1]
        if all((key.encoded, key.algorithms) == (first.encoded, first.algorithms) for _, key in group):
            kept.append(first)
        else:
            skipped.extend(SkippedKey(index, "another key of this type has the same kid") for index, _ in group)
    return tuple(kept)
