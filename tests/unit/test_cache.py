"""Decisions kept for a while."""

from collections.abc import Callable

import pytest
from support.refusals import refused
from support.tokens import NOW

from micromegas_auth import AuthContext, AuthType, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.errors import WouldBlock
from micromegas_auth.identity import Credential, Decision, credential_of


class Inner:
    """An authenticator that counts, and answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.expires_at: float | None = NOW + 10_000
        self.answer: Callable[[Credential], Decision | None] = self.known

    def known(self, credential: Credential) -> Decision:
        return Decision(AuthContext(subject=credential.token, auth_type=AuthType.OIDC, expires_at=self.expires_at))

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        self.asked.append((credential.token, wait))
        return self.answer(credential)


class House:
    """A cache of two entries for 300 seconds, with a clock that a test moves."""

    def __init__(self) -> None:
        self.inner = Inner()
        self.now = NOW
        self.generation = Generation()
        self.cache = CachingAuthenticator(
            self.inner, size=2, ttl=300, generation=self.generation, clock=lambda: self.now
        )

    def ask(self, credential: str = "a", *, wait: bool = True) -> Decision | None:
        return self.cache.authenticate(credential_of(credential), wait=wait)

    @property
    def decisions(self) -> int:
        return len(self.inner.asked)


@pytest.fixture
def house() -> House:
    return House()


def test_a_decision_is_made_once(house: House) -> None:
    assert house.ask() is house.ask()
    assert house.decisions == 1
    assert house.ask("b") != house.ask("a")
    assert house.decisions == 2


@pytest.mark.parametrize(
    ("expires_in", "still_good_at", "ends_at"),
    [(10_000, 299.9, 300), (None, 299.9, 300), (100, 99.9, 100), (300, 299.9, 300)],
)
def test_it_ends_after_the_ttl_or_with_the_token(
    house: House, expires_in: float | None, still_good_at: float, ends_at: float
) -> None:
    house.inner.expires_at = None if expires_in is None else NOW + expires_in
    house.ask()
    house.now = NOW + still_good_at
    house.ask()
    assert house.decisions == 1
    house.now = NOW + ends_at
    house.ask()
    assert house.decisions == 2


def test_being_used_does_not_prolong_it(house: House) -> None:
    for second in range(0, 301, 50):
        house.now = NOW + second
        house.ask()
    assert house.decisions == 2


def test_a_token_within_its_leeway_is_judged_each_time(house: House) -> None:
    house.inner.expires_at = NOW - 1
    house.ask()
    house.ask()
    assert house.decisions == 2


def test_an_advance_ends_every_decision(house: House) -> None:
    house.ask("a")
    house.ask("b")
    house.generation.advance()
    house.ask("a")
    house.ask("b")
    assert house.decisions == 4
    house.ask("a")
    assert house.decisions == 4


def test_an_advance_during_a_decision_voids_it(house: House) -> None:
    def withdrawn_meanwhile(credential: Credential) -> Decision:
        house.generation.advance()
        return house.inner.known(credential)

    house.inner.answer = withdrawn_meanwhile
    house.ask()
    house.inner.answer = house.inner.known
    house.ask()
    assert house.decisions == 2


def test_the_oldest_decision_makes_room(house: House) -> None:
    for token in ("a", "b", "a", "c", "b", "c", "a"):
        house.ask(token)
    assert [token for token, _ in house.inner.asked] == ["a", "b", "c", "a"]
    assert len(house.cache._entries) == 2


def test_a_decision_made_anew_pushes_no_other_out(house: House) -> None:
    house.ask("a")
    house.inner.expires_at = NOW + 10
    house.ask("b")
    house.now += 10
    house.ask("b")
    house.ask("a")
    assert [token for token, _ in house.inner.asked] == ["a", "b", "b"]


def test_a_decision_made_anew_is_the_youngest(house: House) -> None:
    house.ask("a")
    house.now += 299
    house.ask("b")
    house.now += 1
    house.ask("a")
    house.ask("c")
    house.ask("a")
    assert [token for token, _ in house.inner.asked] == ["a", "b", "a", "c"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Unauthenticated, Reason.EXPIRED), (ProviderUnavailable, Reason.KEYS_UNAVAILABLE)],
)
def test_refusals_are_not_kept_and_push_nothing_out(
    house: House, kind: type[Unauthenticated] | type[ProviderUnavailable], reason: Reason
) -> None:
    house.ask("good")

    def refuse(_: Credential) -> Decision:
        raise kind(reason)

    house.inner.answer = refuse
    for number in range(10):
        with refused(kind, reason):
            house.ask(f"bad{number}")
    house.ask("good")
    assert house.decisions == 11
    house.inner.answer = house.inner.known
    assert house.ask("bad0") is not None


def test_not_my_kind_is_not_kept(house: House) -> None:
    house.inner.answer = lambda _: None
    assert house.ask() is None
    assert house.ask() is None
    assert house.decisions == 2


def test_whether_to_wait_is_handed_on_and_a_hit_needs_no_waiting(house: House) -> None:
    def would_block(_: Credential) -> Decision:
        raise WouldBlock

    house.inner.answer = would_block
    with pytest.raises(WouldBlock):
        house.ask(wait=False)
    house.inner.answer = house.inner.known
    house.ask(wait=True)
    assert [wait for _, wait in house.inner.asked] == [False, True]
    house.inner.answer = would_block
    assert house.ask(wait=False) is not None


def test_it_keeps_digests_and_no_token(house: House) -> None:
    house.ask("the-token")
    assert [len(key) for key in house.cache._entries] == [32]
