"""What docs/grpc.md and the example server say is run here, word for word."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.grpc_service import call
from support.processes import ChildProcess

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-at-least-16-bytes"
KEYS = {"MICROMEGAS_API_KEYS": json.dumps([{"name": "ci", "key": KEY}])}
METADATA = [("authorization", f"Bearer {KEY}"), ("x-user-id", "grace")]
ASK = "/examples.WhoAmI/Ask"


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each Python block of docs/grpc.md leaves behind."""
    monkeypatch.setenv(*next(iter(KEYS.items())))
    text = (ROOT / "docs" / "grpc.md").read_text()
    names: list[dict[str, Any]] = []
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        names.append({})
        exec(block, names[-1])  # noqa: S102 - our own document
    return names


def test_blocking_server(blocks: list[dict[str, Any]]) -> None:
    server = blocks[0]["server"]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert call(channel, "unary_unary", b"", path=ASK, metadata=METADATA) == [b"ci for grace"]
            with pytest.raises(grpc.RpcError):
                call(channel, "unary_unary", b"", path=ASK)
    finally:
        server.stop(None).wait(20)


def test_server_on_an_event_loop(blocks: list[dict[str, Any]]) -> None:
    async def run() -> bytes:
        server = blocks[1]["make_server"]()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return bytes(await channel.unary_unary(ASK)(b"", metadata=METADATA, timeout=20))
        finally:
            await server.stop(None)

    assert asyncio.run(run()) == b"ci"


def test_example() -> None:
    with ChildProcess(sys.executable, ROOT / "examples" / "grpc_server.py", env=KEYS) as server:
        address = server.wait_for(r"listening on (127.0.0.1:\d+)")[1]
        with grpc.insecure_channel(address) as channel:
            (answer,) = call(channel, "unary_unary", b"", path=ASK, metadata=METADATA)
            assert json.loads(answer) == {"subject": "ci", "user": "grace", "admin": False}
            with pytest.raises(grpc.RpcError):
                call(channel, "unary_unary", b"", path=ASK)
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
