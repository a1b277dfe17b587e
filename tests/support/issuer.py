"""An OpenID issuer that misbehaves on demand, on a real loopback socket.

What it answers can be switched for each path at any time. It counts requests and can hold its answers back, so that a
test waits for events and never for time.
"""

import contextlib
import json
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from ssl import SSLContext
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey
from support.answers import Answer, Exchange, sound

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"
AUDIENCE = "micromegas-tests"
PATIENCE = 20.0  # seconds until a test that waits for something gives up


class FaultyIssuer:
    """An issuer on a free port of 127.0.0.1, with ES256 keys, sound until told otherwise. A context manager.

    Args:
        tls: The certificate it shows; plain http without.

    Attributes:
        url: Its issuer identifier.
        jwks_uri: Where its keys are.
        tls: What it shows from the next connection on; None speaks plain text even where `url` is https.
        headers: Sent with sound answers besides.
        kid: The kid of the key that signs now.
    """

    def __init__(self, tls: SSLContext | None = None) -> None:
        self.tls = self._tls = tls
        self.headers: dict[str, str] = {}
        self._keys: list[ECKey] = []
        self._answers: dict[str, Answer] = {}
        self._news = threading.Condition()  # guards what follows; notified of every change
        self._held: frozenset[str] = frozenset()
        self._arrivals: dict[str, list[float]] = {}
        self._open: set[socket.socket] = set()
        self._server: _Server | None = None
        self._port = 0
        self.rotate()
        self.start()
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._port}"
        self.jwks_uri = self.url + JWKS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a `stop`, on the same port again."""
        self._server = _Server(("127.0.0.1", self._port), self._serve)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="faulty-issuer")
        self._thread.start()

    def stop(self) -> None:
        """Break off every connection, and refuse new ones from now on."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        self._thread.join()
        with self._news:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._news.notify_all()
        server.server_close()  # joins the threads of the connections

    def heal(self) -> None:
        """Be sound again."""
        self._answers = {}
        self.tls = self._tls
        if self._server is None:
            self.start()

    def answer(self, answer: Answer, *paths: str) -> None:
        """Answer so from now on, on these paths (both documents unless given)."""
        self._answers = self._answers | dict.fromkeys(paths or (DISCOVERY, JWKS), answer)

    def hold(self, *paths: str) -> None:
        """Keep requests for these paths (both documents unless given) waiting; `release` lets them go.

        What a sound issuer then tells them is what was true when they came.
        """
        with self._news:
            self._held = frozenset(paths or (DISCOVERY, JWKS))

    def release(self) -> None:
        """Answer those that wait."""
        with self._news:
            self._held = frozenset()
            self._news.notify_all()

    def arrivals(self, path: str = JWKS) -> list[float]:
        """When requests for `path` came, by time.monotonic."""
        with self._news:
            return list(self._arrivals.get(path, []))

    def requests(self, path: str = JWKS) -> int:
        """How many requests for `path` have come."""
        return len(self.arrivals(path))

    def wait_for_requests(self, count: int, path: str = JWKS) -> None:
        """Wait until `count` requests for `path` have come since the beginning. Raises AssertionError after a while."""
        with self._news:
            came = self._news.wait_for(lambda: len(self._arrivals.get(path, [])) >= count, PATIENCE)
            assert came, f"{len(self._arrivals.get(path, []))} requests for {path} instead of {count}"

    @property
    def kid(self) -> str:
        return str(self._keys[0].kid)

    def rotate(self, *, keep_old: bool = False) -> None:
        """Sign with a new key from now on, and publish it; withdraw the old ones unless `keep_old`."""
        key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})
        self._keys = [key, *(self._keys if keep_old else [])]

    def mint(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token of alice, good for five minutes, but for what `claims` and `header` say. No two are alike."""
        now = int(time.time())
        sound_claims = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300}
        full_header = {"alg": "ES256", "kid": self.kid, **(header or {})}
        return jwt.encode(full_header, {**sound_claims, "jti": secrets.token_hex(8), **claims}, self._keys[0])

    def _documents(self) -> dict[str, Any]:
        keys = [key.as_dict(private=False) for key in self._keys]
        return {DISCOVERY: {"issuer": self.url, "jwks_uri": self.jwks_uri}, JWKS: {"keys": keys}}

    def _serve(self, server: "_Server", plain: socket.socket) -> None:
        plain.settimeout(PATIENCE)
        connection = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
        with connection:
            with self._news:
                self._open.add(connection)
            try:
                self._exchange(server, connection)
            finally:
                with self._news:
                    self._open.remove(connection)

    def _exchange(self, server: "_Server", connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (chunk := connection.recv(4096)):
                return
            request += chunk
        path = request.split(b" ")[1].decode()
        body = json.dumps(self._documents().get(path, {"path": path})).encode()
        answer = self._answers.get(path, sound)

        def wait(over: Callable[[], bool], seconds: float | None) -> None:
            with self._news:
                self._news.wait_for(lambda: over() or self._server is not server, seconds)
                if self._server is not server:
                    raise ConnectionAbortedError

        with self._news:
            self._arrivals.setdefault(path, []).append(time.monotonic())
            self._news.notify_all()
        wait(lambda: path not in self._held, None)
        answer(Exchange(connection, body, self.headers, lambda seconds: wait(lambda: False, seconds)))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True  # so that an issuer comes back on its port
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], serve: Callable[["_Server", socket.socket], None]) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._serve = serve

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError):  # the client has gone, or did not like the certificate
            self._serve(self, request)
