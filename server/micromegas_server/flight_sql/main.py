"""The command `flight-sql-srv`."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth import AuthConfig, ConfigError, build_authenticator
from micromegas_auth.audit import AuditLog
from micromegas_auth.fetch import is_loopback
from micromegas_server.flight_sql.engine import Engine
from micromegas_server.flight_sql.execution import Executor
from micromegas_server.flight_sql.service import FlightSqlServer
from micromegas_server.lake import Lake
from micromegas_server.logs import AuditWriter, set_up_logging

DRAIN_SECONDS = 30.0

_STOP = {signal.SIGTERM, signal.SIGINT}

_logger = logging.getLogger("micromegas_server")


def main() -> int:
    """Serve until SIGTERM or SIGINT; exit code 2 where the arguments or the configuration are wrong."""
    parser = _parser()
    arguments = parser.parse_args()
    # Before any other thread is there: a signal that the system hands to one of gRPC's would not wake this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    set_up_logging(arguments.log_format)
    host, port = arguments.listen
    remote = not is_loopback(host)
    tls = _tls(parser, arguments.tls_cert, arguments.tls_key)
    if arguments.disable_auth and remote and not arguments.allow_remote_anonymous:
        parser.error("--disable-auth lets everybody in as admin: beyond loopback it needs --allow-remote-anonymous too")
    if remote and not tls:
        _logger.warning("listening beyond loopback without TLS: credentials can be read on the way")
    try:
        engine = Engine(Lake(arguments.lake))
        config = AuthConfig.disabled() if arguments.disable_auth else AuthConfig.from_env()
        authenticator = build_authenticator(config)
    except NotADirectoryError:
        parser.error("--lake is not a folder")
    except ConfigError as error:
        parser.error(str(error))
    audit = AuditLog(AuditWriter(arguments.log_format), format=arguments.log_format, privacy=config.privacy)
    scheme = "grpc+tls" if tls else "grpc"
    bracketed = f"[{host}]" if ":" in host else host
    try:
        server = FlightSqlServer(
            f"{scheme}://{bracketed}:{port}", Executor(engine, audit), authenticator, tls_certificates=tls
        )
    except (OSError, pa.ArrowException, flight.FlightError) as error:
        parser.error(f"cannot listen on {bracketed}:{port}: {str(error).splitlines()[0]}")
    _logger.info("listening on %s://%s:%d", scheme, bracketed, server.port)
    signal.sigwait(_STOP)
    _drain(server)
    authenticator.close()
    audit.close()
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


def _tls(parser: argparse.ArgumentParser, cert: Path | None, key: Path | None) -> list[tuple[bytes, bytes]] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        parser.error("--tls-cert and --tls-key go together")
    try:
        return [(cert.read_bytes(), key.read_bytes())]
    except OSError as error:
        parser.error(f"cannot read {error.filename}: {error.strerror}")


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flight-sql-srv",
        description="A read-only Flight SQL server over folders of Parquet files. MICROMEGAS_OIDC_CONFIG, "
        "MICROMEGAS_API_KEYS and MICROMEGAS_ADMINS say who may come in.",
    )
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 50051), metavar="HOST:PORT")
    parser.add_argument(
        "--lake", type=Path, required=True, metavar="DIR", help="each folder of Parquet files is a table"
    )
    parser.add_argument("--disable-auth", action="store_true", help="let everybody in, anonymous and with admin rights")
    parser.add_argument(
        "--allow-remote-anonymous", action="store_true", help="with --disable-auth, beyond loopback too"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    return parser


if __name__ == "__main__":
    sys.exit(main())
