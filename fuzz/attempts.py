"""The kinds of attempt there are."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from fuzz.attribution import attribution
from fuzz.differential import differential
from fuzz.discovery import discovery
from fuzz.key_sets import key_sets
from fuzz.signed import SignedMutants


@dataclass(frozen=True)
class Attempt:
    """One kind of attempt.

    Attributes:
        what: What is counted.
        share: Of the time.
        make: Gives the function that makes one attempt and returns how it came out, or raises Fault.
    """

    what: str
    share: float
    make: Callable[[Random], AbstractContextManager[Callable[[], str]]]


ATTEMPTS = {
    "signed": Attempt("requests, most with a mutated and truly signed token", 5, SignedMutants),
    "key_sets": Attempt("documents, most of them JWK Sets with mutated keys beside good ones", 1, key_sets),
    "discovery": Attempt("fetches of a mutated discovery document and of what it names", 1, discovery),
    "differential": Attempt("requests, judged by joserfc and jwcrypto as well", 2, differential),
    "attribution": Attempt("texts, each in six forms of a header", 1, attribution),
}
