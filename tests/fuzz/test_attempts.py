"""A short share of what `python3 run.py fuzz` does for long: the same attempts each time, for CI."""

import random
from collections import Counter

import pytest

# How many of each, and outcomes that must be among them: attempts of one kind only would prove little.
SHARES = {
    "signed": (4000, {"accepted", "refused: malformed_token", "refused: bad_signature", "refused: unknown_issuer"}),
    "key_sets": (500, {"3 keys and more", "2 keys", "0 keys"}),
    "discovery": (500, {"keys", "FetchError: the discovery document is another issuer's"}),
    "differential": (600, {"accepted by all", "refused by all"}),
    "attribution": (1000, {"kept", "refused"}),
}


@pytest.mark.parametrize("name", SHARES)
def test_nothing_is_fooled(name: str) -> None:
    """Every attempt ends as the oracle, or the other library, says; a Fault shows what was sent."""
    from fuzz.attempts import ATTEMPTS

    count, expected = SHARES[name]
    with ATTEMPTS[name].make(random.Random(name)) as attempt:  # noqa: S311 - the same each time
        outcomes = Counter(attempt() for _ in range(count))
    assert outcomes.total() == count
    assert expected <= set(outcomes), outcomes


def test_there_is_a_share_of_each() -> None:
    from fuzz.attempts import ATTEMPTS

    assert SHARES.keys() == ATTEMPTS.keys()
