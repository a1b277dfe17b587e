"""ATTACKS, Network: a token whose kid is not in the set. One refetch, a bounded wait, a cooldown."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.answers import reply
from support.front_door import Build, LogWatch, bearer
from support.issuer import DISCOVERY, JWKS, PATIENCE, FaultyIssuer

from micromegas_auth import ProviderUnavailable, Reason, RequestAuthenticator, Unauthenticated


def _unknown(issuer: FaultyIssuer) -> dict[str, str]:
    return bearer(issuer.mint(header={"kid": "unknown"}))


@pytest.fixture
def door(issuer: FaultyIssuer, build: Build) -> RequestAuthenticator:
    """A front door that has fetched the keys of `issuer` once."""
    warm = build(issuer)
    assert warm.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    return warm


def test_a_refetch_that_does_not_find_it(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    with pytest.raises(Unauthenticated) as caught:
        door.authenticate(_unknown(issuer))
    assert caught.value.reason is Reason.UNKNOWN_KEY
    assert issuer.requests(JWKS) == 2


@pytest.mark.usefixtures("endless_backoff")
def test_a_refetch_that_fails(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    issuer.answer(reply("", 500))
    with pytest.raises(ProviderUnavailable):
        door.authenticate(_unknown(issuer))
    # It began the cooldown all the same.
    with pytest.raises(Unauthenticated):
        door.authenticate_nowait(_unknown(issuer))
    assert issuer.requests(DISCOVERY) == 2
    assert door.authenticate_nowait(bearer(issuer.mint())) is not None


def test_within_the_cooldown(issuer: FaultyIssuer, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micromegas_auth.jwks.COOLDOWN_SECONDS", 2.0)
    door = build(issuer)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    with pytest.raises(Unauthenticated):
        door.authenticate(_unknown(issuer))  # begins it

    issuer.rotate(keep_old=True)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            door.authenticate_nowait(bearer(issuer.mint()))
    issuer.wait_for_requests(3)  # is due at its end without anybody asking
    _, begun, ended = issuer.arrivals(JWKS)
    assert ended - begun > 1.9
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    assert issuer.requests(JWKS) == 3


def test_the_cooldown_is_begun_by_a_kid_alone(issuer: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    issuer.wait_for_requests(1)  # the first fetch, and no cooldown after it
    issuer.rotate()
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


def test_attempts_after_failures_do_not_prolong_the_cooldown(
    issuer: FaultyIssuer, door: RequestAuthenticator, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micromegas_auth.jwks.COOLDOWN_SECONDS", 0.5)
    monkeypatch.setattr("micromegas_auth.jwks.MAX_BACKOFF_SECONDS", 0.1)
    issuer.answer(reply("", 500))
    with pytest.raises(ProviderUnavailable):
        door.authenticate(_unknown(issuer))
    # Unknown kids keep coming, one or more between two attempts. After the cooldown they are told the truth: the issuer
    # does not answer, so nobody can say whether they are good.
    begun = time.monotonic()
    while True:
        log.wait_for("keys not fetched", after=len(log.lines))
        try:
            while door.authenticate_nowait(_unknown(issuer)) is None:
                pass  # the end of an attempt, for some microseconds
        except Unauthenticated:
            assert time.monotonic() - begun < 5, "refused as unauthenticated for as long as the issuer is down"
        except ProviderUnavailable:
            break


def test_the_first_fetch_is_under_way(issuer: FaultyIssuer, build: Build) -> None:
    issuer.hold()
    door = build(issuer)
    issuer.wait_for_requests(1, DISCOVERY)
    good, bad = bearer(issuer.mint()), _unknown(issuer)
    assert door.authenticate_nowait(good) is None
    assert door.authenticate_nowait(bad) is None
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(door.authenticate, good)
        refused = pool.submit(door.authenticate, bad)
        issuer.release()
        assert waiting.result(PATIENCE).auth.subject == "alice"
        error = refused.exception(PATIENCE)
    assert isinstance(error, Unauthenticated)
    assert error.reason is Reason.UNKNOWN_KEY
    assert door.authenticate_nowait(good) is not None


def test_the_first_fetch_hangs(issuer: FaultyIssuer, build: Build) -> None:
    issuer.hold()
    door = build(issuer)
    issuer.wait_for_requests(1, DISCOVERY)
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))
    assert 1.9 < time.monotonic() - begun < 8  # two seconds, and what a busy machine adds; the fetch may take ten


def test_a_refetch_that_hangs(
    issuer: FaultyIssuer, door: RequestAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micromegas_auth.oidc.MAX_WAIT_SECONDS", 0.1)
    issuer.hold()
    with pytest.raises(ProviderUnavailable):
        door.authenticate(_unknown(issuer))
    issuer.wait_for_requests(2, DISCOVERY)
    assert door.authenticate_nowait(bearer(issuer.mint())) is not None


def test_authenticate_nowait_neither_waits_nor_fetches(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    issuer.rotate()
    token = bearer(issuer.mint())
    assert door.authenticate_nowait(token) is None
    assert issuer.requests(JWKS) == 1
    assert door.authenticate(token).auth.subject == "alice"
    assert door.authenticate_nowait(token) is not None
    assert issuer.requests(JWKS) == 2


def test_what_no_key_can_help_makes_no_traffic(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    head, payload, _ = issuer.mint().split(".")
    signature = issuer.mint().rpartition(".")[2]
    for token in (f"{head}.{payload}.{signature}", issuer.mint(aud="another"), issuer.mint(exp=1), "a.b.c", "unknown"):
        with pytest.raises(Unauthenticated):
            door.authenticate_nowait(bearer(token))
    assert issuer.requests(JWKS) == 1


def test_ten_thousand_random_kids(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    issuer.hold(JWKS)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(door.authenticate, bearer(issuer.mint(header={"kid": f"w{n}"}))) for n in range(8)]
        issuer.wait_for_requests(2)  # they wait for this one
        for _ in range(20):
            assert door.authenticate_nowait(bearer(issuer.mint())) is not None  # and nobody else does
        issuer.release()
        assert all(isinstance(one.exception(PATIENCE), (Unauthenticated, ProviderUnavailable)) for one in waiting)

    for number in range(10_000):
        with pytest.raises(Unauthenticated):
            door.authenticate(bearer(_with_kid(issuer, number)))
        if number % 100 == 0:
            assert door.authenticate_nowait(bearer(issuer.mint())) is not None
    assert issuer.requests(JWKS) <= 2 + (time.monotonic() - begun) / 10


def _with_kid(issuer: FaultyIssuer, number: int) -> str:
    return issuer.mint(header={"kid": f"random-{number}"})
