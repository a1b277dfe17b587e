"""Connections of strangers to the ingestion server: they end in time, their number too, and the log stays short."""

import contextlib
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
import uvicorn
from micromegas_server.ingestion.connections import Connection, answered_at_the_end
from support.certificates import Authority
from support.ingestion_samples import logs
from support.ingestion_server import API_KEY, AS_PROTOBUF, KEYS, PATIENCE, ingestion_process, url_of
from support.processes import ChildProcess

from micromegas_auth import AuthConfig, build_authenticator
from micromegas_auth.adapters.asgi import AuthMiddleware, Message, Receive, Scope, Send

LOGS = "/ingestion/otlp/v1/logs"
HALF = b"POST / HTTP/1.1\r\nHost: x\r\n"
CREDENTIAL = f"Authorization: Bearer {API_KEY}\r\n".encode()
GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n" + CREDENTIAL + b"\r\n"
LONG, SHORT = 600.0, 0.3  # seconds


async def application(_: Scope, receive: Receive, send: Send) -> None:
    """Answers 200 once it has the body."""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(*, head: float = LONG, drain: float = LONG) -> Iterator[tuple[Callable[[], socket.socket], uvicorn.Server]]:
    """What connects to a server in this process behind KEYS, and the server, which waits for no running request."""

    class Timed(Connection):
        head_seconds, drain_seconds = head, drain

    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    door = build_authenticator(AuthConfig.model_validate({"api_keys": KEYS}))
    with contextlib.closing(door), listener:
        app = answered_at_the_end(AuthMiddleware(application, door))
        config = uvicorn.Config(
            app, http=Timed, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=0
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with contextlib.ExitStack() as connections:
            try:
                yield lambda: connections.enter_context(socket.create_connection(address, PATIENCE)), server
            finally:
                server.should_exit = True
                thread.join(PATIENCE)
                assert not thread.is_alive()


def answer(connection: socket.socket) -> int:
    """The status of the next answer."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def assert_ended(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""


@pytest.mark.parametrize("sent", [b"", HALF])
def test_a_head_that_does_not_come(sent: bytes) -> None:
    with serving(head=SHORT) as (connect, _):
        connection = connect()
        connection.sendall(sent)
        assert_ended(connection)


def test_a_second_head_that_does_not_come() -> None:
    """uvicorn's own limit ends with its first byte."""
    with serving(head=SHORT) as (connect, _):
        connection = connect()
        connection.sendall(GOOD)
        assert answer(connection) == 200
        connection.sendall(HALF)
        assert_ended(connection)


def test_a_head_that_drips() -> None:
    """Bytes now and then win no time."""
    with serving(head=SHORT) as (connect, _):
        connection = connect()
        connection.settimeout(SHORT / 10)

        def drip() -> None:
            while True:
                connection.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    assert connection.recv(1) == b""

        with pytest.raises(ConnectionError):
            drip()


def test_who_waits_between_requests_is_kept() -> None:
    """Exporters send now and then; and a request may take its time."""
    with serving(head=SHORT) as (connect, _):
        idle, busy = connect(), connect()
        idle.sendall(GOOD)
        assert answer(idle) == 200
        busy.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" + CREDENTIAL + b"\r\nx")
        assert_ended(connect())  # begun later, over earlier
        idle.sendall(GOOD)
        assert answer(idle) == 200
        busy.sendall(b"x")
        assert answer(busy) == 200


def test_a_strangers_body_without_end() -> None:
    """The answer is there to be read, the body is not taken for ever."""
    with serving(drain=SHORT) as (connect, _):
        connection = connect()
        connection.sendall(HALF + b"Content-Length: 10000000000\r\n\r\n")
        assert answer(connection) == 401

        def send() -> None:
            for _ in range(1024):
                connection.sendall(bytes(65536))  # most of what goes is in the kernel's buffers

        with pytest.raises(ConnectionError):
            send()


def test_a_stranger_who_does_not_read() -> None:
    with serving(head=SHORT) as (connect, _):
        connection = connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def send() -> None:
            while True:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)

        with pytest.raises(ConnectionError):
            send()


@pytest.mark.parametrize("sent", [b"", b"x"])
def test_a_strangers_body_that_does_not_come(sent: bytes) -> None:
    with serving(drain=SHORT) as (connect, _):
        connection = connect()
        connection.sendall(HALF + b"Content-Length: 100\r\n\r\n" + sent)
        assert answer(connection) == 401
        assert_ended(connection)


def test_a_strangers_body_that_comes_late() -> None:
    """The connection goes on: who has a credential after all need not connect again."""
    with serving() as (connect, _):
        connection = connect()
        connection.sendall(HALF + b"Content-Length: 100000\r\n\r\n")
        assert answer(connection) == 401
        connection.sendall(bytes(100000) + GOOD)
        assert answer(connection) == 200


def test_nonsense_after_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """uvicorn would answer a second time, and fail at it with a traceback."""
    with serving() as (connect, _):
        connection = connect()
        connection.sendall(HALF + b"Transfer-Encoding: chunked\r\n\r\n")
        assert answer(connection) == 401
        connection.sendall(b"nonsense\r\n\r\n")
        assert_ended(connection)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_request_that_outlives_the_drain(caplog: pytest.LogCaptureFixture) -> None:
    """It is told to come again, and the log has no traceback."""
    with serving() as (connect, server):
        connection = connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
        connection.sendall(head + CREDENTIAL + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # it waits for the body
        server.should_exit = True
        assert answer(connection) == 503
        assert_ended(connection)
    assert any(record.levelno == logging.ERROR and "timeout graceful" in record.msg for record in caplog.records)
    assert not [record for record in caplog.records if record.exc_info]


def test_more_connections_than_descriptors(tmp_path: Path) -> None:
    """Those beyond half of them are refused; who is there already is served, and everybody when they are gone."""
    listen = ("--listen", "127.0.0.1:0", "--lake", tmp_path, "--disable-auth")
    limited = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", sys.executable, "-m", "micromegas_server.ingestion.main")
    body = logs("hello").SerializeToString()
    with ChildProcess(*limited, *listen) as process:
        url = url_of(process)
        port = int(url.rpartition(":")[2])
        with httpx.Client(base_url=url, headers=AS_PROTOBUF, timeout=PATIENCE) as client:
            assert client.post(LOGS, content=body).status_code == 200
            with contextlib.ExitStack() as strangers:
                for _ in range(300):
                    stranger = strangers.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
                    with contextlib.suppress(ConnectionError):
                        stranger.sendall(HALF)
                process.wait_for("WARNING .*connections are refused: 128 descriptors are in use")
                assert_ended(stranger)
                assert client.post(LOGS, content=logs("again").SerializeToString()).status_code == 200
            waiting = threading.Event()
            for _ in range(int(PATIENCE / 0.05)):  # until the server has seen that they are gone
                with contextlib.suppress(httpx.TransportError):
                    assert httpx.get(url + "/health").status_code == 200
                    break
                waiting.wait(0.05)
            else:
                pytest.fail("nobody is served any more")
        assert process.terminate() == 0
    assert len(process.lines) < 20, process.lines


def test_strangers_to_tls(tmp_path: Path) -> None:
    """Who neither greets nor asks is cut off by the command, as it is configured."""
    (tmp_path / "lake").mkdir()
    authority = Authority(tmp_path)
    authority.server_context()
    (both,) = (path for path in tmp_path.glob("*.pem") if path != authority.ca_file)
    with ingestion_process(tmp_path / "lake", "--tls-cert", both, "--tls-key", both) as process:
        port = int(url_of(process).rpartition(":")[2])
        silent, asking = (socket.create_connection(("127.0.0.1", port), 2 * PATIENCE) for _ in range(2))
        with (
            silent,
            ssl.create_default_context(cafile=authority.ca_file).wrap_socket(
                asking, server_hostname="127.0.0.1"
            ) as secured,
        ):
            secured.sendall(HALF)
            assert_ended(silent)
            with contextlib.suppress(ssl.SSLEOFError):  # no farewell
                assert_ended(secured)
        assert process.terminate() == 0
    assert not any("Traceback" in line for line in process.lines)
