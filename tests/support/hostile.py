"""The tokens of ATTACKS.md that must be refused: as data, for the pure tests and for those over the wire.

Each is for ISSUER with the JWK Set `issuer_jwks()` at NOW, within the size cap, and good but for one thing. It carries
MARKER wherever it has room for a text, so that a test can look for leaks. See hostile_signatures for the rest of them.
"""

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from support.tokens import ABSENT, AUDIENCE, NOW, SigningKey, b64, claims, jwks, raw_token, signing_key, token

from micromegas_auth import Reason

MARKER = "Zq9Marker"
UNSAFE_CHARACTERS = "\0\a\b\t\n\r\x1b\x7f\x85\x9b\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HEADER = b'{"alg":"ES256","kid":"ec"}'
HEADER_START = '{"alg":"ES256","kid":"ec"'


@dataclass(frozen=True)
class Hostile:
    """One token and why it is refused."""

    name: str
    token: str
    reason: Reason


@cache
def issuer_key(kid: str) -> SigningKey:
    """The keys of the issuer: `rsa` (RS256), `ec` (ES256) and `ed` (EdDSA)."""
    return signing_key({"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[kid], kid)


def issuer_jwks() -> dict[str, Any]:
    """The JWK Set of the issuer."""
    return jwks(issuer_key("rsa"), issuer_key("ec"), issuer_key("ed"))


def marked(**changes: Any) -> dict[str, Any]:
    """Good claims that carry MARKER."""
    return claims({"sub": MARKER, "email": f"{MARKER}@example.com", "name": MARKER, **changes})


def algorithms() -> Iterator[Hostile]:
    """`alg: none` in any case, HS* with a public key as the secret, and whatever else is not the key's own."""
    refused = Reason.ALGORITHM_NOT_ALLOWED
    for alg in ("none", "None", "NONE", "nOnE"):
        yield Hostile(f"alg {alg}", _token(alg=alg), refused)
        yield Hostile(f"alg {alg} unsigned", _token(alg=alg).rpartition(".")[0] + ".", refused)
    key = issuer_key("ec")
    public = {
        "PEM": key.private.as_pem(private=False),
        "DER": key.private.as_der(private=False),
        "JWK": json.dumps(key.jwk()).encode(),
    }
    for alg in ("HS256", "HS384", "HS512"):
        unsigned = token(key, marked(), alg=alg).rpartition(".")[0]
        for form, secret in public.items():
            digest = hmac.digest(secret, unsigned.encode(), f"sha{alg[2:]}")
            yield Hostile(f"{alg} with the public {form}", f"{unsigned}.{b64(digest)}", refused)
    for other in ("es256", "ES256K", "Ed448", "RS1", "RSA-OAEP", "", MARKER, None, 256, ["ES256"], {"alg": "ES256"}):
        yield Hostile(f"alg {other!r}", _token(alg=other), refused)
    yield Hostile("alg absent", _token(alg=ABSENT), refused)
    yield Hostile("alg of another type of key", _token(kid="ed"), refused)
    truly_signed = raw_token(issuer_key("rsa"), b'{"alg":"PS256","kid":"rsa"}', json.dumps(marked()).encode(), "PS256")
    yield Hostile("alg that is not the one the key declares", truly_signed, refused)


def headers() -> Iterator[Hostile]:
    """Keys brought along, kids, extensions, and the type of the token."""
    stranger = signing_key("ES256", "stranger")
    for name, key_or_place in {
        "jwk": stranger.jwk(),
        "jku": f"https://{MARKER}.example/jwks",
        "x5u": f"https://{MARKER}.example/cert",
        "x5c": [base64.b64encode(MARKER.encode()).decode()],
    }.items():
        brought: dict[str, Any] = {name: key_or_place}
        yield Hostile(f"{name}", token(stranger, marked(), kid="ec", **brought), Reason.BAD_SIGNATURE)
        yield Hostile(f"{name}, no kid", token(stranger, marked(), kid=ABSENT, **brought), Reason.BAD_SIGNATURE)
        yield Hostile(f"{name}, its own kid", token(stranger, marked(), **brought), Reason.UNKNOWN_KEY)
    for kid in (1, 1.5, True, None, [], ["ec"], {"ec": 1}, "", MARKER * 120):
        yield Hostile(f"kid {kid!r:.12}", _token(kid=kid), Reason.MALFORMED_TOKEN)
    for kid in ("../../ec", "ec' OR '1'='1", "ec\0", "\0ec", "EC", " ec", "ec\n", "e\u0441", MARKER):
        yield Hostile(f"kid {kid!a}", _token(kid=kid), Reason.UNKNOWN_KEY)
    for crit in (["exp"], [MARKER], [], None, "b64"):
        yield Hostile(f"crit {crit!r}", _token(crit=crit), Reason.UNSUPPORTED_HEADER)
    others: dict[str, tuple[Any, ...]] = {
        "b64": (True, False, None, MARKER),
        "zip": ("DEF", "", None, MARKER),
        "cty": ("JWT", "jwt", "application/jwt", None, MARKER),
    }
    for name, values in others.items():
        for value in values:
            header: dict[str, Any] = {name: value}
            yield Hostile(f"{name} {value!r}", _token(**header), Reason.UNSUPPORTED_HEADER)
    typs = ("logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "JWE", "JWT ", "", MARKER)
    for typ in (*typs, None, 5, True, ["JWT"], {"JWT": 1}):
        yield Hostile(f"typ {typ!r}", _token(typ=typ), Reason.UNSUPPORTED_TYPE)


def json_forms() -> Iterator[Hostile]:
    """What a lenient parser of JSON would guess at."""
    members = {
        "a name twice within": ',"x":[{"a":1,"a":2}]}',
        "a name twice, one escaped, within": ',"x":{"a":1,"\\u0061":2}}',
        "NaN": ',"x":NaN}',
        "Infinity": ',"x":-Infinity}',
        "lone surrogate": ',"x":"\\ud800"}',
        "lone surrogate as a name": ',"\\udc00":1}',
        "surrogates the wrong way round": ',"x":"\\ude00\\ud83d"}',
        "5000 digits": f',"x":{"9" * 4400}}}',
        "deep": f',"x":{"[" * 1000 + "]" * 1000}}}',
        "34 levels": f',"x":{"[" * 33 + "]" * 33}}}',
        "deep and not closed": ',"x":' + "[" * 3000,
        "more behind": "}{}",
        "NUL behind": "}\0",
        "trailing comma": ",}",
        "comment": "/*x*/}",
        "cut": "",
    }
    claims_start = json.dumps(marked())[:-1]
    for name, rest in members.items():
        yield Hostile(f"header: {name}", _raw(header=(HEADER_START + rest).encode()), Reason.MALFORMED_TOKEN)
        yield Hostile(f"claims: {name}", _raw(payload=(claims_start + rest).encode()), Reason.MALFORMED_TOKEN)
    for name, text in {
        "alg twice": '{"alg":"none","kid":"ec","alg":"ES256"}',
        "alg twice, one escaped": '{"\\u0061lg":"none","kid":"ec","alg":"ES256"}',
        "kid twice": '{"alg":"ES256","kid":"rsa","kid":"ec"}',
    }.items():
        yield Hostile(name, _raw(header=text.encode()), Reason.MALFORMED_TOKEN)
    for name in ("sub", "\\u0073ub", "iss", "exp"):
        yield Hostile(f"{name} twice", _raw(payload=f'{claims_start},"{name}":"x"}}'.encode()), Reason.MALFORMED_TOKEN)
    for octets in (b"[]", b'"ES256"', b"null", b"1", b" ", b"{", b"\xff"):
        yield Hostile(f"header {octets!r}", _raw(header=octets), Reason.MALFORMED_TOKEN)
        yield Hostile(f"claims {octets!r}", _raw(payload=octets), Reason.MALFORMED_TOKEN)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"):
        yield Hostile(f"header in {encoding}", _raw(header=HEADER.decode().encode(encoding)), Reason.MALFORMED_TOKEN)
        yield Hostile(
            f"claims in {encoding}", _raw(payload=(claims_start + "}").encode(encoding)), Reason.MALFORMED_TOKEN
        )
    for octets in (b"\xed\xa0\x80", b"\xc0\xaf", b"\xe9"):  # a raw surrogate, an overlong form, Latin-1
        payload = (claims_start + ',"x":"').encode() + octets + b'"}'
        yield Hostile(f"claims with {octets!r}", _raw(payload=payload), Reason.MALFORMED_TOKEN)


def claim_forms() -> Iterator[Hostile]:
    """Times, subjects and audiences. (`iss` picks the issuer, so its rows are in test_oidc and test_verify.)"""
    values: list[Any] = [str(int(NOW)), MARKER, True, False, None, [NOW], {}]
    values += [1e18, int(NOW * 1000), 253402300800, -1, -0.5]
    for name in ("exp", "nbf", "iat"):
        for value in values:
            yield Hostile(f"{name} {value!r}", _token(marked(**{name: value})), Reason.MALFORMED_CLAIM)
        yield Hostile(f"{name} of 4000 digits", _token(marked(**{name: 10**3999})), Reason.MALFORMED_CLAIM)
        huge = json.dumps(marked(**{name: ABSENT}))[:-1] + f',"{name}":1e400}}'
        yield Hostile(f"{name} 1e400", _raw(payload=huge.encode()), Reason.MALFORMED_TOKEN)
        for constant in (float("nan"), float("inf")):
            yield Hostile(f"{name} {constant}", _token(marked(**{name: constant})), Reason.MALFORMED_TOKEN)
    yield Hostile("expired", _token(marked(exp=NOW - 61)), Reason.EXPIRED)
    yield Hostile("exp 0", _token(marked(exp=0)), Reason.EXPIRED)
    yield Hostile("nbf ahead", _token(marked(nbf=NOW + 61)), Reason.NOT_YET_VALID)
    yield Hostile("iat ahead", _token(marked(iat=NOW + 61)), Reason.NOT_YET_VALID)
    for name in ("exp", "aud", "sub"):
        yield Hostile(f"{name} absent", _token(marked(**{name: ABSENT})), Reason.MISSING_CLAIM)
    unsafe = [f"{MARKER}{character}x" for character in UNSAFE_CHARACTERS]
    for sub in (None, 5, True, [MARKER], {"sub": MARKER}, "", *unsafe, "x" * 256):
        yield Hostile(f"sub {sub!a:.24}", _token(marked(sub=sub)), Reason.MALFORMED_CLAIM)
    no_audiences: list[Any] = [None, 5, True, [5], [[AUDIENCE]], {AUDIENCE: 1}, [AUDIENCE, 5]]
    for aud in no_audiences:
        yield Hostile(f"aud {aud!r}", _token(marked(aud=aud)), Reason.MALFORMED_CLAIM)
    for aud in (AUDIENCE[:-1], AUDIENCE + "2", AUDIENCE.upper(), AUDIENCE + "/", f" {AUDIENCE}", "", [], [MARKER]):
        yield Hostile(f"aud {aud!r}", _token(marked(aud=aud)), Reason.WRONG_AUDIENCE)


def _token(payload: dict[str, Any] | None = None, **header: Any) -> str:
    return token(issuer_key("ec"), marked() if payload is None else payload, **header)


def _raw(header: bytes = HEADER, payload: bytes | None = None) -> str:
    return raw_token(issuer_key("ec"), header, json.dumps(marked()).encode() if payload is None else payload)
