"""The same RS256 token, judged by other libraries: each as its documentation says a server should use it."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import authlib.jose
import jose.jwt
import joserfc.jwk
import joserfc.jwt
import jwt
from micromegas_server.demo.issuer import DemoIssuer

from benchmarks.rows import AUDIENCE, BARE, door, fresh_tokens, headers
from benchmarks.timing import Result, compare


def run() -> Iterator[Result]:
    """Each library's time for one token, against the bare signature; ours first, with all else that it does."""
    with ExitStack() as stack:
        issuer = DemoIssuer()
        stack.callback(issuer.stop)
        tokens = fresh_tokens(issuer)
        authenticator = stack.enter_context(door(issuer, token_cache_size=1))
        verify = BARE["RS256"]()
        requests = [headers(token) for token in tokens]
        yield _row("ours, headers to Caller", authenticator.authenticate, requests, verify)
        for name, judge in _others(issuer).items():
            yield _row(name, judge, tokens, verify)


def _row(name: str, judge: Callable[[Any], object], requests: list[Any], verify: Callable[[], object]) -> Result:
    cycle = itertools.cycle(requests)
    return compare(f"RS256 by {name} / bare verify", lambda: judge(next(cycle)), verify)


def _others(issuer: DemoIssuer) -> dict[str, Callable[[str], object]]:
    document = issuer.jwks()
    (key,) = jwt.PyJWKSet.from_dict(document).keys
    client = jwt.PyJWKClient(f"{issuer.url}/jwks", cache_keys=True)
    by_joserfc = joserfc.jwk.KeySet.import_key_set(document)  # type: ignore[arg-type]
    registry = joserfc.jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer.url}, aud={"essential": True, "value": AUDIENCE}
    )
    by_authlib = authlib.jose.JsonWebKey.import_key_set(json.dumps(document))
    authlib_jwt = authlib.jose.JsonWebToken(["RS256"])
    expected = {"iss": {"essential": True, "value": issuer.url}, "aud": {"essential": True, "value": AUDIENCE}}
    wanted: dict[str, Any] = {"algorithms": ["RS256"], "audience": AUDIENCE, "issuer": issuer.url}

    def joserfc_(token: str) -> None:
        registry.validate(joserfc.jwt.decode(token, by_joserfc, algorithms=["RS256"]).claims)

    return {
        "PyJWT, decode": lambda token: jwt.decode(token, key.key, **wanted),
        "PyJWT, PyJWKClient and decode": lambda token: jwt.decode(
            token, client.get_signing_key_from_jwt(token).key, **wanted
        ),
        "joserfc": joserfc_,
        "Authlib": lambda token: authlib_jwt.decode(token, by_authlib, claims_options=expected).validate(),
        "python-jose": lambda token: jose.jwt.decode(token, document, **wanted),
    }
