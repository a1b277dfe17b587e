"""What can go wrong, and who may hear of it.

    AuthError               a credential was refused, or could not be judged
    ├── Unauthenticated     401, UNAUTHENTICATED     we do not know who this is
    ├── PermissionDenied    403, PERMISSION_DENIED   we know who this is, and they may not do this
    └── ProviderUnavailable 503, UNAVAILABLE         we cannot tell now; the same call may succeed later
    ConfigError             the configuration is wrong; the server must not start

`str(error)` is a fixed public text, the same for every cause, and safe to send to the caller. Why it happened is in
`reason` (for logs and metrics) and `detail` (for the log only: it may hold text chosen by the caller, so it is
escaped where it is printed).
"""

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Why a request was refused; what to do about each stands in docs/reasons.md."""

    MISSING_CREDENTIAL = "missing_credential"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    CREDENTIAL_TOO_LARGE = "credential_too_large"
    UNKNOWN_CREDENTIAL = "unknown_credential"
    API_KEY_EXPIRED = "api_key_expired"
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - no password
    UNSUPPORTED_HEADER = "unsupported_header"
    UNSUPPORTED_TYPE = "unsupported_type"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED_CLAIM = "malformed_claim"
    MISSING_CLAIM = "missing_claim"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REVOKED = "revoked"
    MALFORMED_ATTRIBUTION = "malformed_attribution"
    IMPERSONATION = "impersonation"
    KEYS_UNAVAILABLE = "keys_unavailable"
    INTERNAL_ERROR = "internal_error"


class AuthError(Exception):
    """Base of every refusal. Raised only as one of its three subclasses.

    Attributes:
        reason: The cause, from a closed list.
        detail: More about it, for the log only. Not safe for the caller, and to be escaped before it is printed.
    """

    public_message: ClassVar[str]

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(self.public_message)
        self.reason = reason
        self.detail = detail

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason.value})"


class Unauthenticated(AuthError):
    """There is no valid credential (HTTP 401, RFC 6750 section 3.1; gRPC UNAUTHENTICATED)."""

    public_message = "unauthenticated: send one valid API key or token as 'authorization: Bearer ...'"


class PermissionDenied(AuthError):
    """The caller is known and may not do this (HTTP 403; gRPC PERMISSION_DENIED)."""

    public_message = "permission denied: the x-user-* headers are malformed or name somebody else"


class ProviderUnavailable(AuthError):
    """The credential cannot be judged now (HTTP 503; gRPC UNAVAILABLE). The caller should try again later.

    Attributes:
        retry_after: When to try again, in seconds. Short whatever the cause: the OTLP exporters drop a batch at once
            that would have to wait beyond their time limit, which is 10 s for all of their attempts together.
    """

    retry_after: ClassVar[float] = 2.0
    public_message = "authentication is temporarily unavailable: try again later"


class ConfigError(Exception):
    """The configuration is wrong. The message names the variable and the field, never a value."""


class WouldBlock(Exception):
    """A decision that may not wait would have to. A signal between rooms: it never leaves the front door."""
