"""ATTACKS, Network: Cache-Control and Expires only shorten jwks_refresh_interval_secs, and not below a minimum."""

from types import SimpleNamespace

import pytest
from support.front_door import Build, Clock, bearer
from support.issuer import JWKS, FaultyIssuer

LONG = (("cache-control", "max-age=86400, immutable"), ("expires", "Fri, 31 Dec 9999 23:59:59 GMT"))
SHORT = (
    ("cache-control", "no-store"),
    ("cache-control", "private, NO-CACHE"),
    ("cache-control", "must-revalidate, max-age=0"),
    ("cache-control", 'max-age="0"'),
    ("expires", "0"),
    ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
)
# Dates that break the parser of dates; the keys are good all the same.
ABSURD = ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 +99999999999999999999", ", ", "")


@pytest.mark.parametrize("header", LONG, ids=lambda header: header[0])
def test_they_do_not_lengthen_it(issuer: FaultyIssuer, build: Build, header: tuple[str, str]) -> None:
    issuer.headers = dict([header])
    build(issuer, jwks_refresh_interval_secs=1)
    issuer.wait_for_requests(2)


@pytest.mark.parametrize("header", SHORT, ids=" ".join)
def test_they_shorten_it(
    issuer: FaultyIssuer, build: Build, monkeypatch: pytest.MonkeyPatch, header: tuple[str, str]
) -> None:
    monkeypatch.setattr("micromegas_auth.discovery.MIN_REFRESH_SECONDS", 0.05)
    issuer.headers = dict([header])
    build(issuer)
    issuer.wait_for_requests(3)


def test_they_do_not_shorten_it_below_the_minimum(
    issuer: FaultyIssuer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micromegas_auth.discovery.MIN_REFRESH_SECONDS", 1.0)
    monkeypatch.setattr("micromegas_auth.jwks.random", SimpleNamespace(uniform=lambda low, _high: low))
    issuer.headers = {"cache-control": "no-store"}
    build(issuer)
    issuer.wait_for_requests(2)
    first, second = issuer.arrivals(JWKS)[:2]
    assert second - first >= 1.0


@pytest.mark.parametrize("expires", ABSURD)
def test_an_absurd_date_costs_no_keys(issuer: FaultyIssuer, build: Build, expires: str) -> None:
    issuer.headers = {"expires": expires}
    door = build(issuer)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


def test_the_age_of_the_keys_is_known(issuer: FaultyIssuer, build: Build) -> None:
    """For a metric: it grows while the issuer is down."""
    clock = Clock()
    door = build(issuer, clock=clock)
    door.authenticate(bearer(issuer.mint()))
    clock.ahead = 3600.0
    age = door.key_ages()[issuer.url]
    assert age is not None
    assert 3600 <= age < 3700
