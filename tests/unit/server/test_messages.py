"""The Flight SQL messages: right fields, and nothing but a ValueError for what is none."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.flight_sql.messages import FIELDS, pack, statement_ticket, unpack
from support.micromegas_client import COMPLETE, ENVIRONMENT
from support.needs import needs

COMPARE = """
import json, sys
from micromegas.flightsql import FlightSql_pb2 as theirs
for name, fields in json.load(sys.stdin).items():
    message = getattr(theirs, name).DESCRIPTOR
    assert message.full_name == "arrow.flight.protocol.sql." + name
    for field, number, kind in fields:
        known = message.fields_by_name[field]
        assert (known.number, known.type) == (number, kind), (name, field)
print("the same")
"""

PACK = """
import sys
from google.protobuf.any_pb2 import Any
from micromegas.flightsql import FlightSql_pb2 as theirs
message = Any()
message.Pack(theirs.TicketStatementQuery(statement_handle="SELECT 'é'".encode()))
sys.stdout.write(message.SerializeToString().hex())
"""


def in_micromegas(code: str, stdin: str = "") -> str:
    """What a snippet prints in the environment of the micromegas client."""
    needs(COMPLETE, "the micromegas client")
    python = ENVIRONMENT / "bin" / "python"
    done = subprocess.run([python, "-c", code], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fields_are_those_of_micromegas() -> None:
    """Every name, number and type, against the generated copy that the client brings."""
    assert in_micromegas(COMPARE, json.dumps(FIELDS)) == "the same\n"


def test_bytes_are_those_of_micromegas() -> None:
    assert in_micromegas(PACK) == statement_ticket("SELECT 'é'").hex()


@given(st.text())
def test_round_trip(sql: str) -> None:
    name, message = unpack(pack("CommandStatementQuery", query=sql))
    assert (name, message.query) == ("CommandStatementQuery", sql)
    name, message = unpack(statement_ticket(sql))
    assert (name, message.statement_handle.decode()) == ("TicketStatementQuery", sql)


def test_a_message_of_flight_sql_that_is_not_listed() -> None:
    raw = statement_ticket("SELECT 1").replace(b"TicketStatementQuery", b"TicketStatementOther")
    assert unpack(raw) == ("TicketStatementOther", None)


@given(st.binary())
def test_noise_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a Flight SQL message$"):
        unpack(raw)


@pytest.mark.parametrize(
    "url",
    ["arrow.flight.protocol.sql.CommandStatementQuery", "type.googleapis.com/CommandStatementQuery", "type/", "/", ""],
)
def test_names_that_are_none(url: str) -> None:
    """The name of a packed message stands behind a slash (google/protobuf/any.proto)."""
    whole = "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    raw = pack("CommandStatementQuery", query="SELECT 1")
    start = raw.index(whole.encode())
    with pytest.raises(ValueError, match=r"^not a Flight SQL message$"):
        unpack(raw[: start - 1] + bytes([len(url)]) + url.encode() + raw[start + len(whole) :])


@given(st.integers(0, 40))
def test_cut_messages(length: int) -> None:
    raw = statement_ticket("SELECT 1")
    with pytest.raises(ValueError, match=r"^not a Flight SQL message$"):
        unpack(raw[:length])
