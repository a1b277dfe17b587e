"""The command `telemetry-ingestion-srv`: what it refuses to do, what it says, and how it ends."""

import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from micromegas_server.lake_writer import LakeWriter
from support.certificates import Authority
from support.ingestion_samples import logs
from support.ingestion_server import API_KEY, AS_PROTOBUF, BEARER, KEYS, PATIENCE, ingestion_process, url_of, written

LOGS = "/ingestion/otlp/v1/logs"


def test_everybody_is_admin_without_authentication(tmp_path: Path) -> None:
    """Loudly, and in each row."""
    with ingestion_process(tmp_path, "--disable-auth") as process:
        body = logs("hello").SerializeToString()
        assert httpx.post(url_of(process) + LOGS, content=body, headers=AS_PROTOBUF).status_code == 200
        process.wait_for("WARNING .*AUTHENTICATION IS DISABLED")
        assert process.terminate() == 0
    assert [row["auth_subject"] for row in written(tmp_path, "log_entries")] == ["anonymous"]


def test_but_not_beyond_loopback(tmp_path: Path) -> None:
    with ingestion_process(tmp_path, "--disable-auth", listen="0.0.0.0:0") as process:
        process.wait_for("beyond loopback it needs --allow-remote-anonymous too")
        assert process.wait() == 2


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_addresses_of_loopback(tmp_path: Path, address: str) -> None:
    with ingestion_process(tmp_path, listen=address) as process:
        assert httpx.get(url_of(process) + "/ready").status_code == 200
        assert process.terminate() == 0
    assert not any("without TLS" in line for line in process.lines)


def test_beyond_loopback_without_tls_is_warned_of(tmp_path: Path) -> None:
    with ingestion_process(tmp_path, listen="0.0.0.0:0") as process:
        process.wait_for("beyond loopback without TLS")
        assert process.terminate() == 0


def test_configuration(tmp_path: Path) -> None:
    """Its own variables come first, and an error names the one that was read."""
    for env, says in (
        ({"MICROMEGAS_API_KEYS": "{"}, "MICROMEGAS_API_KEYS: not JSON"),
        ({"MICROMEGAS_API_KEYS": "{", "MICROMEGAS_INGESTION_API_KEYS": "["}, "MICROMEGAS_INGESTION_API_KEYS: not JSON"),
        ({"HOME": "/"}, "set MICROMEGAS_INGESTION_OIDC_CONFIG or MICROMEGAS_INGESTION_API_KEYS"),
    ):
        with ingestion_process(tmp_path, env=env) as process:
            process.wait_for(says)
            assert process.wait() == 2


def test_lakes_that_are_none(tmp_path: Path) -> None:
    """A file, nothing, one that another process writes to, and one with a table of other columns."""
    (tmp_path / "file").touch()
    (tmp_path / "foreign" / "log_entries").mkdir(parents=True)
    pq.write_table(pa.table({"msg": ["x"]}), tmp_path / "foreign" / "log_entries" / "1.parquet")
    taken = LakeWriter(tmp_path / "taken")
    for name, says in (
        ("file", "--lake: .* is no folder"),
        ("nosuch", "--lake: .* does not exist: create it"),
        ("taken", "--lake: another process writes to the lake"),
        ("foreign", "--lake: table 'log_entries'"),
    ):
        with ingestion_process(tmp_path / name) as process:
            process.wait_for(says)
            assert process.wait() == 2
        assert not any("Traceback" in line for line in process.lines)
    taken.close()


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with ingestion_process(tmp_path, listen=f"127.0.0.1:{port}") as process:
            process.wait_for(rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use")
            assert process.wait() == 2
    assert not any("Traceback" in line for line in process.lines)


def test_tls(tmp_path: Path) -> None:
    """Who trusts the certificate is served, who does not, or speaks no TLS, is not."""
    (tmp_path / "lake").mkdir()
    authority = Authority(tmp_path)
    authority.server_context()
    (both,) = (path for path in tmp_path.glob("*.pem") if path != authority.ca_file)
    with ingestion_process(tmp_path / "lake", "--tls-cert", both, "--tls-key", both) as process:
        url = url_of(process)
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=authority.ca_file)
        assert httpx.get(url + "/health", verify=trusting).status_code == 200
        for other in (url, url.replace("https", "http")):
            with pytest.raises(httpx.TransportError):
                httpx.get(other + "/health")
        assert process.terminate() == 0


def test_tls_that_cannot_be(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM")
    for arguments, says in (
        (("--tls-cert", broken), "--tls-cert and --tls-key go together"),
        (("--tls-cert", tmp_path / "nosuch", "--tls-key", broken), r"cannot read .*nosuch: No such file"),
        (("--tls-cert", broken, "--tls-key", broken), "no certificate chain and its key in PEM"),
    ):
        with ingestion_process(tmp_path, *arguments) as process:
            process.wait_for(says)
            assert process.wait() == 2
        assert not any("Traceback" in line for line in process.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_may_end(tmp_path: Path, number: int) -> None:
    """After the signal no connection is taken, what is under way is finished and committed, and the exit code is 0."""
    with ingestion_process(tmp_path) as process:
        url = url_of(process)
        begun, over = threading.Event(), threading.Event()
        body = logs("hello").SerializeToString()
        answers: list[int] = []

        def slowly() -> Iterator[bytes]:
            yield body[:10]
            begun.set()
            assert over.wait(PATIENCE)
            yield body[10:]

        def send() -> None:
            headers = BEARER | AS_PROTOBUF
            answers.append(httpx.post(url + LOGS, content=slowly(), headers=headers, timeout=PATIENCE).status_code)

        sender = threading.Thread(target=send)
        sender.start()
        assert begun.wait(PATIENCE)
        process.wait_for("authenticated: subject=agent")  # it has arrived
        os.kill(process.pid, number)
        process.wait_for("draining")
        while True:
            try:
                httpx.get(url + "/health")
            except httpx.TransportError:
                break
        over.set()
        sender.join(PATIENCE)
        assert answers == [200]
        assert process.wait() == 0
    assert [row["msg"] for row in written(tmp_path, "log_entries")] == ["hello"]


def test_json_logs(tmp_path: Path) -> None:
    """Every line, those about refusals too, and no request has one of its own."""
    with ingestion_process(tmp_path, "--log-format", "json") as process:
        url = url_of(process)
        for number in range(3):
            body = logs(f"secret {number}").SerializeToString()
            assert httpx.post(url + LOGS, content=body, headers=BEARER | AS_PROTOBUF).status_code == 200
        assert httpx.post(url + LOGS, content=b"secret", headers=BEARER | AS_PROTOBUF).status_code == 400
        assert httpx.post(url + LOGS, content=b"").status_code == 401
        assert process.terminate() == 0
    events = [json.loads(line) for line in process.lines]
    assert all({"time", "target", "msg"} <= event.keys() for event in events)
    assert "taken: bytes=" in events[-1]["msg"]
    assert "status_200=3 status_400=1" in events[-1]["msg"]
    assert not any("secret" in line for line in process.lines)
    assert sum("ingestion" in event["target"] for event in events) == 0


def test_a_server_that_reports_on_itself(tmp_path: Path) -> None:
    """Its last lines too: it takes them before it stops."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = {
        "MICROMEGAS_API_KEYS": json.dumps(KEYS),
        "MICROMEGAS_TELEMETRY_URL": f"http://{address}",
        "MICROMEGAS_INGESTION_API_KEY": API_KEY,
    }
    with ingestion_process(tmp_path, listen=address, env=env) as process:
        url_of(process)
        assert process.terminate() == 0
    assert "draining: running requests have 30 s to end" in [row["msg"] for row in written(tmp_path, "log_entries")]
    assert not any("export" in line for line in process.lines), process.lines
