"""What a request asks for besides its SQL: `query_range_begin`, `query_range_end`, `limit`, `preserve_dictionary`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

RawHeaders: TypeAlias = Mapping[str, Sequence[str | bytes]]

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HeaderError(ValueError):
    """A header is malformed; the text is meant for whoever sent it, and does not quote it."""


@dataclass(frozen=True)
class TimeRange:
    """A range of times, both ends included, in nanoseconds since the epoch; None for no bound.

    From the year 1 to 9999, so beyond what 64 bits hold.

    Attributes:
        begin: The first moment.
        end: The last moment.
        text: The range as an ISO 8601 interval, for the audit record; None where there is no bound.
    """

    begin: int | None = None
    end: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class QueryHeaders:
    """The headers of one request.

    Attributes:
        time_range: What the query is bound to.
        limit: At most so many rows, None for all.
        keep_dictionaries: Whether dictionary-encoded columns stay so.
    """

    time_range: TimeRange = TimeRange()
    limit: int | None = None
    keep_dictionaries: bool = False


def read_headers(headers: RawHeaders) -> QueryHeaders:
    """Read the headers of a request.

    Raises:
        HeaderError: One of them is malformed or repeated.
    """
    begin, end = _one(headers, "query_range_begin"), _one(headers, "query_range_end")
    interval = f"{begin or '..'}/{end or '..'}" if begin or end else None
    time_range = TimeRange(
        _nanoseconds("query_range_begin", begin) if begin else None,
        _nanoseconds("query_range_end", end) if end else None,
        interval,
    )
    limit = _one(headers, "limit")
    if limit is not None and re.fullmatch(r"\d{1,18}", limit, re.ASCII) is None:
        raise HeaderError("limit is not a number of rows")
    preserve_dictionary = _one(headers, "preserve_dictionary")
    if preserve_dictionary not in {None, "true", "false"}:
        raise HeaderError("preserve_dictionary is neither true nor false")
    return QueryHeaders(time_range, int(limit) if limit else None, preserve_dictionary == "true")


def _one(headers: RawHeaders, name: str) -> str | None:
    values = headers.get(name)
    if not values:
        return None
    if len(values) > 1 or not isinstance(values[0], str):  # bytes: it is not ASCII
        raise HeaderError(f"{name} is repeated, or not ASCII")
    return values[0] or None


def _nanoseconds(name: str, text: str) -> int:
    malformed = HeaderError(f"{name} is not a time as in RFC 3339, such as 2026-01-31T00:00:00Z")
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise malformed
    try:
        day, clock, fraction, sign, hours, minutes = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        whole = moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):
        raise malformed from None
    return (whole - _EPOCH) // timedelta(seconds=1) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
