"""The whole way: a real client with a token of a real identity provider, the installed server, the line in its log."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adbc_driver_manager import Error as AdbcError
from support.micromegas_client import MicromegasClient
from support.processes import ServerProcess
from support.provider import ALGORITHMS, API_AUDIENCE, OidcProvider

API_KEY = "a-grafana-key-of-the-tests"
SQL = "SELECT msg FROM log_entries ORDER BY time"
MESSAGES = ["one", "two", "three"]
CALL_HEADER = "adbc.flight.sql.rpc.call_header."


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    (folder / "log_entries").mkdir()
    times = pa.array([1, 2, 3], pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table({"time": times, "msg": MESSAGES}), folder / "log_entries" / "1.parquet")
    return folder


def environment(provider: OidcProvider) -> dict[str, str]:
    """A server that trusts the provider's applications and its API, with Alice and Bob as admins."""
    audiences = [API_AUDIENCE, *(provider.application(alg) for alg in ALGORITHMS)]
    issuers = [{"issuer": provider.issuer, "audience": audiences}]
    admins = [{"issuer": provider.issuer, "email": f"{name}@example.com"} for name in ("alice", "bob")]
    return {
        "MICROMEGAS_OIDC_CONFIG": json.dumps({"issuers": issuers}),
        "MICROMEGAS_API_KEYS": json.dumps([{"name": "grafana", "key": API_KEY}]),
        "MICROMEGAS_ADMINS": json.dumps(admins),
    }


class Server:
    """The running server, and who asks it."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.location = process.wait_for(r"listening on (grpc://127.0.0.1:\d+)")[1]
        self._read = 0

    def ask(self, token: str, sql: str = SQL, **headers: str) -> list[Any]:
        """The first column of the answer to a query by ADBC."""
        options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
        options |= {CALL_HEADER + name.replace("_", "-"): value for name, value in headers.items()}
        self._read = len(self.process.lines)
        with (
            flight_sql.connect(self.location, db_kwargs=options, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return cursor.fetch_arrow_table().column(0).to_pylist()

    def logged(self, pattern: str) -> str:
        """The line that the last `ask` left in the log."""
        return self.process.wait_for(pattern, after=self._read).string


@pytest.fixture(scope="module")
def server(oidc_provider: OidcProvider, lake: Path) -> Iterator[Server]:
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(lake))
    with ServerProcess("flight-sql-srv", *arguments, env=environment(oidc_provider)) as process:
        yield Server(process)


def test_one_rs256_token_through_adbc_to_the_audit_line(server: Server, oidc_provider: OidcProvider) -> None:
    """Who ran it, for whom, admin or not: all in one line."""
    assert server.ask(oidc_provider.login("RS256"), x_client_type="adbc") == MESSAGES
    line = server.logged("execute_query")
    issuer = re.escape(oidc_provider.issuer)
    assert re.search(
        rf'execute_query sql="{SQL}" user=alice email=alice@example.com client=adbc subject=alice issuer={issuer} '
        rf"auth=oidc admin=true peer=ipv4:127.0.0.1:\d+ status=ok rows=3 bytes=\d+ ms=[\d.]+ query_id=[0-9a-f]+$",
        line,
    )
    server.process.wait_for(rf"authenticated: subject=alice email=alice@example.com issuer={issuer} admin=true")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_id_tokens(server: Server, oidc_provider: OidcProvider, alg: str) -> None:
    """Bob logged in; his e-mail is not verified, so being listed as an admin makes him none."""
    assert server.ask(oidc_provider.login(alg, "bob")) == MESSAGES
    server.logged(r"execute_query .* user=bob email=bob@example.com asserted=email subject=bob .*admin=false")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_access_tokens_of_service_accounts(server: Server, oidc_provider: OidcProvider, alg: str) -> None:
    """A client-credentials token may name the end user; the record has both."""
    account = oidc_provider.service_account(alg)
    assert (
        server.ask(oidc_provider.client_credentials(alg), x_user_id="gr%C3%A4ce", x_user_email="g@example.com")
        == MESSAGES
    )
    server.logged(
        rf"user=\"?gräce\"? email=g@example.com service_account={account} asserted=\"?user,email\"? subject={account} "
    )


def test_api_key_for_a_user_of_grafana(server: Server) -> None:
    headers = {"x_user_id": "grace", "x_user_name": "Grace%20%22Amazing%22%20Hopper", "x_org_id": "1"}
    assert server.ask(API_KEY, x_client_type="grafana", **headers) == MESSAGES
    server.logged(
        r'user=grace name="Grace \\"Amazing\\" Hopper" org=1 client=grafana service_account=grafana asserted=user '
        r"subject=grafana auth=api_key admin=false"
    )


def test_impersonation_is_denied_without_an_echo(server: Server, oidc_provider: OidcProvider) -> None:
    with pytest.raises(AdbcError, match="permission denied") as caught:
        server.ask(oidc_provider.login("RS256"), x_user_id="somebody-else")
    assert "somebody-else" not in str(caught.value)
    server.logged(r"refused: reason=impersonation error=PermissionDenied")


def test_forged_and_foreign_tokens_are_refused(server: Server, oidc_provider: OidcProvider) -> None:
    token = oidc_provider.login("ES256")
    head, payload, signature = token.split(".")
    forged = f"{head}.{payload}.{signature[:-8]}{'A' * 8}"
    for bad in (forged, f"{head}.{payload}.", "a-key-that-nobody-has-0123", f"{token}.{token}"):
        with pytest.raises(AdbcError, match="unauthenticated") as caught:
            server.ask(bad)
        assert bad not in str(caught.value)
    assert not any(secret in line for line in server.process.lines for secret in (token, payload, signature, API_KEY))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_micromegas_client_with_client_credentials(
    server: Server, oidc_provider: OidcProvider, micromegas_client: Callable[[str], MicromegasClient], alg: str
) -> None:
    """The client gets its token itself, from the variables that Micromegas documents."""
    code = (
        "import os; from micromegas.auth.oidc import OidcClientCredentialsProvider\n"
        "from micromegas.flightsql.client import FlightSQLClient\n"
        "auth = OidcClientCredentialsProvider.from_env()\n"
        "client = FlightSQLClient(os.environ['MICROMEGAS_ANALYTICS_URI'], auth_provider=auth)\n"
        f"print(client.query('{SQL}', '1970-01-01T00:00:00Z', '2030-01-01T00:00:00Z').msg.to_list())\n"
    )
    variables = {
        "MICROMEGAS_OIDC_ISSUER": oidc_provider.issuer,
        "MICROMEGAS_OIDC_CLIENT_ID": oidc_provider.service_account(alg),
        "MICROMEGAS_OIDC_CLIENT_SECRET": oidc_provider.client_secret,
        "MICROMEGAS_OIDC_AUDIENCE": API_AUDIENCE,
    }
    before = len(server.process.lines)
    done = micromegas_client(server.location).python(code, variables)
    assert done.stdout == f"{MESSAGES}\n", done.stderr
    server.process.wait_for(
        rf"execute_query range=1970-01-01T00:00:00\S*/2030-01-01T00:00:00\S* .*subject=svc-{alg.lower()} ",
        after=before,
    )


def test_micromegas_cli_with_an_api_key(server: Server, micromegas_client: Callable[[str], MicromegasClient]) -> None:
    user = micromegas_client(server.location)
    user.use_api_key(API_KEY)
    before = len(server.process.lines)
    done = user.query(SQL)
    assert done.stdout.split() == ["msg", *MESSAGES], done.stderr
    server.process.wait_for(r"execute_query .*user=grafana .*client=python .*status=ok rows=3", after=before)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_micromegas_cli_with_a_saved_login(
    server: Server, oidc_provider: OidcProvider, micromegas_client: Callable[[str], MicromegasClient], alg: str
) -> None:
    user = micromegas_client(server.location)
    user.use_login(oidc_provider.issuer, oidc_provider.application(alg), oidc_provider.tokens(alg))
    before = len(server.process.lines)
    done = user.query(SQL, "--begin", "1h")
    assert done.stdout.strip() == "no data", done.stderr  # the rows of the lake are of 1970
    server.process.wait_for(r"execute_query range=\S+ .*user=alice .*client=python .*admin=true .*rows=0", after=before)


def test_json_records(oidc_provider: OidcProvider, lake: Path) -> None:
    """With --log-format json every line of the log is an object, and the record has the same fields."""
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(lake), "--log-format", "json")
    with ServerProcess("flight-sql-srv", *arguments, env=environment(oidc_provider)) as process:
        server = Server(process)
        assert server.ask(oidc_provider.login("EdDSA")) == MESSAGES
        record = json.loads(server.logged(r'"execute_query"'))
        assert process.terminate() == 0
    assert record["event"] == "execute_query"
    assert (record["user"], record["auth"], record["admin"], record["status"]) == ("alice", "oidc", True, "ok")
    assert (record["sql"], record["rows"], record["issuer"]) == (SQL, 3, oidc_provider.issuer)
    assert all(isinstance(json.loads(line), dict) for line in process.lines)


def test_the_provider_goes_down(lake: Path) -> None:
    """Tokens of known keys go on being accepted; the API key never notices."""
    with OidcProvider() as provider:
        arguments = ("--listen", "127.0.0.1:0", "--lake", str(lake))
        with ServerProcess("flight-sql-srv", *arguments, env=environment(provider)) as process:
            server = Server(process)
            token, another = provider.login("RS256"), provider.login("RS256", "bob")
            assert server.ask(token) == MESSAGES
            provider.__exit__()
            assert server.ask(token) == MESSAGES
            assert server.ask(another) == MESSAGES
            assert server.ask(API_KEY) == MESSAGES


def test_the_provider_is_down_at_start(lake: Path, oidc_provider: OidcProvider) -> None:
    """The server starts; API keys work; a token is answered UNAVAILABLE, not UNAUTHENTICATED."""
    token = oidc_provider.login("RS256")
    variables = environment(oidc_provider)
    # Port 9 (discard) stands for a provider that refuses connections, behind the right issuer.
    oidc = json.loads(variables["MICROMEGAS_OIDC_CONFIG"])
    oidc["issuers"][0]["jwks_uri"] = "http://127.0.0.1:9/jwks"
    variables["MICROMEGAS_OIDC_CONFIG"] = json.dumps(oidc)
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(lake))
    with ServerProcess("flight-sql-srv", *arguments, env=variables) as process:
        server = Server(process)
        assert server.ask(API_KEY) == MESSAGES
        with pytest.raises(AdbcError, match="temporarily unavailable"):
            server.ask(token)
        server.logged(r"refused: reason=keys_unavailable error=ProviderUnavailable")
        process.wait_for(r"keys not fetched: issuer=\S+ error=ConnectError")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "no authentication is configured: set MICROMEGAS_OIDC_CONFIG or MICROMEGAS_API_KEYS"),
        ({"MICROMEGAS_API_KEYS": '[{"name": "a", "key": "s3cr3t value"}]'}, "MICROMEGAS_API_KEYS: 0: key must be"),
        ({"MICROMEGAS_OIDC_CONFIG": '{"issuers": []}'}, "MICROMEGAS_OIDC_CONFIG: issuers: "),
        ({"MICROMEGAS_ADMINS": "[s3cr3t]", "MICROMEGAS_API_KEYS": "[]"}, "MICROMEGAS_ADMINS: not JSON"),
    ],
)
def test_a_wrong_configuration_does_not_start(lake: Path, variables: dict[str, str], says: str) -> None:
    with ServerProcess("flight-sql-srv", "--listen", "127.0.0.1:0", "--lake", str(lake), env=variables) as process:
        process.wait_for(re.escape(says))
        assert process.wait() == 2
    assert not any("Traceback" in line or "s3cr3t" in line for line in process.lines)
