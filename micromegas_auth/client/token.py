"""What a token endpoint answers (RFC 6749 section 5): a token with its times, or an error."""

from dataclasses import dataclass, field
from typing import Any

from micromegas_auth.text import is_token68

DEFAULT_LIFE = 300.0  # seconds, where the answer names none
MAX_LIFE = 86400.0  # seconds: longer than a day nothing is kept, whatever the answer says
MIN_AHEAD = 60.0  # seconds

# RFC 6749 section 5.2, RFC 8707 section 2, and two of RFC 6749 section 4.1.2.1 that token endpoints send as well. Any
# other code is the provider's own text, and is not shown.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
    }
)


class TokenError(Exception):
    """There is no token. The message says why, and holds nothing of what the provider sent but its error code."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Its repr does not show it.

    Attributes:
        value: The token.
        expires_at: When it expires, in seconds since the epoch.
        refresh_at: When to ask for the next one: a fifth of its life ahead, at least 60 s, at most half its life.
    """

    value: str = field(repr=False)
    expires_at: float
    refresh_at: float


def parse_answer(status: int, answer: Any, asked_at: float) -> Token:
    """The token in the answer of a token endpoint.

    Args:
        status: The HTTP status.
        answer: The JSON.
        asked_at: When it was asked for, in seconds since the epoch; its life is counted from then.

    Raises:
        TokenError: It is an error, or no usable bearer token.
    """
    if not isinstance(answer, dict):
        raise TokenError(f"the answer is no object (status {status})")
    value = answer.get("access_token")
    if status != 200 or value is None:  # some say 200 to errors too
        raise TokenError(f"the provider refuses: {_code(answer.get('error'))} (status {status})")
    if not isinstance(value, str) or not is_token68(value):  # RFC 6750 section 2.1: what may stand in the header
        raise TokenError("the access_token is malformed")
    kind = answer.get("token_type")
    if (
        not isinstance(kind, str) or kind.lower() != "bearer"
    ):  # RFC 6749 section 7.1: case insensitive, unknown ones unusable
        raise TokenError("the token_type is not Bearer")
    life = _life(answer.get("expires_in"))
    ahead = min(max(life / 5, MIN_AHEAD), life / 2)
    return Token(value, asked_at + life, asked_at + life - ahead)


def _code(error: Any) -> str:
    return error if isinstance(error, str) and error in _ERRORS else "without an error code we know"


def _life(expires_in: Any) -> float:
    # The token itself is not read: it is the API's business, and may be no JWT (RFC 6749 section 1.4).
    if expires_in is None:  # RFC 6749 section 5.1: only recommended
        return DEFAULT_LIFE
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdigit() and len(expires_in) < 16:
        expires_in = int(expires_in)  # Azure's older endpoint writes it as a text
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        raise TokenError("expires_in is malformed")
    if not expires_in > 0:
        raise TokenError("the token has already expired")
    return float(min(expires_in, MAX_LIFE))
