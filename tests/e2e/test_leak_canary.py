"""Unique texts in everything that comes in, through every path of success and failure: where do they turn up again?

Nowhere but where the log is meant to say who came in and what they ran: each canary has the beginnings of the lines it
may stand in, most have none.
"""

import json
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest
from micromegas_server.demo.issuer import DemoIssuer
from micromegas_server.flight_sql.messages import statement_ticket
from support.front_door import bearer
from support.hostile import MARKER, issuer_jwks
from support.hostile_signatures import hostile_tokens
from support.memory_issuer import MemoryIssuer
from support.processes import ServerProcess
from support.refusals import pieces_of
from support.tokens import NOW, SigningKey, token

from micromegas_auth import AuthConfig, AuthError, ConfigError, RequestAuthenticator, build_authenticator
from micromegas_auth.audit import AuditLog
from micromegas_auth.identity import Credential, Decision, credential_of
from micromegas_auth.oidc import OidcAuthenticator
from micromegas_auth.policy import Admins

AUDIENCE = "canary-api"
CAME_IN = "authenticated: "
RAN = "execute_query "
IN_VAIN = "an admin's e-mail came in unverified "
DENIED = "impersonation"  # whose token it was
STRANGE = "unknown_issuer"  # which issuer is not configured


class Cage:
    """Makes canaries and knows where each may be seen."""

    def __init__(self) -> None:
        self._allowed: dict[str, tuple[str, ...]] = {}

    def hatch(self, *allowed_in: str) -> str:
        """A text that occurs nowhere else; it may stand in lines and errors that hold one of `allowed_in`."""
        canary = f"canary{secrets.token_hex(12)}"
        self._allowed[canary] = allowed_in
        return canary

    def hide(self, token: str) -> str:
        """A token, no part of which may be seen anywhere, nor the beginning or the end of one."""
        for piece in (token, *pieces_of(token)):
            self._allowed |= dict.fromkeys((piece, piece[:24], piece[-24:]), ())
        return token

    def check(self, text: str, where: str) -> None:
        """No canary is in `text` that may not be."""
        for canary, allowed_in in self._allowed.items():
            if canary in text and not any(beginning in text for beginning in allowed_in):
                raise AssertionError(f"{canary} in {where}: {text}")

    def check_error(self, error: BaseException) -> None:
        """None is in what can be printed of an exception, or of those before it that Python would print."""
        shown: BaseException | None = error
        while shown is not None:
            self.check(f"{shown} {shown!r} {shown.args!r} {getattr(shown, 'detail', '')}", "an exception")
            shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
        self.check("".join(traceback.format_exception(error)), "a traceback")


@pytest.fixture
def cage(caplog: pytest.LogCaptureFixture) -> Iterator[Cage]:
    """At its end every log record of this process is searched, debug level and exceptions included."""
    caplog.set_level(logging.DEBUG)
    cage = Cage()
    yield cage
    for record in caplog.get_records("call"):
        text = f"{record.getMessage()} {record.exc_text or ''} {record.stack_info or ''}"
        if record.exc_info is not None and record.exc_info[1] is not None:
            cage.check_error(record.exc_info[1])
        cage.check(text, f"a log record of {record.name}")
    assert any("refused: " in record.getMessage() for record in caplog.get_records("call"))


@pytest.fixture
def issuer() -> Iterator[DemoIssuer]:
    issuer = DemoIssuer(algorithm="ES256")
    yield issuer
    issuer.stop()


class Visitors:
    """Requests of every kind, all full of canaries, for servers that know `environment`."""

    def __init__(self, cage: Cage, issuer: DemoIssuer) -> None:
        self._cage, self._issuer = cage, issuer
        self.api_key, self.expired_key = cage.hatch(), cage.hatch()
        hatch = cage.hatch
        self.claims = {
            "sub": hatch(CAME_IN, RAN, IN_VAIN, DENIED),
            "email": f"{hatch(CAME_IN, RAN, IN_VAIN)}@example.com",
            "aud": AUDIENCE,
            "jti": hatch(),
            "name": hatch(),
            hatch(): [hatch(), {hatch(): hatch()}],
        }
        # What the client says of itself goes into the record and nowhere else; all other headers go nowhere.
        self.headers = {name: hatch(RAN) for name in ("x-user-name", "x-org-id", "x-client-type")}
        self.headers |= {name: hatch() for name in ("x-auth-subject", "cookie", "user-agent", "x-request-id", hatch())}

    def environment(self) -> dict[str, str]:
        """Secrets in the configuration, and two issuers; the second is never there."""
        issuers = [{"issuer": url, "audience": AUDIENCE} for url in (self._issuer.url, "http://127.0.0.1:9")]
        expired = {"name": "old", "key": self.expired_key, "expires_at": "2020-01-01T00:00:00Z"}
        return {
            "MICROMEGAS_OIDC_CONFIG": json.dumps({"issuers": issuers}),
            "MICROMEGAS_API_KEYS": json.dumps([{"name": "grafana", "key": self.api_key}, expired]),
            "MICROMEGAS_ADMINS": json.dumps([self.claims["email"], self._cage.hatch()]),
            "MICROMEGAS_PSEUDONYM_KEY": self._cage.hatch(),
        }

    def good(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Credentials and headers that must be let in."""
        yield self.api_key, self.headers | {"x-user-id": self._cage.hatch(RAN), "x-user-email": self._cage.hatch(RAN)}
        good = self._token()
        yield good, self.headers  # twice: the second time it is known
        yield good, self.headers
        yield self._token(email_verified=True, nonce=self._cage.hatch()), self.headers

    def bad(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Credentials and headers that must be refused, for each reason there is."""
        hatch, good = self._cage.hatch, self._token()
        head, payload, signature = good.split(".")
        for forged in (
            *(f"{head}.{payload}.{signature[::-1]}", f"{head}.{payload}.", f"{head}.{payload}", f"{good}.{good}"),
            *(
                f"{good}=",
                f"{head[:-3]}.{payload}.{signature}",
                f"{head}.{payload[:-7]}.{signature}",
                f"{good},{good}",
            ),
        ):
            yield self._cage.hide(forged), self.headers
        for header in (
            *({"kid": hatch()}, {"typ": hatch()}, {"cty": hatch()}, {"zip": hatch()}, {"crit": [hatch()]}),
            *({"jku": f"https://{hatch()}.example", "kid": hatch()}, {"b64": hatch()}, {"kid": hatch() * 50}),
        ):
            yield self._token(header), self.headers
        for claims in (
            *({"aud": hatch()}, {"aud": [hatch(), 5]}, {"aud": None}, {"exp": hatch()}, {"exp": 5}, {"nbf": 1 << 37}),
            *(
                {"sub": f"{hatch()}\n"},
                {"sub": [hatch()]},
                {"iss": hatch(STRANGE)},
                {"iss": [hatch()]},
            ),
            {"iss": "http://127.0.0.1:9"},  # its keys cannot be had
        ):
            yield self._token(**claims), self.headers
        yield hatch(), self.headers
        yield hatch() + "é", self.headers
        yield hatch() * 300, self.headers
        yield self.expired_key, self.headers
        for credential, name, value in (
            *((good, name, hatch()) for name in ("x-user-id", "x-user-email")),
            *((credential, "x-user-name", value) for credential in (good, self.api_key) for value in self._unsafe()),
        ):
            yield credential, self.headers | {name: value}

    def _unsafe(self) -> Iterator[str]:
        for piece in ("%0a", "%00", "%ff", "%E2%80%AE", "%ED%A0%80", "x" * 4000):
            yield self._cage.hatch() + piece

    def _token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        kid, private = self._issuer._keys[0]
        now = int(time.time())
        full = {"iss": self._issuer.url, "iat": now, "exp": now + 300, **self.claims, **claims}
        return self._cage.hide(token(SigningKey(kid, "ES256", private), full, **(header or {})))


def test_the_library(cage: Cage, issuer: DemoIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    visitors = Visitors(cage, issuer)
    for name, value in visitors.environment().items():
        monkeypatch.setenv(name, value)
    config = AuthConfig.from_env()
    door = build_authenticator(config)
    lines: list[str] = []
    for credential, headers in visitors.good():
        caller = door.authenticate(bearer(credential) | headers)
        audit = AuditLog(lines.append)
        audit.start(caller, f"SELECT '{cage.hatch(RAN)}'").finish("ok")
        audit.close()
        cage.check(repr(credential_of(credential)) + str(credential_of(credential)), "a Credential")
        cage.check(repr(Decision(caller.auth)), "a Decision")
    for credential, headers in visitors.bad():
        for variant in (bearer(credential) | headers, {"authorization": credential, **headers}):
            with pytest.raises(AuthError) as caught:
                door.authenticate(variant)
            cage.check_error(caught.value)
            assert caught.value.reason != "internal_error", caught.value.detail
    door.close()
    for line in lines:
        cage.check(line, "an audit record")
    for shown in (config, config.oidc, config.api_keys, config.files, door, AuditLog(lines.append)):
        admins = repr(config.admins) if shown is config else ""  # admins are no secret
        cage.check(f"{shown!r} {shown}".replace(admins, ""), f"the repr of a {type(shown).__name__}")


def test_the_catch_all(cage: Cage) -> None:
    """Whatever an authenticator raises, and whatever stands in that, a caller and the log get its type and place."""

    class Broken:
        def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
            raise RuntimeError(f"no {credential.token}") from KeyError(credential.token)

    door = RequestAuthenticator(Broken(), max_token_bytes=7168)
    with pytest.raises(AuthError) as caught:
        door.authenticate(bearer(cage.hatch()))
    cage.check_error(caught.value)


def test_hostile_tokens(cage: Cage) -> None:
    """Every token of ATTACKS: no part of it, and none of the texts in it."""
    memory = MemoryIssuer(issuer_jwks())
    trusted = memory.trusted()
    trusted.keys.start()
    ticks = iter(range(0, 1 << 40, 60))
    inner = OidcAuthenticator([trusted], Admins(), clock=lambda: NOW)
    door = RequestAuthenticator(inner, max_token_bytes=7168, clock=lambda: next(ticks))  # each refusal is logged
    for hostile in hostile_tokens():
        cage.hide(hostile.token)
        with pytest.raises(AuthError) as caught:
            door.authenticate(bearer(hostile.token))
        cage.check_error(caught.value)
        assert MARKER not in caught.value.detail, hostile.name
    trusted.keys.close()


MALFORMED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a key with a space": ("API_KEYS", lambda canary: [{"name": "a", "key": f"{canary} x"}]),
    "a key twice": ("API_KEYS", lambda canary: [{"name": "a", "key": canary}, {"name": "b", "key": canary}]),
    "a key's unknown field": ("API_KEYS", lambda canary: [{"name": "a", "key": canary, "x": canary}]),
    "a key that is a list": ("API_KEYS", lambda canary: [{"name": "a", "key": [canary]}]),
    "a hash that is none": ("API_KEYS", lambda canary: [{"name": "a", "key_sha256": canary}]),
    "no JSON": ("API_KEYS", lambda canary: f'[{{"name":"a","key":"{canary}"'),
    "a name twice": ("API_KEYS", lambda canary: f'[{{"name":"a","key":"{canary}","key":"{canary}"}}]'),
    "an issuer on http": ("OIDC_CONFIG", lambda canary: {"issuers": [{"issuer": f"http://{canary}", "audience": "a"}]}),
    "a password in a URL": (
        "OIDC_CONFIG",
        lambda canary: {"issuers": [{"issuer": f"https://u:{canary}@issuer.example", "audience": "a"}]},
    ),
    "an algorithm": (
        "OIDC_CONFIG",
        lambda canary: {"issuers": [{"issuer": "https://i.example", "audience": "a", "algorithms": [canary]}]},
    ),
    "admins": ("ADMINS", lambda canary: {"issuer": canary}),
    "a short pseudonym key": ("PSEUDONYM_KEY", lambda canary: canary[-15:]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cage = Cage()
    variable, malformed = MALFORMED[name]
    canary = cage.hatch()
    cage.hide(canary[-15:])
    value = malformed(canary)
    monkeypatch.setenv("MICROMEGAS_API_KEYS", '[{"name":"a","key":"a-key-of-more-than-16-bytes"}]')
    monkeypatch.setenv(f"MICROMEGAS_{variable}", value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(ConfigError) as caught:
        AuthConfig.from_env()
    cage.check_error(caught.value)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_server(issuer: DemoIssuer, tmp_path: Path, log_format: str) -> None:
    """The installed server: all it prints, all its clients see, and all it writes to disk."""
    cage = Cage()
    visitors = Visitors(cage, issuer)
    table, kept = tmp_path / "lake" / "log_entries", tmp_path / "kept"
    table.mkdir(parents=True)
    pq.write_table(pa.table({"msg": ["one"]}), table / "1.parquet")
    environment = visitors.environment() | {"MICROMEGAS_JWKS_CACHE_DIR": str(kept)}
    arguments = ("--listen", "127.0.0.1:0", "--lake", str(table.parent), "--log-format", log_format)
    with ServerProcess("flight-sql-srv", *arguments, env=environment) as process:
        location = process.wait_for(r"listening on (grpc://127.0.0.1:\d+)")[1]
        with flight.connect(location) as client:

            def ask(sql: str, credential: str, headers: dict[str, str]) -> None:
                sent = [(name.encode(), value.encode()) for name, value in (bearer(credential) | headers).items()]
                options = flight.FlightCallOptions(timeout=20, headers=sent)
                client.do_get(flight.Ticket(statement_ticket(sql)), options).read_all()

            for credential, headers in visitors.good():
                ask(f"SELECT msg, '{cage.hatch(RAN)}' FROM log_entries", credential, headers)
                # What a failed query says of itself is for the one who sent it, but for the texts within.
                with pytest.raises(flight.FlightError) as caught:
                    ask(f"SELECT '{cage.hatch(RAN)}' FROM nowhere", credential, headers)
                cage.check_error(caught.value)
            for credential, headers in visitors.bad():
                if len(credential) > 7168 or not credential.isascii():
                    continue  # gRPC itself refuses it
                with pytest.raises(flight.FlightError) as caught:
                    ask(f"SELECT '{cage.hatch()}'", credential, headers)
                cage.check_error(caught.value)
        assert process.terminate() == 0
    assert sum("execute_query" in line for line in process.lines) >= 8
    assert any("refused: " in line for line in process.lines)
    for line in process.lines:
        cage.check(line.replace('"event": "execute_query"', RAN), "a line of the server")
    files = [file for file in kept.rglob("*") if file.is_file()]
    assert files
    for file in files:
        cage.check(file.read_text(), "a file")
