"""ATTACKS, Network: key rotation. A new key is found by one refetch; a withdrawn one is out at the next snapshot."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.front_door import Build, bearer
from support.issuer import DISCOVERY, JWKS, PATIENCE, FaultyIssuer

from micromegas_auth import Caller, Unauthenticated

THREADS = 32


def test_the_first_requests_with_a_new_key_share_one_refetch(issuer: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    issuer.rotate()
    tokens = [issuer.mint(sub=f"user-{number}") for number in range(THREADS)]
    together = threading.Barrier(THREADS)

    def ask(token: str) -> Caller:
        together.wait(PATIENCE)
        return door.authenticate(bearer(token))

    issuer.hold(JWKS)
    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(ask, token) for token in tokens]
        issuer.wait_for_requests(2)
        issuer.release()
        subjects = [one.result(PATIENCE).auth.subject for one in asked]
    assert subjects == [f"user-{number}" for number in range(THREADS)]
    assert (issuer.requests(DISCOVERY), issuer.requests(JWKS)) == (2, 2)


def test_a_fetch_that_began_before_the_rotation_is_followed_by_another(issuer: FaultyIssuer, build: Build) -> None:
    issuer.hold(JWKS)
    door = build(issuer)
    issuer.wait_for_requests(1)  # it will bring the old keys
    issuer.rotate()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(door.authenticate, bearer(issuer.mint()))
        issuer.release()
        assert asked.result(PATIENCE).auth.subject == "alice"
    assert issuer.requests(JWKS) == 2


def test_a_withdrawn_key_takes_its_cached_decisions_with_it(issuer: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    old = bearer(issuer.mint())
    assert door.authenticate(old).auth.subject == "alice"
    issuer.rotate()
    assert door.authenticate_nowait(old) is not None  # nobody can know yet
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"  # brings the new snapshot
    with pytest.raises(Unauthenticated):
        door.authenticate_nowait(old)


@pytest.mark.usefixtures("quick")
def test_a_withdrawn_key_is_refused_after_an_ordinary_refresh(issuer: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    old = bearer(issuer.mint())
    assert door.authenticate(old).auth.subject == "alice"
    issuer.rotate()
    # The first of these three may have come before the rotation; when the third comes, the second is over and done.
    issuer.wait_for_requests(issuer.requests(JWKS) + 3)
    with pytest.raises(Unauthenticated):
        door.authenticate(old)


def test_an_old_key_that_is_still_published_stays_good(issuer: FaultyIssuer, build: Build) -> None:
    door = build(issuer)
    old, unused = bearer(issuer.mint()), bearer(issuer.mint())
    assert door.authenticate(old).auth.subject == "alice"
    issuer.rotate(keep_old=True)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    assert door.authenticate_nowait(old) is not None
    assert door.authenticate_nowait(unused) is not None
