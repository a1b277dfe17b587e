"""The words of the house: a `Credential` goes in, an `AuthContext` comes out, an `Authenticator` is what decides."""

from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

import msgspec


class AuthType(StrEnum):
    """How a caller proved who they are."""

    API_KEY = "api_key"
    OIDC = "oidc"
    ANONYMOUS = "anonymous"  # authentication is switched off


class AuthContext(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who authenticated. Identity is the pair (issuer, subject): the same subject at another issuer is another person.

    Attributes:
        subject: The `sub` claim of the token, or the name of the API key.
        auth_type: How they proved it.
        email: The first usable claim of the issuer's `email_claims`, None where the token has none.
        email_verified: Whether the issuer vouches for `email`; only such an address makes an admin.
        issuer: The issuer as configured (never an alias of it), None for an API key.
        audience: The member of the token's `aud` that the configuration accepts, None for an API key.
        expires_at: When the credential expires, in seconds since the epoch; None for an API key without expiry.
        is_admin: Whether MICROMEGAS_ADMINS lists this identity. An API key never is.
        allow_delegation: Whether the caller may name, in x-user-* headers, the person it works for.
        groups: The `groups` claim where it is a list of texts, else empty.
        key_id: The `kid` of the key that verified the token (RFC 7517 section 4.5).
        token_id: The `jti` claim (RFC 7519 section 4.1.7).
        issued_at: The `iat` claim, in seconds since the epoch.
    """

    subject: str
    auth_type: AuthType
    email: str | None = None
    email_verified: bool = False
    issuer: str | None = None
    audience: str | None = None
    expires_at: float | None = None
    is_admin: bool = False
    allow_delegation: bool = False
    groups: tuple[str, ...] = ()
    key_id: str | None = None
    token_id: str | None = None
    issued_at: float | None = None


class Credential(msgspec.Struct, frozen=True, gc=False):
    """A bearer token or API key. Its repr shows nothing of it.

    Attributes:
        token: The secret, ASCII.
        digest: Its SHA-256, under which it is looked up.
    """

    token: str
    digest: bytes

    def __repr__(self) -> str:
        return "Credential(...)"


def credential_of(token: str) -> Credential:
    """`token`, an ASCII text, with its digest."""
    return Credential(token, sha256(token.encode()).digest())


class Decision(msgspec.Struct, gc=False):
    """That a credential is good, and whose it is. It may be kept and given again for the same credential.

    Attributes:
        auth: Who authenticated.
        last: Attribution headers that came with the credential, and the Caller they made; kept by the front door. One
            attribute for both, so that threads always see a pair that belongs together.
    """

    auth: AuthContext
    last: "Remembered | None" = None

    def __repr__(self) -> str:
        return "Decision(...)"


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """What the front door made of a decision.

    Attributes:
        named: The attribution headers that came with the credential.
        caller: The Caller they made.
    """

    named: tuple[object, ...]
    caller: Any

    def __repr__(self) -> str:
        return "Remembered(...)"


class Authenticator(Protocol):
    """Judges a credential. Three outcomes: a Decision, None (not my kind of credential), or an AuthError."""

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """Judge `credential`.

        Args:
            credential: What the caller sent.
            wait: Whether this call may wait for the network; else it raises WouldBlock where it would have to.

        Raises:
            AuthError: The credential is of my kind and is refused, or cannot be judged now.
            WouldBlock: Only with `wait=False`.
        """
