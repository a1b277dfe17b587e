"""Keys that change under load, announced as issuers do it, among tokens of withdrawn keys and random kids."""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from random import Random
from time import monotonic

from support.answers import Exchange, reply
from support.front_door import bearer
from support.issuer import AUDIENCE, JWKS, FaultyIssuer

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator
from reliability.door import Door, Kind, Outcome
from reliability.load import Judge, Load, Role, Tally, complaints
from reliability.requests import API_KEYS, Token, tokens, watched_log, with_api_keys, with_random_kid, with_tokens

TOKENS_OF_A_KEY = 120

MakeDoor = Callable[[RequestAuthenticator], Door]


@dataclass(frozen=True, kw_only=True)
class Times:
    """When things happen, in seconds.

    Attributes:
        refresh: jwks_refresh_interval_secs.
        lead: For how long a new key is published before it signs.
        overlap: For how long the old one stays published after that.
        rest: From the old one's withdrawal to the next publication.
        fetch: What a fetch may take on a busy machine, after `refresh` has passed.
    """

    refresh: float = 20.0
    lead: float = 15.0
    overlap: float = 5.0
    rest: float = 10.0
    fetch: float = 2.0


@dataclass(frozen=True)
class RotationResult:
    """What was seen.

    Attributes:
        seconds: How long it took.
        rotations: How often the key changed.
        tallies: By role: `valid`, `withdrawn`, `random kid`, `API keys`.
        longest_after_withdrawal: How many seconds after its key's withdrawal a token was still let in, at the most.
        fetches: How often the keys were fetched.
    """

    seconds: float
    rotations: int
    tallies: dict[str, Tally]
    longest_after_withdrawal: float
    fetches: int

    @property
    def complaints(self) -> list[str]:
        """What is not as promised; empty where all is well."""
        return complaints(self.tallies)


def rotate(seconds: float, make_door: MakeDoor, times: Times) -> RotationResult:
    """Announced rotations among withdrawn tokens and random kids, for so many seconds and until the last is done."""
    with ExitStack() as stack:
        issuer = stack.enter_context(FaultyIssuer())
        log = stack.enter_context(watched_log())
        keys = _Keys(issuer, times)
        authenticator = authenticator_of(issuer, times.refresh)
        stack.callback(authenticator.close)
        door = stack.enter_context(closing(make_door(authenticator)))
        log.wait_for("keys fetched")
        roles = [
            Role("valid", 20, keys.ask_valid),
            Role("withdrawn", 4, keys.ask_withdrawn),
            Role("random kid", 4, keys.ask_unknown),
            Role("API keys", 4, with_api_keys),
        ]
        begun, rotations = monotonic(), 0
        never = threading.Event()  # what happens when is all that this is about: time is awaited, not an event
        load = stack.enter_context(Load(door, roles, seed=2))
        while monotonic() - begun < seconds:
            keys.publish()
            never.wait(times.lead)
            keys.use()
            never.wait(times.overlap)
            keys.withdraw()
            never.wait(times.rest)
            rotations += 1
        never.wait(max(times.refresh + times.fetch - times.rest, 0))
        load.wait_for_calls(20)
    return RotationResult(
        monotonic() - begun, rotations, load.tallies, keys.longest_after_withdrawal, issuer.requests(JWKS)
    )


@dataclass
class _Key:
    kid: str
    tokens: list[Token]
    withdrawn: float | None = None


class _Keys:
    """The keys that an issuer has and had, and what may be expected of their tokens."""

    def __init__(self, issuer: FaultyIssuer, times: Times) -> None:
        self._issuer = issuer
        self._times = times
        self._published = self._new()
        self._in_use = self._published  # tokens of the key before are used as well, until it is withdrawn
        self._old: _Key | None = None
        self._gone: list[_Key] = []
        self.longest_after_withdrawal = 0.0

    def publish(self) -> None:
        self._issuer.rotate(keep_old=True)
        self._published = self._new()

    def use(self) -> None:
        self._old, self._in_use = self._in_use, self._published

    def withdraw(self) -> None:
        """The new key stays alone; the issuer, which has all it ever made, is told which to show."""
        key, self._old = self._old, None
        if key is None:
            raise AssertionError("nothing to withdraw")
        key.withdrawn = monotonic()  # before the deed: no call between the two is judged by a key that is gone
        self._gone.append(key)
        gone = {one.kid for one in self._gone}

        def without_the_gone(exchange: Exchange) -> None:
            shown = [jwk for jwk in json.loads(exchange.body)["keys"] if jwk["kid"] not in gone]
            reply(json.dumps({"keys": shown}))(exchange)

        self._issuer.answer(without_the_gone, JWKS)

    def ask_valid(self, rng: Random) -> tuple[Mapping[str, str], Judge]:
        key = rng.choice([one for one in (self._in_use, self._old) if one is not None])
        headers, is_let_in = with_tokens(key.tokens)(rng)
        return headers, lambda outcome: is_let_in(outcome) or key.withdrawn is not None

    def ask_withdrawn(self, rng: Random) -> tuple[Mapping[str, str], Judge]:
        if not self._gone:
            return self.ask_valid(rng)
        key = rng.choice(self._gone[-3:])
        headers, is_let_in = with_tokens(key.tokens)(rng)
        asked_after = monotonic() - (key.withdrawn or 0.0)

        def is_right(outcome: Outcome) -> bool:
            if is_let_in(outcome):
                self.longest_after_withdrawal = max(self.longest_after_withdrawal, asked_after)
                return asked_after < self._times.refresh + self._times.fetch
            return outcome.kind is Kind.UNAUTHENTICATED

        return headers, is_right

    def ask_unknown(self, rng: Random) -> tuple[Mapping[str, str], Judge]:
        return bearer(with_random_kid(self._issuer, rng)), lambda outcome: outcome.kind is Kind.UNAUTHENTICATED

    def _new(self) -> _Key:
        return _Key(self._issuer.kid, tokens(self._issuer, TOKENS_OF_A_KEY))


def authenticator_of(issuer: FaultyIssuer, refresh: float) -> RequestAuthenticator:
    """A front door over one issuer, and API keys."""
    config = {
        "oidc": {
            "issuers": [{"issuer": issuer.url, "audience": AUDIENCE}],
            "jwks_refresh_interval_secs": refresh,
            "token_cache_size": TOKENS_OF_A_KEY,  # two keys' tokens do not fit: some are remembered, some are not
        },
        "api_keys": [{"name": name, "key": key} for name, key in API_KEYS.items()],
    }
    return build_authenticator(AuthConfig.model_validate(config))
