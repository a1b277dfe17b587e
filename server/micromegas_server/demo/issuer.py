"""A loopback OpenID issuer: discovery, a JWK Set, and tokens for whoever asks in this process."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from micromegas_auth.fetch import is_loopback

_GENERATORS: dict[str, Callable[[], Key]] = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "RS256-4096": lambda: RSAKey.generate_key(4096),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}


class DemoIssuer:
    """An issuer that signs anything, for demonstrations and tests on this machine.

    Args:
        host: A loopback address to listen on.
        algorithm: What it signs with: RS256 (RS256-4096: with a longer key), ES256 or EdDSA.

    Attributes:
        clients: The service accounts that get a token for themselves, and their secrets.

    Raises:
        ValueError: `host` is no loopback address.
    """

    def __init__(self, host: str = "127.0.0.1", algorithm: str = "RS256") -> None:
        if not is_loopback(host):
            raise ValueError("the demo issuer signs anything for anybody: it serves loopback addresses only")
        self._host = host
        self._algorithm = algorithm
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self._keys: list[tuple[str, Key]] = []
        self.clients: dict[str, str] = {}
        self.rotate()
        self.start()

    @property
    def url(self) -> str:
        """The issuer identifier."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Listen; after a `stop`, on the same port again."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.handle(self)

            def do_POST(self) -> None:
                issuer.handle(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                pass

        self._server = ThreadingHTTPServer((self._host, self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="demo-issuer", daemon=True).start()

    def stop(self) -> None:
        """Stop listening: connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def rotate(self, *, keep_old: bool = False) -> None:
        """Sign with a new key from now on, and publish it; withdraw the old ones unless `keep_old`."""
        kid = secrets.token_hex(4)
        self._keys = [(kid, _GENERATORS[self._algorithm]()), *(self._keys if keep_old else [])]

    def mint(
        self, claims: dict[str, Any], *, typ: str = "JWT", header: dict[str, Any] | None = None, seconds: int = 300
    ) -> str:
        """Sign a token. `iss`, `iat` and `exp` are filled in where `claims` lacks them.

        Args:
            claims: The claims; one whose value is None is left out.
            typ: The `typ` of the header.
            header: Further header parameters, or others in place of `alg`, `kid` and `typ`.
            seconds: For how long it is valid.
        """
        now = int(time.time())
        kid, key = self._keys[0]
        filled = {"iss": self.url, "iat": now, "exp": now + seconds, **claims}
        present = {name: value for name, value in filled.items() if value is not None}
        algorithm = self._algorithm.partition("-")[0]
        full_header = {"alg": algorithm, "kid": kid, "typ": typ, **(header or {})}
        return jwt.encode(full_header, present, key, algorithms=[algorithm])

    def jwks(self) -> dict[str, Any]:
        """The JWK Set it publishes."""
        return {"keys": [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self._keys]}

    def discovery(self) -> dict[str, Any]:
        """Its discovery document (OpenID Connect Discovery 1.0 section 3)."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", "token_endpoint": f"{self.url}/token"}

    def token(self, form: str) -> dict[str, Any] | None:
        """Answer a request for a token: for itself, to a client with its secret (RFC 6749 section 4.4); else None."""
        asked = dict(parse_qsl(form))
        client, secret = asked.get("client_id", ""), asked.get("client_secret", "")
        if asked.get("grant_type") != "client_credentials" or self.clients.get(client) != secret:
            return None
        token = self.mint({"sub": client, "client_id": client, "aud": asked.get("audience")}, typ="at+jwt")
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        form = request.rfile.read(int(request.headers.get("content-length", 0))).decode()
        documents: dict[str, Callable[[], dict[str, Any] | None]] = {
            "/.well-known/openid-configuration": self.discovery,
            "/jwks": self.jwks,
            "/token": lambda: self.token(form),
        }
        document = documents.get(request.path, lambda: None)()
        refusal = {"error": "invalid_client" if request.path == "/token" else "not found"}
        body = json.dumps(document if document is not None else refusal).encode()
        request.send_response(200 if document is not None else 401 if request.path == "/token" else 404)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
