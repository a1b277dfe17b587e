"""More of the tokens of ATTACKS.md that must be refused: other spellings of a good token, and false signatures."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.hostile import (
    HEADER,
    MARKER,
    Hostile,
    algorithms,
    claim_forms,
    headers,
    issuer_key,
    json_forms,
    marked,
)
from support.tokens import b64, raw_token, token

from micromegas_auth import Reason

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@cache
def hostile_tokens() -> list[Hostile]:
    """Every row of the Token table that a front door with one issuer can be shown."""
    return [*algorithms(), *headers(), *json_forms(), *claim_forms(), *spellings(), *signatures()]


def spellings() -> Iterator[Hostile]:
    """A good token written in another way, and tokens of other kinds."""
    good = token(issuer_key("ec"), marked())
    for count in (2, 4, 5, 6):
        yield Hostile(f"{count} parts", ".".join((good.split(".") * 2)[:count]), Reason.MALFORMED_TOKEN)
    jwe_header = b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}')
    yield Hostile("JWE", ".".join([jwe_header, *[b64(MARKER.encode())] * 4]), Reason.MALFORMED_TOKEN)
    nested = token(issuer_key("rsa"), marked())
    for name, payload in {"nested JWT": nested, "nested JWT as a JSON text": json.dumps(nested)}.items():
        yield Hostile(name, raw_token(issuer_key("ec"), HEADER, payload.encode()), Reason.MALFORMED_TOKEN)
    yield Hostile("hardly anything", "x..", Reason.MALFORMED_TOKEN)
    yield Hostile("no header", good[good.index(".") :], Reason.MALFORMED_TOKEN)
    yield Hostile("padding", good + "=", Reason.MALFORMED_TOKEN)
    yield Hostile("padding as it should be", good + "==", Reason.MALFORMED_TOKEN)
    for character in "+/~":
        yield Hostile(f"{character} within", good[:-5] + character + good[-4:], Reason.MALFORMED_TOKEN)
    for part, name in enumerate(("header", "claims", "signature")):
        # White space makes the JSON as long as leaves spare bits in its last letter, or none.
        parts = _padded_to(1).split(".")
        parts[part] = parts[part][:-1] + _ALPHABET[_ALPHABET.index(parts[part][-1]) + 1]
        yield Hostile(f"spare bits in the {name}", ".".join(parts), Reason.MALFORMED_TOKEN)
        parts = _padded_to(0).split(".")
        parts[part] += "A" * (1 + -len(parts[part]) % 4)
        yield Hostile(f"a letter too many in the {name}", ".".join(parts), Reason.MALFORMED_TOKEN)


def signatures() -> Iterator[Hostile]:
    """Signatures that a lenient verifier might take, and some that none should."""
    n = P256_ORDER.to_bytes(32, "big")
    yield from _changed(
        "ec",
        {
            "DER": lambda s: encode_dss_signature(int.from_bytes(s[:32], "big"), int.from_bytes(s[32:], "big")),
            "(0, 0)": lambda _: bytes(64),
            "r = 0": lambda s: bytes(32) + s[32:],
            "s = 0": lambda s: s[:32] + bytes(32),
            "r = n": lambda s: n + s[32:],
            "s = n": lambda s: s[:32] + n,
            "(n, n)": lambda _: n + n,
            "(1, 1)": lambda _: (bytes(31) + b"\1") * 2,
            "greater than any": lambda _: b"\xff" * 64,
            "halves exchanged": lambda s: s[32:] + s[:32],
            "each half longer by a zero": lambda s: b"\0" + s[:32] + b"\0" + s[32:],
        },
    )
    yield from _changed(
        "ed",
        {
            "S + L": lambda s: s[:32] + (int.from_bytes(s[32:], "little") + ED25519_ORDER).to_bytes(32, "little"),
            "the identity and zero": lambda _: b"\1" + bytes(63),
            "zero": lambda _: bytes(64),
        },
    )
    # Below 2^2048 there may be no room for s + n, but s - n and n - s are of the right length often enough.
    modulus = int.from_bytes(base64.urlsafe_b64decode(issuer_key("rsa").jwk()["n"] + "=="), "big")
    yield from _changed(
        "rsa",
        {
            "zero": lambda _: bytes(256),
            "one": lambda _: bytes(255) + b"\1",
            "n - s": lambda s: (modulus - int.from_bytes(s, "big")).to_bytes(256, "big"),
            "s + n": lambda s: (modulus + int.from_bytes(s, "big")).to_bytes(257, "big"),
            "n": lambda _: modulus.to_bytes(256, "big"),
        },
    )
    for kid in ("ec", "ed", "rsa"):
        first, second = (token(issuer_key(kid), marked(jti=jti)).split(".") for jti in ("a", "b"))
        yield Hostile(f"{kid}: signature of other claims", ".".join([*first[:2], second[2]]), Reason.BAD_SIGNATURE)


def _changed(kid: str, changes: dict[str, Callable[[bytes], bytes]]) -> Iterator[Hostile]:
    unsigned, _, encoded = token(issuer_key(kid), marked()).rpartition(".")
    signature = base64.urlsafe_b64decode(encoded + "==")
    always: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda _: b"",
        "cut": lambda s: s[:-1],
        "longer by a zero": lambda s: s + b"\0",
        "longer by a zero in front": lambda s: b"\0" + s,
        "one bit": lambda s: s[:-1] + bytes([s[-1] ^ 1]),
        "a digest": lambda s: hashlib.sha256(s).digest(),
    }
    for name, change in {**always, **changes}.items():
        yield Hostile(f"{kid}: {name}", f"{unsigned}.{b64(change(signature))}", Reason.BAD_SIGNATURE)


def _padded_to(rest: int) -> str:
    header, payload = (text + b" " * ((rest - len(text)) % 3) for text in (HEADER, json.dumps(marked()).encode()))
    return raw_token(issuer_key("ec"), header, payload)
