"""API keys: one dict lookup by SHA-256 digest, however many there are."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from micromegas_auth.errors import Reason, Unauthenticated
from micromegas_auth.identity import AuthContext, AuthType, Credential, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key. The key itself is never kept.

    Attributes:
        name: Whose it is; several keys of one name are a rotation.
        digest: Its SHA-256.
        expires_at: When it expires, in seconds since the epoch, None for never.
        allow_delegation: Whether its holder may name the user it works for.
    """

    name: str
    digest: bytes
    expires_at: float | None = None
    allow_delegation: bool = True


class ApiKeyAuthenticator:
    """Judges credentials whose digest it knows; None for every other.

    The lookup is not done in constant time and need not be: what its time could tell is how the digests of guesses
    compare, and nobody can choose those.

    Args:
        keys: The keys, each digest once.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, keys: Iterable[ApiKey], *, clock: Callable[[], float] = time.time) -> None:
        self._by_digest = {
            key.digest: Decision(
                AuthContext(
                    subject=key.name,
                    auth_type=AuthType.API_KEY,
                    expires_at=key.expires_at,
                    allow_delegation=key.allow_delegation,
                )
            )
            for key in keys
        }
        self._clock = clock

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """See `Authenticator.authenticate`; never waits."""
        decision = self._by_digest.get(credential.digest)
        if decision is None:
            return None
        auth = decision.auth
        if auth.expires_at is not None and self._clock() >= auth.expires_at:
            raise Unauthenticated(Reason.API_KEY_EXPIRED, f"API key {auth.subject}")
        return decision
