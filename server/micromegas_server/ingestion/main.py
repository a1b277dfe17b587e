"""The command `telemetry-ingestion-srv`."""

import logging
import os
import signal
import socket
import sys
import threading

import pyarrow as pa
import uvicorn

from micromegas_server.command_line import (
    DRAIN_SECONDS,
    STOP,
    begin,
    front_door,
    lake_at,
    own_telemetry,
    server_parser,
    url,
)
from micromegas_server.ingestion.app import ingestion_app
from micromegas_server.ingestion.connections import BACKLOG, Connection, Listener, Loop, answered_at_the_end
from micromegas_server.ingestion.schemas import SCHEMAS
from micromegas_server.ingestion.tally import Tally
from micromegas_server.ingestion.writing import Writing
from micromegas_server.lake_writer import LakeInUse, LakeWriter

KEEP_ALIVE_SECONDS = 75  # exporters send every few seconds, over the connection they have

_logger = logging.getLogger("micromegas_server")


def main() -> int:
    """Serve until SIGTERM or SIGINT; exit code 2 where the arguments or the configuration are wrong."""
    parser = server_parser(
        "telemetry-ingestion-srv",
        "Takes telemetry over HTTP, as OpenTelemetry and as Micromegas send it, into a lake. MICROMEGAS_OIDC_CONFIG "
        "and MICROMEGAS_API_KEYS say who may send; with the prefix MICROMEGAS_INGESTION they are this server's own.",
        port=9000,
        lake="a folder, in which each table becomes one",
    )
    arguments, tls = begin(parser)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = arguments.listen
    lake = lake_at(parser, arguments.lake)
    try:
        writer = LakeWriter(lake.folder)
        # No rows, but their columns are held against those of tables that are there.
        writer.submit({name: pa.RecordBatch.from_pylist([], schema) for name, schema in SCHEMAS.items()}).result()
        writing = Writing(writer, lake)
    except (LakeInUse, OSError, ValueError, pa.ArrowException) as error:
        parser.error(f"--lake: {error}")
    _, authenticator = front_door(parser, arguments, "MICROMEGAS_INGESTION")
    telemetry = own_telemetry(parser, authenticator)
    scheme = "https" if tls else "http"
    location = url(scheme, host, port)
    tally = Tally()
    app = ingestion_app(writing, lake.folder, authenticator, tally=tally)
    config = uvicorn.Config(
        answered_at_the_end(app),
        http=Connection,
        loop=f"{Loop.__module__}:{Loop.__name__}",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
        ssl_certfile=arguments.tls_cert,
        ssl_keyfile=arguments.tls_key,
    )
    try:
        config.load()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = Listener(socket.create_server((host, port), family=family, backlog=BACKLOG))
        # asyncio does it for sockets of its own: else an answer waits 40 ms for the client's word on its first part.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:  # what is wrong with a certificate is one too
        parser.error(f"cannot listen on {location.partition('://')[2]}: {error.strerror or error}")
    server = uvicorn.Server(config)
    # Not on this thread, where it would take the signals itself and end the process by them.
    serving = threading.Thread(target=_serve, args=(server, listener), name="micromegas-http")
    serving.start()
    _logger.info("listening on %s", url(scheme, host, listener.getsockname()[1]))
    signal.sigwait(STOP)
    failed = not serving.is_alive()
    _logger.info("draining: running requests have %d s to end", DRAIN_SECONDS)
    if telemetry is not None:
        tally.tell()
        telemetry.close()  # while this server still takes what it may be sending to itself
    server.should_exit = True
    serving.join()
    writer.close()
    authenticator.close()
    tally.tell()
    sys.stderr.flush()
    # A request that outlives the drain would keep the interpreter from ending.
    os._exit(1 if failed else 0)


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # where it ends by itself


if __name__ == "__main__":
    sys.exit(main())
