"""The requests that clients make: tokens, API keys with their users, and junk."""

import base64
import json
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from support.front_door import LogWatch, bearer
from support.issuer import AUDIENCE, FaultyIssuer

from reliability.door import Kind
from reliability.load import Ask, Judge

LONG = 6 * 3600  # seconds that tokens are good for: longer than any run
API_KEYS = {f"service-{number}": secrets.token_urlsafe(24) for number in range(8)}

Token = tuple[str, str, str]  # itself, its issuer, its subject


def tokens(issuer: FaultyIssuer, count: int) -> list[Token]:
    """Tokens of `count` users, signed with the issuer's present key."""
    expires = int(time.time()) + LONG
    subjects = [f"user-{number}" for number in range(count)]
    return [(issuer.mint(sub=subject, exp=expires), issuer.url, subject) for subject in subjects]


def let_in(who: tuple[str | None, str, str | None]) -> Judge:
    """The call is let in, as this one and no other."""
    return lambda outcome: outcome.kind is Kind.LET_IN and outcome.who == who


def one_of(*kinds: Kind) -> Judge:
    return lambda outcome: outcome.kind in kinds


def with_tokens(good: Sequence[Token]) -> Ask:
    """Requests with these tokens, all of which are to be let in."""

    def ask(rng: Random) -> tuple[dict[str, str], Judge]:
        token, issuer, subject = rng.choice(good)
        return bearer(token), let_in((issuer, subject, subject))

    return ask


def with_api_keys(rng: Random) -> tuple[dict[str, str], Judge]:
    """Requests with an API key, for some user; all are to be let in."""
    name, key = rng.choice(list(API_KEYS.items()))
    user = f"reader-{rng.randrange(1000)}"
    return {**bearer(key), "x-user-id": user}, let_in((None, name, user))


def junk(healthy: FaultyIssuer, stranger: FaultyIssuer) -> Ask:
    """Requests that nobody may let in, and whose answer no outage changes."""
    head, payload, signature = healthy.mint().split(".")
    of_another = healthy.mint().rpartition(".")[2]
    fixed = [
        "not-a-key-0123456789",
        "a.b.c",
        "a" * 6000,
        f"{head}.{payload}.{of_another}",
        f"{_segment({'alg': 'none'})}.{payload}.",
        f"{head}.{_segment({'iss': healthy.url, 'aud': AUDIENCE, 'sub': 'admin', 'exp': LONG})}.{signature}",
        healthy.mint(aud="another"),
        healthy.mint(exp=1),
        stranger.mint(),
    ]

    def ask(rng: Random) -> tuple[dict[str, str], Judge]:
        token = rng.choice(fixed) if rng.random() < 0.8 else with_random_kid(healthy, rng)
        return bearer(token), one_of(Kind.UNAUTHENTICATED)

    return ask


def with_random_kid(issuer: FaultyIssuer, rng: Random) -> str:
    """A token as good as any, but for a kid that no set holds and a signature that nobody made."""
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "mallory", "iat": now, "exp": now + 300}
    signature = base64.urlsafe_b64encode(rng.randbytes(64)).rstrip(b"=").decode()
    return f"{_segment({'alg': 'ES256', 'kid': rng.randbytes(8).hex()})}.{_segment(claims)}.{signature}"


def _segment(members: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


@contextmanager
def watched_log() -> Iterator[LogWatch]:
    """What the library logs of its keys; its other lines, thousands in a second, go nowhere."""
    watch = LogWatch()
    watch.addFilter(lambda record: record.getMessage().startswith("key"))
    logger = logging.getLogger("micromegas_auth")
    before = logger.level, logger.propagate
    logger.addHandler(watch)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield watch
    finally:
        logger.removeHandler(watch)
        logger.level, logger.propagate = before
