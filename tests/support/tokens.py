"""Keys and tokens for the tests. They are made with joserfc, which shares no code with what the library verifies with.

A key is made once for each process: RSA keys take long.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER = "https://issuer.example"
AUDIENCE = "micromegas-api"
NOW = 1_800_000_000.0  # what the injected clocks say, in seconds since the epoch
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ABSENT: Any = object()  # as the value of a header, claim or JWK member: leave it out

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}


@dataclass(frozen=True)
class SigningKey:
    """A private key, and the `kid` and `alg` under which its public half is published."""

    kid: str
    alg: str
    private: RSAKey | ECKey | OKPKey

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public JWK, with some members changed."""
        public = self.private.as_dict(private=False)
        return _changed({**public, "kid": self.kid, "alg": self.alg, "use": "sig"}, changes)

    def sign(self, signing_input: bytes, alg: str | None = None) -> bytes:
        """The signature by `alg`, or by the key's own algorithm."""
        return JWSRegistry.algorithms[alg or self.alg].sign(signing_input, self.private)


@cache
def signing_key(alg: str = "ES256", kid: str = "key-1") -> SigningKey:
    """The key of that name; the RSA algorithms share one for each kid."""
    return SigningKey(kid, alg, _rsa_key(kid) if alg[:2] in ("RS", "PS") else _curve_key(_CURVES[alg], kid))


@cache
def _rsa_key(_: str) -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=False)


@cache
def _curve_key(curve: str, _: str) -> ECKey | OKPKey:
    return OKPKey.generate_key("Ed25519") if curve == "Ed25519" else ECKey.generate_key(curve)


def jwks(*keys: SigningKey | dict[str, Any]) -> dict[str, Any]:
    """A JWK Set document."""
    return {"keys": [key.jwk() if isinstance(key, SigningKey) else key for key in keys]}


def claims(changes: Mapping[str, Any] = {}, **more: Any) -> dict[str, Any]:
    """The claims of a good token of ISSUER at NOW, with some of them changed."""
    good = {"iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "iat": NOW - 10, "exp": NOW + 600}
    return _changed(good, {**changes, **more})


def token(key: SigningKey, payload: Mapping[str, Any] | None = None, **header: Any) -> str:
    """A token of `key`, good unless the payload or a change of the header makes it otherwise."""
    full_header = _changed({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, header)
    return raw_token(
        key, json.dumps(full_header).encode(), json.dumps(claims() if payload is None else payload).encode()
    )


def raw_token(key: SigningKey, header: bytes, payload: bytes, alg: str | None = None) -> str:
    """A token whose header and payload are these very bytes, with a true signature over them."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(key.sign(signing_input.encode(), alg))}"


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}
