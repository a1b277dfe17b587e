"""ASGI applications behind real servers on free ports of 127.0.0.1, and clients that say what httpx would not."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import hypercorn.asyncio
import uvicorn
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, RejectData, Request, TextMessage

PATIENCE = 20.0  # seconds until a test that waits for an answer gives up

Headers = Sequence[tuple[str, str]]


@contextmanager
def serving(app: Any, server: str = "uvicorn", root_path: str = "") -> Iterator[str]:
    """The URL of `app` behind `uvicorn` or `hypercorn`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)  # from here on clients can connect, and wait
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, where the socket is given
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    run, stop = {"uvicorn": _uvicorn, "hypercorn": _hypercorn}[server](app, listener, root_path)
    thread = threading.Thread(target=run, name=server)
    thread.start()
    try:
        yield url
    finally:
        stop()
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{server} does not end"


def _uvicorn(app: Any, listener: socket.socket, root_path: str) -> tuple[Callable[[], None], Callable[[], None]]:
    config = uvicorn.Config(app, root_path=root_path, ws="wsproto", log_config=None, access_log=False)
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    return lambda: server.run(sockets=[listener]), stop


def _hypercorn(app: Any, listener: socket.socket, root_path: str) -> tuple[Callable[[], None], Callable[[], None]]:
    config = hypercorn.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.root_path = root_path
    config.errorlog = None
    over = threading.Event()
    wake: list[Callable[[], object]] = []

    async def run() -> None:
        trigger = asyncio.Event()
        loop = asyncio.get_running_loop()
        wake.append(lambda: loop.call_soon_threadsafe(trigger.set))
        if over.is_set():
            trigger.set()
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=trigger.wait)

    def stop() -> None:
        over.set()
        for call in wake:
            call()

    return lambda: asyncio.run(run()), stop


def ask(
    url: str, target: str, headers: Headers = (), method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body; the target and the headers are sent as they are."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def websocket(url: str, target: str, headers: Headers = ()) -> tuple[int, dict[str, str], str]:
    """A WebSocket's status, headers and body where it is denied; else 101, nothing, and its first message."""
    server = urlsplit(url)
    client = WSConnection(ConnectionType.CLIENT)
    extra = [(name.encode(), value.encode()) for name, value in headers]
    status, told, text = 0, {}, ""
    with socket.create_connection((server.hostname, server.port), PATIENCE) as connection:
        connection.sendall(client.send(Request(host=server.netloc, target=target, extra_headers=extra)))
        while True:
            client.receive_data(connection.recv(65536) or None)
            for event in client.events():
                match event:
                    case AcceptConnection():
                        status = 101
                    case RejectConnection():
                        status = event.status_code
                        told = {name.decode().lower(): value.decode() for name, value in event.headers}
                        if not event.has_body:
                            return status, told, text
                    case RejectData():
                        text += event.data.decode()
                        if event.body_finished:
                            return status, told, text
                    case TextMessage():
                        return status, told, event.data
                    case CloseConnection():
                        raise AssertionError(f"closed with {event.code}")
