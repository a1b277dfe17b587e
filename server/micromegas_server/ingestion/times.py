"""Times in nanoseconds since the epoch."""

import re
from calendar import timegm
from datetime import datetime

EARLIEST, LATEST = -(2**63), 2**63 - 1  # of Timestamp(ns): the years 1677 and 2262

_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(Z|z|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(text: str) -> int:
    """The time that `text` says (RFC 3339); what is finer than a nanosecond is cut off.

    Raises:
        ValueError: It is none, or not one that a row can hold. The message does not quote it.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("no time as in RFC 3339")
    whole, fraction, offset = match.groups()
    try:
        seconds = timegm(datetime.fromisoformat(whole + offset.upper()).utctimetuple())
    except (ValueError, OverflowError):
        raise ValueError("no time as in RFC 3339") from None
    nanoseconds = seconds * 1_000_000_000 + int((fraction or "")[:9].ljust(9, "0"))
    if not EARLIEST <= nanoseconds <= LATEST:
        raise ValueError("a time before 1678 or after 2261")
    return nanoseconds


def is_time(nanoseconds: int) -> bool:
    """Whether a time of OTLP is one, and one that a row can hold. OTLP's 0 means unknown."""
    return 0 < nanoseconds <= LATEST
