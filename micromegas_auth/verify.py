"""A signed JWT in compact form, taken apart strictly and checked: RFC 7515, RFC 7519 and the advice of RFC 8725.

Everything read from a token before its signature has passed is called `unverified_*`. Nothing here does I/O or looks at
a clock.
"""

from typing import Any

import msgspec
import pybase64

from micromegas_auth import strict_json
from micromegas_auth.errors import Reason, Unauthenticated
from micromegas_auth.keyset import MAX_KID_LENGTH, KeySet, VerificationKey
from micromegas_auth.policy import ALGORITHMS, IssuerPolicy
from micromegas_auth.text import is_safe

MAX_SUBJECT_LENGTH = 255  # OIDC Core section 2
MAX_TIME = 253402300799.0  # the year 9999: a time in milliseconds lies far beyond it
MAX_KEYS_WITHOUT_KID = 8
MAX_REMEMBERED_HEADERS = 256

_NUMBERS = (int, float)
# The last character of a canonical text whose length is 2 or 3 modulo 4: its 4 or 2 spare bits are zero (RFC 4648 3.5).
_CANONICAL_LAST = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_PADDING = {2: b"==", 3: b"="}

# All tokens of one key have the same header, so its parsed form is kept; only of tokens whose signature has passed, so
# that strangers can fill no memory.
_verified_headers: dict[bytes, dict[str, Any]] = {}

# RFC 7519 section 5.1 and RFC 9068 section 2.1; RFC 7515 section 4.1.9 lets "application/" be left out.
_TYPES = {"jwt": "jwt", "at+jwt": "at+jwt", "application/at+jwt": "at+jwt"}


class UnverifiedToken(msgspec.Struct):
    """The parts of a token whose signature has not been checked.

    Attributes:
        unverified_header: The header; `alg` and `kid` have been checked for their form. Not to be changed: tokens
            with the same header share it.
        unverified_payload: The payload's bytes.
        signing_input: What the signature is over (RFC 7515 section 5.1).
        signature: The signature's bytes.
        encoded_header: The header as it came.
    """

    unverified_header: dict[str, Any]
    unverified_payload: bytes
    signing_input: bytes
    signature: bytes
    encoded_header: bytes
    _claims: dict[str, Any] | None = None

    @property
    def unverified_claims(self) -> dict[str, Any]:
        """The claims as they stand in the token. Raises Unauthenticated (MALFORMED_TOKEN)."""
        if self._claims is None:
            self._claims = _json_object(self.unverified_payload, "claims")
        return self._claims


def parse_token(token: str) -> UnverifiedToken:
    """Take a JWS in compact form apart (RFC 7515 section 7.1), without checking its signature.

    Raises:
        Unauthenticated: MALFORMED_TOKEN, UNSUPPORTED_HEADER or ALGORITHM_NOT_ALLOWED.
    """
    try:
        raw = token.encode("ascii")
    except UnicodeEncodeError:
        raise _malformed("not ASCII") from None
    # The decoder takes the letters of plain base64 as well; whatever else is foreign, it refuses.
    if b"+" in raw or b"/" in raw or b"=" in raw:
        raise _malformed("not base64url")
    parts = raw.split(b".")
    if len(parts) != 3:
        # Five parts are a JWE (RFC 7516 section 7.1), which we have no key for.
        raise _malformed(f"{len(parts)} parts instead of 3")
    encoded_header, encoded_payload, encoded_signature = parts
    header = _verified_headers.get(encoded_header)
    if header is None:
        header = _json_object(_decode(encoded_header), "header")
        _check_header(header)
    signing_input = raw[: len(encoded_header) + 1 + len(encoded_payload)]
    return UnverifiedToken(header, _decode(encoded_payload), signing_input, _decode(encoded_signature), encoded_header)


def verify_signature(token: str, keys: KeySet) -> bytes:
    """Check the signature of a JWS in compact form against the keys of one issuer.

    Args:
        token: The compact form.
        keys: Where to find the key: the one with the token's `kid`; without one, those that fit its `alg`, at most 8.

    Returns:
        The payload, which need not be JSON.

    Raises:
        Unauthenticated: MALFORMED_TOKEN, UNSUPPORTED_HEADER, ALGORITHM_NOT_ALLOWED, UNKNOWN_KEY or BAD_SIGNATURE.
    """
    parsed = parse_token(token)
    check_signature(parsed, keys)
    return parsed.unverified_payload


def check_signature(token: UnverifiedToken, keys: KeySet) -> VerificationKey:
    """The key that verifies `token`. Raises Unauthenticated: ALGORITHM_NOT_ALLOWED, UNKNOWN_KEY or BAD_SIGNATURE."""
    algorithm, kid = token.unverified_header["alg"], token.unverified_header.get("kid")
    candidates = keys.keys if kid is None else keys.by_kid.get(kid, ())
    if not candidates:
        raise Unauthenticated(Reason.UNKNOWN_KEY, "no key with this kid" if kid is not None else "no keys")
    tried = 0
    for key in candidates:
        # RFC 8725 section 3.1: what a key may be used for is the key's to say, not the token's.
        if algorithm not in key.algorithms:
            continue
        if key.verifies(algorithm, token.signing_input, token.signature):
            _remember_header(token)
            return key
        tried += 1
        if tried == MAX_KEYS_WITHOUT_KID:
            break
    if tried == 0:
        raise Unauthenticated(Reason.ALGORITHM_NOT_ALLOWED, "alg does not fit the key")
    raise Unauthenticated(Reason.BAD_SIGNATURE)


def check_type(token: UnverifiedToken, policy: IssuerPolicy) -> None:
    """Check `typ`, `alg`, `cty` and `zip` against the policy. Raises Unauthenticated."""
    header = token.unverified_header
    if header["alg"] not in policy.algorithms:
        raise Unauthenticated(Reason.ALGORITHM_NOT_ALLOWED, "alg is not among the issuer's algorithms")
    for name in ("zip", "cty"):  # compression, and a JWT nested in a JWT (RFC 7519 section 5.2): neither is used here
        if name in header:
            raise Unauthenticated(Reason.UNSUPPORTED_HEADER, f"header {name}")
    # RFC 8725 section 3.11: a logout token or a DPoP proof is signed by the same keys and must not pass for this.
    typ = header.get("typ")
    kind = _TYPES.get(typ.lower()) if isinstance(typ, str) else None
    if ("typ" in header and kind is None) or (policy.require_typ is not None and kind != policy.require_typ.lower()):
        raise Unauthenticated(Reason.UNSUPPORTED_TYPE, "typ is not the type of an access or ID token")


def check_claims(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    """Check the registered claims of a token whose signature has passed (RFC 7519 section 4.1).

    Args:
        claims: The claims.
        policy: What the issuer's tokens must satisfy.
        now: The time, in seconds since the epoch.

    Raises:
        Unauthenticated: MISSING_CLAIM, MALFORMED_CLAIM, UNKNOWN_ISSUER, WRONG_AUDIENCE, EXPIRED or NOT_YET_VALID.
    """
    for check in CLAIM_CHECKS:
        check(claims, policy, now)


def _check_issuer(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    issuer = claims.get("iss")
    if issuer == policy.issuer:
        return
    if not isinstance(_required(claims, "iss"), str) or issuer not in policy.aliases:
        raise Unauthenticated(Reason.UNKNOWN_ISSUER, "iss is not the issuer of the key")


def _check_subject(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    subject = claims.get("sub")
    if subject is None:
        _required(claims, "sub")
    if not isinstance(subject, str) or not is_safe(subject, MAX_SUBJECT_LENGTH):
        raise Unauthenticated(Reason.MALFORMED_CLAIM, "sub")


def _check_audience(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    accepted_audience(claims, policy)


def _check_expiry(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    if now >= _time(_required(claims, "exp"), "exp") + policy.leeway:
        raise Unauthenticated(Reason.EXPIRED)


def _check_beginning(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    latest = now + policy.leeway
    if "nbf" in claims and latest < _time(claims["nbf"], "nbf"):
        raise Unauthenticated(Reason.NOT_YET_VALID, "nbf")
    if "iat" in claims and latest < _time(claims["iat"], "iat"):
        raise Unauthenticated(Reason.NOT_YET_VALID, "iat")


# In the order they are made.
CLAIM_CHECKS = (_check_issuer, _check_subject, _check_audience, _check_expiry, _check_beginning)


def accepted_audience(claims: dict[str, Any], policy: IssuerPolicy) -> str:
    """The first member of `aud` that the policy accepts (RFC 7519 section 4.1.3). Raises Unauthenticated."""
    audience = claims.get("aud")
    if isinstance(audience, str) and audience in policy.audiences:
        return audience
    audience = _required(claims, "aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in audiences):
        raise Unauthenticated(Reason.MALFORMED_CLAIM, "aud")
    for member in audiences:
        if member in policy.audiences:
            return str(member)
    raise Unauthenticated(Reason.WRONG_AUDIENCE)


def verify_token(
    token: UnverifiedToken, keys: KeySet, policy: IssuerPolicy, now: float
) -> tuple[dict[str, Any], str | None]:
    """Everything a token must pass, in one order: type, signature, claims.

    Args:
        token: From `parse_token`.
        keys: The keys of the issuer that `policy` is for.
        policy: What its tokens must satisfy.
        now: The time, in seconds since the epoch.

    Returns:
        The claims, and the kid of the key that verified them.

    Raises:
        Unauthenticated: With the Reason of the first check that failed.
    """
    check_type(token, policy)
    key = check_signature(token, keys)
    claims = token.unverified_claims  # verified by now
    check_claims(claims, policy, now)
    return claims, key.kid


def _remember_header(token: UnverifiedToken) -> None:
    if token.encoded_header not in _verified_headers:
        if len(_verified_headers) >= MAX_REMEMBERED_HEADERS:
            _verified_headers.clear()
        _verified_headers[token.encoded_header] = token.unverified_header


def _check_header(header: dict[str, Any]) -> None:
    for name in ("crit", "b64"):  # RFC 7515 section 4.1.11 and RFC 7797: we understand no extension
        if name in header:
            raise Unauthenticated(Reason.UNSUPPORTED_HEADER, f"header {name}")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated(Reason.ALGORITHM_NOT_ALLOWED, "alg is none, symmetric or unknown")
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_LENGTH):
        raise _malformed("kid is not a text of 1 to 1024 characters")


def _required(claims: dict[str, Any], name: str) -> Any:
    if name not in claims:
        raise Unauthenticated(Reason.MISSING_CLAIM, name)
    return claims[name]


def _time(value: Any, name: str) -> float:
    # RFC 7519 section 2, NumericDate. The type itself, as a bool is an int in Python; a NaN fails the comparison.
    if type(value) not in _NUMBERS or not 0 <= value <= MAX_TIME:
        raise Unauthenticated(Reason.MALFORMED_CLAIM, name)
    return float(value)


def _decode(segment: bytes) -> bytes:
    """Base64 without padding, of which each text has one spelling only (RFC 7515 section 2, RFC 4648 section 3.5)."""
    rest = len(segment) % 4
    if rest:
        if rest == 1 or segment[-1] not in _CANONICAL_LAST[rest]:
            raise _malformed("base64url is not canonical")
        segment += _PADDING[rest]
    try:
        return pybase64.b64decode(segment, b"-_", True)
    except ValueError:
        raise _malformed("not base64url") from None


def _json_object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(raw)
    except ValueError as error:
        raise _malformed(f"{what}: {error}") from None
    if not isinstance(value, dict):
        raise _malformed(f"{what} is not an object")
    return value


def _malformed(detail: str) -> Unauthenticated:
    return Unauthenticated(Reason.MALFORMED_TOKEN, detail)
