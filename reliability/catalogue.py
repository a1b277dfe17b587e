"""The faults, one for each way in which an issuer's answer can go wrong."""

import json
from collections.abc import Callable

from support import answers
from support.answers import Answer, Exchange, reply
from support.issuer import DISCOVERY, JWKS, FaultyIssuer

from reliability.faults import Fault
from reliability.world import World

Switch = Callable[[FaultyIssuer, World], None]


def _down(issuer: FaultyIssuer, _: World) -> None:
    issuer.stop()


def _on(path: str, answer: Answer) -> Switch:
    return lambda issuer, _: issuer.answer(answer, path)


def _discovery(**changes: str) -> Switch:
    def answer(exchange: Exchange) -> None:
        reply(json.dumps({**json.loads(exchange.body), **changes}))(exchange)

    return _on(DISCOVERY, answer)


def _jwks_on_another_host(issuer: FaultyIssuer, _: World) -> None:
    issuer.answer(reply(json.dumps({"issuer": issuer.url, "jwks_uri": "https://localhost/jwks"})), DISCOVERY)


def _expired(issuer: FaultyIssuer, around: World) -> None:
    issuer.tls = around.authority.server_context(expired=True)


def _wrong_host(issuer: FaultyIssuer, around: World) -> None:
    issuer.tls = around.authority.server_context("127.0.0.2")


def _unknown_authority(issuer: FaultyIssuer, around: World) -> None:
    issuer.tls = around.stranger.server_context()


def _no_tls(issuer: FaultyIssuer, _: World) -> None:
    issuer.tls = None


def _one_byte_a_second(exchange: Exchange) -> None:
    exchange.send_head(len(exchange.body))
    for index in range(len(exchange.body)):
        exchange.connection.sendall(exchange.body[index : index + 1])
        exchange.pause(1.0)


_ANSWERS: dict[str, Answer] = {
    "closed without an answer": answers.close_at_once,
    "reset mid-body": answers.reset_mid_body,
    "truncated": answers.truncated,
    "1 byte/s": _one_byte_a_second,
    "head byte by byte": answers.drip_head,
    "head without end": answers.endless_head,
    "103 without end": answers.endless_hints,
    "silence": answers.hang,
    "silence mid-body": answers.hang_mid_body,
    "302": answers.elsewhere,
    "500": reply('{"keys": []}', 500),
    "HTML": reply("<!doctype html><title>Sign in</title>", headers={"content-type": "text/html"}),
    "UTF-16": answers.in_utf16,
    "40 MB": answers.forty_megabytes,
    "gzip bomb": answers.gzip_bomb(declared=True),
    "gzip bomb, undeclared": answers.gzip_bomb(declared=False),
    "JSON 100,000 deep": reply('{"keys":' * 100_000 + "1" + "}" * 100_000),
    "`{}`": reply("{}"),
}
_SWITCHES: dict[str, Switch] = {
    "down": _down,
    **{f"keys: {name}": _on(JWKS, answer) for name, answer in _ANSWERS.items()},
    "keys: none in the set": _on(JWKS, reply('{"keys": []}')),
    "keys: none that can be used": _on(JWKS, reply('{"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "??"}, null]}')),
    **{f"discovery: {name}": _on(DISCOVERY, answer) for name, answer in _ANSWERS.items()},
    "discovery: names another issuer": _discovery(issuer="https://another.example"),
    "discovery: `jwks_uri` on plain http": _discovery(jwks_uri="http://issuer.example/jwks"),
    "discovery: `jwks_uri` on a host that is not allowed": _jwks_on_another_host,
    "TLS: expired": _expired,
    "TLS: another host": _wrong_host,
    "TLS: unknown authority": _unknown_authority,
    "TLS: none at all": _no_tls,
}
_AT_THE_START = (
    "down",
    "keys: silence",
    "discovery: silence",
    "keys: 500",
    "keys: none in the set",
    "TLS: expired",
)

FAULTS = (
    *(Fault(name, switch_on) for name, switch_on in _SWITCHES.items()),
    Fault("down for longer than `jwks_max_stale_secs` (3 s)", _down, max_stale=3.0),
    *(Fault(f"at the start: {name}", _SWITCHES[name], at_start=True) for name in _AT_THE_START),
)
