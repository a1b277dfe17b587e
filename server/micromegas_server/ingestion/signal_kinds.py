"""What a signal of OTLP is, to the code that is the same for all three."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

from micromegas_server.ingestion.attributes import Json, scope_properties
from micromegas_server.ingestion.nodes import Node
from micromegas_server.ingestion.rows import Rejected, Rows, Size

NO_TIME = "without a time, or with one after 2261"
OVERSIZED = "too large"


class Scope:
    """What all records of an instrumentation scope share.

    Attributes:
        target: Its name.
        properties: What else is known of it.
    """

    __slots__ = ("properties", "target")

    def __init__(self, scope: InstrumentationScope, schema_url: str, size: Size) -> None:
        self.target = scope.name
        self.properties: dict[str, Json] = scope_properties(scope, schema_url, size)


@dataclass(frozen=True)
class Signal:
    """A signal of OTLP.

    Attributes:
        name: As in the route.
        table: Where its rows go.
        columns: What differs from row to row.
        request: The message of a request; `response` that of the answer, `partial` its part about what was not kept,
            and `rejected` the field of that for the number.
        resource, resources: The message of a resource, and the field of the request that holds them.
        scope, scopes: The message of a scope, and the field of the resource's that holds them.
        records: The field of the scope's that holds what `add` makes rows of.
        add: Adds the rows of one record.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    request: type[Message]
    response: type[Any]
    partial: type[Any]
    rejected: str
    resource: type[Any]
    resources: str
    scope: type[Any]
    scopes: str
    records: str
    add: Callable[[Node, Scope, Rows, Rejected], None]
