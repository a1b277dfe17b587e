"""The reader of CBOR, held against cbor2, which shares no code with it."""

import re
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.ingestion.cbor import MAX_DEPTH, MAX_ITEMS, Malformed, Reader

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | TEXTS | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_skipping_ends_where_the_item_does(value: Any) -> None:
    data = cbor2.dumps(value)
    reader = Reader(data + b"rest")
    reader.skip()
    assert reader.raw(0) == data


@given(st.dictionaries(TEXTS, TEXTS))
def test_maps_of_texts(value: dict[str, str]) -> None:
    for data in (cbor2.dumps(value), cbor2.dumps(value, indefinite_containers=True)):
        reader = Reader(data)
        assert {name: reader.text() for name in reader.fields()} == value
        reader.end()


@given(st.binary())
def test_bytes_in_either_form(value: bytes) -> None:
    for data in (cbor2.dumps(value), cbor2.dumps(list(value))):
        reader = Reader(data)
        assert reader.skip_octets() == len(value)
        reader.end()


@pytest.mark.parametrize("length", [4095, 4096, 4097, 20_000])
def test_long_arrays_of_bytes(length: int) -> None:
    data = cbor2.dumps([number * 7 % 256 for number in range(length)])
    reader = Reader(data + b"\x01")
    assert reader.skip_octets() == length
    assert reader.position == len(data)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_range_of_numbers(bits: int) -> None:
    limit = 2 ** (bits - 1)
    for number in (0, 23, 24, 255, 256, limit - 1, -1, -limit):
        assert Reader(cbor2.dumps(number)).integer(bits) == number
    for number in (limit, -limit - 1):
        with pytest.raises(Malformed):
            Reader(cbor2.dumps(number)).integer(bits)


@given(st.binary(max_size=64))
def test_nothing_but_malformed_comes_out(data: bytes) -> None:
    for read in (Reader.skip, Reader.skip_octets, Reader.text, Reader.integer, lambda it: list(it.fields())):
        with_error(read, data)


def with_error(read: Callable[[Reader], Any], data: bytes) -> str:
    """What `read` says of the data, empty where it can read them."""
    try:
        read(Reader(data))
    except Malformed as error:
        return str(error)
    return ""


HUGE = b"\xff" * 8
HOSTILE: dict[str, tuple[Callable[[Reader], Any], bytes, str]] = {
    "nothing": (Reader.skip, b"", "cut off"),
    "bytes that are not there": (Reader.skip, b"\x5b" + HUGE, "cut off"),
    "a text that is not there": (Reader.text, b"\x7b" + HUGE, "too long"),
    "an array that is not there": (Reader.skip, b"\x9b" + HUGE, "cut off"),
    "a map that is not there": (Reader.skip, b"\xbb" + HUGE, "cut off"),
    "numbers that are not there": (Reader.skip_octets, b"\x9b" + HUGE, "not bytes"),
    "deep arrays": (Reader.skip, b"\x81" * 1_000_000, "nested too deeply"),
    "deep maps": (Reader.skip, b"\xa1\x00" * 1_000_000, "nested too deeply"),
    "deep arrays without end": (Reader.skip, b"\x9f" * 1_000_000, "nested too deeply"),
    "tags": (Reader.skip, b"\xc1" * 1_000_000, "a tag"),
    "many items": (Reader.skip, b"\x9f" + b"\x80" * 1_000_000 + b"\xff", "too many items"),
    "many items that are there": (Reader.skip, b"\x9a\x00\x0f\x42\x40" + b"\x80" * 1_000_000, "too many items"),
    "a big number for a byte": (Reader.skip_octets, b"\x81\x19\x01\x00", "not bytes"),
    "a byte not in its shortest form": (Reader.skip_octets, b"\x81\x18\x05", "not bytes"),
    "a text among bytes": (Reader.skip_octets, b"\x82\x01\x60", "not bytes"),
    "bytes in pieces": (Reader.skip_octets, b"\x5f\x41a\xff", "not bytes"),
    "a text in pieces": (Reader.text, b"\x7f\x61a\xff", "in pieces"),
    "a text of two megabytes": (Reader.text, b"\x7a\x00\x20\x00\x00" + b"a" * 2**21, "too long"),
    "a text that is not UTF-8": (Reader.text, b"\x61\xff", "UTF-8"),
    "a text that is a number": (Reader.text, b"\x01", "not a text"),
    "a key twice": (lambda it: [it.text() for _ in it.fields()], b"\xa2\x61a\x60\x61a\x60", "a key twice"),
    "a key that is a number": (lambda it: list(it.fields()), b"\xa1\x01\x01", "not a text"),
    "a reserved length": (Reader.skip, b"\x1c", "not well-formed"),
    "a number without end": (Reader.skip, b"\x1f", "not well-formed"),
    "a break": (Reader.skip, b"\xff", "not well-formed"),
    "two items": (Reader.end, b"\x01", "more than one item"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    read, data, says = HOSTILE[name]
    assert re.search(says, with_error(read, data))


def test_the_limits_themselves_are_allowed() -> None:
    nested: Any = 0
    for _ in range(MAX_DEPTH):
        nested = [nested]
    Reader(cbor2.dumps(nested)).skip()
    Reader(cbor2.dumps([0] * (MAX_ITEMS - 1))).skip()
    assert with_error(Reader.skip, cbor2.dumps([nested]))
    assert with_error(Reader.skip, cbor2.dumps([0] * MAX_ITEMS))
