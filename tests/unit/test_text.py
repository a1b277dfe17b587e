"""Text from outside: what may be kept, and how it is printed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import is_one_line

from micromegas_auth.text import fields, is_safe, is_token68, quoted

any_text = st.text(st.characters())  # lone surrogates included
wild_text = st.lists(
    st.sampled_from('\n\r\t\x1b\0\x7f\x85\u2028\u202e\u200f\u00ad\ue000"\\= a\U000e0041é'), max_size=9
).map("".join)

SAFE = ["x", "a b", "Zoë", "用户", "o'neil", 'say "x"', "a\\b", "\U0001f600", "می‌خواهم", "x" * 20]
UNSAFE = [
    "",
    "x" * 21,
    *(f"a{character}b" for character in "\0\x01\a\b\t\n\v\f\r\x1b\x1f\x7f\x80\x85\x9b\x9f"),  # controls
    *(f"a{character}b" for character in "\u2028\u2029"),  # they end a line
    *(f"a{character}b" for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),  # UAX 9
    *(f"a{character}b" for character in "\ud800\udbff\udc00\udfff"),  # no text at all
]


@pytest.mark.parametrize("value", SAFE, ids=ascii)
def test_may_be_kept(value: str) -> None:
    assert is_safe(value, 20)


@pytest.mark.parametrize("value", UNSAFE, ids=ascii)
def test_may_not_be_kept(value: str) -> None:
    assert not is_safe(value, 20)


@pytest.mark.parametrize("value", ["a", "A1", "a-._~+/b", "a=", "a==", "-", "----", "a.b.c", "0" * 10_000])
def test_can_be_a_credential(value: str) -> None:
    assert is_token68(value)


NO_CREDENTIALS = [
    "",
    "=",
    "==",
    "a=b",
    "=a",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\0",
    "a,b",
    'a"',
    "a%41",
    "é",
    "\u0663",
    "\uff21",
    "\ud800",
]


@pytest.mark.parametrize("value", NO_CREDENTIALS, ids=ascii)
def test_can_be_no_credential(value: str) -> None:
    assert not is_token68(value)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("", '""'),
        ("alice", '"alice"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\nb\r\tc", '"a\\nb\\r\\tc"'),
        ('"\n\\', '"\\"\\n\\\\"'),
        ("\x1b[31m\0\x7f", '"\\u001b[31m\\u0000\\u007f"'),
        ("\u202egnp.exe", '"\\u202egnp.exe"'),
        ("Zoë \U0001f600", '"Zoë \U0001f600"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_quoted(value: str, printed: str) -> None:
    assert quoted(value) == printed


@given(any_text | wild_text)
def test_quoted_is_one_line_with_no_quote_of_its_own(value: str) -> None:
    printed = quoted(value)
    assert is_one_line(printed)
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', printed)


@given(st.text() | wild_text)
def test_quoted_is_a_json_string_of_the_same_text(value: str) -> None:
    assert json.loads(quoted(value)) == value


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, ""),
        (True, "f=true"),
        (False, "f=false"),
        (0, "f=0"),
        (1.5, "f=1.5"),
        ("alice@example.com", "f=alice@example.com"),
        ("auth0|5f'{}[]~!#", "f=auth0|5f'{}[]~!#"),
        ("", 'f=""'),
        ("two words", 'f="two words"'),
        ("x admin=true", 'f="x admin=true"'),
        ("a=b", 'f="a=b"'),
        ('a"b', 'f="a\\"b"'),
        ("a\\b", 'f="a\\\\b"'),
        ("é", 'f="é"'),
        ("a\nb", 'f="a\\nb"'),
    ],
)
def test_one_field(value: object, printed: str) -> None:
    assert fields([("f", value)]) == printed


def test_fields_keep_their_order_and_some_are_always_quoted() -> None:
    pairs = [("b", "x"), ("a", None), ("sql", "select"), ("c", 1)]
    assert fields(pairs, frozenset({"sql"})) == 'b=x sql="select" c=1'


@given(st.lists(any_text | wild_text, max_size=4))
def test_fields_can_be_told_apart_again(values: list[str]) -> None:
    line = fields([(f"f{index}", value) for index, value in enumerate(values)])
    assert is_one_line(line)
    found = re.findall(r'(f\d)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)(?: |$)', line)
    assert [name for name, _ in found] == [f"f{index}" for index in range(len(values))]
    for (_, printed), value in zip(found, values, strict=True):
        assert printed in (value, quoted(value))
