"""What the commands of both servers share: arguments, what they refuse to do, signals."""

import argparse
import logging
import signal
import ssl
from pathlib import Path

from micromegas_auth import AuthConfig, ConfigError, RequestAuthenticator, build_authenticator
from micromegas_auth.fetch import is_loopback
from micromegas_server.lake import Lake
from micromegas_server.logs import set_up_logging
from micromegas_server.telemetry import Telemetry

STOP = {signal.SIGTERM, signal.SIGINT}
DRAIN_SECONDS = 30.0

_logger = logging.getLogger("micromegas_server")


def server_parser(prog: str, description: str, *, port: int, lake: str) -> argparse.ArgumentParser:
    """The arguments of a server.

    Args:
        prog: The command's name.
        description: What it does.
        port: Where it listens on 127.0.0.1 unless told otherwise.
        lake: What is said of `--lake`.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", port), metavar="HOST:PORT")
    parser.add_argument("--lake", type=Path, required=True, metavar="DIR", help=lake)
    parser.add_argument("--disable-auth", action="store_true", help="let everybody in, anonymous and with admin rights")
    parser.add_argument(
        "--allow-remote-anonymous", action="store_true", help="with --disable-auth, beyond loopback too"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    return parser


def begin(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, tuple[bytes, bytes] | None]:
    """Read the arguments, set up the log, and keep SIGTERM and SIGINT for `signal.sigwait(STOP)`.

    To be called before any other thread is there: a signal that the system hands to one of theirs would wake nobody.

    Returns:
        The arguments, and what `--tls-cert` and `--tls-key` hold; None without them.

    Raises:
        SystemExit: They contradict each other, or a file cannot be read; exit code 2.
    """
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    set_up_logging(arguments.log_format)
    remote = not is_loopback(arguments.listen[0])
    tls = _tls(parser, arguments.tls_cert, arguments.tls_key)
    if arguments.disable_auth and remote and not arguments.allow_remote_anonymous:
        parser.error("--disable-auth lets everybody in as admin: beyond loopback it needs --allow-remote-anonymous too")
    if remote and not tls:
        _logger.warning("listening beyond loopback without TLS: credentials can be read on the way")
    return arguments, tls


def front_door(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, prefix: str
) -> tuple[AuthConfig, RequestAuthenticator]:
    """Who may come in, from the variables with `prefix`. Raises SystemExit, exit code 2, where they are wrong."""
    try:
        config = AuthConfig.disabled() if arguments.disable_auth else AuthConfig.from_env(prefix)
        return config, build_authenticator(config)
    except ConfigError as error:
        parser.error(str(error))


def own_telemetry(parser: argparse.ArgumentParser, authenticator: RequestAuthenticator) -> Telemetry | None:
    """What sends this server's own log and metrics, where the environment says so.

    Raises:
        SystemExit: What it says is wrong; exit code 2.
    """
    try:
        return Telemetry.from_env(parser.prog, authenticator)
    except ConfigError as error:
        parser.error(str(error))


def url(scheme: str, host: str, port: int) -> str:
    """`scheme://host:port`, an IPv6 address in brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _tls(parser: argparse.ArgumentParser, cert: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        parser.error("--tls-cert and --tls-key go together")
    try:
        pair = cert.read_bytes(), key.read_bytes()
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        parser.error(f"--tls-cert and --tls-key: no certificate chain and its key in PEM ({error.reason or error})")
    except OSError as error:
        parser.error(f"cannot read {error.filename}: {error.strerror}")
    except ValueError:
        parser.error("--tls-key: is encrypted; it must not be")
    return pair


def _no_password() -> str:
    raise ValueError("there is nobody to ask")


def lake_at(parser: argparse.ArgumentParser, folder: Path) -> Lake:
    """The lake in `folder`. Raises SystemExit, exit code 2, where there is none."""
    try:
        return Lake(folder)
    except NotADirectoryError:
        parser.error(f"--lake: {folder} {'is no folder' if folder.exists() else 'does not exist: create it'}")


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)
