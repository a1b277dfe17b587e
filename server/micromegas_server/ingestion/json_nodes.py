"""Messages of OTLP in its JSON form, which differs from protobuf's own in a few places."""

import json
from base64 import b64encode
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from micromegas_server.ingestion.errors import malformed, too_large
from micromegas_server.ingestion.nodes import MALFORMED, Counter, M, Node

MAX_JSON_VALUES = 1_000_000  # in one request: to make a message of them takes microseconds for each

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


class JsonNode:
    """A message in OTLP's JSON form: names in either case, ids in hexadecimal, what is unknown ignored.

    Args:
        value: What the JSON holds there.
        counter: Counts the messages found.
    """

    __slots__ = ("_counter", "_value")

    def __init__(self, value: Any, counter: Counter) -> None:
        if not isinstance(value, dict):
            raise malformed(MALFORMED)
        self._value: dict[str, Any] = value
        self._counter = counter

    def open(self, kind: type[M], *fields: str) -> tuple[M, list[tuple[str, Node]]]:
        """As Node says."""
        own = dict(self._value)
        found: list[tuple[str, Node]] = []
        for field in fields:
            # Either name will do, as ProtoJSON has it.
            for name in {kind.DESCRIPTOR.fields_by_name[field].json_name, field}:
                values = own.pop(name, None)
                if values is None:
                    continue
                for value in values if isinstance(values, list) else [values]:
                    self._counter.take()
                    found.append((field, JsonNode(value, self._counter)))
        return _from_json(kind, own), found

    def decode(self, kind: type[M]) -> M:
        """As Node says."""
        return _from_json(kind, _with_bytes(self._value))


def json_root(body: bytes | bytearray) -> JsonNode:
    """The message of a whole request.

    Raises:
        Refused: It is no JSON, or has too many values.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # not UTF-8 and a number of too many digits are ValueErrors too
        raise malformed("its body is no JSON, or nests too deeply") from None
    left, inside = MAX_JSON_VALUES, [value] if isinstance(value, (dict, list)) else []
    while inside:
        holder = inside.pop()
        left -= len(holder)
        if left < 0:
            raise too_large("too many values")
        items = holder.values() if isinstance(holder, dict) else holder
        inside += [item for item in items if isinstance(item, (dict, list))]
    return JsonNode(value, Counter())


def _no_constant(name: str) -> None:
    """RFC 8259 section 6: NaN and Infinity are no numbers. (ProtoJSON has them as texts.)"""
    raise ValueError(name)


def _from_json(kind: type[M], value: dict[str, Any]) -> M:
    try:
        return ParseDict(value, kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError, OverflowError, SystemError):
        # ParseDict lets the others out where a value is of a type it did not think of: OverflowError of 1e999 for an
        # integer, SystemError of a lone surrogate for a message.
        raise malformed(MALFORMED) from None


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with its ids as bytes: OTLP has them in hexadecimal, where protobuf's JSON has base64."""
    changed = dict(value)
    changed.pop("exemplars", None)  # not kept, and their ids are in hexadecimal too
    for name in _IDS:
        if changed.get(name) is not None:
            changed[name] = _base64_of_hex(changed[name])
    if isinstance(links := changed.get("links"), list):
        changed["links"] = [_with_bytes(link) if isinstance(link, dict) else link for link in links]
    return changed


def _base64_of_hex(text: Any) -> str:
    try:
        return b64encode(bytes.fromhex(text)).decode()
    except (TypeError, ValueError):
        raise malformed("an id that is not hexadecimal") from None
