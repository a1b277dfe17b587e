"""JSON as RFC 8259 and RFC 7515 section 4 want it: UTF-8, no name twice, no NaN, bounded depth."""

import json
from typing import Any

import msgspec

MAX_DEPTH = 32

_WHITE_SPACE = b" \t\r\n"
_decode = msgspec.json.Decoder().decode


def loads(raw: bytes) -> Any:
    """Parse `raw`, refusing what a lenient parser would repair or guess.

    Raises:
        ValueError: Not UTF-8 (UTF-16, UTF-32 and a byte order mark included), not JSON, a duplicate name at any depth,
            NaN or Infinity, a lone surrogate, or more than 32 levels. The message holds nothing of `raw`.
    """
    try:
        value = _decode(raw)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except msgspec.DecodeError:
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # The decoder keeps the last of two equal names. But in the text, without its white space, each name ends in `":`;
    # if there are no more of these than names came out, none was lost. (A `":` in a text only makes us look closer.)
    names = raw.translate(None, _WHITE_SPACE).count(b'":')
    # Where the outermost object has them all, any object within is empty, and only lists can make it deep.
    flat = isinstance(value, dict) and len(value) == names and (b"[" not in raw or raw.count(b"[") < MAX_DEPTH - 1)
    if not flat and _count_names(value, MAX_DEPTH) != names:
        _unique_names.decode(raw.decode("utf-8"))
    return value


def _count_names(value: Any, levels: int) -> int:
    """How many names there are at all levels. Raises ValueError beyond `levels`."""
    if isinstance(value, dict):
        members: Any = value.values()
        names = len(value)
    elif isinstance(value, list):
        members, names = value, 0
    else:
        return 0
    if levels == 0:
        raise ValueError("nested too deeply")
    for member in members:
        if isinstance(member, (dict, list)):
            names += _count_names(member, levels - 1)
    return names


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice in one object")


_unique_names = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)
