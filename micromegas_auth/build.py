"""From a configuration to the front door: who is wired to whom."""

import logging
import time
from collections.abc import Callable
from functools import cache, partial
from ssl import SSLContext

from micromegas_auth.api_keys import ApiKey, ApiKeyAuthenticator
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.chain import AuthenticatorChain
from micromegas_auth.config import AdminConfig, AuthConfig, IssuerConfig, OidcConfig
from micromegas_auth.discovery import KeySource, fetch_keys
from micromegas_auth.errors import ConfigError
from micromegas_auth.fetch import tls_context
from micromegas_auth.identity import AuthContext, Authenticator, AuthType
from micromegas_auth.jwks import RemoteKeySet
from micromegas_auth.oidc import Issuer, OidcAuthenticator
from micromegas_auth.policy import Admins, IssuerPolicy
from micromegas_auth.request import RequestAuthenticator

_logger = logging.getLogger("micromegas_auth")
_DEFAULT_MAX_TOKEN_BYTES = 7168


def build_authenticator(config: AuthConfig, *, clock: Callable[[], float] = time.time) -> RequestAuthenticator:
    """Wire the front door of a server.

    Makes no network call itself; a thread for each issuer begins to fetch its keys. An issuer that cannot be reached
    does not keep the server from starting.

    Args:
        config: From `AuthConfig.from_env()`, or made by hand.
        clock: The time, in seconds since the epoch.

    Raises:
        ConfigError: Nothing is configured, or a `ca_file` cannot be read.
    """
    if config.authentication_disabled:
        _logger.warning("AUTHENTICATION IS DISABLED: every caller is anonymous and has admin rights")
        anonymous = AuthContext(subject="anonymous", auth_type=AuthType.ANONYMOUS, is_admin=True, allow_delegation=True)
        return RequestAuthenticator(
            AuthenticatorChain(()), max_token_bytes=_DEFAULT_MAX_TOKEN_BYTES, anonymous=anonymous, clock=clock
        )
    authenticators: list[Authenticator] = []
    key_sets: list[RemoteKeySet] = []
    if config.api_keys:
        keys = [
            ApiKey(
                name=key.name,
                digest=bytes.fromhex(key.key_sha256),
                expires_at=key.expires_at.timestamp() if key.expires_at is not None else None,
                allow_delegation=key.allow_delegation,
            )
            for key in config.api_keys
        ]
        authenticators.append(ApiKeyAuthenticator(keys, clock=clock))
    if config.oidc is not None:
        generation = Generation()
        tls = cache(tls_context)  # one for all issuers without a ca_file: each takes some 20 ms to make
        issuers = [
            _issuer(issuer, config.oidc, tls=tls, on_withdrawal=generation.advance, clock=clock)
            for issuer in config.oidc.merged_issuers()
        ]
        admins = _admins(config.admins)
        if admins.anywhere and len(issuers) > 1:
            _logger.warning(
                "MICROMEGAS_ADMINS has entries without an issuer and there are %d issuers: each of them can make such "
                'an admin; write {"issuer": ..., "subject": ...} instead',
                len(issuers),
            )
        authenticators.append(
            CachingAuthenticator(
                OidcAuthenticator(issuers, admins, clock=clock),
                size=config.oidc.token_cache_size,
                ttl=config.oidc.token_cache_ttl_secs,
                generation=generation,
                clock=clock,
            )
        )
        key_sets = [issuer.keys for issuer in issuers]
    if not authenticators:
        raise ConfigError("no authentication is configured: give issuers or API keys, or AuthConfig.disabled()")
    for keys_of_issuer in key_sets:
        keys_of_issuer.start()
    return RequestAuthenticator(
        AuthenticatorChain(authenticators),
        max_token_bytes=config.oidc.max_token_bytes if config.oidc is not None else _DEFAULT_MAX_TOKEN_BYTES,
        on_close=[keys_of_issuer.close for keys_of_issuer in key_sets],
        clock=clock,
    )


def _issuer(
    config: IssuerConfig,
    oidc: OidcConfig,
    *,
    tls: Callable[[str | None], SSLContext],
    on_withdrawal: Callable[[], None],
    clock: Callable[[], float],
) -> Issuer:
    algorithms = set(config.algorithms)
    if not algorithms.isdisjoint({"EdDSA", "Ed25519"}):  # two names of one algorithm (RFC 9864 section 2.2)
        algorithms |= {"EdDSA", "Ed25519"}
    policy = IssuerPolicy(
        issuer=config.issuer,
        audiences=frozenset(config.audience),
        aliases=frozenset(config.aliases),
        algorithms=frozenset(algorithms),
        leeway=config.leeway_secs,
        require_typ=config.require_typ,
        trust_email=config.trust_email,
        email_claims=tuple(config.email_claims),
        delegates=frozenset(config.delegates),
    )
    try:
        trusted = tls(config.ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file of issuer {config.issuer}: {error.strerror or type(error).__name__}") from None
    source = KeySource(
        issuer=config.issuer,
        aliases=policy.aliases,
        discovery_url=config.discovery_url,
        jwks_uri=config.jwks_uri,
        allowed_jwks_hosts=_hosts(config.allowed_jwks_hosts),
        timeout=oidc.fetch_timeout_secs,
        tls=trusted,
    )
    keys = RemoteKeySet(
        config.issuer,
        partial(fetch_keys, source),
        refresh_interval=oidc.jwks_refresh_interval_secs,
        max_stale=oidc.jwks_max_stale_secs,
        on_withdrawal=on_withdrawal,
        clock=clock,
    )
    return Issuer(policy, keys)


def _hosts(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(name.lower() for name in names)  # RFC 3986 section 3.2.2


def _admins(entries: list[str | AdminConfig]) -> Admins:
    of_issuers = [entry for entry in entries if isinstance(entry, AdminConfig)]
    return Admins(
        anywhere=frozenset(entry for entry in entries if isinstance(entry, str)),
        subjects=frozenset((entry.issuer, entry.subject) for entry in of_issuers if entry.subject is not None),
        emails=frozenset((entry.issuer, entry.email) for entry in of_issuers if entry.email is not None),
    )
