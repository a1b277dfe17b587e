"""From a configuration to the front door: who is wired to whom, and wired anew when a file has changed."""

import logging
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from ssl import SSLContext

from micromegas_auth import translation
from micromegas_auth.api_keys import ApiKeyAuthenticator
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.chain import AuthenticatorChain
from micromegas_auth.config import AuthConfig
from micromegas_auth.discovery import fetch_keys, stored_keys
from micromegas_auth.entries import IssuerConfig, OidcConfig
from micromegas_auth.errors import ConfigError
from micromegas_auth.fetch import tls_context
from micromegas_auth.identity import AuthContext, Authenticator, AuthType
from micromegas_auth.jwks import RemoteKeySet
from micromegas_auth.jwks_store import JwksStore
from micromegas_auth.oidc import Issuer, OidcAuthenticator
from micromegas_auth.request import RequestAuthenticator
from micromegas_auth.revocation import RevokingAuthenticator
from micromegas_auth.watch import FileWatcher

_logger = logging.getLogger("micromegas_auth")
_DEFAULT_MAX_TOKEN_BYTES = 7168


def build_authenticator(config: AuthConfig, *, clock: Callable[[], float] = time.time) -> RequestAuthenticator:
    """Wire the front door of a server.

    Makes no network call itself; a thread for each issuer begins to fetch its keys. An issuer that cannot be reached
    does not keep the server from starting. Where the configuration came from files, another thread takes over what
    changes in them; what is malformed is logged, and the last good configuration stays.

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
    wiring = _Wiring(clock)
    closing = [wiring.close]
    door = RequestAuthenticator(
        wiring.wire(config),
        max_token_bytes=_max_token_bytes(config),
        on_close=closing,
        key_ages=wiring.key_ages,
        clock=clock,
    )

    def reload() -> None:
        try:
            changed = config.reread()
            door.replace(wiring.wire(changed), max_token_bytes=_max_token_bytes(changed))
        except ConfigError as error:
            _logger.error("CONFIGURATION NOT RELOADED, the last good one stays in force: %s", error)
        else:
            _logger.warning("configuration reloaded")

    if config.files:
        watcher = FileWatcher(config.files, reload)
        closing.insert(0, watcher.close)
        watcher.start()
    return door


def _max_token_bytes(config: AuthConfig) -> int:
    return config.oidc.max_token_bytes if config.oidc is not None else _DEFAULT_MAX_TOKEN_BYTES


class _Wiring:
    """Makes the authenticators of a configuration; issuers that stay the same in the next one keep their keys."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._generation = Generation()
        self._key_sets: dict[str, RemoteKeySet] = {}

    def close(self) -> None:
        """Stop fetching keys."""
        for keys in self._key_sets.values():
            keys.close()

    def key_ages(self) -> dict[str, float | None]:
        """See `RequestAuthenticator.key_ages`."""
        return {keys.issuer: keys.age() for keys in self._key_sets.values()}

    def wire(self, config: AuthConfig) -> Authenticator:
        """The authenticators of `config`, in the order they are asked. Raises ConfigError; nothing has changed then."""
        authenticators: list[Authenticator] = []
        if config.api_keys:
            authenticators.append(ApiKeyAuthenticator(translation.api_keys(config.api_keys), clock=self._clock))
        if config.oidc is not None:
            issuers = self._issuers(config.oidc, config.jwks_cache_dir)
            admins = translation.admins(config.admins, len(issuers))
            authenticators.append(OidcAuthenticator(issuers, admins, clock=self._clock))
        else:
            self._keep({})
        if not authenticators:
            raise ConfigError("no authentication is configured: give issuers or API keys, or AuthConfig.disabled()")
        judge = authenticators[0] if len(authenticators) == 1 else AuthenticatorChain(authenticators)
        if config.revoked:
            judge = RevokingAuthenticator(judge, translation.revocations(config.revoked))
        if config.oidc is None:
            return judge
        # Around them all, so that one lookup finds whoever has been here before, by whichever way they came in.
        return CachingAuthenticator(
            judge,
            size=config.oidc.token_cache_size,
            ttl=config.oidc.token_cache_ttl_secs,
            generation=self._generation,
            clock=self._clock,
        )

    def _issuers(self, oidc: OidcConfig, jwks_cache_dir: str | None) -> list[Issuer]:
        tls = cache(tls_context)  # one for all issuers without a ca_file: each takes some 20 ms to make
        key_sets: dict[str, RemoteKeySet] = {}
        issuers = []
        for issuer in oidc.merged_issuers():
            # All that decides which keys are fetched and how; what else an entry says is in its policy.
            same = repr((_source_fields(issuer), oidc.fetch_timeout_secs, jwks_cache_dir, _times(oidc)))
            keys = self._key_sets.get(same) or self._key_set(issuer, oidc, jwks_cache_dir, tls)
            key_sets[same] = keys
            issuers.append(Issuer(translation.policy(issuer), keys))
        self._keep(key_sets)
        return issuers

    def _keep(self, key_sets: dict[str, RemoteKeySet]) -> None:
        before, self._key_sets = self._key_sets, key_sets
        for name, keys in key_sets.items():
            if name not in before:
                keys.start()
        for name, keys in before.items():
            if name not in key_sets:
                keys.close()

    def _key_set(
        self,
        issuer: IssuerConfig,
        oidc: OidcConfig,
        jwks_cache_dir: str | None,
        tls: Callable[[str | None], SSLContext],
    ) -> RemoteKeySet:
        try:
            trusted = tls(issuer.ca_file)
        except OSError as error:
            index = [entry.ca_file for entry in oidc.issuers].index(issuer.ca_file)
            raise ConfigError(f"issuers.{index}.ca_file: {error.strerror or type(error).__name__}") from None
        store = None if jwks_cache_dir is None else JwksStore(Path(jwks_cache_dir), issuer.issuer)
        source = translation.key_source(issuer, oidc, trusted, store)
        return RemoteKeySet(
            issuer.issuer,
            partial(fetch_keys, source),
            refresh_interval=oidc.jwks_refresh_interval_secs,
            max_stale=oidc.jwks_max_stale_secs,
            on_withdrawal=self._generation.advance,
            stored=stored_keys(source),
            clock=self._clock,
        )


def _source_fields(issuer: IssuerConfig) -> dict[str, object]:
    return issuer.model_dump(
        include={"issuer", "aliases", "discovery_url", "jwks_uri", "ca_file", "allowed_jwks_hosts"}
    )


def _times(oidc: OidcConfig) -> tuple[float, float]:
    return oidc.jwks_refresh_interval_secs, oidc.jwks_max_stale_secs
