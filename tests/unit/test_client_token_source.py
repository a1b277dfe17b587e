"""A token kept fresh, with a provider that the tests hold by the hand."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from micromegas_auth.client import BearerAuth, TokenError
from micromegas_auth.client import token_source as module
from micromegas_auth.client.token import Token, parse_answer
from micromegas_auth.client.token_source import TokenSource

PATIENCE = 20.0
SECRET = "Zq9Marker-of-a-token"


class Source(TokenSource):
    """Each fetch waits until it may go, then gives the next token or error."""

    def __init__(self, *, life: float = 3600, timeout: float = PATIENCE) -> None:
        self.now = 1_700_000_000.0
        self.life = life
        self.error: Exception | None = None
        self.fetches = 0
        self.began = threading.Semaphore(0)
        self.may_go = threading.Event()
        self.may_go.set()
        super().__init__("svc", timeout, lambda: self.now)

    def fetch(self) -> Token:
        self.fetches += 1
        number = self.fetches
        self.began.release()
        assert self.may_go.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        answer = {"access_token": f"{SECRET}-{number}", "token_type": "Bearer", "expires_in": self.life}
        return parse_answer(200, answer, self.now)

    def settle(self) -> None:
        """Wait until no refresh is under way."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._refreshing, PATIENCE)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BACKOFF_SECONDS", 0.0)


def test_a_token_is_kept(source: Source) -> None:
    assert [source.token() for _ in range(3)] == [f"{SECRET}-1"] * 3
    assert source.token_nowait() == f"{SECRET}-1"
    assert source.headers() == {"authorization": f"Bearer {SECRET}-1"}
    assert source.fetches == 1


def test_many_wait_for_one_refresh(source: Source) -> None:
    source.may_go.clear()
    with ThreadPoolExecutor(32) as pool:
        waiting = [pool.submit(source.token) for _ in range(32)]
        assert source.began.acquire(timeout=PATIENCE)
        assert source.token_nowait() is None
        source.may_go.set()
        assert {one.result(PATIENCE) for one in waiting} == {f"{SECRET}-1"}
    assert source.fetches == 1


def test_a_refresh_ahead_of_expiry_holds_nobody_up(source: Source) -> None:
    source.token()
    source.now += 3600 - 720 - 1
    assert source.token() == f"{SECRET}-1"
    source.may_go.clear()
    source.now += 2
    with ThreadPoolExecutor(8) as pool:  # one begins it, and not even that one waits
        assert {one.result(PATIENCE) for one in [pool.submit(source.token) for _ in range(8)]} == {f"{SECRET}-1"}
    assert source.began.acquire(timeout=PATIENCE)
    source.may_go.set()
    source.settle()
    assert source.token() == f"{SECRET}-2"
    assert source.fetches == 2


def test_a_valid_token_outlives_a_failed_refresh(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.token()
    source.error = TokenError('the provider refuses: "quoted"')
    source.now += 3000
    for _ in range(5):
        assert source.token() == f"{SECRET}-1"
        source.settle()
    assert source.fetches == 2  # the next attempt waits its turn
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == ('token not refreshed: client=svc error="the provider refuses: \\"quoted\\"" token_at_hand_secs=600')
    source.now += 600
    with pytest.raises(TokenError, match="the provider refuses"):
        source.token()
    assert source.token_nowait() is None
    assert source.fetches == 2


@pytest.mark.usefixtures("no_backoff")
def test_it_recovers(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.error = TokenError("no answer within 10 s")
    for attempt in range(3):
        with pytest.raises(TokenError, match="no answer within 10 s"):
            source.token()
        assert source.fetches == attempt + 1
    source.error = None
    assert source.token() == f"{SECRET}-4"
    assert SECRET not in caplog.text


def test_the_backoff_grows_and_is_bounded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from outside as: how long no fetch begins, by a clock of the test."""
    now = 0.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(module, "random", SimpleNamespace(uniform=lambda _low, high: high))
    source.error = TokenError("down")
    seen = []
    for attempt in range(1, 40):
        source.token_nowait()
        source.settle()
        assert source.fetches == attempt
        seen.append(source._not_before - now)
        now = source._not_before - 0.01
        source.token_nowait()
        assert source.fetches == attempt
        now += 0.02
    assert seen == pytest.approx([1, 2, 4, 8, 16] + [30] * 34)


def test_a_wait_ends(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the fetch does not keep its deadline."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    source = Source(timeout=0.05)
    source.may_go.clear()
    with pytest.raises(TokenError, match=r"no token within 0\.05 s"):
        source.token()
    source.may_go.set()
    source.settle()
    assert source.token() == f"{SECRET}-1"
    assert not caplog.records


def test_a_token_that_is_gone_when_it_comes() -> None:
    source = Source()
    source.may_go.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.token)
        assert source.began.acquire(timeout=PATIENCE)
        fetched_at = source.now
        source.fetch = lambda: Token("x", fetched_at, fetched_at)  # type: ignore[method-assign]
        source.life = 1e-9
        source.may_go.set()
        error = waiting.exception(PATIENCE)
    assert isinstance(error, TokenError)
    assert str(error) == "the token expired as soon as it came"


def test_a_fault_of_our_own_is_an_error_like_any_other(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.error = RuntimeError(SECRET)
    with pytest.raises(TokenError, match="unexpected RuntimeError"):
        source.token()
    assert SECRET not in caplog.text


def test_no_thread_to_be_had(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of the interpreter."""

    def start(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(TokenError, match="no thread can be started"):
        source.token()


def test_nothing_shows_the_token(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        source.token()
    assert SECRET not in f"{source!r} {source._held!r} {BearerAuth(source)!r} {caplog.text}"


def ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=request.headers["authorization"])


def test_plugged_into_httpx(source: Source) -> None:
    with httpx.Client(auth=BearerAuth(source), transport=httpx.MockTransport(ok)) as client:
        assert client.get("https://api.example/").text == f"Bearer {SECRET}-1"


def test_no_token_goes_over_plain_http(source: Source) -> None:
    with (
        httpx.Client(auth=BearerAuth(source), transport=httpx.MockTransport(ok)) as client,
        pytest.raises(TokenError, match="https or a loopback host only"),
    ):
        client.get("http://api.example/")


def test_plugged_into_httpx_on_an_event_loop(source: Source) -> None:
    """While it waits for the first token, the loop goes on."""
    source.may_go.clear()

    async def run() -> str:
        async with httpx.AsyncClient(auth=BearerAuth(source), transport=httpx.MockTransport(ok)) as client:
            asking = asyncio.create_task(client.get("https://api.example/"))
            while source.fetches == 0:
                await asyncio.sleep(0)
            source.may_go.set()
            first = (await asking).text
            assert (await client.get("https://api.example/")).text == first
            return first

    assert asyncio.run(run()) == f"Bearer {SECRET}-1"


def test_plugged_into_requests(source: Source) -> None:
    requests = pytest.importorskip("requests")
    session = requests.Session()
    session.auth = BearerAuth(source)
    prepared = session.prepare_request(requests.Request("POST", "https://api.example/", data=b"x"))
    assert prepared.headers["Authorization"] == f"Bearer {SECRET}-1"
    session.close()


def test_without_a_token_nothing_is_sent(source: Source) -> None:
    source.error = TokenError("down")
    sent: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    with (
        httpx.Client(auth=BearerAuth(source), transport=httpx.MockTransport(note)) as client,
        pytest.raises(TokenError),
    ):
        client.get("https://api.example/")
    assert not sent
