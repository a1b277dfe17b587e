"""Builds a good token, changes it, and signs what has come of it: with the right key, unless that is the change."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.tokens import AUDIENCE, ISSUER, NOW, b64

from fuzz import spelling
from fuzz.values import ANY, BROKEN, CLAIMS, HEADERS, OF
from fuzz.world import ADMIN_EMAIL, ALIAS, API_KEY, DELEGATE, PublishedKey, Realm, realms

Members = list[tuple[str, str]]  # names and values as JSON texts, the name without its quotes

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_WEIGHTS = (8, 3, 0.2, 0.2, 0.2, 0.1, 0.8)  # the quick keys mostly
_SEPARATORS = (" ", "\n", "\t", "\r", "\f", "\v", "\0", "\u00a0", "\u2028", "\ufeff", ",", "{", "}", "/**/", '"', "\\")


def request(rng: Random) -> dict[str, Any]:
    """The headers of one request. Most carry a token that was changed and is signed truly."""
    realm = realms()[rng.random() < 0.2]
    published = rng.choices(realm.keys, _WEIGHTS[: len(realm.keys)])[0]
    token = _token(rng, realm, published)
    if rng.random() < 0.1:
        token = rng.choice(_COMPACT)(rng, token)
    if rng.random() < 0.04:
        return _transported(rng, token)
    return {"authorization": f"Bearer {token}"}


def _token(rng: Random, realm: Realm, published: PublishedKey) -> str:
    alg = rng.choice(published.algorithms)
    header, claims = _header(rng, realm, published, alg), _claims(rng, realm)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        if rng.random() < 0.3:
            change(rng, header, HEADERS)
        else:
            change(rng, claims, CLAIMS)
    texts = []
    for members in (header, claims):
        text = object_text(rng, members)
        if rng.random() < 0.05:
            text = rng.choice(spelling.OF_TEXT)(rng, text)
        raw = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.02:
            raw = rng.choice(spelling.OF_BYTES)(rng, raw)
        encoded = b64(raw)
        if rng.random() < 0.02:  # before it is signed: the signature is over this very spelling
            encoded = rng.choice(spelling.OF_BASE64)(rng, encoded)
        texts.append(encoded)
    signing_input = ".".join(texts)
    signature = _signature(rng, published, alg, signing_input.encode("utf-8", "surrogatepass"))
    return f"{signing_input}.{b64(signature)}"


def _header(rng: Random, realm: Realm, published: PublishedKey, alg: str) -> Members:
    members = [("alg", f'"{alg}"')]
    if published.kid is not None and rng.random() < 0.9:
        members.append(("kid", f'"{published.kid}"'))
    if realm.require_typ is not None:
        members.append(("typ", f'"{realm.require_typ}"'))
    elif rng.random() < 0.8:
        members.append(("typ", '"JWT"'))
    return members


def _claims(rng: Random, realm: Realm) -> Members:
    issuer = ALIAS if realm.aliases and rng.random() < 0.1 else realm.issuer
    subject = rng.choice(("alice", "bob", DELEGATE))
    members = [("iss", f'"{issuer}"'), ("sub", f'"{subject}"'), ("aud", f'"{AUDIENCE}"'), ("exp", str(int(NOW) + 600))]
    for name, value in (
        ("iat", str(int(NOW) - 10)),
        ("nbf", str(int(NOW) - 10)),
        ("jti", f'"{rng.randrange(1 << 30):x}"'),
        ("email", f'"{rng.choice(("alice@example.com", ADMIN_EMAIL))}"'),
        ("email_verified", "true"),
        ("azp", f'"{subject}"'),
        ("groups", '["a","b"]'),
        ("name", '"Alice \\u00c9 \\"A\\" :"'),
        ("x", '{"roles":[{"id":1},{"id":2}],"n":null}'),
    ):
        if rng.random() < 0.4:
            members.append((name, value))
    return members


def change(rng: Random, members: Members, more: tuple[tuple[str, str], ...]) -> None:
    """Change one member: its name, its value, its place; or remove, repeat or add one out of `more`."""
    index = rng.randrange(len(members)) if members else -1
    kind = rng.randrange(13)
    if index < 0 or kind == 0:
        members.insert(index + 1, rng.choice(more))
        return
    name, value = members[index]
    match kind:
        case 1:
            del members[index]
        case 2:
            members.insert(rng.randrange(len(members) + 1), (name, rng.choice((value, rng.choice(ANY)))))
        case 3:
            members.insert(rng.randrange(len(members) + 1), (spelling.escaped(rng, name), value))
        case 4:
            members[index] = (spelling.escaped(rng, name), value)
        case 5:
            members[index] = (
                rng.choice((name.upper(), name + " ", name[:-1], name + "\\u0000", name + "\u200b")),
                value,
            )
        case 6:
            members[index] = (name, rng.choice(BROKEN if rng.random() < 0.4 else ANY))
        case 7:
            rng.shuffle(members)
        case _:
            near = rng.choice(tuple(OF)) if rng.random() < 0.2 else name
            members[index] = (near, rng.choice(OF.get(near, ANY)))


def object_text(rng: Random, members: Members) -> str:
    """The members as a JSON text, now and then with white space, or what is none, between them."""
    if rng.random() < 0.8:
        return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
    spaces = [rng.choice(("", " ", "\n", "\t\r ")) for _ in range(4)]
    pairs = [f'{spaces[0]}"{name}"{spaces[1]}:{spaces[2]}{value}{spaces[3]}' for name, value in members]
    text = "{" + ",".join(pairs) + "}"
    if rng.random() < 0.3:
        text = spelling.inserted(rng, text, rng.choice(_SEPARATORS))
    return text


def _signature(rng: Random, published: PublishedKey, alg: str, signing_input: bytes) -> bytes:
    chance = rng.random()
    if chance < 0.02:  # another key: of the same issuer, or of the other one under the same kid
        other = rng.choice(rng.choice(realms()).keys)
        return other.key.sign(signing_input, other.algorithms[0])
    signature = published.key.sign(signing_input, alg)
    if chance < 0.96:
        return signature
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    changed: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: bytes(len(signature)),
        lambda: signature[:-1],
        lambda: signature + b"\0",
        lambda: spelling.flipped(rng, signature),
        lambda: encode_dss_signature(r, s),
        lambda: signature[half:] + signature[:half],
        # Any ECDSA signature has this twin, which is as true (RFC 7518 section 3.4 does not forbid it).
        lambda: signature[:32] + ((_P256_ORDER - s) % (1 << 256)).to_bytes(32, "big"),
    )
    return rng.choice(changed)()


def _transported(rng: Random, token: str) -> dict[str, Any]:
    values: tuple[Any, ...] = (
        *(token, f"bearer {token}", f"BEARER   {token}", f"Bearer\t{token}", f"Bearer {token} ", f"Bearer{token}"),
        *(f" Bearer {token}", f"Basic {token}", f"Bearer {token},Bearer {token}", f"Bearer {token}, x", "Bearer ", ""),
        *([f"Bearer {token}"], [f"Bearer {token}".encode()], f"Bearer {token}".encode("utf-8", "surrogatepass"), []),
        *(
            [f"Bearer {token}"] * 2,
            f"Bearer {API_KEY}",
            f"Bearer {API_KEY}x",
            f"Bearer {API_KEY}.",
            f"Bearer {API_KEY}=",
        ),
        *(f"Bearer {token}{character}" for character in "\n\0\u00e9\u0661\u212a=~+/"),
        f"Bearer {token}{'A' * rng.choice((1, 4, 7000, 100_000))}",
        f"Bearer{' ' * rng.choice((2, 7000))}{token}",
    )
    name = rng.choice(("authorization",) * 9 + ("x-auth-token",))
    return {name: rng.choice(values)}


def _same(_: Random, token: str) -> str:
    return token


def _swapped(rng: Random, token: str) -> str:
    parts = token.split(".")
    rng.shuffle(parts)
    return ".".join(parts)


def _counted(rng: Random, token: str) -> str:
    return ".".join((token.split(".") * 2)[: rng.choice((1, 2, 4, 5, 6))])


def _part(rng: Random, token: str) -> str:
    parts = token.split(".")
    index = rng.randrange(len(parts))
    parts[index] = rng.choice(spelling.OF_BASE64)(rng, parts[index])
    return ".".join(parts)


def _nested(rng: Random, token: str) -> str:
    middle = b64(rng.choice((token, json.dumps(token), json.dumps({"iss": ISSUER}))).encode("utf-8", "replace"))
    parts = token.split(".")
    return ".".join([parts[0], middle, parts[-1]])


def _standard(_: Random, token: str) -> str:
    """In plain base64 with its padding."""
    parts = [part + "=" * (-len(part) % 4) for part in token.replace("-", "+").replace("_", "/").split(".")]
    return ".".join(parts)


_COMPACT: tuple[Callable[[Random, str], str], ...] = (
    *(_same, _swapped, _counted, _part, _part, _part, _nested, _standard),
)
