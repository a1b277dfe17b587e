"""Attributes of OTLP as JSON texts, which every client can show.

Texts, numbers and booleans are JSON's own, bytes are base64, lists and maps nest. How deep is bounded by the decoders,
which refuse messages nested more than a hundred deep.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue

from micromegas_server.ingestion.rows import Size

Json: TypeAlias = "str | int | float | bool | bytes | list[Json] | dict[str, Json] | None"

_encode = msgspec.json.Encoder(order="sorted").encode


def json_text(value: Any) -> str:
    """`value` as JSON, names in order; what is no number (NaN) as null, bytes as base64."""
    return _encode(value).decode()


def plain(value: AnyValue, size: Size) -> Json:
    """A value of OTLP as values of Python. Raises Refused where `size` has no room for what it holds."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        values = value.array_value.values
        size.count(len(values))
        return [plain(item, size) for item in values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values, size)
    if kind == "string_value_strindex":  # for profiles alone; elsewhere to be taken as absent
        return None
    result: Json = getattr(value, kind)
    return result


def attributes(pairs: Sequence[KeyValue], size: Size) -> dict[str, Json]:
    """Attributes by name; of a name that comes twice the last value. Raises like `plain`."""
    size.count(len(pairs))
    return {pair.key: plain(pair.value, size) for pair in pairs}


def text(value: Json) -> str:
    """A value as a text: a text as it is, nothing as the empty one, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def scope_properties(scope: InstrumentationScope, schema_url: str, size: Size) -> dict[str, Json]:
    """What is known of an instrumentation scope, as properties `otel.scope.*` of each of its rows."""
    known = attributes(scope.attributes, size)
    found: dict[str, Json] = {f"otel.scope.attr.{name}": value for name, value in known.items()}
    for name, value in (("name", scope.name), ("version", scope.version), ("schema_url", schema_url)):
        if value:
            found[f"otel.scope.{name}"] = value
    return found
