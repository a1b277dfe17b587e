"""Tokens of the real identity provider, got by the client, sent through its plugs, and judged by the front door."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import grpc
import httpx
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from support.grpc_service import call, serving
from support.provider import ALGORITHMS, API_AUDIENCE, OidcProvider

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator
from micromegas_auth.client import BearerAuth, ClientCredentials, TokenError

CLIENT_PAGE = Path(__file__).parents[2] / "docs" / "client.md"
AuthMethod = Literal["client_secret_basic", "client_secret_post"]


@pytest.fixture
def door(oidc_provider: OidcProvider) -> Iterator[RequestAuthenticator]:
    oidc = {"issuers": [{"issuer": oidc_provider.issuer, "audience": API_AUDIENCE}]}
    authenticator = build_authenticator(AuthConfig.model_validate({"oidc": oidc}))
    yield authenticator
    authenticator.close()


@contextmanager
def listening(door: RequestAuthenticator) -> Iterator[tuple[str, list[str]]]:
    """A web server that answers 200 to whoever the front door lets in: its URL, and their subjects."""
    subjects: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): self.headers.get_all(name) or [] for name in self.headers}
            subjects.append(door.authenticate(headers).auth.subject)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", subjects
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def credentials(provider: OidcProvider, **changes: Any) -> ClientCredentials:
    account = {"client_id": provider.service_account("RS256"), "client_secret": provider.client_secret}
    return ClientCredentials(**{"issuer": provider.issuer, **account, **changes})


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("auth_method", ["client_secret_basic", "client_secret_post"])
def test_a_token_is_accepted(
    oidc_provider: OidcProvider, door: RequestAuthenticator, alg: str, auth_method: AuthMethod
) -> None:
    account = oidc_provider.service_account(alg)
    client = credentials(oidc_provider, client_id=account, auth_method=auth_method)
    caller = door.authenticate(client.headers())
    assert (caller.auth.subject, caller.auth.issuer) == (account, oidc_provider.issuer)
    assert client.headers() == client.headers()


@pytest.mark.parametrize("auth_method", ["client_secret_basic", "client_secret_post"])
def test_names_and_secrets_that_need_encoding(
    oidc_provider: OidcProvider, door: RequestAuthenticator, auth_method: AuthMethod
) -> None:
    name, secret = "svc: rs256 100%+", f"{oidc_provider.client_secret}: 100%+&="
    client = credentials(oidc_provider, client_id=name, client_secret=secret, auth_method=auth_method)
    assert door.authenticate(client.headers()).auth.subject == name


def test_by_the_variables_of_the_environment(
    oidc_provider: OidcProvider, door: RequestAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a token endpoint, an audience and a scope, as the Rust sink has them."""
    account = oidc_provider.service_account("ES256")
    variables = {
        "TOKEN_ENDPOINT": oidc_provider.metadata["token_endpoint"],
        "CLIENT_ID": account,
        "CLIENT_SECRET": oidc_provider.client_secret,
        "AUDIENCE": API_AUDIENCE,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"MICROMEGAS_OIDC_{name}", value)
    assert door.authenticate(ClientCredentials.from_env().headers()).auth.subject == account


@pytest.mark.parametrize("auth_method", ["client_secret_basic", "client_secret_post"])
def test_a_wrong_secret(oidc_provider: OidcProvider, auth_method: AuthMethod) -> None:
    client = credentials(oidc_provider, client_secret="wrong", auth_method=auth_method)
    with pytest.raises(TokenError, match=r"^the provider refuses: invalid_client \(status 401\)$"):
        client.token()


def test_another_issuers_name(oidc_provider: OidcProvider) -> None:
    """The provider answers there too, but that is not the name by which it goes."""
    with pytest.raises(TokenError, match=r"^the discovery document is another issuer's: it names \""):
        credentials(oidc_provider, issuer=oidc_provider.issuer + "/").token()


def test_through_httpx_requests_and_grpc(oidc_provider: OidcProvider, door: RequestAuthenticator) -> None:
    client = credentials(oidc_provider)
    auth = BearerAuth(client)
    with listening(door) as (url, subjects):
        with httpx.Client(auth=auth, trust_env=False) as web:
            assert web.post(url, content=b"x").status_code == 200
        with requests.Session() as session:
            session.trust_env = False
            session.auth = auth
            assert session.post(url, data=b"x", timeout=20).status_code == 200
        assert subjects == ["svc-rs256"] * 2
    with serving("sync", door) as channel:
        assert call(channel, "unary_unary", b"who", metadata=[*client.headers().items()]) == [b"svc-rs256 svc-rs256"]
        with pytest.raises(grpc.RpcError):
            call(channel, "unary_unary", b"who")


def test_through_the_exporter_of_opentelemetry(oidc_provider: OidcProvider, door: RequestAuthenticator) -> None:
    with listening(door) as (url, subjects), requests.Session() as session:
        session.trust_env = False
        session.auth = BearerAuth(credentials(oidc_provider))
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, session=session)))
        provider.get_tracer("tests").start_span("one").end()
        assert provider.force_flush()
        provider.shutdown()
        assert subjects == ["svc-rs256"]


def test_an_exporter_tries_again_while_there_is_no_token(
    oidc_provider: OidcProvider, door: RequestAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the plug that docs/client.md shows, word for word, nothing is dropped for want of a token."""
    block = re.findall(r"^```python\n(.*?)^```", CLIENT_PAGE.read_text(), re.DOTALL | re.MULTILINE)[-1]
    shown: dict[str, Any] = {}
    exec(block.partition("\n\n\nsession = ")[0], shown)  # noqa: S102 - our own document
    monkeypatch.setattr("micromegas_auth.client.token_source.MAX_BACKOFF_SECONDS", 0.0)
    sound, failures = credentials(oidc_provider), iter([TokenError("down"), TokenError("down")])

    def fetch(fetch: Any = sound.fetch) -> Any:
        for error in failures:
            raise error
        return fetch()

    monkeypatch.setattr(sound, "fetch", fetch)
    with listening(door) as (url, subjects), requests.Session() as session:
        session.trust_env = False
        session.auth = shown["ExporterAuth"](sound)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, session=session)))
        provider.get_tracer("tests").start_span("one").end()
        assert provider.force_flush()
        provider.shutdown()
        assert subjects == ["svc-rs256"]
    assert next(failures, None) is None
