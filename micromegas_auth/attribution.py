"""On whose behalf: the x-user-* headers resolved against who authenticated."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import unquote

import msgspec

from micromegas_auth.errors import PermissionDenied, Reason
from micromegas_auth.identity import AuthContext, AuthType
from micromegas_auth.text import is_safe

HeaderValue: TypeAlias = str | bytes | Sequence[str | bytes]
Headers: TypeAlias = Mapping[str, HeaderValue]

MAX_HEADER_LENGTH = 256

_NOTHING: frozenset[str] = frozenset()
_SERVICE_ACCOUNT = frozenset({"service_account"})
_ID = frozenset({"user_id"})
_ID_AND_EMAIL = frozenset({"user_id", "user_email"})


class UserAttribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """For whom a request is made, and with what.

    Attributes:
        user_id: The subject itself, or the person named by x-user-id.
        user_email: The e-mail of the token, or x-user-email.
        user_name: x-user-name, a display name.
        org_id: x-org-id, Grafana's organisation.
        client_type: x-client-type, such as `python` or `grafana`.
        service_account: The authenticated subject, where it works for somebody else.
        verified: The names of the fields above that the authentication itself vouches for. Every other field that is
            set was asserted by the caller, which a delegating caller is trusted to do truthfully.
    """

    user_id: str | None = None
    user_email: str | None = None
    user_name: str | None = None
    org_id: str | None = None
    client_type: str | None = None
    service_account: str | None = None
    verified: frozenset[str] = frozenset()


class Caller(msgspec.Struct, frozen=True, gc=False):
    """What the front door hands to a server: who authenticated, and on whose behalf.

    Attributes:
        auth: Who authenticated, and what they may do.
        attribution: On whose behalf, and with what client.
    """

    auth: AuthContext
    attribution: UserAttribution


def resolve_attribution(headers: Headers, auth: AuthContext) -> UserAttribution:
    """Resolve x-user-id, x-user-email, x-user-name, x-org-id and x-client-type against `auth`.

    A caller that may delegate is believed; any other may only be itself, and then the identity of the token stands in
    the result, not the header's spelling of it. Values are percent-decoded UTF-8, as Grafana sends them.

    Args:
        headers: Lower-case name to value or values. No other header than the five is looked at.
        auth: Who authenticated.

    Raises:
        PermissionDenied: A header names somebody else (IMPERSONATION), or is repeated, longer than 256 characters, no
            UTF-8, or holds control characters (MALFORMED_ATTRIBUTION).
    """
    # Most requests have one of the five or two: looking costs less than reading.
    user_id = _read(headers, "x-user-id") if "x-user-id" in headers else None
    user_email = _read(headers, "x-user-email") if "x-user-email" in headers else None
    user_name = _read(headers, "x-user-name") if "x-user-name" in headers else None
    org_id = _read(headers, "x-org-id") if "x-org-id" in headers else None
    client_type = _read(headers, "x-client-type") if "x-client-type" in headers else None
    service_account: str | None = None
    verified = _NOTHING

    if auth.allow_delegation and (user_id is not None or user_email is not None):
        if auth.auth_type is not AuthType.ANONYMOUS:
            service_account = auth.subject
            verified = _SERVICE_ACCOUNT
    else:
        if user_id is not None and user_id != auth.subject:
            raise PermissionDenied(Reason.IMPERSONATION, f"x-user-id is not that of {auth.subject}")
        if auth.email is not None:
            # Case folding can only make two spellings of one claim meet: what is kept is the token's own.
            if user_email is not None and user_email.casefold() != auth.email.casefold():
                raise PermissionDenied(Reason.IMPERSONATION, f"x-user-email is not that of {auth.subject}")
            user_email = auth.email
        user_id = auth.subject
        if auth.auth_type is not AuthType.ANONYMOUS:
            verified = _ID_AND_EMAIL if auth.email_verified else _ID

    return UserAttribution(
        user_id=user_id,
        user_email=user_email,
        user_name=user_name,
        org_id=org_id,
        client_type=client_type,
        service_account=service_account,
        verified=verified,
    )


def single_value(value: HeaderValue) -> str | bytes | None:
    """The one value of a header, or None where there are none or several."""
    if isinstance(value, (str, bytes)):
        return value
    return value[0] if len(value) == 1 else None


def _read(headers: Headers, name: str) -> str | None:
    values = headers[name]
    if not values:
        return None
    value = single_value(values)
    if value is None:
        raise PermissionDenied(Reason.MALFORMED_ATTRIBUTION, f"{name} is repeated")
    # Three bytes of percent-encoding for one of UTF-8, four of those for a character: longer is never within the cap.
    if len(value) > MAX_HEADER_LENGTH * 12:
        raise PermissionDenied(Reason.MALFORMED_ATTRIBUTION, f"{name} is longer than {MAX_HEADER_LENGTH} characters")
    try:
        text = value if isinstance(value, str) else value.decode("utf-8")
        if "%" in text:
            text = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise PermissionDenied(Reason.MALFORMED_ATTRIBUTION, f"{name} is not UTF-8") from None
    if not text:
        return None  # Grafana sends the header empty where its user has no such attribute
    if not is_safe(text, MAX_HEADER_LENGTH):
        raise PermissionDenied(Reason.MALFORMED_ATTRIBUTION, f"{name} is too long or holds control characters")
    return text
