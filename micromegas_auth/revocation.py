"""What is refused although it is valid: the deny list."""

from dataclasses import dataclass

from micromegas_auth.errors import Reason, Unauthenticated
from micromegas_auth.identity import AuthContext, Authenticator, AuthType, Credential, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """The deny list, ready to look up.

    Attributes:
        api_keys: Names of API keys.
        tokens: Token ids (`jti`) of any issuer, or (issuer, token id).
        subjects: (issuer, subject).
        key_ids: (issuer, kid).
        issued_before: (issuer, subject) to the time, in seconds since the epoch, before which tokens are refused.
    """

    api_keys: frozenset[str] = frozenset()
    tokens: frozenset[str | tuple[str, str]] = frozenset()
    subjects: frozenset[tuple[str, str]] = frozenset()
    key_ids: frozenset[tuple[str, str]] = frozenset()
    issued_before: tuple[tuple[tuple[str, str], float], ...] = ()

    def why(self, auth: AuthContext) -> str | None:
        """Why `auth` is revoked, for the log; None where it is not."""
        if auth.auth_type is AuthType.API_KEY:
            return "API key" if auth.subject in self.api_keys else None
        issuer = auth.issuer or ""
        if auth.token_id is not None and (auth.token_id in self.tokens or (issuer, auth.token_id) in self.tokens):
            return "jti"
        if (issuer, auth.subject) in self.subjects:
            return "subject"
        if auth.key_id is not None and (issuer, auth.key_id) in self.key_ids:
            return "kid"
        for identity, moment in self.issued_before:
            # A token that does not say when it was issued may be an old one.
            if identity == (issuer, auth.subject) and (auth.issued_at is None or auth.issued_at < moment):
                return "issued_before"
        return None


class RevokingAuthenticator:
    """Refuses what another authenticator has accepted and the deny list names.

    Args:
        inner: Who decides.
        revocations: The deny list.
    """

    def __init__(self, inner: Authenticator, revocations: Revocations) -> None:
        self._inner = inner
        self._revocations = revocations

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """See `Authenticator.authenticate`. Raises Unauthenticated (REVOKED) besides."""
        decision = self._inner.authenticate(credential, wait)
        if decision is not None and (why := self._revocations.why(decision.auth)) is not None:
            raise Unauthenticated(Reason.REVOKED, why)
        return decision
