"""A reader of CBOR (RFC 8949) for the few messages of Micromegas.

It walks over what a message holds and copies only what is asked for, so that nothing grows: cbor2 makes of a hundred
megabytes of empty arrays, or of a block's bytes in the old form (an array of a number each), several gigabytes, and
lets nobody else run meanwhile.
"""

import re
from collections.abc import Iterator

MAX_ITEMS = 100_000  # in one message; a block's bytes count as one
MAX_DEPTH = 32
MAX_TEXT_BYTES = 1024 * 1024

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_NULL = 22
_INDEFINITE = 31
_RUN = 4096
# So many numbers below 256, each in its shortest form (section 3.1): up to 23 in one byte, others behind a byte 0x18.
_OCTETS = rb"(?:[\x00-\x17]|\x18[\x18-\xff]){%d}+"


class Malformed(ValueError):
    """It is no CBOR, or not what was to be read. The text names a field at most, never a value."""


class Reader:
    """Reads one item after another.

    Args:
        data: The encoding.

    Attributes:
        position: Where the next item begins.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._items = MAX_ITEMS
        self.position = 0

    def end(self) -> None:
        """Nothing may follow. Raises Malformed."""
        if self.position != len(self._data):
            raise Malformed("more than one item")

    def raw(self, begin: int) -> bytes:
        """The encoding from `begin` to here."""
        return bytes(self._data[begin : self.position])

    def fields(self) -> Iterator[str]:
        """The keys of a map, which are texts; before the next key its value must have been read. Raises Malformed."""
        seen = set()
        for _ in self._elements(self._head(_MAP, "a map")):
            key = self.text()
            if key in seen:
                raise Malformed("a key twice")  # section 5.6: which of the two holds is nobody's to guess
            seen.add(key)
            yield key

    def elements(self) -> Iterator[None]:
        """An array: a step for each element, which must have been read before the next. Raises Malformed."""
        yield from self._elements(self._head(_ARRAY, "an array"))

    def text(self) -> str:
        """A text of definite length. Raises Malformed."""
        length = self._head(_TEXT, "a text")
        if length is None or length > MAX_TEXT_BYTES:
            raise Malformed("a text that is too long, or in pieces")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def text_or_null(self) -> str | None:
        """A text, or null. Raises Malformed."""
        if self._data[self.position : self.position + 1] == bytes([_SIMPLE << 5 | _NULL]):
            self.position += 1
            return None
        return self.text()

    def integer(self, bits: int = 64) -> int:
        """A number of so many bits, one of them its sign. Raises Malformed."""
        major, argument = self._read_head()
        if major not in (_UNSIGNED, _NEGATIVE) or argument is None or argument >> (bits - 1):
            raise Malformed("not a number, or one that is too large")
        return argument if major == _UNSIGNED else -1 - argument

    def skip_octets(self) -> int:
        """Step over a byte string, or an array of numbers below 256 as old clients send it; how many bytes it holds.

        Raises:
            Malformed: It is neither.
        """
        major, length = self._read_head()
        if length is not None and major == _BYTES:
            self._step(length)
            return length
        if length is None or major != _ARRAY:
            raise Malformed("not bytes")
        left = length
        while left:
            count = min(left, _RUN)
            match = re.compile(_OCTETS % count).match(self._data, self.position)
            if match is None:
                raise Malformed("not bytes")
            self.position = match.end()
            left -= count
        return length

    def skip(self, depth: int = 0) -> None:
        """Step over an item, whatever it is, as far as these messages have such. Raises Malformed."""
        if depth > MAX_DEPTH:
            raise Malformed("nested too deeply")
        major, argument = self._read_head()
        if major in (_BYTES, _TEXT):
            if argument is None:
                raise Malformed("a text in pieces")
            self._step(argument)
        elif major in (_ARRAY, _MAP):
            for _ in self._elements(argument):
                for _ in range(1 if major == _ARRAY else 2):
                    self.skip(depth + 1)
        elif major == _TAG:
            raise Malformed("a tag")

    def _elements(self, count: int | None) -> Iterator[None]:
        if count is not None:
            for _ in range(count):
                yield
            return
        while True:  # of indefinite length (section 3.2.2), to a "break"
            if self._data[self.position : self.position + 1] == b"\xff":
                self.position += 1
                return
            yield

    def _head(self, major: int, what: str) -> int | None:
        found, argument = self._read_head()
        if found != major:
            raise Malformed(f"not {what}")
        return argument

    def _read_head(self) -> tuple[int, int | None]:
        """The major type of the next item and its argument (section 3); None for an indefinite length."""
        self._items -= 1
        if self._items < 0:
            raise Malformed("too many items")
        first = self._take(1)[0]
        major, information = first >> 5, first & 0x1F
        if information < 24:
            return major, information
        if information < 28:
            return major, int.from_bytes(self._take(1 << (information - 24)), "big")
        if information == _INDEFINITE and major in (_BYTES, _TEXT, _ARRAY, _MAP):
            return major, None
        raise Malformed("not well-formed")

    def _take(self, length: int) -> bytes:
        begin = self.position
        self._step(length)
        return bytes(self._data[begin : self.position])

    def _step(self, length: int) -> None:
        if length > len(self._data) - self.position:
            raise Malformed("cut off")
        self.position += length
