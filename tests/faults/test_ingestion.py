"""Outages around the ingestion server, and its sudden end: what it acknowledged is there once, nothing is dropped."""

import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest
from support.ingestion_samples import NOW, block, encoded, logs
from support.ingestion_server import AS_PROTOBUF, BEARER, PATIENCE, Program, ingestion_process, url_of, written
from support.issuer import AUDIENCE, FaultyIssuer

LOGS = "/ingestion/otlp/v1/logs"
TEXTS = [f"order {number}" for number in range(20)]
# The exporters give up after ten seconds unless told otherwise.
PATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "60"}


def assert_all_there_once(lake: Path) -> None:
    """All that the program sent: its log records, its spans, and one set of measurements."""
    assert Counter(row["msg"] for row in written(lake, "log_entries")) == Counter(TEXTS)
    assert Counter(row["name"] for row in written(lake, "spans")) == Counter(TEXTS)
    (orders,) = (row for row in written(lake, "measures") if row["name"] == "orders")
    assert orders["value"] == len(TEXTS)
    assert len(written(lake, "processes")) == 1
    assert len(written(lake, "streams")) == 3


def test_an_outage_of_the_identity_provider(tmp_path: Path, issuer: FaultyIssuer) -> None:
    """The token cannot be judged: 503, so that the exporters keep what they have, and send it when it can."""
    issuer.stop()
    env = {"MICROMEGAS_OIDC_CONFIG": json.dumps({"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]})}
    with ingestion_process(tmp_path, env=env) as server:
        with Program(url_of(server), issuer.mint(), **PATIENT) as program:
            program.send(*TEXTS)
            for kind in ("logs", "spans"):
                program.wait_for(f"Transient error Service Unavailable encountered while exporting {kind}")
            assert not written(tmp_path, "log_entries")
            issuer.heal()
            program.end()
            assert not [line for line in program.lines if "Failed to export" in line]
        assert server.terminate() == 0
    assert_all_there_once(tmp_path)
    assert {row["auth_subject"] for row in written(tmp_path, "log_entries")} == {"alice"}


def test_an_outage_of_the_server(tmp_path: Path) -> None:
    """It is killed and comes back on its port; the exporters wait for it, and who was known is known still."""
    with ingestion_process(tmp_path) as server:
        url = url_of(server)
        with Program(url, **PATIENT) as program:
            program.send(*TEXTS[:5])
            wait_for_rows(tmp_path, 5)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            program.send(*TEXTS[5:])
            program.wait_for("Transient error .* encountered while exporting logs")
            with ingestion_process(tmp_path, listen=url.partition("://")[2]) as again:
                url_of(again)
                program.end()
                assert not [line for line in program.lines if "Failed to export" in line]
                assert again.terminate() == 0
    assert_all_there_once(tmp_path)


def wait_for_rows(lake: Path, count: int) -> None:
    """Until so many log records are there."""
    waiting, deadline = threading.Event(), PATIENCE
    while len(written(lake, "log_entries")) < count:
        assert deadline > 0
        waiting.wait(0.05)
        deadline -= 0.05


class Sender(threading.Thread):
    """Sends log records and blocks, each until it is acknowledged, over whatever server is there.

    Attributes:
        acknowledged: What was, by message.
    """

    def __init__(self, name: str, port: list[str], over: threading.Event) -> None:
        super().__init__(name=name)
        self.acknowledged: list[str] = []
        self.failed: list[int] = []
        self._url = port
        self._over = over

    def run(self) -> None:
        number = 0
        with httpx.Client(headers=BEARER | AS_PROTOBUF, timeout=PATIENCE) as client:
            while not self._over.is_set():
                message = f"{self.name} {number}"
                body = logs(message, f"{message} too", service=self.name, time=NOW + number).SerializeToString()
                self._until_acknowledged(client, LOGS, body, message)
                block_id = f"{self.name:0>8}-0000-0000-0000-{number:012}"
                self._until_acknowledged(client, "/ingestion/insert_block", encoded(block(block_id=block_id)), block_id)
                number += 1

    def _until_acknowledged(self, client: httpx.Client, path: str, body: bytes, name: str) -> None:
        while not self._over.is_set():
            try:
                status = client.post(self._url[0] + path, content=body).status_code
            except httpx.TransportError:
                continue
            if status == 200:
                self.acknowledged.append(name)
                return
            if status != 503:
                self.failed.append(status)


@pytest.mark.parametrize("kills", [5])
def test_a_sudden_end_under_load(tmp_path: Path, kills: int) -> None:
    """kill -9 in the middle of it, several times: every acknowledged row is there exactly once.

    What was sent again after a restart, because the answer was lost with the process, is known again: nothing is
    doubled. What nobody was told of may be there or not, but whole.
    """
    over, url = threading.Event(), [""]
    senders = [Sender(str(number), url, over) for number in range(1, 5)]
    for round_ in range(kills):
        before = len(senders[0].acknowledged)
        with ingestion_process(tmp_path, listen=url[0].partition("://")[2] or "127.0.0.1:0") as server:
            url[0] = url_of(server)
            if not round_:
                for sender in senders:
                    sender.start()
            waited = 0.0
            while len(senders[0].acknowledged) < before + 10 + 3 * round_:
                over.wait(0.01)
                waited += 0.01
                assert waited < PATIENCE
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
    with ingestion_process(tmp_path, listen=url[0].partition("://")[2]) as server:
        url_of(server)
        before = len(senders[0].acknowledged)
        while len(senders[0].acknowledged) < before + 5:
            over.wait(0.01)
        over.set()
        for sender in senders:
            sender.join(PATIENCE)
        assert server.terminate() == 0
    assert not [status for sender in senders for status in sender.failed]
    messages = Counter(row["msg"] for row in written(tmp_path, "log_entries"))
    blocks = Counter(row["block_id"] for row in written(tmp_path, "blocks"))
    acknowledged = {name for sender in senders for name in sender.acknowledged}
    assert acknowledged <= messages.keys() | blocks.keys()
    assert set(messages.values()) == set(blocks.values()) == {1}
    assert all(messages[f"{message} too"] == 1 for message in messages if not message.endswith("too"))
    assert Counter(row["exe"] for row in written(tmp_path, "processes")) == {sender.name: 1 for sender in senders}
