"""Sustained ingestion on all cores: nothing lost, nothing doubled, and the server's memory flat."""

import multiprocessing as mp
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import TypeVar

import httpx
import pyarrow.dataset as ds
from micromegas_server.lake import Lake
from support.ingestion_samples import block, encoded, gauge, logs, spans
from support.ingestion_server import AS_PROTOBUF, BEARER, ingestion_process, url_of

K = TypeVar("K")

CLIENTS = 2 * (os.cpu_count() or 1)
ROWS = 500  # in a request of OTLP
SAMPLE_SECONDS = 0.5
MAX_GROWTH = 1.25  # of the memory, from the second quarter of the run to its last
PATHS = {
    "log_entries": "/ingestion/otlp/v1/logs",
    "measures": "/ingestion/otlp/v1/metrics",
    "spans": "/ingestion/otlp/v1/traces",
    "blocks": "/ingestion/insert_block",
}


@dataclass
class Result:
    """What came of a run.

    Attributes:
        seconds: How long it took.
        acknowledged: Rows of each table that were.
        found: Rows of each table that are there.
        distinct: How many of these differ.
        repeated: Requests that were sent a second time on purpose.
        refused: Answers by status that were no 200.
        memory: Megabytes (10^6 bytes) resident at each sample.
    """

    seconds: float
    acknowledged: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    distinct: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """What is not as promised."""
        wrong = [
            f"{table}: {count} rows acknowledged, {self.found.get(table)} there, {self.distinct.get(table)} distinct"
            for table, count in self.acknowledged.items()
            if not count == self.found.get(table) == self.distinct.get(table)
        ]
        wrong += [f"{count} requests answered {status}" for status, count in self.refused.items() if status != 503]
        before, after = self.growth
        if after > before * MAX_GROWTH:
            wrong.append(f"memory grew from {before:.0f} to {after:.0f} MB")
        return wrong

    @property
    def growth(self) -> tuple[float, float]:
        """The most memory in the second and in the last quarter of the run."""
        quarter = max(1, len(self.memory) // 4)
        return max(self.memory[quarter : 2 * quarter]), max(self.memory[-quarter:])


def run(lake: Path, seconds: float) -> Result:
    """Load a server for some time; `lake` is an empty folder."""
    spawn = mp.get_context("spawn")
    with ingestion_process(lake) as server:
        url = url_of(server)
        pipes = [spawn.Pipe() for _ in range(CLIENTS)]
        clients = [
            spawn.Process(target=_client, args=(number, url, seconds, theirs))
            for number, (_, theirs) in enumerate(pipes)
        ]
        began = time.monotonic()
        for client in clients:
            client.start()
        result = Result(0.0)
        while any(client.is_alive() and not ours.poll() for client, (ours, _) in zip(clients, pipes, strict=True)):
            result.memory.append(_resident(server.pid))
            pipes[0][0].poll(SAMPLE_SECONDS)
            time.sleep(SAMPLE_SECONDS)
        for ours, _ in pipes:
            acknowledged, repeated, refused = ours.recv()
            _add(result.acknowledged, acknowledged)
            _add(result.refused, refused)
            result.repeated += repeated
        for client in clients:
            client.join()
        result.seconds = time.monotonic() - began
        server.terminate()
    for table, column in (("log_entries", "msg"), ("measures", "name"), ("spans", "name"), ("blocks", "block_id")):
        snapshot = Lake(lake).snapshot(table)
        values = ds.dataset(lake / snapshot.path, format="parquet").to_table(columns=[column]).column(column)
        result.found[table] = len(values)
        result.distinct[table] = len(values.unique())
    return result


def report(result: Result) -> str:
    """The figures, for docs/reliability.md."""
    rows = sum(result.found.values())
    before, after = result.growth
    lines = [
        f"{CLIENTS} clients for {result.seconds:.0f} s, {ROWS} rows a request: {rows:,} rows acknowledged, "
        f"{rows / result.seconds:,.0f} a second; {result.repeated:,} requests sent twice on purpose; "
        f"{result.refused.get(503, 0):,} told to try again.",
        "",
        "| table | acknowledged | there | distinct |",
        "|---|---|---|---|",
        *(
            f"| `{table}` | {count:,} | {result.found[table]:,} | {result.distinct[table]:,} |"
            for table, count in result.acknowledged.items()
        ),
        "",
        f"Memory of the server: at most {before:.0f} MB in the second quarter of the run, {after:.0f} MB in the last.",
    ]
    return "\n".join(lines)


def _client(number: int, url: str, seconds: float, answer: Connection) -> None:
    """Send requests, each until it is acknowledged, and every tenth of them again."""
    rng = Random(number)  # noqa: S311
    acknowledged: dict[str, int] = {}
    refused: dict[int, int] = {}
    repeated = sent = 0
    end = time.monotonic() + seconds
    with httpx.Client(base_url=url, headers=BEARER | AS_PROTOBUF, timeout=60) as client:
        while time.monotonic() < end:
            table = rng.choice(list(PATHS))
            body, rows = _request(table, number, sent)
            sent += 1
            repeats = 1 if rng.random() < 0.1 else 0
            repeated += repeats
            left = 1 + repeats
            while left:
                with suppress(httpx.TransportError):
                    response = client.post(PATHS[table], content=body)
                    if response.status_code == 200:
                        left -= 1
                        continue
                    _add(refused, {response.status_code: 1})
                    time.sleep(float(response.headers.get("retry-after", "1")) * rng.random())
            _add(acknowledged, {table: rows})
    answer.send((acknowledged, repeated, refused))


def _request(table: str, client: int, sent: int) -> tuple[bytes, int]:
    """A request whose rows differ from all others, and how many these are."""
    names = [f"{client}/{sent}/{number}" for number in range(ROWS)]
    service = f"client-{client}"
    if table == "log_entries":
        return logs(*names, service=service, time=time.time_ns()).SerializeToString(), ROWS
    if table == "spans":
        return spans(*names, time=time.time_ns()).SerializeToString(), ROWS
    if table == "blocks":
        return encoded(block(block_id=f"{client:08}-0000-0000-0000-{sent:012}")), 1
    request = gauge(names[0], 1.0, time=time.time_ns())
    for name in names[1:]:
        request.resource_metrics[0].scope_metrics.extend(gauge(name, 1.0).resource_metrics[0].scope_metrics)
    return request.SerializeToString(), ROWS


def _add(to: dict[K, int], more: Mapping[K, int]) -> None:
    for name, count in more.items():
        to[name] = to.get(name, 0) + count


def _resident(process: int) -> float:
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096 / 1e6
