"""Tokens for a service account: the client credentials grant (RFC 6749 section 4.4)."""

import base64
import time
from collections.abc import Callable
from typing import Literal, Self
from urllib.parse import quote_plus

from micromegas_auth.client.token import Token, TokenError, parse_answer
from micromegas_auth.client.token_source import TokenSource
from micromegas_auth.discovery import fetch_metadata
from micromegas_auth.environment import read_text
from micromegas_auth.errors import ConfigError
from micromegas_auth.fetch import FetchError, is_trustworthy_url, post_form, tls_context


class ClientCredentials(TokenSource):
    """Access tokens of a service account, each kept until shortly before it expires.

    Args:
        client_id: The service account.
        client_secret: Its secret; it goes to the token endpoint and nowhere else.
        token_endpoint: Where tokens are; https, or http on a loopback host.
        issuer: Whose discovery document names the token endpoint. One of the two is given.
        audience: For which API, where the provider wants to know (Auth0, Okta).
        scope: Which scopes to ask for, separated by spaces.
        auth_method: How the secret is sent (RFC 6749 section 2.3.1): in a header or in the form.
        timeout: The total deadline of getting a token, in seconds.
        clock: The time, in seconds since the epoch.

    Raises:
        ConfigError: The client or the place of its tokens is not given, or that place is not safe.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_endpoint: str | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        scope: str | None = None,
        auth_method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic",
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not client_id or not client_secret:
            raise ConfigError("client_id and client_secret are both needed")
        if (token_endpoint is None) == (issuer is None):
            raise ConfigError("one of token_endpoint and issuer is needed, and not both")
        if not is_trustworthy_url(token_endpoint or issuer or ""):
            raise ConfigError("token_endpoint or issuer: must be an https URL (http only on a loopback host)")
        super().__init__(client_id, timeout, clock)
        self._token_endpoint = token_endpoint
        self._issuer = issuer or ""
        self._form = {"grant_type": "client_credentials"}
        self._headers = {}
        match auth_method:
            case "client_secret_basic":
                pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
                self._headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            case "client_secret_post":
                self._form |= {"client_id": client_id, "client_secret": client_secret}
            case _:
                raise ConfigError("auth_method: must be client_secret_basic or client_secret_post")
        self._form |= {name: value for name, value in (("audience", audience), ("scope", scope)) if value}
        self._tls = tls_context(None)

    @classmethod
    def from_env(cls) -> Self:
        """From the variables that the Rust sink and the Python client of Micromegas read, sent as they do.

        MICROMEGAS_OIDC_TOKEN_ENDPOINT, or else MICROMEGAS_OIDC_ISSUER; MICROMEGAS_OIDC_CLIENT_ID and
        MICROMEGAS_OIDC_CLIENT_SECRET; MICROMEGAS_OIDC_AUDIENCE and MICROMEGAS_OIDC_SCOPE. Each may be given as
        `<variable>_FILE`, the name of a file.

        Raises:
            ConfigError: A variable is missing or malformed. Names it, never a value.
        """
        endpoint, issuer = _read("TOKEN_ENDPOINT"), _read("ISSUER")
        if endpoint is None and issuer is None:
            raise ConfigError("neither MICROMEGAS_OIDC_TOKEN_ENDPOINT nor MICROMEGAS_OIDC_ISSUER is set")
        return cls(
            client_id=_needed("CLIENT_ID"),
            client_secret=_needed("CLIENT_SECRET"),
            token_endpoint=endpoint,
            issuer=None if endpoint else issuer,
            audience=_read("AUDIENCE"),
            scope=_read("SCOPE"),
            auth_method="client_secret_post",
        )

    def fetch(self) -> Token:
        """Ask the token endpoint. Raises TokenError."""
        asked_at = self._clock()
        try:
            if self._token_endpoint is not None:
                endpoint, timeout = self._token_endpoint, self._timeout
            else:
                timeout = self._timeout / 2  # for each of the two requests
                endpoint = self._discover(timeout)
            answer = post_form(endpoint, self._form, headers=self._headers, timeout=timeout, tls=self._tls)
        except FetchError as error:
            raise TokenError(str(error)) from None
        return parse_answer(answer.status, answer.content, asked_at)

    def _discover(self, timeout: float) -> str:
        # Checked to be this issuer's: else another provider would be given the secret.
        document = fetch_metadata(self._issuer, {self._issuer}, timeout=timeout, tls=self._tls)
        endpoint = document.get("token_endpoint")
        if not isinstance(endpoint, str) or not is_trustworthy_url(endpoint):
            raise FetchError("the discovery document names no https token_endpoint")
        return endpoint


def _read(name: str) -> str | None:
    return read_text(f"MICROMEGAS_OIDC_{name}")[0]


def _needed(name: str) -> str:
    value = _read(name)
    if value is None:
        raise ConfigError(f"MICROMEGAS_OIDC_{name} is not set")
    return value
