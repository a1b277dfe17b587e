"""A fault of one issuer, switched on and off while 32 threads call for it, for its neighbours and for API keys."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from random import Random
from time import monotonic

from support.front_door import bearer
from support.issuer import AUDIENCE, FaultyIssuer

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator
from reliability.door import Door, Kind, Outcome
from reliability.load import Ask, Judge, Load, Role, Tally, complaints
from reliability.requests import (
    API_KEYS,
    junk,
    one_of,
    tokens,
    watched_log,
    with_api_keys,
    with_random_kid,
    with_tokens,
)
from reliability.world import World

PATIENCE = 90.0  # seconds: a fetch may hang for 10, and the next attempt come 30 later
MAX_WAIT = 2.0  # seconds: the deadline of a request that waits for keys
BUSY = 1.0  # seconds that 32 clients, a server and five issuers on one machine may add to it

_KNOWN = frozenset({Kind.LET_IN})
_NONE_KNOWN = frozenset({Kind.UNAVAILABLE})


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        name: What is wrong.
        switch_on: Does it to an issuer.
        at_start: Whether it is there before the server starts, so that no key is known.
        max_stale: jwks_max_stale_secs, where the fault is to outlast it: no key is known then either.
    """

    name: str
    switch_on: Callable[[FaultyIssuer, World], None]
    at_start: bool = False
    max_stale: float | None = None


@dataclass(frozen=True)
class FaultResult:
    """What was seen.

    Attributes:
        fault: The row.
        tallies: By role.
        attempts: How many fetches of the faulty issuer's keys failed.
        lasted: For how many seconds the fault was on under load.
        recovered_after: How many seconds after the fault's end the keys had been fetched again.
        came_back: Whether a token of a key that was made during the fault was then let in.
    """

    fault: Fault
    tallies: dict[str, Tally]
    attempts: int
    lasted: float
    recovered_after: float
    came_back: bool

    @property
    def longest(self) -> float:
        """The longest call of all, in seconds."""
        return max(tally.longest for tally in self.tallies.values())

    @property
    def complaints(self) -> list[str]:
        """What is not as promised; empty where all is well."""
        wrong = complaints(self.tallies)
        if self.longest > MAX_WAIT + BUSY:
            wrong.append(f"a call took {self.longest:.2f} s")
        if not self.came_back:
            wrong.append("a token of the key that came during the fault was refused after it")
        return [f"{self.fault.name}: {text}" for text in wrong]


def run(fault: Fault, around: World, make_door: Callable[[RequestAuthenticator], Door], *, calls: int) -> FaultResult:
    """Switch a fault on and off.

    Args:
        fault: Which.
        around: With what around it.
        make_door: Which kind of server and client.
        calls: How many calls of each role the fault outlasts the first fetch that it spoils.
    """
    with ExitStack() as stack:
        faulty = stack.enter_context(FaultyIssuer(around.authority.server_context()))
        log = stack.enter_context(watched_log())
        truth = _Truth(_NONE_KNOWN if fault.at_start else _KNOWN)
        roles = _roles(faulty, around, truth)
        if fault.at_start:
            fault.switch_on(faulty, around)
        authenticator = _authenticator(faulty, around, fault)
        stack.callback(authenticator.close)
        door = stack.enter_context(closing(make_door(authenticator)))
        for issuer in around.healthy if fault.at_start else (faulty, *around.healthy):
            log.wait_for("keys fetched", issuer.url)
        load = stack.enter_context(Load(door, roles, seed=1))
        begun, lines_before = monotonic(), 0
        if not fault.at_start:
            load.wait_for_calls(20)
            begun, lines_before = monotonic(), len(log.lines)
            if fault.max_stale is not None:
                truth.expected = _KNOWN | _NONE_KNOWN
            fault.switch_on(faulty, around)
        log.wait_for("keys not fetched", faulty.url, after=lines_before, timeout=PATIENCE)
        if fault.max_stale is not None:
            load.wait_for(lambda tallies: tallies["known key"].kinds[Kind.UNAVAILABLE] > calls)
        load.wait_for_calls(calls)
        faulty.rotate(keep_old=True)
        fresh = bearer(faulty.mint())
        if truth.expected == _NONE_KNOWN:
            truth.expected = _KNOWN | _NONE_KNOWN
        lines_healed, healed = len(log.lines), monotonic()
        faulty.heal()
        log.wait_for("keys fetched", faulty.url, after=lines_healed, timeout=PATIENCE)
        recovered = monotonic()
        truth.expected = _KNOWN
        came_back = door(fresh).kind is Kind.LET_IN
        load.wait_for_calls(20)
    during = log.lines[lines_before:lines_healed]
    failed = sum("keys not fetched" in line and faulty.url in line for line in during)
    return FaultResult(fault, load.tallies, failed, healed - begun, recovered - healed, came_back)


@dataclass
class _Truth:
    """What a valid token of the faulty issuer may be told at this moment."""

    expected: frozenset[Kind]

    def judged(self, judge: Callable[[frozenset[Kind], Outcome], bool]) -> Judge:
        """Judge an answer by what was to be expected when its request began or when it ended."""
        before = self.expected
        return lambda outcome: judge(before | self.expected, outcome)


def _authenticator(faulty: FaultyIssuer, around: World, fault: Fault) -> RequestAuthenticator:
    trusted = [{"issuer": faulty.url, "ca_file": str(around.authority.ca_file), "allowed_jwks_hosts": ["127.0.0.1"]}]
    trusted += [{"issuer": issuer.url} for issuer in around.healthy]
    # A second between two fetches, so that a fault is met at once; a cache that holds but some of the tokens.
    oidc: dict[str, float] = {"jwks_refresh_interval_secs": 1, "token_cache_size": 50, "token_cache_ttl_secs": 1}
    if fault.max_stale is not None:
        oidc["jwks_max_stale_secs"] = fault.max_stale
    config = {
        "oidc": {"issuers": [{**entry, "audience": AUDIENCE} for entry in trusted], **oidc},
        "api_keys": [{"name": name, "key": key} for name, key in API_KEYS.items()],
    }
    return build_authenticator(AuthConfig.model_validate(config))


def _roles(faulty: FaultyIssuer, around: World, truth: _Truth) -> list[Role]:
    of_faulty = tokens(faulty, 60)
    ask_known = with_tokens(of_faulty)

    def known(rng: Random) -> tuple[Mapping[str, str], Judge]:
        headers, is_let_in = ask_known(rng)
        return headers, truth.judged(
            lambda expected, outcome: (
                outcome.kind in expected and (outcome.kind is not Kind.LET_IN or is_let_in(outcome))
            )
        )

    def unknown(rng: Random) -> tuple[Mapping[str, str], Judge]:
        # Where no key is in force, nobody can say that a kid is wrong.
        refusals = one_of(Kind.UNAUTHENTICATED, Kind.UNAVAILABLE)
        return bearer(with_random_kid(faulty, rng)), truth.judged(
            lambda expected, outcome: outcome.kind in expected if expected == _NONE_KNOWN else refusals(outcome)
        )

    neighbours: Ask = with_tokens([token for issuer in around.healthy for token in tokens(issuer, 30)])
    return [
        Role("known key", 10, known),
        Role("neighbours", 8, neighbours),
        Role("API keys", 6, with_api_keys),
        Role("junk", 4, junk(around.healthy[0], around.untrusted)),
        Role("unknown kid", 4, unknown),
    ]
