"""The ingestion server, in this process or as its command, and what it has written."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from micromegas_server.ingestion.app import BYTES_IN_FLIGHT, ingestion_app
from micromegas_server.ingestion.otlp import JSON, PROTOBUF
from micromegas_server.ingestion.tally import Tally
from micromegas_server.ingestion.writing import Writing
from micromegas_server.lake import Lake
from micromegas_server.lake_writer import LakeWriter
from support.asgi_servers import serving
from support.processes import ChildProcess

from micromegas_auth import AuthConfig, RequestAuthenticator, build_authenticator

API_KEY = "an-api-key-of-more-than-16-bytes"
OTHER_KEY = "another-key-of-more-than-16-bytes"
KEYS = [{"name": "agent", "key": API_KEY}, {"name": "other", "key": OTHER_KEY}]
BEARER = {"authorization": f"Bearer {API_KEY}"}
PATIENCE = 20.0  # seconds until a test that waits for something gives up
AS_PROTOBUF, AS_JSON = {"content-type": PROTOBUF}, {"content-type": JSON}


@contextmanager
def ingesting(
    lake: Path,
    *,
    authenticator: RequestAuthenticator | None = None,
    bytes_in_flight: int = BYTES_IN_FLIGHT,
    **writer: Any,
) -> Iterator[httpx.Client]:
    """A client, with API_KEY, of an ingestion server in this process.

    Args:
        lake: Where it writes.
        authenticator: The front door; one that knows KEYS unless given, and then closed at the end.
        bytes_in_flight: As of `ingestion_app`.
        writer: Arguments of the LakeWriter.
    """
    door = authenticator or build_authenticator(AuthConfig.model_validate({"api_keys": KEYS}))
    lake_writer = LakeWriter(lake, **writer)
    app = ingestion_app(Writing(lake_writer, Lake(lake)), lake, door, tally=Tally(), bytes_in_flight=bytes_in_flight)
    try:
        with serving(app) as url, httpx.Client(base_url=url, headers=BEARER, timeout=PATIENCE) as client:
            yield client
    finally:
        lake_writer.close()
        if authenticator is None:
            door.close()


def ingestion_process(
    lake: Path, *arguments: str | Path, listen: str = "127.0.0.1:0", env: Mapping[str, str] | None = None
) -> ChildProcess:
    """The command over a lake, which knows KEYS unless `env` says otherwise."""
    command = (sys.executable, "-m", "micromegas_server.ingestion.main", "--listen", listen, "--lake", lake)
    return ChildProcess(*command, *arguments, env=env or {"MICROMEGAS_INGESTION_API_KEYS": json.dumps(KEYS)})


def url_of(process: ChildProcess) -> str:
    """Where it listens."""
    return process.wait_for(r"listening on (https?://[^\s\"]+)")[1]


def written(lake: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table, with times as numbers; none while there is no such table."""
    if not (lake / table).exists():
        return []
    rows = pq.read_table(lake / table)
    fields = [pa.field(f.name, pa.int64()) if pa.types.is_timestamp(f.type) else f for f in rows.schema]
    found: list[dict[str, Any]] = rows.cast(pa.schema(fields)).to_pylist()
    return found


class Program(ChildProcess):
    """A context manager: tests/support/ingestion_program.py, which sends to an ingestion server.

    Args:
        url: Of the server.
        credential: A token or an API key.
        more: Further variables, such as OTEL_EXPORTER_OTLP_COMPRESSION.
    """

    def __init__(self, url: str, credential: str = API_KEY, **more: str) -> None:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/ingestion/otlp",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{credential}",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "host.name=univac,service.instance.id=1",
        }
        super().__init__(sys.executable, Path(__file__).with_name("ingestion_program.py"), env=variables | more)

    def send(self, *texts: str) -> None:
        """A log record, a span and a measurement for each."""
        assert self._process.stdin
        self._process.stdin.write("".join(f"{text}\n" for text in texts))
        self._process.stdin.flush()

    def end(self) -> None:
        """No more is to come: wait until all is sent, or given up."""
        assert self._process.stdin
        self._process.stdin.close()
        self.wait_for("^flushed", timeout=60)
        assert self.wait() == 0
