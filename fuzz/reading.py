"""Base64url, JSON and text as the RFCs define them: slow, plain, and without a line of the library.

Everything here raises Refused where a text must be refused.
"""

import re
from typing import Any

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SIX_BITS = {letter: f"{index:06b}" for index, letter in enumerate(_ALPHABET)}
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LEVELS = 32
_DIGITS = 4300  # what Python's own int() takes


class Refused(Exception):
    """The text must be refused; the message says why."""


def base64url(text: str) -> bytes:
    """Decode base64url without padding, of which each value has one spelling (RFC 7515 section 2, RFC 4648 3.5)."""
    if len(text) % 4 == 1:
        raise Refused("a length no octets have")
    try:
        bits = "".join([_SIX_BITS[letter] for letter in text])
    except KeyError:
        raise Refused("a letter not of base64url") from None
    octets, spare = bits[: len(bits) // 8 * 8], bits[len(bits) // 8 * 8 :]
    if "1" in spare:
        raise Refused("spare bits")
    return int(octets or "0", 2).to_bytes(len(octets) // 8, "big")


def json_value(raw: bytes) -> Any:
    """Parse JSON (RFC 8259): UTF-8, no name twice in an object, no lone surrogate, at most 32 levels."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    value, end = _value(text, _skip(text, 0), _LEVELS)
    if _skip(text, end) != len(text):
        raise Refused("something behind the value")
    return value


def is_person_text(value: object, longest: int) -> bool:
    """Whether a text may name somebody: 1 to `longest` characters, no control, no line separator, no bidi override."""
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        return False
    for character in value:
        code = ord(character)
        if code < 0x20 or 0x7F <= code <= 0x9F or code in (0x2028, 0x2029) or 0xD800 <= code <= 0xDFFF:
            return False
        if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            return False
    return True


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _value(text: str, at: int, levels: int) -> tuple[Any, int]:
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first in ("{", "["):
        if levels == 0:
            raise Refused("too deep")
        return (_object if first == "{" else _array)(text, _skip(text, at + 1), levels - 1)
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
    match = _NUMBER.match(text, at)
    if match is None:
        raise Refused("no value")
    if not match[2]:
        if len(match[1].lstrip("-")) > _DIGITS:
            raise Refused("too many digits")
        return int(match[1]), match.end()
    number = float(match[0])
    if number in (float("inf"), float("-inf")):
        raise Refused("no finite number")
    return number, match.end()


def _string(text: str, at: int) -> tuple[str, int]:
    match = _STRING.match(text, at)
    if match is None:
        raise Refused("no text")
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _SHORT.get(found[2], found[2]), match[1])
    try:  # two escapes may be one character (RFC 8259 section 7); a half of one is none
        return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), match.end()
    except UnicodeDecodeError:
        raise Refused("a lone surrogate") from None


def _array(text: str, at: int, levels: int) -> tuple[list[Any], int]:
    members: list[Any] = []
    if text.startswith("]", at):
        return members, at + 1
    while True:
        value, at = _value(text, at, levels)
        members.append(value)
        at, more = _next(text, _skip(text, at), "]")
        if not more:
            return members, at


def _object(text: str, at: int, levels: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    if text.startswith("}", at):
        return members, at + 1
    while True:
        name, at = _string(text, at)
        at = _skip(text, at)
        if not text.startswith(":", at):
            raise Refused("no colon")
        value, at = _value(text, _skip(text, at + 1), levels)
        if name in members:
            raise Refused("a name twice")
        members[name] = value
        at, more = _next(text, _skip(text, at), "}")
        if not more:
            return members, at


def _next(text: str, at: int, end: str) -> tuple[int, bool]:
    if text.startswith(end, at):
        return at + 1, False
    if text.startswith(",", at):
        return _skip(text, at + 1), True
    raise Refused("neither comma nor end")
