"""ATTACKS, Network: expired, wrong-host and unknown certificates; `ca_file` trusts an authority of one's own."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.front_door import Build, LogWatch, bearer
from support.issuer import FaultyIssuer

from micromegas_auth import ConfigError, ProviderUnavailable

CASES = (
    "expired",
    "another host",
    "a name that only begins like it",
    "unknown authority",
    "plain text, so no handshake",
)


def _break(issuer: FaultyIssuer, case: str, authority: Authority, stranger: Authority) -> None:
    issuer.tls = {
        "expired": authority.server_context(expired=True),
        "another host": authority.server_context("127.0.0.2"),
        "a name that only begins like it": authority.server_context("127.0.0.1.example"),
        "unknown authority": stranger.server_context(),
        "plain text, so no handshake": None,
    }[case]


@pytest.mark.usefixtures("_quick_backoff")
@pytest.mark.parametrize("case", CASES)
def test_no_keys_over_a_connection_that_proves_nothing(
    build: Build, log: LogWatch, authority: Authority, stranger: Authority, case: str
) -> None:
    with FaultyIssuer(authority.server_context()) as issuer:
        _break(issuer, case, authority, stranger)
        door = build({"issuer": issuer.url, "ca_file": str(authority.ca_file)}, fetch_timeout_secs=1)
        log.wait_for("WARNING keys not fetched", timeout=10)
        with pytest.raises(ProviderUnavailable):
            door.authenticate(bearer(issuer.mint()))
        assert issuer.requests() == 0

        issuer.heal()
        log.wait_for("INFO keys fetched")
        assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
        door.close()


@pytest.mark.usefixtures("_quick_backoff")
@pytest.mark.parametrize("case", CASES)
def test_the_last_good_keys_serve_while_the_certificate_is_bad(
    build: Build, log: LogWatch, authority: Authority, stranger: Authority, case: str
) -> None:
    with FaultyIssuer(authority.server_context()) as issuer:
        issuer.headers["cache-control"] = "no-store"
        door = build({"issuer": issuer.url, "ca_file": str(authority.ca_file)}, fetch_timeout_secs=1)
        log.wait_for("INFO keys fetched")
        _break(issuer, case, authority, stranger)
        log.wait_for("WARNING keys not fetched", "serving_keys_of_age_secs=", timeout=10)
        assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
        door.close()


def test_a_silent_handshake_after_a_slow_name_resolution_leaves_no_socket_open(
    build: Build, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, too_late = socket.getaddrinfo, threading.Event()

    def slowly(*args: Any, **options: Any) -> Any:
        too_late.wait(0.25)  # a good part of the deadline, so that the deadline ends the handshake
        return resolve(*args, **options)

    with FaultyIssuer() as issuer:
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        door = build({"issuer": issuer.url.replace("http://127.0.0.1", "https://localhost")}, fetch_timeout_secs=1)
        log.wait_for("WARNING keys not fetched", timeout=10)
        door.close()


@pytest.mark.usefixtures("_quick_backoff")
def test_ca_file_is_for_its_own_issuer_only(build: Build, log: LogWatch, authority: Authority) -> None:
    with FaultyIssuer(authority.server_context()) as trusted, FaultyIssuer(authority.server_context()) as untrusted:
        door = build({"issuer": trusted.url, "ca_file": str(authority.ca_file)}, untrusted)
        assert door.authenticate(bearer(trusted.mint())).auth.issuer == trusted.url
        log.wait_for("WARNING keys not fetched", untrusted.url)
        with pytest.raises(ProviderUnavailable):
            door.authenticate(bearer(untrusted.mint()))
        door.close()


def test_a_ca_file_that_cannot_be_used_is_an_error_of_configuration(
    build: Build, issuer: FaultyIssuer, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(ConfigError, match=r"issuers\.0\.ca_file: "):
            build({"issuer": issuer.url, "ca_file": str(path)})


@pytest.fixture
def _quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micromegas_auth.discovery.MIN_REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("micromegas_auth.jwks.MAX_BACKOFF_SECONDS", 0.1)
