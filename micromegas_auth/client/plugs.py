"""A token source plugged into HTTP clients."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx

from micromegas_auth.client.token import TokenError
from micromegas_auth.client.token_source import TokenSource
from micromegas_auth.fetch import is_trustworthy_url


class BearerAuth(httpx.Auth):
    """The `auth` of an `httpx.Client` or `httpx.AsyncClient` (on asyncio), and of a `requests.Session`.

    A request for which there is no token, or which goes over plain http beyond loopback, is not sent: it raises
    TokenError.

    Args:
        source: Where its tokens come from.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def __call__(self, request: Any) -> Any:
        """What `requests` calls with the prepared request."""
        return _signed(request, self._source.token())

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """What `httpx.Client` calls."""
        yield _signed(request, self._source.token())

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """What `httpx.AsyncClient` calls: the event loop does not wait for a token, a thread does."""
        token = self._source.token_nowait()
        if token is None:
            token = await asyncio.to_thread(self._source.token)
        yield _signed(request, token)


def _signed(request: Any, token: str) -> Any:
    if not is_trustworthy_url(str(request.url)):  # RFC 6750 section 5.3
        raise TokenError("not sent: a token goes to https or a loopback host only")
    request.headers["authorization"] = f"Bearer {token}"
    return request
