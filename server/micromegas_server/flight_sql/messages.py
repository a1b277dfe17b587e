"""The few messages of Flight SQL that this server speaks, in a descriptor pool of their own.

Two generated copies of FlightSql.proto cannot live in one process, and clients bring theirs; so the messages are
built here from a table of names and field numbers, which a test holds against the micromegas client's copy.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_PACKAGE = "arrow.flight.protocol.sql"
_TYPE_URL = "type.googleapis.com/"
_STRING, _BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_BYTES

# message -> (field, number, type); the fields that this server neither reads nor writes are left out
FIELDS: dict[str, tuple[tuple[str, int, Any], ...]] = {
    "TicketStatementQuery": (("statement_handle", 1, _BYTES),),
    "CommandStatementQuery": (("query", 1, _STRING),),
    "CommandPreparedStatementQuery": (("prepared_statement_handle", 1, _BYTES),),
    "ActionCreatePreparedStatementRequest": (("query", 1, _STRING),),
    "ActionCreatePreparedStatementResult": (("prepared_statement_handle", 1, _BYTES), ("dataset_schema", 2, _BYTES)),
    "ActionClosePreparedStatementRequest": (("prepared_statement_handle", 1, _BYTES),),
}


def _classes() -> tuple[type[Message], dict[str, type[Message]]]:
    pool = descriptor_pool.DescriptorPool()
    any_file = descriptor_pb2.FileDescriptorProto(name="any.proto", package="google.protobuf", syntax="proto3")
    _add_message(any_file, "Any", (("type_url", 1, _STRING), ("value", 2, _BYTES)))
    file = descriptor_pb2.FileDescriptorProto(name="flight_sql.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in FIELDS.items():
        _add_message(file, name, fields)
    pool.Add(any_file)
    pool.Add(file)

    def class_of(full_name: str) -> type[Message]:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))

    return class_of("google.protobuf.Any"), {name: class_of(f"{_PACKAGE}.{name}") for name in FIELDS}


def _add_message(file: Any, name: str, fields: tuple[tuple[str, int, Any], ...]) -> None:
    message = file.message_type.add(name=name)
    for field, number, kind in fields:
        label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
        message.field.add(name=field, number=number, type=kind, label=label)


_Any, _MESSAGES = _classes()


def pack(name: str, **fields: str | bytes) -> bytes:
    """A Flight SQL message inside a google.protobuf.Any, as Flight carries it.

    Args:
        name: The message's name, one of FIELDS.
        fields: Its fields.
    """
    message: Any = _Any(type_url=f"{_TYPE_URL}{_PACKAGE}.{name}", value=_MESSAGES[name](**fields).SerializeToString())
    return bytes(message.SerializeToString())


def unpack(raw: bytes) -> tuple[str, Any]:
    """The name and content of a packed Flight SQL message; the content is None where FIELDS does not list the name.

    Raises:
        ValueError: It is none. The text holds nothing of `raw`.
    """
    try:
        message: Any = _Any.FromString(raw)
        prefix, _, full_name = message.type_url.rpartition("/")
        package, _, name = full_name.rpartition(".")
        if package != _PACKAGE or not prefix:
            raise ValueError("not a Flight SQL message")
        return name, _MESSAGES[name].FromString(message.value) if name in _MESSAGES else None
    except DecodeError:
        raise ValueError("not a Flight SQL message") from None


def statement_ticket(sql: str) -> bytes:
    """The ticket of a query, as the micromegas client makes it without asking GetFlightInfo first."""
    return pack("TicketStatementQuery", statement_handle=sql.encode())
