"""A front door over misbehaving issuers, what it logs, and a check that nothing is left running."""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.certificates import Authority
from support.front_door import API_KEY, Build, LogWatch
from support.issuer import AUDIENCE, PATIENCE, FaultyIssuer

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} is still running"
    gc.collect(1)  # a socket that nobody closed warns now, in the test that it belongs to


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def log(_nothing_left_running: None) -> Iterator[LogWatch]:
    watch = LogWatch()
    logger = logging.getLogger("micromegas_auth")
    level = logger.level
    logger.addHandler(watch)
    logger.setLevel(logging.INFO)
    yield watch
    logger.removeHandler(watch)
    logger.setLevel(level)


@pytest.fixture
def issuer() -> Iterator[FaultyIssuer]:
    with FaultyIssuer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultyIssuer]:
    """A second issuer."""
    with FaultyIssuer() as running:
        yield running


@pytest.fixture
def build() -> Iterator[Build]:
    """Builds front doors with API_KEY and the given issuers.

    An issuer is a FaultyIssuer, or the fields of its configuration. Further arguments are fields of the OIDC
    configuration, and `clock`.
    """
    with contextlib.ExitStack() as stack:

        def build(
            *issuers: FaultyIssuer | dict[str, Any], clock: Callable[[], float] = time.time, **oidc: Any
        ) -> RequestAuthenticator:
            entries = [{"issuer": one.url} if isinstance(one, FaultyIssuer) else one for one in issuers]
            config = {
                "oidc": {"issuers": [{"audience": AUDIENCE, **entry} for entry in entries], **oidc},
                "api_keys": [{"name": "loader", "key": API_KEY}],
            }
            authenticator = build_authenticator(AuthConfig.model_validate(config), clock=clock)
            stack.callback(authenticator.close)
            return authenticator

        yield build


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, issuer: FaultyIssuer) -> None:
    """`issuer` wants its keys fetched again every 50 ms, and failed fetches are tried again within 100 ms."""
    monkeypatch.setattr("micromegas_auth.discovery.MIN_REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("micromegas_auth.jwks.MAX_BACKOFF_SECONDS", 0.1)
    issuer.headers["cache-control"] = "no-store"


@pytest.fixture
def endless_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed fetch is not tried again, so there is as much time to look at the failure as a test needs."""
    monkeypatch.setattr("micromegas_auth.jwks.random", SimpleNamespace(uniform=lambda _low, _high: 1000.0))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))
