"""A token endpoint that is slow, broken or hostile: a token or a TokenError in time, and the secret stays ours."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest
from support import answers
from support.answers import Answer
from support.certificates import Authority
from support.front_door import LogWatch
from support.issuer import DISCOVERY, PATIENCE, FaultyIssuer

from micromegas_auth.client import ClientCredentials, TokenError

TOKEN = "/token"
VALUE = "Zq9Marker-of-the-token"
SECRET = "Zq9Marker of the secret: 100%+&="
DEADLINE = 0.4  # seconds
Client = Callable[..., ClientCredentials]


class TokenServer(FaultyIssuer):
    """An issuer with a token endpoint. `posts` are the requests that came there, head and body."""

    def __init__(self, *arguments: Any) -> None:
        self.posts: list[tuple[str, str]] = []
        super().__init__(*arguments)
        self.token_endpoint = self.url + TOKEN
        self.heal()

    def heal(self) -> None:
        super().heal()
        self.give({"access_token": VALUE, "token_type": "Bearer", "expires_in": 3600})
        self.publish({"issuer": self.url, "token_endpoint": self.token_endpoint})

    def give(self, answer: Any, status: int = 200) -> None:
        self.answer(answers.reply(json.dumps(answer), status), TOKEN)

    def publish(self, document: Any) -> None:
        self.answer(answers.reply(json.dumps(document)), DISCOVERY)

    def _exchange(self, server: Any, connection: Any) -> None:
        request = b""
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < _length(request):
            if not (chunk := connection.recv(4096)):
                return
            request += chunk
        head, _, body = request.partition(b"\r\n\r\n")
        if request.startswith(b"POST"):
            self.posts.append((head.decode(), body.decode()))
        super()._exchange(server, _Replayed(connection, request))


class _Replayed:
    """A connection whose request is read a second time."""

    def __init__(self, connection: Any, request: bytes) -> None:
        self._connection = connection
        self._request = request

    def recv(self, _: int) -> bytes:
        request, self._request = self._request, b""
        return request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _length(request: bytes) -> int:
    for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


@pytest.fixture
def client(server: TokenServer) -> Client:
    """Makes a client of the server, by its token endpoint unless told otherwise."""

    def client(**options: Any) -> ClientCredentials:
        where = {} if "issuer" in options else {"token_endpoint": server.token_endpoint}
        return ClientCredentials(client_id="svc:1 %", client_secret=SECRET, **where, **options)

    return client


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micromegas_auth.client.token_source.MAX_BACKOFF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    encoded = [
        base64.b64encode(f":{SECRET}".encode()).decode()[4:-4],
        SECRET,
        "of+the+secret",
        "of%20the%20secret",
        VALUE,
    ]
    # The names of headers alone: HTTP clients write what they send into their own debug logs.
    lines = [record.getMessage() for record in caplog.records if record.name == "micromegas_auth"]
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines for secret in encoded if secret in line]


def refusal(client: ClientCredentials) -> str:
    with pytest.raises(TokenError) as caught:
        client.token()
    error = caught.value
    message = str(error)
    assert message.isprintable()
    assert len(message) < 200
    for secret in (SECRET, VALUE, "of+the+secret"):
        assert secret not in f"{message} {error!r} {error.__cause__} {error.__context__} {client!r}"
    return message


FAULTS: dict[str, Answer] = {
    "closed": answers.close_at_once,
    "hang": answers.hang,
    "hang mid-body": answers.hang_mid_body,
    "reset mid-body": answers.reset_mid_body,
    "truncated": answers.truncated,
    "drip body": answers.drip_body,
    "drip head": answers.drip_head,
    "endless head": answers.endless_head,
    "endless hints": answers.endless_hints,
    "302": answers.elsewhere,
    "307": answers.reply("{}", 307, {"location": "/moved"}),
    "201": answers.reply(json.dumps({"access_token": VALUE, "token_type": "Bearer"}), 201),
    "204": answers.reply("", 204),
    "403": answers.reply('{"error": "invalid_client"}', 403),
    "429": answers.reply("{}", 429),
    "500": answers.reply(f'{{"secret": "{SECRET}"}}', 500),
    "html": answers.reply(f"<!doctype html><title>{SECRET}</title>", headers={"content-type": "text/html"}),
    "html 400": answers.reply(f"<!doctype html><title>{SECRET}</title>", 400),
    "error": answers.reply(json.dumps({"error": SECRET, "error_description": SECRET}), 400),
    "empty": answers.reply(""),
    "utf-16": answers.in_utf16,
    "40 MB": answers.forty_megabytes,
    "gzip bomb": answers.gzip_bomb(declared=True),
    "undeclared gzip bomb": answers.gzip_bomb(declared=False),
    "100k deep": answers.reply("[" * 100_000 + "]" * 100_000),
    "twice": answers.reply('{"access_token": "a", "access_token": "b", "token_type": "Bearer"}'),
    "{}": answers.reply("{}"),
    "null": answers.reply("null"),
    "other type": answers.reply(json.dumps({"access_token": VALUE, "token_type": "mac"})),
    "no type": answers.reply(json.dumps({"access_token": VALUE})),
    "expired": answers.reply(json.dumps({"access_token": VALUE, "token_type": "Bearer", "expires_in": -5})),
    "two lines": answers.reply(json.dumps({"access_token": "a\r\nx-admin: 1", "token_type": "Bearer"})),
}


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_broken_token_endpoint(server: TokenServer, client: Client, fault: Answer) -> None:
    server.answer(fault, TOKEN)
    credentials = client(timeout=DEADLINE)
    assert refusal(credentials) != f"no token within {DEADLINE} s"  # but what went wrong
    server.heal()
    credentials._timeout = PATIENCE  # on a busy machine a sound answer, too, takes its time
    assert credentials.token() == VALUE


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_broken_discovery_document(server: TokenServer, client: Client, fault: Answer) -> None:
    server.answer(fault, DISCOVERY)
    refusal(client(issuer=server.url, timeout=2 * DEADLINE))
    assert not server.posts  # so the secret has gone nowhere
    server.heal()
    assert client(issuer=server.url, timeout=PATIENCE).token() == VALUE


def test_redirects_are_not_followed(server: TokenServer, client: Client) -> None:
    for answer in (answers.elsewhere, answers.reply("{}", 308, {"location": server.url + "/moved"})):
        server.answer(answer, TOKEN)
        assert refusal(client()).startswith("status 30")
    assert server.requests("/moved") == 0


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example"},
        {"issuer": "SELF/"},
        {"issuer": None},
        {"issuer": ["SELF"]},
        {"token_endpoint": "http://other.example/token"},
        {"token_endpoint": None},
        {"token_endpoint": ["SELF/token"]},
        {"token_endpoint": "SELF\n/token"},
    ],
)
def test_a_discovery_document_that_is_not_its_own(server: TokenServer, client: Client, document: Any) -> None:
    good = {"issuer": server.url, "token_endpoint": server.token_endpoint}
    server.publish({**good, **json.loads(json.dumps(document).replace("SELF", server.url))})
    assert "discovery document" in refusal(client(issuer=server.url))
    assert not server.posts


def test_errors_by_their_code(server: TokenServer, client: Client) -> None:
    server.give({"error": "invalid_client", "error_description": SECRET}, 401)
    assert refusal(client()) == "the provider refuses: invalid_client (status 401)"


def test_what_is_sent(server: TokenServer, client: Client) -> None:
    """RFC 6749 sections 2.3.1 and 4.4.2; the pair of Basic is form-encoded first."""
    client(audience="api one", scope="a b").token()
    client(auth_method="client_secret_post").token()
    (basic_head, basic_body), (post_head, post_body) = server.posts
    pair = "svc%3A1+%25:Zq9Marker+of+the+secret%3A+100%25%2B%26%3D"
    assert f"Basic {base64.b64encode(pair.encode()).decode()}" in basic_head
    form = {"grant_type": ["client_credentials"], "audience": ["api one"], "scope": ["a b"]}
    assert parse_qs(basic_body, strict_parsing=True) == form
    assert "uthorization" not in post_head
    expected = {"grant_type": ["client_credentials"], "client_id": ["svc:1 %"], "client_secret": [SECRET]}
    assert parse_qs(post_body, strict_parsing=True) == expected
    for head in (basic_head.lower(), post_head.lower()):
        assert "accept-encoding: identity" in head
        assert "content-type: application/x-www-form-urlencoded" in head
        assert "secret" not in head.split("\r\n")[0]


def test_many_threads_send_one_request(server: TokenServer, client: Client) -> None:
    server.hold(TOKEN)
    credentials = client()
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(credentials.token) for _ in range(16)]
        server.wait_for_requests(1, TOKEN)
        server.release()
        assert {one.result(PATIENCE) for one in waiting} == {VALUE}
    assert server.requests(TOKEN) == 1


def test_an_outage_with_a_token_at_hand(server: TokenServer, client: Client, log: LogWatch) -> None:
    ahead = 0.0
    credentials = client(clock=lambda: 1_700_000_000 + ahead)
    assert credentials.token() == VALUE
    server.stop()
    ahead = 3000
    for _ in range(20):
        assert credentials.token() == VALUE
    line = log.wait_for("WARNING token not refreshed", "token_at_hand_secs=600")
    assert 'client="svc:1 %" error=ConnectError' in line
    ahead = 3601
    refusal(credentials)


@pytest.mark.usefixtures("no_backoff")
def test_it_works_in_a_thread_that_runs_an_event_loop(client: Client) -> None:
    """Exporters flush where they are told to, and at the end of a lifespan that is on the loop's own thread."""

    async def run() -> str:
        return client().token()

    assert asyncio.run(run()) == VALUE


def test_a_certificate_that_nobody_vouches_for(authority: Authority, client: Client) -> None:
    with TokenServer(authority.server_context()) as server:
        credentials = ClientCredentials(client_id="a", client_secret=SECRET, token_endpoint=server.token_endpoint)
        assert refusal(credentials) == "ConnectError"
        assert not server.posts


def test_a_name_that_nobody_has(client: Client) -> None:
    credentials = ClientCredentials(client_id="a", client_secret=SECRET, issuer="https://nobody.invalid", timeout=5)
    assert refusal(credentials) in ("ConnectError", "no answer within 2.5 s")
