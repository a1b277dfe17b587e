"""`python -m micromegas_server.demo`: an issuer and both servers on loopback, a walk, then lines to paste."""

import argparse
import json
import secrets
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from micromegas_server.demo.child import ServerProcess
from micromegas_server.demo.issuer import DemoIssuer
from micromegas_server.demo.walk import ADMIN, API_KEY, AUDIENCE, Client, Step, steps, wait_for_log

DAY = 86400


def main() -> int:
    """Walk, then serve on unless `--once`; exit code 1 if a step came out otherwise than it should."""
    parser = argparse.ArgumentParser(prog="python3 run.py demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the walk")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server is ended on the way out
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="micromegas-demo-")))
        lake = folder / "lake"
        lake.mkdir()
        issuer, unreachable = DemoIssuer(), DemoIssuer()
        stack.callback(issuer.stop)
        unreachable.stop()
        environment = configuration(issuer, unreachable)
        arguments = ["--listen", "127.0.0.1:0", "--lake", str(lake)]
        ingestion = stack.enter_context(ServerProcess("telemetry-ingestion-srv", *arguments, env=environment))
        url = ingestion.wait_for(r"listening on (http://\S+)")[1]
        environment |= telemetry(issuer, url)
        print("The servers are configured by these variables:")
        for name, value in environment.items():
            print(f"    export {name}='{value}'")
        server = stack.enter_context(ServerProcess("flight-sql-srv", *arguments, env=environment))
        location = server.wait_for(r"listening on (grpc://\S+)")[1]
        print(f"flight-sql-srv listens on {location}, telemetry-ingestion-srv on {url}, the issuer on {issuer.url}\n")

        wait_for_log(Client(location))
        walk = enumerate(steps(Client(location), issuer, unreachable), 1)
        done = [take(step, number, server) for number, step in walk]
        print(f"{sum(done)} of {len(done)} steps came out as they should.\n")
        if not once:
            print(lines_to_paste(location, issuer, folder))
            try:
                signal.pause()
            except KeyboardInterrupt:
                print("\nThe demo ends.")
    return 0 if all(done) else 1


def configuration(*issuers: DemoIssuer) -> dict[str, str]:
    """Who may come in, to both servers."""
    oidc = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE} for issuer in issuers]}
    return {
        "MICROMEGAS_OIDC_CONFIG": json.dumps(oidc),
        "MICROMEGAS_API_KEYS": json.dumps([{"name": "grafana", "key": API_KEY}]),
        "MICROMEGAS_ADMINS": json.dumps([{"issuer": issuers[0].url, "email": ADMIN}]),
    }


def telemetry(issuer: DemoIssuer, url: str) -> dict[str, str]:
    """What makes a server send its own log to the ingestion server, with a token that the issuer gives it."""
    secret = issuer.clients["flight-sql-srv"] = secrets.token_urlsafe()
    return {
        "MICROMEGAS_TELEMETRY_URL": url,
        "MICROMEGAS_OIDC_ISSUER": issuer.url,
        "MICROMEGAS_OIDC_CLIENT_ID": "flight-sql-srv",
        "MICROMEGAS_OIDC_CLIENT_SECRET": secret,
        "MICROMEGAS_OIDC_AUDIENCE": AUDIENCE,
    }


def take(step: Step, number: int, server: ServerProcess) -> bool:
    """Take one step; show its result beside the server's log line; say whether it came out as it should."""
    print(f"{number}. {step.title}", flush=True)
    before = len(server.lines)
    outcome = step.call()
    try:
        line = server.wait_for(step.expected_log, after=before, timeout=10).string
    except AssertionError:
        line = "(no line of the log matches)"
        as_it_should = False
    else:
        as_it_should = outcome.error == step.expected_error
    print(f"   result  {outcome.message}\n   log     {line}")
    print(
        "   ok\n" if as_it_should else f"   NOT AS IT SHOULD BE: expected {step.expected_error or 'rows'}\n", flush=True
    )
    return as_it_should


def lines_to_paste(location: str, issuer: DemoIssuer, folder: Path) -> str:
    """What to run in another terminal while the demo serves on."""
    token_file, home = folder / "token", folder / "home"
    lasting = issuer.mint(
        {"sub": "alice", "aud": AUDIENCE, "email": "alice@example.com", "email_verified": True}, seconds=DAY
    )
    token_file.write_text(lasting)
    (home / ".micromegas").mkdir(parents=True)
    key_file = home / ".micromegas" / "demo.key"
    key_file.write_text(API_KEY)
    (home / ".micromegas" / "config.json").write_text(json.dumps({"uri": location, "api_key_file": str(key_file)}))
    sql = "SELECT time, msg FROM log_entries WHERE level = 4 ORDER BY time DESC LIMIT 5"  # info: who ran what
    return f"""\
The demo serves on; end it with Ctrl-C. In another terminal, with an API key or the token of a user (valid for a day):

Python, with pyarrow alone:
{sys.executable} -c "
import pyarrow.flight as f
from micromegas_server.flight_sql.messages import statement_ticket
headers = [(b'authorization', b'Bearer {API_KEY}')]
ticket = f.Ticket(statement_ticket('{sql}'))
print(f.connect('{location}').do_get(ticket, f.FlightCallOptions(headers=headers)).read_all())"

ADBC (pip install adbc-driver-manager adbc-driver-flightsql pyarrow):
{sys.executable} -c "
import adbc_driver_flightsql.dbapi as d
token = open('{token_file}').read()
options = {{'adbc.flight.sql.authorization_header': 'Bearer ' + token}}
with d.connect('{location}', db_kwargs=options, autocommit=True) as c, c.cursor() as q:
    q.execute('{sql}')
    print(q.fetch_arrow_table())"

The micromegas CLI (pip install micromegas, in an environment of its own):
HOME={home} python -m micromegas.cli.query --all '{sql}'
"""


if __name__ == "__main__":
    sys.exit(main())
