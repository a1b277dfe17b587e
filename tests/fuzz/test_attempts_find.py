"""The attempts are not blind: a library that is broken on purpose is found out."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from micromegas_auth import attribution, claims, keyset, strict_json, text, verify

# A name of a module or class, what it is replaced by, and what must be said of it.
BROKEN: dict[str, tuple[str, object, str, Any, str]] = {
    "any signature": ("signed", keyset.VerificationKey, "verifies", lambda *_: True, "ACCEPTED"),
    "any JSON": ("signed", strict_json, "loads", lambda raw: json.loads(raw), "ACCEPTED WRONGLY: a name twice"),
    "any subject": ("signed", verify, "is_safe", lambda value, _: bool(value), "ACCEPTED WRONGLY: sub"),
    "any e-mail": ("signed", claims, "_is_verified", lambda *_: True, "ACCEPTED AS SOMEBODY ELSE: email_verified"),
    "any type": ("signed", verify, "check_type", lambda *_: None, "ACCEPTED WRONGLY"),
    "any RSA key": ("key_sets", keyset, "_RSA_BITS", range(100_000), "a weak key is used"),
    "any use": ("key_sets", keyset, "_PRIVATE_MEMBERS", frozenset(), "a key that must not be used is"),
    "any character": ("attribution", attribution, "is_safe", lambda *_: True, "kept another text"),
    "any line": ("attribution", text, "quoted", lambda value: f'"{value}"', "an audit record of several lines"),
}


@pytest.fixture(autouse=True)
def _no_headers_remembered() -> Iterator[None]:
    verify._verified_headers.clear()
    yield
    verify._verified_headers.clear()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_library_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzz.attempts import ATTEMPTS
    from fuzz.fault import Fault

    kind, place, member, broken, says = BROKEN[name]
    monkeypatch.setattr(place, member, broken)
    make: Callable[..., AbstractContextManager[Callable[[], str]]] = ATTEMPTS[kind].make
    with make(random.Random(1)) as attempt, pytest.raises(Fault, match=says):  # noqa: S311 - the same each time
        _many(attempt)


def _many(attempt: Callable[[], str]) -> None:
    for _ in range(2000):
        attempt()
