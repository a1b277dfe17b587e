"""Rows of one table, gathered from one request."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from micromegas_auth import Caller
from micromegas_server.ingestion.errors import too_large
from micromegas_server.ingestion.schemas import SCHEMAS

MAX_ROW_BYTES = 300 * 1024 * 1024
MAX_VALUES = 2_000_000  # in one request: a microsecond or so each
_ROW_OVERHEAD = 64


# Rows that are written if they are new: table -> id -> values
Belonging: TypeAlias = dict[str, dict[str, dict[str, object]]]


class Sender(NamedTuple):
    """Who sent it.

    Attributes:
        subject: Of the credential.
        issuer: Of the credential, None for an API key.
    """

    subject: str
    issuer: str | None

    @classmethod
    def of(cls, caller: Caller) -> "Sender":
        """Who authenticated; not on whose behalf."""
        return cls(caller.auth.subject, caller.auth.issuer)

    @property
    def columns(self) -> dict[str, object]:
        """What each of their rows says."""
        return {"auth_subject": self.subject, "auth_issuer": self.issuer}


@dataclass
class Rejected:
    """What of a request was not kept, though the rest of it was.

    Attributes:
        count: How many records or data points.
        why: What was wrong with the first.
    """

    count: int = 0
    why: str = ""

    def add(self, why: str) -> None:
        """One more."""
        self.count += 1
        self.why = self.why or why


class Size:
    """How much memory, and work, the rows of a request may still take.

    Args:
        left: In bytes.
        values: How many attributes, elements of lists, events, links, buckets; what rows repeat counts for each.
    """

    def __init__(self, left: int = MAX_ROW_BYTES, values: int = MAX_VALUES) -> None:
        self._left = left
        self._values = values

    def count(self, values: int) -> None:
        """Count `values` more, before they are made. Raises Refused (413) where they are too many."""
        self._values -= values
        if self._values < 0:
            raise too_large("too many attributes and other values")

    def take(self, size: int) -> None:
        """Count `size` more bytes. Raises Refused (413) where they are too many."""
        self._left -= size
        if self._left < 0:
            raise too_large("too many rows for what each of them repeats")


class Rows:
    """The rows of one table.

    Args:
        table: Its name.
        columns: The columns that differ from row to row; all others are the same for a run of rows.
        size: What they may take.

    Attributes:
        size: As given.
        first_time: The earliest time of the run, in nanoseconds since the epoch; 0 while it has no rows.
    """

    def __init__(self, table: str, columns: tuple[str, ...], size: Size) -> None:
        self._schema = SCHEMAS[table]
        self._columns = columns
        self.size = size
        self._rows: list[tuple[object, ...]] = []
        self._runs: list[tuple[dict[str, object], int]] = []  # what a run repeats, and where it begins
        self._repeated = 0
        self.first_time = 0

    def begin(self, repeated: dict[str, Any]) -> None:
        """Rows from now on have these values too."""
        self._runs.append((repeated, len(self._rows)))
        self.first_time = 0
        self._repeated = row_bytes(repeated)

    def add(self, *values: object, time: int, size: int) -> None:
        """One row.

        Args:
            values: In the order of the columns.
            time: When it was, in nanoseconds since the epoch.
            size: Of its texts, in characters.

        Raises:
            Refused: It is one too many (413).
        """
        self.size.take(self._repeated + size)
        self._rows.append(values)
        if not self.first_time or time < self.first_time:
            self.first_time = time

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self) -> pa.RecordBatch:
        """All rows."""
        values = dict(zip(self._columns, zip(*self._rows, strict=True), strict=True))
        arrays = []
        for field in self._schema:
            if field.name in values:
                arrays.append(pa.array(values[field.name], field.type))
            else:
                arrays.append(self._repeat(field))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _repeat(self, field: pa.Field) -> pa.Array:
        ends = [begin for _, begin in self._runs[1:]] + [len(self._rows)]
        parts = [
            pa.repeat(pa.scalar(repeated[field.name], field.type), end - begin)
            for (repeated, begin), end in zip(self._runs, ends, strict=True)
        ]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)


def row_bytes(values: Mapping[str, object]) -> int:
    """About how much memory a row of these values takes."""
    return _ROW_OVERHEAD + sum(len(value) for value in values.values() if isinstance(value, str))


def derived_id(namespace: uuid.UUID, name: str) -> str:
    """The same id for the same name (RFC 9562 section 5.5)."""
    return str(uuid.uuid5(namespace, name))
