"""The command `flight-sql-srv`."""

import logging
import os
import signal
import sys
import threading

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth.audit import AuditLog
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
from micromegas_server.flight_sql.engine import Engine
from micromegas_server.flight_sql.execution import Executor
from micromegas_server.flight_sql.service import FlightSqlServer
from micromegas_server.logs import AuditWriter

_logger = logging.getLogger("micromegas_server")


def main() -> int:
    """Serve until SIGTERM or SIGINT; exit code 2 where the arguments or the configuration are wrong."""
    parser = server_parser(
        "flight-sql-srv",
        "A read-only Flight SQL server over folders of Parquet files. MICROMEGAS_OIDC_CONFIG, "
        "MICROMEGAS_API_KEYS and MICROMEGAS_ADMINS say who may come in.",
        port=50051,
        lake="each folder of Parquet files is a table",
    )
    arguments, tls = begin(parser)
    host, port = arguments.listen
    engine = Engine(lake_at(parser, arguments.lake))
    config, authenticator = front_door(parser, arguments, "MICROMEGAS")
    telemetry = own_telemetry(parser, authenticator)
    writer = AuditWriter(arguments.log_format, telemetry.audit if telemetry is not None else None)
    audit = AuditLog(writer, format=arguments.log_format, privacy=config.privacy)
    scheme = "grpc+tls" if tls else "grpc"
    location = url(scheme, host, port)
    try:
        server = FlightSqlServer(
            location, Executor(engine, audit), authenticator, tls_certificates=[tls] if tls else None
        )
    except (OSError, pa.ArrowException, flight.FlightError) as error:
        reason = str(error).splitlines()[0]
        parser.error(f"cannot listen on {location.partition('://')[2]}: is the address in use? ({reason})")
    _logger.info("listening on %s", url(scheme, host, server.port))
    signal.sigwait(STOP)
    _drain(server)
    authenticator.close()
    audit.close()
    if telemetry is not None:
        telemetry.close()
    sys.stderr.flush()
    # A query that outlives the drain would keep the interpreter from ending.
    os._exit(0)


def _drain(server: FlightSqlServer) -> None:
    """Take no new calls, and let those in flight end."""
    _logger.info("draining: running queries have %d s to end", DRAIN_SECONDS)
    shutdown = threading.Thread(target=server.shutdown, daemon=True)
    shutdown.start()
    shutdown.join(DRAIN_SECONDS)
    if shutdown.is_alive():
        _logger.warning("queries still running after %d s are broken off", DRAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
