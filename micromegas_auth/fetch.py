"""JSON documents over HTTPS, from servers that may be slow, broken or hostile."""

import asyncio
import ipaddress
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import httpx

from micromegas_auth import strict_json

MAX_DOCUMENT_BYTES = 1 << 20
_FORM_ERRORS = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED})  # RFC 6749 section 5.2

# Host and port and no user (RFC 3986 section 3.2); urlsplit would also take a bracketed address with a tail.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]@:/]+)(:[0-9]{1,5})?", re.ASCII)


class FetchError(Exception):
    """A document could not be had. The message holds nothing of what the server sent but its status."""


@dataclass(frozen=True, slots=True)
class Document:
    """A fetched JSON document.

    Attributes:
        content: The parsed JSON.
        headers: The response's headers, lower-case names.
        status: 200, or one that `post_form` lets through.
    """

    content: Any
    headers: dict[str, str]
    status: int = 200


def tls_context(ca_file: str | None) -> SSLContext:
    """A TLS context that trusts the public certificate authorities (or SSL_CERT_FILE), and those in `ca_file` besides.

    Raises:
        OSError: The file cannot be read, or holds no certificate (ssl.SSLError).
    """
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def is_trustworthy_url(url: str) -> bool:
    """Whether a secret or a key may travel to or from `url`: https, or http to a loopback host."""
    if not url.isprintable() or " " in url:  # urlsplit would silently drop some of these
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is none
    except ValueError:
        return False
    if host is None or _AUTHORITY.fullmatch(parts.netloc) is None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def get_json(url: str, *, timeout: float, tls: SSLContext) -> Document:
    """GET a JSON document.

    No redirect is followed, no content coding accepted, at most 1 MiB read, and all of it, name resolution and TLS
    handshake included, ends within `timeout`.

    Args:
        url: https, or http to a loopback host.
        timeout: The total deadline in seconds.
        tls: Whom to trust.

    Raises:
        FetchError: Anything else than a 200 with a JSON body within these bounds.
    """
    return _bounded(url, timeout, tls)


def post_form(
    url: str, form: Mapping[str, str], *, headers: Mapping[str, str], timeout: float, tls: SSLContext
) -> Document:
    """POST a form and read the JSON of its answer, within the bounds of `get_json`.

    Args:
        url: https, or http to a loopback host.
        form: The fields.
        headers: Further headers.
        timeout: The total deadline in seconds.
        tls: Whom to trust.

    Returns:
        The answer, which may also be an error of RFC 6749 section 5.2, status 400 or 401.

    Raises:
        FetchError: Anything else.
    """
    return _bounded(url, timeout, tls, form, headers)


def _bounded(url: str, timeout: float, tls: SSLContext, *form: Mapping[str, str]) -> Document:
    if not is_trustworthy_url(url):
        raise FetchError("not an https URL")
    try:
        return _run(_get(url, timeout, tls, *form))
    except TimeoutError:
        raise FetchError(f"no answer within {timeout:g} s") from None
    except httpx.HTTPError as error:
        raise FetchError(type(error).__name__) from None
    except (ValueError, httpx.InvalidURL) as error:  # ValueError: what strict_json refuses
        raise FetchError(f"malformed answer ({type(error).__name__})") from None


def _run(coroutine: Coroutine[Any, Any, Document]) -> Document:
    # asyncio.run would, past the deadline, still wait for the thread in which a name resolution hangs.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0))  # transports broken off above close in the loop's next turn
        loop.close()


async def _get(
    url: str,
    timeout: float,
    tls: SSLContext,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Document:
    # asyncio for this alone: it can break off whatever hangs, where the timeouts of blocking sockets are per read.
    # The timeouts of httpx are for each phase and each read. Connecting and the TLS handshake have a third each, so
    # that httpcore breaks them off itself: from outside, in mid-handshake, it would leave the connection open.
    phases = httpx.Timeout(timeout, connect=timeout / 3)
    async with asyncio.timeout(timeout):
        loopback = is_loopback(urlsplit(url).hostname or "")
        every = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(verify=tls, timeout=phases, trust_env=not loopback, headers=every) as client,
            client.stream("GET" if form is None else "POST", url, data=form, headers=headers) as response,
        ):
            status = response.status_code
            if status != httpx.codes.OK and (form is None or status not in _FORM_ERRORS):
                raise FetchError(f"status {status}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise FetchError("the answer is compressed although identity was asked for")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise FetchError(f"longer than {MAX_DOCUMENT_BYTES} bytes")
            try:
                content = strict_json.loads(bytes(body))
            except ValueError:
                if status == httpx.codes.OK:
                    raise
                raise FetchError(f"status {status}") from None
            return Document(content, dict(response.headers), status)
