"""Rows on their way to the lake, each written once."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa

from micromegas_server.ingestion import recall
from micromegas_server.ingestion.rows import Belonging, Rejected, Sender
from micromegas_server.ingestion.schemas import batch_of
from micromegas_server.ingestion.seen import Seen
from micromegas_server.lake import Lake
from micromegas_server.lake_writer import LakeWriter

# Of either, some hundred bytes each.
REQUESTS_REMEMBERED = 32_768
ROWS_REMEMBERED = 131_072

Batches: TypeAlias = Mapping[str, pa.RecordBatch]


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
        self, block: str, sender: Sender, read: Callable[[], tuple[Batches, Belonging, Rejected]]
    ) -> "Future[Rejected]":
        """Write a request, if it is not made again.

        Args:
            block: The `block_id` of its rows, the same for the same request.
            sender: Who sent it.
            read: Makes its rows, and those of what they belong to, which are written if they are new.

        Returns:
            What was rejected; done when the rest is on disk, with all that it belongs to.

        Raises:
            LakeFull: The lake takes no more for the moment.
            Refused: What `read` raises.
        """
        outcome, mine = self._requests.claim(block)
        if mine:
            with _failing([outcome]):
                batches, belonging, rejected = read()
                written = self._submit(sender, batches, belonging)
            written.add_done_callback(lambda done: _settle([outcome], done, rejected))
        return outcome

    def row(self, table: str, sender: Sender, identity: str, batch: pa.RecordBatch) -> "Future[Rejected]":
        """Write one row, if it is not sent again. Returns and raises like `request`."""
        outcome, mine = self._rows.claim((table, sender, identity))
        if mine:
            with _failing([outcome]):
                written = self._writer.submit({table: batch})
            written.add_done_callback(lambda done: _settle([outcome], done, Rejected()))
        return outcome

    def _submit(self, sender: Sender, batches: Batches, belonging: Belonging) -> "Future[None]":
        """Hand rows to the lake, and those of `belonging` that nobody else has."""
        claims: list[Future[Rejected]] = []
        new: Belonging = {}
        others: list[tuple[str, str, Future[Rejected]]] = []  # what another request is writing
        # Only now: of what is claimed while a request is read, a malformed one would leave nothing to those that wait.
        for table, rows in belonging.items():
            for identity, values in rows.items():
                outcome, mine = self._rows.claim((table, sender, identity))
                if mine:
                    claims.append(outcome)
                    new.setdefault(table, {})[identity] = values
                elif not outcome.done():
                    others.append((table, identity, outcome))
        with _failing(claims):
            batches = {**batches, **{table: batch_of(table, list(rows.values())) for table, rows in new.items()}}
            written = self._writer.submit(batches) if batches else _nothing()
        written.add_done_callback(lambda done: _settle(claims, done, Rejected()))
        if not others:
            return written
        finished: Future[None] = Future()

        def end() -> None:
            """All are done. What others failed to write is written here: the rows that belong to it are there."""
            lost: Belonging = {}
            for table, identity, outcome in others:
                if outcome.exception():
                    lost.setdefault(table, {})[identity] = belonging[table][identity]
            if written.exception() or not lost:
                _copy(written, finished)
                return
            try:
                self._submit(sender, {}, lost).add_done_callback(lambda done: _copy(done, finished))
            except Exception as error:  # noqa: BLE001 - it goes to those who wait
                finished.set_exception(error)

        _when_done([written, *(outcome for _, _, outcome in others)], end)
        return finished


def _nothing() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future


@contextmanager
def _failing(claims: "list[Future[Rejected]]") -> Iterator[None]:
    """Tell those who wait for `claims` what is raised here."""
    try:
        yield
    except BaseException as error:
        _fail(claims, error)
        raise


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


def _copy(done: "Future[None]", to: "Future[None]") -> None:
    if error := done.exception():
        to.set_exception(error)
    else:
        to.set_result(None)


def _when_done(futures: "list[Future[Any]]", then: Callable[[], None]) -> None:
    """Call `then` once, when all of `futures` are done."""
    if futures:
        futures[0].add_done_callback(lambda _: _when_done(futures[1:], then))
    else:
        then()
