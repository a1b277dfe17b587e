"""For how long a response may be kept. What goes over the network is in tests/faults."""

from datetime import UTC, datetime

import pytest

from micromegas_auth.discovery import freshness_lifetime

NOW = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)

LIFETIMES: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"cache-control": "public"}, None),
    ({"cache-control": "max-age=3600"}, 3600),
    ({"cache-control": "public, Max-Age = 600, must-revalidate"}, 600),
    ({"cache-control": 'max-age="600"'}, 600),
    ({"cache-control": "s-maxage=5, max-age=600"}, 600),
    ({"cache-control": "x-max-age=5"}, None),
    ({"cache-control": "max-age=5"}, 60),
    ({"cache-control": "max-age=0"}, 60),
    ({"cache-control": "max-age=-1"}, None),
    ({"cache-control": "max-age=never"}, None),
    ({"cache-control": "no-cache"}, 60),
    ({"cache-control": "max-age=3600, no-store"}, 60),
    ({"cache-control": "max-age=3600", "expires": "Fri, 15 Jan 2027 08:05:00 GMT"}, 3600),
    ({"expires": "Fri, 15 Jan 2027 08:05:00 GMT"}, 300),
    ({"expires": "Fri, 15 Jan 2027 08:05:00 -0000"}, 300),
    ({"expires": "Fri, 15 Jan 2027 08:00:01 GMT"}, 60),
    ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 60),
    ({"expires": "0"}, 60),
    ({"expires": "-1"}, 60),
    ({"expires": ""}, 60),
    ({"expires": "soon"}, 60),
    ({"expires": "Fri, 99 Jan 2027 08:05:00 GMT"}, 60),
    ({"expires": "Fri, 15 Jan 99999999999999999999 08:05:00 GMT"}, 60),
    ({"expires": "Fri, 15 Jan 2027 08:05:00 +99999999999999999999"}, 60),
    ({"expires": "Fri, 15 Jan 2027 08:05:00 GMT, Fri, 15 Jan 2027 08:05:00 GMT"}, 300),
]


@pytest.mark.parametrize(("headers", "seconds"), LIFETIMES)
def test_freshness(headers: dict[str, str], seconds: float | None) -> None:
    assert freshness_lifetime(headers, NOW) == seconds


@pytest.mark.parametrize("value", ["max-age=" + "9" * 400, "max-age=1e9", "," * 10_000, "max-age=" * 1000])
def test_absurd_values_are_no_crash(value: str) -> None:
    lifetime = freshness_lifetime({"cache-control": value, "expires": "Fri, 31 Dec 9999 23:59:59 +2359"}, NOW)
    assert lifetime is None or lifetime >= 60
