"""What bounds a request: its bytes, sent and decompressed, those of all together, and how often it is written."""

import asyncio
import gzip
import logging
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server.ingestion.body import Body, gunzip
from micromegas_server.ingestion.budget import SENDERS, Budget, Share
from micromegas_server.ingestion.errors import Refused
from micromegas_server.ingestion.seen import Seen
from micromegas_server.ingestion.tally import PERIOD, Tally
from micromegas_server.ingestion.times import LATEST, parse_time
from starlette.requests import Request
from support.ingestion_samples import AGENT, ALICE

PLENTY = 2**30


def share(size: int = PLENTY) -> Share:
    return Share(Budget(size * SENDERS), ALICE)


@given(st.binary(max_size=5000), st.integers(0, 3))
def test_gzip_of_several_members(data: bytes, cuts: int) -> None:
    pieces = [data[i :: cuts + 1] for i in range(cuts + 1)]
    assert gunzip(b"".join(gzip.compress(piece) for piece in pieces), share(), PLENTY) == b"".join(pieces)


def test_gzip_of_much() -> None:
    data = bytes(range(256)) * 40_000
    assert gunzip(gzip.compress(data, 1), share(), len(data)) == data


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"no gzip", 400),
        (gzip.compress(b"x" * 1000)[:-1], 400),
        (gzip.compress(b"x")[:5], 400),
        (gzip.compress(b"x") + b"more", 400),
        (gzip.compress(b"x")[:-8] + bytes(8), 400),
        (BOMB, 413),
        (gzip.compress(b"") * 3 + BOMB, 413),
    ],
)
def test_gzip_that_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        gunzip(data, share(), 1_000_000)
    assert caught.value.status == status


def test_a_bomb_is_not_made() -> None:
    """No more of it than the limit and a byte."""
    budget = Budget(PLENTY)
    with Share(budget, ALICE) as mine:
        with pytest.raises(Refused):
            gunzip(BOMB, mine, 1_000_000)
        assert PLENTY - budget.left <= 1_000_000
    assert budget.left == PLENTY


def test_a_limit_is_allowed_itself() -> None:
    assert len(gunzip(gzip.compress(bytes(1000)), share(), 1000)) == 1000


def test_shares_are_given_back() -> None:
    budget = Budget(100)
    with Share(budget, ALICE) as first, Share(budget, AGENT) as second:
        for share in (first, second):
            share.begin()
        first.grow(60)
        second.grow(40)
        with pytest.raises(Refused) as caught:
            second.grow(1)
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
    assert budget.left == 100


def test_one_sender_cannot_hold_it_all() -> None:
    """Bodies of one sender that wait have a third of it; what is being taken apart is not bounded so."""
    budget = Budget(300)
    with Share(budget, ALICE) as first, Share(budget, ALICE) as second, Share(budget, AGENT) as other:
        first.grow(60)
        second.grow(40)
        with pytest.raises(Refused) as caught:
            second.grow(1)
        assert caught.value.status == 503
        other.grow(100)
        first.begin()
        first.grow(40)
        second.grow(60)
        with pytest.raises(Refused):
            second.grow(1)
    assert budget.left == 300
    with Share(budget, ALICE) as again:
        again.grow(100)


def body_of(*chunks: bytes | None, announced: int | None = None) -> Body:
    """A body that comes in these chunks; None is a client that goes, and behind the last nothing comes for ever."""
    waiting = list(chunks)

    async def receive() -> dict[str, object]:
        if not waiting:
            await asyncio.Event().wait()
        chunk = waiting.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    return Body(Request({"type": "http", "headers": headers}, receive), seconds=0.05)


def test_a_body_in_chunks() -> None:
    assert asyncio.run(body_of(b"ab", b"c", b"").read(share(), 3)) == b"abc"


@pytest.mark.parametrize(
    ("body", "size", "status"),
    [
        (body_of(b"abcd", b""), PLENTY, 413),
        (body_of(b"ab", b"cd", b""), PLENTY, 413),
        (body_of(announced=4), PLENTY, 413),
        (body_of(b"a"), PLENTY, 408),
        (body_of(b"ab", b""), 1, 503),
    ],
)
def test_a_body_that_is_refused(body: Body, size: int, status: int) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(body.read(share(size), 3))
    assert caught.value.status == status


@pytest.mark.parametrize("body", [body_of(b"rest", b""), body_of(b"rest", None)])
def test_what_is_left_is_dropped(body: Body) -> None:
    asyncio.run(asyncio.wait_for(body.drain(), 4))


def test_the_same_comes_again() -> None:
    seen: Seen[str] = Seen(2)
    first, mine = seen.claim("a")
    again, not_mine = seen.claim("a")
    assert (mine, not_mine) == (True, False)
    first.set_result("done")
    assert again.result(0) == "done"
    assert seen.claim("a")[0].result(0) == "done"
    for key in ("b", "c"):
        seen.claim(key)[0].set_result(key)
    assert seen.claim("a")[1]  # forgotten


def test_what_has_failed_is_tried_again() -> None:
    seen: Seen[None] = Seen(2)
    first, _ = seen.claim("a")
    waiting, _ = seen.claim("a")
    first.set_exception(OSError())
    with pytest.raises(OSError, match=r"^$"):
        waiting.result(0)
    assert seen.claim("a")[1]


def test_what_was_forgotten_while_it_was_written() -> None:
    seen: Seen[int] = Seen(1)
    first, _ = seen.claim("a")
    seen.claim("b")
    second: Future[int] = seen.claim("a")[0]
    first.set_result(1)
    assert not second.done()


def test_what_is_known_from_before() -> None:
    seen: Seen[str] = Seen(1)
    for key in ("a", "b"):
        seen.know(key, key)
    assert seen.claim("b")[0].result(0) == "b"
    assert seen.claim("a")[1]


def test_the_tally(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "micromegas_server")
    now = 0.0
    tally = Tally(lambda: now)
    tally.tell()
    tally.add(200, size=10, rejected=1)
    tally.add(413)
    assert caplog.messages == []
    now = PERIOD
    tally.add(200, size=5)
    tally.tell()
    assert caplog.messages == ["taken: bytes=15 rejected=1 status_200=2 status_413=1"]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.1z", 100_000_000),
        ("1970-01-01t00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01 01:00:00.123456789987+01:00", 123_456_789),
        ("2262-04-11T23:47:16.854775807Z", LATEST),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-13-01T00:00:00Z",
        "2262-04-11T23:47:16.854775808Z",
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00+99:99",
        "1970-01-01T00:00:00Z\n",
        "1970-01-01T24:00:01Z",
    ],
)
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(no time as in RFC 3339|a time before 1678 or after 2261)$"):
        parse_time(text)
