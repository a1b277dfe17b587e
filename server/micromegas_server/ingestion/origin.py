"""Where rows of OTLP come from: a resource stands for a process, and each signal of it for a stream."""

import uuid
from dataclasses import dataclass

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from micromegas_server.ingestion.attributes import Json, attributes, json_text, text
from micromegas_server.ingestion.rows import Sender, Size, derived_id
from micromegas_server.ingestion.times import parse_time

_PROCESSES = uuid.UUID("759e84bf-9acd-446c-9f5d-e57a8972f5a4")
_TICKS_PER_SECOND = 1_000_000_000  # a tick is a nanosecond, so that ticks are times

# signal -> the tag that Micromegas gives to such a stream
TAGS = {"logs": "log", "metrics": "metrics", "traces": "trace"}


@dataclass(frozen=True)
class Origin:
    """The process and stream of a resource.

    Attributes:
        process_id: The same for the same attributes from the same sender.
        stream_id: The same for the same process and signal.
        process: The row of the process but for its times.
        stream: The row of the stream.
    """

    process_id: str
    stream_id: str
    process: dict[str, object]
    stream: dict[str, object]

    def repeated(self, block_id: str) -> dict[str, object]:
        """What each row of a block says of where it comes from."""
        process = self.process
        return {
            "process_id": self.process_id,
            "stream_id": self.stream_id,
            "block_id": block_id,
            "process_properties": process["properties"],
            **{
                name: process[name]
                for name in ("insert_time", "exe", "username", "computer", "auth_subject", "auth_issuer")
            },
        }

    def rows(self, first_time: int) -> dict[str, tuple[str, dict[str, object]]]:
        """The rows of the process and the stream, with their ids, by table.

        Args:
            first_time: Of its rows, in nanoseconds since the epoch; when the process began, if it does not say.
        """
        start = self.process["start_time"] or first_time
        process = self.process | {"start_time": start, "start_ticks": start}
        return {"processes": (self.process_id, process), "streams": (self.stream_id, self.stream)}


def origin_of(resource: Resource, signal: str, sender: Sender, insert_time: int, size: Size) -> Origin:
    """The process that `resource` stands for, and its stream of `signal`.

    The sender belongs to the id: what one sends of itself cannot be taken for another's.
    """
    known = attributes(resource.attributes, size)
    properties = json_text({f"otel.resource.{name}": value for name, value in known.items()})
    process_id = derived_id(_PROCESSES, json_text([sender.issuer, sender.subject, known]))
    stream_id = derived_id(uuid.UUID(process_id), signal)

    def first(*names: str) -> str:
        return next((found for name in names if (found := text(known.get(name)))), "")

    namespace, service = first("service.namespace"), first("service.name")
    common = {"process_id": process_id, "insert_time": insert_time, **sender.columns}
    process = {
        **common,
        "exe": f"{namespace}/{service}" if namespace else service,
        "username": first("process.owner", "process.user.name", "process.real_user.name", "user.name"),
        "realname": first("user.full_name", "user.name"),
        "computer": first("host.name"),
        "distro": first("os.description", "os.name", "os.type"),
        "cpu_brand": first("host.cpu.model.name"),
        "tsc_frequency": _TICKS_PER_SECOND,
        "start_time": _nanoseconds(known.get("process.creation.time")),
        "properties": properties,
    }
    stream = {
        **common,
        "stream_id": stream_id,
        "dependencies_metadata": b"",
        "objects_metadata": b"",
        "tags": [TAGS[signal]],
        "properties": "{}",
        "format": f"otlp/v1/{signal}",
    }
    return Origin(process_id, stream_id, process, stream)


def _nanoseconds(value: Json) -> int | None:
    try:
        return parse_time(text(value))
    except ValueError:
        return None
