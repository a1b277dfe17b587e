"""JSON as RFC 8259 and RFC 7515 section 4 want it: UTF-8, no name twice, no NaN, bounded depth."""

import json
from typing import Any

import msgspec

MAX_DEPTH = 32

_decode = msgspec.json.Decoder().decode
_WHITE_SPACE_AFTER_A_NAME = (b'" ', b'"\n', b'"\r', b'"\t')


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
    names = _count_names(value, MAX_DEPTH)
    # The decoder keeps the last of two equal names. But each name in the text ends in `":`, unless white space stands
    # between the two: if no quote is followed by such, and the text has as many `":` as names came out, none was lost.
    if raw.count(b'":') != names or any(pair in raw for pair in _WHITE_SPACE_AFTER_A_NAME):
        _unique_names.decode(raw.decode("utf-8"))
    return value


def _count_names(value: Any, levels: int) -> int:
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
