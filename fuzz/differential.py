"""A comparison: a token that we accept is accepted by joserfc and by jwcrypto, configured equally, as well."""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import jwcrypto.common
import jwcrypto.jwk
import jwcrypto.jws
from joserfc import jwt
from joserfc.errors import InvalidClaimError, InvalidHeaderValueError
from joserfc.jws import JWSRegistry
from support.tokens import NOW, SigningKey

from fuzz.fault import Fault
from fuzz.mutants import request
from fuzz.signed import judge
from fuzz.world import API_KEY, Realm, front_door, realms
from micromegas_auth import AuthError

_ALLOWED_TYPES = ("JWT", "AT+JWT", "APPLICATION/AT+JWT")


@contextlib.contextmanager
def differential(rng: Random) -> Iterator[Callable[[], str]]:
    """One case is one token, judged by three libraries."""
    logger = logging.getLogger("micromegas_auth")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    door, stop = front_door()

    def case() -> str:
        headers = request(rng)
        while not isinstance(headers.get("authorization"), str) or API_KEY in headers["authorization"]:
            headers = request(rng)
        ours = judge(door, headers)
        token = headers["authorization"].rpartition(" ")[2]
        joserfc, jwcrypto = _joserfc(token), _jwcrypto(token)
        if isinstance(ours, AuthError):
            others = [name for name, verdict in (("joserfc", joserfc), ("jwcrypto", jwcrypto)) if verdict == "accepted"]
            return f"refused by us, accepted by {' and '.join(others)}" if others else "refused by all"
        if jwcrypto != "accepted" or joserfc == "refused":
            raise Fault("ACCEPTED by us, refused by joserfc or jwcrypto", headers, (joserfc, jwcrypto, ours))
        return "accepted by all" if joserfc == "accepted" else f"accepted by us and jwcrypto, {joserfc} by joserfc"

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc: the name EdDSA is on its way out (RFC 9864)
            yield case
    finally:
        stop()
        logger.setLevel(level)


def _joserfc(token: str) -> str:
    """By joserfc: the signature and the registered claims. `accepted`, `refused`, or for what alone it was refused."""
    verdict = "refused"
    for realm, alg, key in _candidates(token):
        registry = jwt.JWTClaimsRegistry(
            now=int(NOW),
            leeway=int(realm.leeway),
            iss={"essential": True, "values": [realm.issuer, *realm.aliases]},
            aud={"essential": True, "values": list(realm.audiences)},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            decoded = jwt.decode(token, key.private, algorithms=[alg], registry=_Headers(algorithms=[alg]))
            registry.validate(decoded.claims)
        except InvalidClaimError as error:
            if error.claim == "jti":  # not a text: we take such a token to have none
                verdict = "refused for its jti"
        except InvalidHeaderValueError:  # of a parameter that we never look at, such as x5c
            verdict = "refused for a parameter nobody needs"
        except Exception:  # noqa: BLE001, S112 - whatever it raises is a refusal
            continue
        else:
            return "accepted"
    return verdict


class _Headers(JWSRegistry):
    """Ignores unknown parameters of the header (RFC 7515 section 4) and takes long ones, as we do."""

    max_header_length = 1 << 20

    def __init__(self, algorithms: list[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)


def _jwcrypto(token: str) -> str:
    """By jwcrypto: the signature; it has no clock to set, so its claims are checked here."""
    for realm, alg, key in _candidates(token):
        jws = jwcrypto.jws.JWS()
        jws.allowed_algs = [alg]
        try:
            jws.deserialize(token, _jwk(key), alg)
            if jws.is_valid and _claims_hold(json.loads(jws.payload), realm):
                return "accepted"
        except Exception:  # noqa: BLE001, S112 - whatever it raises is a refusal
            continue
    return "refused"


def _jwk(key: SigningKey) -> Any:
    return jwcrypto.jwk.JWK(**key.private.as_dict(private=False))


def _claims_hold(claims: Mapping[str, Any], realm: Realm) -> bool:
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return (
        claims["iss"] in (realm.issuer, *realm.aliases)
        and isinstance(claims["sub"], str)
        and any(audience in realm.audiences for audience in audiences)
        and claims["exp"] + realm.leeway > NOW
        and all(claims.get(name, 0) - realm.leeway <= NOW for name in ("nbf", "iat"))
    )


def _candidates(token: str) -> Iterator[tuple[Realm, str, SigningKey]]:
    """What the header says, read as leniently as can be: which keys of which issuer with which algorithm."""
    try:
        header = json.loads(jwcrypto.common.base64url_decode(token.split(".")[0]))
    except (ValueError, RecursionError):
        return
    if not isinstance(header, dict) or str(header.get("typ", "JWT")).upper() not in _ALLOWED_TYPES:
        return
    alg, kid = header.get("alg"), header.get("kid")
    for realm in realms():
        for published in realm.keys:
            if alg in published.algorithms and alg in realm.algorithms and kid in (None, published.kid):
                yield realm, alg, published.key
