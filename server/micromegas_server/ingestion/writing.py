"""Rows on their way to the lake, each written once."""

import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import TypeAlias

import pyarrow as pa

from micromegas_server.ingestion import recall
from micromegas_server.ingestion.rows import Rejected, Sender
from micromegas_server.ingestion.seen import Seen
from micromegas_server.lake import Lake
from micromegas_server.lake_writer import LakeWriter

# Of either, some hundred bytes each.
REQUESTS_REMEMBERED = 32_768
ROWS_REMEMBERED = 131_072

Batches: TypeAlias = Mapping[str, pa.RecordBatch]
IsNew: TypeAlias = Callable[[str, str], bool]


class Writing:
    """Hands rows to the lake, unless they came before; safe to use from any thread.

    Args:
        writer: The lake.
        lake: The folder it writes to; what was written into it lately is known from the beginning.

    Raises:
        OSError: The lake cannot be read.
        pa.ArrowException: Likewise.
    """

    def __init__(self, writer: LakeWriter, lake: Lake) -> None:
        self._writer = writer
        self._requests: Seen[Rejected] = Seen(REQUESTS_REMEMBERED)
        self._rows: Seen[Rejected] = Seen(ROWS_REMEMBERED)
        for block in recall.requests(lake, time.time_ns()):
            self._requests.know(block, Rejected())
        for key in recall.rows(lake, time.time_ns()):
            self._rows.know(key, Rejected())

    def request(
        self, block: str, sender: Sender, read: Callable[[IsNew], tuple[Batches, Rejected]]
    ) -> "Future[Rejected]":
        """Write a request, if it is not made again.

        Args:
            block: The `block_id` of its rows, the same for the same request.
            sender: Who sent it.
            read: Makes its rows. It is given a function that says of a process or stream whether its row is still to be
                written, and then must be.

        Returns:
            What was rejected; done when the rest is on disk.

        Raises:
            LakeFull: The lake takes no more for the moment.
            Refused: What `read` raises.
        """
        outcome, mine = self._requests.claim(block)
        if mine:
            claims = [outcome]
            self._write(claims, lambda: read(lambda table, name: self._claim(claims, (table, sender, name))))
        return outcome

    def row(self, table: str, sender: Sender, identity: str, batch: pa.RecordBatch) -> "Future[Rejected]":
        """Write one row, if it is not sent again. Returns and raises like `request`."""
        outcome, mine = self._rows.claim((table, sender, identity))
        if mine:
            self._write([outcome], lambda: ({table: batch}, Rejected()))
        return outcome

    def _claim(self, claims: "list[Future[Rejected]]", key: Hashable) -> bool:
        outcome, mine = self._rows.claim(key)
        if mine:
            claims.append(outcome)
        return mine

    def _write(self, claims: "list[Future[Rejected]]", read: Callable[[], tuple[Batches, Rejected]]) -> None:
        """Write what `read` makes, and let `claims`, which may grow meanwhile, share its outcome."""
        try:
            batches, rejected = read()
            written = self._writer.submit(batches) if batches else _nothing()
        except BaseException as error:
            _fail(claims, error)
            raise
        written.add_done_callback(lambda done: _settle(claims, done, rejected))


def _nothing() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future


def _fail(claims: "list[Future[Rejected]]", error: BaseException) -> None:
    for claim in claims:
        claim.set_exception(error)


def _settle(claims: "list[Future[Rejected]]", done: "Future[None]", rejected: Rejected) -> None:
    error = done.exception()
    if error is not None:
        _fail(claims, error)
        return
    for claim in claims:
        claim.set_result(rejected)
