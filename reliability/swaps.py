"""Keys that change with no warning, and all clients at once with them, without junk."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from random import Random
from time import monotonic

from support.front_door import bearer
from support.issuer import JWKS, FaultyIssuer

from reliability.door import Kind, Outcome
from reliability.requests import Token, tokens
from reliability.rotation import MakeDoor, authenticator_of

THREADS = 32


@dataclass(frozen=True)
class SwapResult:
    """What was seen.

    Attributes:
        swaps: How often the key was swapped.
        calls: How many calls came with tokens of a key that had just been swapped in.
        refused: How many of them were not let in.
        longest: The longest of them, in seconds.
        fetches: How often the keys were fetched.
    """

    swaps: int
    calls: int
    refused: list[Outcome]
    longest: float
    fetches: int

    @property
    def complaints(self) -> list[str]:
        """What is not as promised; empty where all is well."""
        return [f"{len(self.refused)} valid calls refused: {self.refused[:5]}"] if self.refused else []


def swap(swaps: int, make_door: MakeDoor, *, refresh: float, cooldown: float) -> SwapResult:
    """Swap the key so often, each time for all clients at once and with no warning.

    Args:
        swaps: How often.
        make_door: Which kind of server and client.
        refresh: jwks_refresh_interval_secs.
        cooldown: How many seconds to leave between two swaps, at the least; an issuer that swaps twice within the
            library's cooldown is one that no bounded number of fetches can follow.
    """
    rng, never, refused, longest = Random(3), threading.Event(), [], 0.0  # noqa: S311
    together = threading.Barrier(THREADS)
    with ExitStack() as stack:
        issuer = stack.enter_context(FaultyIssuer())
        authenticator = authenticator_of(issuer, refresh)
        stack.callback(authenticator.close)
        door = stack.enter_context(closing(make_door(authenticator)))
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))

        def call(good: list[Token]) -> list[tuple[Outcome, float]]:
            together.wait()
            seen = []
            for token, _, _ in good:
                begun = monotonic()
                seen.append((door(bearer(token)), monotonic() - begun))
            return seen

        for _ in range(swaps):
            issuer.rotate()
            fresh = tokens(issuer, THREADS * 4)
            for seen in pool.map(call, [fresh[n::THREADS] for n in range(THREADS)]):
                refused += [outcome for outcome, _ in seen if outcome.kind is not Kind.LET_IN]
                longest = max(longest, *(took for _, took in seen))
            never.wait(cooldown * rng.uniform(1.0, 1.5))  # so that swaps fall anywhere between two ordinary fetches
    return SwapResult(swaps, swaps * THREADS * 4, refused, longest, issuer.requests(JWKS))
