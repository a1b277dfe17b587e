"""The headers that bound a query."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.flight_sql.query import HeaderError, QueryHeaders, TimeRange, read_headers

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = ("query_range_begin", "query_range_end", "limit", "preserve_dictionary")


def begin_of(text: str) -> int | None:
    """Nanoseconds since the epoch, as read from a begin."""
    return read_headers({"query_range_begin": [text]}).time_range.begin


def test_nothing_asked() -> None:
    assert read_headers({}) == QueryHeaders(TimeRange(None, None, None), None, False)
    assert (
        read_headers({name: [""] for name in _NAMES}) == read_headers({name: [] for name in _NAMES}) == QueryHeaders()
    )


def test_everything_asked() -> None:
    headers = {
        "query_range_begin": ["1970-01-01T00:00:00Z"],
        "query_range_end": ["1970-01-01T00:00:01.5Z"],
        "limit": ["10"],
        "preserve_dictionary": ["true"],
    }
    text = "1970-01-01T00:00:00Z/1970-01-01T00:00:01.5Z"
    assert read_headers(headers) == QueryHeaders(TimeRange(0, 1_500_000_000, text), 10, True)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T16:00:00-08:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000_000_000),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999_999_999),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert begin_of(text) == nanoseconds


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone comes from the next argument
    st.integers(-1439, 1439),
)
def test_every_time_that_python_writes(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert begin_of(zoned.isoformat()) == (zoned - _EPOCH) // timedelta(microseconds=1) * 1000


@given(st.text())
def test_noise_is_a_header_error(text: str) -> None:
    for name in _NAMES:
        with contextlib.suppress(HeaderError):  # some noise is a number
            read_headers({name: [text]})


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "2026-1-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.0000000001Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
    ],
)
def test_no_times(text: str) -> None:
    with pytest.raises(
        HeaderError, match=r"^query_range_end is not a time as in RFC 3339, such as 2026-01-31T00:00:00Z$"
    ):
        read_headers({"query_range_end": [text]})


@pytest.mark.parametrize(("text", "limit"), [("0", 0), ("1", 1), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_limits(text: str, limit: int) -> None:
    assert read_headers({"limit": [text]}).limit == limit


@pytest.mark.parametrize(
    "text", ["-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "1_000", "9" * 19, "\u0661", "all", "1\n"]
)
def test_no_limits(text: str) -> None:
    with pytest.raises(HeaderError, match=r"^limit is not a number of rows$"):
        read_headers({"limit": [text]})


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("values", [["1", "1"], ["", ""], [b"1"]])
def test_repeated_or_not_text(name: str, values: list[str | bytes]) -> None:
    with pytest.raises(HeaderError, match=f"^{name} is repeated, or not ASCII$"):
        read_headers({name: values})
