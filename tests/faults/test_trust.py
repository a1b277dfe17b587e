"""ATTACKS, Network: which documents, and keys from where, are an issuer's."""

import json
from typing import Any

import pytest
from support.answers import elsewhere, reply
from support.front_door import Build, LogWatch, bearer
from support.issuer import DISCOVERY, FaultyIssuer

from micromegas_auth import AuthConfig, ConfigError, ProviderUnavailable

NOT_TRUSTWORTHY = (
    "http://issuer.example",
    "http://issuer.example:443",
    "http://127.0.0.1.issuer.example",
    "http://10.0.0.1",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "//issuer.example",
    "issuer.example",
    "https://user:password@issuer.example",
    "",
)


@pytest.mark.parametrize("url", NOT_TRUSTWORTHY)
@pytest.mark.parametrize("field", ["issuer", "discovery_url", "jwks_uri"])
def test_plain_http_is_an_error_of_configuration(monkeypatch: pytest.MonkeyPatch, field: str, url: str) -> None:
    entry = {"issuer": "https://issuer.example", "audience": "a", field: url}
    monkeypatch.setenv("FAULTS_OIDC_CONFIG", json.dumps({"issuers": [entry]}))
    with pytest.raises(ConfigError, match=f"FAULTS_OIDC_CONFIG.*issuers.0.{field}") as caught:
        AuthConfig.from_env("FAULTS")
    assert "password" not in str(caught.value)


@pytest.mark.usefixtures("endless_backoff")
@pytest.mark.parametrize("url", NOT_TRUSTWORTHY)
def test_a_discovery_document_cannot_lead_to_plain_http(
    issuer: FaultyIssuer, build: Build, log: LogWatch, url: str
) -> None:
    issuer.answer(reply(json.dumps({"issuer": issuer.url, "jwks_uri": url and url + "/jwks"})), DISCOVERY)
    door = build(issuer)
    assert "password" not in log.wait_for("WARNING keys not fetched", "names no https jwks_uri")
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))


@pytest.mark.usefixtures("endless_backoff")
@pytest.mark.parametrize("difference", ["/", "/realms/other", "\nINFO authenticated: subject=forged", "\x1b[31m"])
def test_a_foreign_discovery_document_is_refused_and_the_log_names_its_issuer(
    issuer: FaultyIssuer, build: Build, log: LogWatch, difference: str
) -> None:
    named = issuer.url + difference
    issuer.answer(reply(json.dumps({"issuer": named, "jwks_uri": issuer.jwks_uri})), DISCOVERY)
    door = build(issuer)
    line = log.wait_for("WARNING keys not fetched", f"issuer={issuer.url} ", "another issuer's", issuer.url)
    assert line.count(issuer.url) == 2
    if difference.isprintable():
        assert named in line
    else:
        assert line.isprintable()
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))
    assert issuer.requests() == 0


@pytest.mark.usefixtures("endless_backoff")
@pytest.mark.parametrize("named", [None, 1, ["x"], {}, "", "x" * 100_000])
def test_a_discovery_document_must_name_its_issuer(
    issuer: FaultyIssuer, build: Build, log: LogWatch, named: Any
) -> None:
    issuer.answer(reply(json.dumps({"issuer": named, "jwks_uri": issuer.jwks_uri})), DISCOVERY)
    build(issuer)
    assert len(log.wait_for("WARNING keys not fetched", "another issuer's")) < 1000


def test_a_discovery_document_may_name_an_alias(issuer: FaultyIssuer, build: Build) -> None:
    named = issuer.url + "/"
    issuer.answer(reply(json.dumps({"issuer": named, "jwks_uri": issuer.jwks_uri})), DISCOVERY)
    door = build({"issuer": issuer.url, "aliases": [named]})
    for claim in (issuer.url, named):
        assert door.authenticate(bearer(issuer.mint(iss=claim))).auth.issuer == issuer.url


def test_keys_may_lie_on_any_host_that_discovery_names(issuer: FaultyIssuer, other: FaultyIssuer, build: Build) -> None:
    issuer.answer(reply(json.dumps({"issuer": issuer.url, "jwks_uri": other.jwks_uri})), DISCOVERY)
    door = build(issuer)
    assert door.authenticate(bearer(other.mint(iss=issuer.url))).auth.issuer == issuer.url


@pytest.mark.usefixtures("endless_backoff")
@pytest.mark.parametrize("hosts", [["issuer.example"], ["127.0.0.1.example", "27.0.0.1"], ["localhost"], ["127.0.0.2"]])
def test_allowed_jwks_hosts_restricts_them(issuer: FaultyIssuer, build: Build, log: LogWatch, hosts: list[str]) -> None:
    door = build({"issuer": issuer.url, "allowed_jwks_hosts": hosts})
    log.wait_for("WARNING keys not fetched", "allowed_jwks_hosts")
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))
    assert issuer.requests() == 0


@pytest.mark.parametrize("hosts", [["127.0.0.1"], ["issuer.example", "127.0.0.1"]])
def test_allowed_jwks_hosts_lets_those_named_through(issuer: FaultyIssuer, build: Build, hosts: list[str]) -> None:
    door = build({"issuer": issuer.url, "allowed_jwks_hosts": hosts})
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


def test_the_case_of_allowed_jwks_hosts_does_not_matter(issuer: FaultyIssuer, build: Build) -> None:
    jwks_uri = issuer.jwks_uri.replace("127.0.0.1", "LocalHost")  # RFC 3986 section 3.2.2
    issuer.answer(reply(json.dumps({"issuer": issuer.url, "jwks_uri": jwks_uri})), DISCOVERY)
    door = build({"issuer": issuer.url, "allowed_jwks_hosts": ["LOCALHOST"]})
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


def test_a_configured_jwks_uri_needs_no_discovery(issuer: FaultyIssuer, build: Build) -> None:
    issuer.answer(elsewhere, DISCOVERY)
    door = build({"issuer": issuer.url, "jwks_uri": issuer.jwks_uri})
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    assert issuer.requests(DISCOVERY) == 0


def test_a_configured_discovery_url_replaces_the_usual_one(
    issuer: FaultyIssuer, other: FaultyIssuer, build: Build
) -> None:
    document = {"issuer": issuer.url, "jwks_uri": issuer.jwks_uri}
    other.answer(reply(json.dumps(document)), "/metadata")
    door = build({"issuer": issuer.url, "discovery_url": other.url + "/metadata"})
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    assert issuer.requests(DISCOVERY) == 0
