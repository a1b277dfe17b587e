"""What a misbehaving server answers: a function for each, which writes on the socket of one request."""

import gzip
import socket
import struct
from collections.abc import Callable, Mapping
from functools import cache

_MEGABYTE = b" " * (1 << 20)


class Exchange:
    """One request that waits for its answer. Whatever it does on the socket ends with OSError when the issuer stops."""

    def __init__(
        self, connection: socket.socket, body: bytes, headers: Mapping[str, str], pause: Callable[[float | None], None]
    ) -> None:
        self.connection = connection
        self.body = body  # what a sound issuer would have answered when the request came
        self.headers = headers
        self.pause = pause

    def send_head(self, length: int, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        fields = {"content-type": "application/json", "content-length": str(length), "connection": "close"}
        lines = [f"{name}: {value}" for name, value in (fields | dict(headers or {})).items()]
        self.connection.sendall("\r\n".join([f"HTTP/1.1 {status} Any", *lines, "", ""]).encode())

    def drip(self, data: bytes) -> None:
        """Send byte by byte: slowly, but often enough that no timeout of a single read ever fires."""
        for index in range(len(data)):
            self.connection.sendall(data[index : index + 1])
            self.pause(0.1)


Answer = Callable[[Exchange], None]


def sound(exchange: Exchange) -> None:
    """What a sound issuer answers."""
    exchange.send_head(len(exchange.body), headers=exchange.headers)
    exchange.connection.sendall(exchange.body)


def reply(body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A whole answer with another body."""
    raw = body if isinstance(body, bytes) else body.encode()

    def answer(exchange: Exchange) -> None:
        exchange.send_head(len(raw), status, headers)
        exchange.connection.sendall(raw)

    return answer


def hang(exchange: Exchange) -> None:
    """Accept the request and say nothing."""
    exchange.pause(None)


def hang_mid_body(exchange: Exchange) -> None:
    exchange.send_head(len(exchange.body))
    exchange.connection.sendall(exchange.body[:10])
    exchange.pause(None)


def close_at_once(_: Exchange) -> None:
    """Close the connection without an answer."""


def reset_mid_body(exchange: Exchange) -> None:
    exchange.send_head(len(exchange.body))
    exchange.connection.sendall(exchange.body[:10])
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()


def truncated(exchange: Exchange) -> None:
    """A complete document that ends before the length it announced."""
    exchange.send_head(len(exchange.body) + 1)
    exchange.connection.sendall(exchange.body)


def drip_body(exchange: Exchange) -> None:
    exchange.send_head(len(exchange.body))
    exchange.drip(exchange.body)


def drip_head(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-padding: " + b"a" * 1000)


def endless_hints(exchange: Exchange) -> None:
    """Informational responses (RFC 9110 section 15.2), one after the other, and never the final one."""
    while True:
        exchange.connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        exchange.pause(0.01)


def endless_head(exchange: Exchange) -> None:
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for index in range(1_000_000):
        exchange.connection.sendall(b"x-%d: %s\r\n" % (index, b"a" * 1000))


def forty_megabytes(exchange: Exchange) -> None:
    """The right document after 40 MB of white space."""
    exchange.send_head(40 * len(_MEGABYTE) + len(exchange.body))
    for _ in range(40):
        exchange.connection.sendall(_MEGABYTE)
    exchange.connection.sendall(exchange.body)


def gzip_bomb(*, declared: bool) -> Answer:
    """The right document after 40 MB of white space, in 40 kB, although identity was asked for."""

    def answer(exchange: Exchange) -> None:
        packed = _packed_white_space() + gzip.compress(exchange.body)  # RFC 1952 section 2.2: members in a row
        exchange.send_head(len(packed), headers={"content-encoding": "gzip"} if declared else {})
        exchange.connection.sendall(packed)

    return answer


@cache
def _packed_white_space() -> bytes:
    return gzip.compress(_MEGABYTE * 40)


def in_utf16(exchange: Exchange) -> None:
    raw = exchange.body.decode().encode("utf-16")
    exchange.send_head(len(raw), headers={"content-type": "application/json; charset=utf-16"})
    exchange.connection.sendall(raw)


def elsewhere(exchange: Exchange) -> None:
    """A redirect to a copy of the right document, which is served under any path that is asked for."""
    exchange.send_head(len(exchange.body), 302, {"location": "/moved"})
    exchange.connection.sendall(exchange.body)
