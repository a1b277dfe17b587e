"""A short share of `python -m reliability`: faults, rotations and racing threads, under load (docs/reliability.md)."""

import importlib.util
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest
from support.issuer import PATIENCE

from micromegas_auth import AuthConfig, Caller, build_authenticator

# Loaded from where it lies: with the checkout on sys.path, what is tested would no longer be the installed library.
_spec = importlib.util.spec_from_file_location("reliability", Path(__file__).parents[2] / "reliability" / "__init__.py")
assert _spec is not None
assert _spec.loader is not None
sys.modules["reliability"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["reliability"])

from reliability import catalogue, faults, identity, ingestion, rotation, swaps  # noqa: E402
from reliability.door import DOORS, Kind, Outcome  # noqa: E402
from reliability.load import Judge, Load, Role, complaints  # noqa: E402
from reliability.people import Headers, Identity  # noqa: E402
from reliability.world import World, world  # noqa: E402

FAULTS = (
    "down",
    "keys: reset mid-body",
    "discovery: 500",
    "TLS: expired",
    "at the start: keys: none in the set",
)


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Like that of conftest, but for what Python keeps of gRPC's threads that have called it: these have no end."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not isinstance(thread, threading._DummyThread):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as it:
        yield it


@pytest.fixture(params=DOORS)
def make_door(request: pytest.FixtureRequest) -> rotation.MakeDoor:
    return DOORS[request.param]


@pytest.mark.parametrize("name", FAULTS)
def test_faults(around: World, make_door: rotation.MakeDoor, name: str) -> None:
    (fault,) = (one for one in catalogue.FAULTS if one.name == name)
    result = faults.run(fault, around, make_door, calls=20)
    assert not result.complaints
    assert result.attempts >= 1
    assert all(tally.calls > 20 for tally in result.tallies.values())


def test_rotations(make_door: rotation.MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micromegas_auth.jwks.COOLDOWN_SECONDS", 0.5)
    times = rotation.Times(refresh=1.0, lead=1.5, overlap=0.2, rest=0.3, fetch=1.0)
    result = rotation.rotate(3.0, make_door, times)
    assert not result.complaints
    assert result.rotations == 2
    assert result.tallies["withdrawn"].kinds.keys() == {Kind.LET_IN, Kind.UNAUTHENTICATED}


def test_swaps(make_door: rotation.MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micromegas_auth.jwks.COOLDOWN_SECONDS", 0.2)
    result = swaps.swap(4, make_door, refresh=1.0, cooldown=0.6)
    assert not result.complaints
    assert result.calls == 512


def test_identity() -> None:
    result = identity.run(2.0, users=100)
    assert not result.complaints
    assert result.calls > 1000
    assert result.refused > 0
    assert result.withdrawals > 0


def test_it_notices_an_identity_that_is_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "THREADS", 8)  # more would hardly let each other run: nothing here is outside the GIL
    people = [Identity(f"Bearer {key}", None, name, None, True) for name, key in identity.API_KEYS.items()]
    keys = [{"name": name, "key": key} for name, key in identity.API_KEYS.items()]
    authenticator = build_authenticator(AuthConfig.model_validate({"api_keys": keys}))
    another = authenticator.authenticate({"authorization": people[0].authorization})
    number = count()

    def mixed_up(headers: Headers) -> Caller:
        caller = authenticator.authenticate(headers)
        return another if next(number) % 100 == 99 else caller

    result = identity.measure(1.0, mixed_up, people)
    assert 0 < result.wrong_calls <= result.calls / 100
    assert result.complaints


def test_it_notices_a_wrong_answer() -> None:
    number = count()

    class Door:
        def __call__(self, headers: object, /) -> Outcome:
            return Outcome(Kind.UNAVAILABLE if next(number) == 50 else Kind.LET_IN)

        def close(self) -> None:
            pass

    def ask(_: Random) -> tuple[dict[str, str], Judge]:
        return {}, lambda outcome: outcome.kind is Kind.LET_IN

    with Load(Door(), [Role("anybody", 4, ask)], seed=1) as load:
        load.wait_for_calls(100)
    assert load.tallies["anybody"].wrong == 1
    assert len(complaints(load.tallies)) == 1


def test_ingestion_under_load(tmp_path: Path) -> None:
    """Four clients, some of whose requests come twice: each row that was acknowledged is there once."""
    result = ingestion.run(tmp_path, 5.0)
    assert result.acknowledged == result.found == result.distinct
    assert set(result.refused) <= {503}
    assert result.repeated > 0
