"""JSON as RFC 8259 and RFC 7515 section 4 want it: UTF-8, no name twice, no NaN, bounded depth."""

import json
import re
from typing import Any

MAX_DEPTH = 32

# Possessive, and its end may be missing: the text is gone through once, whatever it holds.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def loads(raw: bytes) -> Any:
    """Parse `raw`, refusing what a lenient parser would repair or guess.

    Raises:
        ValueError: Not UTF-8 (UTF-16, UTF-32 and a byte order mark included), not JSON, a duplicate name at any depth,
            NaN or Infinity, a lone surrogate, or more than some 32 levels. The message holds nothing of `raw`.
    """
    try:
        text = raw.decode("utf-8")
        # Few documents have this many brackets; only those are walked once more for their depth.
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(raw):
            raise ValueError("nested too deeply")
        value = _decoder.decode(text)
        # Only an escape can make a lone surrogate here: UTF-8 itself has refused the raw ones.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: line {error.lineno} column {error.colno}") from None
    except UnicodeError:
        raise ValueError("not UTF-8, or a lone surrogate") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return names


def _no_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _is_too_deep(raw: bytes) -> bool:
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes away the innermost level, so the work is bounded
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
