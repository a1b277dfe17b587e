"""Other spellings of a text, of bytes, and of base64: some mean the same, most must be refused."""

from collections.abc import Callable
from random import Random

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig", "utf-7", "cp037")
_BYTES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xc0\xa2",
    b"\xe9",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"}",
    b"{}",
)


def escaped(rng: Random, text: str) -> str:
    """The same JSON text, some of its letters as escapes."""
    return "".join(
        f"\\u{ord(letter):{rng.choice(('04x', '04X'))}}"
        if letter != "\\" and ord(letter) < 0x10000 and rng.random() < 0.3
        else letter
        for letter in text
    )


def inserted(rng: Random, text: str, piece: str) -> str:
    """The text with a piece put in somewhere."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + piece + text[at:]


def flipped(rng: Random, raw: bytes) -> bytes:
    """The bytes with one bit the other way."""
    if not raw:
        return b"\1"
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def _cut(rng: Random, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _doubled(rng: Random, text: str) -> str:
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:end] + text[start:end] + text[end:]


def _without(rng: Random, text: str) -> str:
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:start] + text[end:]


def _any_character(rng: Random, text: str) -> str:
    return inserted(rng, text, chr(rng.choice((rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000)))))


def _behind(rng: Random, text: str) -> str:
    return text + rng.choice((" ", "\n", "\0", "}", "{}", ",", "x", "\ufeff", "\u00a0"))


def _more_members(rng: Random, text: str) -> str:
    return text[:-1] + rng.choice((',"sub":"root"}', ',"alg":"none"}', ',"x":1}', ",}", ',"x"}', ',"\\u0069ss":1}'))


OF_TEXT: tuple[Callable[[Random, str], str], ...] = (
    *(_cut, _doubled, _without, _any_character, _any_character, _behind, _more_members),
    lambda _, text: text.replace('"', "'"),
    lambda _, text: f"[{text}]",
    lambda _, text: f" \r\n\t{text}",
)


def _encoded(rng: Random, raw: bytes) -> bytes:
    return raw.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")


def _with_bytes(rng: Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice(_BYTES) + raw[at:]


def _any_bytes(rng: Random, _: bytes) -> bytes:
    return rng.randbytes(rng.randrange(64))


OF_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (flipped, flipped, _with_bytes, _encoded, _any_bytes)


def _spare_bits(rng: Random, text: str) -> str:
    """The last letter another: where its spare bits alone differ, a lenient decoder sees no change."""
    return text[:-1] + _ALPHABET[(_ALPHABET.find(text[-1:]) + rng.choice((1, 2, 3))) % 64] if text else "="


def _other_letter(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_ALPHABET + "+/=.~ \n\t%\u00e9\u0661") + text[at + rng.randrange(2) :]


OF_BASE64: tuple[Callable[[Random, str], str], ...] = (
    *(_spare_bits, _spare_bits, _other_letter, _cut),
    lambda _, text: text + "=" * (-len(text) % 4 or 4),
    lambda rng, text: text + rng.choice(("=", "A", "AA", "AAA", "AAAA", " ", "\n", "==")),
    lambda _, text: text.replace("-", "+").replace("_", "/"),
    lambda _, text: text.swapcase(),
)
