"""Mutated discovery documents, JWK Sets and answers: keys come out, from where they may come, or a FetchError."""

import contextlib
import functools
import json
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any
from unittest.mock import patch

import httpx
from support.answers import Exchange
from support.issuer import DISCOVERY, JWKS, FaultyIssuer
from support.tokens import ISSUER, signing_key

from fuzz import jwk_values, spelling
from fuzz.fault import Fault
from fuzz.key_sets import document
from fuzz.mutants import change, object_text
from fuzz.reading import Refused, json_value
from micromegas_auth import fetch, strict_json
from micromegas_auth.discovery import KeySource, fetch_keys
from micromegas_auth.fetch import Document, FetchError, tls_context

HOSTS = frozenset({"keys.example"})
ON_THE_WIRE = 50  # one of so many answers comes over a real socket


@contextlib.contextmanager
def discovery(rng: Random) -> Iterator[Callable[[], str]]:
    """One case is one fetch, of two documents."""
    tls = tls_context(None)
    strangers = [signing_key(alg, f"stranger-{alg}") for alg in ("EdDSA", "ES256", "ES384", "ES512", "RS256")]
    with FaultyIssuer() as issuer:

        def case() -> str:
            if rng.random() * ON_THE_WIRE < 1:
                return _over_the_wire(rng, issuer, strangers, tls)
            return _from_memory(rng, strangers, tls)

        yield case


def _from_memory(rng: Random, strangers: list[Any], tls: Any) -> str:
    bodies = [_document(rng, ISSUER), document(rng, strangers)]
    headers = dict(rng.choices(jwk_values.HEADERS, k=rng.randrange(3)))
    asked: list[str] = []

    async def get(url: str, _timeout: float, _tls: object) -> Document:
        httpx.URL(url)  # where the real one would fail
        asked.append(url)
        return Document(strict_json.loads(bodies[len(asked) - 1]), headers)

    hosts = HOSTS if rng.random() < 0.5 else None
    source = KeySource(issuer=ISSUER, tls=tls, allowed_jwks_hosts=hosts)
    # Under get_json, which stays what it is: it checks the URL, and makes a FetchError of whatever goes wrong.
    with patch.object(fetch, "_get", get), patch.object(fetch, "_run", _run):
        outcome = _fetched(source, [bodies, headers])
    if len(asked) == 2:
        _check_jwks_uri(asked[1], bodies[0], hosts)
    return outcome


def _run(coroutine: Coroutine[Any, Any, Document]) -> Document:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waits for something")


def _over_the_wire(rng: Random, issuer: FaultyIssuer, strangers: list[Any], tls: Any) -> str:
    raw = [_http(rng, _document(rng, issuer.url, issuer.jwks_uri)), _http(rng, document(rng, strangers))]
    issuer.answer(functools.partial(_send, raw[0]), DISCOVERY)
    issuer.answer(functools.partial(_send, raw[1]), JWKS)
    return "wire: " + _fetched(KeySource(issuer=issuer.url, tls=tls, timeout=10.0), raw)


def _send(raw: bytes, exchange: Exchange) -> None:
    exchange.connection.sendall(raw)


def _fetched(source: KeySource, sent: object) -> str:
    try:
        keys, fresh_for = fetch_keys(source)
    except FetchError as error:
        if not str(error).isprintable():
            raise Fault("a message that is not printable", sent, str(error)) from error
        return f"FetchError: {str(error).split(':')[0]}"
    except BaseException as error:
        raise Fault(f"ESCAPED: {type(error).__name__}", sent, error) from error
    if not keys.keys or not (fresh_for is None or 60 <= fresh_for < 1e12):
        raise Fault("no keys, or not for a sane time", sent, (keys, fresh_for))
    return "keys"


def _check_jwks_uri(asked: str, body: bytes, hosts: frozenset[str] | None) -> None:
    try:
        document = json_value(body)
    except Refused as refused:
        raise Fault(f"a document that is none was followed: {refused}", body, asked) from refused
    if document.get("issuer") != ISSUER or document.get("jwks_uri") != asked:
        raise Fault("another issuer's document was followed", body, asked)
    url = httpx.URL(asked)  # what will connect, so what it takes for the host is what counts
    if not (url.scheme == "https" or (url.scheme == "http" and url.host in ("127.0.0.1", "localhost", "::1"))):
        raise Fault("a URL that must not be fetched was", body, asked)
    if hosts is not None and url.host not in hosts:
        raise Fault("a host that is not allowed was asked", body, asked)


def _document(rng: Random, issuer: str, jwks_uri: str | None = None) -> bytes:
    uri = json.dumps(jwks_uri) if jwks_uri and rng.random() < 0.8 else rng.choice(jwk_values.JWKS_URIS)
    if jwks_uri is None and rng.random() < 0.5:
        uri = jwk_values.JWKS_URIS[0]
    members = [("issuer", json.dumps(issuer)), ("jwks_uri", uri), ("response_types_supported", '["code"]')]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        change(rng, members, jwk_values.DISCOVERY)
    text = object_text(rng, members)
    if rng.random() < 0.05:
        text = rng.choice(spelling.OF_TEXT)(rng, text)
    raw = text.encode("utf-8", "surrogatepass")
    return rng.choice(spelling.OF_BYTES)(rng, raw) if rng.random() < 0.03 else raw


def _http(rng: Random, body: bytes) -> bytes:
    headers = [
        ("content-length", str(len(body))),
        ("connection", "close"),
        *rng.choices(jwk_values.HEADERS, k=rng.randrange(3)),
    ]
    if rng.random() < 0.2:
        headers[0] = rng.choice(jwk_values.WIRE_HEADERS)
    status = rng.choice(("200 OK",) * 9 + jwk_values.STATUSES)
    raw = f"HTTP/1.1 {status}\r\n".encode("latin-1", "replace")
    raw += b"".join(f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in headers) + b"\r\n" + body
    if rng.random() < 0.2:
        raw = rng.choice((spelling.flipped, lambda rng, raw: raw[: rng.randrange(len(raw))]))(rng, raw)
    return raw
