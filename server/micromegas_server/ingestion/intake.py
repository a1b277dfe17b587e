"""The way of every request that brings something: read within limits, taken apart on a thread, awaited on disk."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import pyarrow as pa
from starlette.requests import ClientDisconnect, Request

from micromegas_auth.security_log import place_of
from micromegas_auth.text import quoted
from micromegas_server.ingestion.body import Body
from micromegas_server.ingestion.budget import Budget, Share
from micromegas_server.ingestion.errors import Refused, busy
from micromegas_server.ingestion.rows import Rejected, Sender
from micromegas_server.ingestion.tally import Tally
from micromegas_server.lake_writer import LakeFull

WORKERS = 2  # threads that take requests apart

_LEAST_BYTES = 64 * 1024  # that a request counts for, however small: it has a task, buffers and a place in a queue
_RETRY_SECONDS = 2.0  # where the disk fails; exporters give up after ten, and wait no longer than is told them

_logger = logging.getLogger("micromegas_server")

# Takes a body apart and begins to write it. Called on a thread; may raise Refused, LakeFull, OSError.
Read: TypeAlias = Callable[[bytearray, Share], "Future[Rejected]"]


class Intake:
    """Takes requests in.

    Args:
        budget: What all of them may hold at a time.
        tally: Counts them.
    """

    def __init__(self, budget: Budget, tally: Tally) -> None:
        self._budget = budget
        self._tally = tally
        self._pool = ThreadPoolExecutor(WORKERS, "micromegas-intake")

    async def take(self, request: Request, sender: Sender, limit: int, read: Read, unsupported: str | None) -> Rejected:
        """Take a request in; it is on disk when this returns.

        Args:
            request: The request.
            sender: Whose it is.
            limit: For its body as it is sent, in bytes.
            read: Takes the body apart.
            unsupported: Why it is not even read, if so.

        Returns:
            What of it was not kept.

        Raises:
            Refused: Nothing of it was kept, or that is not known.
        """
        body = Body(request)
        try:
            if unsupported is not None:
                raise Refused(415, f"unsupported media type: {unsupported}")  # noqa: TRY301 - one way for all refusals
            rejected, size = await self._written(body, sender, limit, read)
        except Refused as refused:
            self._tally.add(refused.status)
            refused.__traceback__ = None  # its frames hold what has been read of the body, which no longer counts
            await body.drain()
            raise
        self._tally.add(200, size=size, rejected=rejected.count)
        return rejected

    async def _written(self, body: Body, sender: Sender, limit: int, read: Read) -> tuple[Rejected, int]:
        try:
            with Share(self._budget, sender) as share:
                share.grow(_LEAST_BYTES)
                data = await body.read(share, limit)
                size = len(data)

                def begin() -> "Future[Rejected]":
                    share.begin()
                    return read(data, share)

                future = await asyncio.get_running_loop().run_in_executor(self._pool, begin)
            return await _outcome(future), size
        except Refused:
            raise
        except LakeFull as full:
            raise busy(full.retry_after) from None
        except ClientDisconnect:
            raise Refused(400, "the connection ended before the request did") from None
        except OSError as error:
            # What fails is the disk and not the request: the exporter shall keep its batch and try again.
            _logger.error("the lake cannot be written: %s", quoted(str(error)))
            raise busy(_RETRY_SECONDS) from None
        except Exception as error:  # noqa: BLE001 - what a client is told has a fixed text
            _logger.error("a request failed: unexpected %s", place_of(error))
            raise Refused(500, "internal error") from None


async def _outcome(future: "Future[Rejected]") -> Rejected:
    """What came of a write. Raises Refused or OSError."""
    try:
        return await asyncio.shield(asyncio.wrap_future(future))  # shielded: others may wait for the same
    except pa.ArrowException as error:  # what pyarrow says of a file that it could not write
        raise OSError(type(error).__name__) from None
