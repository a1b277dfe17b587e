"""The command `flight-sql-srv`: what it refuses to do, what it says, and how it ends."""

import datetime
import ipaddress
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pyarrow.flight as flight
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from micromegas_server.flight_sql.messages import statement_ticket
from support.processes import ServerProcess

LONG = "SELECT value, repeat('x', 1000) AS s FROM generate_series(1, 100000)"


def serving(lake: Path, *arguments: str | Path, listen: str = "127.0.0.1:0", env: Any = None) -> ServerProcess:
    """A server over a lake, with these further arguments."""
    return ServerProcess("flight-sql-srv", "--listen", listen, "--lake", lake, *arguments, env=env)


def location_of(process: ServerProcess) -> str:
    return process.wait_for(r"listening on (grpc(?:\+tls)?://[^\s\"]+)")[1]


def ask(client: flight.FlightClient, sql: str) -> Any:
    return client.do_get(flight.Ticket(statement_ticket(sql))).read_all().column(0).to_pylist()


def test_everybody_is_admin_without_authentication(tmp_path: Path) -> None:
    """Loudly, and in each record."""
    with serving(tmp_path, "--disable-auth") as process:
        with flight.connect(location_of(process)) as client:
            assert ask(client, "SELECT 1") == [1]
        process.wait_for(r"execute_query .*subject=anonymous .*admin=true .*status=ok")
        process.wait_for("WARNING .*AUTHENTICATION IS DISABLED")
        assert process.terminate() == 0


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"])
def test_but_not_beyond_loopback(tmp_path: Path, address: str) -> None:
    with serving(tmp_path, "--disable-auth", listen=address) as process:
        process.wait_for("beyond loopback it needs --allow-remote-anonymous too")
        assert process.wait() == 2


def test_unless_told_so_twice(tmp_path: Path) -> None:
    arguments = ("--disable-auth", "--allow-remote-anonymous")
    with serving(tmp_path, *arguments, listen="0.0.0.0:0") as process:
        process.wait_for("beyond loopback without TLS: credentials can be read on the way")
        port = location_of(process).rpartition(":")[2]
        with flight.connect(f"grpc://127.0.0.1:{port}") as client:
            assert ask(client, "SELECT 1") == [1]


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_addresses_of_loopback(tmp_path: Path, address: str) -> None:
    with serving(tmp_path, "--disable-auth", listen=address) as process:
        location = location_of(process)
        with flight.connect(location) as client:
            assert ask(client, "SELECT 1") == [1]
    assert not any("without TLS" in line for line in process.lines)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = (tmp_path / "cert.pem", tmp_path / "key.pem")
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Who trusts the certificate is served, who does not, or speaks no TLS, is not."""
    cert, key = certificate
    with serving(tmp_path, "--disable-auth", "--tls-cert", cert, "--tls-key", key) as process:
        location = location_of(process)
        assert location.startswith("grpc+tls://127.0.0.1:")
        with flight.connect(location, tls_root_certs=cert.read_bytes()) as client:
            assert ask(client, "SELECT 1") == [1]
        with flight.connect(location) as stranger, pytest.raises(flight.FlightUnavailableError):
            ask(stranger, "SELECT 1")
        with flight.connect(location.replace("+tls", "")) as plain, pytest.raises(flight.FlightUnavailableError):
            ask(plain, "SELECT 1")
        assert process.terminate() == 0


def test_tls_that_cannot_be(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM")
    for arguments, says in (
        (("--tls-cert", cert), "--tls-cert and --tls-key go together"),
        (("--tls-key", key), "--tls-cert and --tls-key go together"),
        (("--tls-cert", tmp_path / "nosuch", "--tls-key", key), r"cannot read .*nosuch: No such file"),
        (("--tls-cert", broken, "--tls-key", key), "no certificate chain and its key in PEM"),
        (("--tls-cert", cert, "--tls-key", broken), "no certificate chain and its key in PEM"),
    ):
        with serving(tmp_path, "--disable-auth", *arguments) as process:
            process.wait_for(says)
            assert process.wait() == 2
        assert not any("Traceback" in line for line in process.lines)


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, "--disable-auth", listen=f"127.0.0.1:{port}") as process:
            process.wait_for(rf"cannot listen on 127\.0\.0\.1:{port}")
            assert process.wait() == 2
    assert not any("Traceback" in line for line in process.lines)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", ":1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1"]
)
def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    with serving(tmp_path, "--disable-auth", listen=address) as process:
        process.wait_for(r"must be HOST:PORT, such as 127\.0\.0\.1:50051")
        assert process.wait() == 2


def test_a_lake_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for lake, says in (("file", "--lake: .* is no folder"), ("nosuch", "--lake: .* does not exist: create it")):
        with serving(tmp_path / lake, "--disable-auth") as process:
            process.wait_for(says)
            assert process.wait() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_query_may_end(tmp_path: Path, number: int) -> None:
    """After the signal no call is taken, the one in flight gets the rest of its result, and the exit code is 0."""
    with serving(tmp_path, "--disable-auth") as process:
        location = location_of(process)
        with flight.connect(location) as client, flight.connect(location) as late:
            reader = client.do_get(flight.Ticket(statement_ticket(LONG)))
            first = reader.read_chunk().data.num_rows
            os.kill(process.pid, number)
            process.wait_for("draining")
            assert process._process.poll() is None
            rest = sum(chunk.data.num_rows for chunk in reader)
            assert first + rest == 100_000
            assert process.wait() == 0
            with pytest.raises(flight.FlightUnavailableError):
                ask(late, "SELECT 1")
        process.wait_for("execute_query .*status=ok rows=100000")


def test_json_logs(tmp_path: Path) -> None:
    """Every line, those of the engine and of the audit too."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.parquet").write_text("no Parquet")
    with serving(tmp_path, "--disable-auth", "--log-format", "json") as process:
        with flight.connect(location_of(process)) as client:
            for sql in ("SHOW TABLES", "SELECT * FROM broken", "SELECT * FROM nosuch", "SELECT 'a\n\x1b'"):
                try:
                    ask(client, sql)
                except flight.FlightError as error:
                    assert "query_id=" in str(error)  # noqa: PT017 - two of them fail
        process.wait_for('"sql": "SELECT \'a')
        assert process.terminate() == 0
    events = [json.loads(line) for line in process.lines]
    assert sum("execute_query" in event.get("event", "") for event in events) == 4
    assert all({"time", "target", "msg"} <= event.keys() or "event" in event for event in events)
