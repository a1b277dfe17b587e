"""From an issuer to its keys: OpenID Connect Discovery 1.0 section 4, then the JWK Set it names."""

import logging
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from micromegas_auth.fetch import FetchError, get_json, is_trustworthy_url
from micromegas_auth.jwks_store import JwksStore
from micromegas_auth.keyset import KeySet, parse_jwks
from micromegas_auth.text import fields, quoted

MIN_REFRESH_SECONDS = 60.0

_logger = logging.getLogger("micromegas_auth")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|,)\s*no-(?:cache|store)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where the keys of an issuer are found.

    Attributes:
        issuer: The issuer, which the discovery document must name exactly.
        aliases: Other names of it, which the discovery document may use.
        discovery_url: Where the discovery document is, unless at its usual place below the issuer.
        jwks_uri: Where the JWK Set is; no discovery then.
        allowed_jwks_hosts: The hosts that a discovered jwks_uri may name; None for any.
        timeout: The total deadline of each of the (at most two) requests, in seconds.
        tls: Whom to trust.
        store: Where the last good JWK Set is kept, None for nowhere.
    """

    issuer: str
    aliases: frozenset[str] = frozenset()
    discovery_url: str | None = None
    jwks_uri: str | None = None
    allowed_jwks_hosts: frozenset[str] | None = None
    timeout: float = 10.0
    tls: SSLContext
    store: JwksStore | None = None


def fetch_keys(source: KeySource) -> tuple[KeySet, float | None]:
    """Fetch the keys of an issuer.

    Returns:
        The keys, at least one, and for how many seconds the response may be kept (None where it does not say).

    Raises:
        FetchError: A document could not be had, is not this issuer's, or holds no key we can use.
    """
    jwks_uri = source.jwks_uri or _discover(source)
    document = get_json(jwks_uri, timeout=source.timeout, tls=source.tls)
    keys = parse_jwks(document.content)
    if not keys.keys:
        reasons = ", ".join(sorted({skipped.reason for skipped in keys.skipped})) or "it is empty"
        raise FetchError(f"no usable key in the JWK Set: {reasons}")
    if source.store is not None:
        try:
            source.store.save(document.content, time.time())
        except OSError as error:
            _logger.warning("keys not kept on disk: %s", fields([("issuer", source.issuer), ("error", error.strerror)]))
    return keys, freshness_lifetime(document.headers, datetime.now(UTC))


def stored_keys(source: KeySource) -> tuple[KeySet, float] | None:
    """The last good keys from disk and when they were fetched, None where there are none that can be trusted."""
    try:
        stored = source.store.load() if source.store is not None else None
    except (OSError, ValueError) as error:
        _logger.error("stored keys not used: %s", fields([("issuer", source.issuer), ("error", str(error))]))
        return None
    if stored is None:
        return None
    keys = parse_jwks(stored[0])
    return (keys, stored[1]) if keys.keys else None


def fetch_metadata(
    issuer: str, names: Collection[str], url: str | None = None, *, timeout: float, tls: SSLContext
) -> dict[str, Any]:
    """Fetch the discovery document of an issuer (OpenID Connect Discovery 1.0 section 4).

    Args:
        issuer: The issuer.
        names: What it may call itself.
        url: Where the document is, if not where the issuer's name says.
        timeout: The total deadline, in seconds.
        tls: Whom to trust.

    Raises:
        FetchError: It could not be had, or is another issuer's (section 4.3).
    """
    url = url or issuer.rstrip("/") + "/.well-known/openid-configuration"
    document = get_json(url, timeout=timeout, tls=tls).content
    if not isinstance(document, dict):
        raise FetchError("the discovery document is not an object")
    named = document.get("issuer")
    if not isinstance(named, str) or named not in names:
        # Printed, so that a missing or extra slash in the configuration can be mended.
        shown = quoted(named[:256]) if isinstance(named, str) else "nothing"
        raise FetchError(f"the discovery document is another issuer's: it names {shown}")
    return document


def _discover(source: KeySource) -> str:
    names = {source.issuer, *source.aliases}
    document = fetch_metadata(source.issuer, names, source.discovery_url, timeout=source.timeout, tls=source.tls)
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str) or not is_trustworthy_url(jwks_uri):
        raise FetchError("the discovery document names no https jwks_uri")
    if source.allowed_jwks_hosts is not None and urlsplit(jwks_uri).hostname not in source.allowed_jwks_hosts:
        raise FetchError("the jwks_uri of the discovery document is not on one of allowed_jwks_hosts")
    return jwks_uri


def freshness_lifetime(headers: Mapping[str, str], now: datetime) -> float | None:
    """For how many seconds a response is fresh (RFC 9111 section 4.2.1), at least 60; None where it does not say.

    Args:
        headers: The response's headers, lower-case names.
        now: The time, with its zone.
    """
    cache_control = headers.get("cache-control", "")
    if _NO_CACHE.search(cache_control):
        return MIN_REFRESH_SECONDS
    if match := _MAX_AGE.search(cache_control):
        return max(float(match[1]), MIN_REFRESH_SECONDS)
    if (expires := headers.get("expires")) is None:
        return None
    try:
        moment = parsedate_to_datetime(expires)
    except (ValueError, OverflowError):
        return MIN_REFRESH_SECONDS  # RFC 9111 section 5.3: an invalid date means already expired
    if moment.tzinfo is None:  # "-0000": UTC of unknown origin
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), MIN_REFRESH_SECONDS)
