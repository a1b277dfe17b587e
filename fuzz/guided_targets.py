"""What the coverage-guided fuzzer feeds: each takes any bytes, and raises Fault where the library errs."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from support.tokens import AUDIENCE, ISSUER, NOW, b64, claims, jwks, raw_token, signing_key

from fuzz.attribution import FIELDS, check_header
from fuzz.fault import Fault
from fuzz.key_sets import GOOD, check
from fuzz.reading import Refused, base64url, json_value
from micromegas_auth import Unauthenticated, attribution, keyset, strict_json, verify
from micromegas_auth.audit import AuditLog
from micromegas_auth.policy import IssuerPolicy

_KEYS = keyset.parse_jwks(jwks(GOOD[0]))
_POLICY = IssuerPolicy(issuer=ISSUER, audiences=frozenset({AUDIENCE}))
_lines: list[str] = []
_logs = {form: AuditLog(_lines.append, format=form) for form in ("text", "json")}


def _strict_json(data: bytes) -> None:
    try:
        wanted = json_value(data)
    except Refused as refused:
        wanted = refused
    try:
        got = strict_json.loads(data)
    except ValueError:
        if not isinstance(wanted, Refused):
            raise Fault("REFUSED WRONGLY", data, wanted) from None
        return
    if isinstance(wanted, Refused) or repr(got) != repr(wanted):
        raise Fault(f"ACCEPTED WRONGLY: {wanted}", data, got)


def _parse_token(data: bytes) -> None:
    header, _, payload = data.partition(b"\n")
    for token in (data.decode("latin-1"), f"{b64(header)}.{b64(payload)}.AAAA"):
        try:
            parsed = verify.parse_token(token)
        except Unauthenticated:
            continue
        parts = token.split(".")
        if parsed.unverified_header != json_value(base64url(parts[0])) or parsed.signature != base64url(parts[2]):
            raise Fault("another header or signature", token, parsed)
        if parsed.signing_input != ".".join(parts[:2]).encode() or len(parts) != 3:
            raise Fault("another signing input", token, parsed)
        with contextlib.suppress(Unauthenticated):
            verify.check_claims(parsed.unverified_claims, _POLICY, NOW)
        with contextlib.suppress(Unauthenticated):
            verified, _ = verify.verify_token(parsed, _KEYS, _POLICY, NOW)
            if verified != claims():
                raise Fault("ACCEPTED WRONGLY: only one token is signed", token, verified)


def _parse_jwks(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    check(keyset.parse_jwks(document), document, data)


def _attribution(data: bytes) -> None:
    name = tuple(FIELDS)[data[0] % len(FIELDS)] if data else "x-user-id"
    for value in (data[1:], data[1:].decode("latin-1"), data[1:].decode("utf-8", "surrogateescape")):
        check_header(name, value, _logs, _lines)


@dataclass(frozen=True)
class Target:
    """One function under attack.

    Attributes:
        module: The module of the library whose coverage is counted.
        feed: Takes any bytes.
        seeds: Gives what to begin with.
    """

    module: object
    feed: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def _token_seeds() -> Iterator[bytes]:
    header, payload = b'{"alg":"EdDSA","kid":"ed","typ":"JWT"}', json.dumps(claims()).encode()
    yield raw_token(GOOD[0], header, payload).encode()
    yield header + b"\n" + payload


def _json_seeds() -> Iterator[bytes]:
    yield b'{"a":1,"b":[true,false,null,-1.5e3,"x"],"c":{"d":"\\u00e9\\ud83d\\ude00"}}'
    yield b'{"a":1,"\\u0061":2}'
    yield b"[" * 32 + b"]" * 32


def _jwks_seeds() -> Iterator[bytes]:
    yield json.dumps(jwks(*GOOD)).encode()
    yield json.dumps(jwks(signing_key("ES384", "384"), GOOD[0].jwk(use="enc"), GOOD[1].jwk(kid="ed"))).encode()


def _header_seeds() -> Iterator[bytes]:
    yield from (b"\0alice", b"\1alice%40example.com", "\2Gr\u00e4ce".encode(), b"\3%E2%80%AE", b"\4python")


TARGETS = {
    "strict_json.loads": Target(strict_json, _strict_json, _json_seeds),
    "verify.parse_token": Target(verify, _parse_token, _token_seeds),
    "keyset.parse_jwks": Target(keyset, _parse_jwks, _jwks_seeds),
    "attribution": Target(attribution, _attribution, _header_seeds),
}
