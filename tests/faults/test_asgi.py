"""The ASGI middleware while an issuer hangs or is down: nobody else waits, and it recovers by itself."""

import asyncio
from typing import Any

import httpx
import pytest
from support.asgi_apps import APPS, fastapi_app
from support.asgi_servers import ask, serving
from support.front_door import API_KEY, Build, LogWatch, bearer
from support.issuer import DISCOVERY, PATIENCE, FaultyIssuer

from micromegas_auth.adapters.asgi import AuthMiddleware
from micromegas_auth.adapters.event_loop import MAX_WAITING

BEYOND = 136  # requests for whose wait there is no place


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for keys wait until the test lets them go."""
    monkeypatch.setattr("micromegas_auth.oidc.MAX_WAIT_SECONDS", PATIENCE)


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.usefixtures("patient")
def test_a_hanging_issuer_blocks_nobody_else(server: str, issuer: FaultyIssuer, build: Build) -> None:
    issuer.hold()
    door = build(issuer, fetch_timeout_secs=PATIENCE)
    issuer.wait_for_requests(1, DISCOVERY)

    async def clients(url: str) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client:
            waiting = {
                asyncio.create_task(client.get("/whoami", headers=bearer(issuer.mint())))
                for _ in range(MAX_WAITING + BEYOND)
            }
            refused: set[Any] = set()
            while len(refused) < BEYOND:
                done, waiting = await asyncio.wait(waiting, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                assert done, f"{len(refused)} of {BEYOND}"
                refused |= done
            assert {(task.result().status_code, task.result().headers["retry-after"]) for task in refused} == {
                (503, "2")
            }

            # All places are taken, and yet: async endpoints, those that need a thread of the application, public ones.
            for _ in range(20):
                for path in ("/whoami", "/sub/whoami", "/health"):
                    assert (await client.get(path, headers=bearer(API_KEY))).status_code == 200
                assert (await client.get("/whoami", headers=bearer("unknown"))).status_code == 401
            assert not any(task.done() for task in waiting)

            issuer.release()
            answers = await asyncio.gather(*waiting)
            assert [(answer.status_code, answer.json()["subject"]) for answer in answers] == [
                (200, "alice")
            ] * MAX_WAITING
            assert (await client.get("/whoami", headers=bearer(issuer.mint()))).status_code == 200

    with serving(AuthMiddleware(fastapi_app(), door), server) as url:
        asyncio.run(clients(url))


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.parametrize("app", APPS)
def test_an_outage_and_its_end(server: str, app: str, issuer: FaultyIssuer, build: Build, log: LogWatch) -> None:
    issuer.stop()
    headers = list(bearer(issuer.mint()).items())
    with serving(AuthMiddleware(APPS[app](), build(issuer)), server) as url:
        for _ in range(3):
            status, told, body = ask(url, "/whoami", headers)
            assert (status, told["retry-after"]) == (503, "2")
            assert issuer.url.encode() not in body
        assert ask(url, "/whoami", list(bearer(API_KEY).items()))[0] == 200
        issuer.start()  # nothing else happens
        log.wait_for("INFO keys fetched", issuer.url)
        assert ask(url, "/whoami", headers)[0] == 200


@pytest.mark.usefixtures("patient")
def test_a_client_that_goes_gives_no_place_free(issuer: FaultyIssuer, build: Build) -> None:
    """Its thread still waits: whoever comes and goes must not heap up work behind it."""
    issuer.hold()
    door = build(issuer, fetch_timeout_secs=PATIENCE)
    issuer.wait_for_requests(1, DISCOVERY)
    sent: list[Any] = []

    async def app(*_: object) -> None:
        sent.append("let in")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the middleware reads no message")

    def request() -> dict[str, Any]:
        token = bearer(issuer.mint())["authorization"]
        return {"type": "http", "path": "/", "headers": [(b"authorization", token.encode())]}

    async def come_and_go(middleware: AuthMiddleware) -> None:
        tasks = [asyncio.create_task(middleware(request(), receive, send)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)  # each is in its thread now
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert sent == []
        await middleware(request(), receive, send)
        assert sent[0]["status"] == 503
        sent.clear()
        issuer.release()
        while "let in" not in sent:
            sent.clear()
            await middleware(request(), receive, send)

    asyncio.run(come_and_go(AuthMiddleware(app, door)))
