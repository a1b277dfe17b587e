"""Two issuers with keys that are known here, what each is trusted for, and the front door that trusts them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.memory_issuer import MemoryIssuer
from support.tokens import ABSENT, AUDIENCE, ISSUER, NOW, SigningKey, jwks, signing_key

from micromegas_auth import RequestAuthenticator
from micromegas_auth.api_keys import ApiKey, ApiKeyAuthenticator
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.chain import AuthenticatorChain
from micromegas_auth.oidc import Issuer, OidcAuthenticator
from micromegas_auth.policy import Admins, IssuerPolicy

MAX_TOKEN_BYTES = 7168
API_KEY = "an-api-key-of-more-than-16-bytes"
ALIAS = "https://alias.example/"
OTHER = "https://other.example/realm"
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ADMIN_SUBJECT, ADMIN_EMAIL, DELEGATE = "root", "root@example.com", "deleg"


@dataclass(frozen=True)
class PublishedKey:
    """A key in an issuer's set.

    Attributes:
        key: Its private half.
        kid: The `kid` it is published under, None for none.
        algorithms: What it may be used with.
    """

    key: SigningKey
    kid: str | None
    algorithms: tuple[str, ...]


@dataclass(frozen=True)
class Realm:
    """One issuer: its names, its keys, and what is demanded of its tokens."""

    issuer: str
    keys: tuple[PublishedKey, ...]
    aliases: tuple[str, ...] = ()
    audiences: tuple[str, ...] = (AUDIENCE, "second-api")
    algorithms: tuple[str, ...] = (*RSA_ALGORITHMS, "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
    leeway: float = 60.0
    require_typ: str | None = None
    trust_email: bool = False
    delegates: tuple[str, ...] = ()


def _published(alg: str, name: str, kid: str | None, *algorithms: str) -> PublishedKey:
    return PublishedKey(signing_key(alg, name), kid, algorithms or (alg,))


@cache
def realms() -> tuple[Realm, ...]:
    """The two issuers. Some of their kids are equal, and the keys under them are not."""
    eddsa = ("EdDSA", "Ed25519")
    first = (
        _published("EdDSA", "a-ed", "ed", *eddsa),
        _published("ES256", "a-ec", "ec"),
        _published("RS256", "a-rsa", "rsa"),
        _published("RS256", "a-any", "any", *RSA_ALGORITHMS),
        _published("ES384", "a-384", "384"),
        _published("ES512", "a-521", "521"),
        _published("ES256", "a-none", None),
    )
    second = (_published("EdDSA", "b-ed", "ed", *eddsa), _published("ES256", "b-ec", "ec"))
    return (
        Realm(ISSUER, first, aliases=(ALIAS,)),
        Realm(
            OTHER,
            second,
            algorithms=("ES256", *eddsa),
            leeway=0.0,
            require_typ="at+jwt",
            trust_email=True,
            delegates=(DELEGATE,),
        ),
    )


def published_jwks(realm: Realm) -> dict[str, Any]:
    """The JWK Set of an issuer."""
    entries = []
    for published in realm.keys:
        alg = ABSENT if len(published.algorithms) > 2 else published.key.alg
        kid = ABSENT if published.kid is None else published.kid
        entries.append(published.key.jwk(alg=alg, kid=kid))
    return jwks(*entries)


def front_door() -> tuple[RequestAuthenticator, Callable[[], None]]:
    """The front door with everything in it that a server has, and what stops its threads.

    Its clocks stand still, except that of its log, which takes every refusal for the first in a while, and logs it.
    """
    issuers = []
    for realm in realms():
        memory = MemoryIssuer(published_jwks(realm))
        policy = IssuerPolicy(
            issuer=realm.issuer,
            audiences=frozenset(realm.audiences),
            aliases=frozenset(realm.aliases),
            algorithms=frozenset(realm.algorithms),
            leeway=realm.leeway,
            require_typ=realm.require_typ,
            trust_email=realm.trust_email,
            delegates=frozenset(realm.delegates),
        )
        issuers.append(Issuer(policy, memory.trusted(issuer=realm.issuer).keys))
    admins = Admins(
        anywhere=frozenset({ADMIN_EMAIL}), subjects=frozenset({(ISSUER, ADMIN_SUBJECT)}), emails=frozenset()
    )
    oidc = CachingAuthenticator(
        OidcAuthenticator(issuers, admins, clock=lambda: NOW),
        size=1000,
        ttl=300,
        generation=Generation(),
        clock=lambda: NOW,
    )
    api_keys = ApiKeyAuthenticator(
        [ApiKey(name="grafana", digest=sha256(API_KEY.encode()).digest())], clock=lambda: NOW
    )
    log_clock = itertools.count(NOW, 60.0)
    door = RequestAuthenticator(
        AuthenticatorChain([api_keys, oidc]), max_token_bytes=MAX_TOKEN_BYTES, clock=lambda: next(log_clock)
    )
    for issuer in issuers:
        issuer.keys.start()

    def stop() -> None:
        for issuer in issuers:
            issuer.keys.close()

    return door, stop


def signature_holds(published: PublishedKey, alg: str, signed: bytes, signature: bytes) -> bool:
    """Whether a signature is this key's, by the primitives of `cryptography` and RFC 7518 sections 3.3 to 3.5."""
    public: Any = published.key.private.public_key
    digest: Any = getattr(hashes, f"SHA{alg[2:]}")() if alg[:2] in ("RS", "PS", "ES") else None
    try:
        if isinstance(public, rsa.RSAPublicKey):
            scheme: Any = padding.PKCS1v15()
            if alg.startswith("PS"):
                scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
            public.verify(signature, signed, scheme, digest)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            half = (public.curve.key_size + 7) // 8
            if len(signature) != 2 * half:
                return False
            numbers = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
            public.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
        else:
            public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
