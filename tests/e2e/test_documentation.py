"""What README, docs and examples say is run here, word for word."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.ingestion_server import written
from support.processes import ChildProcess, ServerProcess, clean_environment

from micromegas_auth import AuthConfig, Reason
from micromegas_auth.entries import ApiKeyConfig, IssuerConfig, OidcConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def exports(text: str) -> dict[str, str]:
    """The variables that `export NAME=...` lines set, as a shell reads them."""
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("export ")]
    return dict(line[1].split("=", 1) for line in lines)


@pytest.fixture
def environment() -> dict[str, str]:
    names = ("MICROMEGAS_API_KEYS", "MICROMEGAS_OIDC_CONFIG", "MICROMEGAS_ADMINS")
    return {name: exports(README)[name] for name in names}


def run_python(code: str, environment: dict[str, str]) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_server_and_client(environment: dict[str, str], tmp_path: Path) -> None:
    """The server starts with README's variables, though their issuer is out of reach, and answers README's client."""
    client, _ = blocks(README, "python")
    shown = next(line for line in README.splitlines() if line.startswith("execute_query "))
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(tmp_path))
    with ServerProcess("flight-sql-srv", *arguments, env=environment) as server:
        location = server.wait_for(r"listening on (grpc://127.0.0.1:\d+)")[1]
        assert "grpc://127.0.0.1:50051" in client
        assert run_python(client.replace("grpc://127.0.0.1:50051", location), {}).endswith("one: [[1]]\n")
        line = server.wait_for(r"execute_query .*").group()
    names = re.findall(r"(\w+)=", shown)
    assert re.findall(r"(\w+)=", line) == names
    assert re.search(r'sql="SELECT 1 AS one" user=grafana subject=grafana auth=api_key admin=false', line)


SDK = """
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
provider.get_logger("shop").emit(body="hello")
provider.shutdown()
"""


def test_readme_telemetry(environment: dict[str, str], tmp_path: Path) -> None:
    """README's variables make an SDK and the Flight SQL server send what they log."""
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(tmp_path))
    with ServerProcess("telemetry-ingestion-srv", *arguments, env=environment) as server:
        url = server.wait_for(r"listening on (http://127.0.0.1:\d+)")[1]
        sending = {name: value.replace("http://127.0.0.1:9000", url) for name, value in exports(README).items()}
        run_python(SDK, {name: value for name, value in sending.items() if name.startswith("OTEL_")})
        assert [(row["msg"], row["auth_subject"]) for row in written(tmp_path, "log_entries")] == [("hello", "grafana")]
        own = {name: value for name, value in sending.items() if name.startswith("MICROMEGAS_")}
        with ServerProcess("flight-sql-srv", *arguments, env=own) as flight:
            flight.wait_for("listening on")
        assert any(row["exe"] == "flight-sql-srv" for row in written(tmp_path, "log_entries"))


def test_readme_library(environment: dict[str, str]) -> None:
    """The library's example lets Grafana's key in for its user."""
    _, library = blocks(README, "python")
    assert run_python(library, environment) == "grafana for grace admin: False\n"


def test_configuration_examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every example of docs/configuration.md is accepted."""
    oidc, keys, admins, revoked = blocks(CONFIGURATION, "json")
    (tmp_path / "revoked").write_text(revoked)
    monkeypatch.setenv("MICROMEGAS_REVOKED_FILE", str(tmp_path / "revoked"))
    monkeypatch.setenv("MICROMEGAS_OIDC_CONFIG", oidc)
    monkeypatch.setenv("MICROMEGAS_API_KEYS", keys)
    monkeypatch.setenv("MICROMEGAS_ADMINS", admins)
    config = AuthConfig.from_env()
    assert config.oidc is not None
    assert [len(config.oidc.issuers), len(config.api_keys), len(config.admins), len(config.revoked)] == [2, 2, 3, 6]


@pytest.mark.parametrize("model", [OidcConfig, IssuerConfig, ApiKeyConfig])
def test_configuration_names_every_field(model: type[OidcConfig | IssuerConfig | ApiKeyConfig]) -> None:
    """docs/configuration.md has a row for each field, with its default where that is a number."""
    for name, field in model.model_fields.items():
        row = re.search(rf"^\| `{name}` \|.*\|(.*)\|$", CONFIGURATION, re.MULTILINE)
        assert row is not None, name
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert float(row[1]) == field.default


def test_every_reason_is_explained() -> None:
    """docs/reasons.md has a row for each Reason, and no other."""
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reasons.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(Reason)


def test_examples(tmp_path: Path) -> None:
    """The example server tells the example client who it is, and its log says so too."""
    key = "a-key-of-at-least-16-bytes"
    variables = {"MICROMEGAS_API_KEYS": json.dumps([{"name": "ci", "key": key}])}
    client = ROOT / "examples" / "flight_client.py"
    with ChildProcess(sys.executable, ROOT / "examples" / "flight_server.py", env=variables) as server:
        location = server.wait_for(r"listening on (grpc://127.0.0.1:\d+)")[1]
        with ChildProcess(sys.executable, client, location, key, "grace") as asking:
            asking.wait_for(re.escape("{'subject': 'ci', 'user': 'grace', 'admin': False}"))
        server.wait_for(r'execute_query sql="who am I\?" user=grace .*service_account=ci .*status=ok rows=1')
        with ChildProcess(sys.executable, client, location, "a-key-that-nobody-has") as asking:
            asking.wait_for(r"FlightUnauthenticatedError: unauthenticated: send one valid API key")


def test_http_applications(tmp_path: Path) -> None:
    """Each application of docs/http.md, started as it says, knows who calls and for whom; so does the example."""
    key = "a-key-of-at-least-16-bytes"
    variables = {"MICROMEGAS_API_KEYS": json.dumps([{"name": "ci", "key": key}])}
    headers = {"authorization": f"Bearer {key}", "x-user-id": "grace"}
    preflight = {"origin": "https://grafana.example", "access-control-request-method": "GET"}
    starlette, fastapi, bare, cors = blocks((ROOT / "docs" / "http.md").read_text(), "python")
    commands: dict[str, list[str | Path]] = {"example": [ROOT / "examples" / "asgi_server.py"]}
    for name, text in {"starlette": starlette, "fastapi": fastapi, "bare": bare, "cors": starlette + cors}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(text)
        commands[name] = ["-m", "uvicorn", "app:app", "--port", "0", "--app-dir", tmp_path / name]
    for name, command in commands.items():
        with ChildProcess(sys.executable, *command, env=variables) as server:
            url = server.wait_for(r"running on (http://127.0.0.1:\d+)")[1]
            assert httpx.get(f"{url}/health").status_code == 200
            assert httpx.get(f"{url}/whoami", headers=headers).json()["user"] == "grace"
            refused = httpx.get(f"{url}/whoami", headers={"origin": preflight["origin"]})
            assert refused.status_code == 401
            assert ("access-control-allow-origin" in refused.headers) == (name == "cors")
            assert httpx.options(f"{url}/whoami", headers=preflight).status_code == (200 if name == "cors" else 401)
            if name == "starlette":
                assert httpx.get(f"{url}/admin", headers=headers).status_code == 403
