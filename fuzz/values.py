"""What is put into tokens: JSON texts, most of them of the wrong kind for any place."""

import json

from support.hostile import UNSAFE_CHARACTERS
from support.tokens import AUDIENCE, ISSUER, NOW

from fuzz.world import ADMIN_EMAIL, ADMIN_SUBJECT, ALIAS, DELEGATE, OTHER

_now = int(NOW)

ANY: tuple[str, ...] = (
    *("null", "true", "false", "0", "-0", "1", "-1", "1.5", "1e2", "1E+2", "-0.0", "1e-999", '""', '"x"', "[]", "{}"),
    *("[[]]", "[null]", '{"a":1}', '{"a":{"a":[]}}', '{"a":1, "A":2}', '[{"b":1},{"b":2}]', '{"":{"":1}}'),
    *("9" * 18, "9" * 30, "9" * 400, "0." + "9" * 400, "18446744073709551616", "-9223372036854775809", "9" * 4300),
    *(
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\u202e"',
        '"\x7f"',
        '"é"',
        '"e\u0301"',
        '"\u212a"',
        '"\ufeff"',
        '"\U0001f600"',
    ),
    *('"\\/"', '"a\\":\\"b"', '"\\" :"', '"[[[[{{{{\\""', '"":""'),
    *("[" * depth + "]" * depth for depth in (8, 29, 30, 31)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (29, 30, 31)),
    '"' + "x" * 1000 + '"',
    json.dumps(["x"] * 40),
    json.dumps([["x"]] * 40),
)

# No JSON at all, or none that may be accepted: what a lenient parser would repair, guess or lose.
BROKEN: tuple[str, ...] = (
    *(
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '[{"b":{"":1,"":2}}]',
        '{"a":{"b":1},"c":2,"a":":"}',
        "x",
        "",
        "'x'",
        '"',
    ),
    *(
        "1e400",
        "-1e999",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "-01",
        "+1",
        "1.",
        ".5",
        "0x1",
        "1_000",
        "1e",
        "--1",
        "-",
    ),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\u0041"', '"\\x41"', '"\\"', '"\n"', '"\x00"', '"\x1f"', '"\\u12"'),
    *("[1,]", "[,1]", "[1 2]", "{,}", '{"a":1,}', "{1:2}", '{"a"}', '{"a":}', "/**/1", "nul", "True", "undefined"),
    *("[" * depth + "]" * depth for depth in (32, 33, 200, 3000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (32, 33)),
    *('{"a":' + "[" * 31 + "]" * 31 + "}", "9" * 4301, "1" + "0" * 5000),
)

_TIMES = (
    *(str(_now + seconds) for seconds in (-61, -60, -59, -1, 0, 1, 59, 60, 61, 600)),
    *(f"{_now + seconds}.{part}" for seconds in (-61, -60, 60, 59) for part in ("0", "5", "000001", "9999999")),
    *("1.8e9", "18E8", "1800000600.0e0", "0.18000006e10", "18000006000e-1", "253402300799", "253402300799.5"),
    *("253402300800", "1e18", "1e300", "-1", "-0.0", "0", "1e-400", str(_now * 1000), f'"{_now}"', "true", "9" * 40),
    f"[{_now}]",
)

_TEXTS = (
    "alice",
    "é",
    "日本語",
    "\u200bzw",
    "a b",
    "x" * 255,
    "x" * 256,
    "\u00ad",
    "\u200e",
    "\u061c",
    "\U000e0041",
    "\u212a",
)
_SUBJECTS = tuple(json.dumps(text) for text in (*_TEXTS, ADMIN_SUBJECT, DELEGATE, *UNSAFE_CHARACTERS, "a\x80b", "\x1c"))
_SUBJECTS += tuple(
    json.dumps(text, ensure_ascii=False) for text in (*_TEXTS, "\x7f", "\x85", "\u2028", "\u202e", "\U0001f600" * 255)
)
_EMAILS = (
    *map(
        json.dumps,
        (ADMIN_EMAIL, ADMIN_EMAIL.upper(), f" {ADMIN_EMAIL}", "a@b", "x" * 320, "x" * 321, "a\nb", "", "é@é"),
    ),
    *(json.dumps([ADMIN_EMAIL]), json.dumps(["a@b", ADMIN_EMAIL]), "[]", "[5]", '[["a"]]'),
)
_AUDIENCES = tuple(
    json.dumps(value)
    for value in (
        *(AUDIENCE, "second-api", AUDIENCE.upper(), AUDIENCE + "/", AUDIENCE[:-1], f"{AUDIENCE} second-api", "", "x"),
        *(
            [AUDIENCE],
            ["x", AUDIENCE],
            ["second-api", AUDIENCE],
            [],
            ["x"],
            [AUDIENCE, 5],
            [[AUDIENCE]],
            [None, AUDIENCE],
        ),
        *({AUDIENCE: 1}, None, f"{AUDIENCE}\0", ["x"] * 30 + [AUDIENCE]),
    )
)
_ISSUERS = tuple(
    json.dumps(value)
    for value in (
        *(
            ISSUER,
            ISSUER + "/",
            ISSUER.upper(),
            ISSUER + "\0",
            ISSUER.replace("https", "http"),
            ALIAS,
            ALIAS[:-1],
            OTHER,
        ),
        *(OTHER + "/", [ISSUER], [ISSUER, OTHER], None, "", {"iss": ISSUER}, "https://stranger.example", f" {ISSUER}"),
    )
)
_KIDS = tuple(
    json.dumps(value)
    for value in (
        *(
            "ed",
            "ec",
            "rsa",
            "any",
            "384",
            "521",
            "ED",
            " ed",
            "ed\0",
            "../ed",
            "ed' OR 1=1",
            "e\u0501",
            "x",
            "",
            "x" * 1024,
        ),
        *("x" * 1025, 384, None, ["ed"], {"kid": "ed"}, True, 1.0),
    )
)
_ALGORITHMS = tuple(
    json.dumps(value)
    for value in (
        *("EdDSA", "Ed25519", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "none"),
        *(
            "None",
            "NONE",
            "HS256",
            "HS512",
            "es256",
            "eddsa",
            "ES256K",
            "Ed448",
            "RSA-OAEP",
            "dir",
            "",
            None,
            ["EdDSA"],
            1,
        ),
    )
)
_TYPES = tuple(
    json.dumps(value)
    for value in (
        *(
            "JWT",
            "jwt",
            "JwT",
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/At+Jwt",
            "application/jwt",
            "JWE",
        ),
        *("logout+jwt", "dpop+jwt", "secevent+jwt", "JWT ", "\u212aWT", "absent", "", None, 1, ["JWT"], {"JWT": 1}),
    )
)
_TRUTH = ("true", "false", "null", '"true"', "1", "0", '"false"')

# Values that are nearly right, or right, for the member of that name.
OF: dict[str, tuple[str, ...]] = {
    "alg": _ALGORITHMS,
    "kid": _KIDS,
    "typ": _TYPES,
    "iss": _ISSUERS,
    "sub": _SUBJECTS,
    "aud": _AUDIENCES,
    **dict.fromkeys(("exp", "nbf", "iat"), _TIMES),
    **dict.fromkeys(("email", "preferred_username", "verified_primary_email", "https://micromegas.io/email"), _EMAILS),
    "email_verified": _TRUTH,
    "azp": ('"alice"', '"deleg"', '"alice@clients"', "null", '["alice"]'),
    "groups": ('["a","b"]', '"a"', "[]", "[1]", '["a",null]', json.dumps(["g"] * 1000), json.dumps(["g"] * 1001)),
    "jti": ('"id-1"', "1", "null", '"\\u0000"'),
}

HEADERS: tuple[tuple[str, str], ...] = (
    *(("crit", text) for text in ('["exp"]', "[]", '["b64"]', "null")),
    *(("b64", text) for text in ("true", "false", "null")),
    *(
        ("zip", '"DEF"'),
        ("zip", "null"),
        ("cty", '"JWT"'),
        ("cty", '"json"'),
        ("enc", '"A256GCM"'),
        ("iss", json.dumps(ISSUER)),
    ),
    ("jwk", '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    *(
        ("jku", '"https://evil.example/jwks"'),
        ("x5u", '"https://evil.example/x5u"'),
        ("x5c", '["AAAA"]'),
        ("x5t", '"AAAA"'),
    ),
    *(("b64 ", "false"), ("Crit", '["exp"]'), ("crit\\u0000", "[]"), ("\\u0063rit", "[]"), ("nonce", '"x"'), ("", "1")),
)
CLAIMS: tuple[tuple[str, str], ...] = (
    *(
        ("gty", '"client-credentials"'),
        ("idtyp", '"app"'),
        ("cid", '"alice"'),
        ("client_id", '"alice"'),
        ("nonce", '"n"'),
    ),
    *(("auth_time", "1"), ("nonce", "null"), ("cnf", '{"jkt":"x"}'), ("act", '{"sub":"root"}'), ("is_admin", "true")),
    *(
        ("Sub", '"root"'),
        ("sub ", '"root"'),
        ("sub\\u0000", '"root"'),
        ("", "null"),
        ("__proto__", "{}"),
        ("exp.", "0"),
    ),
)
