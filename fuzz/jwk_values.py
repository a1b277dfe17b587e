"""What is put into JWKs, discovery documents and the headers they come with."""

import json

from support.tokens import b64

_P = 2**255 - 19
_ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL = tuple(b64(y.to_bytes(32, "little")) for y in (0, 1, _ORDER_8_Y, _P - _ORDER_8_Y, _P - 1, _P, _P + 1))


def _texts(*values: object) -> tuple[str, ...]:
    return tuple(json.dumps(value) for value in values)


def _number(value: int) -> str:
    return b64(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


_COORDINATES = _texts("", "AA", b64(bytes(32)), b64(b"\xff" * 32), b64(bytes(31)), b64(b"\1" * 33), *_SMALL)

OF_KEYS: dict[str, tuple[str, ...]] = {
    "kty": _texts("RSA", "EC", "OKP", "oct", "rsa", "AKP", "", None, ["RSA"], {"kty": "RSA"}),
    "crv": _texts("P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519", "secp256k1", "p-256", "", None, ["P-256"]),
    "use": _texts("sig", "enc", "SIG", "", None, ["sig"], True),
    "key_ops": _texts(
        ["verify"], ["sign"], ["verify", "sign"], [], "verify", None, {"verify": 1}, [["verify"]], ["encrypt"]
    ),
    "alg": _texts(
        "RS256", "PS512", "ES256", "ES384", "EdDSA", "Ed25519", "HS256", "none", "", None, ["ES256"], {"a": 1}, 5
    ),
    "kid": _texts("ed", "ec", "rsa", "", "x" * 1024, "x" * 1025, "\0", None, 5, True, ["ec"], {"kid": "ec"}, "e\u0441"),
    "n": _texts(
        *map(_number, (0, 1, 3, 2**1023 + 1, 2**2047 + 1, 2**2047, 2**2048 - 1, 2**8191 + 1, 2**8192 + 1)),
        "*",
        "A==",
        "é",
    ),
    "e": _texts(
        *map(_number, (0, 1, 2, 3, 65535, 65536, 65537, 2**32 + 1, 2**33 - 1, 2**33 + 1, 2**40 + 1)), "AAEAAQ==", "A Q"
    ),
    **dict.fromkeys(("x", "y"), _COORDINATES),
}
KEYS: tuple[tuple[str, str], ...] = (
    *(("d", '"AA"'), ("d", "null"), ("p", '"AA"'), ("k", '"AAAA"'), ("oth", "[]"), ("dp", '""')),
    *(
        ("x5c", '["AAAA"]'),
        ("x5u", '"https://evil.example"'),
        ("x5t", "5"),
        ("ext", "true"),
        ("issuer", '"x"'),
        ("\\u0064", '"AA"'),
    ),
    *(("use", '"enc"'), ("key_ops", '["sign"]'), ("nbf", "1"), ("exp", "1"), ("revoked", '{"reason":"compromised"}')),
)

_URLS = (
    *(
        "https://keys.example/jwks",
        "https://KEYS.EXAMPLE/jwks",
        "https://keys.example:443/jwks?a=b#c",
        "https://keys.example",
    ),
    *(
        "http://keys.example/jwks",
        "http://127.0.0.1/jwks",
        "http://localhost:80/jwks",
        "http://[::1]/jwks",
        "http://127.1/jwks",
    ),
    *(
        "http://localhost.evil.example/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://127.0.0.1.evil.example/",
    ),
    *(
        "https://user@keys.example/",
        "https://keys.example@evil.example/",
        "https://evil.example\\@keys.example/",
        "https:///x",
    ),
    *(
        "https://evil.example#@keys.example/",
        "https://keys.example%2f@evil.example/",
        "https://keys.example\t.evil.example/",
    ),
    *(
        "https://keys.example\r\nX: y/",
        "https:keys.example/",
        "//keys.example/",
        "/jwks",
        "",
        "file:///etc/passwd",
        "ftp://x/",
    ),
    *(
        "HTTPS://keys.example/",
        "https://ⓚeys.example/",
        "https://\u212aeys.example/",
        "https://keys。example/",
        "https://keys.example./",
    ),
    *(
        "https://[::1/",
        "https://[::1]x/",
        "https://keys.example:0/",
        "https://keys.example:99999/",
        "https://keys.example:x/",
    ),
    *(
        "https://keys.example:/",
        "https://" + "a" * 300 + "/",
        "https://" + "a" * 70 + ".example/",
        "https://xn--/",
        "https://.../",
    ),
    *(
        "https://evil.example?@keys.example/",
        "https://evil.example;@keys.example",
        "javascript:alert(1)",
        "data:,{}",
        " https://x/",
    ),
    *(
        "https://keys.example/\x00",
        "https://keys.example/%00",
        "https://keys.example/\ud800",
        "https://\x7f/",
        "https://*/",
        "https://a b/",
    ),
)
JWKS_URIS = _texts(*_URLS, None, 5, [], ["https://keys.example/jwks"], {})
DISCOVERY: tuple[tuple[str, str], ...] = (("keys", "[]"), ("Issuer", '"x"'), ("jwks_uri ", '"https://evil.example"'))
HEADERS: tuple[tuple[str, str], ...] = (
    *(
        ("cache-control", value)
        for value in ("max-age=0", "max-age=86400", "max-age=-1", "max-age=99999999999999", "no-store")
    ),
    *(
        ("cache-control", value)
        for value in ('max-age="60"', "max-age=1e9", "private, max-age = 100", "", "x" * 9000, "\xff\x80")
    ),
    *(
        ("expires", value)
        for value in ("0", "-1", "", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT")
    ),
    *(
        ("expires", value)
        for value in ("Thu, 01 Jan 1970 00:00:00 -0000", "Thu, 01 Jan 99999 00:00:00 GMT", "Mon, 99 Foo 2020")
    ),
    *(
        ("expires", value)
        for value in ("Sat, 01 Jan 0000 00:00:00 +9999", "1 2 3 4 5 6", "Wed, 1 Jan 2031 1:1:1 +999999999999")
    ),
)
WIRE_HEADERS: tuple[tuple[str, str], ...] = (
    *(("content-length", value) for value in ("0", "1", "-1", "99999", "5, 6", "x", "1e3", "9" * 40)),
    *(
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "gzip, chunked"),
        ("content-encoding", "gzip"),
        ("x", "y"),
    ),
    *(("content-encoding", "br"), ("location", "https://evil.example/"), ("content-type", "text/html; charset=utf-7")),
)
STATUSES = (
    "201 x",
    "204",
    "206 x",
    "301 x",
    "302 x",
    "304 x",
    "100 Continue",
    "103 x",
    "500 x",
    "999 x",
    "20 x",
    "200",
    "\xff",
)
