"""Tokens of OpenID Connect issuers: route by issuer, get its keys, verify, read the claims."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from micromegas_auth.claims import auth_context
from micromegas_auth.errors import Reason, Unauthenticated
from micromegas_auth.identity import AuthContext, Credential, Decision
from micromegas_auth.jwks import MAX_WAIT_SECONDS, RemoteKeySet
from micromegas_auth.policy import Admins, IssuerPolicy
from micromegas_auth.text import fields, quoted
from micromegas_auth.verify import UnverifiedToken, accepted_audience, parse_token, verify_token

_logger = logging.getLogger("micromegas_auth")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer that is trusted.

    Attributes:
        policy: What its tokens must satisfy.
        keys: Its keys.
    """

    policy: IssuerPolicy
    keys: RemoteKeySet


class OidcAuthenticator:
    """Judges every credential that looks like a JWT.

    Args:
        issuers: The issuers that are trusted.
        admins: Who is an admin.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, issuers: Iterable[Issuer], admins: Admins, *, clock: Callable[[], float] = time.time) -> None:
        self._issuers = {name: issuer for issuer in issuers for name in (issuer.policy.issuer, *issuer.policy.aliases)}
        self._admins = admins
        self._clock = clock
        self._warned: set[tuple[str, str]] = set()  # holds no more than the admins times the issuers

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """See `Authenticator.authenticate`. None for what has no dots, as the parts of a JWT have."""
        if "." not in credential.token:
            return None
        token = parse_token(credential.token)
        issuer = self._issuer_of(token)
        claims, key_id = self._verify(token, issuer, wait)
        audience = accepted_audience(claims, issuer.policy)
        auth = auth_context(claims, issuer.policy, self._admins, audience=audience, key_id=key_id)
        self._warn_of_unverified_admin(auth)
        return Decision(auth)

    def _issuer_of(self, token: UnverifiedToken) -> Issuer:
        unverified_issuer = token.unverified_claims.get("iss")
        issuer = self._issuers.get(unverified_issuer) if isinstance(unverified_issuer, str) else None
        if issuer is None:
            shown = quoted(unverified_issuer[:256]) if isinstance(unverified_issuer, str) else "none"
            raise Unauthenticated(Reason.UNKNOWN_ISSUER, f"iss is {shown}")
        return issuer

    def _verify(self, token: UnverifiedToken, issuer: Issuer, wait: bool) -> tuple[dict[str, Any], str | None]:
        keys = issuer.keys.current()
        deadline: float | None = None
        while True:
            if keys is not None:
                try:
                    return verify_token(token, keys, issuer.policy, self._clock())
                except Unauthenticated as error:
                    if error.reason is not Reason.UNKNOWN_KEY:
                        raise
            if wait and deadline is None:
                deadline = time.monotonic() + MAX_WAIT_SECONDS
            # Ends: each turn waits for a fetch until the deadline, and after one of its own newer_than refuses.
            keys = issuer.keys.newer_than(keys, deadline)

    def _warn_of_unverified_admin(self, auth: AuthContext) -> None:
        if auth.email is None or auth.email_verified or auth.is_admin or auth.issuer is None:
            return
        pair = (auth.issuer, auth.email)
        if (auth.email in self._admins.anywhere or pair in self._admins.emails) and pair not in self._warned:
            self._warned.add(pair)
            _logger.warning(
                "an admin's e-mail came in unverified and makes no admin (see trust_email): %s",
                fields([("issuer", auth.issuer), ("email", auth.email), ("subject", auth.subject)]),
            )
