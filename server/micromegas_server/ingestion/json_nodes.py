"""Messages of OTLP in its JSON form, which differs from protobuf's own in a few places."""

from base64 import b64encode
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from micromegas_server.ingestion.errors import malformed
from micromegas_server.ingestion.nodes import MALFORMED, Counter, M, Node

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


def _from_json(kind: type[M], value: dict[str, Any]) -> M:
    try:
        return ParseDict(value, kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError):
        # ParseDict lets the others out where a value is of a type it did not think of.
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
