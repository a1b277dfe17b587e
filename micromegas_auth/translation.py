"""From the entries of the configuration to the values that the other rooms work with."""

import logging
from ssl import SSLContext

from micromegas_auth.api_keys import ApiKey
from micromegas_auth.discovery import KeySource
from micromegas_auth.entries import AdminConfig, ApiKeyConfig, IssuerConfig, OidcConfig, RevokedConfig
from micromegas_auth.jwks_store import JwksStore
from micromegas_auth.policy import Admins, IssuerPolicy
from micromegas_auth.revocation import Revocations

_logger = logging.getLogger("micromegas_auth")


def policy(issuer: IssuerConfig) -> IssuerPolicy:
    """What the tokens of an issuer must satisfy."""
    algorithms = set(issuer.algorithms)
    if not algorithms.isdisjoint({"EdDSA", "Ed25519"}):  # two names of one algorithm (RFC 9864 section 2.2)
        algorithms |= {"EdDSA", "Ed25519"}
    return IssuerPolicy(
        issuer=issuer.issuer,
        audiences=frozenset(issuer.audience),
        aliases=frozenset(issuer.aliases),
        algorithms=frozenset(algorithms),
        leeway=issuer.leeway_secs,
        require_typ=issuer.require_typ,
        trust_email=issuer.trust_email,
        email_claims=tuple(issuer.email_claims),
        delegates=frozenset(issuer.delegates),
    )


def key_source(issuer: IssuerConfig, oidc: OidcConfig, tls: SSLContext, store: JwksStore | None) -> KeySource:
    """Where the keys of an issuer are found."""
    hosts = issuer.allowed_jwks_hosts
    return KeySource(
        issuer=issuer.issuer,
        aliases=frozenset(issuer.aliases),
        discovery_url=issuer.discovery_url,
        jwks_uri=issuer.jwks_uri,
        # Host names are the same in any case (RFC 3986 section 3.2.2).
        allowed_jwks_hosts=None if hosts is None else frozenset(host.lower() for host in hosts),
        timeout=oidc.fetch_timeout_secs,
        tls=tls,
        store=store,
    )


def api_keys(entries: list[ApiKeyConfig]) -> list[ApiKey]:
    """The API keys."""
    return [
        ApiKey(
            name=key.name,
            digest=bytes.fromhex(key.key_sha256),
            expires_at=key.expires_at.timestamp() if key.expires_at is not None else None,
            allow_delegation=key.allow_delegation,
        )
        for key in entries
    ]


def admins(entries: list[str | AdminConfig], issuers: int) -> Admins:
    """Who is an admin, of the tokens of so many issuers."""
    of_issuers = [entry for entry in entries if isinstance(entry, AdminConfig)]
    anywhere = frozenset(entry for entry in entries if isinstance(entry, str))
    if anywhere and issuers > 1:
        _logger.warning(
            "MICROMEGAS_ADMINS has entries without an issuer and there are %d issuers: each of them can make such "
            'an admin; write {"issuer": ..., "subject": ...} instead',
            issuers,
        )
    return Admins(
        anywhere=anywhere,
        subjects=frozenset((entry.issuer, entry.subject) for entry in of_issuers if entry.subject is not None),
        emails=frozenset((entry.issuer, entry.email) for entry in of_issuers if entry.email is not None),
    )


def revocations(entries: list[RevokedConfig]) -> Revocations:
    """The deny list."""
    tokens: set[str | tuple[str, str]] = set()
    subjects: set[tuple[str, str]] = set()
    issued_before = []
    for entry in entries:
        if entry.jti is not None:
            tokens.add(entry.jti if entry.issuer is None else (entry.issuer, entry.jti))
        elif entry.issuer is not None and entry.subject is not None:
            identity = (entry.issuer, entry.subject)
            if entry.issued_before is None:
                subjects.add(identity)
            else:
                issued_before.append((identity, entry.issued_before.timestamp()))
    return Revocations(
        api_keys=frozenset(entry.api_key for entry in entries if entry.api_key is not None),
        tokens=frozenset(tokens),
        subjects=frozenset(subjects),
        key_ids=frozenset((entry.issuer, entry.kid) for entry in entries if entry.issuer and entry.kid),
        issued_before=tuple(issued_before),
    )
