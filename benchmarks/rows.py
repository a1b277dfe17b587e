"""The rows: what a server pays for each kind of credential."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from micromegas_server.demo.issuer import DemoIssuer

from benchmarks.timing import Result, compare
from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator

AUDIENCE = "benchmark"
API_KEY = "benchmark-key-0123456789"
TOKENS = 512
CLAIMS = {"aud": AUDIENCE, "email": "user@example.com", "email_verified": True, "scope": "openid email profile " * 12}


def run() -> Iterator[Result]:
    """Measure every row."""
    with ExitStack() as stack:
        issuer = DemoIssuer()
        stack.callback(issuer.stop)
        tokens = [issuer.mint({**CLAIMS, "sub": f"user-{number}", "jti": str(number)}) for number in range(TOKENS)]
        yield _api_key(stack.enter_context(_authenticator(issuer)))
        yield _cached(stack.enter_context(_authenticator(issuer)), tokens)
        # One entry of cache and hundreds of tokens in turn: each has been forgotten when it comes again.
        yield _cold(stack.enter_context(_authenticator(issuer, token_cache_size=1)), tokens)


@contextmanager
def _authenticator(issuer: DemoIssuer, **oidc: object) -> Iterator[RequestAuthenticator]:
    config = AuthConfig.model_validate_json(
        json.dumps(
            {
                "oidc": {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}], **oidc},
                "api_keys": [{"name": "benchmark", "key": API_KEY}],
            }
        )
    )
    authenticator = build_authenticator(config)
    # The first token waits for the issuer's keys; none of the measured ones does.
    authenticator.authenticate(_headers(issuer.mint({"sub": "warm-up", "aud": AUDIENCE})))
    try:
        yield authenticator
    finally:
        authenticator.close()


def _headers(token: str) -> dict[str, list[str]]:
    return {"authorization": [f"Bearer {token}"], "x-client-type": ["python"]}


def _api_key(authenticator: RequestAuthenticator) -> Result:
    headers = _headers(API_KEY)
    known = {hashlib.sha256(API_KEY.encode()).digest(): "benchmark"}
    return compare(
        "API key / SHA-256 and dict lookup",
        lambda: authenticator.authenticate(headers),
        lambda: known[hashlib.sha256(API_KEY.encode()).digest()],
    )


def _cached(authenticator: RequestAuthenticator, tokens: list[str]) -> Result:
    requests = itertools.cycle([_headers(token) for token in tokens])
    for _ in tokens:
        authenticator.authenticate(next(requests))
    known = {hashlib.sha256(token.encode()).digest(): token for token in tokens}
    cycle = itertools.cycle(tokens)
    return compare(
        "cached token / SHA-256 and dict lookup",
        lambda: authenticator.authenticate(next(requests)),
        lambda: known[hashlib.sha256(next(cycle).encode()).digest()],
    )


def _cold(authenticator: RequestAuthenticator, tokens: list[str]) -> Result:
    requests = itertools.cycle([_headers(token) for token in tokens])
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = tokens[0].rpartition(".")[0].encode()
    signature = private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    public_key = private_key.public_key()
    return compare(
        "cold RS256-2048 / bare public_key.verify",
        lambda: authenticator.authenticate(next(requests)),
        lambda: public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256()),
    )
