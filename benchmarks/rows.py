"""The rows: what a server pays for each kind of credential, against the primitive it cannot do without."""

import hashlib
import itertools
import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from micromegas_server.demo.issuer import DemoIssuer

from benchmarks.timing import Result, compare
from micromegas_auth import AuthConfig, AuthError, RequestAuthenticator, build_authenticator

AUDIENCE = "benchmark"
API_KEY = "benchmark-key-0123456789"
TOKENS = 512
CLAIMS = {"aud": AUDIENCE, "email": "user@example.com", "email_verified": True, "scope": "openid email profile " * 12}
MESSAGE = b"m" * 900  # as long as the signed part of the tokens


def run() -> Iterator[Result]:
    """Measure every row of the library."""
    logging.getLogger("micromegas_auth").setLevel(logging.CRITICAL)  # refusals are measured, not their log lines
    with ExitStack() as stack:
        for algorithm, verify in BARE.items():
            yield _cold(stack, algorithm, verify())
        issuer = stack.enter_context(_issuer("RS256"))
        tokens = fresh_tokens(issuer)
        yield _cached("cached token", stack.enter_context(door(issuer)), tokens)
        for count in (10, 100_000):
            keys = [{"name": f"k{n}", "key_sha256": f"{n:064x}"} for n in range(count - 1)]
            yield _api_key(f"API key, one of {count}", stack.enter_context(door(issuer, api_keys=keys)))
        junk = "a" * 7168
        yield _rejected("7 KiB of junk / SHA-256 of it", stack.enter_context(door(issuer)), junk, _sha256(junk))
        yield _worst_rejection(stack.enter_context(door(issuer)), tokens[0])
        yield _many_issuers(stack)
        yield _many_tokens_seen(stack, issuer)


@contextmanager
def _issuer(algorithm: str) -> Iterator[DemoIssuer]:
    issuer = DemoIssuer(algorithm=algorithm)
    try:
        yield issuer
    finally:
        issuer.stop()


@contextmanager
def door(
    *issuers: DemoIssuer, api_keys: list[dict[str, str]] | None = None, **oidc: object
) -> Iterator[RequestAuthenticator]:
    """A front door that trusts the issuers and has their keys."""
    entries = [{"issuer": issuer.url, "audience": AUDIENCE} for issuer in issuers]
    config = AuthConfig.model_validate_json(
        json.dumps(
            {"oidc": {"issuers": entries, **oidc}, "api_keys": [{"name": "own", "key": API_KEY}, *(api_keys or [])]}
        )
    )
    authenticator = build_authenticator(config)
    for issuer in issuers:  # the first token waits for its issuer's keys; none of the measured ones does
        authenticator.authenticate(headers(issuer.mint({"sub": "warm-up", "aud": AUDIENCE})))
    try:
        yield authenticator
    finally:
        authenticator.close()


def headers(token: str) -> dict[str, list[str]]:
    """As a real client sends them."""
    return {"authorization": [f"Bearer {token}"], "x-client-type": ["python"]}


def fresh_tokens(issuer: DemoIssuer, count: int = TOKENS) -> list[str]:
    """Tokens of as many users."""
    return [issuer.mint({**CLAIMS, "sub": f"user-{number}", "jti": str(number)}) for number in range(count)]


def _rs(size: int) -> Callable[[], object]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=size)
    signature, public = private.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256()), private.public_key()
    return lambda: public.verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA256())


def _es256() -> Callable[[], object]:
    private = ec.generate_private_key(ec.SECP256R1())
    signature, public = private.sign(MESSAGE, ec.ECDSA(hashes.SHA256())), private.public_key()
    return lambda: public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))


def _eddsa() -> Callable[[], object]:
    private = ed25519.Ed25519PrivateKey.generate()
    signature, public = private.sign(MESSAGE), private.public_key()
    return lambda: public.verify(signature, MESSAGE)


BARE: dict[str, Callable[[], Callable[[], object]]] = {
    "RS256": lambda: _rs(2048),
    "RS256-4096": lambda: _rs(4096),
    "ES256": _es256,
    "EdDSA": _eddsa,
}


def _cold(stack: ExitStack, algorithm: str, verify: Callable[[], object]) -> Result:
    issuer = stack.enter_context(_issuer(algorithm))
    # One entry of cache and hundreds of tokens in turn: each has been forgotten when it comes again.
    authenticator = stack.enter_context(door(issuer, token_cache_size=1))
    requests = itertools.cycle([headers(token) for token in fresh_tokens(issuer, 64)])
    return compare(f"cold {algorithm} / bare verify", lambda: authenticator.authenticate(next(requests)), verify)


def _cached(name: str, authenticator: RequestAuthenticator, tokens: list[str]) -> Result:
    requests = itertools.cycle([headers(token) for token in tokens])
    for _ in tokens:
        authenticator.authenticate(next(requests))
    known = {hashlib.sha256(token.encode()).digest(): token for token in tokens}
    cycle = itertools.cycle(tokens)
    return compare(
        f"{name} / SHA-256 and dict lookup",
        lambda: authenticator.authenticate(next(requests)),
        lambda: known[hashlib.sha256(next(cycle).encode()).digest()],
    )


def _api_key(name: str, authenticator: RequestAuthenticator) -> Result:
    request = headers(API_KEY)
    known = {hashlib.sha256(API_KEY.encode()).digest(): "own"}
    return compare(
        f"{name} / SHA-256 and dict lookup",
        lambda: authenticator.authenticate(request),
        lambda: known[hashlib.sha256(API_KEY.encode()).digest()],
    )


def _sha256(token: str) -> Callable[[], object]:
    return lambda: hashlib.sha256(token.encode()).digest()


def _rejected(name: str, authenticator: RequestAuthenticator, token: str, base: Callable[[], object]) -> Result:
    request = headers(token)

    def rejected() -> None:
        with suppress(AuthError):
            authenticator.authenticate(request)

    return compare(name, rejected, base)


def _worst_rejection(authenticator: RequestAuthenticator, good: str) -> Result:
    """The dearest of some tokens that are made to be dear, each within the size limit."""
    head, payload, signature = good.split(".")
    texts = [
        f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        *(f"{head}.{_base64url(text)}.AAAA" for text in _DEAR_CLAIMS),
        ".".join([head, "A" * 6000, signature]),
    ]
    verify = _rs(2048)
    return max(
        (_rejected("any rejected token / bare RS256 verify", authenticator, text, verify) for text in texts),
        key=lambda result: result.ratio,
    )


_DEAR_CLAIMS = (
    b'{"iss":"x","a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"iss":"x","a":[' + b'{"b":1},' * 600 + b"0]}",
    b'{"iss" :"x",' + b",".join(b'"a%d" : %d' % (n, n) for n in range(350)) + b"}",
    b'{"iss":"x","a":"' + b'\\"' * 2400 + b'"}',
    b'{"iss":"x","a":' + b"9" * 4000 + b"}",
)


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _many_issuers(stack: ExitStack) -> Result:
    issuers = [stack.enter_context(_issuer("ES256")) for _ in range(64)]
    many = stack.enter_context(door(*issuers, token_cache_size=1))
    one = stack.enter_context(door(issuers[0], token_cache_size=1))
    of_many = itertools.cycle([headers(token) for issuer in issuers for token in fresh_tokens(issuer, 2)])
    of_one = itertools.cycle([headers(token) for token in fresh_tokens(issuers[0], 128)])
    return compare(
        "cold ES256 of 64 issuers / of one",
        lambda: many.authenticate(next(of_many)),
        lambda: one.authenticate(next(of_one)),
    )


def _many_tokens_seen(stack: ExitStack, issuer: DemoIssuer) -> Result:
    """A million tokens pass through one cache; then it is compared with one that has seen a thousand."""
    old, young = (stack.enter_context(door(issuer)) for _ in range(2))
    cache: Any = old._authenticator
    filler = cache._entries[next(iter(cache._entries))]
    for number in range(1_000_000):
        cache._remember(hashlib.sha256(b"%d" % number).digest(), filler)
    tokens = [headers(token) for token in fresh_tokens(issuer)]
    for request in tokens * 2:
        old.authenticate(request)
        young.authenticate(request)
    of_old, of_young = itertools.cycle(tokens), itertools.cycle(tokens)
    return compare(
        "cached token after 1,000,000 / after 1,000",
        lambda: old.authenticate(next(of_old)),
        lambda: young.authenticate(next(of_young)),
    )
