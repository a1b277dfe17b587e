"""`close()` ends what `build_authenticator` began, whatever the issuers do; the check for leftovers is in conftest."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.front_door import Build, bearer
from support.issuer import DISCOVERY, PATIENCE, FaultyIssuer

from micromegas_auth import ConfigError, ProviderUnavailable


def _refresh_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "micromegas-jwks"]


def test_close_ends_the_threads(issuer: FaultyIssuer, other: FaultyIssuer, build: Build) -> None:
    before = len(_refresh_threads())
    door = build(issuer, other)
    known = bearer(issuer.mint())
    assert door.authenticate(known).auth.subject == "alice"
    threads = _refresh_threads()
    assert len(threads) == before + 2
    door.close()
    for thread in threads[before:]:
        thread.join(PATIENCE)
        assert not thread.is_alive()

    # What is known stays known, and what would need the network is told so at once.
    assert door.authenticate_nowait(bearer(issuer.mint())) is not None
    issuer.rotate()
    with pytest.raises(ProviderUnavailable):
        door.authenticate_nowait(bearer(issuer.mint()))
    door.close()


def test_close_ends_a_thread_whose_issuer_hangs(issuer: FaultyIssuer, build: Build) -> None:
    issuer.hold()
    door = build(issuer, fetch_timeout_secs=1)
    issuer.wait_for_requests(1, DISCOVERY)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(door.authenticate, bearer(issuer.mint()))
        door.close()
        assert isinstance(waiting.exception(PATIENCE), ProviderUnavailable)


def test_an_error_of_configuration_starts_nothing(issuer: FaultyIssuer, build: Build) -> None:
    before = _refresh_threads()
    with pytest.raises(ConfigError):
        build(issuer, {"issuer": "https://issuer.example", "ca_file": "/missing"})
    assert _refresh_threads() == before
