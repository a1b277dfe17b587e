"""Text from outside, made safe to keep and to print.

May this text be kept as an identity (`is_safe`), can it be a credential (`is_token68`), and how is a value written
into a log line (`quoted`, `fields`) so that no byte an attacker chose can end the line, forge a field or drive a
terminal?
"""

import re
from collections.abc import Iterable
from string import ascii_letters, digits

# Controls (Cc), line and paragraph separators, lone surrogates, and the bidirectional embeddings, overrides, isolates
# that let a text show other letters than it holds (Unicode UAX 9). The plain marks (LRM, RLM, ZWJ, ZWNJ) stand in
# real names and change no order beyond their own, so they may be kept; `quoted` still escapes them.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TOKEN68 = f"{ascii_letters}{digits}-._~+/".encode()
_BARE = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without space, quote, equals sign and backslash


def is_safe(value: str, max_length: int) -> bool:
    """Whether `value` has 1 to `max_length` characters and no control, bidirectional override or surrogate."""
    return 0 < len(value) <= max_length and (value.isprintable() or _UNSAFE.search(value) is None)


def is_token68(value: str) -> bool:
    """Whether `value` has the form of a bearer credential (RFC 9110 section 11.2, RFC 6750 section 2.1)."""
    if not value.isascii():
        return False
    body = value.encode("ascii").rstrip(b"=")
    return len(body) > 0 and not body.translate(None, _TOKEN68)


def quoted(value: str) -> str:
    """`value` between double quotes; quote, backslash and everything unprintable escaped as in a JSON string."""
    if not value.isprintable():
        value = "".join(_escaped(character) for character in value)
    else:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if (short := {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)) is not None:
        return short
    code = ord(character)
    if code > 0xFFFF:  # as JSON does: a pair of surrogates (RFC 8259 section 7)
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def fields(pairs: Iterable[tuple[str, object]], always_quoted: frozenset[str] = frozenset()) -> str:
    """`name=value` pairs joined by spaces, for one log line.

    None is left out, booleans are `true`/`false`, and a text is quoted unless it is plain printable ASCII without
    space, quote, equals sign and backslash. Names in `always_quoted` are quoted whatever they hold.
    """
    parts = []
    for name, value in pairs:
        if value is None:
            continue
        if value is True or value is False:
            parts.append(f"{name}={'true' if value else 'false'}")
            continue
        if type(value) is int or type(value) is float:
            parts.append(f"{name}={value}")
            continue
        text = str(value)
        bare = name not in always_quoted and _BARE.fullmatch(text)
        parts.append(f"{name}={text if bare else quoted(text)}")
    return " ".join(parts)
