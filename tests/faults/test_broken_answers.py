"""ATTACKS, Network: whatever is wrong with an issuer's answers, that fetch fails within its deadline, the last good
keys stay in force, and all is well again as soon as the issuer is."""

import json
from collections.abc import Callable

import pytest
from support import answers
from support.answers import Answer
from support.front_door import API_KEY, Build, LogWatch, bearer
from support.issuer import DISCOVERY, JWKS, FaultyIssuer

from micromegas_auth import ProviderUnavailable

Fault = Callable[[FaultyIssuer], None]

DEADLINE = 0.4  # of a fetch, in seconds
GENEROUS = 5.0  # for a machine that has much else to do; far below the 20 s that it takes to drip a document

_UNUSABLE = [
    {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
    {"kty": "RSA", "kid": "b", "n": "sxzw", "e": "AQAB"},
    {"kty": "EC", "kid": "c", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "??", "kid": "d"},
    {},
    None,
]
_OF_EITHER: dict[str, Answer] = {
    "closed": answers.close_at_once,
    "hang": answers.hang,
    "hang mid-body": answers.hang_mid_body,
    "reset mid-body": answers.reset_mid_body,
    "truncated": answers.truncated,
    "drip body": answers.drip_body,
    "drip head": answers.drip_head,
    "endless head": answers.endless_head,
    "endless hints": answers.endless_hints,
    "302": answers.elsewhere,
    "500": answers.reply('{"keys": []}', 500),
    "html": answers.reply("<!doctype html><title>Sign in</title>", headers={"content-type": "text/html"}),
    "empty": answers.reply(""),
    "utf-16": answers.in_utf16,
    "latin-1": answers.reply('{"keys": "\xe9"}'.encode("latin-1")),
    "40 MB": answers.forty_megabytes,
    "gzip bomb": answers.gzip_bomb(declared=True),
    "undeclared gzip bomb": answers.gzip_bomb(declared=False),
    "100k deep": answers.reply("[" * 100_000 + "]" * 100_000),
    "100k deep object": answers.reply('{"keys":' * 100_000 + "1" + "}" * 100_000),
    # What a regular expression for strings may take minutes to give up on.
    "open string": answers.reply("[" * 40 + '"' + '\\"' * 20_000),
    "{}": answers.reply("{}"),
    "null": answers.reply("null"),
    "list": answers.reply("[]"),
    "other types": answers.reply('{"issuer": 1, "jwks_uri": {}, "keys": "none"}'),
}
_OF_JWKS: dict[str, Answer] = {
    "empty keys": answers.reply('{"keys": []}'),
    "unusable keys": answers.reply(json.dumps({"keys": _UNUSABLE})),
}


def _at(path: str, answer: Answer) -> Fault:
    return lambda issuer: issuer.answer(answer, path)


FAULTS: dict[str, Fault] = {
    "down": FaultyIssuer.stop,
    **{f"discovery: {name}": _at(DISCOVERY, answer) for name, answer in _OF_EITHER.items()},
    **{f"keys: {name}": _at(JWKS, answer) for name, answer in (_OF_EITHER | _OF_JWKS).items()},
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_server_that_starts_beside_a_broken_issuer_recovers(
    issuer: FaultyIssuer, build: Build, log: LogWatch, fault: Fault
) -> None:
    fault(issuer)
    door = build(issuer, fetch_timeout_secs=DEADLINE)
    log.wait_for("WARNING keys not fetched", issuer.url, timeout=GENEROUS)

    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint()))
    assert door.authenticate(bearer(API_KEY)).auth.subject == "loader"

    issuer.heal()
    log.wait_for("INFO keys fetched", issuer.url)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_last_good_keys_serve_while_the_issuer_is_broken(
    issuer: FaultyIssuer, build: Build, log: LogWatch, fault: Fault
) -> None:
    door = build(issuer, fetch_timeout_secs=DEADLINE)
    log.wait_for("INFO keys fetched")

    fault(issuer)
    log.wait_for("WARNING keys not fetched", "serving_keys_of_age_secs=", timeout=GENEROUS)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    with pytest.raises(ProviderUnavailable):
        door.authenticate(bearer(issuer.mint(header={"kid": "a key of after the fault"})))

    issuer.rotate()
    so_far = len(log.lines)
    issuer.heal()
    log.wait_for("INFO keys fetched", after=so_far)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"


@pytest.mark.usefixtures("quick")
def test_a_redirect_is_not_followed(issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    issuer.answer(answers.elsewhere)
    build(issuer)
    issuer.wait_for_requests(2, DISCOVERY)  # so the first of them is over and done with
    assert issuer.requests("/moved") == 0
    assert 'error="status 302"' in log.wait_for("keys not fetched")


@pytest.mark.usefixtures("quick")
def test_a_key_we_cannot_use_leaves_the_others_alone(issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    def with_bad_keys(exchange: answers.Exchange) -> None:
        keys = [*_UNUSABLE, *json.loads(exchange.body)["keys"], *_UNUSABLE]
        answers.reply(json.dumps({"keys": keys}))(exchange)

    issuer.answer(with_bad_keys, JWKS)
    door = build(issuer)
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    log.wait_for("WARNING key skipped", "index=0", "symmetric")
