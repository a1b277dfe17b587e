"""What the verified claims of a token say about its bearer: e-mail, groups, admin, delegation."""

from typing import Any

from micromegas_auth.identity import AuthContext, AuthType
from micromegas_auth.policy import USER_MUTABLE_CLAIMS, Admins, IssuerPolicy
from micromegas_auth.text import is_safe

MAX_EMAIL_LENGTH = 320
MAX_GROUPS = 1000


def auth_context(
    claims: dict[str, Any], policy: IssuerPolicy, admins: Admins, *, audience: str, key_id: str | None
) -> AuthContext:
    """Read the identity out of claims that have passed `verify_token`.

    Args:
        claims: The claims.
        policy: How this issuer's claims are read.
        admins: Who is an admin.
        audience: The member of `aud` that was accepted.
        key_id: The kid of the key that verified the token.
    """
    subject: str = claims["sub"]
    email, verified_emails = _emails(claims, policy)
    token_id = claims.get("jti")
    return AuthContext(
        subject=subject,
        auth_type=AuthType.OIDC,
        email=email,
        email_verified=email in verified_emails,
        issuer=policy.issuer,
        audience=audience,
        expires_at=float(claims["exp"]),
        is_admin=_is_admin(policy.issuer, subject, verified_emails, admins),
        allow_delegation=subject in policy.delegates or is_service_account(claims),
        groups=_groups(claims.get("groups")),
        key_id=key_id,
        token_id=token_id if isinstance(token_id, str) else None,
        issued_at=float(claims["iat"]) if "iat" in claims else None,
    )


def is_service_account(claims: dict[str, Any]) -> bool:
    """Whether a token was issued to a client for itself, not for a user who logged in.

    Providers mark the client credentials grant (RFC 6749 section 4.4) each in their own way; RFC 9068 section 2.2 has
    `sub` equal the client. What only a login can leave in a token (OIDC Core section 2) rules it out.
    """
    if "email_verified" in claims or "nonce" in claims or "auth_time" in claims:
        return False
    subject, authorized_party = claims["sub"], claims.get("azp")
    return (
        subject == authorized_party
        or subject == claims.get("client_id")
        or subject == claims.get("cid")  # Okta
        or claims.get("gty") == "client-credentials"  # Auth0
        or (isinstance(authorized_party, str) and subject == f"{authorized_party}@clients")  # Auth0
        or claims.get("idtyp") == "app"  # Microsoft Entra
    )


def _emails(claims: dict[str, Any], policy: IssuerPolicy) -> tuple[str | None, list[str]]:
    """The first usable e-mail in the order of the policy's claims, and all that the issuer vouches for."""
    first: str | None = None
    verified: list[str] = []
    for name in policy.email_claims:
        value = claims.get(name)
        if value is None:
            continue
        if name == "verified_primary_email" and isinstance(value, list) and value:  # a list at Microsoft Entra
            value = value[0]
        if isinstance(value, str) and is_safe(value, MAX_EMAIL_LENGTH):
            if first is None:
                first = value
            if _is_verified(name, claims, policy):
                verified.append(value)
    return first, verified


def _is_verified(name: str, claims: dict[str, Any], policy: IssuerPolicy) -> bool:
    if name in USER_MUTABLE_CLAIMS:
        return False
    # OIDC Core section 5.1: email_verified is a JSON boolean, and vouches for `email` alone.
    if name == "email" and claims.get("email_verified") is True:
        return True
    # Trusting an issuer where it is silent; where it says anything but true, it is believed.
    return policy.trust_email and claims.get("email_verified", True) is True


def _is_admin(issuer: str, subject: str, verified_emails: list[str], admins: Admins) -> bool:
    if subject in admins.anywhere or (issuer, subject) in admins.subjects:
        return True
    if not admins.anywhere.isdisjoint(verified_emails):
        return True
    return not admins.emails.isdisjoint([(issuer, email) for email in verified_emails])


def _groups(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    # A text is no list of groups, and an overage claim (Microsoft's `_claim_names`) is never followed.
    if not isinstance(value, list) or len(value) > MAX_GROUPS or not all(isinstance(group, str) for group in value):
        return ()
    return tuple(value)
