"""The front door: request headers in, a Caller out. Every adapter comes through here, and the catch-all is here."""

import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, NoReturn

from micromegas_auth.attribution import Caller, Headers, HeaderValue, resolve_attribution, single_value
from micromegas_auth.errors import AuthError, ProviderUnavailable, Reason, Unauthenticated, WouldBlock
from micromegas_auth.identity import AuthContext, Authenticator, Credential, Decision, Remembered
from micromegas_auth.security_log import RefusalLog, log_authenticated, place_of
from micromegas_auth.text import is_token68

# OpenSSL looks a new hash up by its name each time, which on a call's fresh thread costs more than the hashing.
_SHA256 = sha256()
_MALFORMED = "not 'Bearer' and one token"


class RequestAuthenticator:
    """Decides who makes a request. Made by `build_authenticator`; safe to use from any number of threads.

    Args:
        authenticator: Judges the credential.
        max_token_bytes: A longer credential is refused before anything looks into it.
        anonymous: Who every caller is, where authentication is switched off; else None.
        on_close: Called by `close`, each once.
        key_ages: What `key_ages` answers.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        max_token_bytes: int,
        anonymous: AuthContext | None = None,
        on_close: Iterable[Callable[[], None]] = (),
        key_ages: Callable[[], dict[str, float | None]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._max_length = max_token_bytes + len("Bearer ")
        self._anonymous = Decision(anonymous) if anonymous is not None else None
        self._on_close = on_close
        self._key_ages = key_ages
        self._refusals = RefusalLog(clock)

    def authenticate(self, headers: Headers, wait: bool = True) -> Caller:
        """Decide who makes the request with these headers; wait for an issuer's keys if need be (at most 2 s).

        Args:
            headers: Lower-case name to a value or a list of values, text or bytes.
            wait: Whether this call may wait; `authenticate_nowait` is for those that may not.

        Raises:
            Unauthenticated: There is no valid credential.
            PermissionDenied: The x-user-* headers are malformed or name somebody this caller may not act for.
            ProviderUnavailable: The credential cannot be judged now.
            WouldBlock: Only with `wait=False`.
        """
        try:
            decision = self._anonymous
            if decision is None:
                credential = self._credential(headers)
                decision = self._authenticator.authenticate(credential, wait)
                if decision is None:
                    _refuse_unknown(credential.token)
            # The same identity with the same headers is the same Caller, and clients send the same ones each time.
            get = headers.get
            named = (get("x-user-id"), get("x-user-email"), get("x-user-name"), get("x-org-id"), get("x-client-type"))
            last = decision.last
            if last is not None and last.named == named:
                known: Caller = last.caller
                return known
            return self._attributed(decision, headers, named)
        except WouldBlock:
            raise
        except Exception as error:  # noqa: BLE001 - the one catch-all: what it lets out has a fixed text
            raise self._refusal(error) from None

    def authenticate_nowait(self, headers: Headers) -> Caller | None:
        """The same, but None where it would have to wait; for event loops. Raises like `authenticate`."""
        try:
            return self.authenticate(headers, wait=False)
        except WouldBlock:
            return None

    def replace(self, authenticator: Authenticator, *, max_token_bytes: int) -> None:
        """Judge by other rules from now on; requests under way end by those they began with."""
        self._authenticator = authenticator
        self._max_length = max_token_bytes + len("Bearer ")

    def key_ages(self) -> dict[str, float | None]:
        """Of each issuer, for how many seconds its keys have not been fetched anew; None where they never were.

        For a metric: one that grows beyond `jwks_refresh_interval_secs` is an issuer that does not answer.
        """
        return self._key_ages()

    def close(self) -> None:
        """Stop the background threads. Calls after it are judged with the keys known by then."""
        for close in self._on_close:
            close()
        self._refusals.flush()

    def _refusal(self, error: Exception) -> AuthError:
        if not isinstance(error, AuthError):
            # The type and place alone: an exception's text may quote the token it failed on.
            error = ProviderUnavailable(Reason.INTERNAL_ERROR, place_of(error))
        self._refusals.add(error)
        return error

    def _credential(self, headers: Headers) -> Credential:
        """What stands behind `Bearer` (RFC 6750 section 2.1: the scheme in any case, one or more spaces)."""
        values = headers.get("authorization")
        # A list of one is what servers hand over.
        value: Any = values[0] if type(values) is list and len(values) == 1 else _single(values)
        if len(value) > self._max_length:
            raise Unauthenticated(Reason.CREDENTIAL_TOO_LARGE, f"over {self._max_length - len('Bearer ')} bytes")
        if type(value) is bytes:
            value = value.decode("latin-1")  # what is not ASCII is refused below
        # The spelling that everybody uses costs less to read.
        token: str = value[7:] if value[:7] == "Bearer " else _behind_scheme(value)
        # Whether all of it is token68 is left to whoever looks into it: an API key is known by its digest alone, and a
        # JWT has a narrower alphabet. These are the likely mistakes: two values joined into one, parameters.
        if (" " in token or "," in token) and (" " in (token := token.lstrip(" ")) or "," in token):
            raise Unauthenticated(Reason.MALFORMED_AUTHORIZATION, _MALFORMED)
        digest = _SHA256.copy()
        try:
            digest.update(token.encode("ascii"))
        except UnicodeEncodeError:
            raise Unauthenticated(Reason.MALFORMED_AUTHORIZATION, _MALFORMED) from None
        return Credential(token, digest.digest())

    def _attributed(self, decision: Decision, headers: Headers, named: tuple[HeaderValue | None, ...]) -> Caller:
        caller = Caller(decision.auth, resolve_attribution(headers, decision.auth))
        if decision.last is None:
            log_authenticated(decision.auth)
        # Copied, so that a list which its owner changes later is seen to have changed.
        decision.last = Remembered(tuple([value and value[:] for value in named]), caller)
        return caller


def _single(values: HeaderValue | None) -> str | bytes:
    if not values:
        raise Unauthenticated(Reason.MISSING_CREDENTIAL, "no authorization header")
    value = single_value(values)
    if value is None:
        raise Unauthenticated(Reason.MALFORMED_AUTHORIZATION, "several authorization values")
    return value


def _behind_scheme(value: str) -> str:
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(Reason.MALFORMED_AUTHORIZATION, _MALFORMED)
    return token


def _refuse_unknown(token: str) -> NoReturn:
    if not is_token68(token):
        raise Unauthenticated(Reason.MALFORMED_AUTHORIZATION, _MALFORMED)
    raise Unauthenticated(Reason.UNKNOWN_CREDENTIAL, "neither a known API key nor a JWT")
