"""Thousands of identities through one front door, from threads that take turns a thousand times as often as usual."""

import gc
import json
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from joserfc.jwk import ECKey
from support.answers import Exchange, reply
from support.issuer import AUDIENCE, JWKS, FaultyIssuer

from micromegas_auth import AuthConfig, AuthError, Caller, PermissionDenied, RequestAuthenticator, build_authenticator
from reliability.people import Headers, Identity, identity_of, people_of, request_of
from reliability.requests import watched_log

SWITCH_INTERVAL = 1e-6  # seconds; Python's own is 0.005
THREADS = 64
ISSUERS = 4
API_KEYS = {f"service-{number}": f"key-of-service-{number}-0123456789" for number in range(200)}
MEGABYTE = 1 << 20

Authenticate = Callable[[Headers], Caller]


@dataclass
class IdentityResult:
    """What was seen.

    Attributes:
        seconds: How long it took.
        identities: How many credentials there were.
        calls: How many calls were judged.
        refused: How many of them named somebody else, without the right to, and were refused.
        wrong: Calls with another's identity or attribution, or that should not have been refused; the first few.
        wrong_calls: How many these were.
        withdrawals: How often a key was withdrawn, which ends every decision that is remembered.
        resident: Resident memory in MB, after a fifth of the time and at its end, before tracemalloc is switched on.
        traced: What tracemalloc counts in MB, early and late in the last quarter of the time, when it is on.
    """

    seconds: float = 0.0
    identities: int = 0
    calls: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    wrong_calls: int = 0
    withdrawals: int = 0
    resident: tuple[float, float] = (0.0, 0.0)
    traced: tuple[float, float] = (0.0, 0.0)

    @property
    def complaints(self) -> list[str]:
        """What is not as promised; empty where all is well."""
        return [f"{self.wrong_calls} calls with a wrong answer: {self.wrong}"] if self.wrong_calls else []


def run(seconds: float, *, users: int = 1000) -> IdentityResult:
    """Call for so many seconds, with `users` users of each of four issuers and 200 API keys.

    Half of the users' tokens are services' own, which like an API key call for whomever they name.
    """
    with ExitStack() as stack:
        issuers = [stack.enter_context(FaultyIssuer()) for _ in range(ISSUERS)]
        log = stack.enter_context(watched_log())
        for issuer in issuers:
            _let_a_key_come_and_go(issuer)
        identities = [one for issuer in issuers for one in people_of(issuer, users)]
        identities += [Identity(f"Bearer {key}", None, name, None, True) for name, key in API_KEYS.items()]
        authenticator = _authenticator(issuers, len(identities) // 8)
        stack.callback(authenticator.close)
        for issuer in issuers:
            log.wait_for("keys fetched", issuer.url)
        result = measure(seconds, authenticator.authenticate, identities)
        # Each issuer first shows the key that comes and goes, so that a set of one key is always a withdrawal.
        result.withdrawals = sum(line.endswith("keys=1") for line in log.lines)
        return result


def measure(seconds: float, authenticate: Authenticate, identities: Sequence[Identity]) -> IdentityResult:
    """Call `authenticate` as one of `identities` after the other, at random, from 64 threads."""
    result = IdentityResult(identities=len(identities))
    over, lock = threading.Event(), threading.Lock()

    def call(number: int) -> None:
        rng, calls, refused = Random(number), 0, 0  # noqa: S311
        while not over.is_set():
            headers, expected = request_of(rng.choice(identities), rng)
            seen: object
            try:
                seen = identity_of(authenticate(headers))
            except AuthError as error:
                seen = type(error)
            except Exception as error:  # noqa: BLE001 - whatever may come out is what this looks for
                seen = error
            calls += 1
            refused += seen is PermissionDenied
            if seen != expected:
                with lock:
                    result.wrong_calls += 1
                    if len(result.wrong) < 5:
                        result.wrong.append(f"{seen!r} instead of {expected!r}")
        with lock:
            result.calls += calls
            result.refused += refused

    threads = [threading.Thread(target=call, args=(number,), name="caller") for number in range(THREADS)]
    usual = sys.getswitchinterval()
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        over.wait(seconds * 0.2)
        warm = _resident()
        over.wait(seconds * 0.55)
        result.resident = (warm, _resident())
        tracemalloc.start()
        over.wait(seconds * 0.1)  # whatever is replaced now and then is counted by its end
        early = _traced()
        over.wait(seconds * 0.15)
        result.traced = (early, _traced())
    finally:
        sys.setswitchinterval(usual)
        over.set()
        for thread in threads:
            thread.join()
        tracemalloc.stop()
    result.seconds = time.monotonic() - begun
    return result


def _let_a_key_come_and_go(issuer: FaultyIssuer) -> None:
    """Every second answer has a key less: a withdrawal ends all decisions that are remembered."""
    decoy = ECKey.generate_key("P-256", {"kid": "comes-and-goes", "use": "sig"}).as_dict(private=False)
    number = count()

    def answer(exchange: Exchange) -> None:
        keys = json.loads(exchange.body)["keys"]
        reply(json.dumps({"keys": keys if next(number) % 2 else [*keys, decoy]}))(exchange)

    issuer.answer(answer, JWKS)


def _authenticator(issuers: Sequence[FaultyIssuer], cache_size: int) -> RequestAuthenticator:
    config = {
        "oidc": {
            "issuers": [{"issuer": issuer.url, "audience": AUDIENCE} for issuer in issuers],
            "jwks_refresh_interval_secs": 1,
            "token_cache_size": cache_size,
            "token_cache_ttl_secs": 2,
        },
        "api_keys": [{"name": name, "key": key} for name, key in API_KEYS.items()],
    }
    return build_authenticator(AuthConfig.model_validate(config))


def _resident() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def _traced() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / MEGABYTE
