"""x-user-* headers with every character there is: out comes a safe text or a refusal, and the record is one line."""

import contextlib
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from support.refusals import PUBLIC_TEXTS

from fuzz.fault import Fault
from fuzz.reading import is_person_text
from micromegas_auth import AuthContext, AuthType, Caller, PermissionDenied
from micromegas_auth.attribution import UserAttribution, resolve_attribution
from micromegas_auth.audit import AuditLog

FIELDS = {
    "x-user-id": "user_id",
    "x-user-email": "user_email",
    "x-user-name": "user_name",
    "x-org-id": "org_id",
    "x-client-type": "client_type",
}
_SERVICE = AuthContext(subject="grafana", auth_type=AuthType.API_KEY, allow_delegation=True)
_USER = AuthContext(
    subject="stra\u00dfe", auth_type=AuthType.OIDC, email="\u017ftra\u00dfe@example.com", email_verified=True
)
_CHARACTERS = 0x110000
_PIECES = (
    "a",
    "é",
    "%",
    "%25",
    "%0",
    "%0a",
    "%zz",
    "+",
    '"',
    "\\",
    "=",
    " ",
    "\u200e",
    "\u202e",
    "\u2028",
    "\x1b[2J",
    "\ud800",
    "=\n",
)


@contextlib.contextmanager
def attribution(rng: Random) -> Iterator[Callable[[], str]]:
    """One case is one text in each way a header can hold it: some of every category, every character, then mixtures."""
    texts = itertools.chain(_of_each_category(rng), map(_around, range(_CHARACTERS)), _mixtures(rng))
    lines: list[str] = []
    logs = {form: AuditLog(lines.append, format=form) for form in ("text", "json")}

    def case() -> str:
        text = next(texts)
        name = rng.choice(tuple(FIELDS))
        raw = text.encode("utf-8", "surrogatepass")
        outcomes = set()
        for value in (text, raw, [raw], quote(raw), quote(raw).encode(), [text]):
            outcomes.add(check_header(name, value, logs, lines))
        return " or ".join(sorted(outcomes))

    try:
        yield case
    finally:
        for log in logs.values():
            log.close()


def _around(code: int) -> str:
    return f"a{chr(code)}b"


def _of_each_category(rng: Random) -> Iterator[str]:
    categories: dict[str, list[int]] = {}
    for code in range(_CHARACTERS):
        categories.setdefault(unicodedata.category(chr(code)) + unicodedata.bidirectional(chr(code)), []).append(code)
    for codes in categories.values():
        yield from map(_around, rng.sample(codes, min(3, len(codes))))


def _mixtures(rng: Random) -> Iterator[str]:
    while True:
        some = [
            chr(rng.randrange(_CHARACTERS)) if rng.random() < 0.3 else rng.choice(_PIECES)
            for _ in range(rng.randrange(9))
        ]
        yield "".join(some) * rng.choice((1, 1, 1, 30, 300))


def _decoded(value: str | bytes) -> str | None:
    """The text in a header, percent-decoded by hand; None where it is no UTF-8."""
    try:
        text = value if isinstance(value, str) else value.decode("utf-8")
        octets, at = b"", 0
        while at < len(text):
            pair = text[at + 1 : at + 3]
            if text[at] == "%" and len(pair) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in pair):
                octets += bytes([int(pair, 16)])
                at += 3
            else:
                octets += text[at].encode("utf-8", "surrogatepass")
                at += 1
        return octets.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return None


def check_header(name: str, value: Any, logs: dict[Any, AuditLog], lines: list[str]) -> str:
    """What the library makes of one header: `kept`, `refused` or `empty`. Raises Fault where that is wrong.

    Args:
        name: One of FIELDS.
        value: The value, as it comes from a server.
        logs: Audit logs by their format; all write to `lines`.
    """
    _same_user(name, value)
    decoded = _decoded(value[0] if isinstance(value, list) else value)
    resolved = _resolve({name: value}, _SERVICE)
    if resolved is None:
        if decoded is None or (decoded and not is_person_text(decoded, 256)) or len(value) > 3072:
            return "refused"
        raise Fault("REFUSED WRONGLY", {name: value}, decoded)
    kept = getattr(resolved, FIELDS[name])
    if decoded == "":
        if kept not in (None, _SERVICE.subject):
            raise Fault("kept an empty text", {name: value}, kept)
        return "empty"
    if kept != decoded or not is_person_text(kept, 256):
        raise Fault("kept another text, or one that is not safe", {name: value}, kept)
    for form, log in logs.items():
        lines.clear()
        log.start(Caller(_SERVICE, resolved), f"SELECT '{kept}\n'").finish("error", error=kept)
        log.flush()
        (line,) = lines
        if not line.isprintable() or len(line.splitlines()) != 1:
            raise Fault("an audit record of several lines", {name: value}, line)
        if form == "json" and kept not in json.loads(line).values():
            raise Fault("an audit record that says something else", {name: value}, line)
    return "kept"


def _same_user(name: str, value: Any) -> None:
    """Whatever the headers say, a user is who the token says."""
    resolved = _resolve({name: value}, _USER)
    if resolved is not None and (resolved.user_id, resolved.user_email) != (_USER.subject, _USER.email):
        raise Fault("IMPERSONATED", {name: value}, resolved)


def _resolve(headers: dict[str, Any], auth: AuthContext) -> UserAttribution | None:
    try:
        return resolve_attribution(headers, auth)
    except PermissionDenied as error:
        if error.args != (PUBLIC_TEXTS[PermissionDenied],):
            raise Fault("a refusal without its fixed text", headers, error.args) from error
        return None
    except BaseException as error:
        raise Fault(f"ESCAPED: {type(error).__name__}", headers, error) from error
