"""ATTACKS, Network: an issuer that is down, at the start or later, and its neighbours that must not notice."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.answers import hang, reply
from support.front_door import API_KEY, Build, Clock, LogWatch, bearer
from support.issuer import DISCOVERY, JWKS, PATIENCE, FaultyIssuer

from micromegas_auth import ProviderUnavailable, Unauthenticated
from micromegas_auth.fetch import FetchError
from micromegas_auth.jwks import RemoteKeySet
from micromegas_auth.keyset import KeySet

DAY = 86400.0


def test_down_at_start(issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    issuer.stop()
    door = build(issuer)
    token = issuer.mint()
    assert door.authenticate(bearer(API_KEY)).auth.subject == "loader"
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(token))
    log.wait_for("WARNING keys not fetched", issuer.url)

    issuer.start()  # nothing else happens: the library comes back by itself
    log.wait_for("INFO keys fetched", issuer.url)
    assert door.authenticate(bearer(token)).auth.subject == "alice"


def test_the_first_attempt_after_a_failure_comes_half_a_second_to_a_second_later(
    issuer: FaultyIssuer, build: Build
) -> None:
    issuer.answer(reply("", 500), DISCOVERY)
    build(issuer)
    issuer.wait_for_requests(2, DISCOVERY)
    first, second = issuer.arrivals(DISCOVERY)[:2]
    assert 0.5 <= second - first < 5  # a second, and what a busy machine adds


def test_while_backing_off_nobody_waits(build: Build, issuer: FaultyIssuer, endless_backoff: None) -> None:
    issuer.answer(reply("", 500), DISCOVERY)
    door = build(issuer)
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))  # waits for the first attempt
    for kid in (issuer.kid, "unknown"):
        with pytest.raises(ProviderUnavailable):
            door.authenticate_nowait(bearer(issuer.mint(header={"kid": kid})))
    assert issuer.requests(DISCOVERY) == 1


def test_an_outage_of_many_hours_ends_when_the_issuer_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 15 to 30 s between attempts these are seven hours or more.
    monkeypatch.setattr("micromegas_auth.jwks.MAX_BACKOFF_SECONDS", 0.0)
    attempts = 0
    back = threading.Event()

    def fetch() -> tuple[KeySet, None]:
        nonlocal attempts
        attempts += 1
        if attempts <= 1100:
            raise FetchError("down")
        back.set()
        return KeySet((), (), {}), None

    keys = RemoteKeySet("https://issuer.example", fetch, refresh_interval=3600, max_stale=DAY)
    keys.start()
    try:
        assert back.wait(20), f"gave up after {attempts} attempts"
    finally:
        keys.close()


def test_down_after_warm_up(issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    clock = Clock()
    in_three_days = int(time.time() + 3 * DAY)
    door = build(issuer, clock=clock, token_cache_ttl_secs=1)
    log.wait_for("INFO keys fetched")
    issuer.stop()

    clock.ahead = DAY - 60  # the default of jwks_max_stale_secs is a day
    assert door.authenticate(bearer(issuer.mint(exp=in_three_days))).auth.subject == "alice"
    clock.ahead = DAY + 60
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint(exp=in_three_days)))
    line = log.wait_for("WARNING keys not fetched", "serving_keys_of_age_secs=")
    assert int(line.rpartition("=")[2]) >= DAY

    so_far = len(log.lines)
    issuer.start()
    log.wait_for("INFO keys fetched", after=so_far)
    assert door.authenticate(bearer(issuer.mint(exp=in_three_days))).auth.subject == "alice"


def test_max_stale_can_be_configured(issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    clock = Clock()
    door = build(issuer, clock=clock, jwks_max_stale_secs=100, token_cache_ttl_secs=1)
    log.wait_for("INFO keys fetched")
    issuer.stop()
    clock.ahead = 50
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    clock.ahead = 150
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))


def test_no_other_issuer_notices(issuer: FaultyIssuer, other: FaultyIssuer, build: Build) -> None:
    issuer.answer(hang)
    door = build(issuer, other)
    assert door.authenticate(bearer(other.mint())).auth.issuer == other.url
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(door.authenticate, bearer(issuer.mint()))
        issuer.wait_for_requests(1, DISCOVERY)
        # While one waits for the broken issuer, the other's tokens are judged without any wait, and its keys rotate.
        caller = door.authenticate_nowait(bearer(other.mint()))
        assert caller is not None
        assert caller.auth.issuer == other.url
        other.rotate()
        assert door.authenticate(bearer(other.mint())).auth.issuer == other.url
        issuer.stop()
        assert isinstance(stuck.exception(PATIENCE), ProviderUnavailable)


def test_a_name_resolution_that_hangs(build: Build, log: LogWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> None:
        resolved.wait(PATIENCE)
        raise socket.gaierror

    # Not done with a real server: no test can take the machine's resolver away.
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        build({"issuer": "http://localhost:1"}, fetch_timeout_secs=0.5)
        log.wait_for("WARNING keys not fetched", timeout=5)
    finally:
        resolved.set()


def test_a_key_of_one_issuer_is_not_one_of_another(issuer: FaultyIssuer, other: FaultyIssuer, build: Build) -> None:
    door = build(issuer, other)
    assert door.authenticate(bearer(issuer.mint())).auth.issuer == issuer.url
    assert door.authenticate(bearer(other.mint())).auth.issuer == other.url
    with pytest.raises(Unauthenticated):
        door.authenticate(bearer(issuer.mint(iss=other.url)))


def test_a_token_of_an_unknown_issuer_makes_no_traffic(issuer: FaultyIssuer, other: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    for claims in ({"iss": other.url}, {"iss": issuer.url + "/"}, {"iss": issuer.url.upper()}, {"iss": [issuer.url]}):
        with pytest.raises(Unauthenticated):
            door.authenticate_nowait(bearer(issuer.mint(header={"jku": other.jwks_uri}, **claims)))
    assert (issuer.requests(JWKS), other.requests(JWKS), other.requests(DISCOVERY)) == (1, 0, 0)
