"""JSON without guesses: RFC 8259, and RFC 7515 section 4 for duplicate names."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micromegas_auth.strict_json import MAX_DEPTH, loads

SECRET = "Zq9Marker"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


GOOD = {
    "{}": {},
    " \t\r\n[1, -2.5e3, true, null]\n": [1, -2500.0, True, None],
    '"\\u00e9\\ud83d\\ude00é"': "é\U0001f600é",
    '{"a":{"a":[{"a":1},{"a":2}]}}': {"a": {"a": [{"a": 1}, {"a": 2}]}},
    '{"a":1,"A":2,"a ":3}': {"a": 1, "A": 2, "a ": 3},
    nested(MAX_DEPTH): json.loads(nested(MAX_DEPTH)),
    json.dumps(["[" * 500 + "}" * 500 + '\\"{']): ["[" * 500 + "}" * 500 + '\\"{'],
    json.dumps([[[]]] * 40): [[[]]] * 40,
    "9" * 4000: int("9" * 4000),
}

BAD = {
    "nothing": b"",
    "white space": b" ",
    "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-16 without a BOM": "{}".encode("utf-16-le"),
    "UTF-32": "{}".encode("utf-32"),
    "UTF-32 without a BOM": "{}".encode("utf-32-be"),
    "Latin-1": b'"\xe9"',
    "a raw surrogate": b'"\xed\xa0\x80"',
    "a raw pair of surrogates": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "an overlong form": b'"\xc0\xaf"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate within": b'{"a":["\\uDFFF"]}',
    "a lone surrogate as a name": b'{"\\ud800":1}',
    "a name twice": b'{"sub":1,"sub":1}',
    "a name twice, one escaped": b'{"sub":1,"\\u0073ub":2}',
    "a name twice within": b'[{"x":{"a":1,"b":2,"a":3}}]',
    "the empty name twice": b'{"":1,"":2}',
    "NaN": b"NaN",
    "Infinity": b"[Infinity]",
    "-Infinity": b'{"a":-Infinity}',
    "a control in a text": b'"a\nb"',
    "NUL in a text": b'"a\0b"',
    "single quotes": b"{'a':1}",
    "a leading zero": b"01",
    "a plus": b"+1",
    "hexadecimal": b"0x10",
    "a trailing comma": b"[1,]",
    "a comment": b"[1/**/]",
    "two values": b"{}{}",
    "cut": b'{"a":',
    "an integer of 5000 digits": b"9" * 5000,
    "33 levels": nested(MAX_DEPTH + 1).encode(),
    "33 levels, an object outermost": b'{"a":' + nested(MAX_DEPTH).encode() + b"}",
    "33 levels, an object innermost": b'{"a":' + b"[" * 31 + b"{}" + b"]" * 31 + b"}",
    "33 levels of objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "100,000 levels": nested(100_000).encode(),
    "100,000 levels, not closed": b"[" * 100_000,
    "many closing brackets": b"]" * 100,
    "brackets of the wrong kind": b"[}" * 40,
}


@pytest.mark.parametrize("text", GOOD, ids=lambda text: ascii(text[:20]))
def test_accepted(text: str) -> None:
    assert loads(text.encode()) == GOOD[text]


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\A[A-Za-z0-9 ,:;()_.-]+\Z"):
        loads(BAD[name])


@pytest.mark.parametrize(
    "text", [f"{SECRET}", f'"{SECRET}', f'{{"{SECRET}":1,"{SECRET}":2}}', f'["{SECRET}" 1]', f'"{SECRET}\\ud800"']
)
def test_the_message_holds_nothing_of_the_document(text: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        loads(text.encode())
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("tail", ['"', '\\"', '"\\\\', '"",', "[", "]", "{}", '"[]'])
def test_a_megabyte_of_anything_takes_no_long_time(tail: str) -> None:
    raw = b"[" * (MAX_DEPTH + 1) + (tail * 20_000).encode()
    began = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        loads(raw)
    assert time.process_time() - began < 0.2  # 20,000 repetitions: what is quadratic takes seconds


@given(json_values)
def test_what_json_writes_comes_back(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


# An object as the pairs in its text, so that a name may come twice, and spellings of one value.
pairs = st.recursive(
    st.sampled_from(["1", "-0.5e1", "null", '"x"', '"\\":"', '"\\" "', '"\\\\"', '" "', '"\\u0061"', "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(
            st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a\\":"', '""', '" "']), inner), max_size=3
        ).map(tuple)
    ),
    max_leaves=8,
)
spaces = st.lists(st.sampled_from(["", " ", "\n", "\t\r "]), min_size=1, max_size=5)


def written(value: Any, spaces: Iterator[str]) -> str:
    """The JSON text of a value of `pairs`, with white space wherever it may stand."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{next(spaces)}{','.join(written(member, spaces) + next(spaces) for member in value)}]"
    members = (
        f"{next(spaces)}{name}{next(spaces)}:{next(spaces)}{written(member, spaces)}{next(spaces)}"
        for name, member in value
    )
    return f"{{{','.join(members)}}}"


def has_a_name_twice(value: Any) -> bool:
    if isinstance(value, str):
        return False
    if isinstance(value, list):
        return any(has_a_name_twice(member) for member in value)
    names = [json.loads(name) for name, _ in value]
    return len(set(names)) < len(names) or any(has_a_name_twice(member) for _, member in value)


@given(pairs, spaces)
def test_a_name_twice_is_found_in_any_spelling(value: Any, spaces: list[str]) -> None:
    text = written(value, itertools.cycle(spaces))
    if has_a_name_twice(value):
        with pytest.raises(ValueError, match=r"twice"):
            loads(text.encode())
    else:
        assert loads(text.encode()) == json.loads(text)


@given(st.binary())
def test_nothing_but_a_value_error(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        loads(raw)
