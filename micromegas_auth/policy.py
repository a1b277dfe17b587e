"""What the configuration demands of an issuer's tokens, as plain immutable values."""

from dataclasses import dataclass

# The asymmetric algorithms this library knows (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2);
# `Ed25519` is the new name of EdDSA over Curve25519 and goes wherever EdDSA goes.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)

DEFAULT_EMAIL_CLAIMS = (
    "verified_primary_email",
    "email",
    "https://micromegas.io/email",
    "preferred_username",
    "upn",
    "unique_name",
)
# Claims a user can often change at will: shown, never trusted (Microsoft and OIDC Core 5.7 both warn of them).
USER_MUTABLE_CLAIMS = frozenset({"preferred_username", "upn", "unique_name", "nickname", "name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPolicy:
    """What a token of one issuer must satisfy, and how its claims are read.

    Attributes:
        issuer: The issuer; the exact text of `iss` (RFC 7519 section 4.1.1).
        audiences: At least one of them must be in `aud` (RFC 7519 section 4.1.3).
        aliases: Other texts of `iss` that mean this issuer.
        algorithms: The permitted values of `alg`.
        leeway: Clock skew in seconds granted to `exp`, `nbf` and `iat`.
        require_typ: `JWT` or `at+jwt` where the header must say so (RFC 9068 section 4), else None.
        trust_email: Whether this issuer's e-mail claims count as verified where it sends no `email_verified`.
        email_claims: The claims to look for an e-mail in, best first.
        delegates: Subjects that may name the user they work for although their tokens look like a user's.
    """

    issuer: str
    audiences: frozenset[str]
    aliases: frozenset[str] = frozenset()
    algorithms: frozenset[str] = ALGORITHMS
    leeway: float = 60.0
    require_typ: str | None = None
    trust_email: bool = False
    email_claims: tuple[str, ...] = DEFAULT_EMAIL_CLAIMS
    delegates: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admins:
    """Who is an admin.

    Attributes:
        anywhere: Subjects or verified e-mails, whichever issuer they come from.
        subjects: (issuer, subject) pairs.
        emails: (issuer, verified e-mail) pairs.
    """

    anywhere: frozenset[str] = frozenset()
    subjects: frozenset[tuple[str, str]] = frozenset()
    emails: frozenset[tuple[str, str]] = frozenset()
