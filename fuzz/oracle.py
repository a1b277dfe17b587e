"""Who a request must be taken for, judged by the rules of docs/security.md and without a line of the library."""

import re
from collections.abc import Mapping
from typing import Any

from support.tokens import NOW

from fuzz.reading import Refused, base64url, is_person_text, json_value
from fuzz.world import ADMIN_EMAIL, ADMIN_SUBJECT, API_KEY, MAX_TOKEN_BYTES, Realm, realms, signature_holds
from fuzz.world import PublishedKey as Key

Identity = dict[str, Any]

_EMAIL_CLAIMS = (  # and whether an issuer can vouch for it
    ("verified_primary_email", True),
    ("email", True),
    ("https://micromegas.io/email", True),
    ("preferred_username", False),
    ("upn", False),
    ("unique_name", False),
)
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/=-]+)", re.ASCII)
_TYPES = {"jwt": "jwt", "at+jwt": "at+jwt", "application/at+jwt": "at+jwt"}
_YEAR_9999 = 253402300799


def expected(headers: Mapping[str, Any]) -> Identity:
    """The identity of a request with these headers. Raises Refused where there is none."""
    value = headers.get("authorization")
    if isinstance(value, list):
        if len(value) != 1:
            raise Refused("not one authorization value")
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str) or len(value) > MAX_TOKEN_BYTES + len("Bearer "):
        raise Refused("absent or too long")
    bearer = _BEARER.fullmatch(value)
    if bearer is None:
        raise Refused("not 'Bearer' and one token")
    if bearer[1] == API_KEY:
        return {"subject": "grafana", "auth_type": "api_key", "allow_delegation": True, "is_admin": False}
    return _token(bearer[1])


def _token(token: str) -> Identity:
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("not three parts")
    header, claims = _object(base64url(parts[0])), _object(base64url(parts[1]))
    signature = base64url(parts[2])
    for name in ("crit", "b64", "zip", "cty"):
        if name in header:
            raise Refused(name)
    kid = header.get("kid")
    if "kid" in header and (not isinstance(kid, str) or not 1 <= len(kid) <= 1024):
        raise Refused("kid")
    realm = _realm(claims)
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in realm.algorithms:
        raise Refused("alg")
    typ = header.get("typ", "absent")
    kind = "absent" if typ == "absent" and "typ" not in header else _TYPES.get(typ.lower() if _is_text(typ) else "")
    if kind is None or (realm.require_typ is not None and kind != realm.require_typ):
        raise Refused("typ")
    fitting = [key for key in realm.keys if alg in key.algorithms and ("kid" not in header or key.kid == kid)]
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    for key in fitting[:8]:
        if signature_holds(key, alg, signed, signature):
            return _identity(claims, realm, key)
    raise Refused("signature")


def _identity(claims: dict[str, Any], realm: Realm, key: Key) -> Identity:
    subject = claims.get("sub")
    if not is_person_text(subject, 255):
        raise Refused("sub")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(_is_text(member) for member in audiences):
        raise Refused("aud")
    accepted = [member for member in audiences if member in realm.audiences]
    if not accepted:
        raise Refused("aud")
    expires_at = _time(claims, "exp")
    if not expires_at + realm.leeway > NOW:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) - realm.leeway > NOW:
            raise Refused(f"{name} ahead")
    emails = _emails(claims, realm)
    vouched = {email for email, verified in emails if verified}
    token_id, groups = claims.get("jti"), claims.get("groups")
    are_groups = isinstance(groups, list) and len(groups) <= 1000 and all(_is_text(group) for group in groups)
    return {
        "subject": subject,
        "auth_type": "oidc",
        "issuer": realm.issuer,
        "audience": accepted[0],
        "expires_at": expires_at,
        "issued_at": _time(claims, "iat") if "iat" in claims else None,
        "key_id": key.kid,
        "token_id": token_id if _is_text(token_id) else None,
        "email": emails[0][0] if emails else None,
        "email_verified": bool(emails) and emails[0][0] in vouched,
        "is_admin": (realm is realms()[0] and subject == ADMIN_SUBJECT) or ADMIN_EMAIL in vouched,
        "allow_delegation": subject in realm.delegates or _is_service_account(claims),
        "groups": tuple(groups) if isinstance(groups, list) and are_groups else (),
    }


def _realm(claims: dict[str, Any]) -> Realm:
    issuer = claims.get("iss")
    for realm in realms():
        if _is_text(issuer) and (issuer == realm.issuer or issuer in realm.aliases):
            return realm
    raise Refused("iss")


def _emails(claims: dict[str, Any], realm: Realm) -> list[tuple[str, bool]]:
    """Each e-mail in a token and whether the issuer vouches for it, the best claim first."""
    emails = []
    stated = claims.get("email_verified")
    for name, trustworthy in _EMAIL_CLAIMS:
        value = claims.get(name)
        if name == "verified_primary_email" and isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and is_person_text(value, 320):
            trusted = realm.trust_email and ("email_verified" not in claims or stated is True)
            emails.append((value, trustworthy and (trusted or (name == "email" and stated is True))))
    return emails


def _is_service_account(claims: dict[str, Any]) -> bool:
    if any(name in claims for name in ("email_verified", "nonce", "auth_time")):
        return False
    subject, azp = claims["sub"], claims.get("azp")
    if subject in [claims.get(name) for name in ("azp", "cid", "client_id") if _is_text(claims.get(name))]:
        return True
    if claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app":
        return True
    return _is_text(azp) and bool(subject == f"{azp}@clients")


def _time(claims: dict[str, Any], name: str) -> float:
    value: Any = claims.get(name)
    if type(value) not in (int, float) or not 0 <= value <= _YEAR_9999:
        raise Refused(name)
    return float(value)


def _object(raw: bytes) -> dict[str, Any]:
    value = json_value(raw)
    if not isinstance(value, dict):
        raise Refused("not an object")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)
