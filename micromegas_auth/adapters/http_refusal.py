"""What an HTTP client is told whose request is refused, and what the log says of it."""

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from micromegas_auth.errors import AuthError, PermissionDenied, ProviderUnavailable, Reason
from micromegas_auth.security_log import BURST, WINDOW
from micromegas_auth.text import fields

# RFC 6750 section 3: at least one parameter must follow the scheme.
CHALLENGE = 'Bearer realm="micromegas"'

_URL = re.compile(r"https?://[!#-\[\]-~]+")  # fit for a quoted string as it is (RFC 9110 section 5.6.4)
_logger = logging.getLogger("micromegas_auth")


@dataclass(frozen=True)
class Refusal:
    """A response.

    Attributes:
        status: The HTTP status.
        headers: Lower-case names and values.
        body: JSON: a fixed text, and the id of the request, under which the log says why.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Refusals:
    """Makes the responses and logs them, at most 10 of each Reason in 10 seconds above debug level.

    Args:
        resource_metadata: The URL of the metadata of this protected resource (RFC 9728 section 5.1), if there is one.
        clock: The time, in seconds.

    Raises:
        ValueError: `resource_metadata` is no URL of printable ASCII.
    """

    def __init__(self, resource_metadata: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if resource_metadata is not None and not _URL.fullmatch(resource_metadata):
            raise ValueError("resource_metadata must be an http or https URL of printable ASCII")
        self._metadata = f', resource_metadata="{resource_metadata}"' if resource_metadata is not None else ""
        self._clock = clock
        self._windows: dict[Reason, tuple[float, int]] = {}  # when each began, and how many lines it has

    def __call__(self, error: AuthError) -> Refusal:
        """The response to a request that `error` ended."""
        # Our own: a number that the client sends would be one more text from outside in the log.
        request_id = secrets.token_hex(8)
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        match error:
            case PermissionDenied():
                status = 403
            case ProviderUnavailable():
                status = 503
                headers["retry-after"] = str(math.ceil(error.retry_after))  # whole seconds: RFC 9110 section 10.2.3
            case _:
                status = 401
                # RFC 6750 section 3.1: no error code where no credential was sent.
                code = "" if error.reason is Reason.MISSING_CREDENTIAL else ', error="invalid_token"'
                headers["www-authenticate"] = CHALLENGE + code + self._metadata
        self._log(error, status, request_id)
        body = json.dumps({"error": error.public_message, "request_id": request_id}).encode()
        headers["content-length"] = str(len(body))
        return Refusal(status, headers, body)

    def _log(self, error: AuthError, status: int, request_id: str) -> None:
        # No lock: two event loops that share this may at worst write a line too many.
        now = self._clock()
        began, lines = self._windows.get(error.reason, (now, 0))
        if now - began >= WINDOW:
            began, lines = now, 0
        self._windows[error.reason] = began, lines + 1
        level = logging.INFO if lines < BURST else logging.DEBUG
        if _logger.isEnabledFor(level):
            pairs = [
                ("status", status),
                ("request_id", request_id),
                ("reason", error.reason.value),
                ("detail", error.detail or None),
            ]
            _logger.log(level, "answered: %s", fields(pairs, frozenset({"detail"})))
