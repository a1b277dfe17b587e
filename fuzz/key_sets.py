"""Mutated JWK Sets: parsing never fails, the good keys in them go on verifying, and no key is used that must not be."""

import contextlib
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from support.tokens import SigningKey, b64, signing_key

from fuzz import jwk_values, spelling
from fuzz.fault import Fault
from fuzz.mutants import Members, change, object_text
from fuzz.values import ANY
from micromegas_auth import strict_json
from micromegas_auth.keyset import KeySet, parse_jwks

GOOD = (signing_key("EdDSA", "ed"), signing_key("ES256", "ec"), signing_key("RS256", "rsa"))
MESSAGE = b"signed once by each good key"
SIGNATURES = {key.kid: key.sign(MESSAGE) for key in GOOD}
_WHOLE: tuple[Callable[[Random, str], str], ...] = (
    *spelling.OF_TEXT,
    lambda rng, _: rng.choice(ANY),
    lambda rng, _: f'{{"keys":{rng.choice(ANY)}}}',
)
_FITTING = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


@contextlib.contextmanager
def key_sets(rng: Random) -> Iterator[Callable[[], str]]:
    """One case is one document."""
    strangers = [signing_key(alg, f"stranger-{alg}") for alg in ("EdDSA", "ES256", "ES384", "ES512", "RS256")]

    def case() -> str:
        raw = document(rng, strangers)
        try:
            parsed = strict_json.loads(raw)
        except ValueError:
            try:  # what a lenient parser lets through must not make it fail either
                parsed = json.loads(raw)
            except (ValueError, RecursionError):
                return "no JSON"
        try:
            keys = parse_jwks(parsed)
        except BaseException as error:
            raise Fault(f"ESCAPED: {type(error).__name__}", raw, error) from error
        check(keys, parsed, raw)
        return f"{len(keys.keys)} keys" if len(keys.keys) < 3 else "3 keys and more"

    yield case


def document(rng: Random, strangers: list[SigningKey]) -> bytes:
    """A JWK Set with the good keys and mutated ones; now and then the whole of it is mutated."""
    entries = [json.dumps(key.jwk()) for key in GOOD if rng.random() < 0.9]
    for index in range(rng.randrange(1, 5)):
        entries.insert(rng.randrange(len(entries) + 1), _mutated(rng, rng.choice(strangers), index))
    text = f'{{"keys":[{",".join(entries)}]}}'
    if rng.random() < 0.1:
        text = rng.choice(_WHOLE)(rng, text)
    raw = text.encode("utf-8", "surrogatepass")
    return rng.choice(spelling.OF_BYTES)(rng, raw) if rng.random() < 0.05 else raw


def _mutated(rng: Random, key: SigningKey, index: int) -> str:
    if rng.random() < 0.05:
        return rng.choice(ANY)
    members: Members = [(name, json.dumps(value)) for name, value in key.jwk(kid=f"m{index}").items()]
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        if rng.random() < 0.5:
            name = rng.choice(tuple(jwk_values.OF_KEYS))
            members = [member for member in members if member[0] != name]
            members.append((name, rng.choice(jwk_values.OF_KEYS[name])))
        elif rng.random() < 0.5:
            members.append((f"y{index}", f'"{b64(rng.randbytes(32))}"'))
            members = [(name, rng.choice((value, value[:-2] + '"'))) for name, value in members]
        else:
            change(rng, members, jwk_values.KEYS)
    return object_text(rng, members)


def check(keys: KeySet, parsed: Any, raw: bytes) -> None:
    """Raise Fault unless the good keys of a document verify and all that is kept may be used."""
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    objects = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for good in GOOD:
        jwk = good.jwk()
        rivals = [entry for entry in objects if (entry.get("kid"), entry.get("kty")) == (good.kid, jwk["kty"])]
        if jwk not in rivals or any(rival != jwk for rival in rivals):
            continue  # it is not in the document, or another key claims its kid and then neither is used
        candidates = [key for key in keys.by_kid.get(good.kid, ()) if good.alg in key.algorithms]
        if not any(key.verifies(good.alg, MESSAGE, SIGNATURES[good.kid]) for key in candidates):
            raise Fault(f"a good key does not verify: {good.kid}", raw, keys.skipped)
    for key in keys.keys:
        if not any(entry.get("kid") == key.kid and _may_be_used(entry, key.algorithms) for entry in objects):
            raise Fault("a key that must not be used is", raw, key)
        if not _is_sound(key.public_key):
            raise Fault("a weak key is used", raw, key)


def _may_be_used(jwk: dict[str, Any], algorithms: frozenset[str]) -> bool:
    kid, alg = jwk.get("kid"), jwk.get("alg")
    operations = jwk.get("key_ops", ["verify"])
    return (
        not any(name in jwk for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and (kid is None or (isinstance(kid, str) and 1 <= len(kid) <= 1024))
        and all(name.startswith(_FITTING.get(str(jwk.get("kty")), ())) for name in algorithms)
        and (alg is None or alg in list(algorithms))
    )


def _is_sound(public: Any) -> bool:
    if hasattr(public, "public_bytes_raw"):
        y = int.from_bytes(public.public_bytes_raw(), "little") & ((1 << 255) - 1)
        for _ in range(3):  # doubled three times (RFC 8032 section 5.1.4), a point of small order is the neutral one
            x_square = (y * y - 1) * pow(_D * y * y + 1, -1, _P)
            y = (y * y + x_square) * pow(1 - _D * x_square * y * y, -1, _P) % _P
        return y != 1
    numbers = public.public_numbers()
    if hasattr(numbers, "n"):
        return bool(
            numbers.n % 2 == 1
            and numbers.e % 2 == 1
            and 65537 <= numbers.e <= 2**33
            and 2048 <= public.key_size <= 8192
        )
    return str(public.curve.name) in ("secp256r1", "secp384r1", "secp521r1")
