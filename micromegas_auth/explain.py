"""Why a token is refused: every check, for every issuer, for whoever has the server's configuration."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from micromegas_auth import translation
from micromegas_auth.claims import auth_context
from micromegas_auth.config import AuthConfig
from micromegas_auth.discovery import fetch_keys
from micromegas_auth.entries import IssuerConfig, OidcConfig
from micromegas_auth.errors import AuthError
from micromegas_auth.fetch import FetchError, tls_context
from micromegas_auth.identity import credential_of
from micromegas_auth.policy import Admins
from micromegas_auth.verify import (
    CLAIM_CHECKS,
    UnverifiedToken,
    accepted_audience,
    check_signature,
    check_type,
    parse_token,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one token.

    Attributes:
        issuer: For which configured issuer it was made; None for what concerns all.
        name: What was checked.
        passed: Whether it passed; None where that cannot be told.
        detail: Why not, or what was found. It may quote the token's claims, and is not escaped.
    """

    issuer: str | None
    name: str
    passed: bool | None
    detail: str = ""


def explain(config: AuthConfig, token: str, *, clock: Callable[[], float] = time.time) -> list[Check]:
    """Run every check on an API key or token, and go on after those that fail. Fetches the issuers' keys.

    It says more than any caller may hear: it is for people who have the server's configuration.

    Args:
        config: The server's configuration.
        token: The credential.
        clock: The time, in seconds since the epoch.

    Returns:
        The checks in the order they were made. The token is good where all checks of one issuer have passed.
    """
    if token.isascii():
        digest = credential_of(token).digest.hex()
        for key in config.api_keys:
            if key.key_sha256 == digest:
                expired = key.expires_at is not None and clock() >= key.expires_at.timestamp()
                return [Check(None, "API key", not expired, f"of {key.name}" + (", expired" if expired else ""))]
    checks = [Check(None, "API key", False, "not among the configured keys")]
    try:
        parsed = parse_token(token)
        claims = parsed.unverified_claims
    except AuthError as error:
        return [*checks, Check(None, "form", False, _why(error))]
    checks.append(Check(None, "form", True, f"alg {parsed.unverified_header['alg']}, iss {claims.get('iss')!r}"))
    if config.oidc is not None:
        for issuer in config.oidc.merged_issuers():
            checks += _explain_for(issuer, config.oidc, config, parsed, clock())
    return checks


def _explain_for(
    issuer: IssuerConfig, oidc: OidcConfig, config: AuthConfig, token: UnverifiedToken, now: float
) -> list[Check]:
    policy, claims, key_id = translation.policy(issuer), token.unverified_claims, None
    checks = [_checked(issuer.issuer, "type and algorithm", lambda: check_type(token, policy))]
    try:
        source = translation.key_source(issuer, oidc, tls_context(issuer.ca_file), None)
        keys, _ = fetch_keys(source)
    except (FetchError, OSError) as error:
        checks.append(Check(issuer.issuer, "signature", None, f"keys not fetched: {error}"))
    else:
        known = ", ".join(key.kid or "(no kid)" for key in keys.keys)
        skipped = "".join(f"; key {key.index} skipped: {key.reason}" for key in keys.skipped)
        try:
            key_id = check_signature(token, keys).kid
            checks.append(Check(issuer.issuer, "signature", True, f"by key {key_id}"))
        except AuthError as error:
            checks.append(Check(issuer.issuer, "signature", False, f"{_why(error)}; keys: {known}{skipped}"))
    for check in CLAIM_CHECKS:
        name = check.__name__.removeprefix("_check_")
        checks.append(_checked(issuer.issuer, name, lambda check=check: check(claims, policy, now)))  # type: ignore[misc]
    if all(check.passed for check in checks):
        auth = auth_context(claims, policy, Admins(), audience=accepted_audience(claims, policy), key_id=key_id)
        why = translation.revocations(config.revoked).why(auth)
        checks.append(Check(issuer.issuer, "not revoked", why is None, why or ""))
    return checks


def _checked(issuer: str, name: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except AuthError as error:
        return Check(issuer, name, False, _why(error))
    return Check(issuer, name, True)


def _why(error: AuthError) -> str:
    return f"{error.reason.value}: {error.detail}" if error.detail else error.reason.value
