"""Messages of OTLP taken apart piece by piece.

A whole request is never decoded at once: of two bytes of an empty submessage the decoder makes an object of a hundred,
so that a request within all limits could take gigabytes. What repeats (resources, scopes, records) is taken apart here,
by a walk over the encoding; only one record at a time, and what stands around it, goes to the decoder.
"""

from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from micromegas_server.ingestion.errors import malformed, too_large

MAX_RECORDS = 500_000  # in one request, and all fields around them count too
MAX_RECORD_BYTES = 4 * 1024 * 1024  # of one record, data point, resource, scope

M = TypeVar("M", bound=Message)

MALFORMED = "no OTLP message of this route"


class Oversized(Exception):
    """A record is above MAX_RECORD_BYTES."""


class Node(Protocol):
    """A message that is not decoded yet."""

    def open(self, kind: type[M], *fields: str) -> tuple[M, list[tuple[str, "Node"]]]:
        """The message without what it holds in `fields`, and that: field and message, in their order.

        Raises:
            Refused: It is malformed, or too large.
        """

    def decode(self, kind: type[M]) -> M:
        """The whole message.

        Raises:
            Refused: It is malformed.
            Oversized: It is too large, and its neighbours may be sound.
        """


class Counter:
    """How many messages a request may still have."""

    def __init__(self, left: int = MAX_RECORDS) -> None:
        self.left = left

    def take(self) -> None:
        """Count one more. Raises Refused."""
        self.left -= 1
        if self.left < 0:
            raise too_large("too many records and fields")


class ProtobufNode:
    """A message in protobuf's binary form.

    Args:
        data: Where it lies.
        start: Where it begins.
        end: Where it ends.
        counter: Counts the messages found.
    """

    __slots__ = ("_counter", "_data", "_end", "_start")

    def __init__(self, data: bytes | bytearray, start: int, end: int, counter: Counter) -> None:
        self._data = data
        self._start = start
        self._end = end
        self._counter = counter

    def open(self, kind: type[M], *fields: str) -> tuple[M, list[tuple[str, Node]]]:
        """As Node says."""
        data, position, end = self._data, self._start, self._end
        # A message's field has wire type 2, "length-delimited".
        tags = {kind.DESCRIPTOR.fields_by_name[field].number << 3 | 2: field for field in fields}
        own = bytearray()
        found: list[tuple[str, Node]] = []
        while position < end:
            begin = position
            tag, position = _varint(data, position, end)
            if tag & 7 == 2:
                length, position = _varint(data, position, end)
                stop = position + length
            else:
                stop = _skip(data, position, end, tag & 7)
            if stop > end:
                raise malformed(MALFORMED)
            if (field := tags.get(tag)) is not None:
                self._counter.take()
                found.append((field, ProtobufNode(data, position, stop, self._counter)))
            elif len(own) + stop - begin > MAX_RECORD_BYTES:
                raise too_large(f"a resource or scope above {MAX_RECORD_BYTES} bytes")
            else:
                self._counter.take()  # what is unknown too: the walk takes time for each
                own += data[begin:stop]
            position = stop
        return _decode(kind, bytes(own)), found

    def decode(self, kind: type[M]) -> M:
        """As Node says."""
        if self._end - self._start > MAX_RECORD_BYTES:
            raise Oversized
        return _decode(kind, bytes(self._data[self._start : self._end]))


def _decode(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise malformed(MALFORMED) from None


def _varint(data: bytes | bytearray, position: int, end: int) -> tuple[int, int]:
    """A number in base 128, least significant group first, and what comes after it."""
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        if byte < 0x80:
            return value | byte << shift, position
        value |= (byte & 0x7F) << shift
        shift += 7
    raise malformed(MALFORMED)


def _skip(data: bytes | bytearray, position: int, end: int, wire_type: int) -> int:
    """Where a field that is no message ends."""
    if wire_type == 0:
        return _varint(data, position, end)[1]
    if wire_type in (1, 5):
        return position + (8 if wire_type == 1 else 4)
    raise malformed(MALFORMED)  # groups, which proto3 does not have, and what is no wire type
